"""Fit what reads a question and a passage together (mirim/models/reader.py): low-rank changes of the encoder that
search uses, and a head that points at the first and at the last token of an answer, or at nothing.

    python bench/fit_reader.py --shared ../shared --minutes 60

It learns from recipes/reading and from people's questions (FairytaleQA train, QED, COVID-QA, Pirá), each with a stretch
of the passage that it is asked of, of a length drawn anew: the whole stretch, the stretch without the sentence that
answers, a stretch elsewhere in the passage, now and then another passage. One passage in forty is kept out. It learns
from organisations' customers too (recipes/organisations, but those that bench/fit_meaning.py keeps out): each question,
answered or not, in both languages, with the passages whose tokens answer best to it; now and then behind a sentence
that has nothing to do with it (instruct's stories), or a short question about something else in its place.

The shipped one learned in three parts: 2.4 million tokens of reading alone, 3.0 million beside 40 organisations' first
questions, and

    python bench/fit_reader.py --shared ../shared --start FORMER.npz --readings 900 --minutes 46 --rate 7e-4

which was 4.9 million, three in five of what there was to learn; stories and short questions about something else came
later, and a question of more than 64 tokens kept its beginning alone.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from fit_ranker import rows, stories
from organisations import Asked, indexed, kept_out, organisations, translated
from organisations import asked as more_asked
from reader_model import Reader, load, save
from torch import nn

from mirim.core.types import Passage
from mirim.documents.sentences import sentences
from mirim.examples.units import units
from mirim.models import meaning, reader
from mirim.models.encoder import Encoder, File, installed
from mirim.models.meaning import both_ends, clean
from mirim.models.reader import QUESTION, TITLE
from mirim.training.device import detect

#: The public sets whose questions are learned, and characters of a text, of an answer at most.
SETS, TEXT, ANSWER = ("fairytale_train", "qed", "covidqa", "pira"), 12_000, 200
#: Tokens of a stretch, of which one is drawn; shares of stretches around an answer, of these without it, of others.
ROOMS, AROUND, WITHOUT, OTHER = (60, 120, 180, 300), 0.85, 0.33, 0.04
#: Of passages beside a customer's question the share that is read with what somebody asks of something else instead,
#: and of questions the share that comes behind a sentence that has nothing to do with it.
STRAY, TOLD = 0.04, 0.08
#: Share of examples that come with their title.
TITLED = 0.8
#: Passages that each question of a customer is read with: those whose tokens answer best, of the nearest by vectors.
LOOKED_AT, NEAREST = 3, 40
CONTEXT = 512


@dataclass
class Reading:
    """Sentences, what leads to each as tokens, themselves as tokens; of each question tokens, the sentences that
    answer, and the answer, or nothing where that is all of one."""

    language: str
    title: list[int]
    sentences: list[tuple[str, list[int], list[int]]]
    asked: list[tuple[list[int], list[int], str]]


@dataclass
class Example:
    """`ids`, where nothing stands, which places an answer may have, and where the answer begins and ends."""

    ids: list[int]
    none: int
    first: int
    begin: int
    end: int


@dataclass
class Beside:
    """language → tokens of what customers do not ask, and of what they might tell before they ask."""

    strays: dict[str, list[list[int]]]
    stories: dict[str, list[list[int]]]


def passages(encoder: Encoder, shared: Path, recipes: Path) -> Iterator[tuple[bool, Reading]]:
    """(kept out, passage)"""
    for language, title, text, asked in texts(shared, recipes):
        spans = sentences(text, language)
        found = []
        for question, said in asked:
            homes = [i for i, (a, b) in enumerate(spans) if said and said in text[a:b]]
            if homes or not said:
                found.append((encoder.tokens(clean(question)), homes, said))
        if found and spans:
            parts = [(text[a:b], [], encoder.tokens(clean(text[a:b]))) for a, b in spans]
            named = encoder.tokens(clean(title)) if title else []
            yield zlib.crc32(text.encode()) % 40 == 0, Reading(language, named, parts, found)


def customers(encoder: Encoder, recipes: Path) -> Iterator[Reading]:
    """What organisations are asked, each with a few passages that speak of it; only some of them answer."""
    more, put = more_asked(recipes / "asked.jsonl"), translated(recipes / "across.jsonl")
    for number, organisation in enumerate(organisations(recipes)):
        if kept_out(number):
            continue
        documents = organisation.documents
        with tempfile.TemporaryDirectory() as folder, indexed(Path(folder) / "index.db", documents) as index:
            held = [p for d in documents for p in index.passages(d.id)]
        said = meaning.passages([f"{p.heading}\n{p.text}" for p in held])
        vectors = np.array([one.vector for one in said])
        read = [parts(encoder, p) for p in held]
        asked = list(organisation.questions)
        texts = {d.id: d.text for d in documents}
        for text, document, sentence in more.get(organisation.slug, ()):
            start = texts[document].index(sentence)
            asked.append(Asked(text, "answered", document, [(start, start + len(sentence))]))
        asked += [replace(asked[at], question=text) for at, text in put.get(organisation.slug, ())]
        for one in asked:
            query = meaning.query(one.question)
            near = np.argsort(-(vectors @ query.vector), kind="stable")[:NEAREST]
            fit = {int(at): meaning.log_odds(query, said[at]) for at in near}
            chosen = sorted(fit, key=lambda at: -fit[at])[:LOOKED_AT]
            right = [at for at, p in enumerate(held) if homes(one, p)]
            if right and not set(right) & set(chosen):
                chosen[-1] = max(right, key=lambda at: fit.get(at, -np.inf))
            question = encoder.tokens(clean(one.question))
            for at in chosen:
                if read[at]:
                    title = encoder.tokens(clean(held[at].heading))
                    yield Reading(organisation.language, title, read[at], [(question, homes(one, held[at]), "")])


def parts(encoder: Encoder, passage: Passage) -> list[tuple[str, list[int], list[int]]]:
    """A passage as `Reading.sentences` has it."""
    return [
        (said, encoder.tokens(clean(lead)) if lead else [], encoder.tokens(clean(said)))
        for lead, said in reader.text(passage).parts
    ]


def homes(asked: Asked, passage: Passage) -> list[int]:
    """Which sentences of a passage answer a question."""
    if asked.document != passage.document:
        return []
    own = units(passage)
    return [n for n, u in enumerate(own) if any(u.start < end and start < u.end for start, end in asked.spans)]


def strays(shared: Path, recipes: Path) -> dict[str, list[str]]:
    """language → short questions and orders about anything but an organisation."""
    found: dict[str, list[str]] = {"en": [], "pt": []}
    for row in rows(shared / "instruct" / "chatterbot.jsonl.zst"):
        found[row["lang"]].append(row["messages"][0]["content"])
    for name in ("hwu64", "home_intents"):
        for number, row in enumerate(rows(shared / "instruct" / f"{name}.jsonl.zst")):
            # There are ten times as many of the former.
            if name != "hwu64" or number % 10 == 0:
                found[row["lang"]].append(row["input"])
    for path in sorted(recipes.glob("calls-*.jsonl")):
        for row in map(json.loads, path.open(encoding="utf-8")):
            found[row["lang"]] += [said for said, *_ in row["calls"]]
    return {language: sorted(set(texts)) for language, texts in found.items()}


def texts(shared: Path, recipes: Path) -> Iterator[tuple[str, str, str, list[tuple[str, str]]]]:
    """(language, title, text, [(question, answer or nothing)])"""
    for path in sorted(recipes.glob("*.jsonl")):
        for row in map(json.loads, path.open(encoding="utf-8")):
            asked = [(q, " ".join(a.split())) for q, a in row["asked"]]
            yield row["lang"], row.get("title", ""), " ".join(row["context"].split()), asked
    for name in SETS:
        held: dict[tuple[str, str, str], list[tuple[str, str]]] = defaultdict(list)
        for row in rows(shared / "instruct" / f"{name}.jsonl.zst"):
            if row["task"] != "read":
                continue
            text, said = " ".join(row["context"].split()), " ".join(str(row["output"]).split())
            if said and said in text and len(said) < ANSWER and len(text) < TEXT:
                held[row["lang"], row.get("title", "").replace("-", " "), text].append((row["input"], said))
        for (language, title, text), asked in held.items():
            yield language, title, text, asked


def build(
    encoder: Encoder, question: list[int], passage: Reading, kept: Sequence[int], answer: tuple[int, str], titled: bool
) -> Example:
    """A question with some of a passage, as `mirim.models.reader` shows it; `answer` is (sentence, text)."""
    ids = [encoder.start, *both_ends(question, QUESTION // 2), encoder.end]
    none = len(ids) - 1
    ids += [encoder.end, *(passage.title[:TITLE] if titled else ()), encoder.end]
    first = len(ids)
    begin = end = none
    for number in kept:
        text, led, own = passage.sentences[number]
        ids += led
        if number == answer[0]:
            low, high = where(encoder, text, answer[1], len(own)) if answer[1] else (0, len(own) - 1)
            begin, end = len(ids) + low, len(ids) + high
        ids += own
    ids = ids[: CONTEXT - 1]
    if end >= len(ids):
        begin = end = none
    return Example([*ids, encoder.end], none, first, begin, end)


def where(encoder: Encoder, text: str, said: str, count: int) -> tuple[int, int]:
    """The first and the last token of a sentence that hold what was said."""
    at = text.index(said)
    before = text[:at].rstrip()
    low = len(encoder.tokens(clean(before))) if before else 0
    high = len(encoder.tokens(clean(text[: at + len(said)]))) - 1
    return min(low, count - 1), min(max(low, high), count - 1)


def drawn(encoder: Encoder, passage: Reading, number: int, rng: random.Random) -> Example | None:
    """One of a passage's questions with a stretch of the passage; None where its answer stands twice there."""
    question, homes, said = passage.asked[number]
    sizes = [len(led) + len(ids) for _, led, ids in passage.sentences]
    # What search brings is read whole.
    room = rng.choice(ROOMS) if said else ROOMS[-1]
    low = high = rng.choice(homes) if homes and rng.random() < AROUND else rng.randrange(len(sizes))
    while True:
        left = room - sum(sizes[low : high + 1])
        beside = [n for n in (low - 1, high + 1) if 0 <= n < len(sizes) and sizes[n] <= left]
        if not beside:
            break
        grown = rng.choice(beside)
        low, high = min(low, grown), max(high, grown)
    kept = list(range(low, high + 1))
    if homes and rng.random() < WITHOUT and not set(kept) <= set(homes):
        kept = [n for n in kept if n not in homes]
    held = [n for n in kept if n in homes]
    if len(held) > 1 and said:
        return None
    return build(encoder, question, passage, kept, (held[0], said) if held else (-1, ""), rng.random() < TITLED)


