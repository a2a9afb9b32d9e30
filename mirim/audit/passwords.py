"""Passwords and keys in a text, told by what stands before them and by their own form."""

from __future__ import annotations

import re
from collections.abc import Iterator

#: Where a word begins, also within a name ("adminPassword").
_BEGINS = r"(?:(?<![^\W_])|(?-i:(?<=[a-z])(?=[A-Z])))"
#: What a secret is called, alone or as a part of a setting's name, and what stands between the name and it: a sign, or
#: the bar of a table; before the sign a few words ("senha do wifi dos alunos: ..."). No path, address, placeholder
#: or measure ("password expiry: 90days").
_NAMED = re.compile(
    _BEGINS + r"(password|passwd|passcode|pwd|senha|api[ _-]?key|chave de api|secret(?:[ _-](?:access[ _-])?key)?"
    r"|access[ _-]?token|auth[ _-]?token|bearer[ _-]?token|token de acesso|(?<=[_-])pass)(?![^\W_])"
    r"(?:_[a-z\d]{1,20}){0,2}[*_`\"']{0,3}(?: [^\W\d_](?:[^\W\d_]|-){0,19}){0,5}?"
    r"\s*(?:(?:\bis\b|\bé\b)?\s*[:=|>]|\bis\b|\bé\b)\s*[*_`\"']{0,3}(?!\w+://|/|\$?[{<]|\d+ ?"
    r"(?:min(?:ute|uto)?s?|h|hours?|days?|weeks?|months?|years?|characters|digits|times|horas?|dias?|semanas?|m[eê]s(?:es)?"
    r"|anos?|caracteres|d[íi]gitos|vezes)(?!\w))"
    r"(?=[^\s*`\"'|<]*(?:\d|[@#$%&!?]\w))([^\s*`\"',;|<]{5,})",
    re.IGNORECASE,
)
#: Without a sign between ("senha Cafe1234!") only what looks like nothing else: letters, a digit and a sign.
_BARE = re.compile(r"(?i:\b(password|senha)) (?=\S*[^\W\d_])(?=\S*\d)(?=\S*[@#$%&!?*])([\w@#$%&!?*.+-]{6,})")
#: Figures that open something.
_OPENING = re.compile(
    r"\b((?:alarm|door|gate|entry|safe) (?:code|combination|pin)|pin d[aeo]|(?:código|segredo|combinação) d[aeo]s?"
    r" (?:alarme|portão|porta|cofre|entrada))(?: [^\W\d_]{2,20}){0,3}?\s*(?:[:=]|\bis\b|\bé\b)\s*"
    r"(\d(?:[ -]?\d){3,11}[#*]?)(?![\d/])",
    re.IGNORECASE,
)
#: What programs are let in by: twenty characters or more, letters and digits.
_LONG = re.compile(
    _BEGINS + r"(token|key|secret|authorization: (?:bearer|basic))[\"'`]?(?:\s*[:=]\s*[\"'`]?|(?<=r|c) )(?!\w+://)"
    r"(?=[\w+/=.-]*\d)(?=[\w+/=.-]*[a-z])([\w+/=.-]{20,})",
    re.IGNORECASE,
)
#: The password of an address.
_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@]{1,60}:([^\s:/@]{3,80})@", re.IGNORECASE)
_KEYS = (
    ("private key", re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY(?: BLOCK)?-----")),
    ("AWS access key", re.compile(r"\bA[KS]IA[0-9A-Z]{16}\b")),
    ("GitHub token", re.compile(r"\bgh[pousr]_[A-Za-z0-9]{30,}\b|\bgithub_pat_[A-Za-z0-9_]{30,}\b")),
    ("GitLab token", re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}")),
    ("Hugging Face token", re.compile(r"\bhf_[A-Za-z0-9]{30,}\b")),
    ("npm token", re.compile(r"\bnpm_[A-Za-z0-9]{30,}\b")),
    ("payment key", re.compile(r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}\b|\bAPP_USR-[A-Za-z0-9-]{20,}")),
    ("API key", re.compile(r"\bsk-[A-Za-z0-9_-]{20,}\b")),
    ("Slack token", re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}\b")),
    ("Google API key", re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b")),
    ("Telegram token", re.compile(r"\b\d{8,10}:AA[A-Za-z0-9_-]{30,}")),
    ("SendGrid key", re.compile(r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}")),
    ("web token", re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}")),
)


def secrets(text: str) -> Iterator[tuple[str, str]]:
    """(name, value) of each secret in a text; of what two patterns find, the name of the one that begins first."""
    found = [(m.start(), m.end(), name, m.group()) for name, pattern in _KEYS for m in pattern.finditer(text)]
    found += [(*m.span(1), "password of an address", m.group(1)) for m in _ADDRESS.finditer(text)]
    for pattern in (_NAMED, _BARE, _OPENING, _LONG):
        found += [(*m.span(2), m.group(1).lower(), m.group(2).rstrip(".)")) for m in pattern.finditer(text)]
    last = 0
    for start, end, name, value in sorted(found, key=lambda one: one[0]):
        if start >= last:
            yield name, value
            last = end
