"""OpenVINO beside mirim's own core: the same tokens, limits, and what to type when it is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mirim.core.errors import MissingExtra, UsageError
from mirim.core.types import Sampling

sys.path.insert(0, str(Path(__file__).parent))
import toys

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    from mirim.models import convert

    folder = toys.model(tmp_path_factory.mktemp("toy") / "m")
    convert.write(convert.read(folder), folder / "f16.gguf", "f16")
    return folder / "f16.gguf"


def test_it_writes_what_the_core_writes(file):
    pytest.importorskip("openvino_genai", reason="openvino-genai is not installed")
    from mirim.models.engine import open_engine

    ours, theirs = (open_engine(file, engine=e, threads=1) for e in ("native", "openvino"))
    try:
        for text in ("The nurse opened", "O paciente"):
            one, other = (list(e.generate(text, Sampling(10))) for e in (ours, theirs))
            # It computes in half precision or less: the beginning is the same.
            assert "".join(d.text for d in one)[:4] == "".join(d.text for d in other)[:4]
            assert (other[-1].finish_reason == "length") == (other[-1].completion_tokens == 10)
            assert other[-1].prompt_tokens == ours.count(text)
        stream = theirs.generate("The", Sampling(200, 1.0, seed=1))
        next(stream)
        stream.close()
        assert list(theirs.generate("The", Sampling(1)))[-1].completion_tokens == 1
        with pytest.raises(UsageError, match="to a JSON schema"):
            theirs.generate("The", Sampling(1), schema={"type": "string"})
        with pytest.raises(UsageError, match="min_p"):
            theirs.generate("The", Sampling(1, 1.0, min_p=0.1))
        with pytest.raises(UsageError, match="log-probabilities"):
            theirs.generate("The", Sampling(1, logprobs=1))
        with pytest.raises(UsageError, match="no vectors"):
            theirs.embed(["The"])
        with pytest.raises(UsageError, match="no scores"):
            theirs.score("", ["The nurse"])
    finally:
        ours.close()
        theirs.close()


def test_what_it_does_not_read_is_refused(tmp_path):
    pytest.importorskip("openvino_genai", reason="openvino-genai is not installed")
    from mirim.models import convert
    from mirim.models.engines import openvino

    folder = toys.model(tmp_path / "m", "granite")
    convert.write(convert.read(folder), tmp_path / "m.gguf", "f16")
    with pytest.raises(UsageError, match=r"OpenVINO cannot load .*use --engine native"):
        openvino.open(str(tmp_path / "m.gguf"))


def test_without_the_library_the_pip_line_is_given(file, monkeypatch):
    from mirim.models.engines import openvino

    monkeypatch.setitem(sys.modules, "openvino_genai", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mirim\[openvino\]'"):
        openvino.open(str(file))
