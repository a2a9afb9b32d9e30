"""From bytes to clean text: which encoding, what was damaged, what was repaired, all of it said."""

from __future__ import annotations

import codecs
import re
import unicodedata

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

_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f]")
_BROKEN = re.compile("[\ud800-\udfff]")
_LINES = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_INVISIBLE = re.compile("[\u00ad\ufeff\u200b]")


def decode(data: bytes, declared: str = "") -> tuple[str, list[str]]:
    """Text of a file's bytes and notes on what a person should know of it.

    Tried in order: a byte order mark, UTF-16 by its zeros, UTF-8, the encoding the file declares,
    UTF-8 with a few damaged bytes, then a guess (charset-normalizer for long texts, Windows-1252 otherwise).
    Raises Refused for bytes that are no text in any of them.
    """
    notes: list[str] = []
    for mark, name in _BOMS:
        if data.startswith(mark):
            text = data.decode(name, "replace")
            return _repaired(text, notes)
    if name := _utf16(data):
        return _repaired(data.decode(name, "replace"), [f"read as {name}: no byte order mark"])
    _refuse_binary(data)
    try:
        return _repaired(data.decode("utf-8"), notes)
    except UnicodeDecodeError:
        pass
    if declared and declared.lower().replace("_", "-") not in ("utf-8", "utf8", "ascii", "us-ascii"):
        try:
            return _repaired(data.decode(declared), notes)
        except (UnicodeDecodeError, LookupError):
            notes.append(f"declares the encoding {declared}, which its bytes are not in")
    high = sum(map(data.count, _HIGH))
    loose = data.decode("utf-8", "surrogateescape")
    damaged = len(_BROKEN.findall(loose))
    if damaged * 4 <= high and damaged:
        # Mostly UTF-8: the stray bytes come from another file pasted in, most often Windows-1252.
        text = _BROKEN.sub(lambda m: bytes([ord(m.group()) - 0xDC00]).decode("cp1252", "replace"), loose)
        return _repaired(text, [*notes, f"{damaged} bytes were not valid UTF-8 and were read as Windows-1252"])
    name = _guess(data)
    text = data.decode(name, "replace")
    return _repaired(text, [*notes, f"not UTF-8: read as {name}"])


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


def _repaired(text: str, notes: list[str]) -> tuple[str, list[str]]:
    fixed, count = unscramble(text)
    if count:
        notes = [*notes, f"{count} scrambled sequences such as 'Ã©' for 'é' were put right"]
    lost = fixed.count("\ufffd")
    if lost:
        notes = [*notes, f"{lost} characters are lost (shown as \ufffd): the file was damaged before"]
    return fixed, notes


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
        count += 1
        return back

    return _MOJIBAKE.sub(fix, text), count


def clean(text: str) -> str:
    r"""Text as documents hold it: NFC, '\n' newlines only, no control or invisible characters, no stray blanks.

    Trailing blanks go, runs of blank lines become one, and the text neither starts nor ends with one.
    """
    if _LINES.search(text):
        text = _LINES.sub("\n", text)
    if _CONTROL.search(text):
        text = _CONTROL.sub("", text)
    if not text.isascii():
        text = unicodedata.normalize("NFC", _INVISIBLE.sub("", _BROKEN.sub("\ufffd", text)))
        text = text.replace("\u00a0", " ").replace("\u202f", " ")
    if " \n" in text or "\t\n" in text:
        text = "\n".join(map(str.rstrip, text.split("\n")))
    text = re.sub(r"\n{3,}", "\n\n", text).strip("\n").rstrip()
    return text + "\n" if text else ""
