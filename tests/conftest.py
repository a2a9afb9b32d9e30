"""Every test keeps its state to itself, and the quick tests run first."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees or leaves anything in the user's folders or settings."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("MIRIM_CACHE", str(home / "cache"))
    monkeypatch.setenv("MIRIM_HOME", str(home / "mirim"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("OPENAI_API_KEY", "MIRIM_REMOTE_KEY", "MIRIM_JSON"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def shared() -> Path:
    """Public data beside the checkout, where there is any."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared with public data beside this checkout")
    return SHARED


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)
