"""Public sets of task rows (JSON Lines, also .zst) as examples: what a base model learns its trades from.

A row has "task" (read, ask, rewrite, summarise, translate, classify, tools, instruct, chat), "lang", and the fields
of its task: "context", "input", "output", or "messages" and "tools". A row with "asked" is several: pairs of a
question about its "context" and the answer, which is empty where the context does not say; and so is one with "calls":
pairs of a request to its "function" (OpenAI's shape) and the arguments, null where it cannot serve. Prompts are those
that answering uses.
"""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mirim.core.errors import UsageError
from mirim.core.types import Example, Message, Passage
from mirim.documents.sentences import sentences
from mirim.examples import quiz
from mirim.examples.calls import UNFIT
from mirim.examples.drills import ABSENT
from mirim.examples.quiz import SHORT
from mirim.examples.rows import Row, flat, function_of, language_of, read_rows, standing
from mirim.examples.tasks import answer, ask, classify, example, judge, rewrite, summarise, tools, translate

#: Characters of a passage at most: a tiny model reads a few hundred tokens well.
ROOM = 1600
#: Sentences shown at most on each side of the one that answers, where a passage is short.
BESIDE = 2
#: Labels shown at once.
LABELS = 6
#: Share of requests whose function is not listed, in rows that already hold some which it cannot serve.
SELDOM = UNFIT / 3
#: Of the questions that a passage holds, the share that is learned the other way round, and of those that follow one
#: another the shares that are left as they are and that ask the same about another name.
TURNED, STANDING, SWAPPED = 0.3, 0.15, 0.45
#: A name within a question, and what before it keeps it from being left out.
_NAME = re.compile(r"(?<=[\w,] )[A-ZÀ-Ý][\w'’-]+(?: (?:d[aeo]s? |of |the )?[A-ZÀ-Ý][\w'’-]+)*")
_BOUND = re.compile(
    r"(?:\b(?:d[aeo]s?|n[ao]s?|em|com|sem|por|pel[ao]s?|para|entre|sobre|até|ao?s?|à|os?|of|in|on|at|to|by|for|from|with|the))$",
    re.IGNORECASE,
)


def read(path: Path, most: int = 0, seed: int = 0, vain: float = 1.0) -> Iterator[Example]:
    """Examples of a file, from at most `most` rows drawn evenly (0: all); of the questions that were asked in vain, a
    share of `vain`. UsageError for a row of another shape."""
    rng = random.Random(f"{seed} {path.name}")
    rows = [(n, row) for n, row in read_rows(path) if row.get("task", "text") != "text" and _wanted(row, vain, rng)]
    if most and len(rows) > most:
        rows = sorted(rng.sample(rows, most), key=lambda pair: pair[0])
    known: dict[str, set[str]] = defaultdict(set)
    for _, row in rows:
        if row["task"] == "classify":
            known[str(row.get("domain", ""))].add(str(row.get("output", "")))
    labels = {domain: sorted(words) for domain, words in known.items()}
    before: Row | None = None
    for number, row in rows:
        make = _MAKERS.get(row["task"])
        if make is None:
            raise UsageError(f'{path} line {number}: no task "{row["task"]}"; known are {", ".join(_MAKERS)}')
        try:
            yield from make(row, rng, before, labels)
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            raise UsageError(f"{path} line {number} is no row of task {row['task']} ({error!r})") from error
        before = row


def quizzes(path: Path, seed: int = 0, vain: float = 1.0) -> Iterator[Example]:
    """The questions that short passages of a file answer in their own words, those of a passage in one conversation;
    among them a share of `vain` of those that were asked in vain."""
    rng = random.Random(f"{seed} {path.name} quizzes")
    yield from quiz.grouped(_short(path, vain, rng), rng)


def apart(path: Path, seed: int = 0) -> Iterator[Example]:
    """The same passages, sentence by sentence, with the questions that each answers and others that it does not."""
    rng = random.Random(f"{seed} {path.name} apart")
    yield from quiz.apart(_short(path, 0.0, rng), rng)


def _short(path: Path, vain: float, rng: random.Random) -> list[tuple[str, str, str, str, str]]:
    """(passage, title, question, answer, language) of the questions about short passages."""
    found = []
    for _, row in read_rows(path):
        context, said = flat(row.get("context", "")), str(row.get("output", "")).strip()
        if row.get("task") != "read" or len(context) > ROOM:
            continue
        if "asked" in row and not said:
            if not _wanted(row, vain, rng):
                continue
            said = answer.REFUSAL[language_of(row)]
        elif not 0 < len(said) < 200 or said not in context:
            continue
        found.append((context, str(row.get("title", "")), str(row["input"]), said, language_of(row)))
    return found


