"""Mailboxes, as Thunderbird keeps them and Gmail exports them: each message under its subject, as `eml` reads it.

Messages are read one at a time, and of their attachments only the names are kept. What was deleted and waits for the
mailbox to be compacted, and what lies in the bin or among spam, is left out.
"""

from __future__ import annotations

import email
import email.policy
import re
from collections import Counter
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

from mirim.documents.blocks import joined
from mirim.documents.draft import Draft, Refused
from mirim.documents.readers.eml import field, rendered
from mirim.documents.store import named
from mirim.documents.text import clean

SUFFIXES = (".mbox", ".mbx")
MEDIA = "application/mbox"
VERSION = 1
ISOLATE = True

#: Bytes of a message that are read at most; servers take fewer.
_MOST = 100_000_000
#: Notes on single messages, and names of attachments, that are told.
_TOLD = 5

_FROM = rb"From (?:- ?)?(?:[^\r\n]*\d\d:\d\d[^\r\n]*\d{4}[^\r\n]*)?\r?\n"
_SEPARATOR = re.compile(_FROM)
_FIELD = re.compile(rb"[!-9;-~]{1,80}:")
_BEGINS = re.compile(_FROM + _FIELD.pattern)
_QUOTED = re.compile(rb">+From ")
#: What mail programs write of a message: deleted, in the bin, unwanted; or that it is their own and no message.
_DELETED = 0x0008
_LABELS = frozenset("spam junk trash bin lixeira lixo".split())
_INTERNAL = re.compile(r"folder internal data", re.IGNORECASE)


def sniff(head: bytes, path: Path) -> bool:
    # Thunderbird's mailboxes have no ending; a text may begin as one does.
    return path.suffix.lower() in (*SUFFIXES, "") and bool(_BEGINS.match(head))


def read(path: Path) -> Draft:
    told: Counter[str] = Counter()
    files: list[str] = []
    # Mail on a Mac exports a folder of the mailbox's name with a file in it.
    title = named(path.parent.name if path.name == "mbox" else path.name)
    texts = (one if one.startswith("#") else f"# {title}\n\n{one}" for one in _texts(path, told, files))
    text = joined(f"{clean(one)}\n" for one in texts)
    notes = [f"{count} x: {note}" if count > 1 else note for note, count in told.most_common(_TOLD)]
    if len(told) > _TOLD:
        notes.append(f"other notes on single messages: {len(told) - _TOLD}")
    if not text.strip():
        raise Refused(f"holds no message that is kept ({'; '.join(notes) or 'all are empty'})")
    if files:
        names = ", ".join(list(dict.fromkeys(files))[:_TOLD])
        notes.append(f"{len(files)} attachments were not read, such as {names}; save and put them into sources/")
    return Draft(text, title, notes=tuple(notes))


def _texts(path: Path, told: Counter[str], files: list[str]) -> Iterator[str]:
    """The messages as Markdown, with what is to be told of them."""
    for data in _messages(path):
        if len(data) > _MOST:
            told[f"a message of more than {_MOST // 1_000_000} MB was left out; save it without attachments"] += 1
            continue
        message = email.message_from_bytes(data, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        if _internal(message):
            continue
        if _discarded(message):
            told["a message that is deleted, or marked as unwanted, was left out"] += 1
            continue
        notes: list[str] = []
        try:
            yield rendered(message, 1, notes, files)
        except (Refused, RecursionError, ValueError, LookupError, TypeError, AttributeError) as error:
            # One message must not cost the others.
            told[f"a message could not be read and was left out: {error}"[:200]] += 1
        told.update(dict.fromkeys(notes, 1))


def _messages(path: Path) -> Iterator[bytes]:
    """The bytes of each message, without the marks that mailboxes put before lines that begin as a message does.

    Of a message beyond the limit no more than a line above it is held.
    """
    with path.open("rb") as stream:
        lines: list[bytes] = []
        size, blank, waiting = 0, True, b""
        for line in iter(lambda: stream.readline(1 << 20), b""):
            if waiting:
                if _FIELD.match(line):
                    if lines:
                        yield b"".join(lines)
                    lines, size = [], 0
                else:
                    lines.append(waiting)
                waiting = b""
            if blank and _SEPARATOR.fullmatch(line):
                waiting = line
                continue
            blank = not line.strip()
            if size <= _MOST:
                lines.append(line[1:] if _QUOTED.match(line) else line)
                size += len(line)
        yield b"".join([*lines, waiting])


def _internal(message: EmailMessage) -> bool:
    """Whether it is what a server keeps of the mailbox itself."""
    return "x-imap" in message and bool(_INTERNAL.search(field(message, "subject")))


def _discarded(message: EmailMessage) -> bool:
    status = field(message, "x-mozilla-status")
    if re.fullmatch(r"[0-9a-fA-F]{4}", status) and int(status, 16) & _DELETED:
        return True
    labels = {label.strip(' "').casefold() for label in field(message, "x-gmail-labels").split(",")}
    return not _LABELS.isdisjoint(labels) or "D" in field(message, "x-status")
