"""llama.cpp, native and remote engines: streaming, limits, cancellation, threads, errors."""

from __future__ import annotations

import contextlib
import http.server
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mirim.core.errors import MirimError, UsageError
from mirim.core.types import Message, Sampling
from mirim.models.engine import open_engine

sys.path.insert(0, str(Path(__file__).parent))
import toys

ASK = (Message("user", "Olá, jejum?"),)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return toys.model(tmp_path_factory.mktemp("toy") / "m")


@pytest.fixture(scope="module", params=["llama_cpp", "native"])
def engine(folder, tmp_path_factory, request):
    from mirim.core import plugins
    from mirim.models import convert

    path = tmp_path_factory.mktemp("gguf") / "m.gguf"
    convert.write(convert.read(folder), path, "f32")
    engine = plugins.load("models.engines", request.param).open(str(path), threads=1, parallel=2)
    yield engine
    engine.close()


def _text(deltas):
    return "".join(d.text for d in deltas)


@pytest.mark.slow
def test_streaming_equals_the_whole(engine):
    for prompt in ("The nurse", ASK):
        whole = engine.complete(prompt, Sampling(max_tokens=30))
        deltas = list(engine.generate(prompt, Sampling(max_tokens=30)))
        # The server leaves out a character that the limit cut in two; the whole marks it.
        assert whole.text.rstrip("\ufffd").startswith(_text(deltas).rstrip("\ufffd")[:20])
        assert deltas[-1].finish_reason == whole.finish_reason == "length"
        assert deltas[-1].prompt_tokens == whole.prompt_tokens == engine.count(prompt)
        assert len(whole.token_ids) == 30
        assert engine.complete(prompt, Sampling(max_tokens=30)) == whole


@pytest.mark.slow
def test_sampling_seed_and_broken_bytes(engine):
    hot = {"max_tokens": 60, "temperature": 3.0}
    one = _text(engine.generate("The", Sampling(seed=5, **hot)))
    assert one == _text(engine.generate("The", Sampling(seed=5, **hot)))
    assert one != _text(engine.generate("The", Sampling(seed=6, **hot)))
    for seed in range(20):
        _text(engine.generate("The", Sampling(seed=seed, **hot))).encode("utf-8")


