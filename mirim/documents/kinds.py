"""Which reader a file needs: by its name, checked against its content, because names lie."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import ModuleType

from mirim.core import plugins
from mirim.documents.draft import Refused

ROOM = "documents.readers"

#: What no reader reads, so that the reason can name it.
_FOREIGN = (
    (b"\x89PNG\r\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"BM", "a bitmap image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"\0\0\1\0", "an icon"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a Windows program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"SQLite format 3", "a SQLite database"),
    (b"ID3", "an MP3 recording"),
    (b"OggS", "an Ogg recording"),
    (b"fLaC", "a FLAC recording"),
    (b"GGUF", "a GGUF model"),
    (b"%!PS", "a PostScript file"),
)
#: What readers' files are called where their name in capitals says little.
_CALLED = {
    "adoc": "AsciiDoc",
    "code": "source code",
    "ipynb": "a notebook",
    "markdown": "Markdown",
    "mbox": "a mailbox",
    "mhtml": "a saved page",
    "msg": "an Outlook message",
    "text": "plain text",
    "timed": "subtitles",
}
#: What the first bytes of ZIP archives name that programs write, what these are, and what to do where none is read.
_PACKED = (
    (b"xl/", "a spreadsheet; save each of its sheets as CSV"),
    (b"ppt/", "a slide show; save it as PDF"),
    (b"opendocument.text", "an OpenDocument text; save it as DOCX or PDF"),
    (b"opendocument.spreadsheet", "a spreadsheet; save each of its sheets as CSV"),
    (b"opendocument.presentation", "a slide show; save it as PDF"),
    (b"application/epub+zip", "an e-book (EPUB); save it as HTML or PDF"),
)


@cache
def readers() -> dict[str, ModuleType]:
    """Every reader by name. They import their libraries only when they read."""
    return {name: plugins.load(ROOM, name) for name in plugins.names(ROOM)}


@cache
def suffixes() -> dict[str, str]:
    """Reader name by file name ending."""
    return {suffix: name for name, module in readers().items() for suffix in module.SUFFIXES}


def choose(path: Path) -> tuple[str, list[str]]:
    """Name of the reader for a file and notes for a person; Refused when there is none.

    Content decides where a format can be told for certain; the name decides among kinds of text.
    """
    with path.open("rb") as stream:
        head = stream.read(4096)
    if not head.strip(b"\0 \t\r\n\xef\xbb\xbf") and path.stat().st_size <= len(head):
        raise Refused("is empty")
    suffix = path.suffix.lower()
    named = suffixes().get(suffix, "")
    if named and hasattr(readers()[named], "sniff") and readers()[named].sniff(head, path):
        return named, []
    for name, module in readers().items():
        if name != named and hasattr(module, "sniff") and module.sniff(head, path):
            return name, [f"is named {suffix or 'without an ending'} but is {_a(name)}; read as that"]
    what = foreign(head)
    if what:
        raise Refused(f"is {what}, not {_a(named)}" if named else f"is {what}; {_known()}")
    if named and hasattr(readers()[named], "sniff") and not getattr(readers()[named], "TEXTUAL", False):
        raise Refused(f"is named {suffix} but its content is not {_a(named)}; open it in its program and save it again")
    if named:
        return named, []
    if not suffix:
        return "text", []
    raise Refused(f"no reader for {suffix}; {_known()}")


def isolated(path: Path) -> bool:
    """Whether a file should be read in a process of its own, judged by its name."""
    name = suffixes().get(path.suffix.lower(), "")
    return bool(readers()[name].ISOLATE) if name else False


def foreign(head: bytes) -> str:
    """What a file is that no reader reads, '' when it is not among the known."""
    for magic, what in _FOREIGN:
        if head.startswith(magic) and (len(magic) > 2 or b"\0" in head[:512]):
            return what
    if head[:4] == b"RIFF":
        return "a WebP image" if head[8:12] == b"WEBP" else "a recording or film"
    if head[4:8] == b"ftyp":
        return "a film or recording (MP4)"
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        if "EncryptedPackage".encode("utf-16-le") in head:
            return "an Office document encrypted with a password"
        return "an old Office document (before 2007) or one with a password; save it as DOCX or PPTX without one"
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        return next((what for name, what in _PACKED if name in head), "a ZIP archive; unpack it")
    return ""


def _a(name: str) -> str:
    if not name:
        return "a document"
    return _CALLED.get(name) or f"{'an' if name[0] in 'aeiouhrx' else 'a'} {name.upper()} file"


def _known() -> str:
    others = sorted(suffix for suffix, name in suffixes().items() if name != "code")
    return f"readable are {', '.join(others)} and source code"
