"""The examples of a recipe on disk: the same whoever makes them, each once, cut to what a stage can hold."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, Any]:
    """(recipe, folder of the data, tokenizer)."""
    from mirim.training import recipe
    from mirim.training import tokenizer as bpe

    folder = tmp_path_factory.mktemp("data")
    said = (
        "The keeper {n} of the lighthouse counted {n} ships in the year {y}. Nobody had painted the old door before. "
        "Marta wrote the number on a stone. The lamp was lit by {n} hands every evening of the week. "
        "In {y} the harbour of Porto was closed for two months. "
    )
    texts = [{"text": said.format(n=n, y=1900 + n) * 3, "lang": "en"} for n in range(40)]
    rows = [{"task": "translate", "lang": "en-pt", "input": f"door {n}", "output": f"porta {n}"} for n in range(30)]
    # The last one says what the first one says.
    rows.append(rows[0])
    for name, some in (("text", texts), ("tasks", rows)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in some))
    tokenizer = bpe.train([t["text"] for t in texts], 420)
    made = recipe.Recipe(
        "tiny",
        "CC0-1.0",
        depth=1,
        tokens=6000,
        vocab_size=420,
        context=256,
        learning_rate=4e-3,
        optimizer="muon",
        drills=5000,
        quizzes=60,
        calls=30,
        short=3,
        text=(recipe.Text("text.jsonl"),),
        tasks=(recipe.Tasks("tasks.jsonl", weight=2.0),),
        stages=(recipe.Stage("tasks", 1.0, 256, tasks=0.7),),
    )
    return made, folder, tokenizer


def _bytes(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def test_any_number_of_processes_writes_the_same(
    made: tuple[Any, Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mirim.training import tasks

    recipe, root, tokenizer = made
    for count in (1, 3):
        monkeypatch.setattr(tasks.os, "cpu_count", lambda count=count: count)
        tasks.write(tmp_path / str(count), recipe, root, tokenizer, 5)
    assert _bytes(tmp_path / "1") == _bytes(tmp_path / "3")
    tasks.write(tmp_path / "other", recipe, root, tokenizer, 6)
    assert _bytes(tmp_path / "other") != _bytes(tmp_path / "1")


def test_rows_are_those_that_were_made(made: tuple[Any, Path, Any], tmp_path: Path) -> None:
    from mirim.training import tasks

    recipe, root, tokenizer = made
    tasks.write(tmp_path / "t", recipe, root, tokenizer, 5)
    maker = tasks.Maker(recipe, root, tokenizer, 5)
    found = {one.id: one for job in maker.jobs for one in maker.make(job) if len(one.ids)}
    rows = tasks.Tasks.open(tmp_path / "t")
    assert len(rows) == len(found)
    weights = {one.weight for one in found.values()}
    # Rows of the file twice a pass, exercises once, quizzes about few sentences three times.
    assert weights == {1.0, 2.0, 3.0}
    for index, one in enumerate(sorted(found.values(), key=lambda o: list(found).index(o.id))):
        row = rows[index]
        assert list(row.ids) == list(one.ids)
        assert row.mask is not None
        assert list(row.mask) == list(one.mask)
        assert rows.lengths[index] == len(one.ids)
        assert rows.weights[index] == one.weight
    assert "door 0" in tokenizer.decode(rows[0].ids)
    assert tasks.Tasks.open(tmp_path / "t", whole=True)[0].mask is None


def test_a_stage_takes_what_it_can_hold(
    made: tuple[Any, Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mirim.training import tasks

    recipe, root, tokenizer = made
    tasks.write(tmp_path / "t", recipe, root, tokenizer, 5)
    rows = tasks.Tasks.open(tmp_path / "t")
    said: list[str] = []
    monkeypatch.setattr(tasks, "note", said.append)
    few = rows.within(100)
    assert 0 < len(few) < len(rows)
    assert few.lengths.max() <= 100
    assert {tuple(few[i].ids) for i in range(len(few))} <= {tuple(rows[i].ids) for i in range(len(rows))}
    assert said == [f"{len(rows) - len(few)} of {len(rows)} examples are longer than 100 tokens; left out"]


def test_questions_asked_together_weigh_what_the_recipe_says(made: tuple[Any, Path, Any], tmp_path: Path) -> None:
    from dataclasses import replace

    from mirim.training import recipe, tasks

    plain, root, tokenizer = made
    context = "Marta wrote the number on a stone. The old door was painted in 1950. Nobody had seen the lamp."
    asked = [["Who wrote?", "Marta"], ["When?", "in 1950"], ["Why?", ""]]
    row = {"task": "read", "lang": "en", "title": "Door", "context": context, "asked": asked}
    (tmp_path / "own.jsonl").write_text(json.dumps(row) + "\n")
    own = recipe.Tasks("./own.jsonl", weight=0.5, together=6.0)
    maker = tasks.Maker(replace(plain, tasks=(own,), folder=tmp_path, drills=0, quizzes=0, calls=0), root, tokenizer, 5)
    weights = {kind: {one.weight for one in maker.make((kind, 0))} for kind in ("rows", "asked")}
    assert weights == {"rows": {0.5, 1.5}, "asked": {3.0}}
    assert not {("questions", 0), ("apart", 0)} & set(maker.jobs)
    split = tasks.Maker(replace(maker.recipe, tasks=(replace(own, apart=8.0),)), root, tokenizer, 5)
    assert ("apart", 0) in split.jobs
    assert {one.weight for one in split.make(("apart", 0))} == {4.0}
    (tmp_path / "many.jsonl").write_text((json.dumps(row) + "\n") * 30)
    asking = replace(own, path="./many.jsonl", asks=4.0)
    turned = tasks.Maker(replace(maker.recipe, tasks=(asking,)), root, tokenizer, 5)
    assert ("questions", 0) in turned.jobs
    assert {one.weight for one in turned.make(("questions", 0))} == {2.0}
    none = replace(maker.recipe, tasks=(replace(own, vain=0.0),))
    learned = tasks.Maker(none, root, tokenizer, 5)
    for kind in ("rows", "asked"):
        assert len(learned.make((kind, 0))) <= len(maker.make((kind, 0)))
        texts = [tokenizer.decode(one.ids) for one in learned.make((kind, 0))]
        assert texts
        assert not any("Why?" in text for text in texts)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")
def test_no_process_outlives_a_run_that_is_killed() -> None:
    code = (
        "import os, time\n"
        "from mirim.training.tasks import workers\n"
        "pool = workers(2)\n"
        "jobs = [pool.submit(time.sleep, 0.2) for _ in range(2)]\n"
        "[job.result() for job in jobs]\n"
        "print(*pool._processes, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        processes = [int(number) for number in run.stdout.readline().split()]
        assert len(processes) == 2
        assert all(alive(number) for number in processes)
        run.kill()
    until = time.monotonic() + 10
    while any(alive(number) for number in processes) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(alive(number) for number in processes)


def alive(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False
