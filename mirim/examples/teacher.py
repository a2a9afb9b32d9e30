"""A larger model as teacher, behind any OpenAI-compatible endpoint: questions whose answers it must quote."""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mirim.core.errors import MirimError, UsageError
from mirim.core.extras import need
from mirim.core.progress import note, track
from mirim.core.report import visible
from mirim.core.stamp import fingerprint
from mirim.core.types import Document, Passage
from mirim.documents import store
from mirim.documents.passages import cut
from mirim.documents.words import tokens
from mirim.examples.questions import Asked, of_quote
from mirim.examples.units import units

#: Calls under way at once, tries of one call, seconds one may take, seconds before a second try.
PARALLEL, TRIES, TIMEOUT, PAUSE = 4, 4, 120.0, 0.5
#: Characters of a reply that are read: four questions with their quotes, and what a talkative model says before them.
READ = 16_000

_DECODER = json.JSONDecoder()
_PROMPT = {
    "en": (
        "Read the text. Write up to 4 questions that a customer might ask and that the text answers, each in other "
        'words than the text\'s. Reply with JSON only: {{"items": [{{"question": "...", '
        '"quote": "the sentence of the text that answers, word for word"}}]}}\n\n{heading}\n{text}'
    ),
    "pt": (
        "Leia o texto. Escreva até 4 perguntas que um cliente poderia fazer e que o texto responde, cada uma com "
        'palavras diferentes das do texto. Responda só com JSON: {{"items": [{{"question": "...", '
        '"quote": "a frase do texto que responde, palavra por palavra"}}]}}\n\n{heading}\n{text}'
    ),
}


def ask(folder: Path, ids: Sequence[str], url: str, model: str, data: Path) -> Iterator[tuple[Document, list[Asked]]]:
    """The teacher's questions, document by document. A quote that is not in the passage is dropped with its question.

    Each reply is written to teacher.jsonl in `data` as it comes: an interrupted run pays for no call twice. One that is
    not what was asked for is not kept, but told.
    UsageError for an endpoint that refuses the key or the model; MirimError when it stays unreachable.
    """
    httpx = need("httpx", "serve")
    key = os.environ.get("MIRIM_TEACHER_KEY") or os.environ.get("OPENAI_API_KEY") or "none"
    dropped = replies = 0
    strange: list[str] = []
    client = httpx.Client(timeout=TIMEOUT, headers={"Authorization": f"Bearer {key}"})
    with client, Journal(data / "teacher.jsonl") as journal, ThreadPoolExecutor(PARALLEL) as pool:

        def call(passage: Passage) -> dict[str, Any]:
            digest = fingerprint(model, passage.heading, passage.text)
            known = journal.get(digest)
            if known:
                return known
            text, used = _call(client, url, model, passage)
            items = _items(text[:READ])
            if items is None:
                strange.append(text)
            return journal.add({"key": digest, "items": items or [], "tokens": used}, keep=items is not None)

        for id_ in track(ids, "teacher"):
            document = store.load(folder, id_)
            passages = [p for p in cut(document) if len(p.text.split()) >= 12]
            asked: list[Asked] = []
            for passage, row in zip(passages, pool.map(call, passages), strict=True):
                found = list(_grounded(row["items"], passage))
                dropped += len(row["items"]) - len(found)
                replies += 1
                asked += found
            yield document, asked
        note(
            f"teacher: {journal.calls} calls, {journal.read:,} tokens read, {journal.written:,} written; "
            f"{dropped} questions dropped: they ask nothing, or their quotes are not in the text"
        )
        if strange:
            note(
                f"teacher: {len(strange)} of {replies} replies are not the JSON that was asked for and give no "
                f'questions, such as "{visible(strange[0])[:60]}"; another --teacher-model may do better'
            )


class Journal:
    """Replies by digest of what was asked, on disk as soon as they come, from any thread."""

    def __init__(self, path: Path) -> None:
        self.calls = self.read = self.written = 0
        self._lock = threading.Lock()
        self._rows: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
            # The last line of a killed run may be cut short: its call is made again.
            with contextlib.suppress(ValueError, KeyError, TypeError):
                row = json.loads(line)
                self._rows[row["key"]] = {"key": row["key"], "items": list(row["items"]), "tokens": row["tokens"]}
        cut_short = path.is_file() and path.stat().st_size and not path.read_bytes().endswith(b"\n")
        self._out = path.open("a", encoding="utf-8")
        if cut_short:
            self._out.write("\n")

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.close()

    def get(self, key: str) -> dict[str, Any] | None:
        return self._rows.get(key)

    def add(self, row: dict[str, Any], keep: bool = True) -> dict[str, Any]:
        """Count a reply, and write it down if it is to be known the next time."""
        with self._lock:
            if keep:
                self._rows[row["key"]] = row
                self._out.write(json.dumps(row, ensure_ascii=False) + "\n")
                self._out.flush()
            self.calls += 1
            self.read += row["tokens"][0]
            self.written += row["tokens"][1]
        return row


