"""The loop: what is packed, accumulated, interrupted or repeated gives the numbers that it should."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mirim.core.errors import MirimError

pytestmark = pytest.mark.slow
Make = Callable[..., Any]


def _weights(model: Any) -> dict[str, Any]:
    return {n: p.detach().clone() for n, p in model.named_parameters()}


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(bool((one[n] == other[n]).all()) for n in one)


def _fit(model: Any, rows: list[Any], folder: Path, steps: int = 12, **changes: Any) -> Any:
    from mirim.training.device import detect
    from mirim.training.loop import Settings, fit
    from mirim.training.packing import Batches

    deadline = changes.pop("deadline", float("inf"))
    settings = Settings(steps, 3e-3, **{"every": 0.0, "seed": 5, **changes})
    return fit(model, Batches(rows, 64, 2, 5, 0), settings, detect(), folder=folder, run="r", deadline=deadline)


@pytest.mark.parametrize("kind", ["llama", "granite", "qwen2", "gemma2", "gpt2"])
def test_packed_rows_give_the_losses_and_gradients_of_rows_alone(kind: str, rows: Make) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from mirim.training.loss import Loss, packs
    from mirim.training.packing import Batches, collate

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    extra = {
        "granite": {"logits_scaling": 3.0, "embedding_multiplier": 2.0, "residual_multiplier": 0.5},
        "gemma2": {"head_dim": 8, "num_key_value_heads": 2, "final_logit_softcapping": 5.0, "sliding_window": 16},
        "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
    }.get(kind, {"num_key_value_heads": 2})
    torch.manual_seed(1)
    config = AutoConfig.for_model(kind, vocab_size=480, **({} if kind == "gpt2" else sizes), **extra)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    assert packs(model)
    data = rows()
    loss = Loss(model)
    # A capped head has to go through the model's own forward pass, a scaled one need not.
    assert loss.sliced is (kind != "gemma2")
    batch = next(iter(Batches(data, 64, 100, 0, 0)))
    assert len(batch.ids) < len(data) / 2
    scale = 1 / batch.tokens
    together = loss.backward(batch, scale)
    packed = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    alone = 0.0
    for i in range(len(data)):
        one = collate(data, [[i]], 64, 0)
        if one.tokens:
            logits = model(input_ids=one.ids, use_cache=False).logits
            value = torch.nn.functional.cross_entropy(logits[0].float(), one.targets[0], reduction="sum")
            (value * scale).backward()
            alone += float(value.detach())
    assert together == pytest.approx(alone, rel=1e-5)
    for name, p in model.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(packed[name], p.grad, rtol=1e-3, atol=2e-6)


def test_a_model_that_mixes_packed_rows_is_noticed(llama: Make) -> None:
    import torch

    from mirim.training.loss import packs

    model = llama()
    assert packs(model)

    class Recurrent(torch.nn.Module):
        """Carries state along the sequence whatever the positions say."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = llama()
            self.device = torch.device("cpu")

        def get_input_embeddings(self) -> Any:
            return self.inner.get_input_embeddings()

        def forward(self, input_ids: Any, position_ids: Any, use_cache: bool) -> Any:
            out = self.inner(input_ids=input_ids, position_ids=position_ids, use_cache=False)
            out.logits = out.logits.cumsum(1)
            return out

    assert not packs(Recurrent())


def test_a_batch_at_once_equals_its_sequences_one_by_one(llama: Make, rows: Make, tmp_path: Path) -> None:
    import torch

    from mirim.training.device import Device
    from mirim.training.loop import Settings, fit
    from mirim.training.packing import Batches

    # Sums in another order are equal to a few digits in float32, not in the bfloat16 that a processor may prefer.
    device = Device("cpu", False, "CPU")
    done = []
    for micro in (8, 1, 3):
        model = llama()
        batches = Batches(rows(60), 64, 8, 0, 0)
        result = fit(
            model, batches, Settings(4, 1e-2, micro=micro, every=0), device, folder=tmp_path / str(micro), run="r"
        )
        done.append((result.loss, _weights(model)))
    for loss, weights in done[1:]:
        assert loss == pytest.approx(done[0][0], rel=1e-5)
        for name, value in weights.items():
            torch.testing.assert_close(value, done[0][1][name], rtol=2e-3, atol=2e-4)