def questions(path: Path, seed: int = 0) -> Iterator[Example]:
    """To ask, from the sentences that answer the questions of a file's passages; and to say a question as a whole that
    follows another one about the same passage."""
    rng = random.Random(f"{seed} {path.name} questions")
    for number, row in read_rows(path):
        try:
            if row.get("task") == "read" and "asked" in row and str(row["output"]).strip():
                yield from _turned(row, rng)
                yield from _followed(row, rng)
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            raise UsageError(f"{path} line {number} is no row of task read ({error!r})") from error


def _turned(row: Row, rng: random.Random) -> Iterator[Example]:
    language, context = language_of(row), flat(row["context"])
    where = next(iter(standing(str(row["output"]).strip(), context)), (-1, -1))[0]
    home = next((span for span in sentences(context, language) if span[0] <= where < span[1]), None)
    if home and rng.random() < TURNED:
        prompt = ask.messages(context[slice(*home)], str(row.get("title", "")), language)
        yield _made("ask", prompt, str(row["input"]), language)


def _followed(row: Row, rng: random.Random) -> Iterator[Example]:
    """Another question after this one: about another name, without the name of both, or one that stands alone."""
    language, first = language_of(row), str(row["input"])
    found = _NAME.search(first)
    if not found or first[found.end() :].startswith("."):
        return
    name, drawn = found.group(), rng.random()
    others = [q for q, said in row["asked"] if said and q != first and name in q]
    names = [said for _, said in row["asked"] if re.fullmatch(r"[A-ZÀ-Ý][\w'’-]+(?: [A-ZÀ-Ý][\w'’-]+)*", said)]
    names = [one for one in names if one not in first and one != row["output"]]
    if drawn < SWAPPED and names:
        other = rng.choice(names)
        follow, whole = rewrite.follow(other, language, rng), first.replace(name, other)
    elif drawn < SWAPPED + STANDING and others:
        follow = whole = rng.choice(others)
    elif others:
        whole = rng.choice(others)
        before, _, behind = whole.partition(name)
        if not before.strip() or not behind.strip(" ?") or _BOUND.search(before.rstrip()):
            return
        # In Portuguese the subject goes without saying.
        put = "" if language == "pt" else rng.choice(("he ", "she ", "it ", "they "))
        follow = f"{before}{put}{behind.lstrip()}".strip()
    else:
        return
    history = (Message("user", first), Message("assistant", f"{row['output']}."))
    yield _made("rewrite", rewrite.messages(history, follow), whole, language)


def _wanted(row: Row, vain: float, rng: random.Random) -> bool:
    """Whether a question is learned: one asked in vain by chance. Nothing is drawn where all are, so that what a seed
    draws stays as it was."""
    return vain >= 1 or row.get("answerable", True) or rng.random() < vain


# -- reading -----------------------------------------------------------------------------------------------------


def _read(row: Row, rng: random.Random, before: Row | None, _: Any) -> Iterator[Example]:
    """The question with its passage and with a short stretch of it; refusals with a passage of the row before, or with
    the answer taken out; and which sentence answers it."""
    language, target = language_of(row), str(row["output"]).strip()
    if "label" in row:
        # A claim to be checked against a text.
        words = ["supported", "refuted", "not enough"]
        label = {"S": words[0], "R": words[1]}.get(str(row["label"])[:1].upper(), words[2])
        yield _made("classify", classify.messages(f"{flat(row['context'])}\n> {row['input']}", words), label, language)
        return
    context = flat(row["context"])
    spans = sentences(context, language)
    where = next(iter(standing(target, context)), (-1, -1))[0] if row.get("answerable", True) else -1
    home = next((i for i, (a, b) in enumerate(spans) if a <= where < b), -1)
    window = _window(context, spans, max(home, 0))
    if home < 0 and len(context) > ROOM and row.get("answerable", True):
        # An answer in other words may stand anywhere in a long text.
        return
    if not row.get("answerable", True):
        target = answer.REFUSAL[language]
    yield _made("answer", _ask(row, window, language), target, language)
    if home < 0:
        return
    yield from _near(row, context, spans, home, rng)
    title, sentence = str(row.get("title", "")), context[slice(*spans[home])]
    yield _made("judge", judge.messages(sentence, title, row["input"]), "yes", language)
    others = [i for i in range(len(spans)) if i != home and target not in context[slice(*spans[i])]]
    if others:
        wrong = context[slice(*spans[rng.choice(others)])]
        yield _made("judge", judge.messages(wrong, title, row["input"]), "no", language)
    refusal = rng.random()
    if refusal < ABSENT / 2:
        gone = context[: spans[home][0]] + context[spans[home][1] :]
        if target not in gone and len(gone) > 100:
            rest = sentences(gone, language)
            near = _window(gone, rest, min(home, len(rest) - 1))
            yield _made("answer", _ask(row, near, language), answer.REFUSAL[language], language)
    elif refusal < ABSENT and before and before.get("context") and target not in before["context"]:
        other = flat(before["context"])
        near = _window(other, sentences(other, language), 0)
        yield _made("answer", _ask(row, near, language), answer.REFUSAL[language], language)