def varied(passage: Reading, number: int, beside: Beside, rng: random.Random) -> Reading:
    """A customer's question now and then behind a story, or another in its place that the passage does not answer."""
    question, homes, said = passage.asked[number]
    if said:
        return passage
    if rng.random() < STRAY:
        question, homes = rng.choice(beside.strays[passage.language]), []
    elif rng.random() < TOLD:
        question = [*rng.choice(beside.stories[passage.language]), *question]
    asked = list(passage.asked)
    asked[number] = question, homes, said
    return replace(passage, asked=asked)


def batches(
    encoder: Encoder, held: Sequence[Reading], beside: Beside, most: int, rng: random.Random
) -> Iterator[list[Example]]:
    """Examples of about the same length, at most `most` tokens together, for ever."""
    every = [(passage, number) for passage in held for number in range(len(passage.asked))]
    while True:
        rng.shuffle(every)
        for at in range(0, len(every), 2048):
            made = []
            for passage, number in every[at : at + 2048]:
                other = rng.choice(held)
                if rng.random() >= OTHER:
                    one = drawn(encoder, varied(passage, number, beside, rng), number, rng)
                elif other.language == passage.language and other is not passage:
                    one = build(
                        encoder, passage.asked[number][0], other, range(min(6, len(other.sentences))), (-1, ""), True
                    )
                else:
                    one = None
                if one:
                    made.append(one)
            made.sort(key=lambda e: len(e.ids))
            groups: list[list[Example]] = [[]]
            for one in made:
                if groups[-1] and len(one.ids) * (len(groups[-1]) + 1) > most:
                    groups.append([])
                groups[-1].append(one)
            rng.shuffle(groups)
            yield from groups


