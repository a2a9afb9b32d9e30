"""From one document's questions to examples of every task, inside the part of the split it belongs to."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from mirim.core.project import Project
from mirim.core.types import Document, Example, Passage, Split
from mirim.documents import store
from mirim.documents.passages import at, cut
from mirim.documents.search import Index
from mirim.documents.words import detect
from mirim.examples import headings, imported, negatives, outside
from mirim.examples.held import Guard
from mirim.examples.negatives import Wrong
from mirim.examples.questions import LANGUAGES, Asked, ask
from mirim.examples.tasks import answer, judge, rewrite
from mirim.examples.tasks import ask as ask_task
from mirim.examples.units import Unit, units

#: Passages looked through for look-alikes of a question, and names kept to swap subjects with.
LOOK, NAMES = 6, 400
#: How often each kind of negative follows a question; beside the one of the same document, which always does.
FAR, SWAP, CLASH, CUT, OTHER = 0.45, 0.2, 0.15, 0.25, 0.3


class Maker:
    """Makes examples document by document. Close it, or use `with`.

    `sides` says which part a document belongs to; texts of the other part never appear in an example.
    """

    def __init__(
        self, project: Project, sides: dict[str, Split], guard: Guard, seed: int, outside_share: float,
        valid_share: float, left_out: Counter[str],
    ) -> None:  # fmt: skip
        self.project, self.sides, self.guard, self.seed = project, sides, guard, seed
        self.outside_share, self.valid_share, self.left_out = outside_share, valid_share, left_out
        self.index = Index.open(project.index) if project.index.is_file() else None
        self._names: dict[tuple[str, str], list[str]] = {}
        self._parts = lru_cache(maxsize=32)(self._cut)
        self._units = lru_cache(maxsize=2048)(self._open_units)

    def __enter__(self) -> Maker:
        return self

    def __exit__(self, *_: object) -> None:
        if self.index:
            self.index.close()

    def asked(self, document: Document, most: int) -> list[Asked]:
        """A document's own questions."""
        if document.language not in LANGUAGES:
            self.left_out["language"] += 1
            return []

        def skip(question: str) -> bool:
            held = self.guard.holds(question)
            self.left_out["held out"] += held
            return held

        found = list(ask(document, self._rng(document, "questions"), most, skip))
        self._learn_names(document)
        return found

    def allowed(self, asked: list[Asked]) -> list[Asked]:
        """Somebody else's questions, without the held-out ones."""
        kept = [a for a in asked if not self.guard.holds(a.question)]
        self.left_out["held out"] += len(asked) - len(kept)
        return kept

    def examples(self, document: Document, asked: list[Asked], origin: str = "extract") -> Iterator[Example]:
        """Examples of every task for a document's questions."""
        rng = self._rng(document, origin)
        for side, passages in self._halves(document.id, self._kept(document)):
            here = [a for a in asked if at(passages, a.span.start)]
            for example in self._of_part(document, here, passages, side, rng, origin == "extract"):
                yield replace(example, split=side, origin=origin)

    def seeded(self, seed: imported.Seed) -> tuple[Iterator[Example], Document | None]:
        """Examples of one of people's own that is not held out, and the document it rests on."""
        language = detect(seed.question) or str(self.project.get("language", "en"))
        language = language if language in LANGUAGES else "en"
        if seed.question and not seed.answerable:
            return self._refused_seed(seed, language), None
        if seed.question and seed.document in self.sides:
            document, passages = self._parts(seed.document)
            found = imported.located(seed, passages, document.language or language, self._units)
            if found:
                return self._of_seed(document, found), document
        return iter([imported.chat(seed)]), None

    def _of_part(
        self,
        document: Document,
        asked: list[Asked],
        passages: list[Passage],
        side: Split,
        rng: random.Random,
        whole: bool,
    ) -> Iterator[Example]:
        near = [u for p in passages for u in self._units(p)]
        for one in asked:
            yield from judge.make(one, self._wrong(one, near, side, rng))
            yield from self._answers(one, passages, side, rng)
            if rng.random() < 0.4:
                yield from ask_task.make(one)
        if not whole:
            return
        yield from rewrite.make(asked, rng)
        if document.language in LANGUAGES and near:
            yield from self._clashes(document.language, near, round(len(asked) * CLASH), rng)
            stream = outside.questions(document.language, rng)
            for _ in range(max(1, round(len(asked) * self.outside_share))):
                question = next(stream)
                if not self.guard.holds(question):
                    unit = rng.choice(near)
                    wrong = Wrong(question, unit.text, unit.lead, "out of scope")
                    yield judge.refused(wrong, document.language)
                    yield answer.refused(question, document.language, unit.passage)

    def _wrong(self, one: Asked, near: list[Unit], side: Split, rng: random.Random) -> Iterator[Wrong]:
        far = self._far(one, side) if rng.random() < FAR else []
        yield from negatives.wrong(one, near, far, rng)
        if rng.random() < SWAP:
            names = self._names.get((one.language, side), [])
            swapped = negatives.swapped(one, names, rng)
            if swapped and not self.guard.holds(swapped.question):
                yield swapped

    def _answers(self, one: Asked, passages: list[Passage], side: Split, rng: random.Random) -> Iterator[Example]:
        home = at(passages, one.span.start)
        if home is None or one.span.end > home.end:
            return
        cut_text = negatives.without(home, one) if rng.random() < CUT and not self._elsewhere(one, home) else ""
        away = None
        if rng.random() < OTHER:
            others = [p for p in passages if p.start != home.start and not self._elsewhere(one, p)]
            away = rng.choice(others) if others else None
        yield from answer.make(one, home, away, cut_text)

    def _elsewhere(self, one: Asked, passage: Passage) -> bool:
        """Whether another sentence of a passage might answer too."""
        span = one.span
        return any(
            negatives.may_answer(one, u)
            for u in self._units(passage)
            if not (u.passage.document == span.document and u.start < span.end and span.start < u.end)
        )

    def _clashes(self, language: str, near: list[Unit], count: int, rng: random.Random) -> Iterator[Example]:
        for unit in rng.sample(near, min(count, len(near))):
            wrong = negatives.clash(unit, headings.topic(headings.last(unit.lead)), language, rng)
            if wrong and not self.guard.holds(wrong.question):
                yield judge.refused(wrong, language)

    def _far(self, one: Asked, side: Split) -> list[Unit]:
        """Sentences of other documents of the same part that search finds for the question."""
        if self.index is None:
            return []
        hits = self.index.search(one.question, limit=LOOK)
        mine = one.span.document
        passages = [
            h.passage for h in hits if h.passage.document != mine and self.sides.get(h.passage.document) == side
        ]
        return [u for p in passages for u in self._units(p)]

    def _open_units(self, passage: Passage) -> list[Unit]:
        """Sentences that say something and show no held-out question."""
        return [u for u in units(passage) if len(u.text.split()) >= 2 and not self.guard.inside(f"{u.lead}\n{u.text}")]

    def _of_seed(self, document: Document, found: list[tuple[Asked, Passage]]) -> Iterator[Example]:
        rng = self._rng(document, found[0][0].question)
        held = {a.text for a, _ in found}
        for one, home in found:
            side, passages = self._half(home)
            near = [u for p in passages for u in self._units(p) if u.text not in held]
            for example in judge.make(one, self._wrong(one, near, side, rng)):
                yield replace(example, split=side, origin="import")
            if one is found[0][0]:
                for example in answer.make(one, home):
                    yield replace(example, split=side, origin="import")

    def _refused_seed(self, seed: imported.Seed, language: str) -> Iterator[Example]:
        hits = self.index.search(seed.question, limit=8 * LOOK) if self.index else []
        passages = [h.passage for h in hits if h.passage.document in self.sides]
        # Taught where it can be; a question about nothing but validation documents is kept for validation.
        for side, passage in sorted(((self._half(p)[0], p) for p in passages), key=lambda one: one[0])[:2]:
            yield replace(answer.refused(seed.question, language, passage), origin="import", split=side)
            for unit in self._units(passage)[:2]:
                wrong = Wrong(seed.question, unit.text, unit.lead, "out of scope")
                yield replace(judge.refused(wrong, language), origin="import", split=side)

    def _halves(self, document: str, passages: list[Passage]) -> list[tuple[Split, list[Passage]]]:
        """A document's passages by part: all in its own, but a library of one document is itself divided."""
        side = self.sides[document]
        if len(self.sides) > 1 or self.valid_share == 0 or len(passages) < 5:
            return [(side, passages)]
        first = min(len(passages) - 1, round(len(passages) * (1 - self.valid_share)))
        return [("train", passages[:first]), ("valid", passages[first:])]

    def _half(self, passage: Passage) -> tuple[Split, list[Passage]]:
        """The part that a passage belongs to, and what else of its document does."""
        halves = self._halves(passage.document, self._parts(passage.document)[1])
        return next((half for half in halves if at(half[1], passage.start)), halves[0])

    def _cut(self, id_: str) -> tuple[Document, list[Passage]]:
        document = store.load(self.project.documents, id_)
        return document, self._kept(document)

    def _kept(self, document: Document) -> list[Passage]:
        return [p for p in cut(document) if not self.guard.inside(f"{p.heading}\n{p.text}")]

    def _learn_names(self, document: Document) -> None:
        """Topics of headings, to ask of one document what another is about."""
        names = self._names.setdefault((document.language, self.sides[document.id]), [])
        for section in document.sections:
            name = headings.topic(section.heading)
            if name and name not in names and len(names) < NAMES and not self.guard.holds(name):
                names.append(name)

    def _rng(self, document: Document, purpose: str) -> random.Random:
        return random.Random(f"{self.seed} {document.id} {purpose}")
