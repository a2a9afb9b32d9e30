"""Who may ask, how much, from where; and what is never told."""

from __future__ import annotations

import asyncio
import json
import logging
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from server_fakes import Scripted, fixture_document, house

from mirim.core.errors import UsageError
from mirim.core.project import Project
from mirim.server import keys
from mirim.server.app import build
from mirim.server.serve import _auditor
from mirim.server.wire import BODY

BODY_OK = {"model": "bare", "messages": [{"role": "user", "content": "hi"}]}


def new_project(folder: Path) -> Path:
    (folder / "mirim.toml").write_text('[project]\nname = "hive"\n')
    return folder


def post(http: Any, **options: Any) -> Any:
    return http.post("/v1/chat/completions", **options)


# -- keys ----------------------------------------------------------------------------------------------------


def test_a_key_is_stored_as_a_salted_digest_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    a, b = keys.new(name="a").data, keys.new(name="b", models=("m",), rate="5/s", admin=True).data
    path = keys.store(None)
    text = path.read_text()
    assert a["key"].split("-", 2)[2] not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    stored = keys.load(path)
    assert stored[a["id"]].salt != stored[b["id"]].salt
    assert (b["rate"], b["models"], b["admin"]) == (300.0, ["m"], True)
    assert "salt" not in json.dumps(keys.list().data)
    found = keys.find(stored, a["key"])
    assert found is not None
    assert found.id == a["id"]
    assert keys.find(stored, a["key"][:-1] + ("A" if a["key"][-1] != "A" else "B")) is None
    assert keys.find(stored, "") is None
    keys.revoke(a["id"])
    assert keys.find(keys.load(path), a["key"]) is None
    with pytest.raises(UsageError):
        keys.revoke("nope")
    with pytest.raises(UsageError):
        keys.new(rate="often")


@pytest.mark.parametrize(
    ("rate", "a_minute"),
    [("60", 60), ("5/s", 300), ("90 / min", 90), ("90/minutes", 90), ("1200/hora", 20), ("2880/dia", 2), ("1440/d", 1)],
)
def test_a_rate_is_read_in_whole_words(tmp_path: Path, rate: str, a_minute: float) -> None:
    assert keys.new(new_project(tmp_path), rate=rate).data["rate"] == a_minute


@pytest.mark.parametrize("rate", ["60/month", "5/semana", "60/dozen", "60/", "0/min", "60/mins ago"])
def test_a_rate_that_would_be_guessed_at_is_refused(tmp_path: Path, rate: str) -> None:
    with pytest.raises(UsageError, match="5000/day"):
        keys.new(new_project(tmp_path), rate=rate)


def test_a_key_is_not_put_elsewhere_because_the_project_s_settings_are_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIRIM_HOME", str(tmp_path / "home"))
    (tmp_path / "clinic").mkdir()
    (tmp_path / "clinic" / "mirim.toml").write_text("[project\n")
    monkeypatch.chdir(tmp_path / "clinic")
    with pytest.raises(UsageError, match=r"mirim\.toml cannot be read"):
        keys.new(name="front desk")
    assert not (tmp_path / "home").exists()


def test_every_file_of_the_audit_log_is_its_user_s_alone(tmp_path: Path) -> None:
    write = _auditor(tmp_path / "audit.jsonl")
    for _ in range(12):
        write({"route": "x" * 2**20})
    files = sorted(tmp_path.iterdir())
    assert [p.name for p in files] == ["audit.jsonl", "audit.jsonl.1"]
    assert [stat.S_IMODE(p.stat().st_mode) for p in files] == [0o600, 0o600]


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    watched = keys.Watched(keys.store(None), interval=0.0)
    return house(keys=watched, demand_keys=True)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_without_a_key_nothing_is_answered(client: Any, guarded: Any) -> None:
    http = client(guarded)
    for word in ("", "Bearer x", "Bearer mk-0123456789ab-" + "A" * 43, "Basic abc"):
        reply = post(http, json=BODY_OK, headers={"authorization": word} if word else {})
        assert reply.status_code == 401
        assert reply.json()["error"]["code"] == "invalid_api_key"
    for path in ("/v1/models", "/metrics", "/mirim/status"):
        assert http.get(path).status_code == 401
    assert http.get("/health").status_code == 200
    assert http.get("/ready").json()["models"] is None


