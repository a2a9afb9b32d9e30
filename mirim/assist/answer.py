"""The assistant: question → search → ranked sentences → confidence → an answer with its sources, or none."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from pathlib import Path
from typing import Any, cast

from mirim.assist.bands import banded
from mirim.assist.candidates import candidates
from mirim.assist.courtesy import asks_who, courtesy, returned
from mirim.assist.extremes import DOCUMENTS, LONGEST, Extreme, extreme, extreme_first
from mirim.assist.features import Featurizer
from mirim.assist.judge import judge
from mirim.assist.nearness import Near, Nearness
from mirim.assist.newest import newest_first
from mirim.assist.opening import opening
from mirim.assist.phrases import unknown
from mirim.assist.policies import Draft, Task
from mirim.assist.rank import UNREAD, Ranked, probability, ranker, reach, trust, weights
from mirim.assist.reading import place, read
from mirim.assist.rows import latest_first
from mirim.assist.shorthand import written_out
from mirim.assist.standalone import chain, goes_on, points, readings, topic
from mirim.assist.superlatives import superlative
from mirim.core import plugins
from mirim.core.bundle import Bundle
from mirim.core.errors import UsageError
from mirim.core.project import Project
from mirim.core.types import Answer, Engine, Message, Passage, Policy
from mirim.documents.search import Hit, Index
from mirim.documents.words import detect, stems

#: Passages searched by words, those by meaning that may join them, and sentences that the model is asked about.
PASSAGES, NEAREST, JUDGED = 10, 8, 6
#: Log-odds that a sentence in another language than the question's is given for the question's words, which it cannot
#: have; one that says the same in the question's own has them and stays before it (bench/organisations_across.py). By
#: words alone nothing tells that it answers, and people ask in what they can read.
FOREIGN, FOREIGN_WORDS = 1.0, -2.0
#: Log-odds by which a question that names something has to be surer with the topic before it; by words alone, more
#: words find more.
TOPIC, TOPIC_WORDS = 0.0, 1.0
#: Log-odds by which a subject alone is surer than with a question that has left it; without vectors whatever has none
#: of its words is as far from it as anything.
LEFT, LEFT_WORDS = 0.5, -0.5


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far to trust what (fitted by mirim.assist.calibrate on held-out questions, kept in bundle.json).

    log-odds that the answer is right = scale * trust + judge * (the model's log-odds) + search * (the best
    passage's search score) + bias; below `threshold` (a probability) the assistant says that it does not know.
    """

    scale: float = 1.0
    judge: float = 0.0
    search: float = 0.0
    bias: float = 0.0
    #: Where nothing was fitted: most of what is quoted is right then, and four in five of what nothing answers refused
    #: (docs/answering.md).
    threshold: float = 0.3

    @classmethod
    def of_people(cls) -> Calibration:
        """What people's questions gave where passages have vectors: trust as it is, and its threshold."""
        return cls(threshold=round(probability(weights()["meaning"]["threshold"]), 4))

    @classmethod
    def of(cls, row: dict[str, Any]) -> Calibration:
        return cls(**{k: float(row[k]) for k in ("scale", "judge", "search", "bias", "threshold") if k in row})


