"""Messages that Outlook saved (MSG): made into a message as servers pass it on, which the reader of e-mail reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from mirim.core.extras import need
from mirim.documents.draft import Draft, Refused
from mirim.documents.readers.eml import drafted
from mirim.documents.readers.html import charset
from mirim.documents.text import decode

SUFFIXES = (".msg",)
MEDIA = "application/vnd.ms-outlook"
VERSION = 1
ISOLATE = True

_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
#: What is asked for, by the numbers that its format gives them.
_SUBJECT, _BODY, _PAGE, _RICH = "0037", "1000", "1013", "1009"
_SENDER, _FOR = "0C1A", "0042"
_SENT, _ARRIVED, _PAGES = 0x0039, 0x0E06, (0x3FDE, 0x3FFD)
_FILE, _SHORT, _NAMED, _INNER = "3707", "3704", "3712", "__substg1.0_3701000D"
_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".bmp")
_CODES = {20127: "ascii", 28591: "latin-1", 28605: "iso8859-15", 65001: "utf-8"}
#: Bytes before the values of a message, and of one within a message.
_HEAD, _HEAD_WITHIN = 32, 24
#: Messages within messages that are read.
_DEPTH = 10


def sniff(head: bytes, path: Path) -> bool:
    # Old Office documents begin alike.
    return path.suffix.lower() in SUFFIXES and head.startswith(_MAGIC)


def read(path: Path) -> Draft:
    olefile: Any = need("olefile", "documents")
    try:
        with olefile.OleFileIO(str(path)) as file:
            if not file.exists("__properties_version1.0"):
                raise Refused("is no Outlook message, though it is named so; open it in its program and save it as PDF")
            notes: list[str] = []
            draft = drafted(_message(file, [], _HEAD, notes), notes)
            # A name without an address is written between quotation marks.
            return replace(draft, metadata={k: str(v).strip('"') for k, v in draft.metadata.items()})
    except (OSError, IndexError) as error:
        raise Refused(f"is damaged or cut short ({error}); save it again in Outlook") from error


def _message(file: Any, place: list[str], head: int, notes: list[str]) -> EmailMessage:
    """The message in a folder of the file, with those in it."""
    values = dict(_values(file, place, head))
    number = next((int.from_bytes(values[key][:4], "little") for key in _PAGES if key in values), 0)
    code = _CODES.get(number, f"cp{number}" if number else "")

    def text(name: str) -> str:
        return _text(file, place, name, code)

    message = EmailMessage()
    for name, value in (("Subject", text(_SUBJECT)), ("From", text(_FOR) or text(_SENDER)), ("Date", _date(values))):
        if value := " ".join(value.split()):
            message[name] = value
    body, markup = text(_BODY), text(_PAGE)
    if not markup and (data := _stream(file, place, f"{_PAGE}0102")):
        markup = decode(data, charset(data) or code)[0]
    if body.strip() or not markup:
        message.set_content(body)
        if markup:
            message.add_alternative(markup, subtype="html")
    else:
        message.set_content(markup, subtype="html")
    if not body.strip() and not markup and _stream(file, place, f"{_RICH}0102"):
        notes.append("its text is there as rich text alone, which was not read; save it as HTML in Outlook")
    for folder in _attached(file, place):
        inner = [*folder, _INNER]
        if file.exists([*inner, "__properties_version1.0"]):
            if len(place) < 2 * _DEPTH:
                message.add_attachment(_message(file, inner, _HEAD_WITHIN, notes))
            else:
                notes.append(f"messages within messages, more than {_DEPTH} deep, were not read")
            continue
        name = " ".join((_text(file, folder, _FILE, code) or _text(file, folder, _SHORT, code)).split()) or "?"
        # One with a name for the text's own use is a picture in it.
        if not (_text(file, folder, _NAMED, code) and name.lower().endswith(_PICTURES)):
            message.add_attachment(b"", maintype="application", subtype="octet-stream", filename=name)
    return message


def _values(file: Any, place: list[str], head: int) -> Iterator[tuple[int, bytes]]:
    """The values of fixed length by their numbers."""
    data = _stream(file, place, "")
    for start in range(head, len(data) - 15, 16):
        yield int.from_bytes(data[start + 2 : start + 4], "little"), data[start + 8 : start + 16]


def _date(values: dict[int, bytes]) -> str:
    ticks = int.from_bytes(values.get(_SENT) or values.get(_ARRIVED) or b"", "little")
    try:
        return format_datetime(datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=ticks // 10)) if ticks else ""
    except OverflowError:
        return ""


def _text(file: Any, place: list[str], name: str, code: str) -> str:
    if data := _stream(file, place, f"{name}001F"):
        return data.decode("utf-16-le", "replace").rstrip("\0")
    data = _stream(file, place, f"{name}001E").rstrip(b"\0")
    return decode(data, code)[0] if data else ""


def _stream(file: Any, place: list[str], name: str) -> bytes:
    """A stream's bytes, of the values without a name; b'' when there is none."""
    path = [*place, f"__substg1.0_{name}" if name else "__properties_version1.0"]
    if file.get_type(path) != 2:
        return b""
    with file.openstream(path) as stream:
        return bytes(stream.read())


def _attached(file: Any, place: list[str]) -> list[list[str]]:
    """The folders of what is attached, in order."""
    deep = len(place) + 1
    folders = (entry for entry in file.listdir(streams=False, storages=True) if entry[: deep - 1] == place)
    return sorted(entry for entry in folders if len(entry) == deep and entry[-1].startswith("__attach_version1.0_"))
