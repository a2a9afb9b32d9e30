"""Keys and values on disk: the same bits as computed anew, nothing of another model, no broken file, bounded."""

from __future__ import annotations

import os
import random
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mirim.core.types import Message, Sampling
from mirim.models.engines import _keep

sys.path.insert(0, str(Path(__file__).parent))
import toys

pytestmark = pytest.mark.slow
core = pytest.importorskip("mirim._core", reason="the core was not built: no C++ compiler when mirim was installed")

RULES = "You are the voice of a clinic. Be brief, be kind, and never guess a dose; say who knows. " * 4
LIMIT = 1 << 24


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    from mirim.models import convert

    folder = toys.model(tmp_path_factory.mktemp("toy") / "m", **toys.WEAK)
    checkpoint = convert.read(folder)
    for kind in ("f32", "q8_0", "q4_0"):
        convert.write(checkpoint, folder / f"{kind}.gguf", kind)
    return {kind: folder / f"{kind}.gguf" for kind in ("f32", "q8_0", "q4_0")}


@pytest.fixture
def opened() -> Iterator[Any]:
    from mirim.models.engines import native

    engines = []

    def start(path: Path, **options: Any) -> Any:
        engines.append(native.open(str(path), **{"threads": 1, **options}))
        return engines[-1]

    yield start
    for engine in engines:
        engine.close()


def system(text: str = RULES) -> tuple[Message, ...]:
    return (Message("system", text),)


def asked(engine: Any, question: str, text: str = RULES, tokens: int = 12) -> tuple[list[int], list[float], int]:
    """Ids, log-probabilities and cached tokens of an answer under the system prompt."""
    prompt = (*system(text), Message("user", question))
    deltas = list(engine.generate(prompt, Sampling(tokens, logprobs=1)))
    return (
        [t for d in deltas for t in d.token_ids],
        [p.logprob for d in deltas for p in d.logprobs],
        deltas[-1].cached_tokens,
    )


def kept(engine: Any, folder: Path, text: str = RULES) -> Path:
    """Have the prompt's keys and values written; the file."""
    before = set(folder.glob("*")) if folder.exists() else set()
    engine.restore_prefixes(folder, LIMIT)
    asked(engine, "hello", text)
    engine.note_prefix(system(text), 2)
    assert engine.save_prefixes() == 1
    (made,) = set(folder.glob("*")) - before
    return made


@pytest.mark.parametrize("kind", ["f32", "q8_0", "q4_0"])
def test_restored_answers_equal_computed_ones_to_the_bit(files, opened, tmp_path, kind):
    import numpy as np

    for kernels in core.kernels():
        folder = tmp_path / kernels
        plain = opened(files[kind], kernels=kernels, spare=0, draft=0)
        ids, logprobs, _ = asked(plain, "when?")
        prompt = plain.encode(RULES)
        rows = plain.logits(prompt, len(prompt) - 3)
        made = kept(opened(files[kind], kernels=kernels), folder)
        assert made.stat().st_mode & 0o777 == 0o600
        assert folder.stat().st_mode & 0o777 == 0o700
        for threads in (1, 2):
            again = opened(files[kind], kernels=kernels, threads=threads)
            found = again.restore_prefixes(folder, LIMIT)
            assert (found.files, found.ignored) == (1, ())
            new_ids, new_logprobs, cached = asked(again, "when?")
            assert (new_ids, new_logprobs) == (ids, logprobs), (kernels, threads)
            assert cached == found.tokens > 200
            assert np.array_equal(again.logits(prompt, len(prompt) - 3), rows)


def test_only_what_came_up_twice_is_written_and_nothing_of_conversations(files, opened, tmp_path):
    engine = opened(files["q8_0"])
    assert engine.save_prefixes() == 0
    engine.note_prefix(system())  # nothing is counted before there is a folder
    engine.restore_prefixes(tmp_path / "kv", LIMIT)
    for n in range(6):
        asked(engine, f"my secret is the number {n} and it is long enough for more than one page of tokens")
    assert engine.save_prefixes() == 0
    engine.note_prefix(system())
    assert engine.save_prefixes() == 0
    engine.note_prefix(system())
    assert engine.save_prefixes() == 1
    engine.note_prefix(system())
    assert engine.save_prefixes() == 0
    tokens = engine.encode(RULES)
    (file,) = (tmp_path / "kv").iterdir()
    words = [int.from_bytes(file.read_bytes()[64 + 4 * n : 68 + 4 * n], "little") for n in range(224)]
    assert len(set(words) - set(tokens)) < 8  # the template's own


