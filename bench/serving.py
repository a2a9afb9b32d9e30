"""Serving figures of docs/serving.md: mirim beside the bare llama.cpp server, same weights, same file, taking turns.

    python bench/serving.py --project DIR --model FILE.gguf [--model FILE.gguf] --part alone,users,overhead,share,memory

DIR holds an index made by `mirim ingest` and the questions evals/development.jsonl (`python bench/medquad.py` makes
both). The bare server is `llama-server` when one is on the PATH, otherwise xllamacpp's, with its defaults.

alone     one user, grounded answers: through mirim's assistant, and the same prompts sent to the bare server
users     1, 4, 16, 64 users at once on the chat interface of both servers
overhead  what mirim adds to a request: with the echo engine, and with the real one beside the engine alone
share     processor time of an answer through the server, whole and streamed, beside that in the engine alone
memory    memory of the server after its load
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from servers import CONTEXT, Reply, bare, chat, mirim, once, started

from mirim.assist.answer import Assistant, Calibration
from mirim.assist.policies.free import PASSAGES
from mirim.core.project import Project
from mirim.core.types import Message, Sampling
from mirim.examples.tasks import answer as task
from mirim.models.engine import open_engine
from mirim.plan._bench_tables import quantile
from mirim.plan._bench_worker import resident

#: Answers every request at once with one event.
_NOTHING = """
import asyncio
async def serve(reader, writer):
    head = await reader.readuntil(b"\\r\\n\\r\\n")
    if b"POST" in head:
        await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\\r")[0]))
    writer.write(b'HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n\\r\\ndata: {"content":"a"}\\n\\n')
    await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print("http://127.0.0.1:%d" % server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
ANSWER, SHORT = 200, 64


# -- one user ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Watched:
    """An engine that notes when its first token came and how much of the prompt was cached."""

    engine: Any
    first: float = 0.0
    prompt: int = 0
    cached: int = 0
    made: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def generate(self, *words: Any, **more: Any) -> Iterator[Any]:
        self.first = 0.0
        for delta in self.engine.generate(*words, **more):
            self.first = self.first or time.perf_counter()
            self.prompt, self.cached = delta.prompt_tokens or self.prompt, delta.cached_tokens
            self.made = delta.completion_tokens or self.made
            yield delta


def questions(project: Project, count: int) -> list[str]:
    rows = [json.loads(line) for line in (project.root / "evals" / "development.jsonl").read_text().splitlines()]
    return [row["question"] for row in rows][:count]


def layouts(assistant: Assistant, question: str) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """The prompt that the grounded policy writes, and the same words with the question first."""
    shown = {}
    for row in assistant.rank(question):
        shown.setdefault(row.candidate.passage.id, row.candidate.passage)
    mine = task.messages(question, list(shown.values())[:PASSAGES], assistant.language_of(question))
    texts, _, asked = mine[0].content.rpartition("\n\n")
    return mine, (Message("user", f"{asked}\n\n{texts}"),)


def alone(project: Project, model: Path, count: int, threads: int, engine: str) -> list[dict[str, Any]]:
    """Question by question in turns: the assistant's two ways of answering, the bare server with either layout.

    Each way has an assistant of its own, so that none finds words that another has weighed before.
    """
    rows: list[dict[str, Any]] = []
    own = Watched(open_engine(model, engine=engine, context=CONTEXT, threads=threads))
    with (
        Assistant.open(project, model="none") as shown,
        Assistant.open(project, model="none") as quoting,
        Assistant.open(project, model=str(model), engine=own) as writing,  # type: ignore[arg-type]
        bare(model, 1, threads) as (address, _),
    ):
        # Nothing is refused: every question is answered in every way.
        quoting.calibration = writing.calibration = Calibration(threshold=0.0)
        # The last three only warm up: no prompt is asked twice, or a cache would answer it.
        asked = questions(project, count + 3)
        for number, question in enumerate([*asked[count:], *asked[:count]]):
            mine, plain = layouts(shown, question)
            began = time.perf_counter()
            quoting.answer(question, policy="quote")
            quoted = time.perf_counter() - began
            began = time.perf_counter()
            writing.answer(question, policy="grounded")
            row = {
                "quote": Reply(quoted, quoted),
                "grounded": Reply(own.first - began, time.perf_counter() - began, own.prompt, own.cached, own.made),
                "bare": once(address, "x", plain, ANSWER),
            }
            row["bare, passages first"] = once(address, "x", mine, ANSWER, cache_prompt=False)
            if number >= 3:
                rows.append(row)
            print(f"\r{number - 2}/{count}", end="", file=sys.stderr)
    return rows


def show_alone(name: str, rows: list[dict[str, Any]]) -> None:
    print(f"\n## One user, {name}, {len(rows)} questions\n")
    print("| way | first token, ms | total, ms | times as fast, first | times as fast, total | prompt | answer |")
    print("| --- " * 7 + "|")
    for way in rows[0]:
        mine = [row[way] for row in rows]
        cells = [_spread([getattr(r, key) * 1000 for r in mine]) for key in ("first", "total")]
        for key in ("first", "total"):
            cells.append(_spread([getattr(row["bare"], key) / getattr(row[way], key) for row in rows], 2))
        sizes = [f"{quantile([getattr(r, key) for r in mine], 0.5):.0f}" for key in ("prompt", "made")]
        print(f"| {way} | {' | '.join([*cells, *sizes])} |")


# -- many users --------------------------------------------------------------------------------------------------


def spent_by(pid: int) -> float:
    """Processor seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def crowd(
    address: str, model: str, prompts: Sequence[Sequence[Message]], users: int, pid: int, stream: bool = True
) -> dict[str, float]:
    """Every user asks as soon as the last answer came; tokens a second of all, latency of each."""
    left = iter(prompts)
    done: list[Reply] = []

    async def user() -> None:
        for prompt in left:
            done.append(await chat(address, model, prompt, SHORT, stream))

    began, worked = time.perf_counter(), spent_by(pid)
    await asyncio.gather(*(user() for _ in range(users)))
    spent = time.perf_counter() - began
    good = [r for r in done if r.status == 200]
    return {
        "tok_s": sum(r.made for r in good) / spent,
        "p50": quantile([r.total for r in good], 0.5),
        "p95": quantile([r.total for r in good], 0.95),
        "first": quantile([r.first for r in good], 0.5),
        "refused": len(done) - len(good),
        "cpu": (spent_by(pid) - worked) / max(1, sum(r.made for r in good)) * 1000,
    }


def users(
    project: Project, model: Path, levels: Sequence[int], threads: int, parallel: int, rounds: int, engine: str
) -> list[dict[str, Any]]:
    with Assistant.open(project, model="none") as assistant:
        prompts = [layouts(assistant, q)[0] for q in questions(project, 100)]
    words = ["--model", str(model), "--parallel", str(parallel), "--ctx", str(CONTEXT), "--engine", engine]
    words += ["--threads", str(threads)]
    rows = []
    with mirim(*words) as (mine, own), bare(model, parallel, threads) as (other, its):
        for level in levels:
            for number in range(rounds):
                # Prompts of their own each time, so that no server remembers them from the round before.
                size = max(8, level)
                at = (number * size) % len(prompts)
                some = [
                    [replace(m, content=f"{level}.{number}\n{m.content}") for m in prompts[(at + n) % len(prompts)]]
                    for n in range(size)
                ]
                pair = {"users": level}
                for name, address, pid in (("mirim", mine, own), ("bare", other, its)):
                    pair[name] = asyncio.run(crowd(address, model.stem, some, level, pid))  # type: ignore[assignment]
                rows.append(pair)
                print(f"\r{level} users, round {number + 1}", end="", file=sys.stderr)
    return rows


def show_users(name: str, rows: list[dict[str, Any]], parallel: int) -> None:
    print(f"\n## Many users, {name}, {parallel} places on both servers, answers of {SHORT} tokens\n")
    print(
        "| users | mirim tok/s | bare tok/s | times as fast | mirim p95, s | bare p95, s | first: mirim, bare, s "
        "| processor ms a token: mirim, bare |"
    )
    print("| --- " * 8 + "|")
    for level in sorted({row["users"] for row in rows}):
        some = [row for row in rows if row["users"] == level]
        speeds = [_spread([row[who]["tok_s"] for row in some]) for who in ("mirim", "bare")]
        ratio = _spread([row["mirim"]["tok_s"] / row["bare"]["tok_s"] for row in some], 2)
        late = [f"{quantile([row[who]['p95'] for row in some], 0.5):.2f}" for who in ("mirim", "bare")]
        first = ", ".join(f"{quantile([row[who]['first'] for row in some], 0.5):.2f}" for who in ("mirim", "bare"))
        work = ", ".join(f"{quantile([row[who]['cpu'] for row in some], 0.5):.2f}" for who in ("mirim", "bare"))
        print(f"| {level} | {' | '.join([*speeds, ratio, *late, first, work])} |")
        refused = sum(row[who]["refused"] for row in some for who in ("mirim", "bare"))
        if refused:
            print(f"({refused} requests were refused)")


# -- overhead and memory -----------------------------------------------------------------------------------------


def overhead(model: Path, threads: int, engine: str) -> None:
    """Milliseconds that a request takes beyond what its engine takes."""
    ask = (Message("user", "How is it treated?"),)
    print(
        f"\n## What mirim adds to a request, {model.stem}\n\n| what | median (10th to 90th percentile) |\n| --- | --- |"
    )
    with started([sys.executable, "-c", _NOTHING]) as (address, _):
        times = [once(address, "x", ask, 1).total * 1000 for _ in range(300)][50:]
        print(f"| a server that does nothing: the client and its connection, ms | {_spread(times, 2)} |")
    with mirim("--model", "echo") as (address, _):
        times = [once(address, "echo", ask, 1).total * 1000 for _ in range(300)][50:]
        print(f"| echo engine, whole request with its connection, ms | {_spread(times, 2)} |")
        long = (Message("user", " ".join(["word"] * 400)),)
        each = [
            (once(address, "echo", long, 400).total - once(address, "echo", long, 1).total) / 399 for _ in range(20)
        ]
        print(f"| echo engine, each streamed token, ms | {_spread([e * 1000 for e in each], 3)} |")
    alone = open_engine(model, engine=engine, context=CONTEXT, parallel=4)
    words = ["--model", str(model), "--ctx", str(CONTEXT), "--engine", engine]
    with mirim(*words) as (mine, _), bare(model, 4, threads) as (other, _):
        kinds: dict[str, Callable[[], float]] = {
            "engine in this process": lambda: _timed(lambda: list(alone.generate(ask, Sampling(max_tokens=1)))),
            "through mirim's server": lambda: once(mine, model.stem, ask, 1).total,
            "through the bare server": lambda: once(other, model.stem, ask, 1).total,
        }
        found: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(200):
            for name, work in kinds.items():
                found[name].append(work() * 1000)
    alone.close()
    first = found["engine in this process"]
    for name, values in found.items():
        print(f"| {name}, one token after a cached prompt, ms | {_spread(values[20:], 2)} |")
        if values is not first:
            more = [v - f for v, f in zip(values, first, strict=True)][20:]
            print(f"| {name}, more than the engine, ms | {_spread(more, 2)} |")


def share(project: Project, model: Path, count: int, parallel: int, rounds: int, engine: str) -> None:
    """Processor time of an answer in the engine alone, and through the server: what HTTP costs of the throughput.

    One thread computes on either side, as many requests at once as there are places. In every round each takes its turn
    with prompts that nobody has seen.
    """
    with Assistant.open(project, model="none") as assistant:
        prompts = [layouts(assistant, q)[0] for q in questions(project, count)]
    own = open_engine(model, engine=engine, context=CONTEXT, threads=1, parallel=parallel)
    words = ["--model", str(model), "--parallel", str(parallel), "--ctx", str(CONTEXT), "--engine", engine]
    found: dict[str, list[float]] = {"engine alone": [], "served whole": [], "streamed": []}
    with mirim(*words, "--threads", "1") as (address, pid), ThreadPoolExecutor(parallel) as pool:
        for number in range(rounds + 1):  # the first only warms up
            fresh = [[[replace(m, content=f"{number}.{n}\n{m.content}") for m in p] for p in prompts] for n in range(3)]
            began = time.process_time()
            list(pool.map(lambda p: list(own.generate(p, Sampling(max_tokens=SHORT, temperature=0))), fresh[0]))
            found["engine alone"].append(time.process_time() - began)
            for name, some, stream in (("served whole", fresh[1], False), ("streamed", fresh[2], True)):
                began = spent_by(pid)
                asyncio.run(crowd(address, model.stem, some, parallel, pid, stream))
                found[name].append(spent_by(pid) - began)
    own.close()
    print(f"\n## Share of the server, {model.stem}, {parallel} at once, answers of {SHORT} tokens, {rounds} rounds\n")
    print("| | processor ms an answer | more than the engine alone, % |\n| --- | --- | --- |")
    for name, spent in found.items():
        more = [(s / e - 1) * 100 for s, e in zip(spent, found["engine alone"], strict=True)]
        print(f"| {name} | {_spread([s / count * 1000 for s in spent[1:]], 1)} | {_spread(more[1:], 1)} |")


def memory(project: Project, model: Path, engine: str) -> None:
    """RSS of a server: of a model alone, and with a project's assistant, after 32 requests of 8 users."""
    print(f"\n## Memory of the server, {model.stem}\n")
    print("| serving | RSS, MiB | model file, MiB | difference, MiB |\n| --- | --- | --- | --- |")
    size = model.stat().st_size / 2**20
    with Assistant.open(project, model="none") as assistant:
        prompts = [layouts(assistant, q)[0] for q in questions(project, 32)]
    for what, words, name in (
        ("a model", (), model.stem),
        ("a model and a project's assistant", ("--project", str(project.root)), project.name),
    ):
        with mirim("--model", str(model), "--engine", engine, *words) as (address, pid):
            idle = resident(pid) / 2**20
            asyncio.run(crowd(address, name, prompts, 8, pid))
            held = resident(pid) / 2**20
        print(f"| {what}, idle | {idle:.0f} | {size:.0f} | {idle - size:.0f} |")
        print(f"| {what}, after 32 requests | {held:.0f} | {size:.0f} | {held - size:.0f} |")


def _timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _spread(values: Sequence[float], digits: int = 0) -> str:
    low, middle, high = (quantile(values, q) for q in (0.1, 0.5, 0.9))
    return f"{middle:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--model", type=Path, action="append", required=True)
    parser.add_argument("--part", default="alone,users,overhead,share,memory")
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--users", default="1,4,16,64")
    parser.add_argument("--parallel", type=int, default=16)
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--threads", type=int, default=cores, help="of both")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engine", default="native")
    options = parser.parse_args()
    project = Project.open(options.project)
    print(f"load {os.getloadavg()[0]:.1f}, {options.threads} threads on both sides, engine {options.engine}")
    for model in options.model:
        for part in options.part.split(","):
            if part == "alone":
                show_alone(model.stem, alone(project, model, options.questions, options.threads, options.engine))
            elif part == "users":
                levels = [int(word) for word in options.users.split(",")]
                rows = users(project, model, levels, options.threads, options.parallel, options.rounds, options.engine)
                show_users(model.stem, rows, options.parallel)
            elif part == "overhead":
                overhead(model, options.threads, options.engine)
            elif part == "share":
                share(project, model, options.questions, options.parallel, options.rounds, options.engine)
            elif part == "memory":
                memory(project, model, options.engine)
            else:
                parser.error(f"no part {part}; known: alone, users, overhead, share, memory")
    print(f"\nload {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
