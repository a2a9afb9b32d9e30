"""What is opened, and what a reload opens anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from server_fakes import Scripted

from mirim.core.errors import UsageError
from mirim.core.project import Project
from mirim.server.room import Settings, open_room


def test_a_type_of_weights_without_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mirim.toml").write_text('[project]\nname = "empty"\n')
    with pytest.raises(UsageError, match="no model to serve"):
        open_room(Settings(project=Project.open(tmp_path), quant="q8_0"))


def test_a_reload_opens_anew_what_changed_on_disk_adapters_too(tmp_path: Path) -> None:
    base, adapter = tmp_path / "base.gguf", tmp_path / "nurse.gguf"
    opened: list[Any] = []

    class Adapting(Scripted):
        adapters = _adapters = 1

    def opener(ref: str, **_: Any) -> Any:
        opened.append(ref)
        return Adapting()

    def room(former: Any = None) -> Any:
        return open_room(Settings((str(base),), (("nurse", str(adapter)),)), former, opener)

    base.write_bytes(b"GGUF one")
    adapter.write_bytes(b"GGUF one")
    first = room()
    assert sorted(first.models) == ["base", "nurse"]
    assert room(first).models["nurse"].engine is first.models["base"].engine
    adapter.write_bytes(b"GGUF another")
    second = room(first)
    assert second.models["nurse"].engine is not first.models["nurse"].engine
    base.write_bytes(b"GGUF another")
    assert room(second).models["base"].engine is not second.models["base"].engine
    assert len(opened) == 3
