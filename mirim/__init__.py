"""mirim: small language models from your own documents.

Every verb of the command line is a function here, imported when it is first used:

    import mirim
    project = mirim.Project.find("clinic")
    mirim.build(project)
    print(mirim.ask(project, "Do I need to fast before a blood test?").answer)
"""

from __future__ import annotations

import importlib
import os
from typing import Any

__version__ = "0.1.0"

# Threads that spin while they wait make a busy machine many times slower. What computes with OpenMP (torch, llama.cpp)
# reads this once, when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

#: verb → module that holds the function of that name
VERBS = {
    "ask": "mirim.assist.ask",
    "audit": "mirim.audit.audit",
    "bench": "mirim.plan.bench",
    "build": "mirim.build",
    "chat": "mirim.assist.chat",
    "classify": "mirim.assist.classify",
    "doctor": "mirim.plan.doctor",
    "evaluate": "mirim.evals.evaluate",
    "export": "mirim.models.export",
    "generate": "mirim.models.generate",
    "ingest": "mirim.documents.ingest",
    "new": "mirim.new",
    "serve": "mirim.server.serve",
    "synth": "mirim.examples.synth",
    "train": "mirim.training.train",
}
_HOMES = VERBS | {
    "Project": "mirim.core.project",
    "Document": "mirim.core.types",
    "Passage": "mirim.core.types",
    "Message": "mirim.core.types",
    "Example": "mirim.core.types",
    "Answer": "mirim.core.types",
    "Sampling": "mirim.core.types",
    "Bundle": "mirim.core.bundle",
    "Report": "mirim.core.report",
    "MirimError": "mirim.core.errors",
    "Assistant": "mirim.assist.answer",
    "open_engine": "mirim.models.engine",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mirim' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
