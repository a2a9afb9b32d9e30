"""Rich text (RTF), as WordPad and old word processors save it: headings, lists, tables and notes.

What is hidden or marked as deleted, and what stands at the head and foot of pages, is left out.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from mirim.documents.draft import Draft, Refused
from mirim.documents.markdown import emboldened, table

SUFFIXES = (".rtf",)
MEDIA = "application/rtf"
VERSION = 1
ISOLATE = True

#: A word with its number, a byte, a sign, a brace, or text.
_TOKEN = re.compile(
    r"\\([a-zA-Z]{1,32})(-?\d{1,10})?[ ]?|\\'([0-9a-fA-F]{2})|\\(.)|([{}])|[\r\n\0]+|([^\\{}\r\n\0]+)", re.S
)
#: Groups that hold no text of the document.
_SKIPPED = frozenset(
    "colortbl pict object header headerl headerr headerf footer footerl footerr footerf sp fldinst nonshppict objdata "
    "themedata colorschememapping latentstyles datastore xmlnstbl rsidtbl generator listtable listoverridetable "
    "filetbl revtbl bkmkstart bkmkend xe tc rxe txe annotation atnid atnauthor atrfstart atrfend".split()
)
#: Those of the groups that only newer programs know which hold text all the same: boxes, and what objects show.
_KNOWN = frozenset("shpinst shptxt result nesttableprops fldrslt footnote".split())
_SIGNS = {
    "emdash": "—", "endash": "–", "lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”", "bullet": "•",
    "tab": " ", "line": "\n", "nestcell": " ", "emspace": " ", "enspace": " ", "qmspace": " ", "~": " ", "_": "-",
    "{": "{", "}": "}", "\\": "\\",
}  # fmt: skip
#: Encodings of fonts by their number, where these are not the document's.
_CHARSETS = {
    0: "cp1252", 128: "cp932", 129: "cp949", 134: "cp936", 136: "cp950", 161: "cp1253", 162: "cp1254", 163: "cp1258",
    177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250",
}  # fmt: skip
_NUMBER = re.compile(r"\w{1,3}[.)]")
_ITEM = re.compile(r"(?:-|\w{1,3}[.)]) ")
#: Groups within groups at most.
_DEEPEST = 5000


@dataclass(frozen=True, slots=True)
class _Group:
    """What holds until a group ends.

    into    '' for text, otherwise what the text of the group is of: 'font', 'style', 'title', 'mark' ...
    hidden  no text of the document; `veiled` where it is hidden or deleted itself
    after   characters that stand behind one for programs that do not know it
    """

    into: str = ""
    hidden: bool = False
    veiled: bool = False
    bold: bool = False
    encoding: str = ""
    after: int = 1
    starred: bool = False


@dataclass(slots=True)
class _Flow:
    """A run of paragraphs: the document's, or a note's."""

    blocks: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    plain: bool = False
    mark: str = ""
    level: int = 0
    row: bool = False
    cells: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def sniff(head: bytes, path: Path) -> bool:
    return head.lstrip(b"\xef\xbb\xbf\r\n ").startswith(b"{\\rtf")


def read(path: Path) -> Draft:
    reader = _Reader(path.read_bytes().decode("latin-1"))
    return reader.draft()


class _Reader:
    def __init__(self, data: str) -> None:
        self._data = data
        self._page = "cp1252"
        self._group = _Group()
        self._open: list[tuple[_Group, _Flow]] = []
        self._flow = self._main = _Flow()
        self._raw = bytearray()
        self._facts: dict[str, str] = {}
        self._fonts: dict[int, str] = {}
        self._font = 0
        #: Levels of headings by style, and the style that is being told of.
        self._styles: dict[int, int] = {}
        self._style = 0

    def draft(self) -> Draft:
        at, skip = 0, 0
        while at < len(self._data) and (match := _TOKEN.match(self._data, at)):
            at = match.end()
            word, number, byte, sign, brace, text = match.groups()
            if byte:
                skip = self._bytes(bytes([int(byte, 16)]), skip)
                continue
            if text:
                skip = self._bytes(text.encode("latin-1"), skip)
                continue
            if brace or word or sign:
                skip = 0
                self._flush()
            if brace == "{":
                if len(self._open) > _DEEPEST:
                    raise Refused(f"is nested too deeply to be read: groups within groups, more than {_DEEPEST} levels")
                self._open.append((self._group, self._flow))
                self._group = replace(self._group, starred=False)
            elif brace and self._close():
                break
            elif sign == "*":
                self._group = replace(self._group, starred=True)
            elif sign:
                self._sign(sign)
            elif word == "bin":
                at += max(0, int(number or 0))
            elif word == "u":
                skip = self._group.after
                self._say(chr(int(number or 63) % 0x10000))
            elif word:
                self._word(word, int(number) if number else None)
        self._flush()
        notes = ("ends in the middle: it was cut short, and what followed is lost",) if self._open else ()
        self._paragraph()
        self._rows()
        # Characters beyond the first 65,536 are written as two halves.
        text = "\n\n".join(self._main.blocks).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        facts = dict(self._facts)
        return Draft(emboldened(text), facts.pop("title", ""), metadata=facts, notes=notes)

    def _close(self) -> bool:
        """End a group; whether it was the last."""
        if not self._open:
            return True
        group, flow = self._open.pop()
        if flow is not self._flow:
            self._paragraph()
            flow.notes += self._flow.blocks
        self._group, self._flow = group, flow
        return not self._open

    def _bytes(self, data: bytes, skip: int) -> int:
        """Take bytes of text but for those to be skipped; how many are still to be."""
        if not (self._group.hidden or self._group.veiled):
            self._raw += data[skip:]
        return max(0, skip - len(data))

    def _flush(self) -> None:
        if self._raw:
            text = self._raw.decode(self._group.encoding or self._page, "replace")
            self._raw.clear()
            self._say(text)

    def _say(self, text: str) -> None:
        into, flow = self._group.into, self._flow
        if self._group.hidden or self._group.veiled:
            return
        if into == "mark":
            flow.mark += text
        elif into in ("title", "author"):
            self._facts[into] = self._facts.get(into, "") + text
        elif not into:
            flow.words.append(text)
            flow.plain = flow.plain or (not self._group.bold and bool(text.strip()))

    def _sign(self, sign: str) -> None:
        if sign in "\r\n":
            self._word("par", None)
        elif sign in _SIGNS:
            self._say(_SIGNS[sign])

    def _word(self, word: str, number: int | None) -> None:
        group, flow, on = self._group, self._flow, number != 0
        if group.starred and word not in _KNOWN:
            self._group = replace(group, hidden=True, starred=False)
        elif word in _SKIPPED:
            self._group = replace(group, hidden=True)
        elif word in ("fonttbl", "stylesheet", "info") or (word in ("title", "author") and group.into == "info"):
            self._group = replace(group, into=word)
        elif word in ("listtext", "pntext"):
            self._group = replace(group, into="mark")
        elif word == "footnote" and not group.into and not group.hidden:
            self._flow = _Flow()
        elif word == "ansicpg":
            self._page = _encoding(f"cp{number}")
        elif word == "f":
            self._font = number or 0
            if group.into != "fonttbl":
                self._group = replace(group, encoding=self._fonts.get(self._font, ""))
        elif word == "fcharset" and group.into == "fonttbl":
            self._fonts[self._font] = _CHARSETS.get(number or 0, "") if number else ""
        elif word == "outlinelevel":
            level = (number or 0) + 1 if (number or 0) < 6 else 0
            if group.into == "stylesheet":
                self._styles[self._style] = level
            else:
                flow.level = level
        elif word == "s":
            self._style = number or 0
            if not group.into:
                flow.level = self._styles.get(self._style, 0)
        elif word == "uc":
            self._group = replace(group, after=max(0, number or 0))
        elif word == "b":
            self._group = replace(group, bold=on)
        elif word in ("v", "deleted"):
            self._group = replace(group, veiled=on)
        elif word == "plain":
            self._group = replace(group, bold=False, veiled=False)
        elif word in _SIGNS:
            self._say(_SIGNS[word])
        elif not group.into and not group.hidden:
            self._layout(word)

    def _layout(self, word: str) -> None:
        flow = self._flow
        if word in ("par", "sect", "page", "column"):
            if flow.row:
                flow.words.append(" ")
            else:
                self._paragraph()
        elif word == "pard":
            flow.level, flow.row = 0, False
        elif word == "intbl":
            flow.row = True
        elif word == "cell":
            flow.cells.append(" ".join("".join((flow.mark, *flow.words)).split()))
            flow.words, flow.mark, flow.plain = [], "", False
        elif word == "row":
            if any(flow.cells):
                flow.rows.append(flow.cells)
            flow.cells = []

    def _paragraph(self) -> None:
        flow = self._flow
        text = "\n".join(" ".join(line.split()) for line in "".join(flow.words).split("\n")).strip("\n")
        mark, plain, level = flow.mark.strip(), flow.plain, flow.level
        flow.words, flow.mark, flow.plain = [], "", False
        if text.strip():
            self._rows()
            if level:
                text = f"{'#' * level} {' '.join(text.split())}"
            elif mark:
                text = f"{mark if _NUMBER.fullmatch(mark) else '-'} {text}"
                # Items of a list stand line by line.
                if flow.blocks and _ITEM.match(flow.blocks[-1]):
                    text = f"{flow.blocks.pop()}\n{text}"
            elif not plain and "\n" not in text and "*" not in text:
                text = f"**{text}**"
            flow.blocks.append(text)
        flow.blocks += flow.notes
        flow.notes = []

    def _rows(self) -> None:
        flow = self._flow
        if flow.cells:
            flow.rows.append(flow.cells)
        if flow.rows:
            flow.blocks.append(table(flow.rows).rstrip("\n"))
        flow.rows, flow.cells = [], []


def _encoding(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError:
        return "cp1252"
