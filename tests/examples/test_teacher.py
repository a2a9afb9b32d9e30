"""The teacher: a fake endpoint on this machine; quotes checked, calls paid once, keys kept quiet."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from mirim.core.errors import MirimError, UsageError
from mirim.core.project import Project
from mirim.examples import teacher
from mirim.examples.synth import synth

KEY = "sk-very-secret-0123456789"


class Teacher(ThreadingHTTPServer):
    """Answers each passage with a question whose quote is its longest line, and one whose quote is made up."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.statuses: list[int] = []
        self.fail_after = 10**9
        self.reply: Callable[[str], Any] = self.good
        self.usage: Any = {"prompt_tokens": 100, "completion_tokens": 20}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    @staticmethod
    def good(prompt: str) -> str:
        text = prompt.split("\n\n", 1)[1]
        sentence = max(re.findall(r"[A-ZÀ-Ý][^.|#\n]{20,}\.", text), key=len, default="none at all here")
        items = [
            {"question": f"In other words, {sentence.split()[-1]}", "quote": "  ".join(sentence.split())},
            {"question": "Is this made up?", "quote": "a sentence that stands nowhere"},
        ]
        return "```json\n" + json.dumps({"items": items}, ensure_ascii=False) + "\n```"


class Handler(BaseHTTPRequestHandler):
    server: Teacher

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.keys.add(self.headers["Authorization"])
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if len(self.server.bodies) >= self.server.fail_after:
            status = 500
        if status == 200:
            self.server.bodies.append(body)
        content = self.server.reply(body["messages"][0]["content"])
        row = {"choices": [{"message": {"content": content}}], "usage": self.server.usage}
        data = json.dumps(row if status == 200 else {"error": "bad key " + self.headers["Authorization"]}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Teacher]:
    monkeypatch.setenv("MIRIM_TEACHER_KEY", KEY)
    monkeypatch.setattr(teacher, "PAUSE", 0.005)
    with Teacher() as one:
        thread = threading.Thread(target=one.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield one
        one.shutdown()
        thread.join()


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(teacher, "note", found.append)
    return found


def test_a_question_with_a_persons_number_is_not_learned(make: Callable[..., Project], server: Teacher) -> None:
    def reply(prompt: str) -> str:
        items = json.loads(server.good(prompt)[8:-4])["items"]
        return json.dumps({"items": [item | {"question": "May CPF 529.982.247-25 come in?"} for item in items]})

    server.reply = reply
    project = make()
    report = synth(project, teacher_url=server.url, teacher_model="m")
    assert report.data["left_out"]["private"] > 0
    written = "".join(path.read_text("utf-8") for path in project.examples.glob("*.jsonl"))
    assert written
    assert "529.982" not in written


Read = Callable[[Project], list[dict[str, Any]]]


def test_grounded_questions_are_kept_and_made_up_ones_dropped(
    make: Callable[..., Project], read: Read, server: Teacher, notes: list[str]
) -> None:
    project = make()
    synth(project, teacher_url=server.url, teacher_model="big")
    taught = [r for r in read(project) if r["origin"] == "teacher" and r["sources"]]
    assert {r["task"] for r in taught} == {"judge", "answer", "ask"}
    assert all(r["metadata"]["question"].startswith("In other words") for r in taught)
    assert not any("made up" in json.dumps(r) for r in read(project))
    assert {b["model"] for b in server.bodies} == {"big"}
    assert {b["messages"][0]["content"][:4] for b in server.bodies} == {"Read", "Leia"}
    calls = len(server.bodies)
    assert f"{calls} calls, {calls * 100:,} tokens read, {calls * 20:,} written" in notes[-1]
    assert "dropped" in notes[-1]


@pytest.mark.slow
def test_no_call_is_paid_twice(make: Callable[..., Project], server: Teacher) -> None:
    project = make()
    server.fail_after = 3
    with pytest.raises(MirimError, match="run again to go on"):
        synth(project, teacher_url=server.url, teacher_model="big")
    assert not project.examples.exists() or not list(project.examples.glob("*.jsonl"))
    paid = len(server.bodies)
    assert paid >= 3
    journal = project.root / "data" / "teacher.jsonl"
    assert len(journal.read_text("utf-8").splitlines()) == paid
    # A killed process may leave half a line.
    with journal.open("a", encoding="utf-8") as stream:
        stream.write('{"key": "half')
    server.fail_after = 10**9
    synth(project, teacher_url=server.url, teacher_model="big")
    prompts = [b["messages"][0]["content"] for b in server.bodies]
    assert len(prompts) == len(set(prompts)) > paid
    synth(project, teacher_url=server.url, teacher_model="big", seed=3)
    assert len(server.bodies) == len(prompts)


def test_busy_servers_are_asked_again(make: Callable[..., Project], server: Teacher) -> None:
    server.statuses = [429, 503, 500]
    synth(make(), teacher_url=server.url, teacher_model="big")
    assert len(server.bodies) > 4
    assert server.statuses == []


def test_a_refused_key_is_said_without_the_key(
    make: Callable[..., Project], server: Teacher, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make()
    server.statuses = [401] * 50
    with pytest.raises(UsageError) as refused:
        synth(project, teacher_url=server.url, teacher_model="big")
    assert "401" in str(refused.value)
    assert KEY not in str(refused.value)
    assert server.keys == {f"Bearer {KEY}"}
    printed = capsys.readouterr()
    assert KEY not in printed.out + printed.err
    assert not [p for p in project.root.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]


@pytest.mark.parametrize(
    "reply",
    ["no JSON at all", "{", '{"items": 5}', '{"items": [{"question": 1, "quote": 2}]}', "[]", '{"items": [null]}'],
)
def test_replies_of_another_shape_give_no_questions(
    make: Callable[..., Project], read: Read, server: Teacher, reply: str
) -> None:
    server.reply = lambda prompt: reply
    project = make()
    synth(project, teacher_url=server.url, teacher_model="big")
    assert {r["origin"] for r in read(project)} == {"extract"}


def test_held_out_questions_of_the_teacher_are_left_out(
    make: Callable[..., Project], read: Read, server: Teacher
) -> None:
    question = "What colour is the towel that I must bring along?"
    server.reply = lambda prompt: json.dumps(
        {"items": [{"question": question.lower(), "quote": q} for q in re.findall(r"[A-Z][^.|#\n]{20,}\.", prompt)]}
    )
    project = make(evals=[question])
    synth(project, teacher_url=server.url, teacher_model="big")
    assert not any("colour is the towel" in json.dumps(r) for r in read(project))


def test_a_server_that_is_not_there(make: Callable[..., Project], server: Teacher) -> None:
    with pytest.raises(MirimError, match="did not answer"):
        synth(make(), teacher_url="http://127.0.0.1:9/v1", teacher_model="big")


def _asked(prompt: str, *more: Any) -> list[Any]:
    return [{"question": "In other words, when?", "quote": q} for q in re.findall(r"[A-Z][^.|#\n]{20,}\.", prompt)] + [
        *more
    ]


@pytest.mark.parametrize(
    "reply",
    [
        lambda prompt: "As {you} wish:\n" + json.dumps({"items": _asked(prompt)}) + "\nMay {it} help.",
        lambda prompt: json.dumps(_asked(prompt)),
        lambda prompt: json.dumps({"items": _asked(prompt, {"question": None, "quote": "x"}, "text", None)}),
        lambda prompt: json.dumps({"items": _asked(prompt, {"question": "Why is it cut off?", "quote": "x"})})[:-9],
        lambda prompt: json.dumps({"items": _asked(prompt, {"question": "What \ud83d is it?", "quote": "x"})}),
        lambda prompt: [{"type": "thinking"}, {"type": "text", "text": json.dumps({"items": _asked(prompt)})}],
    ],
    ids=["words around", "a list", "odd questions", "cut off", "half a character", "parts"],
)
def test_what_is_right_in_a_reply_is_used(
    make: Callable[..., Project], read: Read, server: Teacher, reply: Callable[[str], Any]
) -> None:
    server.reply = reply
    project = make()
    synth(project, teacher_url=server.url, teacher_model="big")
    assert "In other words, when?" in {r["metadata"].get("question") for r in read(project) if r["origin"] == "teacher"}


@pytest.mark.parametrize("usage", [None, "none", {"prompt_tokens": "many", "completion_tokens": None}])
def test_tokens_that_are_not_told_are_not_counted(
    make: Callable[..., Project], server: Teacher, notes: list[str], usage: Any
) -> None:
    server.usage = usage
    synth(make(), teacher_url=server.url, teacher_model="big")
    assert "0 tokens read, 0 written" in notes[-1]


def test_replies_that_are_not_what_was_asked_for_are_told_and_not_kept(
    make: Callable[..., Project], server: Teacher, notes: list[str]
) -> None:
    server.reply = lambda prompt: "I cannot help with that."
    project = make()
    synth(project, teacher_url=server.url, teacher_model="big")
    calls = len(server.bodies)
    assert (
        f'{calls} of {calls} replies are not the JSON that was asked for and give no questions, such as "I '
        in notes[-1]
    )
    assert not (project.root / "data" / "teacher.jsonl").read_text("utf-8")


@pytest.mark.parametrize("question", ["???", "x", "Is it\u0007 so?", None])
def test_what_asks_nothing_is_dropped(
    make: Callable[..., Project], read: Read, server: Teacher, question: str | None
) -> None:
    """None stands for the sentence itself."""
    server.reply = lambda prompt: json.dumps(
        {"items": [{"question": question or q, "quote": q} for q in re.findall(r"[A-Z][^.|#\n]{20,}\.", prompt)]}
    )
    project = make()
    synth(project, teacher_url=server.url, teacher_model="big")
    assert {r["origin"] for r in read(project)} == {"extract"}


def test_a_question_is_one_line(make: Callable[..., Project], read: Read, server: Teacher) -> None:
    server.reply = lambda prompt: json.dumps(
        {"items": [one | {"question": "When is it?\n? yes\nIgnore this"} for one in _asked(prompt)]}
    )
    project = make()
    synth(project, teacher_url=server.url, teacher_model="big")
    asked = {r["metadata"].get("question") for r in read(project) if r["origin"] == "teacher"}
    assert "When is it? ? yes Ignore this" in asked
    assert not any("\n" in str(one) for one in asked)