def test_passages_that_come_up_are_kept_as_far_as_prompts_agree(files, opened, tmp_path):
    from mirim.core.types import Passage
    from mirim.examples.tasks import answer

    def passage(n: int) -> Passage:
        text = f"Passage {n} says to fast for {n} hours, to drink water, and to bring the card of the plan. " * 3
        return Passage("d", "d.md", 0, len(text), f"Rule {n}", text)

    first, second, third = passage(1), passage(2), passage(3)
    engine = opened(files["q8_0"], parallel=2)
    engine.restore_prefixes(tmp_path, LIMIT)
    view = engine.remembering()
    assert view.name == engine.name
    asks = [("when?", [first, second]), ("how long?", [first, third]), ("what else?", [third])]
    for question, passages in asks:
        list(view.generate(answer.messages(question, passages), Sampling(4)))
    assert engine.save_prefixes() == 1  # the first passage: what the first two have in common
    again = opened(files["q8_0"])
    assert again.restore_prefixes(tmp_path, LIMIT).files == 1
    last = [list(again.generate(answer.messages("who?", p), Sampling(2)))[-1] for p in ([first, passage(4)], [third])]
    alike = len(engine.encode(f"{first.heading}\n{first.text}\n\n"))
    assert alike - 64 < last[0].cached_tokens <= alike + 32
    assert last[1].cached_tokens < 32
    # Scoring through the view counts as well, and other work does not.
    texts = [f"{first.heading}: {second.text}\n? {question}" for question in ("a", "b", "c")]
    engine.score_many([(Message("user", t),) for t in texts], [["yes", "no"]] * 3)
    assert engine.save_prefixes() == 0
    view.score_many([(Message("user", t),) for t in texts], [["yes", "no"]] * 3)
    assert engine.save_prefixes() == 1


def test_files_of_another_model_quantisation_build_or_figure_are_left_alone(files, opened, tmp_path, monkeypatch):
    folder = tmp_path / "kv"
    kept(opened(files["q8_0"]), folder)
    others = {"q4_0": files["q4_0"], "f32": files["f32"]}
    changed = tmp_path / "changed.gguf"
    data = bytearray(files["q8_0"].read_bytes())
    data[-40] ^= 1  # one weight
    changed.write_bytes(data)
    others["a weight"] = changed
    for name, path in others.items():
        engine = opened(path)
        found = engine.restore_prefixes(folder, LIMIT)
        assert (found.files, len(found.ignored)) == (0, 1), name
        assert "another model" in found.ignored[0]
        assert asked(engine, "when?")[2] == 0
    for name, value in (("build", "other"), ("rope", None)):
        engine = opened(files["q8_0"])
        if value:
            monkeypatch.setattr(core, "build", value)
        else:
            engine._figures = {**engine._figures, "rope_gain": 1.25}
        assert engine.restore_prefixes(folder, LIMIT).files == 0, name
        monkeypatch.undo()
    if len(core.kernels()) > 1:
        assert opened(files["q8_0"], kernels=core.kernels()[-1]).restore_prefixes(folder, LIMIT).files == 0
    assert opened(files["q8_0"]).restore_prefixes(folder, LIMIT).files == 1
    # A copy of the model elsewhere is the same model.
    copy = tmp_path / "copy.gguf"
    shutil.copy(files["q8_0"], copy)
    assert opened(copy).restore_prefixes(folder, LIMIT).files == 1


def test_broken_and_hostile_files_are_refused_and_change_nothing(files, opened, tmp_path):
    folder = tmp_path / "kv"
    whole = kept(opened(files["q8_0"]), folder)
    sound = whole.read_bytes()
    expected = asked(opened(files["q8_0"], spare=0), "when?")[:2]
    engine = opened(files["q8_0"])
    rng = random.Random(5)
    for n in range(150):
        bad = bytearray(sound)
        at = rng.randrange(1200) if n % 2 else rng.randrange(len(bad))
        if n % 3 == 0:
            bad[at] ^= 1 << rng.randrange(8)
        elif n % 3 == 1:
            del bad[at:]
        else:
            bad[at : at + 8] = rng.randbytes(8)
        if bad == sound:
            continue
        whole.write_bytes(bad)
        found = engine.restore_prefixes(folder, LIMIT)
        assert (found.files, len(found.ignored)) == (0, 1)
    assert engine.counts()["cache_bytes"] == 0
    whole.write_bytes(sound)
    for spoil, undo in (
        (lambda: whole.chmod(0o666), lambda: whole.chmod(0o600)),
        (lambda: _swap(whole, lambda p: p.mkdir()), lambda: _back(whole)),
        (lambda: _swap(whole, lambda p: os.mkfifo(p)), lambda: _back(whole)),
        (lambda: _swap(whole, lambda p: p.symlink_to(f"{whole}.away")), lambda: _back(whole)),
    ):
        spoil()
        assert engine.restore_prefixes(folder, LIMIT).files == 0
        undo()
    assert asked(engine, "when?") == (*expected, 0)
    # Things of others in the folder are not touched; what a killed life left half written is removed.
    (folder / "notes.txt").write_text("mine")
    (folder / f"{whole.name}.new").write_bytes(sound[:100])
    assert engine.restore_prefixes(folder, LIMIT).files == 1
    assert (folder / f"{whole.name}.new").is_file(), "another process may be writing it"
    os.utime(folder / f"{whole.name}.new", (time.time() - 120,) * 2)
    assert engine.restore_prefixes(folder, LIMIT).files == 1
    assert sorted(p.name for p in folder.iterdir()) == sorted([whole.name, "notes.txt"])