def test_scopes_rates_and_revocation(client: Any, guarded: Any) -> None:
    http = client(guarded)
    scoped = keys.new(models=("bare",), rate="3/min").data
    head = bearer(scoped["key"])
    assert post(http, json=BODY_OK, headers=head).status_code == 200
    assert post(http, json={**BODY_OK, "model": "clinic"}, headers=head).status_code == 403
    assert [m["id"] for m in http.get("/v1/models", headers=head).json()["data"]] == ["bare"]
    refused = post(http, json=BODY_OK, headers=head)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 21
    plain = keys.new().data
    assert http.get("/metrics", headers=bearer(plain["key"])).status_code == 403
    admin = keys.new(admin=True).data
    assert http.get("/metrics", headers=bearer(admin["key"])).status_code == 200
    keys.revoke(plain["id"])
    assert post(http, json=BODY_OK, headers=bearer(plain["key"])).status_code == 401


@pytest.mark.parametrize("damage", ["", "[]", '{"keys": [{"id": "a"}]}', "salt"])
def test_a_damaged_file_of_keys_is_the_server_s_fault_until_it_is_mended(
    client: Any, guarded: Any, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever asks learns nothing of this machine's folders; whoever runs the server reads in its log what is wrong."""
    http, made, path = client(guarded), keys.new(), keys.store(None)
    headers = bearer(made.data["key"])
    assert http.get("/v1/models", headers=headers).status_code == 200
    whole, aside = path.read_text(), path.with_name("aside")
    path.rename(aside)
    salt = json.loads(whole)["keys"][0]["salt"]
    path.write_text(whole.replace(salt, "zz") if damage == "salt" else damage)
    with caplog.at_level("ERROR", "mirim.server"):
        for _ in range(2):
            reply = http.get("/v1/models", headers=headers)
            assert (reply.status_code, reply.json()["error"]["code"]) == (503, "keys_unreadable")
            assert str(path.parent) not in reply.text
    assert len(caplog.records) == 1
    assert str(path) in caplog.text
    assert http.get("/v1/models").status_code == 401
    aside.rename(path)
    assert http.get("/v1/models", headers=headers).status_code == 200


def test_on_this_machine_any_word_passes_but_a_broken_key_does_not(client: Any, tmp_path: Path) -> None:
    http = client(house(keys=keys.Watched(tmp_path / "keys.json")))
    assert post(http, json=BODY_OK, headers=bearer("sk-none")).status_code == 200
    assert post(http, json=BODY_OK, headers=bearer("mk-000000000000-" + "x" * 43)).status_code == 401


# -- bodies ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "expects", "read"), [(BODY * 2, False, 2), (BODY * 2, True, 0), (10**9, False, 0)]
)
def test_a_body_that_is_too_long_is_heard_out_before_it_is_refused(declared: int, expects: bool, read: int) -> None:
    """A client that is answered while it sends sees its connection reset instead (Node's, more often than not)."""
    parts, sent = [b"x" * BODY] * 2, list[dict[str, Any]]()
    left = parts.copy()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": left.pop(), "more_body": bool(left)} if left else await asyncio.Future()

    async def send(message: dict[str, Any]) -> None:
        sent.append({**message, "read": len(parts) - len(left)})

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    headers += [(b"content-length", str(declared).encode()), *([(b"expect", b"100-continue")] if expects else [])]
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "query_string": b"", "headers": headers}
    scope |= {"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 1), "scheme": "http", "root_path": ""}
    asyncio.run(asyncio.wait_for(build(house())(scope, receive, send), 10))  # type: ignore[arg-type]
    assert (sent[0]["status"], sent[0]["read"]) == (413, read)


def test_bodies_that_are_refused(client: Any) -> None:
    http = client(house())
    json_type = {"content-type": "application/json"}
    assert post(http, content=b"x" * (BODY + 1), headers=json_type).status_code == 413
    assert post(http, content=(b"x" * 1000 for _ in range(BODY // 1000 + 2)), headers=json_type).status_code == 413
    assert post(http, content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    assert post(http, content=b"{}", headers={**json_type, "content-encoding": "gzip"}).status_code == 415
    deep = b'{"model":"bare","messages":' + b"[" * 100 + b"]" * 100 + b"}"
    abyss = b'{"model":"bare","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    for body in (
        b"",
        b"{",
        b"[]",
        b'{"a":NaN}',
        b"\xff\xfe",
        deep,
        abyss,
        b'{"model":' + b"9" * 5000 + b"}",
        b'{"model":"bare","messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"temperature":1e999}',
    ):
        reply = post(http, content=body, headers=json_type)
        assert reply.status_code == 400, body[:40]
        assert set(reply.json()["error"]) == {"message", "type", "param", "code"}


def test_headers_of_every_reply(client: Any) -> None:
    http = client(house())
    for reply in (http.get("/"), http.get("/nowhere"), post(http, json=BODY_OK), post(http, json={})):
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        assert "unsafe" not in reply.headers["content-security-policy"]
        assert "access-control-allow-origin" not in reply.headers
    assert post(http, json=BODY_OK).headers["cache-control"] == "no-store"


def test_pages_of_other_sites_are_kept_out(client: Any) -> None:
    evil = {"origin": "https://evil.example"}
    assert post(client(house()), json=BODY_OK, headers=evil).status_code == 403
    same = client(house())
    assert post(same, json=BODY_OK, headers={"origin": "http://testserver"}).status_code == 200
    opened = client(house(origins=("https://app.example",)))
    reply = post(opened, json=BODY_OK, headers={"origin": "https://app.example"})
    assert reply.headers["access-control-allow-origin"] == "https://app.example"
    asked = {"origin": "https://app.example", "access-control-request-method": "POST"}
    assert opened.options("/v1/chat/completions", headers=asked).status_code == 204
    # What OpenAI's client sends from a page: the browser stops it unless each is allowed.
    sent = "authorization,content-type,x-stainless-lang,x-stainless-retry-count"
    reply = opened.options("/v1/models", headers={**asked, "access-control-request-headers": sent})
    assert reply.headers["access-control-allow-headers"] == sent
    assert opened.options("/v1/chat/completions", headers={**asked, **evil}).status_code == 403


def test_a_foreign_host_name_is_refused(client: Any) -> None:
    http = client(house(hosts=("127.0.0.1", "localhost")), base_url="http://localhost:80")
    assert http.get("/health").status_code == 200
    assert http.get("/health", headers={"host": "rebound.example"}).status_code == 421
    # A probe in HTTP/1.0 names no host, which no browser leaves out.
    assert http.get("/health", headers={"host": ""}).status_code == 200


# -- files and logs -----------------------------------------------------------------------------------------------


def test_sources_show_what_is_indexed_and_nothing_else(client: Any, tmp_path: Path) -> None:
    (tmp_path / "mirim.toml").write_text("[project]\nname = 'clinic'\n")
    project = Project.open(tmp_path)
    fixture_document(project.documents)
    (tmp_path / "data" / "secret.md").write_text("---\n---\nsecret")
    home = house()
    home.room.project = project
    http = client(home)
    row = http.get("/mirim/sources/clinic/fasting.md?start=11&end=30").json()
    assert row["text"][row["mark_start"] : row["mark_end"]] == "Fast for eight hour"
    for name in ("..%2Fsecret", "../secret", "secret", "%2e%2e%2fsecret", "..\\secret"):
        assert http.get(f"/mirim/sources/clinic/{name}?start=0&end=1").status_code == 404
    for query in ("", "?start=-1&end=2", "?start=5&end=2", "?start=x&end=2", "?start=٣&end=٤"):
        assert http.get(f"/mirim/sources/clinic/fasting.md{query}").status_code == 400
    assert http.get("/mirim/sources/bare/fasting.md?start=0&end=1").status_code == 404


def test_sources_of_a_bundle_without_documents_come_from_the_index(client: Any) -> None:
    row = client(house()).get("/mirim/sources/clinic/fasting.md?start=11&end=30").json()
    assert row["text"][row["mark_start"] : row["mark_end"]] == "Fast for eight hour"


def test_static_files_are_a_fixed_list(client: Any) -> None:
    http = client(house())
    assert http.get("/").headers["content-type"].startswith("text/html")
    assert http.get("/web/chat.js").headers["content-type"].startswith("text/javascript")
    tag = http.get("/web/style.css").headers["etag"]
    assert http.get("/web/style.css", headers={"if-none-match": tag}).status_code == 304
    for path in ("/web/../keys.py", "/web/%2e%2e/keys.py", "/web/index.html/..", "/web/", "/web/keys.py"):
        assert http.get(path).status_code == 404


def test_feedback_is_stored_whole(client: Any, tmp_path: Path) -> None:
    (tmp_path / "mirim.toml").write_text("[project]\nname = 'clinic'\n")
    home = house()
    home.room.project = Project.open(tmp_path)
    http = client(home)
    row = {"model": "clinic", "rating": "down", "question": "q?", "answer": "a\nb", "comment": "não é isso"}
    for _ in range(2):
        assert http.post("/mirim/feedback", json=row).json()["stored"]
    lines = (tmp_path / "data" / "feedback.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == 2
    assert {k: json.loads(lines[0])[k] for k in row} == row
    assert http.post("/mirim/feedback", json={**row, "rating": "maybe"}).status_code == 400
    assert http.post("/mirim/feedback", json={**row, "path": "/etc"}).status_code == 400
    (tmp_path / "data" / "feedback.jsonl").unlink()
    (tmp_path / "data" / "feedback.jsonl").mkdir()
    assert http.post("/mirim/feedback", json=row).status_code == 500


def test_the_audit_log_holds_no_text(client: Any, caplog: pytest.LogCaptureFixture) -> None:
    rows: list[dict[str, Any]] = []
    http = client(house(Scripted(["a private answer"]), audit=rows.append))
    with caplog.at_level(logging.DEBUG):
        post(http, json={**BODY_OK, "messages": [{"role": "user", "content": "a private question"}]})
    (row,) = rows
    assert (row["status"], row["model"], row["completion_tokens"]) == (200, "bare", 3)
    assert "private" not in json.dumps(row) + caplog.text


def test_two_askers_never_get_each_other_s_answers(client: Any) -> None:
    """Nothing is kept between requests: the same words with another history are asked anew."""
    home = house()
    http = client(home)
    for history in ("I am Ana", "I am Rui"):
        messages = [{"role": "user", "content": history}, {"role": "user", "content": "must I fast?"}]
        post(http, json={"model": "clinic", "messages": messages})
    asked = home.room.models["clinic"].assistant.asked
    assert [h[0].content for _, h, _ in asked] == ["I am Ana", "I am Rui"]


@pytest.mark.slow
def test_a_long_body_holds_nobody_up() -> None:
    """Reading it gives way to others: the longest pause is far shorter than the reading."""
    parts = [{"type": "text", "text": "a"}] * 1000
    body = json.dumps({"model": "none", "messages": [{"role": "user", "content": parts}] * 80}).encode()
    app = build(house())
    pauses: list[float] = []

    async def main() -> float:
        done = asyncio.Event()
        ticks = asyncio.ensure_future(_ticks(pauses))
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await done.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            pass

        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "query_string": b""}
        scope |= {"headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 1), "scheme": "http"}
        began = time.perf_counter()
        await app({**scope, "root_path": ""}, receive, send)  # type: ignore[arg-type]
        ticks.cancel()
        done.set()
        return time.perf_counter() - began

    took = asyncio.run(main())
    assert len(pauses) > 5
    assert max(pauses) < took / 2


async def _ticks(pauses: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        pauses.append(time.perf_counter() - began)