def _call(client: Any, url: str, model: str, passage: Passage) -> tuple[str, list[int]]:
    """What the teacher says of a passage, and how many tokens it read and wrote."""
    import httpx

    prompt = _PROMPT.get(passage.language, _PROMPT["en"]).format(heading=passage.heading, text=passage.text)
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "temperature": 0.3, "max_tokens": 600}
    problem, wait = "", 0.0
    for attempt in range(TRIES):
        if attempt:
            time.sleep(wait or PAUSE * 2.0**attempt)
        try:
            reply = client.post(f"{url.rstrip('/')}/chat/completions", json=body)
        except httpx.HTTPError as error:
            problem = f"{type(error).__name__}: {error}"
            continue
        if reply.status_code in (400, 401, 403, 404, 422):
            raise UsageError(
                f"the teacher at {url} refused the call ({reply.status_code}: {_quiet(reply.text, client)}); "
                "check --teacher-model and MIRIM_TEACHER_KEY"
            )
        if reply.status_code != 200:
            # A server that says when to come back is taken at its word, within reason.
            after = reply.headers.get("retry-after", "")
            wait = min(60.0, float(after)) if after.replace(".", "", 1).isdigit() else 0.0
            problem = f"status {reply.status_code}: {_quiet(reply.text, client)}"
            continue
        try:
            row = reply.json()
            return _said(row["choices"][0]["message"]["content"]), _tokens(row.get("usage"))
        except (ValueError, KeyError, IndexError, TypeError):
            problem = "a reply that is not of OpenAI's shape"
            continue
    raise MirimError(
        f"the teacher at {url} did not answer after {TRIES} tries ({problem}); "
        "what it gave so far is kept, run again to go on"
    )


def _quiet(text: str, client: Any) -> str:
    """The beginning of a server's complaint, without the key if it repeats it."""
    key = str(client.headers.get("authorization", "")).removeprefix("Bearer ")
    return (text.replace(key, "…") if len(key) > 4 else text)[:200]


def _said(content: Any) -> str:
    """The text of a message; models that think aloud give parts, some of which are text."""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _tokens(usage: Any) -> list[int]:
    counts = [usage.get(key) if isinstance(usage, dict) else 0 for key in ("prompt_tokens", "completion_tokens")]
    return [count if isinstance(count, int) else 0 for count in counts]


def _items(text: str) -> list[dict[str, str]] | None:
    """The questions of a reply, object by object, so that words around them, one that is odd or an end that is cut off
    cost no others; None where nothing is what was asked for."""
    found: list[dict[str, str]] = []
    asked, at = False, text.find("{")
    while at >= 0:
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            value, end = {}, at + 1
        items = value.get("items", [value])
        if isinstance(items, list):
            asked = asked or "items" in value
            found += filter(None, map(_item, items))
        at = text.find("{", end)
    return found if found or asked else None


def _item(value: Any) -> dict[str, str]:
    """A question and its quote on one line each; nothing where one is missing or holds what cannot be printed."""
    if not isinstance(value, dict):
        return {}
    question, quote = value.get("question"), value.get("quote")
    if not isinstance(question, str) or not isinstance(quote, str):
        return {}
    item = {"question": " ".join(question.split()), "quote": " ".join(quote.split())}
    return item if item["question"] and all(text.isprintable() for text in item.values()) else {}


def _grounded(items: list[dict[str, str]], passage: Passage) -> Iterator[Asked]:
    """Questions whose quote stands in the passage, each with the sentence that holds the quote."""
    for item in items:
        quote = item["quote"]
        # A teacher joins wrapped lines; white space is free, every other character must be the text's.
        found = re.search(r"\s+".join(map(re.escape, quote.split())), passage.text) if len(quote) >= 8 else None
        words = tokens(item["question"])
        if found is None or not 2 <= len(words) <= 60 or words == tokens(quote):
            continue
        start = passage.start + found.start()
        home = next((u for u in units(passage) if u.start <= start < u.end), None)
        if home is not None:
            yield of_quote(item["question"], home, passage.language, "teacher")