def test_two_runs_are_equal_and_learn(llama: Make, rows: Make, tmp_path: Path) -> None:
    results, ends = [], []
    for name in ("a", "b"):
        model = llama(attention_dropout=0.1)
        results.append(_fit(model, rows(6), tmp_path / name, 150))
        ends.append(_weights(model))
    assert _same(*ends)
    # Six rows of random tokens can only be known by heart.
    assert results[0].curve[0][1] > 5
    assert results[0].loss < 1.0
    log = [json.loads(line) for line in (tmp_path / "a" / "training.jsonl").read_text().splitlines()]
    assert [r["step"] for r in log] == list(range(1, 151))
    assert {"loss", "lr", "norm", "tokens_per_second"} <= log[0].keys()
    assert 0 < results[0].utilisation < 1.5


def test_any_seed_can_be_used(llama: Make, rows: Make, tmp_path: Path) -> None:
    for seed in (99999999999999, 2**63 - 1):
        assert _fit(llama(), rows(), tmp_path / str(seed), 1, seed=seed).steps == 1


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(llama: Make, rows: Make, tmp_path: Path) -> None:
    # Dropout makes the random state count.
    whole = llama(attention_dropout=0.2)
    _fit(whole, rows(), tmp_path / "whole", 10)
    broken = llama(attention_dropout=0.2)
    for _ in range(30):
        try:
            result = _fit(broken, rows(), tmp_path / "broken", 10, deadline=0.0)
            break
        except MirimError as error:
            if "time limit" not in str(error):
                raise
        # What was in memory is gone.
        broken = llama(attention_dropout=0.2)
    else:
        pytest.fail("every start must bring the run at least a step further")
    assert result.resumed_at == 9
    assert _same(_weights(whole), _weights(broken))
    logs = [(tmp_path / n / "training.jsonl").read_text().splitlines() for n in ("whole", "broken")]
    one, other = ([json.loads(line) for line in log] for log in logs)
    assert [(r["step"], r["loss"], r["lr"]) for r in one] == [(r["step"], r["loss"], r["lr"]) for r in other]


def test_another_run_does_not_resume(llama: Make, rows: Make, tmp_path: Path) -> None:
    from mirim.training import checkpoint

    with pytest.raises(MirimError):
        _fit(llama(), rows(), tmp_path, deadline=0.0)
    assert checkpoint.latest(tmp_path, "r") is not None
    assert checkpoint.latest(tmp_path, "other") is None


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_step_and_keeps_it(llama: Make, rows: Make, tmp_path: Path, told: signal.Signals) -> None:
    from mirim.training import loop

    whole = llama()
    _fit(whole, rows(), tmp_path / "whole", 8)
    model = llama()
    former, steps = loop._reduce, []

    def press(*given: Any) -> None:
        steps.append(1)
        if len(steps) == 3:
            # In the middle of a step, after the gradients and before the update.
            os.kill(os.getpid(), told)
        former(*given)

    loop._reduce = press
    handler = signal.getsignal(told)
    try:
        with pytest.raises(KeyboardInterrupt):
            _fit(model, rows(), tmp_path / "stopped", 8)
    finally:
        loop._reduce = former
    assert signal.getsignal(told) is handler
    again = llama()
    assert _fit(again, rows(), tmp_path / "stopped", 8).resumed_at == 3
    assert _same(_weights(whole), _weights(again))


