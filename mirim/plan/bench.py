"""`mirim bench`: how fast a model runs on this machine, beside what the machine could do at best."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mirim.core import plugins
from mirim.core.errors import UsageError
from mirim.core.progress import bar
from mirim.core.project import Project
from mirim.core.report import Finding, Report
from mirim.core.verbs import around, verb
from mirim.plan._bench_tables import MEASURES, above, quantile, ratios_of, tables

PROMPT, TAIL = 512, 16


@verb
def bench(
    project: Project | None = None,
    *,
    model: str = "",
    engine: str = "",
    quant: str = "",
    threads: int = 0,
    rounds: int = 5,
    prompt_tokens: int = 0,
    new_tokens: int = 64,
    context: int = 0,
    bare: bool = True,
) -> Report:
    """Measure a model on this machine: prompt and answer speed, time to the first token, memory.

    Every engine has a process of its own and they take turns, round after round, so that what else the machine does
    falls on all alike. A bare llama.cpp server is measured beside them when one is installed.

    Args:
        model: Folder, GGUF file or bundle; default: the project's model.
        engine: Engine, or several with commas between them to compare; chosen by the kind of model when left out.
        quant: Weights of a folder or an adapter as q8_0, q4_0, bf16, f16 or f32, made once and kept.
        threads: Threads to measure with besides one; 0 is one for each core.
        rounds: Rounds; medians, 10th and 90th percentiles over them are printed.
        prompt_tokens: Length of the prompt; 0 is 512, or what fits the model's context.
        new_tokens: Tokens that a round generates.
        context: Context to open; 0 is the model's own, at most 4096.
        bare: Measure a bare llama.cpp server too.
    """
    from mirim.models.engine import ENGINES
    from mirim.models.resolve import default, resolve

    if not model:
        model, project = default(project, "name a model: mirim bench --model REF")
    if not 1 <= rounds <= 1000 or new_tokens < 1 or prompt_tokens < 0 or context < 0 or not 0 <= threads <= 1024:
        raise UsageError(
            f"rounds {rounds}, new_tokens {new_tokens}, prompt_tokens {prompt_tokens}, context {context}, threads "
            f"{threads}: rounds and new_tokens are at least 1, none is negative, rounds are at most 1000, threads 1024"
        )
    found = resolve(model, project or around())
    if found.kind == "remote":
        raise UsageError(f"{model} runs on another machine; mirim bench measures models on this one")
    names = [name.strip() for name in engine.split(",")]
    for name in filter(None, names):
        if name not in plugins.names(ENGINES):
            plugins.load(ENGINES, name)  # raises, listing the known ones
    if not all(names) and engine:
        raise UsageError(f'engine "{engine}" has an empty name in it; write it like llama_cpp,hf')
    if "remote" in names:
        raise UsageError("the remote engine runs on another machine; mirim bench measures engines on this one")
    plan = _Plan(model, project, tuple(names), quant, rounds, prompt_tokens, new_tokens, context, bare)
    return plan.report(found.name, sorted({1, threads or _cores()}))


@dataclass(slots=True)
class _Run:
    """One subject with one number of threads; a round has no decode speed when the answer ended at once."""

    engine: str
    threads: int
    about: dict[str, Any]
    rounds: list[dict[str, float]] = field(default_factory=list)
    rss: int = 0
    prompt: int = 0

    def to_json(self, roof: dict[str, float], new_tokens: int) -> dict[str, Any]:
        values = {name: [row[name] for row in self.rounds if name in row] for name in MEASURES}
        middles = {name: quantile(v, 0.5) if v else None for name, v in values.items()}
        prefill, decode = middles["prefill_tok_s"], middles["decode_tok_s"]
        read = self.about["streamed"] + self.about.get("cache", 0) * (self.prompt + new_tokens / 2)
        multiplied = 2 * self.about["params"]
        known = decode is not None and self.about["streamed"]
        return {
            "threads": self.threads,
            **middles,
            "spread": {n: [quantile(v, 0.1), quantile(v, 0.9)] if v else None for n, v in values.items()},
            "rss_bytes": self.rss,
            "model_file_bytes": self.about["file_bytes"],
            "bandwidth_fraction": decode * read / 1e9 / roof["bandwidth_gb_s"] if known and decode else None,
            "matmul_fraction": (prefill or 0) * multiplied / 1e9 / roof["matmul_gflops"] if multiplied else None,
        }


@dataclass(frozen=True, slots=True)
class _Plan:
    model: str
    project: Project | None
    engines: tuple[str, ...]
    quant: str
    rounds: int
    prompt: int
    tokens: int
    context: int
    bare: bool

    def report(self, name: str, threads: Sequence[int]) -> Report:
        from mirim.plan.doctor import cpu_name

        findings = _busy()
        runs: list[_Run] = []
        with bar("bench", len(threads) * (1 + self.rounds)) as task:
            limits = {}
            for number in threads:
                measured, limits[number] = self._measure(number, task, findings)
                runs += measured
        by_engine: dict[str, dict[str, Any]] = {}
        for run in runs:
            row = by_engine.setdefault(run.engine, {"engine": run.engine, "file": run.about["file"], "runs": []})
            row["runs"].append(run.to_json(limits[run.threads], self.tokens))
        ratios = [
            {"of": one.engine, "to": other.engine, "threads": one.threads, **row}
            for at, one in enumerate(runs)
            for other in runs[at + 1 :]
            if one.threads == other.threads
            for row in ratios_of(one.rounds, other.rounds)
        ]
        first = runs[0]
        data = {
            "model": self.model,
            "name": name,
            "machine": {
                "cpu": cpu_name(),
                "cores": _cores(),
                "roofs": [{"threads": n, **row} for n, row in limits.items()],
            },
            "prompt_tokens": first.prompt,
            "new_tokens": self.tokens,
            "rounds": self.rounds,
            "context": first.about["context"],
            "engines": list(by_engine.values()),
            "ratios": ratios,
        }
        findings += above(by_engine.values())
        summary = (
            f"{name} on {cpu_name()}: a prompt of {first.prompt} tokens, {self.tokens} new ones, {self.rounds} rounds "
            "in turns; median (10th to 90th percentile)."
        )
        return Report("Bench", summary, tables(data), tuple(findings), data=data)

    def _measure(self, threads: int, task: Any, findings: list[Finding]) -> tuple[list[_Run], dict[str, float]]:
        from mirim.plan._bench_subject import Subject
        from mirim.plan._roofs import roofs

        with contextlib.ExitStack() as stack:

            def start(do: str, ref: str, engine: str, context: int) -> Subject:
                order = {"do": do, "ref": ref, "engine": engine, "threads": threads, "context": context}
                folder = str(self.project.root) if self.project else ""
                return stack.enter_context(Subject({**order, "project": folder, "quant": self.quant}))

            subjects = [start("own", self.model, name, self.context) for name in self.engines]
            labels = [s.about["name"] for s in subjects]
            for at, label in enumerate(labels):
                if label in labels[:at]:
                    labels[at] = f"{label} ({labels[: at + 1].count(label)})"
            if self.bare and (server := self._bare(subjects, start, findings)):
                subjects.append(server)
                labels.append("bare llama.cpp")
            runs = [_Run(label, threads, s.about) for label, s in zip(labels, subjects, strict=True)]
            length = self._length(min(s.about["context"] for s in subjects))
            roof = roofs(threads)
            task.advance(note=f"{roof['bandwidth_gb_s']:.0f} GB/s")
            for number in range(self.rounds + 1):
                # Texts of their own each round: servers remember prompts that another one has followed.
                texts = [subjects[0].text(size, 3 * number + at) for at, size in enumerate((length, TAIL, TAIL))]
                for run, subject in zip(runs, subjects, strict=True):
                    task.advance(0, note=f"{run.engine}, {threads} thread{'s'[: threads > 1]}")
                    row = self._round(subject, texts)
                    run.prompt = int(row.pop("prompt"))
                    if number:  # the first round only warms up
                        run.rounds.append(row)
                if number:
                    task.advance()
            for run, subject in zip(runs, subjects, strict=True):
                run.rss = subject.memory()
                if missing := sum("decode_tok_s" not in row for row in run.rounds):
                    what = f"no decode speed in {missing} of {self.rounds} rounds: it ended at once, or was disturbed"
                    findings.append(Finding("warning", run.engine, what, "the figures are from the other rounds"))
            # Other work lowers a roof; the better of before and after is nearer to what the machine can do.
            again = roofs(threads)
            return runs, {name: max(value, again[name]) for name, value in roof.items()}

    def _bare(self, subjects: list[Any], start: Any, findings: list[Finding]) -> Any:
        """A bare llama.cpp server with the GGUF file that the engines read, if there is a server and such a file."""
        import importlib.util
        import shutil

        from mirim.core.errors import MirimError

        if not shutil.which("llama-server") and not importlib.util.find_spec("xllamacpp"):
            findings.append(Finding("info", "bare llama.cpp", "no server is installed", "pip install 'mirim[serve]'"))
            return None
        context = min(s.about["context"] for s in subjects)
        file = next((s.about["file"] for s in subjects if s.about["file"]), "")
        try:
            if not file:
                # Another engine reads the weights in its own way; ask llama.cpp's which file it would take.
                with start("own", self.model, "llama_cpp", context) as found:
                    file = found.about["file"]
            return start("bare", file, "", context)
        except MirimError as error:
            findings.append(Finding("info", "bare llama.cpp", f"not measured: {error}"))
            return None

    def _length(self, context: int) -> int:
        """Tokens of the prompt's shared part."""
        room = context - self.tokens - 2 * TAIL
        if room < 1 or self.prompt > room:
            raise UsageError(
                f"a prompt of {self.prompt or PROMPT} and {self.tokens} new tokens do not fit the context of "
                f"{context}; {f'--prompt-tokens can be at most {room}' if room > 0 else 'give fewer --new-tokens'}"
            )
        return self.prompt or min(PROMPT, room)

    def _round(self, subject: Any, texts: Sequence[str]) -> dict[str, float]:
        """Cold: nothing of the prompt was seen before. Cached: all but its last words were just computed.
        Decode: what a long answer takes more than one of a single token, both to a prompt that is cached."""
        shared, one, other = texts
        cold, _, _, used = subject.run(f"{shared} {one}", 1)
        cached, _, _, _ = subject.run(f"{shared} {other}", 1)
        row = {"prompt": float(used), "prefill_tok_s": used / cold, "ttft_cold_s": cold, "ttft_cached_s": cached}
        _, single, least, _ = subject.run(f"{shared} {other}", 1)
        _, whole, made, _ = subject.run(f"{shared} {other}", self.tokens + 1)
        if made > least and whole > single:
            row["decode_tok_s"] = (made - least) / (whole - single)
        return row


def _busy() -> list[Finding]:
    """Other work on the machine makes every figure a lower bound."""
    try:
        load = os.getloadavg()[0]
    except (OSError, AttributeError):
        return []
    if load < 0.3:
        return []
    what = f"load {load:.1f} before the first measurement: other work uses this machine"
    return [Finding("warning", "machine", what, "figures are lower bounds; compare ratios, or run it again when quiet")]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
