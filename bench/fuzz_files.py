"""Weight files that are broken or lie are refused with a message, or run; the process survives all of them.

    python bench/fuzz_files.py                                    5,000 GGUF files and 5,000 safetensors folders
    python bench/fuzz_files.py --kind gguf --start 1234 --count 1   one of them again, to see where it fell

Each worker process takes a share of the numbers; a number makes the same file every time. The tests run a few hundred.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

#: Files that a worker process opens one after the other, and seconds that it may take.
SHARE, PATIENCE = 250, 900
KINDS = ("gguf", "adapter", "safetensors")


def mutate(source: bytes, number: int, heads: tuple[int, ...]) -> bytes:
    """`source` with damage, most of it where the structure is: in the first `heads` bytes."""
    dice = random.Random(number)
    data = bytearray(source)
    way = dice.random()
    if way < 0.2:
        return bytes(data[: dice.randrange(len(data))])
    limit = min(dice.choice((*heads, len(data))), len(data))
    for _ in range(dice.choice((1, 1, 2, 8))):
        at = dice.randrange(limit)
        if way < 0.3:
            del data[at : at + dice.randrange(1, 9)]
        elif way < 0.4:
            data[at:at] = bytes(dice.randrange(256) for _ in range(dice.randrange(1, 9)))
        else:
            data[at] = dice.choice((0, 1, 127, 128, 255, dice.randrange(256)))
        limit = min(limit, len(data))
    return bytes(data)


def work(kind: str, engine: str, folder: Path, start: int, count: int) -> int:
    """How many of the files were refused; anything but a refusal or a sound run raises, or kills this process."""
    from mirim.core.errors import MirimError

    source, attempt = _subject(kind, engine, folder)
    data = source.read_bytes()
    bad = source.with_name(f"bad-{start}-{source.name}") if kind != "safetensors" else source
    refused = 0
    for number in range(start, start + count):
        print(number, file=sys.stderr)
        bad.write_bytes(mutate(data, number, (64, 2600, 12000)))
        try:
            attempt(bad)
        except MirimError as error:
            if not str(error):
                raise
            refused += 1
    return refused


def _subject(kind: str, engine: str, folder: Path) -> tuple[Path, Callable[[Path], None]]:
    """The sound file, and what is done with a broken one in its place."""
    from mirim.core import plugins
    from mirim.core.types import Sampling
    from mirim.models import convert

    module = plugins.load("models.engines", engine)

    def run(path: Path, adapters: tuple[str, ...] = ()) -> None:
        opened = module.open(str(path), threads=1, adapters=adapters)
        try:
            for _ in opened.generate("The nurse", Sampling(max_tokens=2), adapter=0 if adapters else None):
                pass
        finally:
            opened.close()

    if kind == "gguf":
        return folder / "m.gguf", run
    if kind == "adapter":
        return folder / "lora.gguf", lambda path: run(folder / "m.gguf", (str(path),))

    def convert_and_run(path: Path) -> None:
        out = path.with_name("made.gguf")
        convert.write(convert.read(path.parent), out, "q8_0")
        run(out)

    return folder / "model.safetensors", convert_and_run


def prepare(folder: Path, words: str = "byte-level") -> None:
    """A toy model as a folder, as m.gguf, and an adapter of it as lora.gguf."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "models"))
    import numpy as np
    import toys

    from mirim.models import convert, gguf_writer

    size = toys.sentencepiece_like(folder) if words == "sentencepiece" else toys.byte_level(folder)
    toys.model(folder, vocabulary=size)
    convert.write(convert.read(folder), folder / "m.gguf", "q8_0")
    draw = np.random.default_rng(0)
    tensors = []
    for layer in range(2):
        for part, rows, columns in (("attn_q", 64, 64), ("attn_v", 32, 64), ("ffn_down", 64, 96)):
            for half, shape in (("a", (4, columns)), ("b", (rows, 4))):
                values = draw.normal(0, 0.1, shape).astype(np.float32)
                name = f"blk.{layer}.{part}.weight.lora_{half}"
                tensors.append(gguf_writer.Tensor(name, shape, lambda values=values: values))
    keys = {"general.type": "adapter", "adapter.type": "lora", "adapter.lora.alpha": 8.0}
    gguf_writer.write(folder / "lora.gguf", "llama", keys, tensors, "f32")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--engine", default="native")
    parser.add_argument("--words", choices=("byte-level", "sentencepiece"), default="byte-level")
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(work(options.kind[0], options.engine, Path(options.worker), options.start, options.count))
        return 0
    report, failed = {}, 0
    with tempfile.TemporaryDirectory() as space:
        prepare(Path(space), options.words)
        for kind in options.kind or KINDS:
            refused = done = 0
            for start in range(options.start, options.start + options.count, SHARE):
                count = min(SHARE, options.start + options.count - start)
                command = [sys.executable, __file__, "--kind", kind, "--engine", options.engine, "--worker", space]
                command += ["--start", str(start), "--count", str(count)]
                good = (Path(space) / "model.safetensors").read_bytes()
                one = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
                (Path(space) / "model.safetensors").write_bytes(good)
                done += count
                if one.returncode:
                    failed += 1
                    print(f"{kind} from {start}: exit code {one.returncode}\n{one.stderr[-2000:]}", file=sys.stderr)
                else:
                    refused += int(one.stdout)
            report[kind] = {"files": done, "refused": refused}
    print(json.dumps({"engine": options.engine, **report, "failed": failed}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
