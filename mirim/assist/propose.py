"""`mirim propose`: a small model writes questions about the documents, for people to look through.

A question is kept when the same model, shown the whole passage, answers it from the sentence that it was asked about
(round-trip consistency: Alberti et al. 2019, arXiv 1906.05416). What is kept still has to be read by somebody: it goes
where people's own examples are.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

from mirim.core.errors import UsageError
from mirim.core.files import write_jsonl
from mirim.core.progress import note, track
from mirim.core.project import Project
from mirim.core.report import Report, Table
from mirim.core.stamp import fingerprint
from mirim.core.types import Document, Engine, Sampling
from mirim.core.verbs import verb
from mirim.documents import store
from mirim.documents.passages import cut
from mirim.documents.words import tokens
from mirim.examples.held import Guard
from mirim.examples.questions import LANGUAGES, content
from mirim.examples.split import spread
from mirim.examples.tasks import answer, ask
from mirim.examples.teacher import Journal
from mirim.examples.units import Unit, units

#: Where the questions go, below seeds/.
FILE = "proposed.jsonl"
#: Words of a sentence that is asked about and of a question; the share of an answer's words that its sentence holds.
SENTENCE, QUESTION, HELD = (6, 60), (3, 30), 0.8
#: Questions that a model writes at the same time.
PARALLEL = 8
#: Tokens of a question or an answer at most.
TOKENS = 60


@verb
def propose(
    project: Project,
    *,
    model: str = "mirim-base",
    per_document: int = 8,
    limit: int = 1000,
    engine: str = "",
    threads: int = 0,
) -> Report:
    """Let a small model write questions about the documents into seeds/proposed.jsonl, for you to look through.

    Each is kept only when the model, shown the whole passage, answers it from the sentence it was asked about. Delete
    what nobody would ask, mend the rest: `mirim synth` learns from what then stands there. Questions of evals/ are left
    out.

    Args:
        model: Model that has learned to ask and to read, such as mirim-base or one trained here.
        per_document: Sentences of a document that are asked about at most.
        limit: Sentences in all at most, spread evenly over the documents.
        engine: Engine to run the model with; chosen by the kind of model when left out.
        threads: Threads to compute with; 0 is one for each core.
    """
    from mirim.models.engine import open_engine
    from mirim.models.resolve import resolve

    path = project.root / "seeds" / FILE
    if path.exists():
        raise UsageError(f"{path} is there already, perhaps with changes of yours; move it away to ask anew")
    if per_document < 1 or limit < 1:
        raise UsageError(f"--per-document {per_document} and --limit {limit}: at least 1 each")
    ids = store.ids(project.documents) if project.documents.is_dir() else []
    if not ids:
        raise UsageError(f"{project.root} has no documents; type: mirim ingest PATH... {project.flag}")
    share, guard = max(1, min(per_document, limit // len(ids))), Guard.of(project)
    dropped: Counter[str] = Counter()
    met: set[tuple[str, ...]] = set()
    rows: list[dict[str, Any]] = []
    running = open_engine(model, engine=engine, threads=threads, project=project, parallel=PARALLEL)
    try:
        weights = getattr(running, "path", None) or resolve(model, project).path
        made_by = fingerprint(model, weights, share, project.evals)
        with Journal(project.root / "data" / "propose.jsonl") as journal, ThreadPoolExecutor(PARALLEL) as pool:
            for id_ in track(spread(ids, limit, project.seed), "propose"):
                document = store.load(project.documents, id_)
                if document.language not in LANGUAGES:
                    dropped["of another language"] += 1
                    continue
                key = fingerprint(made_by, document.id, document.text)
                done = journal.get(key) or journal.add(
                    {"key": key, "items": list(_of(running, pool, document, share, guard)), "tokens": [0, 0]}
                )
                for item in done["items"]:
                    same = tuple(tokens(item.get("question", "")))
                    why = item.get("dropped") or ("asked twice" if same in met else "")
                    why = why or ("held out" if guard.holds(item["question"]) else "")
                    if why:
                        dropped[why] += 1
                    else:
                        rows.append({**item, "document": id_})
                        met.add(same)
    finally:
        running.close()
    if not rows:
        raise UsageError(
            f"{model} wrote no question that it could answer from its sentence "
            f"({_listed(dropped) or 'nothing to ask'}); has it learned to ask? mirim-base has"
        )
    write_jsonl(path, rows)
    note(f"look through {path}, then type: mirim synth {project.flag}".rstrip())
    shown = tuple((row["question"], row["answer"][:160]) for row in rows[:: max(1, len(rows) // 12)][:12])
    summary = f"{len(rows)} questions to look through in {path}; left out: {_listed(dropped) or 'none'}."
    data = {"questions": len(rows), "left_out": dict(sorted(dropped.items())), "path": str(path)}
    return Report("Proposed questions", summary, (Table("Some", ("question", "sentence"), shown),), data=data)


def _of(engine: Engine, pool: Executor, document: Document, most: int, guard: Guard) -> Iterator[dict[str, str]]:
    """For each sentence {"question", "answer"}, the answer being the sentence; {"dropped"} says why there is none.

    What a passage that holds a question of evals/ says is not asked about."""
    passages = [p for p in cut(document) if not guard.inside(f"{p.heading}\n{p.text}")]
    every = [u for p in passages for u in units(p) if _can_be_asked(u) and not guard.inside(f"{u.lead}\n{u.text}")]
    # By a hash, so that the choice is even and stays when a document grows.
    by_chance = sorted(every, key=lambda u: hashlib.sha256(f"{document.id} {u.text}".encode()).digest())[:most]
    chosen = sorted(by_chance, key=lambda u: u.start)
    yield from pool.map(lambda unit: _proposal(engine, unit, document.language), chosen)


def _can_be_asked(unit: Unit) -> bool:
    return not unit.header and SENTENCE[0] <= len(unit.text.split()) <= SENTENCE[1]


def _proposal(engine: Engine, unit: Unit, language: str) -> dict[str, str]:
    longest = answer.messages(unit.text, [unit.passage], language)
    if engine.context and engine.count(longest) + TOKENS > engine.context:
        return {"dropped": "too long to read"}
    question = _written(engine, ask.messages(unit.text, unit.lead, language))
    if not question.endswith("?") or not QUESTION[0] <= len(question.split()) <= QUESTION[1]:
        return {"dropped": "no question"}
    said = _written(engine, answer.messages(question, [unit.passage], language))
    if said in answer.REFUSAL.values():
        return {"dropped": "not answered"}
    words = set(tokens(said))
    held = [len(words & set(tokens(u.text))) for u in units(unit.passage)]
    here = len(words & set(tokens(unit.text)))
    if not words or here < HELD * len(words) or here < max(held):
        return {"dropped": "answered from elsewhere"}
    if content(said, language) <= content(question, language):
        return {"dropped": "answered by itself"}
    return {"question": question, "answer": unit.text}


def _written(engine: Engine, prompt: Any) -> str:
    return " ".join("".join(d.text for d in engine.generate(prompt, Sampling(max_tokens=TOKENS))).split())


def _listed(dropped: Counter[str]) -> str:
    return ", ".join(f"{count} {why}" for why, count in sorted(dropped.items()))
