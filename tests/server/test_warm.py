"""What is remembered of system prompts over a restart, and that it is computed again before anybody asks."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from server_fakes import Scripted, house
from waiting import built, until

from mirim.core.errors import UsageError
from mirim.core.types import Message, Sampling
from mirim.models.engines._keep import Restored
from mirim.server.pieces import Order
from mirim.server.warm import KEPT, LEAST, MOST, Warm

RULES = "You are the voice of a clinic. Be brief, be kind, and never guess a dose. " * 5


def order(text: str, name: str = "bare", **more: Any) -> Order:
    served = house().room.models[name]
    return Order(served, (Message("system", text), Message("user", "hello")), Sampling(), **more)


def test_only_what_is_worth_it_is_counted(tmp_path: Path) -> None:
    warm = Warm(tmp_path / "warm.json")
    for one in (
        order("x" * (LEAST - 1)),
        order("x" * (MOST + 1)),
        order(RULES, "clinic"),
        order(RULES, tools=({"type": "function"},)),
        Order(order(RULES).served, RULES, Sampling()),
        Order(order(RULES).served, (Message("user", RULES), Message("user", RULES)), Sampling()),
    ):
        warm.note(one)
    assert warm.counts == {}
    warm.note(order(RULES))
    warm.note(order(RULES))
    assert warm.counts == {"bare": {RULES: 2}}


def test_the_rarest_makes_room_for_the_newest(tmp_path: Path) -> None:
    warm = Warm(tmp_path / "warm.json")
    texts = [f"{n:03}{RULES}" for n in range(KEPT + 5)]
    for text in texts:
        for _ in range(1 if text == texts[3] else 2):
            warm.note(order(text))
            if text == texts[-1]:
                break
    assert len(warm.counts["bare"]) == KEPT
    assert texts[3] not in warm.counts["bare"]
    assert texts[-1] in warm.counts["bare"]


@pytest.mark.parametrize("text", ['{"keys": []}', "[1]", '{"prompts": {"a": 1}}', "no JSON"])
def test_a_file_of_something_else_is_not_written_over(text: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"other\.json"):
        Warm(path)
    assert path.read_text() == text


def test_a_second_life_computes_what_the_first_was_asked(client: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "state" / "warm.json"
    first = house(Scripted(["yes"]), warm=Warm(path))
    with client(first) as http_client:
        # Two places: the two prompts asked most are computed again, the third is not.
        for text, count in ((RULES, 3), (f"2{RULES}", 2), (f"3{RULES}", 1), ("short", 9)):
            messages = [{"role": "system", "content": text}, {"role": "user", "content": "a private matter"}]
            for _ in range(count):
                reply = http_client.post("/v1/chat/completions", json={"model": "bare", "messages": messages})
                assert reply.status_code == 200
    assert path.stat().st_mode & 0o777 == 0o600
    assert "private" not in path.read_text()
    assert [p.name for p in path.parent.iterdir()] == ["warm.json"]

    engine = Scripted(["yes"])
    second = house(engine, warm=Warm(path))
    with client(second):
        assert until(lambda: len(engine.calls) == 2 and second.room.idle)
    assert [[m.content for m in c["prompt"]] for c in engine.calls] == [[RULES, ""], [f"2{RULES}", ""]]
    assert {c["sampling"].max_tokens for c in engine.calls} == {1}


def test_a_prompt_that_no_longer_fits_does_not_stop_the_others(client: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "warm.json"
    long = "word " * 200
    path.write_text(json.dumps({"prompts": {"bare": {long: 9, RULES: 1}, "gone": {RULES: 1}}}))
    engine = Scripted(["yes"])
    with client(house(engine, warm=Warm(path))) as http_client:
        assert until(lambda: len(engine.calls) == 2)
        ask = {"model": "bare", "messages": [{"role": "user", "content": "hello"}]}
        assert http_client.post("/v1/chat/completions", json=ask).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["llama_cpp", "native"])
def test_after_a_kill_the_system_prompt_is_in_the_cache(
    engine: str, server: Callable[..., Any], toy: Path, tmp_path: Path
) -> None:
    if engine == "native":
        built()
    path = tmp_path / "warm.json"
    words = ("--model", str(toy), "--engine", engine, "--threads", "1")

    def asked(one: Any, word: str) -> dict[str, Any]:
        messages = [{"role": "system", "content": RULES}, {"role": "user", "content": word}]
        body = json.dumps({"model": "tiny", "messages": messages, "max_tokens": 2}).encode()
        request = urllib.request.Request(f"{one.url}/v1/chat/completions", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as reply:
            return dict(json.load(reply)["usage"])

    def computed(one: Any) -> bool:
        with urllib.request.urlopen(f"{one.url}/metrics", timeout=20) as reply:
            return "mirim_warmed_total 1" in reply.read().decode()

    first = server(*words, "--warm", str(path))
    assert asked(first, "hello")["prompt_tokens_details"]["cached_tokens"] < 10
    assert until(path.exists, 20)
    first.process.kill()

    second = server(*words, "--warm", str(path))
    assert until(lambda: computed(second), 20)
    used = asked(second, "goodbye")
    assert used["prompt_tokens_details"]["cached_tokens"] > 0.8 * used["prompt_tokens"]

    # Without the file the third life knows nothing.
    third = server(*words)
    assert asked(third, "goodbye")["prompt_tokens_details"]["cached_tokens"] < 10


class Keeper(Scripted):
    """An engine that can keep its prefixes; remembers in which order it was asked what."""

    def __init__(self, trouble: Exception | None = None) -> None:
        super().__init__(["yes"])
        self.trouble, self.done = trouble, []  # type: ignore[var-annotated]

    def restore_prefixes(self, folder: Path, limit: int) -> Restored:
        self.done.append(("restore", folder, limit, len(self.calls)))
        if self.trouble:
            raise self.trouble
        return Restored(1, 64, ("a.kv: it is torn", "b.kv: it is torn"))

    def note_prefix(self, prompt: Any, times: int = 1) -> None:
        self.done.append(("note", prompt[0].content, times))

    def save_prefixes(self) -> int:
        self.done.append(("save",))
        return 0


def test_an_engine_that_keeps_is_told_what_was_asked(
    client: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "warm.json"
    path.write_text(json.dumps({"prompts": {"bare": {RULES: 7}}}))
    engine = Keeper()
    caplog.set_level("INFO", "mirim.server")
    with client(house(engine, warm=Warm(path, 5000))) as http_client:
        # Before anything is computed, and once for the engine, not for its adapter or the assistant.
        assert engine.done[0] == ("restore", tmp_path / "warm.json.kv" / "bare", 5000, 0)
        assert until(lambda: len(engine.calls) == 1)
        for text in (RULES, f"2{RULES}", f"2{RULES}"):
            messages = [{"role": "system", "content": text}, {"role": "user", "content": "hello"}]
            assert http_client.post("/v1/chat/completions", json={"model": "bare", "messages": messages}).is_success
        messages = [{"role": "system", "content": f"3{RULES}"}, {"role": "user", "content": "hello"}]
        assert http_client.post("/v1/chat/completions", json={"model": "tuned", "messages": messages}).is_success
    assert sorted(engine.done[1:]) == [("note", f"2{RULES}", 2), ("note", RULES, 8), ("save",)]
    said = [r.getMessage() for r in caplog.records]
    assert sum("64 tokens" in line for line in said) == 1
    assert [line for line in said if "2 because it is torn" in line]


def test_a_folder_that_fails_does_not_stop_the_server(
    client: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Keeper(OSError("read-only"))
    with client(house(engine, warm=Warm(tmp_path / "warm.json"))) as http_client:
        ask = {"model": "bare", "messages": [{"role": "user", "content": "hello"}]}
        assert http_client.post("/v1/chat/completions", json=ask).status_code == 200
    assert "read-only" in caplog.text
    # None of it when no megabytes are given.
    none = Keeper()
    with client(house(none, warm=Warm(tmp_path / "warm.json", 0))):
        pass
    assert not none.done
