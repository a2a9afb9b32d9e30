"""`mirim bench`: figures from rounds, engines in processes of their own, and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mirim.core.errors import MirimError, UsageError
from mirim.plan import _bench_subject, _roofs
from mirim.plan._bench_tables import above, quantile, ratios_of
from mirim.plan._bench_worker import Own, prompt_text, resident, weights
from mirim.plan.bench import bench

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))


@pytest.fixture
def roofs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    asked: list[int] = []

    def measured(threads: int) -> dict[str, float]:
        asked.append(threads)
        # Less each time: the first is the roof.
        return {"bandwidth_gb_s": 10.0 * threads / len(asked), "matmul_gflops": 100.0 * threads}

    monkeypatch.setattr(_roofs, "roofs", measured)
    return asked


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    pytest.importorskip("xllamacpp")
    import toys

    from mirim.models import convert

    folder = tmp_path_factory.mktemp("bench")
    made = toys.model(folder / "toy", "llama", max_position_embeddings=1024)
    convert.write(convert.read(made), folder / "toy.gguf", "q8_0")
    return folder / "toy.gguf"


def test_quantiles_lie_between_neighbours_in_proportion() -> None:
    assert quantile([3.0], 0.9) == 3.0
    assert quantile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.5
    assert quantile([0.0, 10.0], 0.1) == 1.0


def test_ratios_say_how_many_times_as_fast_pair_by_pair() -> None:
    one = [{"decode_tok_s": 20.0, "ttft_cold_s": 0.1}, {"decode_tok_s": 40.0, "ttft_cold_s": 0.1}, {"ttft_cold_s": 1.0}]
    other = [{"decode_tok_s": 10.0, "ttft_cold_s": 0.4}, {"decode_tok_s": 10.0, "ttft_cold_s": 0.2}, {}]
    rows = {row["measure"]: row for row in ratios_of(one, other)}
    assert set(rows) == {"decode_tok_s", "ttft_cold_s"}
    # A speed is better when it is higher, a time when it is shorter; a round that lacks one side is no pair.
    assert (rows["decode_tok_s"]["median"], rows["decode_tok_s"]["pairs"]) == (3.0, 2)
    assert (rows["ttft_cold_s"]["median"], rows["ttft_cold_s"]["p10"]) == (pytest.approx(3.0), pytest.approx(2.2))


def test_a_share_above_all_is_explained() -> None:
    run = {"bandwidth_fraction": 1.4, "matmul_fraction": None}
    assert [f.where for f in above([{"runs": [run]}])] == ["bandwidth"]
    assert above([{"runs": [{"bandwidth_fraction": 0.4, "matmul_fraction": 0.9}]}]) == []


class _Counter:
    """Four characters a token."""

    def count(self, text: str) -> int:
        return -(-len(text) // 4)


def test_a_prompt_fills_its_tokens_and_differs_with_the_seed() -> None:
    texts = [prompt_text(_Counter(), 100, seed) for seed in range(8)]  # type: ignore[arg-type]
    assert all(95 <= _Counter().count(text) <= 100 for text in texts)
    assert len({text[:40] for text in texts}) == len(texts)


@pytest.mark.slow
def test_echo_is_measured_in_turns_with_its_double(roofs: list[int], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    report = bench(model="echo", engine="echo, echo", threads=2, rounds=3, new_tokens=400, bare=False)
    data = json.loads(json.dumps(report.to_json()))
    assert roofs == [1, 1, 2, 2]
    assert data["machine"]["roofs"][0] == {"threads": 1, "bandwidth_gb_s": 10.0, "matmul_gflops": 100.0}
    assert [row["engine"] for row in data["engines"]] == ["echo", "echo (2)"]
    for row in data["engines"]:
        assert [run["threads"] for run in row["runs"]] == [1, 2]
        for run in row["runs"]:
            assert run["prefill_tok_s"] == pytest.approx(data["prompt_tokens"] / run["ttft_cold_s"], rel=0.5)
            assert run["decode_tok_s"] > 0
            assert run["spread"]["decode_tok_s"][0] <= run["decode_tok_s"] <= run["spread"]["decode_tok_s"][1]
            assert run["rss_bytes"] > 2**20
            assert run["bandwidth_fraction"] is None
    assert {(r["of"], r["to"], r["threads"]) for r in data["ratios"]} == {("echo", "echo (2)", n) for n in (1, 2)}
    assert all(r["p10"] <= r["median"] <= r["p90"] for r in data["ratios"])
    assert all(r["pairs"] == 3 for r in data["ratios"] if r["measure"] != "decode_tok_s")
    assert data["prompt_tokens"] == 512 + 16
    text = report.to_text()
    assert "| echo (2) | 2 |" in text
    assert "Times as fast" in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"model": "echo", "engine": "nativ"}, "nativ"),
        ({"model": "echo", "engine": "echo,,hf"}, "empty name"),
        ({"model": "echo", "engine": "echo,remote"}, "another machine"),
        ({"model": "http://127.0.0.1:9/v1#m"}, "another machine"),
        ({"model": "echo", "rounds": 0}, "rounds 0"),
        ({"model": "echo", "prompt_tokens": 5000}, "at most 4000"),
        ({"model": "echo", "new_tokens": 5000}, "fewer --new-tokens"),
        ({"model": "nowhere.gguf"}, "nowhere.gguf"),
        ({"model": "echo", "engine": "llama_cpp"}, "no weights"),
    ],
)
def test_what_cannot_be_measured_is_refused(roofs: list[int], options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        bench(bare=False, **options)


def test_a_project_without_a_model_says_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "mirim.toml").write_text('[project]\nname = "clinic"\nlicence = "CC0-1.0"\n', "utf-8")
    with pytest.raises(UsageError, match="mirim bench --model REF"):
        bench(tmp_path)  # type: ignore[arg-type]


def test_a_process_that_dies_is_reported(tmp_path: Path) -> None:
    order = {"do": "own", "ref": "echo", "engine": "", "threads": 1, "context": 0, "project": ""}
    with _bench_subject.Subject(order) as subject:
        assert subject.about["name"] == "echo"
        assert subject.memory() > 2**20
        subject._process.kill()
        with pytest.raises(MirimError, match="ended while it was measured"):
            subject.run("a b c", 1)
    assert subject._process.poll() is not None


def test_leaving_ends_the_process() -> None:
    order = {"do": "own", "ref": "echo:hello world", "engine": "", "threads": 1, "context": 0, "project": ""}
    with _bench_subject.Subject(order) as subject:
        first, total, made, used = subject.run("one two three", 5)
        assert 0 < first <= total
        assert (made, used) == (2, 3)
    assert subject._process.poll() == 0


def test_memory_is_that_of_the_process() -> None:
    held = bytearray(os.urandom(1)) * (64 * 2**20)
    assert resident(os.getpid()) > len(held)


@pytest.mark.slow
def test_roofs_grow_no_smaller_than_a_disk() -> None:
    found = _roofs.roofs(1)
    assert found["bandwidth_gb_s"] > 0.5
    assert found["matmul_gflops"] > 0.5


@pytest.mark.slow
def test_what_a_token_reads_is_counted_from_the_file(toy: Path) -> None:
    from mirim.models import gguf_check

    header = gguf_check.check(toy)
    row = weights(toy)
    # The file holds the tensors, a header and an embedding that decoding reads a row of.
    assert 0.3 * toy.stat().st_size < row["streamed"] < toy.stat().st_size
    width, height = header.tensors["blk.0.ffn_up.weight"][1]
    layers = header.keys["llama.block_count"]
    assert row["params"] > 3 * layers * width * height
    heads, shared = (header.keys[f"llama.attention.head_count{x}"] for x in ("", "_kv"))
    assert row["cache"] == layers * shared * (width // heads) * 2 * 2


@pytest.mark.slow
def test_the_command_prints_json_outside_any_project(toy: Path, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "mirim", "bench", "--model", str(toy), "--engine", "llama_cpp,hf", "--json"]
    refused = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert refused.returncode == 2
    assert "is a GGUF file" in refused.stderr
    assert refused.stdout == ""
    line[line.index("llama_cpp,hf")] = "llama_cpp"
    done = subprocess.run(
        [*line, "--threads", "1", "--rounds", "3", "--new-tokens", "200"],
        capture_output=True, text=True, cwd=tmp_path, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert [row["engine"] for row in data["engines"]] == ["llama_cpp", "bare llama.cpp"]
    for row in data["engines"]:
        (run,) = row["runs"]
        assert row["file"] == str(toy)
        assert run["model_file_bytes"] == toy.stat().st_size
        assert run["prefill_tok_s"] > run["decode_tok_s"] > 0
        assert 0 < run["ttft_cached_s"] < run["ttft_cold_s"]
        assert run["bandwidth_fraction"] > 0
        assert run["matmul_fraction"] > 0
        assert run["rss_bytes"] > 10 * 2**20
    assert {r["measure"] for r in data["ratios"]} == {"prefill_tok_s", "decode_tok_s", "ttft_cold_s", "ttft_cached_s"}
    assert data["machine"]["roofs"][0]["bandwidth_gb_s"] > 0


@pytest.mark.slow
def test_a_folder_is_measured_beside_the_server_that_reads_its_file(
    toy: Path, roofs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    report = bench(model=str(toy.with_suffix("")), engine="hf", threads=1, rounds=3, new_tokens=64, prompt_tokens=32)
    rows = report.to_json()["engines"]
    assert [row["engine"] for row in rows] == ["hf", "bare llama.cpp"]
    assert rows[1]["file"].endswith(".gguf")
    assert all(row["runs"][0]["decode_tok_s"] > 0 for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["llama_cpp", "native"])
def test_an_own_engine_knows_its_file(toy: Path, engine: str) -> None:
    if engine == "native":
        pytest.importorskip("mirim._core", reason="the core was not built: no C++ compiler when mirim was installed")
    own = Own({"ref": str(toy), "engine": engine, "threads": 1, "context": 256, "project": ""})
    try:
        row = own.about()
        assert (row["name"], row["context"], row["file"]) == (engine, 256, str(toy))
    finally:
        own.close()
