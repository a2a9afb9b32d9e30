"""The web page in headless Chromium, at phone and desktop size; screenshots go to $MIRIM_SHOTS when it is set."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import until
from server_fakes import Scripted, fixture_document, house

from mirim.core.project import Project

pytestmark = pytest.mark.slow

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


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_conversation(browser: Any, site: Any, size: str, scheme: str) -> None:
    url, folder, _ = site
    page, troubles = open_page(browser, url, size, scheme=scheme)
    shoot(page, f"{size}-{scheme}-welcome")
    answer = ask(page, "Must I fast?")
    answer.locator(".cite").wait_for()
    assert "Fast for eight hours" in answer.locator(".text").inner_text()
    assert "91" in answer.locator(".sure").inner_text()
    unknown = ask(page, "Who won the cup?")
    unknown.locator(".badge").wait_for()
    assert unknown.locator(".cite").count() == 0
    assert unknown.locator(".sure").count() == 0
    shoot(page, f"{size}-{scheme}-answers")
    page.locator(".cite").first.click()
    page.wait_for_selector("#source mark")
    assert page.locator("#source mark").inner_text() == "Fast for eight hours 🐝 before the blood test."
    shoot(page, f"{size}-{scheme}-source")
    page.keyboard.press("Escape")
    assert not page.locator("#source").is_visible()
    page.get_by_role("button", name="Bad answer").first.click()
    page.fill(".comment input", "too short")
    shoot(page, f"{size}-{scheme}-comment")
    page.keyboard.press("Enter")
    page.wait_for_selector("p.comment")
    row = json.loads((folder / "data" / "feedback.jsonl").read_text("utf-8"))
    assert (row["rating"], row["comment"], row["question"]) == ("down", "too short", "Must I fast?")
    assert row["citations"][0]["document"] == "fasting.md"
    with page.expect_download() as wait:
        page.get_by_role("button", name="Export the conversation").click()
    text = Path(wait.value.path()).read_text("utf-8")
    assert "Must I fast?" in text
    assert "exams/fasting.md" in text
    assert no_sideways_scroll(page)
    assert troubles == []


def test_streaming_can_be_stopped_and_the_engine_notices(browser: Any, site: Any) -> None:
    url, _, home = site
    page, troubles = open_page(browser, url, "desktop")
    page.select_option("#model", "bare")
    answer = ask(page, "Tell me more")
    page.locator("#log .answer .text", has_text="another").wait_for()
    assert page.locator("#stop").is_visible()
    page.click("#stop")
    page.wait_for_selector("#send:visible")
    assert "Stopped" in answer.inner_text()
    assert until(lambda: not home.room.models["bare"].lane.busy)
    assert home.room.engines["bare"].engine.closed >= 1
    assert troubles == []


@pytest.mark.parametrize("size", SIZES)
def test_what_went_wrong_with_a_long_question_is_in_view_and_the_question_is_back(
    browser: Any, site: Any, size: str
) -> None:
    url, _, _ = site
    page, _ = open_page(browser, url, size)
    page.select_option("#model", "bare")
    answer = ask(page, "word " * 2000)
    page.locator("#log .trouble", has_text="2000 tokens").wait_for()
    shoot(page, f"{size}-trouble")
    above = page.locator("#ask").bounding_box()["y"]
    box = answer.bounding_box()
    assert box["y"] + box["height"] <= above + 1
    field = page.locator("#question")
    assert field.input_value().startswith("word word")
    assert field.bounding_box()["height"] > 100


def test_portuguese_by_the_browser_s_language_and_by_choice(browser: Any, site: Any) -> None:
    page, _ = open_page(browser, site[0], "phone", locale="pt-BR")
    assert page.get_attribute("html", "lang") == "pt"
    assert page.locator("h1").inner_text() == "O que você gostaria de saber?"
    ask(page, "fast?").locator(".sure").wait_for()
    assert "Confiança" in page.locator(".sure").inner_text()
    page.click("#language")
    assert page.get_attribute("html", "lang") == "en"
    assert page.get_attribute("#question", "placeholder") == "Ask a question"


def test_everything_has_a_name_and_can_be_reached_by_keyboard(browser: Any, site: Any) -> None:
    page, _ = open_page(browser, site[0], "desktop")
    ask(page, "fast?").locator(".sure").wait_for()
    nameless = page.evaluate(
        "[...document.querySelectorAll('button, a, input, textarea, select')].filter(e => e.checkVisibility() &&"
        " !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length)).map(e => e.outerHTML)"
    )
    assert nameless == []
    page.locator("body").click(position={"x": 5, "y": 400})
    seen = set()
    for _ in range(14):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.className + '#' + document.activeElement.id"))
    assert any("cite" in s for s in seen)
    assert any(s.endswith("#model") or s.endswith("#question") for s in seen)
    assert page.locator("#said").inner_text().startswith("Fast for eight hours")


@pytest.mark.parametrize("size", SIZES)
def test_the_admin_view(browser: Any, site: Any, size: str) -> None:
    url = site[0]
    page, troubles = open_page(browser, url, size)
    ask(page, "fast?").locator(".sure").wait_for()
    page.goto(f"{url}/admin")
    page.wait_for_selector("#models tr")
    assert page.locator("#models tr").count() == 3
    assert "ms" in page.locator("#latency").inner_text()
    shoot(page, f"{size}-admin")
    assert no_sideways_scroll(page)
    assert troubles == []


def test_a_key_is_asked_for_and_used(browser: Any, site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mirim.server import keys

    url, _, home = site
    monkeypatch.chdir(tmp_path)
    home.keys, home.demand_keys = keys.Watched(keys.store(None), interval=0.0), True
    key = keys.new().data["key"]
    context = browser.new_context()
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("#keys[open]")
    page.fill("#key", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("#key-wrong:visible")
    page.fill("#key", key)
    page.keyboard.press("Enter")
    page.wait_for_selector("#model option", state="attached")
    ask(page, "fast?").locator(".cite").wait_for()
