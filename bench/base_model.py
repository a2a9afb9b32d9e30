"""What the bundled base can do: grammar, reading, refusing, function calls, follow-up questions.

    python bench/base_model.py ../shared/data --model mirim-base --out DIR [--limit N] [--alone]

Writes the sets into DIR (minimal pairs made from the templates in `pairs`, FairytaleQA's validation questions and the
Portuguese SQuAD sample in SQuAD's shape, passages without their answer's sentence, BFCL) and prints one JSON object.
Questions that follow a conversation are those of `follow_ups.jsonl`, written for this and never learned.
Pairs, reading and perplexity go through `mirim evaluate`, as anybody's files do. With `--alone` search's encoder reads
no passage beside the model (`mirim.models.read`), as where it is not installed.
"""

from __future__ import annotations

import argparse
import html
import itertools
import json
import random
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from mirim.core.files import read_jsonl, write_json, write_jsonl
from mirim.core.types import Message, Sampling
from mirim.documents.sentences import sentences
from mirim.evals.evaluate import evaluate
from mirim.evals.interval import bootstrap
from mirim.evals.metrics import exact_match, token_f1
from mirim.examples.tasks import rewrite, tools
from mirim.models import reader
from mirim.models.engine import open_engine
from mirim.server.pieces import Order
from mirim.server.produce import produce
from mirim.server.room import Served

#: Pairs made of a template at most.
PAIRS = 60
#: `{key}`, `{key 2}`, `{key:1}`; see bench/pairs/en.toml.
_SLOT = re.compile(r"\{(\w+)(?: (\d))?(?::(\d))?\}")


#: A question: id, title, text, question, answers (none: it has no answer there).
Row = tuple[str, str, str, str, tuple[str, ...]]


def pairs() -> Iterator[dict[str, str]]:
    """Fillings of the templates in bench/pairs, drawn evenly and the same at every call."""
    for path in sorted(Path(__file__).parent.joinpath("pairs").glob("*.toml")):
        held = tomllib.loads(path.read_text("utf-8"))
        for paradigm in held["paradigm"]:
            words = held["words"] | paradigm.get("words", {})
            rng = random.Random(paradigm["name"])
            drawn = dict.fromkeys(_filled(paradigm, words, rng) for _ in range(30 * PAIRS))
            for good, bad in itertools.islice(drawn, PAIRS):
                yield {
                    "sentence_good": good,
                    "sentence_bad": bad,
                    "phenomenon": paradigm["phenomenon"],
                    "paradigm": f"{paradigm['phenomenon']}: {paradigm['name']}",
                    "language": held["language"],
                }


def _filled(paradigm: dict[str, str], words: dict[str, list[str]], rng: random.Random) -> tuple[str, str]:
    """One good and one bad sentence, with the same words in the same slots."""
    picked: dict[tuple[str, str], str] = {}

    def fill(slot: re.Match[str]) -> str:
        key, other, form = slot[1], slot[2] or "", int(slot[3] or 0)
        if (key, other) not in picked:
            taken = {word for (k, _), word in picked.items() if k == key}
            picked[key, other] = rng.choice([word for word in words[key] if word not in taken])
        return picked[key, other].split("|")[form]

    return _SLOT.sub(fill, paradigm["good"]), _SLOT.sub(fill, paradigm["bad"])


