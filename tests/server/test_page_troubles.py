"""The web page in headless Chromium: keys, and what goes wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browsing import SIZES, ask, no_sideways_scroll, open_page, shoot
from server_fakes import Index

from mirim.core.errors import MirimError
from mirim.core.project import Project

pytestmark = pytest.mark.slow


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


def test_a_question_that_is_too_long_is_told_in_the_page_s_language(browser: Any, site: Any) -> None:
    page, _ = open_page(browser, site[0], "phone", locale="pt-BR")
    page.fill("#question", "x" * 20_001)
    page.keyboard.press("Enter")
    says = "O texto tem 20.001 caracteres, e este modelo aceita 20.000."
    page.locator("#log .trouble", has_text=says).wait_for()


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
