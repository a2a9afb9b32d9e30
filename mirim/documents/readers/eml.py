"""E-mail messages (RFC 5322): about what, who and when, then what was newly written, then what it quotes.

Whoever asks may be shown the text, so addresses of the header stay out of it. Messages attached to a message follow
it, under headings one level down.
"""

from __future__ import annotations

import contextlib
import email
import email.policy
import re
from email.message import EmailMessage, MIMEPart
from email.utils import parsedate_to_datetime
from pathlib import Path

from mirim.documents.closings import unclosed
from mirim.documents.draft import Draft, Refused
from mirim.documents.readers.html import page
from mirim.documents.text import clean, decode, unscramble

SUFFIXES = (".eml",)
MEDIA = "message/rfc822"
VERSION = 8
ISOLATE = True
TEXTUAL = True

#: Longest header, in characters, that is decoded: the library's time grows with the square.
_LONGEST_FIELD = 20_000

#: What the parts of a message say and notes on it, read once: to choose one of alternatives all are read.
Said = dict[MIMEPart, tuple[str, list[str]]]

#: Words of a message's plain text at least for each word of its page.
_PLAIN = 0.3
#: Characters that say nothing yet.
_SHORT = 20

_FIELD = re.compile(
    rb"^(?:from|to|subject|date|received|return-path|message-id|mime-version|delivered-to):", re.I | re.M
)
_WROTE = re.compile(
    r"^(?:>?\s*On\b[^\n]{5,120}(?:\n[^\n]{0,80})?\bwrote:"
    r"|>?\s*Em\b[^\n]{5,120}(?:\n[^\n]{0,80})?\bescreveu:"
    r"|-{2,}\s*(?:Original Message|Mensagem original|Forwarded message|Mensagem encaminhada)\s*-{2,}"
    r"|_{8,}[ \t]*\n(?:From|De):"
    # Pages have the names of these lines in bold.
    r"|\**(?:From|De):[^\n]+\n\**(?:Sent|Enviad[ao](?: em)?|Date|Data):[^\n]+\n\**(?:To|Para):)",
    re.MULTILINE,
)
#: A quoted message's own lines of recipients, with those they go on in.
_RECIPIENTS = re.compile(
    r"^[ \t*]*(?:To|Para|Cc|Cco|Bcc)\b[ \t*]*:(?=[^\n]*@)[^\n]*(?:\n(?=[^\n:]*@)[^\n:]*$)*\n?", re.I | re.M
)
#: The line that says who wrote what is quoted, and an address in it, which is no more shown than the header's.
_WRITER = re.compile(
    r"^[ \t*]*(?:(?:From|De)\b[ \t*]*:[^\n]*@[^\n]*|(?:On|Em)\b[^\n]{5,120}(?:\n[^\n]{0,80})?\b(?:wrote|escreveu):)",
    re.M,
)
_ADDRESS = re.compile(r"\s*[<\[(]*(?:mailto:)?[^\s<>\[\]()]{1,64}@[^\s<>\[\]()]{1,255}[>\])]*")


def sniff(head: bytes, path: Path) -> bool:
    # Only the name makes plain text with header lines a message.
    return path.suffix.lower() in SUFFIXES and len(set(m.lower() for m in _FIELD.findall(head))) >= 2


def read(path: Path) -> Draft:
    data = path.read_bytes()
    if not _FIELD.search(data[:20000]):
        raise Refused("is not an e-mail message: it has no From, To or Subject line")
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return drafted(message, [])


def drafted(message: EmailMessage, notes: list[str]) -> Draft:
    """A message as a document of its own."""
    files: list[str] = []
    text = rendered(message, 1, notes, files)
    if files:
        notes.append(f"attachments were not read: {', '.join(files)}; put them into sources/ themselves")
    metadata = {"author": field(message, "from"), "created": _date(message)}
    return Draft(text, field(message, "subject"), metadata=metadata, notes=tuple(dict.fromkeys(notes)))


