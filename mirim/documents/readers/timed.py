"""Subtitles and transcripts of recordings (SRT, WebVTT): what was said as paragraphs, with time and speaker."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path

from mirim.documents.draft import Draft, Refused
from mirim.documents.text import clean, decode_clean

SUFFIXES = (".srt", ".vtt")
MEDIA = "text/vtt"
VERSION = 1
ISOLATE = False

_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{2})[.,]\d{1,3}"
_CUE = re.compile(rf"^[ \t]*{_TIME}[ \t]*-->[ \t]*{_TIME}[^\n]*\n?", re.MULTILINE)
_VOICE = re.compile(r"<v(?:\.[\w.]+)?[ \t]+([^>\n]{1,80})>")
_SPEAKER = re.compile(r"(?:>>[ \t]*)?([^\W\d_][\w .'’-]{1,40}):[ \t]+(?=\S)")
_TAG = re.compile(r"</?(?:[bicuv]|font|lang|ruby|rt|c\.[\w.]+|\d\d:[\d:.]+)\b[^>\n]*>|\{\\an?\d\}")
_BLOCK = re.compile(r"(?:NOTE|STYLE|REGION)\b")
_ENDS = re.compile(r"[.!?…][\"”’»)]*\Z")
#: Words of a paragraph, after which the next end of a sentence ends it; seconds of silence that do.
_LONG, _SILENCE = 60, 4


def read(path: Path) -> Draft:
    text, notes = decode_clean(path.read_bytes())
    cues = list(_cues(text))
    if not cues:
        raise Refused("holds no subtitles: no line with times such as 00:00:01,000 --> 00:00:04,000")
    return Draft(clean("\n\n".join(_paragraphs(cues))), notes=tuple(notes))


def _cues(text: str) -> Iterator[tuple[int, int, str, str]]:
    """(start and end in seconds, who speaks, what is said)."""
    for cue, following in pairwise(chain(_CUE.finditer(text), [None])):
        assert cue is not None
        end = following.start() if following else len(text)
        lines = text[cue.end() : end].split("\n")
        if following and lines[-1] == "":
            lines.pop()
            # The line right above times names or counts what comes.
            if lines and (lines[-1].strip().isdigit() or (len(lines) > 1 and not lines[-2].strip())):
                lines.pop()
        blocks = "\n".join(lines).split("\n\n")
        words = " ".join(block for block in blocks if not _BLOCK.match(block))
        voice = _VOICE.search(words)
        words = " ".join(html.unescape(_TAG.sub("", words)).split())
        spoken = None if voice else _SPEAKER.match(words)
        if spoken:
            words = words[spoken.end() :]
        who = voice.group(1).strip() if voice else spoken.group(1).strip() if spoken else ""
        if words:
            yield _seconds(*cue.group(1, 2, 3)), _seconds(*cue.group(4, 5, 6)), who, words


def _paragraphs(cues: list[tuple[int, int, str, str]]) -> Iterator[str]:
    held: list[str] = []
    begun, who, last = 0, "", 0
    for start, end, voice, words in cues:
        said = " ".join(held)
        full = len(said.split()) >= _LONG and (_ENDS.search(said) or len(said.split()) >= 2 * _LONG)
        if held and (full or (voice and voice != who) or start - last > _SILENCE):
            yield _told(begun, who, said)
            held = []
        if not held:
            begun, who = start, voice or (who if start - last <= _SILENCE else "")
        # Captions made while people speak say each line again while the next one comes.
        if not held or words != held[-1]:
            held.append(words)
        last = end
    yield _told(begun, who, " ".join(held))


def _told(begun: int, who: str, said: str) -> str:
    time = f"{begun // 3600}:{begun // 60 % 60:02}:{begun % 60:02}"
    return f"[{time}] **{who}:** {said}" if who else f"[{time}] {said}"


def _seconds(hours: str | None, minutes: str, seconds: str) -> int:
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
