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
from server_fakes import Index, Scripted, fixture_document, house
from waiting import until

from mirim.core.errors import MirimError
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
    page.locator("#log .trouble", has_text="2,000 tokens").wait_for()
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
    assert page.locator("h2[data-t=welcome]").inner_text() == "O que você gostaria de saber?"
    ask(page, "fast?").locator(".sure").wait_for()
    assert "Confiança" in page.locator(".sure").inner_text()
    page.click("#language")
    assert page.get_attribute("html", "lang") == "en"
    assert page.get_attribute("#question", "placeholder") == "Ask a question"


def test_answers_change_their_labels_with_the_language(browser: Any, site: Any) -> None:
    page, troubles = open_page(browser, site[0], "phone")
    answer = ask(page, "fast?")
    answer.locator(".sure").wait_for()
    page.get_by_role("button", name="Good answer").click()
    # A citation with a page, an answer that was cut off, one that was stopped before its first word, and one unknown.
    page.evaluate("""() => {
        const turns = JSON.parse(sessionStorage.getItem("mirim.turns"));
        const [question, told] = turns;
        const cite = { ...told.extra.citations[0], page: 3 };
        turns[1] = { ...told, reason: "length", extra: { ...told.extra, citations: [cite], removed: ["x"] } };
        turns.push(question, { ...told, content: "", extra: null, reason: "stopped" });
        turns.push(question, { ...told, extra: { ...told.extra, abstained: true, citations: [] } });
        sessionStorage.setItem("mirim.turns", JSON.stringify(turns));
    }""")
    page.reload()
    page.wait_for_selector("#model option", state="attached")
    page.get_by_role("button", name="Good answer").first.click()
    english = ["page 3", "Confidence", "Left out, because", "was cut off", "Stopped.", "I do not know", "Send"]
    portuguese = ["página 3", "Confiança", "Retirado, porque", "foi cortada", "Interrompida.", "Não sei", "Enviar"]
    names = [("Sources", "Good answer", "What was good"), ("Fontes", "Boa resposta", "O que foi bom")]
    for says, never, (sources, good, comment) in (
        (english, portuguese, names[0]),
        (portuguese, english, names[1]),
        (english, portuguese, names[0]),
    ):
        text = page.locator("#log").inner_text()
        assert [word for word in says if word not in text] == []
        assert [word for word in never if word in text] == []
        assert page.get_by_role("list", name=sources, exact=True).count() == 1
        assert page.get_by_role("button", name=good).first.get_attribute("title") == good
        assert comment in page.locator(".comment input").get_attribute("placeholder")
        assert comment in page.locator(".comment input").get_attribute("aria-label")
        page.click("#language")
    assert troubles == []


def test_landmarks_headings_and_names_that_hold_what_is_seen(browser: Any, site: Any) -> None:
    page, _ = open_page(browser, site[0], "phone")
    ask(page, "fast?").locator(".sure").wait_for()
    assert page.get_by_role("heading", level=1).all_inner_texts() == ["mirim"]
    assert page.get_by_role("form", name="Your question").locator("textarea").count() == 1
    assert page.get_by_role("button", name="PT").inner_text() == "PT"
    page.set_viewport_size({"width": 320, "height": 640})
    shown = "e => getComputedStyle(e).width.slice(0, -2) - 2 * parseFloat(getComputedStyle(e).paddingLeft)"
    assert page.locator("#model").evaluate(shown) > 60  # room for a name
    page.goto(f"{site[0]}/admin")
    page.wait_for_selector("#models tr")
    assert page.get_by_role("link", name="mirim").count() == 1
    # Tables that are wider than the page can be reached, and moved, by keyboard.
    for name in ("Latency, last five minutes", "Engines", "Models"):
        region = page.get_by_role("region", name=name)
        region.focus()
        assert region.evaluate("e => e === document.activeElement")


def test_what_is_printed_is_the_conversation(browser: Any, site: Any) -> None:
    page, _ = open_page(browser, site[0], "desktop", scheme="dark")
    answer = ask(page, "fast?")
    answer.locator(".sure").wait_for()
    ink = "getComputedStyle(document.body).color"
    assert page.evaluate(ink) == "rgb(242, 236, 224)"
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(ink) == "rgb(34, 28, 18)"  # dark on paper, whatever the screen
    hidden = page.locator(".bar, .composer, .opinions")
    assert [hidden.nth(n).is_visible() for n in range(hidden.count())] == [False] * 3
    quote = answer.locator(".quote").first
    assert quote.evaluate("e => e.scrollHeight <= e.clientHeight")
    shoot(page, "print")