def rendered(message: EmailMessage, level: int, notes: list[str], unread: list[str]) -> str:
    """A message as Markdown, with those attached to it; the names of files attached are added to `unread`."""
    subject = field(message, "subject")
    blocks = [f"{'#' * min(level, 6)} {subject}"] if subject else []
    # Who wrote and when may be asked for; to whom is nobody's business.
    blocks.append(", ".join(filter(None, (_sender(message), _date(message)[:10]))))
    said: Said = {}
    leaves = _leaves(message, said)
    texts, files, messages = list[str](), list[str](), list[EmailMessage]()
    for leaf in leaves:
        kind, name = leaf.get_content_type(), leaf.get_filename()
        if inner := _attached(leaf):
            messages.append(inner)
        elif _is_text(leaf) and (not name or leaf is leaves[0]):
            text, found = _text(leaf, said)
            texts.append(text)
            notes += found
        elif leaf["content-id"] and kind.startswith("image/") and not leaf.is_attachment():
            continue  # a picture in the text
        elif name:
            files.append(name)
        elif not kind.startswith(("image/", "message/")) and not kind.endswith("signature"):
            notes.append(f"a part of the type {kind} was not read")
    written, quoted = separate("\n\n".join(texts))
    blocks.append(written)
    if quoted:
        blocks.append("\n".join(f"> {line}".rstrip() for line in quoted.split("\n")))
    if files:
        blocks.append("Attachments: " + ", ".join(files))
        unread += files
    blocks += (rendered(inner, level + 1, notes, unread) for inner in messages)
    return "\n\n".join(b for b in blocks if b.strip())


def _leaves(part: MIMEPart, said: Said) -> list[MIMEPart]:
    """What a part consists of in the end, in order; of alternatives that which says most, and the files of all.

    Mail that is signed, and programs that put pictures between the paragraphs, have parts within parts.
    """
    if part.get_content_maintype() != "multipart" or not part.is_multipart():
        return [part]
    branches = [_leaves(inner, said) for inner in part.iter_parts()]
    if part.get_content_subtype() != "alternative":
        return [leaf for branch in branches for leaf in branch]
    words = [sum(len(_text(leaf, said)[0].split()) for leaf in b if _is_text(leaf)) for b in branches]
    longest = max(words, default=0)
    # Plain text is the cleaner one, unless it says no more than that there is another.
    plain = (
        b
        for b, count in zip(branches, words, strict=True)
        if [leaf.get_content_type() for leaf in b] == ["text/plain"]
        and count >= _PLAIN * longest
        and len(_text(b[0], said)[0].strip()) > _SHORT
    )
    best = next(plain, None) or (branches[words.index(longest)] if branches else [])
    return [leaf for b in branches for leaf in b if b is best or leaf.get_filename() or _attached(leaf)]


def _attached(part: MIMEPart) -> EmailMessage | None:
    """The message that a part consists of, None when it is anything else."""
    inner = part.get_payload(0) if part.get_content_type() == "message/rfc822" and part.is_multipart() else None
    return inner if isinstance(inner, EmailMessage) else None


def _is_text(leaf: MIMEPart) -> bool:
    """Whether a part is shown; where parts are promised and none is there, what stands in their place is."""
    return (
        leaf.get_content_type() in ("text/plain", "text/html") or leaf.get_content_maintype() == "multipart"
    ) and not leaf.is_attachment()


def _text(leaf: MIMEPart, said: Said) -> tuple[str, list[str]]:
    if leaf not in said:
        notes: list[str] = []
        text = _decoded(leaf, notes)
        said[leaf] = page(text)[0] if leaf.get_content_type() == "text/html" and text.strip() else text, notes
    return said[leaf]


def separate(body: str) -> tuple[str, str]:
    """(newly written text, quoted text without its '>' marks and the addresses it went to).

    Whom to call may be asked for, so what stands below the regards stays with the text, as it does after '-- '; but not
    in what is quoted: it would stand below a customer's question as if it were the answer.
    """
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
    old = _RECIPIENTS.sub("", _WRITER.sub(lambda line: _ADDRESS.sub("", line.group()), "\n".join(quoted)))
    old = unclosed(clean(old), names=True)
    return clean(unclosed(clean("\n".join(fresh)))).rstrip("\n"), clean(old).rstrip("\n")


def field(message: EmailMessage, name: str) -> str:
    value = next((str(value) for key, value in message.raw_items() if key.lower() == name), "")
    if len(value) <= _LONGEST_FIELD:
        # The library trips over some malformed headers; the raw one still says something.
        with contextlib.suppress(Exception):
            value = str(message.get(name, ""))
    return " ".join(unscramble(value)[0].split())


def _sender(message: EmailMessage) -> str:
    """The name of whoever wrote, without the address; '' where there is only that."""
    name = field(message, "from").partition("<")[0].strip("\"' ")
    return "" if "@" in name else name


def _date(message: EmailMessage) -> str:
    try:
        return parsedate_to_datetime(field(message, "date")).isoformat()
    except (ValueError, TypeError):
        return ""


def _decoded(part: MIMEPart, notes: list[str]) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return str(part.get_payload() or "")
    if not payload.strip():
        return ""
    text, found = decode(payload, part.get_content_charset() or "")
    notes += found
    return re.sub(r" \r?\n(?=\S)", " ", text) if "flowed" in str(part.get("content-type", "")).lower() else text
