"""A larger model as teacher, behind any OpenAI-compatible endpoint: questions whose answers it must quote."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mirim.core.errors import MirimError, UsageError
from mirim.core.extras import need
from mirim.core.files import read_jsonl
from mirim.core.progress import note, track
from mirim.core.stamp import fingerprint
from mirim.core.types import Document, Passage, Span
from mirim.documents.passages import cut
from mirim.examples.questions import Asked

#: Calls under way at once, tries of one call, seconds one may take.
PARALLEL, TRIES, TIMEOUT = 4, 4, 120.0

_PROMPT = {
    "en": 'Read the text. Write up to 4 questions that a customer might ask and that the text answers, each in other words than the text\'s. Reply with JSON only: {{"items": [{{"question": "...", "quote": "the sentence of the text that answers, word for word"}}]}}\n\n{heading}\n{text}',
    "pt": 'Leia o texto. Escreva até 4 perguntas que um cliente poderia fazer e que o texto responde, cada uma com palavras diferentes das do texto. Responda só com JSON: {{"items": [{{"question": "...", "quote": "a frase do texto que responde, palavra por palavra"}}]}}\n\n{heading}\n{text}',
}


def ask(documents: Iterable[Document], url: str, model: str, journal: Path) -> Iterator[tuple[Document, list[Asked]]]:
    """The teacher's questions, document by document. A quote that is not in the passage is dropped with its question.

    Each reply is written to `journal` as it comes: an interrupted run pays for no call twice. UsageError for
    an endpoint that refuses the key or the model; MirimError when it stays unreachable.
    """
    httpx = need("httpx", "serve")
    key = os.environ.get("MIRIM_TEACHER_KEY") or os.environ.get("OPENAI_API_KEY") or "none"
    done = {row["key"]: row for row in read_jsonl(journal)} if journal.is_file() else {}
    journal.parent.mkdir(parents=True, exist_ok=True)
    spent = [0, 0]
    dropped = 0
    client = httpx.Client(timeout=TIMEOUT, headers={"Authorization": f"Bearer {key}"})
    with client, journal.open("a", encoding="utf-8") as out, ThreadPoolExecutor(PARALLEL) as pool:

        def call(passage: Passage) -> dict[str, Any]:
            digest = fingerprint(model, passage.heading, passage.text)
            return done.get(digest) or _call(client, url, model, passage, digest)

        for document in track(list(documents), "teacher"):
            passages = [p for p in cut(document) if len(p.text.split()) >= 12]
            asked: list[Asked] = []
            for passage, row in zip(passages, pool.map(call, passages), strict=True):
                if row["key"] not in done:
                    done[row["key"]] = row
                    out.write(json.dumps(row, ensure_ascii=False) + "\n")
                    out.flush()
                    spent[0] += row["tokens"][0]
                    spent[1] += row["tokens"][1]
                found = list(_grounded(row["items"], passage))
                dropped += len(row["items"]) - len(found)
                asked += found
            yield document, asked
    note(
        f"teacher: {spent[0]:,} tokens read, {spent[1]:,} written; {dropped} questions dropped, their quotes are not in the text"
    )


def _call(client: Any, url: str, model: str, passage: Passage, digest: str) -> dict[str, Any]:
    import httpx

    prompt = _PROMPT.get(passage.language, _PROMPT["en"]).format(heading=passage.heading, text=passage.text)
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "temperature": 0.3, "max_tokens": 600}
    problem = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(2.0**attempt / 2)
        try:
            reply = client.post(f"{url.rstrip('/')}/chat/completions", json=body)
        except httpx.HTTPError as error:
            problem = f"{type(error).__name__}: {error}"
            continue
        if reply.status_code in (400, 401, 403, 404, 422):
            raise UsageError(
                f"the teacher at {url} refused the call ({reply.status_code}: {reply.text[:200]}); check --teacher-model and MIRIM_TEACHER_KEY"
            )
        if reply.status_code != 200:
            problem = f"status {reply.status_code}: {reply.text[:200]}"
            continue
        try:
            row = reply.json()
            text = row["choices"][0]["message"]["content"] or ""
        except (ValueError, KeyError, IndexError, TypeError):
            problem = "a reply that is not of OpenAI's shape"
            continue
        usage = row.get("usage") or {}
        return {
            "key": digest,
            "items": _items(text),
            "tokens": [int(usage.get("prompt_tokens", 0)), int(usage.get("completion_tokens", 0))],
        }
    raise MirimError(
        f"the teacher at {url} did not answer after {TRIES} tries ({problem}); what it gave so far is kept, run again to go on"
    )


def _items(text: str) -> list[dict[str, str]]:
    """The questions of a reply; a reply that is not the JSON asked for gives none."""
    start, end = text.find("{"), text.rfind("}")
    try:
        items = json.loads(text[start : end + 1])["items"]
        return [
            {"question": i["question"].strip(), "quote": i["quote"].strip()} for i in items if i["question"].strip()
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def _grounded(items: list[dict[str, str]], passage: Passage) -> Iterator[Asked]:
    for item in items:
        start = passage.text.find(item["quote"]) if len(item["quote"]) >= 8 else -1
        if start >= 0:
            span = Span(passage.document, passage.start + start, passage.start + start + len(item["quote"]))
            yield Asked(item["question"], passage.language, span, item["quote"], passage.heading, "teacher")
