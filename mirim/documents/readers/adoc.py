"""AsciiDoc: headings, lists, tables and code as Markdown. What a document includes from other files is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mirim.documents.draft import Draft
from mirim.documents.markdown import table
from mirim.documents.text import decode_clean

SUFFIXES = (".adoc", ".asciidoc")
MEDIA = "text/asciidoc"
VERSION = 1
ISOLATE = False

_HEADING = re.compile(r"(?P<mark>={1,6})[ \t]+(?P<words>\S.*)")
_NAME = re.compile(r":(?P<name>[\w-]+):(?:[ \t]+(?P<value>.*))?")
#: Lines around code, around what is told to writers alone, and around other blocks.
_CODE = re.compile(r"(?:-{4,}|\.{4,}|`{3,}|\+{4,})\w*")
_COMMENT = re.compile(r"/{4,}")
_FRAME = re.compile(
    r"={4,}|\*{4,}|_{4,}|--|\+|<<<|'{3,}|//(?!/).*|\[\[[^\]\n]*\]\]|\[[^\]\n]*\]|(?:ifn?def|ifeval|endif|toc)::.*"
)
_BARS = re.compile(r"[|,:!]={3,}")
_ELSEWHERE = re.compile(r"include::(?P<place>[^\[\n]*)\[.*\]")
_PICTURE = re.compile(r"(?:image|video|audio)::[^\[\n]*\[(?P<words>[^,\]\n]*).*")
_TITLE = re.compile(r"\.(?P<words>[^\s.].*)")
_ITEM = re.compile(r"[ \t]*(?P<mark>\*{1,5}|-|\.{1,5})[ \t]+(?P<words>\S.*)")
_TERM = re.compile(r"(?P<words>\S[^\n]{0,200}?):{2,4}(?:[ \t]+(?P<said>.*))?")
_COLUMNS = re.compile(r"\bcols=\"?([^\"\]]+)")
_CELL = re.compile(r"(?:^|(?<=\s))(?:(\d{1,2})?(?:\.\d+)?[+*])?[<^>.]{0,2}[aehlmdsv]?(?<!\\)\|", re.MULTILINE)
#: Links, notes and names of places within a line, and what stands for them.
_INLINE = (
    (re.compile(r"(?:link:)?((?:https?|mailto):[^\s\[\]<>]+)\[([^\]\n^]+)\^?\]"), r"[\2](\1)"),
    (re.compile(r"(?:link|xref):([^\s\[\]]+)\[([^\]\n^]+)\^?\]|<<[^,>\n]+,[ \t]*([^>\n]+)>>"), r"\2\3"),
    (re.compile(r"footnote:[\w-]*\[([^\]\n]*)\]"), r" (\1)"),
    (re.compile(r"(?:kbd|btn|pass|stem):[^\s\[\]]*\[([^\]\n]*)\]"), r"\1"),
    (re.compile(r"\[\[[\w-]+\]\]|image:[^\s:\[\]][^\s\[\]]*\[[^\]\n]*\]|[ \t]\+$"), ""),
)
_NAMED = re.compile(r"\{([\w-]+)\}")


def read(path: Path) -> Draft:
    text, notes = decode_clean(path.read_bytes())
    names: dict[str, str] = {}
    content = "\n".join(_lines(iter(text.split("\n")), names, notes))
    facts = {key: names[key] for key in ("author", "lang", "description") if names.get(key)}
    return Draft(content, metadata=facts, notes=tuple(dict.fromkeys(notes)))


def _lines(lines: Iterator[str], names: dict[str, str], notes: list[str]) -> Iterator[str]:
    """The lines as Markdown; `names` are what the document calls names, which stand for words in it."""
    columns = 0
    for line in map(str.rstrip, lines):
        if _CODE.fullmatch(line):
            yield from ("```", *_until(lines, line.rstrip("abcdefghijklmnopqrstuvwxyz"), notes), "```")
        elif _COMMENT.fullmatch(line):
            list(_until(lines, line, notes))
        elif _BARS.fullmatch(line):
            yield from ("", _table([_inline(row, names) for row in _until(lines, line, notes)], columns), "")
            columns = 0
        elif found := _HEADING.fullmatch(line):
            yield f"{'#' * len(found['mark'])} {_inline(found['words'], names)}"
        elif found := _NAME.fullmatch(line):
            names[found["name"].lower()] = (found["value"] or "").strip()
        elif found := _ELSEWHERE.fullmatch(line):
            notes.append(
                f"includes {found['place']}, which was not put in; it is read by itself where it lies in sources/"
            )
        elif found := _PICTURE.fullmatch(line):
            yield found["words"].strip('"')
        elif _FRAME.fullmatch(line):
            if told := _COLUMNS.search(line):
                columns = sum(_times(one) for one in told[1].split(","))
            # What framed a block parts it from the next.
            yield ""
        elif (found := _TITLE.fullmatch(line)) and not _ITEM.fullmatch(line):
            yield f"**{_inline(found['words'], names)}**\n"
        elif found := _ITEM.fullmatch(line):
            mark = found["mark"]
            yield f"{'    ' * (len(mark) - 1)}{'1.' if mark[0] == '.' else '-'} {_inline(found['words'], names)}"
        elif found := _TERM.fullmatch(line):
            yield f"\n**{_inline(found['words'], names)}:** {_inline(found['said'] or '', names)}".rstrip()
        else:
            yield _inline(line, names)


def _until(lines: Iterator[str], mark: str, notes: list[str]) -> Iterator[str]:
    for line in lines:
        if line.rstrip() == mark:
            return
        yield line
    notes.append(f"a block that begins with {mark} is not closed; what follows it stands in it")


def _table(lines: list[str], columns: int) -> str:
    """Rows of as many cells as were told or the first line has; where that is one, blank lines part rows."""
    first = next((line for line in lines if line.strip()), "")
    width = columns or len(_cells(first))
    if width < 2:
        return table([_cells(group) for group in re.split(r"\n{2,}", "\n".join(lines).strip("\n"))])
    cells = _cells("\n".join(lines))
    return table([cells[i : i + width] for i in range(0, len(cells), width)])


def _cells(text: str) -> list[str]:
    """What stands in cells; one over several columns is there in each."""
    _, *found = _CELL.split(text)
    pairs = zip(found[::2], found[1::2], strict=True)
    return [cell.strip() for times, cell in pairs for _ in range(int(times or 1))]


def _times(column: str) -> int:
    found = re.match(r"\s*(\d{1,2})\*", column)
    return int(found[1]) if found else 1


def _inline(line: str, names: dict[str, str]) -> str:
    line = _NAMED.sub(lambda match: names.get(match[1].lower(), match[0]), line)
    for pattern, words in _INLINE:
        line = pattern.sub(words, line)
    return line