def test_ctrl_c_in_the_last_step_ends_the_run_too(
    llama: Make, rows: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mirim.training import checkpoint

    former = checkpoint.save

    def press(*given: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        former(*given)

    monkeypatch.setattr(checkpoint, "save", press)
    with pytest.raises(KeyboardInterrupt):
        _fit(llama(), rows(), tmp_path, 3, every=60.0)
    monkeypatch.undo()
    assert _fit(llama(), rows(), tmp_path, 3).resumed_at == 3, "what was learned is kept"


def test_ctrl_c_while_a_line_is_written_ends_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    from mirim.core import progress
    from mirim.training.loop import _stopping

    def note(_: str) -> None:
        raise RuntimeError("reentrant call inside <_io.BufferedWriter name='<stderr>'>")

    monkeypatch.setattr(progress, "note", note)
    with _stopping("train") as stopped:
        os.kill(os.getpid(), signal.SIGINT)
        assert stopped()


def test_a_loss_that_is_no_number_stops(llama: Make, rows: Make, tmp_path: Path) -> None:
    import torch

    model = llama()
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(MirimError, match="loss is nan at step 0"):
        _fit(model, rows(), tmp_path)


def test_a_full_disk_is_a_message_and_the_former_checkpoint_stays(
    llama: Make, rows: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors import SafetensorError

    from mirim.training import checkpoint

    with pytest.raises(MirimError, match="time limit"):
        _fit(llama(), rows(), tmp_path, deadline=0.0)

    def full(*_: Any) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(MirimError, match="no space left"):
        _fit(llama(), rows(), tmp_path, deadline=0.0)
    found = checkpoint.latest(tmp_path, "r")
    assert found is not None
    assert found.name == "00000001"
    assert not list(tmp_path.glob(".tmp-*"))


SCRIPT = """
import sys, torch
from pathlib import Path
import numpy as np
from transformers import LlamaConfig, LlamaForCausalLM
from mirim.training.device import Device
from mirim.training.loop import Settings, fit
from mirim.training.packing import Batches, Row
torch.manual_seed(0)
torch.set_num_threads(1)
# In float32: two processes add up in another order than one.
device = Device("cpu", False, "CPU")
model = LlamaForCausalLM(LlamaConfig(vocab_size=200, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True))
draw = np.random.default_rng(0)
rows = [Row(draw.integers(0, 200, size=n).tolist()) for n in draw.integers(5, 60, size=40)]
from mirim.training.device import join, world
join(device)
print("ready", flush=True)
fit(model, Batches(rows, 64, 4, 0, 0), Settings(int(sys.argv[2]), 1e-2, every=float(sys.argv[3])), device,
    folder=Path(sys.argv[1]), run="r")
if world()[0] == 0:
    torch.save(model.state_dict(), Path(sys.argv[1]) / "final.pt")
"""


def _start(folder: Path, steps: int, every: float, **environment: str) -> subprocess.Popen[str]:
    script = folder.parent / "script.py"
    if not script.exists():  # another may be reading it
        script.write_text(SCRIPT)
    return subprocess.Popen(
        [sys.executable, str(script), str(folder), str(steps), str(every)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


def _final(folder: Path) -> dict[str, Any]:
    import torch

    return dict(torch.load(folder / "final.pt", weights_only=True))


def test_killed_at_random_moments_it_ends_the_same(tmp_path: Path) -> None:
    steps = 150
    whole = _start(tmp_path / "whole", steps, 0.0)
    draw, killed = random.Random(int(time.time())), 0
    for _ in range(3):
        child = _start(tmp_path / "killed", steps, 1e-6)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        log = tmp_path / "killed" / "training.jsonl"
        seen = len(log.read_text().splitlines()) if log.exists() else 0
        while child.poll() is None and (not log.exists() or len(log.read_text().splitlines()) <= seen):
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.4))
        killed += child.poll() is None
        child.kill()
        child.wait()
    assert killed >= 1
    last = _start(tmp_path / "killed", steps, 1e-6)
    assert [p.wait(timeout=200) for p in (whole, last)] == [0, 0]
    assert _same(_final(tmp_path / "whole"), _final(tmp_path / "killed"))
    assert len((tmp_path / "killed" / "training.jsonl").read_text().splitlines()) == steps


def _pair(folder: Path, steps: int) -> list[subprocess.Popen[str]]:
    """Two processes that learn together."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    return [_start(folder, steps, 0.0, RANK=str(rank), LOCAL_RANK=str(rank), **common) for rank in (0, 1)]


def test_several_processes_told_to_end_keep_what_they_learned(tmp_path: Path) -> None:
    pair, log = _pair(tmp_path / "two", 100_000), tmp_path / "two" / "training.jsonl"
    try:
        while all(p.poll() is None for p in pair) and (not log.exists() or len(log.read_text().splitlines()) < 3):
            time.sleep(0.05)
        for process in pair:
            process.send_signal(signal.SIGTERM)
        assert all(p.wait(timeout=60) != 0 for p in pair)
    finally:
        for process in pair:
            process.kill()
    (kept,) = (tmp_path / "two").glob("[0-9]*")
    assert int(kept.name) == len(log.read_text().splitlines()) >= 3


def test_one_process_told_to_end_when_the_other_has_died_ends(tmp_path: Path) -> None:
    pair, log = _pair(tmp_path / "two", 100_000), tmp_path / "two" / "training.jsonl"
    try:
        while all(p.poll() is None for p in pair) and not log.exists():
            time.sleep(0.05)
        pair[1].kill()
        pair[0].send_signal(signal.SIGTERM)
        assert pair[0].wait(timeout=60) != 0
    finally:
        for process in pair:
            process.kill()


def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    import torch

    one = _start(tmp_path / "one", 6, 0.0)
    pair = _pair(tmp_path / "two", 6)
    assert [p.wait(timeout=200) for p in (one, *pair)] == [0, 0, 0]
    alone, both = _final(tmp_path / "one"), _final(tmp_path / "two")
    for name, value in alone.items():
        torch.testing.assert_close(both[name], value, rtol=2e-3, atol=2e-4)


def test_flops_are_those_that_torch_counts(llama: Make) -> None:
    """A sequence of its own, whole: torch counts attention as if every token saw all of them."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from mirim.training.loop import model_flops

    model = llama()
    model.set_attn_implementation("eager")
    tokens = 24
    ids = torch.randint(0, model.config.vocab_size, (1, tokens))
    with FlopCounterMode(display=False) as counted:
        model(input_ids=ids, labels=ids).loss.backward()
    body, head, pair = model_flops(model)
    assert counted.get_total_flops() == tokens * (body + head) + tokens * tokens * pair


def test_batches_made_ahead_are_the_same_and_know_their_place(rows: Make) -> None:
    from mirim.training.packing import Batches, ahead

    data = rows(40)
    plain, threaded = Batches(data, 64, 4, 3, 0), Batches(data, 64, 4, 3, 0)
    one, other = ahead(plain, 0), ahead(threaded, 3)
    places = []
    for _ in range(30):
        (a, at), (b, there) = next(one), next(other)
        assert (a.ids == b.ids).all()
        assert (a.targets == b.targets).all()
        assert at == there
        places.append((at, b))
    other.close()
    # Going on from the place after the tenth gives the eleventh, however many were made ahead.
    again = Batches(data, 64, 4, 3, 0)
    again.state = places[9][0]
    assert (next(iter(again)).ids == places[10][1].ids).all()


def test_batches_for_a_compiled_model_have_one_shape(rows: Make) -> None:
    from mirim.training.packing import Batches

    data = rows(40)
    batches = Batches(data, 64, 4, 3, 0, full=True)
    stream = iter(batches)
    learned = 0
    for _ in range(batches.per_epoch):
        batch = next(stream)
        assert batch.ids.shape == (4, 64)
        learned += batch.tokens
    plain = Batches(data, 64, 4, 3, 0)
    assert learned == sum(b.tokens for b, _ in zip(plain, range(plain.per_epoch), strict=False))
