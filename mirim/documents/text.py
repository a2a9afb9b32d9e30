"""From bytes to clean text: which encoding, what was damaged, what was repaired, all of it said.

A large text is decoded and changed block by block, for each copy of it counts.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterable, Iterator

from mirim.documents.blocks import SIZE, blocks, joined
from mirim.documents.draft import Refused

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

#: UTF-8 read as Windows-1252 leaves 'Ã©' for 'é' and 'â€™' for an apostrophe: a lead byte's character
#: followed by the characters of 1 to 3 continuation bytes.
_CONTINUED = "[\u0080-\u00bf" + bytes(range(0x80, 0xA0)).decode("cp1252", "ignore") + "]"
_MOJIBAKE = re.compile(f"(?:[ÂÃÄÅÎÏÐÑ]{_CONTINUED}|[âã]{_CONTINUED}{{2}}|ð{_CONTINUED}{{3}})+")

_SHOUTED = re.compile(r"[A-ZÀ-ÖØ-Þ]{2}\Z")

_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f]")
_BROKEN = re.compile("[\ud800-\udfff]")
_LINES = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_INVISIBLE = re.compile("[\u00ad\ufeff\u200b]")
_SPECIAL = re.compile("[\ud800-\udfff\u00ad\ufeff\u200b\u00a0\u202f]")
_LOOSE = re.compile(r"[^\S\n]\n")


def decode(data: bytes, declared: str = "") -> tuple[str, list[str]]:
    """Text of a file's bytes and notes on what a person should know of it.

    Tried in order: a byte order mark, UTF-16 by its zeros, UTF-8, the encoding the file declares,
    UTF-8 with a few damaged bytes, then a guess (charset-normalizer for long texts, Windows-1252 otherwise).
    Raises Refused for bytes that are no text in any of them.
    """
    pieces, notes = _pieces(data, declared)
    repaired = _Repaired(pieces)
    return joined(repaired), notes + repaired.notes()


def decode_clean(data: bytes) -> tuple[str, list[str]]:
    """`decode`, then `clean`, without the text between."""
    pieces, notes = _pieces(data, "")
    repaired = _Repaired(pieces)
    return _cleaned(repaired), notes + repaired.notes()


def _pieces(data: bytes, declared: str) -> tuple[Iterable[str], list[str]]:
    for mark, name in _BOMS:
        if data.startswith(mark):
            return _decoded(data, name, "replace"), []
    if name := _utf16(data):
        return _decoded(data, name, "replace"), [f"read as {name}: no byte order mark"]
    _refuse_binary(data)
    damaged = len(data) - sum(len(piece.encode()) for piece in _decoded(data, "utf-8", "ignore"))
    if not damaged:
        return _decoded(data, "utf-8", "strict"), []
    notes: list[str] = []
    if declared and declared.lower().replace("_", "-") not in ("utf-8", "utf8", "ascii", "us-ascii"):
        try:
            return [data.decode(declared)], []
        except (UnicodeError, LookupError):
            notes.append(f"declares the encoding {declared}, which its bytes are not in")
    if damaged * 4 <= sum(map(data.count, _HIGH)):
        # Mostly UTF-8: the stray bytes come from another file pasted in, most often Windows-1252.
        notes.append(f"{damaged} bytes were not valid UTF-8 and were read as Windows-1252")
        return map(_strays, _decoded(data, "utf-8", "surrogateescape")), notes
    name = _guess(data)
    return _decoded(data, name, "replace"), [*notes, f"not UTF-8: read as {name}"]


def _decoded(data: bytes, name: str, errors: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(name)(errors)
    for start in range(0, len(data), SIZE):
        yield decoder.decode(data[start : start + SIZE])
    yield decoder.decode(b"", final=True)


def _strays(piece: str) -> str:
    return _BROKEN.sub(lambda m: bytes([ord(m.group()) - 0xDC00]).decode("cp1252", "replace"), piece)


_HIGH = tuple(bytes([b]) for b in range(0x80, 0x100))


def _utf16(data: bytes) -> str:
    """Latin text in UTF-16 has a zero in every second byte."""
    head = data[:4000]
    if len(head) < 8 or b"\0" not in head:
        return ""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = len(head) // 2
    if odd > 0.6 * half and even < 0.05 * half:
        return "utf-16-le"
    return "utf-16-be" if even > 0.6 * half and odd < 0.05 * half else ""


_TEXT_BYTES = bytes({7, 8, 9, 10, 12, 13, 27} | set(range(0x20, 0x100)) - {0x7F})


def _refuse_binary(data: bytes) -> None:
    head = data[:65536]
    strange = len(head.translate(None, _TEXT_BYTES))
    if strange > 0.02 * len(head) + 2:
        raise Refused(f"holds binary data, not text ({strange} control bytes in the first {len(head)})")


#: Encodings that texts are found in; look-alikes that nobody writes any more are not tried.
_PAGES = [
    *("cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "koi8_r", "gb18030", "big5"),
    *("shift_jis", "euc_jp", "euc_kr", "iso8859_2", "iso8859_5", "iso8859_7", "iso8859_9", "tis_620"),
]


def _guess(data: bytes) -> str:
    """Windows-1252 unless a statistical guess is sure of something else."""
    sample = data[:20000]
    if len(sample) > 400:
        from charset_normalizer import from_bytes

        best = from_bytes(sample, steps=3, chunk_size=512, cp_isolation=_PAGES).best()
        # It takes Western text for one of many look-alikes; another script is what it tells apart.
        if best is not None and best.encoding and not _western(best.encoding):
            letters = [c for c in str(best) if c.isalpha()]
            foreign = sum(1 for c in letters if ord(c) > 0x24F)
            if foreign > 0.3 * max(1, len(letters)):
                return str(best.encoding)
    return "cp1252" if not _undefined(data) else "latin-1"


def _western(name: str) -> bool:
    return name.replace("_", "-") in ("cp1252", "latin-1", "iso8859-1", "iso8859-15", "cp1250", "cp850", "cp437")


def _undefined(data: bytes) -> bool:
    return any(b in data for b in (b"\x81", b"\x8d", b"\x8f", b"\x90", b"\x9d"))


class _Repaired:
    """Decoded pieces as blocks of lines, repaired; what was done is known when they are through."""

    def __init__(self, pieces: Iterable[str]) -> None:
        self._pieces = pieces
        self._fixed = self._lost = 0

    def __iter__(self) -> Iterator[str]:
        held: list[str] = []
        for piece in self._pieces:
            end = piece.rfind("\n") + 1
            if end:
                yield self._repair("".join([*held, piece[:end]]))
                held.clear()
            held.append(piece[end:])
        yield self._repair("".join(held))

    def _repair(self, block: str) -> str:
        block, count = unscramble(block)
        self._fixed += count
        self._lost += block.count("\ufffd")
        return block

    def notes(self) -> list[str]:
        notes = []
        if self._fixed:
            notes.append(f"{self._fixed} scrambled sequences such as 'Ã©' for 'é' were put right")
        if self._lost:
            notes.append(f"{self._lost} characters are lost (shown as \ufffd): the file was damaged before")
        return notes


def unscramble(text: str) -> tuple[str, int]:
    """Put right UTF-8 that was once read as Windows-1252; return the text and how many places."""
    if text.isascii():
        return text, 0
    count = 0

    def fix(match: re.Match[str]) -> str:
        nonlocal count
        run = match.group()
        raw = bytearray()
        for char in run:
            try:
                raw += char.encode("cp1252")
            except UnicodeEncodeError:
                if ord(char) > 0xFF:
                    return run
                raw.append(ord(char))
        try:
            back = raw.decode("utf-8")
        except UnicodeDecodeError:
            return run
        # A lone capital and symbol, as in 'Ó°', may be meant; letters that come out decide.
        if len(run) == 2 and not (back.isalpha() or back in "\u00a0ºª°©®«»–"):
            return run
        # In a word of capitals Ã is the letter itself, before a blank or a quotation mark: "«MAÇÃ»".
        if len(run) == 2 and back.islower() and _SHOUTED.search(text, max(0, match.start() - 2), match.start()):
            return run
        count += 1
        return back

    return _MOJIBAKE.sub(fix, text), count


def clean(text: str) -> str:
    r"""Text as documents hold it: NFC, '\n' newlines only, no control or invisible characters, no stray blanks.

    Trailing blanks go, runs of blank lines become one, and the text neither starts nor ends with one.
    """
    return text if _is_clean(text) else _cleaned(blocks(text))


def _is_clean(text: str) -> bool:
    return not (
        _LINES.search(text)
        or _CONTROL.search(text)
        or " \n" in text
        or "\t\n" in text
        or "\n\n\n" in text
        or text.startswith("\n")
        or (text and (text[-1] != "\n" or text[-2:-1].isspace()))
        or (not text.isascii() and not all(map(_is_composed, blocks(text))))
    )


def _is_composed(block: str) -> bool:
    return block.isascii() or not (_SPECIAL.search(block) or not unicodedata.is_normalized("NFC", block))


def _cleaned(parts: Iterable[str]) -> str:
    """Blocks of lines as one clean text."""
    cleaner = _Cleaner()
    text = joined(cleaner.through(parts))
    if cleaner.stripped and cleaner.loose:
        text = joined(_Cleaner(stripped=True).through(blocks(text)))
    return text


class _Cleaner:
    """`clean`, block by block.

    stripped   whether lines lose the white space at their ends: where some end with a blank, all kinds of it go
    loose      whether a line ended with white space before that was known
    """

    def __init__(self, stripped: bool = False) -> None:
        self.stripped, self.loose = stripped, False

    def through(self, parts: Iterable[str]) -> Iterator[str]:
        held, begun = "", False
        for part in parts:
            block = re.sub(r"\n{3,}", "\n\n", held + self._lines(_plain(part)))
            if not begun:
                block = block.lstrip("\n")
            # White space at the end waits for what follows.
            kept = block.rstrip()
            held = block[len(kept) :]
            begun = begun or bool(kept)
            yield kept
        if begun:
            yield "\n"

    def _lines(self, block: str) -> str:
        self.stripped = self.stripped or " \n" in block or "\t\n" in block
        if self.stripped:
            return "\n".join(map(str.rstrip, block.split("\n")))
        self.loose = self.loose or _LOOSE.search(block) is not None
        return block


def _plain(block: str) -> str:
    if _LINES.search(block):
        block = _LINES.sub("\n", block)
    if _CONTROL.search(block):
        block = _CONTROL.sub("", block)
    if not block.isascii():
        block = unicodedata.normalize("NFC", _INVISIBLE.sub("", _BROKEN.sub("\ufffd", block)))
        block = block.replace("\u00a0", " ").replace("\u202f", " ")
    return block