@dataclass(slots=True)
class Assistant:
    """Answers from an index with a model, or by search alone when `engine` is None. Close it, or use `with`."""

    index: Index
    engine: Engine | None
    model: str
    policy: Policy = "quote"
    calibration: Calibration = field(default_factory=Calibration)
    language: str = "en"
    contact: str = ""
    words: int = 0
    nearness: Nearness | None = None
    _featurizer: Featurizer | None = None
    #: What the index was when the featurizer counted its words.
    _counted: int = -1

    @classmethod
    def open(
        cls,
        source: Project | Bundle | Path | str,
        *,
        model: str = "",
        policy: Policy | str = "",
        words: int = 0,
        engine: str | Engine = "",
    ) -> Assistant:
        """From a project (its index and its model) or a finished bundle (knowledge.db inside).

        `model` names another model, or "none" for search alone; `engine` may be one that runs already and
        is shared with others. UsageError when nothing was ingested or
        built yet, with the line to type.
        """
        project = source if isinstance(source, Project) else None
        bundle = source if isinstance(source, Bundle) else None
        if project is None and bundle is None:
            folder = Path(str(source))
            if (folder / "mirim.toml").is_file():
                project = Project.open(folder)
            else:
                bundle = Bundle.open(folder)
        if (
            project is not None
            and model in ("", "none", str(project.model))
            and (project.model / "bundle.json").is_file()
        ):
            bundle = Bundle.open(project.model)
        if project is not None and not project.index.is_file():
            raise UsageError(f"{project.root} has no index yet; type: mirim ingest {project.flag}")
        if model == "" and bundle is None:
            raise UsageError(
                f"{project.root if project else source} has no model yet; type: mirim build, "
                "or --model none to answer by search alone"
            )
        asked = project.tables.get("ask", {}) if project else {}
        record = bundle.answering if bundle else {}
        chosen = policy or asked.get("policy") or record.get("policy") or "quote"
        if chosen not in plugins.names("assist.policies"):
            raise UsageError(f'policy "{chosen}" is not one of {", ".join(plugins.names("assist.policies"))}')
        most = words or int(asked.get("words", 0) or record.get("words", 0))
        if most < 0:
            raise UsageError(
                f"words is {most}, and an answer quotes at least one; give --words, or [ask] words in mirim.toml, "
                "a number from 1, or 0 for the policy's own"
            )
        index = Index.open(project.index if project else bundle.path / "knowledge.db" if bundle else Path())
        if not index.count:
            index.close()
            raise UsageError(f"{index.path} holds no documents; put files into sources/ and type: mirim ingest")
        nearness = Nearness.open(project.vectors if project else index.path.with_name("vectors.npz"), index)
        # With vectors, and without the model, other numbers were fitted.
        fitted = Calibration.of(record.get("none", {}) if model == "none" else record)
        if nearness:
            fitted = Calibration.of(record["near"]) if "near" in record else Calibration.of_people()
        return cls(
            index=index,
            engine=_engine(model, bundle, engine, project),
            model=model or (bundle.name if bundle else "none"),
            policy=cast(Policy, chosen),
            calibration=fitted,
            language=str(project.get("language", "en") if project else record.get("language", "en")),
            contact=str(project.get("contact", "") if project else record.get("contact", "")),
            words=most,
            nearness=nearness,
        )

    def __enter__(self) -> Assistant:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self.engine is not None:
            self.engine.close()
        self.index.close()

    def answer(self, question: str, history: Sequence[Message] = (), policy: Policy | None = None) -> Answer:
        """Answer one question; `history` is the conversation so far, oldest first.

        A greeting or thanks is returned, with nothing quoted, and so is who speaks where no document says. UsageError
        for an empty question.
        """
        started = time.perf_counter()
        if not question.strip():
            raise UsageError("the question is empty")
        spelled = written_out(question, self.language)
        language = self.language_of(spelled)
        chosen = policy or self.policy
        if courtesy(spelled):
            return self._polite(question, spelled, language, chosen, started)
        whole, ranked = self._meant(spelled, history, language)
        confidence = probability(self.log_odds(ranked)) if ranked else 0.0
        if confidence < self.calibration.threshold:
            for reading in opening(spelled, language):
                found = self.rank(reading, language)
                if found and (surer := probability(self.log_odds(found))) > confidence:
                    whole, ranked, confidence = reading, found, surer
        draft = Draft("")
        if ranked and confidence >= self.calibration.threshold:
            module = plugins.load("assist.policies", chosen)
            draft = module.write(Task(whole, language, ranked, history, self.engine, self.words))
        abstained = not draft.text or not draft.citations
        if abstained and asks_who(spelled):
            # The documents may say who speaks, and come first.
            return self._polite(question, spelled, language, chosen, started)
        if abstained and confidence >= self.calibration.threshold:
            # Something was found, and what the model made of it does not stand: nothing is left to trust.
            confidence = 0.0
        return Answer(
            answer=unknown(language, self.contact) if abstained else draft.text,
            abstained=abstained,
            confidence=confidence,
            policy=chosen,
            citations=() if abstained else draft.citations,
            model=self.model,
            seconds=time.perf_counter() - started,
            removed=draft.removed,
            question=question,
        )

    def _polite(self, question: str, spelled: str, language: str, policy: Policy, started: float) -> Answer:
        """What is no matter of the documents, with nothing quoted. `spelled` is the question written out."""
        seconds = time.perf_counter() - started
        words = returned(spelled, language)
        return Answer(words, False, 1.0, policy, (), self.model, seconds, question=question)

    def _meant(self, question: str, history: Sequence[Message], language: str) -> tuple[str, list[Ranked]]:
        """What a question is taken to mean after a conversation, and the sentences that may answer that."""
        read = [(reading, self.rank(reading, language)) for reading in readings(question, history, language)]
        alone, carried = read[0], read[-1]
        if carried is alone or not carried[1]:
            return alone
        by_itself = self.log_odds(alone[1]) if alone[1] else -math.inf
        with_topic = self.log_odds(carried[1])
        if points(question):
            # The topic is meant, unless it gives no answer.
            surer = with_topic > by_itself or probability(with_topic) >= self.calibration.threshold
        else:
            surer = with_topic > by_itself + (TOPIC if self.nearness else TOPIC_WORDS)
        if not surer or self._strays(question, carried[1], topic(question, history, language), language):
            return alone
        if carried[1][0].told > -math.inf:
            return carried
        latest = latest_first(chain(question, history, language), carried[1])
        # The topic may name another number than the question does.
        return carried[0], banded(question, latest)

    def _strays(self, question: str, ranked: Sequence[Ranked], before: str, language: str) -> bool:
        """Whether a question has left what was asked `before`, which alone finds sentences like `ranked`: it does not
        say that it follows, has no word of where they stand, and without it they would be found more surely."""
        if goes_on(question):
            return False
        passage = ranked[0].candidate.passage
        held = set(stems(f"{passage.heading} {passage.text}", passage.language or language))
        if held.intersection(stems(question, language, content=True)):
            return False
        found = self.rank(before, language)
        left = LEFT if self.nearness else LEFT_WORDS
        return bool(found) and self.log_odds(found) > self.log_odds(ranked) + left

    def language_of(self, question: str) -> str:
        """'en' or 'pt': short questions are easily taken for some third language."""
        found = detect(question)
        return found if found in ("en", "pt") else self.language

    def rank(self, question: str, language: str = "", hits: Sequence[Hit] | None = None) -> list[Ranked]:
        """Sentences that may answer, best first; the model has judged the most promising ones."""
        language = language or self.language_of(question)
        rows = self.order(question, language, self.find(question) if hits is None else hits)
        if not rows or self.engine is None or not self.calibration.judge:
            return rows
        head = rows[:JUDGED]
        verdicts = judge(self.engine, question, [r.candidate for r in head])
        judged = [replace(r, verdict=v) for r, v in zip(head, verdicts, strict=True)]
        return sorted(judged, key=lambda r: -(r.score + self.calibration.judge * r.verdict)) + rows[JUDGED:]

    def find(self, question: str, without: Callable[[Passage], bool] | None = None) -> list[Hit]:
        """Passages that may answer: by words, best first, then those nearest in meaning that words did not find, then
        those of the row with the most or the least of what is asked."""
        hits = self.index.search(question, limit=PASSAGES * (1 if without is None else 2))
        if without is not None:
            hits = [h for h in hits if not without(h.passage)][:PASSAGES]
        if self.nearness is not None:
            known = {h.passage.id for h in hits}
            near = self.nearness.nearest(question, NEAREST, without)
            hits += [Hit(p, 0.0) for p in near if p.id not in known]
        if most := self._extreme(question, self.language_of(question), hits):
            known = {h.passage.id for h in hits}
            told = (p for p in most.passages if p.id not in known and not (without and without(p)))
            hits += [Hit(p, 0.0) for p in told]
        return hits

    def order(self, question: str, language: str, hits: Sequence[Hit]) -> list[Ranked]:
        """The ranking before the model has its say."""
        featurizer = self._counting()
        asked = featurizer.question(question, language)
        best = hits[0].score if hits else 0.0
        found = candidates(hits)
        near: Iterable[Near | None] = self.nearness.near(question, found) if self.nearness else repeat(None)
        given = FOREIGN if self.nearness else FOREIGN_WORDS
        rows = []
        for candidate, meant in zip(found, near, strict=False):
            values = featurizer.features(asked, candidate, best)
            if meant:
                values += [meant.near, meant.match, UNREAD]
            foreign = candidate.passage.language not in ("", language)
            score, fit = ranker(values) + given * foreign, meant.fit if meant else 0.0
            rows.append(Ranked(candidate, tuple(values), score, fit=fit, foreign=foreign))
        rows = read(question, language, sorted(rows, key=place)) if self.nearness else sorted(rows, key=place)
        rows = newest_first(question, banded(question, rows))
        most = self._extreme(question, language, hits)
        return extreme_first(most, rows) if most else rows

    def _counting(self) -> Featurizer:
        # An ingest beside this changes how many passages have a word.
        changes = self.index.refresh()
        if self._featurizer is None or self._counted != changes:
            self._featurizer = Featurizer(self.index.frequency, self.index.count)
            self._counted = changes
        return self._featurizer

    def _extreme(self, question: str, language: str, hits: Sequence[Hit]) -> Extreme | None:
        """The rows with the most or the least of what is asked, of the tables in the documents that were hit."""
        asked = superlative(question)
        if asked is None:
            return None
        featurizer = self._counting()
        documents = list(dict.fromkeys(hit.passage.document for hit in hits))[:DOCUMENTS]
        held = [p for p in map(self.index.passages, documents) if len(p) <= LONGEST]
        rest, whole = (featurizer.question(text, language) for text in (asked.rest, asked.whole))
        return extreme(asked, rest, whole, [passage for some in held for passage in some])

    def log_odds(self, ranked: Sequence[Ranked]) -> float:
        """Calibrated log-odds that the best sentence answers the question."""
        c = self.calibration
        return c.scale * trust(ranked) + c.judge * ranked[0].verdict + c.search * reach(ranked) + c.bias


def _engine(model: str, bundle: Bundle | None, engine: str | Engine, project: Project | None) -> Engine | None:
    if model == "none":
        return None
    if not isinstance(engine, str):
        return engine
    from mirim.models.engine import open_engine

    return open_engine(model or (bundle.path if bundle else ""), engine=engine, project=project)
