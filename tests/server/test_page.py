"""The web page in headless Chromium, at phone and desktop size; screenshots go to $MIRIM_SHOTS when it is set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from browsing import SIZES, ask, no_sideways_scroll, open_page, shoot
from waiting import until

pytestmark = pytest.mark.slow


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
