"""A wheel that other Linux machines can install: built, its tag checked against the symbols it needs, its size told.

    python scripts/wheel.py [FOLDER]      into FOLDER, by default dist/

The tag is what auditwheel finds: the oldest glibc that has every symbol the core uses. It cannot be older than what
this machine's compiler links against; build on an older distribution for an older tag.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Bytes that the wheel may have without the bundled model, and seconds that building from source may take.
LARGEST, LONGEST = 5_000_000, 60
BASE = "mirim/models/base/"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "dist")
    out = parser.parse_args().folder.resolve()
    with tempfile.TemporaryDirectory() as space:
        began = time.monotonic()
        _run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", space, str(ROOT))
        took = time.monotonic() - began
        (built,) = Path(space).glob("*.whl")
        if not any(".so" in name for name in zipfile.ZipFile(built).namelist()):
            print("the core was not built; see what the compiler says: pip wheel -v .", file=sys.stderr)
            return 1
        # It picks the oldest tag that the symbols allow, and refuses a library that is not on every Linux.
        _run(sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", str(out), str(built))
        shown = _run(sys.executable, "-m", "auditwheel", "show", str(built))
    (wheel,) = sorted(out.glob("*manylinux*.whl"), key=lambda p: p.stat().st_mtime)[-1:]
    with zipfile.ZipFile(wheel) as archive:
        rows = archive.infolist()
    core = sum(r.file_size for r in rows if ".so" in r.filename)
    base = sum(r.compress_size for r in rows if r.filename.startswith(BASE))
    whole = wheel.stat().st_size
    newest = max(re.findall(r"GLIBC_(\d+\.\d+)", shown), key=lambda v: [int(p) for p in v.split(".")], default="?")
    print(f"{wheel}")
    print(f"newest symbol: glibc {newest}; built from source in {took:.0f} s")
    print(f"{whole / 1e6:.1f} MB: {base / 1e6:.1f} MB bundled model, {(whole - base) / 1e6:.1f} MB all else")
    print(f"core: {core / 1e6:.2f} MB unpacked")
    wrong = [
        *([f"without the model it has {whole - base} bytes, more than {LARGEST}"] if whole - base > LARGEST else []),
        *([f"building took {took:.0f} s, more than {LONGEST}"] if took > LONGEST else []),
    ]
    for line in wrong:
        print(f"too much: {line}", file=sys.stderr)
    return 1 if wrong else 0


def _run(*command: str) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:4])} failed with exit code {done.returncode}:\n{done.stdout[-3000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
