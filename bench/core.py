"""mirim's core beside llama.cpp (llama-cpp-python and xllamacpp) and OpenVINO GenAI, in turns, on random weights.

    python bench/core.py make FOLDER                      models of true shapes, as GGUF files
    python bench/core.py run FOLDER --shapes 135m --bits 8 --threads 1 --contexts 512 --rounds 9 --json OUT

Every engine has a process of its own, loads a model once, and answers rounds A B C A B C ...: a fresh prompt of so many
tokens, then 32 tokens, greedily. llama.cpp is called through its C interface, without Python between tokens, with its
defaults but for the number of threads; OpenVINO GenAI reads the same file, with its defaults.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "15m": ("llama", {"vocab_size": 8192, "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 6,
                      "num_key_value_heads": 2, "head_dim": 64, "intermediate_size": 1024}),
    "135m": ("llama", {"vocab_size": 49152, "hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9,
                       "num_key_value_heads": 3, "head_dim": 64, "intermediate_size": 1536}),
    "350m": ("granite", {"vocab_size": 100352, "hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16,
                         "num_key_value_heads": 4, "head_dim": 64, "intermediate_size": 2048}),
}  # fmt: skip
QUANTS = {8: "q8_0", 4: "q4_0"}
WRITTEN = 32
PAUSE = 0.05  # seconds before a turn: the threads of whoever was before spin for a while
MEASURES = ("prefill", "decode", "batch16")
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
clock = CLOCKS["wall"]


def make(folder: Path, shapes: list[str]) -> None:
    """Checkpoints with random weights, and their GGUF files."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "models"))
    import toys

    from mirim.models import convert

    for name in shapes:
        kind, settings = SHAPES[name]
        source = folder / name
        settings = {"max_position_embeddings": 4096, "tie_word_embeddings": True, **settings}
        toys.model(source, kind, dtype="float16", initializer_range=0.02, **settings)
        for quant in QUANTS.values():
            convert.write(convert.read(source), folder / f"{name}-{quant}.gguf", quant)


def ids(count: int, seed: int) -> list[int]:
    """A prompt that was never there before: llama.cpp's server and ours keep what they have computed."""
    draw = random.Random(f"{count} {seed}")
    return [draw.randrange(10, 400) for _ in range(count)]


