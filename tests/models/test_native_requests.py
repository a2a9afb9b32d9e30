"""The core's requests: together, cancelled, held to a schema, drawn from."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mirim.core.errors import MirimError, UsageError
from mirim.core.types import Message, Sampling

sys.path.insert(0, str(Path(__file__).parent))
from cores import LONG, ids_of, opened

pytestmark = pytest.mark.slow
core = pytest.importorskip("mirim._core", reason="the core was not built: no C++ compiler when mirim was installed")


def test_json_is_held_to_its_schema_beside_free_answers(core_files):
    engine = opened(core_files["q8_0"], parallel=4)
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 12}, "days": {"type": "integer", "maximum": 99}},
        "required": ["name", "days"],
        "additionalProperties": False,
    }
    ask = (Message("user", "Jejum?"),)

    def one(seed):
        held = "".join(d.text for d in engine.generate(ask, Sampling(120, 1.5, seed=seed), schema=schema))
        free = list(engine.generate(LONG, Sampling(20, 1.0, seed=seed)))
        return held, free[-1].finish_reason

    try:
        with ThreadPoolExecutor(4) as pool:
            for held, reason in pool.map(one, range(12)):
                assert set(json.loads(held)) == {"name", "days"}
                assert reason in ("length", "stop")
        short = list(engine.generate(ask, Sampling(3), schema=schema))
        assert short[-1].finish_reason == "length"
        with pytest.raises(UsageError, match="simplify it"):
            engine.generate(ask, Sampling(3), schema={"$ref": "#/nowhere"})
    finally:
        engine.close()


def test_log_probabilities_and_ends(core_files):
    engine = opened(core_files["f32"])
    try:
        deltas = list(engine.generate("The nurse", Sampling(12, logprobs=3)))
        tokens = [t for d in deltas for t in d.token_ids]
        given = [p for d in deltas for p in d.logprobs]
        assert [p.id for p in given] == tokens
        ids = engine.encode("The nurse")
        scores = engine.score_tokens([*ids, *tokens], len(ids))
        assert [p.logprob for p in given] == pytest.approx(scores, abs=1e-5)
        for p in given:
            assert len(p.top) == 3
            assert p.top[0].id == p.id  # greedy
            assert p.top[0].logprob >= p.top[1].logprob >= p.top[2].logprob
        assert deltas[-1].completion_tokens == 12
        assert list(engine.generate("The", Sampling(0)))[-1].finish_reason == "length"
        assert engine.last["steps"] <= 12
        full = "nurse " * 1000
        while engine.count(full) >= engine.context:
            full = full[:-6]
        last = list(engine.generate(full, Sampling(5000)))[-1]
        assert last.finish_reason in ("length", "stop")
        assert last.prompt_tokens + last.completion_tokens <= engine.context
    finally:
        engine.close()


def test_closing_and_cancelling_in_the_middle(core_files):
    engine = opened(core_files["q8_0"], parallel=2, context=1024)
    streams = [engine.generate(LONG, Sampling(400, 1.0, seed=n)) for n in range(5)]
    for stream in streams:
        next(stream)
        stream.close()
    assert ids_of(engine, "The nurse", Sampling(8))
    # Each token of a held answer waits for its reader, so this one cannot be over yet.
    left = engine.generate("The", Sampling(400, 1.0), schema={"type": "string", "minLength": 300})
    next(left)
    engine.close()
    with pytest.raises(MirimError, match="closed"):
        list(left)
    with pytest.raises(MirimError, match="closed"):
        engine.logits([1, 2])


def test_those_who_come_together_compute_their_beginning_once(core_files):
    plain, engine = opened(core_files["q8_0"], draft=0), opened(core_files["q8_0"], parallel=8, draft=0, threads=2)
    prompt = engine.encode(LONG)
    ends = [engine.encode(text) for text in ("one", "two and more", "three", "four", "five", "six", "seven", "eight")]
    asked = [engine._open.write([*prompt, *end], 8, temperature=0.0) for end in ends]
    for one, end in zip(asked, ends, strict=True):
        said, reason = [], ""
        while not reason:
            tokens, reason, _ = one.next(seconds=60.0)
            said += [t[0] if isinstance(t, tuple) else t for t in tokens]
        alone, expected, over = plain._open.write([*prompt, *end], 8, temperature=0.0), [], ""
        while not over:
            tokens, over, _ = alone.next(seconds=60.0)
            expected += [t[0] if isinstance(t, tuple) else t for t in tokens]
        assert said == expected
    own = sum(len(end) + 8 for end in ends)
    assert engine.counts()["tokens"] <= len(prompt) + own
    assert sorted(one.cached for one in asked)[1:] >= [len(prompt)] * 7
    plain.close()
    engine.close()


def test_drafts_of_many_answers_leave_room_for_a_prompt(core_files):
    """Fifteen answers that propose as much as they may; a prompt beside them gets its share of every step."""
    engine = opened(core_files["q8_0"], parallel=16, draft=16)
    prompt = engine.encode(LONG)
    answers = [engine._open.write(engine.encode(LONG[n:]), 600, temperature=0.0, draft=16) for n in range(15)]
    for one in answers:
        one.next(seconds=60.0)
    before = engine.counts()["steps"]
    late = engine._open.write([5, *prompt], 2, temperature=0.0)
    assert late.next(seconds=60.0)[0]
    steps = engine.counts()["steps"] - before
    assert steps < len(prompt) / 8
    assert all(not one.next(seconds=0.0)[1] for one in answers[:2]), "the answers were over before the prompt was read"
    engine.close()


def test_more_answers_than_a_step_holds_take_turns(core_files):
    plain, crowded = (
        opened(core_files["q8_0"], draft=0),
        opened(core_files["q8_0"], parallel=200, context=128, threads=2),
    )
    asks = [LONG[n % 40 : n % 40 + 30] for n in range(200)]
    with ThreadPoolExecutor(200) as pool:
        got = list(pool.map(lambda text: ids_of(crowded, text, Sampling(24)), asks))
    expected = {text: ids_of(plain, text, Sampling(24)) for text in set(asks)}
    assert got == [expected[text] for text in asks]
    plain.close()
    crowded.close()


def test_what_is_too_unlikely_is_left_out_with_and_without_the_rest_in_order(core_files):
    engine = opened(core_files["q8_0"], draft=0)
    for seed in range(6):
        drawn = [ids_of(engine, "The nurse", Sampling(40, 1.2, top_p, 0, 0.2, seed=seed)) for top_p in (1.0, 0.9999999)]
        assert drawn[0] == drawn[1]
    engine.close()


def test_who_waits_for_a_slot_gets_it_when_another_leaves(core_files):
    """One place for all: the next request comes before the core has noticed that the former one left."""
    engine = opened(core_files["q8_0"], parallel=1)
    prompt = engine.encode(LONG)

    def ask():
        return engine._open.write(prompt, 40, temperature=0.0)

    for _ in range(50):
        first = ask()
        first.next(seconds=5.0)
        second = ask()
        first.cancel()
        until, reason = time.monotonic() + 20, ""
        while not reason:
            assert time.monotonic() < until, "the second request was forgotten"
            _, reason, _ = second.next(seconds=0.2)
        assert reason == "length"
    engine.close()


def test_a_mask_that_forbids_everything_is_told(core_files):
    from mirim.models.engines import native

    with contextlib.closing(native.open(str(core_files["f32"]), threads=1)) as engine:
        for temperature in (0.0, 1.0, 1e30):
            request = engine._core.write([5, 6, 7], 4, temperature=temperature, masked=True)
            while not request.next(0.2)[2]:
                pass
            request.allow(bytes_of(0))
            while not (reason := request.next(0.2)[1]):
                pass
            assert reason == "!no token is allowed to come next"
            # At any temperature what is forbidden does not come.
            request = engine._core.write([5, 6, 7], 1, temperature=temperature, masked=True)
            while not request.next(0.2)[2]:
                pass
            request.allow(bytes_of(1 << 9))
            tokens, reason = [], ""
            while not reason:
                found, reason, _ = request.next(0.2)
                tokens += found
            assert (tokens[0][0], reason) == (9, "length")


def bytes_of(bits):
    import numpy as np

    return np.frombuffer(bits.to_bytes(64, "little"), np.uint8)


@pytest.mark.parametrize("penalty", [5e-324, 1e-300, 1e300])
def test_a_penalty_beyond_the_cores_numbers_is_one_within_them(core_files, penalty):
    from mirim.models.engines import native

    with contextlib.closing(native.open(str(core_files["f32"]), threads=1)) as engine:
        how = Sampling(max_tokens=8, repeat_penalty=penalty)
        deltas = list(engine.generate("The nurse opened the door", how))
    assert deltas[-1].finish_reason in ("length", "stop")


def test_a_temperature_beyond_the_cores_numbers_keeps_to_a_schema(core_files):
    from mirim.models.engines import native

    schema = {"enum": ["yes", "no"]}
    with contextlib.closing(native.open(str(core_files["f32"]), threads=1)) as engine:
        how = Sampling(max_tokens=30, temperature=1e300)
        text = "".join(d.text for d in engine.generate("The nurse", how, schema=schema))
    assert json.loads(text) in ("yes", "no")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_is_told_and_ends(core_files):
    """None of the threads are there: whatever waits for one waits for ever, at the end of the process too."""
    script = """
import os, sys, time
from mirim.core.errors import MirimError
from mirim.core.types import Sampling
from mirim.models.engines import native
engine = native.open(sys.argv[1], threads=2)
list(engine.generate("The nurse", Sampling(max_tokens=2)))
time.sleep(0.2)  # its thread waits for work
child = os.fork()
if not child:
    for work in (lambda: next(engine.generate("a", Sampling())), lambda: engine.score_tokens([1, 2]), engine.counts):
        try:
            work()
        except MirimError as error:
            assert "open it after the fork" in str(error), error
        else:
            os._exit(9)
    if sys.argv[2] == "close":
        engine.close()
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
list(engine.generate("The nurse", Sampling(max_tokens=2)))
engine.close()
"""
    for way in ("close", "leave"):
        done = subprocess.run(
            [sys.executable, "-c", script, str(core_files["q8_0"]), way], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