def _near(row: Row, context: str, spans: Sequence[tuple[int, int]], home: int, rng: random.Random) -> Iterator[Example]:
    """The question with the sentence that answers it and few others, and perhaps with the others alone.

    A short passage costs a quarter of the tokens and teaches which words of a sentence are asked for."""
    language, target = language_of(row), str(row["output"]).strip()
    first, last = max(0, home - rng.randint(0, BESIDE)), min(len(spans), home + 1 + rng.randint(0, BESIDE))
    yield _made("answer", _ask(row, context[spans[first][0] : spans[last - 1][1]], language), target, language, SHORT)
    others = " ".join(context[slice(*spans[i])] for i in range(first, last) if i != home)
    if others and target not in others and rng.random() < ABSENT:
        yield _made("answer", _ask(row, others, language), answer.REFUSAL[language], language, SHORT)


def _ask(row: Row, text: str, language: str) -> tuple[Message, ...]:
    passage = Passage("", "", 0, len(text), str(row.get("title", "")), text, None, language)
    return answer.messages(str(row["input"]), [passage], language)


def _window(text: str, spans: Sequence[tuple[int, int]], home: int) -> str:
    """Whole sentences around one of them, at most `ROOM` characters."""
    if len(text) <= ROOM or not spans:
        return text[:ROOM]
    first = last = home
    while True:
        grown = [(f, t) for f, t in ((first - 1, last), (first, last + 1)) if f >= 0 and t < len(spans)]
        fits = [(f, t) for f, t in grown if spans[t][1] - spans[f][0] <= ROOM]
        if not fits:
            return text[spans[first][0] : spans[last][1]][:ROOM]
        # Before and after by turns.
        first, last = min(fits, key=lambda pair: abs((home - pair[0]) - (pair[1] - home)))


def _asked(row: Row, rng: random.Random, *_: Any) -> Iterator[Example]:
    language, context = language_of(row), flat(row["context"])
    questions = [q.strip() for q in str(row["output"]).split("\n") if q.strip()]
    answers = row.get("answers") or [str(row["input"]).rpartition("The answer must be: ")[2]]
    for question, wanted in zip(questions, answers, strict=False):
        found = [s for s in sentences(context, language) if wanted and wanted in context[slice(*s)]]
        if found:
            text = context[slice(*found[0])]
            yield _made("ask", ask.messages(text, str(row.get("title", "")), language), question, language)


# -- other trades ------------------------------------------------------------------------------------------------


def _rewritten(row: Row, *_: Any) -> Iterator[Example]:
    """A question said otherwise, after a conversation where it follows one; a row whose question was taken out, as an
    evaluation set holds it, teaches nothing."""
    if row.get("input") and "question" in str(row.get("kind", "")) and "steps" not in row["kind"]:
        history = [Message(m["role"], m["content"]) for m in row.get("messages", ())]
        yield _made("rewrite", rewrite.messages(history, row["input"]), row["output"], language_of(row))


def _summarised(row: Row, *_: Any) -> Iterator[Example]:
    if "meeting" in str(row.get("kind", "")) or len(row["output"]) > 400:
        return
    kind = "headline" if re.search("headline|title", str(row.get("kind", ""))) else "summary"
    language = language_of(row)
    text = flat(row["context"])
    text = _window(text, sentences(text, language), 0)
    yield _made("summarise", summarise.messages(text, language, kind), row["output"], language)


def _translated(row: Row, *_: Any) -> Iterator[Example]:
    if len(row["input"]) + len(row["output"]) < 2 * ROOM:
        yield _made("translate", translate.messages(row["input"], "pt"), row["output"], "pt")
        yield _made("translate", translate.messages(row["output"], "en"), row["input"], "en")


def _classified(row: Row, rng: random.Random, _: Row | None, labels: dict[str, list[str]]) -> Iterator[Example]:
    language, target = language_of(row), str(row["output"])
    known = [word for word in labels[str(row.get("domain", ""))] if word != target]
    if len(target) < 60 and known:
        shown = [target, *rng.sample(known, min(len(known), rng.randint(1, LABELS - 1)))]
        rng.shuffle(shown)
        yield _made("classify", classify.messages(row["input"], shown), target, language)
    if row.get("call") and rng.random() < 0.5:
        yield from _call({**row, "output": row["call"]}, rng, None)


