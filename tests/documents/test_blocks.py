"""Large texts go in blocks: the same to the letter as in one piece, and in little memory."""

from __future__ import annotations

import re
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirim.core.project import Project
from mirim.documents import blocks, text
from mirim.documents.sentences import sentences, within
from mirim.documents.text import clean, decode, decode_clean

LINES = st.lists(
    st.sampled_from(
        ["Words. More of them.", "stray blank ", "tab\t", "wide\u2003", "hard\u00a0", "a\u2028b", "e\u0301", "\u0301x",
         "", "", " ", "Ã¡gua e pÃ£o", "\x01", "\ufffd", "- item", "| a | b |", "```", "It’s J. Silva, no. 5."]
    )
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    max_size=30,
)  # fmt: skip
TEXTS = st.tuples(LINES, st.sampled_from(["\n", "\r\n", "\n\n\n", "\r"])).map(lambda pair: pair[1].join(pair[0]))


def whole(text: str) -> str:
    """What clean does, said plainly."""
    text = re.sub("\r\n?|[\x0b\x0c\x85\u2028\u2029]", "\n", text)
    text = re.sub("[\x00-\x08\x0e-\x1f\x7f\u00ad\ufeff\u200b]", "", text)
    text = unicodedata.normalize("NFC", text).replace("\u00a0", " ").replace("\u202f", " ")
    if re.search("[ \t]\n", text):
        text = "\n".join(line.rstrip() for line in text.split("\n"))
    text = re.sub("\n{3,}", "\n\n", text).strip("\n").rstrip()
    return text + "\n" if text else ""


@pytest.mark.parametrize("size", [1, 16, 1 << 20])
@given(made=TEXTS)
def test_blocks_change_nothing(size: int, made: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "SIZE", size)
        patch.setattr(text, "SIZE", size)
        assert "".join(blocks.blocks(made)) == made
        assert clean(made) == whole(made)
        for data in (made.encode(), made.encode("cp1252", "replace"), made.encode() + b" caf\xe9\n" + made.encode()):
            try:
                plain, notes = decode(data)
            except text.Refused:
                continue
            assert decode_clean(data) == (whole(plain), notes)


@given(TEXTS, st.integers(0, 200), st.integers(0, 200))
def test_sentences_within_a_text_are_those_of_the_part(made: str, start: int, length: int) -> None:
    # Parts begin where a line does, as blocks of a document do.
    start = made.rfind("\n", 0, start) + 1
    end = min(len(made), start + length)
    assert list(within(made, start, end)) == [(a + start, b + start) for a, b in sentences(made[start:end])]


_RUN = """
import resource, sys
from mirim.core.project import Project
from mirim.documents.ingest import ingest
ingest(Project.open(sys.argv[1]))
print(1024 * sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in other units elsewhere")
@pytest.mark.parametrize("line", ["A line of words goes on.\n", "A paragraph, à toa.  \r\n\r\n", "a;1,50;x y z\n"])
def test_a_large_text_takes_little_memory(project: Project, line: str) -> None:
    def peaks(size: int) -> int:
        path = project.sources / ("a.csv" if ";" in line else "a.txt")
        path.write_bytes((line * (size // len(line))).encode())
        done = subprocess.run([sys.executable, "-c", _RUN, str(project.root)], capture_output=True, check=True)
        return int(done.stdout)

    assert peaks(32_000_000) - peaks(2_000_100) < 4 * 30_000_000
