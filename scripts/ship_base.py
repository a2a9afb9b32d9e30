"""Put a trained base where the package carries it: one quantised file, its tokenizer, its card, its hashes.

    python scripts/ship_base.py models/mirim-base [--pointing]

The bundle is what `mirim train --recipe recipes/mirim-base-reading.toml` wrote. Q8_0 has to pass the parity gate of
`mirim export`; the folder it replaces is replaced as a whole. With --pointing the weights that are there stay, and only
what the bundle learned to point with takes its place beside them (`--stages point` or `slots`, from the bundled base).
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from mirim.core.files import sha256_file, write_text
from mirim.models.export import export
from mirim.models.pointing import FOLDER, learned
from mirim.models.resolve import BUNDLED
from mirim.training.card import PACKED, WHOLE

HOME = Path(__file__).resolve().parents[1] / "mirim" / "models" / "base"
FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "README.md")
LARGEST = 45_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--pointing", action="store_true")
    given = parser.parse_args()
    bundle = given.bundle
    if given.pointing:
        for task, folder in learned(bundle / FOLDER).items():
            shutil.rmtree(HOME / FOLDER / task, ignore_errors=True)
            shutil.copytree(folder, HOME / FOLDER / task)
        return seal(HOME)
    if bundle.resolve().name != BUNDLED:
        # Files in GGUF are named after the folder, and the name is what other programs show.
        sys.exit(f"{bundle} would travel under that name; rename the folder to {BUNDLED}")
    print(export(model=str(bundle), quant=("q8_0",)).to_text())
    packed = bundle / "gguf" / "q8_0.gguf"
    if packed.stat().st_size > LARGEST:
        sys.exit(f"{packed} has {packed.stat().st_size:,} bytes; the repository carries at most {LARGEST:,}")
    working = HOME.with_name(".tmp-base")
    shutil.rmtree(working, ignore_errors=True)
    (working / "gguf").mkdir(parents=True)
    shutil.copyfile(packed, working / "gguf" / packed.name)
    for name in FILES:
        if (bundle / name).suffix == ".json" and (bundle / name).is_file():
            # A vocabulary with a line for each word is half as large again.
            row = json.loads((bundle / name).read_text("utf-8"))
            write_text(working / name, json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
        elif (bundle / name).is_file():
            shutil.copyfile(bundle / name, working / name)
    # What the card says of a bundle's other files is not true here: they stay behind.
    card = (working / "README.md").read_text("utf-8").partition("Questions in evals/")[0]
    card = card.replace(WHOLE, PACKED)
    write_text(working / "README.md", f"{card}Its figures stand in docs/base-model.md of mirim's source.\n")
    if (bundle / FOLDER).is_dir():
        shutil.copytree(bundle / FOLDER, working / FOLDER)
    seal(working)
    shutil.rmtree(HOME, ignore_errors=True)
    working.rename(HOME)
    print(f"{HOME} holds {packed.stat().st_size / 1e6:.1f} MB of weights")


def seal(folder: Path) -> None:
    """Write down the hash of each file."""
    held = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "SHA256SUMS")
    sums = "".join(f"{sha256_file(p)}  {p.relative_to(folder).as_posix()}\n" for p in held)
    write_text(folder / "SHA256SUMS", sums)


if __name__ == "__main__":
    main()
