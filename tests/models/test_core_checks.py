"""The core without Python: under sanitizers, and compiled for Arm and run on an emulated processor.

The installed module's own instruction sets are compared, bit for bit, in test_native.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
NATIVE = Path(__file__).resolve().parents[2] / "native"
ARM = ("aarch64-linux-gnu-g++", "qemu-aarch64")
#: Linked as a whole, so that the emulator needs no Arm libraries.
CROSS = (
    "-DCMAKE_SYSTEM_NAME=Linux",
    "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
    f"-DCMAKE_CXX_COMPILER={ARM[0]}",
    "-DCMAKE_EXE_LINKER_FLAGS=-static",
)

#: What a sanitizer says when the machine does not let it work, which is no finding.
HOST = {
    "unexpected memory mapping": "this kernel's address randomisation is wider than the compiler's sanitizer knows",
    "Shadow memory range interleaves": "this kernel's memory layout leaves the sanitizer no room",
    "LeakSanitizer has encountered a fatal error": "this machine does not let a process trace itself",
}


def _tool(name: str) -> str:
    """A program beside this Python or on the PATH."""
    found = shutil.which(name, path=os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))))
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


def _build(folder: Path, *options: str) -> Path:
    cmake = _tool("cmake")
    _tool("make")
    if not os.environ.get("CXX") and not any("CXX_COMPILER" in o for o in options):
        _tool("c++")
    _run([cmake, "-S", str(NATIVE), "-B", str(folder), "-G", "Unix Makefiles", "-DCHECKS=ON", *options], 60)
    _run([cmake, "--build", str(folder), "--parallel", str(os.cpu_count() or 1)], 600)
    return folder / "check"


def _run(command: Sequence[str], seconds: int) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds)
    for words, why in HOST.items():
        if words in done.stdout:
            pytest.skip(why)
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


@pytest.mark.parametrize("sanitizers", ["address,undefined", "thread"])
def test_under_sanitizers(tmp_path, sanitizers):
    check = _build(tmp_path, f"-DSANITIZE={sanitizers}")
    parts = ("engine", "keep", "encoder") if sanitizers == "thread" else ("",)
    said = "".join(_run([str(check), *([part] if part else [])], 300) for part in parts)
    assert "proposals accepted" in said
    assert "keep: 3 pages" in said
    assert "encoder: 10 texts" in said
    if sanitizers != "thread":
        assert "fuzz: 1500 inputs" in _run([str(check.with_name("fuzz")), "1500"], 300)
    # Threads meet in the engine only.
    assert ("portable equals portable" in said) == (sanitizers != "thread")


def test_on_arm(tmp_path):
    for name in ARM:
        if not shutil.which(name):
            pytest.skip(f"{name} is not installed (apt-get install g++-aarch64-linux-gnu qemu-user)")
    check = str(_build(tmp_path, *CROSS))
    said = _run([ARM[1], "-cpu", "max", check], 300)
    assert "i8mm equals portable" in said
    assert "neon equals portable" in said
    assert "proposals accepted" in said
    assert "keep: 3 pages" in said
    assert "encoder: 10 texts" in said
    # An older phone has no products of matrices, a Raspberry Pi 4 no dot products either.
    for processor, there in (("cortex-a76", True), ("cortex-a72", False)):
        said = _run([ARM[1], "-cpu", processor, check, "kernels"], 300)
        assert "i8mm" not in said
        assert ("neon" in said) == there
        assert "portable equals portable" in said