def test_larger_letters_and_a_low_page_leave_room_to_read(browser: Any, site: Any) -> None:
    page, _ = open_page(browser, site[0], "phone")
    answer = ask(page, "fast?")
    answer.locator(".sure").wait_for()
    page.fill("#question", "several words " * 6)
    height = "document.querySelector('#question').clientHeight"
    wide = page.evaluate(height)
    page.set_viewport_size({"width": 320, "height": 256})
    page.wait_for_function("wide => document.querySelector('#question').clientHeight > wide", arg=wide)
    assert page.locator("#question").evaluate("e => e.scrollHeight <= e.clientHeight")
    page.fill("#question", "")
    page.evaluate("scrollTo(0, 200)")
    assert page.locator(".bar").bounding_box()["y"] < -100  # it goes with the page
    assert page.locator(".composer").bounding_box()["y"] > 160
    size = "parseFloat(getComputedStyle(document.body).fontSize)"
    cdp = page.context.new_cdp_session(page)
    assert page.evaluate(size) == 16
    cdp.send("Page.enable")
    cdp.send("Page.setFontSizes", {"fontSizes": {"standard": 24}})
    assert page.evaluate(size) == 24  # as the reader has set it


def test_words_that_come_together_are_shown_at_once(browser: Any, site: Any) -> None:
    page, _ = open_page(browser, site[0], "desktop")
    part = 'data: {"id": "x", "choices": [{"delta": {"content": "word "}, "finish_reason": null}]}\n\n'
    end = 'data: {"id": "x", "choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    body = part * 500 + end
    reply = {"status": 200, "content_type": "text/event-stream", "body": body}
    page.route("**/v1/chat/completions", lambda route: route.fulfill(**reply))
    page.evaluate("""() => {
        window.writes = 0;
        new MutationObserver((rows) => { writes += rows.filter((row) => row.target.matches?.("p.text")).length; })
            .observe(document.querySelector("#log"), { childList: true, subtree: true });
    }""")
    answer = ask(page, "words?")
    page.get_by_role("button", name="Good answer").wait_for()
    assert answer.locator(".text").inner_text() == "word " * 500
    assert page.evaluate("writes") < 50


def test_a_question_that_is_too_long_is_told_in_the_page_s_language(browser: Any, site: Any) -> None:
    page, _ = open_page(browser, site[0], "phone", locale="pt-BR")
    page.fill("#question", "x" * 20_001)
    page.keyboard.press("Enter")
    says = "O texto tem 20.001 caracteres, e este modelo aceita 20.000."
    page.locator("#log .trouble", has_text=says).wait_for()


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


