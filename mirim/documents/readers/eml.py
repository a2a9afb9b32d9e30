"""E-mail messages (RFC 5322): who, when, about what, then what was newly written, then what it quotes.

Messages attached to a message follow it, under headings one level down.
"""

from __future__ import annotations

import contextlib
import email
import email.policy
import re
from email.message import EmailMessage, MIMEPart
from email.utils import parsedate_to_datetime
from pathlib import Path

from mirim.documents.draft import Draft, Refused
from mirim.documents.readers.html import page
from mirim.documents.text import clean, decode, unscramble

SUFFIXES = (".eml",)
MEDIA = "message/rfc822"
VERSION = 2
ISOLATE = True
TEXTUAL = True

#: Longest header, in characters, that is decoded: the library's time grows with the square.
_LONGEST_FIELD = 20_000

_FIELD = re.compile(
    rb"^(?:from|to|subject|date|received|return-path|message-id|mime-version|delivered-to):", re.I | re.M
)
_WROTE = re.compile(
    r"^(?:>?\s*On\b[^\n]{5,120}(?:\n[^\n]{0,80})?\bwrote:"
    r"|>?\s*Em\b[^\n]{5,120}(?:\n[^\n]{0,80})?\bescreveu:"
    r"|-{2,}\s*(?:Original Message|Mensagem original|Forwarded message|Mensagem encaminhada)\s*-{2,}"
    r"|_{8,}[ \t]*\n(?:From|De):"
    r"|(?:From|De):[^\n]+\n(?:Sent|Enviad[ao](?: em)?|Date|Data):[^\n]+\n(?:To|Para):)",
    re.MULTILINE,
)


def sniff(head: bytes, path: Path) -> bool:
    # Only the name makes plain text with header lines a message.
    return path.suffix.lower() in SUFFIXES and len(set(m.lower() for m in _FIELD.findall(head))) >= 2


def read(path: Path) -> Draft:
    data = path.read_bytes()
    if not _FIELD.search(data[:20000]):
        raise Refused("is not an e-mail message: it has no From, To or Subject line")
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    notes: list[str] = []
    text = _rendered(message, 1, notes)
    metadata = {"author": _field(message, "from"), "created": _date(message)}
    return Draft(text, _field(message, "subject"), metadata=metadata, notes=tuple(dict.fromkeys(notes)))


def _rendered(message: EmailMessage, level: int, notes: list[str]) -> str:
    """A message as Markdown, with those attached to it."""
    subject = _field(message, "subject")
    blocks = [f"{'#' * min(level, 6)} {subject}"] if subject else []
    facts = [
        f"- **{name}:** {value}" for name in ("From", "To", "Cc", "Date") if (value := _field(message, name.lower()))
    ]
    if facts:
        blocks.append("\n".join(facts))
    parts = list(message.iter_attachments())
    loose = [part for part in parts if _loose(part)]
    # Programs that put pictures between the paragraphs write each paragraph as a part of its own.
    body = "\n\n".join([_body(message, notes), *(_decoded(part, notes) for part in loose)])
    written, quoted = separate(body)
    blocks.append(written)
    if quoted:
        blocks.append("\n".join(f"> {line}".rstrip() for line in quoted.split("\n")))
    messages = [inner for part in parts if (inner := _attached(part))]
    attached = [name for part in parts if not _attached(part) and (name := part.get_filename())]
    if attached:
        blocks.append("Attachments: " + ", ".join(attached))
        notes.append(f"attachments were not read: {', '.join(attached)}; put them into sources/ themselves")
    blocks += (_rendered(inner, level + 1, notes) for inner in messages)
    return "\n\n".join(b for b in blocks if b.strip())


def _attached(part: MIMEPart) -> EmailMessage | None:
    """The message that a part consists of, None when it is anything else."""
    inner = part.get_payload(0) if part.get_content_type() == "message/rfc822" and part.is_multipart() else None
    return inner if isinstance(inner, EmailMessage) else None


def _loose(part: MIMEPart) -> bool:
    """Whether a part beside the body is more of it: text that is not sent as a file."""
    return part.get_content_type() == "text/plain" and not part.get_filename() and not part.is_attachment()


def separate(body: str) -> tuple[str, str]:
    """(newly written text, quoted text without its '>' marks). Signatures after '-- ' stay with the text."""
    lines = body.split("\n")
    fresh: list[str] = []
    quoted: list[str] = []
    match = _WROTE.search(body)
    limit = body[: match.start()].count("\n") if match else len(lines)
    for i, line in enumerate(lines):
        if i < limit and not re.match(r"\s*>", line):
            fresh.append(line)
        else:
            quoted.append(re.sub(r"^(?:\s*>)+ ?", "", line))
    return clean("\n".join(fresh)).rstrip("\n"), clean("\n".join(quoted)).rstrip("\n")


def _field(message: EmailMessage, name: str) -> str:
    value = next((str(value) for key, value in message.raw_items() if key.lower() == name), "")
    if len(value) <= _LONGEST_FIELD:
        # The library trips over some malformed headers; the raw one still says something.
        with contextlib.suppress(Exception):
            value = str(message.get(name, ""))
    return " ".join(unscramble(value)[0].split())


def _date(message: EmailMessage) -> str:
    try:
        return parsedate_to_datetime(_field(message, "date")).isoformat()
    except (ValueError, TypeError):
        return ""


def _body(message: EmailMessage, notes: list[str]) -> str:
    """The plain text if there is any worth it, otherwise the HTML part as Markdown."""
    if message.get_content_maintype() == "multipart" and not message.is_multipart():
        return _decoded(message, notes)  # parts are promised, and none is there
    plain = message.get_body(preferencelist=("plain",))
    text = _decoded(plain, notes) if plain is not None else ""
    if len(text.strip()) > 20:
        return text
    web = message.get_body(preferencelist=("html",))
    rich = page(_decoded(web, notes))[0] if web is not None else ""
    return rich if len(rich) > len(text) else text


def _decoded(part: MIMEPart, notes: list[str]) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return str(part.get_payload() or "")
    if not payload.strip():
        return ""
    text, found = decode(payload, part.get_content_charset() or "")
    notes += found
    return re.sub(r" \r?\n(?=\S)", " ", text) if "flowed" in str(part.get("content-type", "")).lower() else text
