"""Serving needs no torch, and help needs no server."""

from __future__ import annotations

import subprocess
import sys


def run(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_server_loads_without_torch() -> None:
    run(
        "import sys\n"
        "for n in ('torch', 'transformers', 'peft'): sys.modules[n] = None\n"
        "import mirim.server.app, mirim.server.serve, mirim.server.room, mirim.server.keys\n"
        "from mirim.server.door import House\n"
        "from mirim.server.room import Settings, open_room\n"
        "room = open_room(Settings(models=('echo',)))\n"
        "mirim.server.app.build(House(room))\n"
    )


def test_the_verb_s_module_is_light() -> None:
    run("import sys, mirim.server.serve\nassert not {'starlette', 'uvicorn', 'numpy'} & set(sys.modules)")