@pytest.mark.slow
def test_schema_and_stop(engine):
    schema = {
        "type": "object",
        "properties": {"answer": {"enum": ["yes", "no"]}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    text = _text(engine.generate(ASK, Sampling(max_tokens=200), schema=schema))
    assert json.loads(text)["answer"] in ("yes", "no")
    assert len(text) < 20
    deltas = list(engine.generate(ASK, Sampling(max_tokens=200, stop=("wer",)), schema=schema))
    assert (_text(deltas), deltas[-1].finish_reason) == ('{"ans', "stop")
    with pytest.raises(UsageError, match="simplify it"):
        list(engine.generate(ASK, Sampling(max_tokens=30), schema={"type": "nonsense"}))
    whole = _text(engine.generate("The nurse", Sampling(max_tokens=20)))
    cut = whole[3:5]
    assert _text(engine.generate("The nurse", Sampling(max_tokens=20, stop=(cut,)))) == whole[: whole.find(cut)]


@pytest.mark.slow
def test_too_long_is_refused_before_any_work(engine):
    with pytest.raises(UsageError, match=r"the prompt has \d{3,} tokens, the context of m holds 256"):
        engine.generate("The nurse " * 300, Sampling())
    with pytest.raises(UsageError, match="the context holds 256"):
        engine.score("The nurse " * 300, ["a"])
    with pytest.raises(UsageError, match="prompt is empty"):
        engine.generate("", Sampling())
    with pytest.raises(UsageError, match="500 tokens was asked for, the model was made for 256"):
        open_engine(engine.path, context=500)


@pytest.mark.slow
def test_cancel_and_many_threads(engine):
    stream = engine.generate("The", Sampling(max_tokens=200))
    next(stream)
    stream.close()
    prompts = [f"The nurse {n}" for n in range(6)]
    alone = [_text(engine.generate(p, Sampling(max_tokens=12))) for p in prompts]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda p: _text(engine.generate(p, Sampling(max_tokens=12))), prompts)) == alone
        scores = list(pool.map(lambda p: engine.score(p, [" yes"])[0], prompts))
    for prompt, score in zip(prompts, scores, strict=True):
        assert score == pytest.approx(engine.score(prompt, [" yes"])[0], abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llama_cpp", "native"])
def test_vectors_of_a_model_that_was_trained_on_its_last_token(kind, tmp_path):
    from mirim.core import plugins
    from mirim.models import convert
    from mirim.models.engines import hf

    folder = toys.model(tmp_path / "m")
    mean = hf.open(str(folder)).embed(["The nurse opened the door"])[0]
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_lasttoken": true}')
    convert.write(convert.read(folder), tmp_path / "m.gguf", "f32")
    texts = ["The nurse opened the door", "O paciente", "a"]
    theirs = hf.open(str(folder)).embed(texts)
    with contextlib.closing(plugins.load("models.engines", kind).open(str(tmp_path / "m.gguf"), threads=1)) as engine:
        ours = engine.embed(texts)
        # A second time the beginning is there already.
        assert engine.embed(texts) == ours
    for a, b in zip(ours, theirs, strict=True):
        assert sum(x * y for x, y in zip(a, b, strict=True)) > 0.999
    assert sum(x * y for x, y in zip(ours[0], mean, strict=True)) < 0.99


@pytest.mark.slow
def test_scores_are_those_of_torch(folder, engine):
    from mirim.models.engines import hf

    theirs = hf.open(str(folder))
    choices = [" yes", " no", "good morning", "", " 2024!"]
    for prompt in ("The nurse opened", ASK):
        ours = engine.score(prompt, choices)
        expected = theirs.score(prompt, choices)
        assert [len(r) for r in ours] == [len(r) for r in expected]
        assert ours[3] == []
        for a, b in zip(ours, expected, strict=True):
            assert a == pytest.approx(b, abs=1e-3)
    text = "The nurse opened the door"
    assert engine.score("", [text])[0] == pytest.approx(theirs.score("", [text])[0], abs=1e-3)
    assert len(engine.score("", [text])[0]) == len(engine.encode(text)) - 1
    assert engine.score_many([ASK, "The"], [[" a"], [" b", " c"]])[1][1] == pytest.approx(
        engine.score("The", [" c"])[0], abs=1e-4
    )
    vectors = engine.embed(["The nurse", "O paciente"])
    for ours_, theirs_ in zip(vectors, theirs.embed(["The nurse", "O paciente"]), strict=True):
        assert sum(a * b for a, b in zip(ours_, theirs_, strict=True)) > 0.999
    assert engine.embed([]) == []


@pytest.mark.slow
def test_perplexity(folder, engine):
    import math

    from mirim.models.engines import hf
    from mirim.models.score import perplexity

    found = perplexity(engine, toys.TEXT[:4])
    assert found.left_out == 4
    theirs = perplexity(hf.open(str(folder)), toys.TEXT[:4])
    assert found.value == pytest.approx(theirs.value, rel=1e-3)
    long = perplexity(engine, [" ".join(toys.TEXT)], window=64)
    assert long.left_out == math.ceil(len(engine.encode(" ".join(toys.TEXT))) / 64)
    with pytest.raises(UsageError, match="no two tokens"):
        perplexity(engine, ["a"])
    with pytest.raises(UsageError, match="local model"):
        perplexity(open_engine("echo"), ["a b"])


@pytest.mark.slow
def test_no_chat_template(tmp_path, monkeypatch):
    monkeypatch.setenv("MIRIM_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "m"
    size = toys.byte_level(folder, template="")
    toys.model(folder, vocabulary=size)
    for name in ("llama_cpp", "hf"):
        engine = open_engine(folder, engine=name)
        with pytest.raises(UsageError, match=r"no chat template.*--raw.*chat_template\.jinja"):
            engine.generate(ASK, Sampling())
        assert engine.generate("The", Sampling(max_tokens=2))
        engine.close()


class _Endpoint(http.server.BaseHTTPRequestHandler):
    mode = "chat"
    seen: list = []  # noqa: RUF012 - shared by the requests of one test

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append((self.path, self.headers.get("Authorization"), body))
        if self.mode == "401":
            return self._send(401, b'{"error": {"message": "bad key"}}')
        if self.mode == "html":
            return self._send(200, b"data: <html>\n\n")
        if self.path.endswith("/embeddings"):
            rows = [{"index": n, "embedding": [float(n), 1.0]} for n in range(len(body["input"]))][::-1]
            return self._send(200, json.dumps({"data": rows}).encode())
        parts = [{"content": "Ol"}, {"content": "á"}]
        if body.get("tools"):
            call = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": '{"a"'}}
            parts = [{"tool_calls": [call]}, {"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]}]
        rows = [{"choices": [{"delta": p, "text": p.get("content"), "finish_reason": None}]} for p in parts]
        if self.mode != "cut":
            reason = "tool_calls" if body.get("tools") else "stop"
            rows.append({"choices": [{"delta": {}, "finish_reason": reason}], "usage": {"prompt_tokens": 7}})
        lines = "".join(f"data: {json.dumps(r)}\n\n" for r in rows) + "data: [DONE]\n\n"
        return self._send(200, lines.encode())

    def _send(self, code, data):
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def endpoint(monkeypatch):
    pytest.importorskip("httpx")
    monkeypatch.setenv("MIRIM_REMOTE_KEY", "secret-key")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    _Endpoint.mode, _Endpoint.seen = "chat", []
    yield f"http://127.0.0.1:{server.server_address[1]}/v1#m"
    server.shutdown()
    server.server_close()


def test_remote(endpoint):
    engine = open_engine(endpoint)
    deltas = list(engine.generate(ASK, Sampling(max_tokens=9, stop=("x",))))
    assert _text(deltas) == "Olá"
    assert (deltas[-1].finish_reason, deltas[-1].prompt_tokens) == ("stop", 7)
    path, key, body = _Endpoint.seen[-1]
    assert (path, key) == ("/v1/chat/completions", "Bearer secret-key")
    assert (body["max_tokens"], body["stop"], body["messages"][0]["content"]) == (9, ["x"], "Olá, jejum?")
    assert _text(engine.generate("raw", Sampling())) == "Olá"
    assert _Endpoint.seen[-1][0] == "/v1/completions"
    calls = list(engine.generate(ASK, Sampling(), tools=[{"type": "function"}]))[-1].tool_calls
    assert calls[0]["function"] == {"name": "f", "arguments": '{"a": 1}'}
    assert engine.embed(["a", "b"]) == [[0.0, 1.0], [1.0, 1.0]]
    with pytest.raises(UsageError, match="no probabilities"):
        engine.score("a", ["b"])
    engine.close()


@pytest.mark.parametrize(
    ("mode", "kind", "message"),
    [
        ("401", UsageError, "refused the key"),
        ("html", MirimError, "JSON"),
        ("cut", MirimError, "without finishing"),
    ],
)
def test_remote_errors_do_not_show_the_key(endpoint, mode, kind, message):
    _Endpoint.mode = mode
    with pytest.raises(kind, match=message) as caught:
        list(open_engine(endpoint).generate(ASK, Sampling()))
    assert "secret-key" not in str(caught.value)


def test_remote_that_is_not_there(monkeypatch):
    pytest.importorskip("httpx")
    with pytest.raises(MirimError, match="cannot be reached"):
        list(open_engine("http://127.0.0.1:9/v1#m").generate(ASK, Sampling()))
    with pytest.raises(UsageError, match="names no model"):
        open_engine("http://127.0.0.1:9/v1#")
    for name in ("MIRIM_REMOTE_URL", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="MIRIM_REMOTE_URL"):
        open_engine("remote:m")
