"""The web page in headless Chromium for the tests of it; screenshots go to $MIRIM_SHOTS when it is set."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server_fakes import Scripted, fixture_document, house
from waiting import until

from mirim.core.project import Project

SIZES = {"phone": (390, 844), "desktop": (1280, 860)}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if not path:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    with api.sync_playwright() as play:
        running = play.chromium.launch(executable_path=path, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path, Any]]:
    """A server in a thread: the fake assistant, a slow bare model and a project to store feedback in."""
    import uvicorn

    from mirim.server.app import build

    (tmp_path / "mirim.toml").write_text("[project]\nname = 'clinic'\n")
    home = house(Scripted(["One word after another, " * 40], delay=0.02))
    home.room.project = Project.open(tmp_path)
    fixture_document(home.room.project.documents)
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(build(home), log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    assert until(lambda: server.started)
    yield f"http://127.0.0.1:{bound.getsockname()[1]}", tmp_path, home
    server.should_exit = True
    thread.join(20)


def open_page(browser: Any, url: str, size: str, locale: str = "en-US", scheme: str = "light") -> tuple[Any, list[str]]:
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, locale=locale, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(15_000)
    troubles: list[str] = []
    page.on("console", lambda m: troubles.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: troubles.append(str(e)))
    page.on("request", lambda r: None if r.url.startswith((url, "blob:", "data:")) else troubles.append(r.url))
    page.goto(url)
    page.wait_for_selector("#model option", state="attached")
    return page, troubles


def shoot(page: Any, name: str) -> None:
    if folder := os.environ.get("MIRIM_SHOTS"):
        page.wait_for_timeout(300)
        page.screenshot(path=f"{folder}/{name}.png")


def ask(page: Any, question: str) -> Any:
    page.fill("#question", question)
    page.press("#question", "Enter")
    return page.locator("#log li.answer").last


def no_sideways_scroll(page: Any) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))