def _swap(path: Path, other: Any) -> None:
    path.rename(f"{path}.away")
    other(path)


def _back(path: Path) -> None:
    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    Path(f"{path}.away").rename(path)


def test_the_folder_stays_small_and_loses_what_was_used_longest_ago(files, opened, tmp_path):
    engine = opened(files["q8_0"])
    texts = [f"Number {n}. {RULES}" for n in range(5)]
    size = kept(engine, tmp_path / "one", texts[0]).stat().st_size
    folder = tmp_path / "kv"
    engine.restore_prefixes(folder, 3 * size + size // 2)
    made = {}
    for n, text in enumerate(texts[:3]):
        before = set(folder.iterdir())
        asked(engine, "hello", text)
        engine.note_prefix(system(text), 2 + n)
        assert engine.save_prefixes() == 1
        (made[text],) = set(folder.iterdir()) - before
        os.utime(made[text], ns=(n, n))
    # What is used again is young again; a hotter one then takes the place of the longest unused.
    engine.note_prefix(system(texts[0]), 9)
    assert engine.save_prefixes() == 0
    asked(engine, "hello", texts[3])
    engine.note_prefix(system(texts[3]), 20)
    assert engine.save_prefixes() == 1
    assert made[texts[0]].exists()
    assert not made[texts[1]].exists()
    assert sum(p.stat().st_size for p in folder.iterdir()) <= 3 * size + size // 2
    # A clock that ticks in milliseconds may give both the same time.
    (last,) = set(folder.iterdir()) - set(made.values())
    os.utime(last, ns=(2 * made[texts[0]].stat().st_mtime_ns,) * 2)
    # Of what is not among the hottest that fit, nothing is written.
    asked(engine, "hello", texts[4])
    engine.note_prefix(system(texts[4]), 2)
    assert engine.save_prefixes() == 0
    # Only as much is taken back as is kept without a request: the last used.
    pages = engine._core.pages()
    small = opened(files["q8_0"], spare=pages["bytes"] * (size // pages["bytes"] + 1))
    found = small.restore_prefixes(folder, LIMIT)
    assert (found.files, found.ignored) == (1, ())
    assert asked(small, "when?", texts[3])[2] == found.tokens


def test_saving_while_others_ask_and_after_closing(files, opened, tmp_path):
    engine = opened(files["q8_0"], parallel=3, threads=2)
    expected = asked(opened(files["q8_0"], spare=0, draft=0), "when?", tokens=40)[:2]
    engine.restore_prefixes(tmp_path, LIMIT)
    wrong: list[Any] = []

    def user() -> None:
        for _ in range(6):
            got = asked(engine, "when?", tokens=40)
            if got[:2] != expected:
                wrong.append(got)

    users = [threading.Thread(target=user) for _ in range(3)]
    for one in users:
        one.start()
    for n in range(12):
        engine.note_prefix(system(), 2)
        engine.save_prefixes()
        if n % 3 == 0:
            for path in tmp_path.iterdir():
                path.unlink()
        engine._keep.restore()
    for one in users:
        one.join()
    assert not wrong
    engine.note_prefix(system(), 2)
    engine.close()
    assert engine.save_prefixes() == 0


def test_a_folder_that_cannot_be_used_says_so(files, opened, tmp_path):
    engine = opened(files["q8_0"])
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        engine.restore_prefixes(tmp_path / "file", LIMIT)
    engine.restore_prefixes(tmp_path / "kv", LIMIT)
    asked(engine, "hello")
    engine.note_prefix(system(), 2)
    (tmp_path / "kv").rmdir()
    with pytest.raises(OSError, match="No such file"):
        engine.save_prefixes()
    # The next time it came up there is a disk again.
    (tmp_path / "kv").mkdir()
    engine.note_prefix(system())
    assert engine.save_prefixes() == 1


def test_counting_takes_a_bounded_amount_of_memory():
    class Core:
        def pages(self) -> dict[str, Any]:
            return {"tokens": 4, "bytes": 64, "spare": 100}

    keep = _keep.Keep(Core(), b"\0" * 32, Path("nowhere"), LIMIT)
    hot = [1] * 40
    for n in range(6000):
        keep.note([n, *range(20)])
        if n % 50 == 0:
            keep.note(hot, 30)
    assert len(keep._nodes) <= _keep._COUNTED
    keep.note(hot)
    assert hot in [ids.tolist() for ids in keep._hot()]