def test_a_key_that_no_header_can_hold_is_asked_for_again(
    browser: Any, site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mirim.server import keys

    url, _, home = site
    monkeypatch.chdir(tmp_path)
    home.keys, home.demand_keys = keys.Watched(keys.store(None), interval=0.0), True
    page = browser.new_context().new_page()
    page.goto(url)
    page.fill("#key", "“mk-1-curly”")
    page.keyboard.press("Enter")
    page.locator("#key-wrong", has_text="unknown or revoked").wait_for()
    page.fill("#key", keys.new().data["key"])
    page.keyboard.press("Enter")
    page.wait_for_selector("#model option", state="attached")


def test_escape_does_not_leave_the_page_waiting_for_a_key_for_ever(browser: Any, site: Any, tmp_path: Path) -> None:
    from mirim.server import keys

    url, _, home = site
    home.keys, home.demand_keys = keys.Watched(keys.store(Project.open(tmp_path)), interval=0.0), True
    page = browser.new_context().new_page()
    page.goto(url)
    page.wait_for_selector("#keys[open]")
    for _ in range(3):
        page.keyboard.press("Escape")
        page.wait_for_timeout(100)
    assert page.locator("#keys").is_visible()
    page.fill("#key", keys.new(Project.open(tmp_path)).data["key"])
    page.keyboard.press("Enter")
    page.wait_for_selector("#model option", state="attached")
    assert not page.locator("#keys").is_visible()


def test_a_new_conversation_begun_in_mid_answer_holds_nothing_of_the_old_one(browser: Any, site: Any) -> None:
    url, _, home = site
    page, troubles = open_page(browser, url, "desktop")
    page.select_option("#model", "bare")
    ask(page, "Tell me more")
    page.locator("#log .answer .text", has_text="another").wait_for()
    page.click("#fresh")
    assert page.locator("#send").is_visible()
    assert until(lambda: not home.room.models["bare"].lane.busy)
    assert page.locator("#export").is_disabled()
    with page.expect_request("**/v1/chat/completions") as sent:
        ask(page, "Hello")
    assert sent.value.post_data_json["messages"] == [{"role": "user", "content": "Hello"}]
    page.locator("#log .answer .text", has_text="another").wait_for()
    assert page.locator("#log li").count() == 2
    assert troubles == []


def test_a_conversation_outlives_a_reload_and_a_look_at_the_load(browser: Any, site: Any) -> None:
    url, _, _ = site
    page, troubles = open_page(browser, url, "desktop")
    ask(page, "Must I fast? <img src=x onerror=alert(1)>").locator(".cite").wait_for()
    ask(page, "Who won the cup?").locator(".badge").wait_for()
    page.click("a[href='/admin']")
    page.wait_for_selector("#models tr")
    page.go_back()
    page.locator("#log > li").nth(3).wait_for()
    assert "Fast for eight hours" in page.locator("#log .answer .text").first.inner_text()
    assert "<img" in page.locator("#log .user .text").first.inner_text()
    assert page.locator("#log .badge").count() == 1
    assert page.locator("#export").is_enabled()
    page.wait_for_selector("#model option", state="attached")
    page.select_option("#model", "bare")
    with page.expect_request("**/v1/chat/completions") as sent:
        answer = ask(page, "And then?")
    assert len(sent.value.post_data_json["messages"]) == 5
    answer.locator(".text", has_text="another").wait_for()
    page.reload()
    page.locator("#log > li").nth(3).wait_for()
    assert page.locator("#log > li").count() == 4
    assert page.input_value("#question") == "And then?"
    page.click("#fresh")
    page.reload()
    page.wait_for_selector("#model option", state="attached")
    assert page.locator("#log > li").count() == 0
    assert page.locator("#welcome").is_visible()
    assert troubles == []


def test_a_server_that_was_not_there_yet_is_asked_again(browser: Any, site: Any) -> None:
    url, _, _ = site
    page = browser.new_context().new_page()
    page.route("**/v1/models", lambda route: route.abort())
    page.goto(url)
    page.locator("#log .trouble", has_text="cannot be reached").wait_for()
    ask(page, "Must I fast?")
    page.wait_for_timeout(200)
    assert page.locator("#log .trouble").count() == 1
    assert page.input_value("#question") == "Must I fast?"
    page.unroute_all()
    page.press("#question", "Enter")
    page.locator(".cite").wait_for()
    assert page.locator("#log .trouble").count() == 0


def test_an_opinion_can_be_sent_at_phone_size_and_only_once(browser: Any, site: Any) -> None:
    url, folder, _ = site
    page, _ = open_page(browser, url, "phone")
    for _ in range(3):
        ask(page, "Must I fast?").locator(".sure").wait_for()
    page.get_by_role("button", name="Bad answer").last.click()
    page.wait_for_timeout(100)
    button = page.locator(".comment .main")
    box = button.bounding_box()
    assert box["y"] + box["height"] <= page.locator("#ask .field").bounding_box()["y"]
    button.evaluate("e => { e.click(); e.click() }")
    page.wait_for_selector("p.comment")
    assert len((folder / "data" / "feedback.jsonl").read_text("utf-8").splitlines()) == 1


def test_a_long_text_is_not_cut_silently(browser: Any, site: Any) -> None:
    page, _ = open_page(browser, site[0], "desktop")
    page.focus("#question")
    page.keyboard.insert_text("word " * 8000)
    assert len(page.input_value("#question")) == 40_000


#: What goes wrong, and what is said of it in Portuguese and English.
TROUBLES = {
    "busy": ("ocupado. Tente de novo em 1 s.", "busy. Try again in 1 s."),
    "long": ("tem 2.000 tokens, e este modelo aceita 100.", "has 2,000 tokens, and this model takes 100."),
    "late": ("passou de 0,05 segundos", "longer than 0.05 seconds"),
    "failed": ("O motivo está no registro dele, em req-", "Its log says why, under req-"),
    "broken": ("O registro dele diz mais, em req-", "Its log says more, under req-"),
    "gone": ("não está mais disponível", "is not served any more"),
    "cut": ("A conexão caiu", "The connection broke off"),
    "proxy": ("O servidor não responde.", "The server cannot be reached."),
    "odd": ("Não deu certo: something odd", "That did not work: something odd"),
    "offline": ("O servidor não responde.", "The server cannot be reached."),
}


@pytest.mark.parametrize("locale", ["pt-BR", "en-US"])
def test_what_goes_wrong_is_told_in_the_page_s_language(browser: Any, site: Any, locale: str) -> None:
    url, _, home = site
    page, _ = open_page(browser, url, "phone", locale)
    page.select_option("#model", "bare")
    engine, lane = home.room.engines["bare"].engine, home.room.models["bare"].lane
    begun = 'data: {"id": "x", "choices": [{"delta": {"content": "One word"}}]}\n\n'
    odd = {"error": {"message": "something odd", "type": "invalid_request_error", "param": None, "code": "never_seen"}}
    replies = {
        "cut": {"status": 200, "content_type": "text/event-stream", "body": begun},
        "proxy": {"status": 502, "content_type": "text/html", "body": "<h1>Bad Gateway</h1>"},
        "odd": {"status": 400, "json": odd},
    }
    for number, (kind, says) in enumerate(TROUBLES.items(), 1):
        lane.limit = 0 if kind == "busy" else 64
        home.deadline = 0.05 if kind == "late" else 600.0
        failures = {"failed": MirimError("out of memory"), "broken": RuntimeError("secret")}
        engine.script = [failures.get(kind, "One word after another, " * 20)]
        if kind == "gone":
            served = home.room.models.pop("bare")
        elif kind in replies:
            home.room.models["bare"] = served
            page.unroute_all()
            page.route("**/v1/chat/completions", lambda route, _, kind=kind: route.fulfill(**replies[kind]))
        elif kind == "offline":
            page.unroute_all()
            page.context.set_offline(True)
        question = ("palavra " * 2000).strip() if kind == "long" else kind
        ask(page, question)
        trouble = page.locator("#log .trouble").nth(number - 1)
        trouble.wait_for()
        assert says[locale == "en-US"] in trouble.inner_text()
        assert "secret" not in trouble.inner_text()
        assert page.locator("#question").input_value() == question
    assert no_sideways_scroll(page)
    shoot(page, f"phone-troubles-{locale[:2]}")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"models": ("clinic",)}, "Sua chave não permite usar este modelo."),
        ({"rate": "3/h"}, "Esta chave fez pedidos demais. Tente de novo em "),
    ],
)
def test_what_a_key_may_not_do(
    browser: Any, site: Any, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], says: str
) -> None:
    from mirim.server import keys

    url, folder, home = site
    monkeypatch.chdir(folder)
    home.keys, home.demand_keys = keys.Watched(keys.store(None), interval=0.0), True
    page = browser.new_context(viewport={"width": 390, "height": 844}, locale="pt-BR").new_page()
    page.goto(url)
    page.fill("#key", "wrong")
    page.keyboard.press("Enter")
    page.locator("#key-wrong", has_text="Esta chave é desconhecida ou foi revogada.").wait_for()
    shoot(page, "phone-key-pt")
    page.fill("#key", keys.new(**change).data["key"])
    page.keyboard.press("Enter")
    page.wait_for_selector("#model option", state="attached")
    if "models" in change:
        # The list has only what the key may use; another tab may have chosen before.
        page.evaluate(
            "document.querySelector('#model').add(new Option('bare')); document.querySelector('#model').value = 'bare'"
        )
    for _ in range(4):
        ask(page, "word").locator(".text:not([aria-busy])").wait_for()
    assert says in page.locator("#log .trouble").last.inner_text()
    if "models" in change:
        page.goto(f"{url}/admin")
        page.locator("#key-wrong", has_text="Esta chave não dá acesso a esta tela.").wait_for()