def _called(row: Row, rng: random.Random, before: Row | None, _: Any) -> Iterator[Example]:
    """One turn of a conversation with functions: a call, or, less often, words."""
    if "calls" in row:
        yield from _offered(row, rng, before)
        return
    if "messages" not in row:
        yield from _call(row, rng, before)
        return
    calls = [i for i, m in enumerate(row["messages"]) if m.get("call")]
    said = [i for i, m in enumerate(row["messages"]) if m["role"] == "assistant" and m.get("content")]
    turn = rng.choice(calls) if calls and (rng.random() < 0.6 or not said) else rng.choice(said or calls)
    history = []
    for message in row["messages"][max(0, turn - 5) : turn]:
        text = message.get("content") or tools.call(**message["call"])
        # What a function gave back is told by the user's side: the smallest templates know no other role.
        history.append(Message("assistant" if message["role"] == "assistant" else "user", text[:400]))
    if not history or history[-1].role == "assistant":
        return
    target = row["messages"][turn]
    text = target.get("content") or tools.call(**target["call"])
    listed = [function_of(f) for f in row["tools"]]
    named = (target.get("call") or {}).get("name")
    kept = [f for f in listed if f["function"]["name"] == named]
    others = [f for f in listed if f not in kept]
    kept += rng.sample(others, min(len(others), 2 - bool(kept)))
    rng.shuffle(kept)
    yield _made("tools", tools.messages(history, kept), text, language_of(row))


def _call(row: Row, rng: random.Random, before: Row | None) -> Iterator[Example]:
    """A request in one sentence, and a function of that name with the arguments that the call names; now and then the
    function of the row before, which does something else."""
    wanted, language = json.loads(row["output"]), language_of(row)
    # Rows of other tasks may stand in one file with these, and their output is no call.
    called = before is not None and before["task"] == "tools" and "output" in before
    other = json.loads(before["output"]) if before and called else {}
    if not wanted.get("name"):
        return
    listed, target = wanted, tools.call(wanted["name"], wanted["arguments"])
    if other.get("name", wanted["name"]) != wanted["name"] and rng.random() < UNFIT:
        listed, target = other, tools.NONE[language]
    places = {key: {"type": _kind(value)} for key, value in listed["arguments"].items()}
    function = {"name": listed["name"], "parameters": {"type": "object", "properties": places}}
    prompt = tools.messages([Message("user", row["input"])], [{"type": "function", "function": function}])
    yield _made("tools", prompt, target, language)


def _offered(row: Row, rng: random.Random, before: Row | None) -> Iterator[Example]:
    """Requests to one function, which is listed alone or beside that of the row before. Sometimes it is not listed,
    less often in rows that hold requests which it cannot serve."""
    language, own = language_of(row), row["function"]
    unfit = SELDOM if any(arguments is None for _, arguments in row["calls"]) else UNFIT
    other: Row = (before or {}).get("function") or own
    for request, arguments in row["calls"]:
        listed, target = [own], tools.NONE[language]
        drawn = rng.random() if other["name"] != own["name"] else 1.0
        if arguments is not None and drawn < unfit:
            listed = [other]
        elif arguments is not None:
            target = tools.call(own["name"], arguments)
            listed = rng.sample([own, other], 2) if drawn < unfit + UNFIT else listed
        spelt = json.loads(rng.choice((str, _python))(json.dumps(listed)))
        prompt = tools.messages([Message("user", request)], [{"type": "function", "function": f} for f in spelt])
        yield _made("tools", prompt, target, language)


def _python(schema: str) -> str:
    """A schema with the names that Python's types have in many lists of functions."""
    return schema.replace('"type": "object"', '"type": "dict"').replace('"type": "number"', '"type": "float"')


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "integer" if isinstance(value, int) else "number" if isinstance(value, float) else "string"


def _told(row: Row, *_: Any) -> Iterator[Example]:
    yield _made("chat", (Message("user", row["input"]),), row["output"], language_of(row))


def _chatted(row: Row, rng: random.Random, *_: Any) -> Iterator[Example]:
    turns = [Message(m["role"], m["content"]) for m in row["messages"]]
    ends = [i for i, m in enumerate(turns) if m.role == "assistant" and i and turns[i - 1].role == "user"]
    if ends:
        end = rng.choice(ends)
        yield _made("chat", tuple(turns[max(0, end - 3) : end]), turns[end].content, language_of(row))


def _made(task: str, prompt: tuple[Message, ...], target: str, language: str, passage: str = "") -> Example:
    made = {"language": language} | ({"passage": passage} if passage else {})
    return example(task, prompt, target.strip(), (), made, "import")


_MAKERS: dict[str, Callable[..., Iterator[Example]]] = {
    "read": _read,
    "ask": _asked,
    "rewrite": _rewritten,
    "summarise": _summarised,
    "translate": _translated,
    "classify": _classified,
    "tools": _called,
    "instruct": _told,
    "chat": _chatted,
}
