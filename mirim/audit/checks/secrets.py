"""secrets: passwords and keys, which a model would repeat to anybody who asks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

from mirim.audit.identifiers import masked
from mirim.audit.seeds import seeds
from mirim.core.project import Project
from mirim.core.report import Finding
from mirim.core.types import Document

#: What a secret is called, alone or as a part of a setting's name, and what stands between the name and it: a sign, or
#: the bar of a table; before the sign up to two words ("senha do wifi: ...").
_NAMED = re.compile(
    r"(?<![^\W_])(password|passwd|passcode|pwd|senha|api[ _-]?key|chave de api|secret(?:[ _-](?:access[ _-])?key)?"
    r"|access[ _-]?token|auth[ _-]?token|bearer[ _-]?token|token de acesso)(?![^\W_])"
    r"[*_`\"']{0,3}(?: (?:d[aeo]s?|for|of|the|padrão|default)\b){0,2}(?: [^\W\d_]{2,20}){0,2}?"
    r"\s*(?:(?:\bis\b|\bé\b)?\s*[:=|]|\bis\b|\bé\b)\s*[*_`\"']{0,3}"
    r"(?=[^\s*`\"'|]*(?:\d|[@#$%&!?]\w))([^\s*`\"',;|]{5,})",
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
    ("payment key", re.compile(r"\b[sr]k_live_[A-Za-z0-9]{16,}\b|\bAPP_USR-[A-Za-z0-9-]{20,}")),
    ("API key", re.compile(r"\bsk-[A-Za-z0-9_-]{20,}\b")),
    ("Slack token", re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}\b")),
    ("Google API key", re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b")),
    ("web token", re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}")),
)


def check(project: Project, documents: Iterator[Document]) -> Iterator[Finding]:
    """An error for each secret in documents and seeds, masked."""
    for document in chain(documents, seeds(project)):
        for match in _NAMED.finditer(document.text):
            yield _finding(document, match.group(1).lower(), match.group(2).rstrip(".)"))
        for match in _ADDRESS.finditer(document.text):
            yield _finding(document, "password of an address", match.group(1))
        for name, pattern in _KEYS:
            for match in pattern.finditer(document.text):
                yield _finding(document, name, match.group())


def _finding(document: Document, name: str, value: str) -> Finding:
    shown = name if name == "private key" else f"{name}: {masked(value)}"
    return Finding(
        "error", document.id, f"looks like a secret, {shown}", "change the secret and take it out of the source"
    )