def fairytales(folder: Path) -> Iterator[Row]:
    """(id, title, section, question, answers) of the questions that one section answers."""
    rows = (folder / "sections_val.jsonl").read_text("utf-8").splitlines()
    texts = {(r["story"], r["section"]): r["text"] for r in map(json.loads, rows)}
    for line in (folder / "questions_val.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        section = texts.get((row["story"], row["cor_section"]))
        if section:
            answers = tuple(dict.fromkeys(row[k] for k in ("answer1", "answer4") if row.get(k)))
            name = f"{row['story']}-{row['question_id']}"
            yield name, row["story"].replace("-", " "), " ".join(section.split()), row["question"], answers


def squad(rows: Iterable[Row], language: str) -> dict[str, Any]:
    """Questions in SQuAD's shape; one without answers has none."""
    held: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for name, title, text, question, answers in rows:
        held[title, text].append(
            {"id": name, "question": question, "answers": [{"text": a} for a in answers], "is_impossible": not answers}
        )
    data = [{"title": t, "paragraphs": [{"context": c, "qas": qas}]} for (t, c), qas in held.items()]
    return {"version": "1", "language": language, "data": data}


def portuguese(path: Path) -> Iterator[Row]:
    for article in json.loads(path.read_text("utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                answers = tuple(dict.fromkeys(html.unescape(a["text"]) for a in qa["answers"]))
                if answers:
                    text = html.unescape(paragraph["context"])
                    yield str(qa["id"]), article.get("title", ""), text, html.unescape(qa["question"]), answers


def refusals(model: str, rows: list[Row], language: str, folder: Path) -> dict[str, Any]:
    """Refused with the answer's sentence taken out, and refused with it there, of questions answered word for word."""
    kept: dict[str, list[Row]] = {"removed": [], "there": []}
    for name, title, text, question, answers in rows:
        spans = sentences(text, language)
        home = next((s for s in spans if any(a in text[slice(*s)] for a in answers)), None)
        if home is None:
            continue
        without = text[: home[0]] + text[home[1] :]
        if any(a in without for a in answers):
            continue
        kept["there"].append((name, title, text, question, answers))
        kept["removed"].append((name, title, without, question, ()))
    # In one file: one in which every question has an answer promises that, and nothing of it is refused.
    path = folder / f"refusing-{language}.json"
    write_json(path, squad(((f"{kind} {row[0]}", *row[1:]) for kind, some in kept.items() for row in some), language))
    said = evaluate(model=model, reading=path).to_json()["predictions"]
    return {kind: _share([float(not said[f"{kind} {row[0]}"]) for row in some]) for kind, some in kept.items()}


def calls(engine: Any, folder: Path, limit: int) -> dict[str, Any]:
    """BFCL: the one right call of the one function, or of several, as the model writes it and as a server makes it, and
    none where no function fits, in the model's words and from the server."""
    truth = {
        r["id"]: r["ground_truth"]
        for name in ("simple_python", "multiple")
        for r in map(json.loads, (folder / f"possible_answer/BFCL_v4_{name}.json").open(encoding="utf-8"))
    }
    right: dict[str, list[float]] = defaultdict(list)
    for part, name in (("simple", "simple_python"), ("multiple", "multiple"), ("irrelevance", "irrelevance")):
        lines = (folder / f"BFCL_v4_{name}.json").read_text("utf-8").splitlines()
        for row in list(map(json.loads, lines))[: limit or None]:
            functions = [{"type": "function", "function": f} for f in row["function"]]
            asked = [Message(m["role"], m["content"]) for m in row["question"][0]]
            prompt = tools.messages(asked, functions)
            if engine.count(prompt) + 100 > engine.context:
                right[part].append(0.0)
                continue
            text = "".join(d.text for d in engine.generate(prompt, Sampling(max_tokens=100)))
            called = _call(text)
            served = list(_served(engine, asked, functions))
            if part == "irrelevance":
                right[part].append(float(called is None))
                right["left alone"].append(float(not served))
            else:
                (expected,) = truth[row["id"]]
                right[part].append(float(bool(called) and _fits(called, expected)))
                right[f"{part}, named"].append(float(bool(called) and called["name"] in expected))
                right[f"{part}, served"].append(float(any(_fits(c, expected) for c in served)))
                right[f"{part}, served, named"].append(float(any(c["name"] in expected for c in served)))
    return {part: _share(values) for part, values in right.items()}


def _served(engine: Any, asked: list[Message], functions: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The calls that a client of the server gets."""
    model = Served("base", "model", engine, None)  # type: ignore[arg-type]
    order = Order(model, tuple(asked), Sampling(max_tokens=100), tuple(_schema(functions)), "auto")
    for piece in produce(order):
        for call in piece.calls:
            function = call["function"]
            yield {"name": function["name"], "arguments": json.loads(function["arguments"])}


def _schema(value: Any) -> Any:
    """BFCL's names of types as JSON Schema has them."""
    names = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}
    if isinstance(value, list):
        return [_schema(part) for part in value]
    if isinstance(value, dict):
        return {k: names.get(v, v) if k == "type" and isinstance(v, str) else _schema(v) for k, v in value.items()}
    return value


def _call(text: str) -> dict[str, Any] | None:
    inside = text.partition(tools.MARK)[2].partition(tools.CLOSE)[0]
    try:
        row = json.loads(inside)
    except ValueError:
        return {"name": "", "arguments": {}} if inside else None
    return row if isinstance(row, dict) and isinstance(row.get("arguments"), dict) and "name" in row else None


def _fits(called: dict[str, Any], expected: dict[str, Any]) -> bool:
    wanted = expected.get(called["name"])
    if wanted is None or set(called["arguments"]) - set(wanted):
        return False
    said = {key: called["arguments"].get(key, "") for key in wanted}
    return all(said[key] in values or str(said[key]) in values for key, values in wanted.items())


def rewrites(engine: Any, path: Path) -> dict[str, Any]:
    """Follow-up questions made to stand alone: F1 of words and equal ones, beside leaving them as they are."""
    found: dict[str, Any] = {}
    for language in ("en", "pt"):
        scores: dict[str, list[float]] = {"f1": [], "equal": [], "f1 of the question itself": []}
        for row in read_jsonl(path):
            if row["lang"] != language:
                continue
            history = [Message(m["role"], m["content"]) for m in row["messages"]]
            prompt = rewrite.messages(history, row["input"])
            made = "".join(d.text for d in engine.generate(prompt, Sampling(max_tokens=60)))
            scores["f1"].append(token_f1(made, [row["output"]], language))
            scores["equal"].append(exact_match(made, [row["output"]], language))
            scores["f1 of the question itself"].append(token_f1(row["input"], [row["output"]], language))
        found[language] = {name: _share(values) for name, values in scores.items()}
    return found


def _share(values: list[float]) -> dict[str, Any]:
    return {"share": str(bootstrap(values)), "of": len(values)} if values else {"share": None, "of": 0}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="mirim-base")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--alone", action="store_true")
    given = parser.parse_args()
    if given.alone:
        patch.object(reader, "available", lambda: False).start()
    given.out.mkdir(parents=True, exist_ok=True)
    english = list(fairytales(given.data / "fairytaleqa"))
    brazilian = list(portuguese(given.data / "squad_v11_pt_sample/sample-v1.1-pt.json"))
    for some in (english, brazilian):
        random.Random(0).shuffle(some)
        del some[given.limit or len(some) :]
    write_jsonl(given.out / "pairs.jsonl", pairs())
    write_json(given.out / "reading-en.json", squad(english, "en"))
    write_json(given.out / "reading-pt.json", squad(brazilian, "pt"))
    row: dict[str, Any] = {}
    found = evaluate(model=given.model, pairs=given.out / "pairs.jsonl").to_json()
    row["pairs"] = {k: found[k] for k in ("accuracy", "pairs", "by")}
    for language in ("en", "pt"):
        found = evaluate(model=given.model, reading=given.out / f"reading-{language}.json").to_json()
        row[f"reading {language}"] = {k: found[k] for k in ("f1", "exact_match", "questions")}
    engine = open_engine(given.model)
    row["refusal en"] = refusals(given.model, english[:300], "en", given.out)
    row["refusal pt"] = refusals(given.model, brazilian[:300], "pt", given.out)
    row["calls"] = calls(engine, given.data / "bfcl", given.limit)
    row["follow-ups"] = rewrites(engine, Path(__file__).parent / "follow_ups.jsonl")
    engine.close()
    print(json.dumps(row, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