def test_what_went_wrong_beside_the_conversation(browser: Any, site: Any) -> None:
    """Sources, feedback, the admin view."""
    url, folder, home = site
    page, _ = open_page(browser, url, "phone", "pt-BR")
    answer = ask(page, "fast?")
    answer.locator(".cite").wait_for()
    home.room.models["clinic"].assistant.index = Empty()
    answer.locator(".cite").click()
    page.locator("#source-text", has_text="Este documento não existe mais").wait_for()
    page.keyboard.press("Escape")
    (folder / "data" / "feedback.jsonl").mkdir(parents=True)
    page.get_by_role("button", name="Boa resposta").click()
    page.keyboard.press("Enter")
    page.locator("p.comment", has_text="O motivo está no registro dele, em req-").wait_for()
    page.goto(f"{url}/admin")
    page.wait_for_selector("#models tr")
    page.context.set_offline(True)
    page.locator("#trouble", has_text="O servidor não responde.").wait_for()


class Empty(Index):
    def documents(self) -> list[tuple[str, str, str]]:
        return []


def test_what_is_written_from_right_to_left_stands_so(browser: Any, site: Any) -> None:
    page, troubles = open_page(browser, site[0], "phone")
    ask(page, "متى تفتحون اليوم!").wait_for()
    text = page.locator("#log li.user .text").last
    first, mark = text.evaluate(
        """el => [0, el.textContent.length - 1].map(n => {
            const range = document.createRange();
            range.setStart(el.firstChild, n);
            range.setEnd(el.firstChild, n + 1);
            return range.getBoundingClientRect().left;
        })"""
    )
    assert mark < first
    ask(page, "When do you open?").wait_for()
    assert page.locator("#log li.user .text").last.evaluate("el => getComputedStyle(el).textAlign") == "start"
    assert not troubles