def loss_of(model: nn.Module, group: Sequence[Example]) -> torch.Tensor:
    """Of the places where answers begin and end, in nats, both together."""
    longest = (max(len(e.ids) for e in group) + 15) // 16 * 16
    ids = torch.zeros(len(group), longest, dtype=torch.long)
    there, open_ = torch.zeros_like(ids, dtype=torch.bool), torch.zeros_like(ids, dtype=torch.bool)
    for row, one in enumerate(group):
        ids[row, : len(one.ids)] = torch.tensor(one.ids)
        there[row, : len(one.ids)] = True
        open_[row, one.none] = True
        open_[row, one.first : len(one.ids) - 1] = True
    scores = model(ids, there).masked_fill(~open_[..., None], -1e4)
    right = torch.tensor([[e.begin, e.end] for e in group])
    return sum(functional.cross_entropy(scores[..., n], right[:, n]) for n in range(2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--recipes", type=Path, default=Path("recipes"))
    parser.add_argument("--start", type=Path, help="go on from these weights")
    parser.add_argument("--out", type=Path, default=Path("mirim/models/reader.npz"))
    parser.add_argument("--readings", type=int, default=20_000, help="passages with reading questions at most")
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--batch-tokens", type=int, default=4096)
    options = parser.parse_args()
    torch.manual_seed(0)
    rng = random.Random(0)
    encoder = Encoder.open()
    learned: list[Reading] = []
    others: list[Reading] = []
    for out, passage in passages(encoder, options.shared, options.recipes / "reading"):
        (others if out else learned).append(passage)
    print(f"{len(learned)} passages, {sum(len(p.asked) for p in learned)} questions; {len(others)} passages kept out")
    asked = list(customers(encoder, options.recipes / "organisations"))
    answered = sum(bool(homes) for p in asked for _, homes, _ in p.asked)
    print(f"{len(asked)} passages beside customers' questions, {answered} of which answer")
    learned = rng.sample(learned, min(options.readings, len(learned))) + asked
    beside = Beside(
        *(
            {language: [encoder.tokens(clean(text)) for text in texts] for language, texts in said.items()}
            for said in (strays(options.shared, options.recipes / "requests"), stories(options.shared))
        )
    )
    # A processor without bfloat16 takes four times as long with it.
    kind = torch.bfloat16 if detect().bf16 else torch.float32
    model = Reader(File(installed() or Path()), options.rank, kind)
    if options.start:
        load(model, options.start)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=options.rate, betas=(0.9, 0.99), weight_decay=0.01)
    began, tokens, losses = time.time(), 0, []
    for group in batches(encoder, learned, beside, options.batch_tokens, rng):
        part = (time.time() - began) / 60 / options.minutes
        if part >= 1:
            break
        for some in optimizer.param_groups:
            some["lr"] = options.rate * min(1, (len(losses) + 1) / 60, (1 - part) / 0.8)
        loss = loss_of(model, group)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        tokens += sum(len(e.ids) for e in group)
        losses.append(float(loss.detach()))
        if len(losses) % 50 == 0:
            print(f"{len(losses)} steps, {tokens} tokens, loss {np.mean(losses[-50:]):.3f}", flush=True)
        if len(losses) % 300 == 0:
            save(model, options.out)
    save(model, options.out)
    with torch.no_grad():
        fixed = [one for p in others for n in range(len(p.asked)) if (one := drawn(encoder, p, n, random.Random(n)))]
        found = [float(loss_of(model, fixed[at : at + 16])) for at in range(0, len(fixed), 16)]
    print(f"kept out: loss {np.mean(found):.3f} over {len(fixed)} questions")


if __name__ == "__main__":
    main()