class Native:
    def __init__(self, path: str, threads: int) -> None:
        from mirim.models.engines import native

        self.engine: Any = native.open(path, context=2048, threads=threads, parallel=16, draft=0, spare=0)

    def _ask(self, prompt: list[int], most: int) -> Any:
        plain = {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repeat_penalty": 1.0, "seed": 0}
        return self.engine._open.write(prompt, most, **plain, ends=[], logprobs=-1, masked=False, draft=0)

    def one(self, prompt: list[int]) -> dict[str, float]:
        begun = clock()
        request = self._ask(prompt, WRITTEN + 1)
        tokens, reason, _ = request.next(seconds=60)
        first, made = clock(), len(tokens)
        while not reason:
            _, reason, _ = request.next(seconds=60)
        row = {"prefill": len(prompt) / (first - begun)}
        if made <= WRITTEN // 2:  # woken late, it finds most of them there, and their time is not known
            row["decode"] = (WRITTEN + 1 - made) / (clock() - first)
        return row

    def many(self, prompts: list[list[int]]) -> float:
        requests = [self._ask(p, 2 * WRITTEN) for p in prompts]
        made = sum(len(r.next(seconds=60)[0]) for r in requests)  # all have begun
        begun = clock()
        for request in requests:
            reason = ""
            while not reason:
                _, reason, _ = request.next(seconds=60)
        return (2 * WRITTEN * len(prompts) - made) / (clock() - begun)


class LlamaCpp:
    """llama-cpp-python's library through its C interface."""

    def __init__(self, path: str, threads: int) -> None:
        import llama_cpp as ll

        self.ll, self.quiet = ll, ll.llama_log_callback(lambda *_: None)
        ll.llama_log_set(self.quiet, None)
        ll.llama_backend_init()
        self.model = ll.llama_model_load_from_file(path.encode(), ll.llama_model_default_params())
        self.contexts = []
        for room, sequences in ((2048, 1), (16 * 256, 16)):
            settings = ll.llama_context_default_params()
            settings.n_ctx, settings.n_seq_max = room, sequences
            settings.n_batch = 2048
            settings.n_threads = settings.n_threads_batch = threads
            self.contexts.append(ll.llama_init_from_model(self.model, settings))
        self.vocabulary = ll.llama_vocab_n_tokens(ll.llama_model_get_vocab(self.model))
        self.sampler = ll.llama_sampler_init_greedy()

    def one(self, prompt: list[int]) -> dict[str, float]:
        ll, context = self.ll, self.contexts[0]
        ll.llama_memory_clear(ll.llama_get_memory(context), True)
        tokens = (ctypes.c_int32 * len(prompt))(*prompt)
        begun = clock()
        ll.llama_decode(context, ll.llama_batch_get_one(tokens, len(prompt)))
        token = (ctypes.c_int32 * 1)(ll.llama_sampler_sample(self.sampler, context, -1))
        first = clock()
        for _ in range(WRITTEN):
            ll.llama_decode(context, ll.llama_batch_get_one(token, 1))
            token[0] = ll.llama_sampler_sample(self.sampler, context, -1)
        return {"prefill": len(prompt) / (first - begun), "decode": WRITTEN / (clock() - first)}

    def many(self, prompts: list[list[int]]) -> float:
        ll, context, count = self.ll, self.contexts[1], len(prompts)
        ll.llama_memory_clear(ll.llama_get_memory(context), True)
        batch = ll.llama_batch_init(2048, 0, 1)

        def put(rows: list[tuple[int, int, int, bool]]) -> None:
            batch.n_tokens = len(rows)
            for i, (token, position, sequence, wanted) in enumerate(rows):
                batch.token[i], batch.pos[i], batch.logits[i] = token, position, wanted
                batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequence
            if ll.llama_decode(context, batch):
                raise RuntimeError("llama_decode failed")

        for s, prompt in enumerate(prompts):
            put([(t, p, s, p == len(prompt) - 1) for p, t in enumerate(prompt)])
        length, tokens = len(prompts[0]), [5] * count
        begun = clock()
        for step in range(WRITTEN):
            put([(tokens[s], length + step, s, True) for s in range(count)])
            tokens = [ll.llama_sampler_sample(self.sampler, context, s) for s in range(count)]
        took = clock() - begun
        ll.llama_batch_free(batch)
        return WRITTEN * count / took


class Xllamacpp:
    """The wheel that mirim installs, through mirim's engine: its server streams the text."""

    def __init__(self, path: str, threads: int) -> None:
        from mirim.models.engines import llama_cpp

        self.engine: Any = llama_cpp.open(path, context=2048, threads=threads)

    def one(self, prompt: list[int]) -> dict[str, float]:
        from mirim.core.types import Sampling

        # Text of about as many tokens; there is no way in for tokens themselves.
        draw, text = random.Random(str(prompt)), ""
        while self.engine.count(text) < len(prompt):
            text += " " + "".join(draw.choices("etaoinsrhldcum", k=draw.randrange(2, 9)))

        def took(most: int) -> tuple[float, int, int]:
            begun = clock()
            last = list(self.engine.generate(text, Sampling(max_tokens=most)))[-1]
            return clock() - begun, last.prompt_tokens, last.completion_tokens

        # Random weights write no whole characters, so their stream tells nothing: with the prompt kept, more tokens
        # less a single one.
        cold, used, _ = took(1)
        long, _, made = took(WRITTEN + 1)
        short, _, _ = took(1)
        row = {"prefill": used / cold}
        if made > WRITTEN // 2 and long > short:  # it may end early
            row["decode"] = (made - 1) / (long - short)
        return row


class OpenVino:
    def __init__(self, path: str, threads: int) -> None:
        import openvino_genai as genai

        self.genai = genai
        self.pipe = genai.LLMPipeline(path, "CPU", INFERENCE_NUM_THREADS=threads)

    def one(self, prompt: list[int]) -> dict[str, float]:
        import numpy as np
        import openvino as ov

        shaped = np.array([prompt], np.int64)
        inputs = self.genai.TokenizedInputs(ov.Tensor(shaped), ov.Tensor(np.ones_like(shaped)))

        def took(most: int) -> float:
            settings = self.genai.GenerationConfig()
            settings.max_new_tokens, settings.ignore_eos = most, True
            begun = clock()
            self.pipe.generate(inputs, settings)
            return clock() - begun

        short, long = took(1), took(WRITTEN + 1)
        row = {"prefill": len(prompt) / short}
        if long > short:
            row["decode"] = WRITTEN / (long - short)
        return row


ENGINES = {"native": Native, "llama-cpp-python": LlamaCpp, "xllamacpp": Xllamacpp, "openvino": OpenVino}


def work(engine: str, path: str, threads: int, timer: str) -> None:
    """A process of one engine: (context, seed) a line in, figures a line out."""
    global clock
    clock = CLOCKS[timer]
    subject: Any = ENGINES[engine](path, threads)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        context, seed, batch = json.loads(line)
        row = subject.one(ids(context, seed))
        if batch and hasattr(subject, "many"):
            row["batch16"] = subject.many([ids(128, seed * 16 + n + 1000) for n in range(16)])
        print(json.dumps(row), flush=True)


def quantile(values: list[float], share: float) -> float:
    rows = sorted(values)
    at = (len(rows) - 1) * share
    low = int(at)
    return rows[low] + (rows[min(low + 1, len(rows) - 1)] - rows[low]) * (at - low)


def measure(path: Path, threads: int, given: argparse.Namespace) -> list[dict[str, Any]]:
    subjects: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    try:
        for name in given.engines:
            command = [sys.executable, __file__, "work", name, str(path), str(threads), given.clock]
            pipe = subprocess.PIPE
            subjects[name] = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
            if '"ready"' not in reply(subjects[name]):
                print(f"{name} does not run {path.name}", file=sys.stderr)
                subjects.pop(name).kill()
        for context in given.contexts:
            figures: dict[str, list[dict[str, float]]] = {name: [] for name in subjects}
            for seed in range(given.rounds + 1):
                for name, process in subjects.items():
                    time.sleep(PAUSE)
                    process.stdin.write(
                        json.dumps([context, seed, given.batch and context == given.contexts[0]]) + "\n"
                    )
                    process.stdin.flush()
                    line = reply(process)
                    if line and seed:  # the first round warms up
                        figures[name].append(json.loads(line))
            rows += [
                row
                for name, found in figures.items()
                if found
                for row in summary(name, context, found, figures["native"])
            ]
    finally:
        for process in subjects.values():
            process.kill()
            process.wait()
    return rows


def reply(process: Any) -> str:
    """The next line that is JSON: libraries print what they like."""
    for line in process.stdout:
        if line.startswith("{"):
            return str(line)
    return ""


def summary(
    name: str, context: int, found: list[dict[str, float]], ours: list[dict[str, float]]
) -> list[dict[str, Any]]:
    out = []
    for what in MEASURES:
        values = [f[what] for f in found if what in f]
        if not values:
            continue
        ratios = [o[what] / f[what] for o, f in zip(ours, found, strict=True) if what in f and what in o]
        if not ratios:
            continue
        row = {"engine": name, "context": context, "measure": what}
        for title, numbers in (("tok_s", values), ("native_times", ratios)):
            row |= {
                title: quantile(numbers, 0.5),
                f"{title}_p10": quantile(numbers, 0.1),
                f"{title}_p90": quantile(numbers, 0.9),
            }
        out.append(row)
    return out


def table(rows: list[dict[str, Any]]) -> str:
    lines = ["| shape | bits | threads | context | measure | engine | tok/s (p10 to p90) | native is times as fast |",
             "| --- | --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for r in rows:
        speed = f"{r['tok_s']:,.0f} ({r['tok_s_p10']:,.0f} to {r['tok_s_p90']:,.0f})"
        times = f"{r['native_times']:.2f} ({r['native_times_p10']:.2f} to {r['native_times_p90']:.2f})"
        cells = (r["shape"], r["bits"], r["threads"], r["context"], r["measure"], r["engine"], speed, times)
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def main() -> None:
    if sys.argv[1:2] == ["work"]:
        return work(sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", choices=("make", "run"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), help="or the NAMEs of other files NAME-q8_0.gguf")
    parser.add_argument("--bits", nargs="+", type=int, default=[8, 4])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--contexts", nargs="+", type=int, default=[16, 512, 1900])
    parser.add_argument("--engines", nargs="+", default=list(ENGINES))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", action="store_true", help="16 sequences together too")
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="cpu: processor time, for one thread on a machine that others use (waiting in a loop counts as work)",
    )
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.do == "make":
        return make(given.folder, given.shapes)
    rows: list[dict[str, Any]] = []
    for shape in given.shapes:
        for bits in given.bits:
            path = given.folder / f"{shape}-{QUANTS[bits]}.gguf"
            for threads in given.threads:
                found = measure(path, threads, given)
                rows += [{"shape": shape, "bits": bits, "threads": threads, **row} for row in found]
                if given.json:
                    given.json.write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
