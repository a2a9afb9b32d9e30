"""How well the bundled base points at answers once its tokens see each other. An experiment: mirim does not use it yet.

    python bench/pointing.py train --out DIR [--minutes 70]
    python bench/pointing.py measure DIR --reading FILE [--limit N]

`train` learns a LoRA adapter of the base without its causal mask (BehnamGhader et al. 2024, LLM2Vec), and where in a
text an answer begins and ends (Seo et al. 2017), or that it does not stand there, which is said of the last token. It
learns from the passages of `recipes/reading` and from the public sets named below: the answer's sentence, alone or with
a neighbour, other sentences of the same passage, and whole passages. `measure` reads FILE (SQuAD's JSON) by the core:
the likeliest span of the sentence, or pair of them, in which pointing beats saying that nothing is there by most.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mirim.core.files import read_jsonl, write_json
from mirim.core.progress import track
from mirim.documents.sentences import sentences
from mirim.documents.words import stems
from mirim.evals.interval import bootstrap
from mirim.evals.metrics import exact_match, token_f1
from mirim.models.engine import open_engine
from mirim.models.resolve import resolve
from mirim.models.unpack import unpacked

READING = Path(__file__).parent.parent / "recipes" / "reading"
SETS = ("fairytale_train", "qed")
#: Rank and scale of the changes; tokens of a step; tokens of an answer at most.
RANK, ALPHA, STEP, LONGEST = 32, 64, 3000, 30
RATE = 1.5e-3
PARTS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class Item(NamedTuple):
    """`first`, `last`: tokens of the text among `ids`. `gold`: first and last token of each place of the answer; none
    where it is not there, which the last of `ids` says."""

    ids: list[int]
    first: int
    last: int
    gold: list[tuple[int, int]]


class Tokens:
    """A question and a text as the base is asked, and where the text's tokens stand in it."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def of(self, question: str, title: str, text: str) -> tuple[list[int], list[tuple[int, int, int]]]:
        """Token ids, and (index, start, end) in `text` of those that are its own."""
        head = f"<|im_start|>user\n{title}\n"
        made = self.tokenizer.encode(
            f"{head}{text}\n\n? {question}<|im_end|>\n<|im_start|>assistant\n", add_special_tokens=False
        )
        begin, end = len(head), len(head) + len(text)
        own = [(i, max(s - begin, 0), e - begin) for i, (s, e) in enumerate(made.offsets) if e > begin and s < end]
        return made.ids, own


def asked(shared: Path) -> Iterator[tuple[str, str, str, str, str]]:
    """(language, title, text, question, answer)"""
    for path in sorted(READING.glob("*.jsonl")):
        if "plain" not in path.name:
            for row in read_jsonl(path):
                for question, answer in row["asked"]:
                    yield row["lang"], row["title"], row["context"], question, answer
    for name in SETS:
        for row in read_jsonl(shared / "instruct" / f"{name}.jsonl.zst"):
            if row.get("task") == "read":
                answer = (row.get("answers") or [row["output"]])[0]
                yield row["lang"], row.get("title", ""), row["context"], row["input"], answer


def items(shared: Path, tokens: Tokens, rng: random.Random) -> Iterator[Item]:
    rows = list(asked(shared))
    rng.shuffle(rows)
    for language, title, text, question, answer in track(rows, "tokens"):
        spans = sentences(text, language)
        homes = [n for n, (s, e) in enumerate(spans) if answer and answer in text[s:e]]
        if not homes:
            continue
        start, end = _shown(spans, text, question, language, homes, rng)
        window = text[start:end]
        if len(window) > 1400:
            continue
        ids, own = tokens.of(question, title, window)
        places = [m.span() for m in re.finditer(re.escape(answer), window)]
        gold = []
        for at, to in places:
            first = next((i for i, s, e in own if s <= at < e), None)
            last = next((i for i, s, e in reversed(own) if s < to <= e), None)
            if first is not None and last is not None:
                gold.append((first, last))
        if own and bool(places) == bool(gold):
            yield Item(ids, own[0][0], own[-1][0], gold)


def _shown(
    spans: list[tuple[int, int]], text: str, question: str, language: str, homes: list[int], rng: random.Random
) -> tuple[int, int]:
    """What is shown of the passage."""
    home, chance = homes[0], rng.random()
    if len(homes) > 1 or chance < 0.13:
        return spans[0][0], spans[-1][1]
    if chance < 0.36 and len(spans) > 2:
        # Not where it stands; more often than not the one of some others that sounds most like the question.
        others = rng.sample([n for n in range(len(spans)) if n != home], min(4, len(spans) - 1))
        said = set(stems(question, language, content=True))
        other = others[0]
        if rng.random() < 0.6:
            other = max(others, key=lambda n: len(said & set(stems(text[slice(*spans[n])], language))))
        with_former = other and other - 1 != home and rng.random() < 0.4
        return spans[other - 1 if with_former else other][0], spans[other][1]
    chance, (start, end) = rng.random(), spans[home]
    if chance < 0.3 and home:
        start = spans[home - 1][0]
    elif chance < 0.5 and home + 1 < len(spans):
        end = spans[home + 1][1]
    return start, end


def batches(made: list[Item], rng: random.Random) -> list[list[Item]]:
    """Of about STEP tokens, texts of like length together."""
    order = list(range(len(made)))
    rng.shuffle(order)
    found: list[list[Item]] = []
    for at in range(0, len(order), 2000):
        part: list[list[Item]] = [[]]
        for item in sorted((made[n] for n in order[at : at + 2000]), key=lambda item: len(item.ids)):
            if part[-1] and (len(part[-1]) + 1) * len(item.ids) > STEP:
                part.append([])
            part[-1].append(item)
        rng.shuffle(part)
        found += part
    return found


def train(out: Path, shared: Path, minutes: float) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModel

    torch.manual_seed(0)
    rng = random.Random(0)
    path = resolve("mirim-base").path
    assert path is not None
    folder = unpacked(path, tune=True)
    steps = batches(list(items(shared, Tokens(folder), rng)), rng)
    base = AutoModel.from_pretrained(folder, dtype=torch.bfloat16)
    net = get_peft_model(base, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=list(PARTS)))
    head = torch.nn.Linear(base.config.hidden_size, 2)
    torch.nn.init.normal_(head.weight, 0, 0.02)
    learned = [p for p in net.parameters() if p.requires_grad]
    for p in learned:
        p.data = p.data.float()
    learned += head.parameters()
    optimiser = torch.optim.AdamW(learned, lr=RATE, weight_decay=0.01, betas=(0.9, 0.98))
    began, seen, losses = time.time(), 0, []
    for number, step in enumerate(steps):
        gone = (time.time() - began) / 60 / minutes
        if gone >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1, (number + 1) / 60) * max(0.02, 1 - gone)
        length = max(len(item.ids) for item in step)
        ids = torch.zeros(len(step), length, dtype=torch.long)
        there, may = torch.zeros_like(ids, dtype=torch.bool), torch.zeros_like(ids, dtype=torch.bool)
        for n, item in enumerate(step):
            ids[n, : len(item.ids)] = torch.tensor(item.ids)
            there[n, : len(item.ids)] = True
            may[n, item.first : item.last + 1] = may[n, len(item.ids) - 1] = True
        # Four dimensions: the mask is taken as it is, not made causal.
        mask = torch.zeros(len(step), 1, length, length).masked_fill(~there[:, None, None, :], -1e9)
        with torch.autocast("cpu", torch.bfloat16):
            states = net(input_ids=ids, attention_mask=mask.bfloat16(), use_cache=False).last_hidden_state
        told = head(states.float()).masked_fill(~may[..., None], -1e4).log_softmax(1)  # (B, T, 2)
        lost = []
        for n, item in enumerate(step):
            none = len(item.ids) - 1
            places = [told[n, s, 0] + told[n, e, 1] for s, e in item.gold or [(none, none)]]
            lost.append(-torch.logsumexp(torch.stack(places), 0))
        loss = torch.stack(lost).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        seen += int(there.sum())
        losses.append(float(loss.detach()))
        if number % 25 == 0:
            recent = losses[-50:]
            print(f"{number} of {len(steps)}: loss {np.mean(recent):.3f}, {seen / (time.time() - began):.0f} tokens/s")
    net.save_pretrained(str(out))
    np.savez(out / "head.npz", weight=head.weight.detach().numpy(), bias=head.bias.detach().numpy())
    write_json(out / "learned.json", {"tokens": seen, "loss": float(np.mean(losses[-50:]))})


class Pointer:
    """The core's engine with what `train` learned."""

    def __init__(self, folder: Path) -> None:
        path = resolve("mirim-base").path
        assert path is not None
        self.engine: Any = open_engine("mirim-base", engine="native", adapters=(str(folder),))
        self.tokens = Tokens(path)
        self.head = np.load(folder / "head.npz")

    def best(self, question: str, title: str, texts: list[str]) -> list[tuple[float, str]]:
        """Of each text the likeliest span, and by how much it is likelier than none."""
        asked = [self.tokens.of(question, title, text) for text in texts]
        fit = [n for n, (ids, _) in enumerate(asked) if len(ids) <= self.engine.whole]
        found = []
        for n, states in zip(fit, self.engine.states([asked[n][0] for n in fit], adapter=0), strict=True):
            ids, own = asked[n]
            told = states @ self.head["weight"].T + self.head["bias"]
            inside = told[[i for i, _, _ in own]]
            both = inside[:, None, 0] + inside[None, :, 1]
            every = np.ones_like(both, dtype=bool)
            both[~np.triu(every) | np.triu(every, LONGEST)] = -np.inf
            first, last = np.unravel_index(both.argmax(), both.shape)
            text = texts[n][own[first][1] : own[last][2]].strip()
            found.append((float(both[first, last] - told[len(ids) - 1].sum()), text))
        return found


def measure(folder: Path, path: Path, limit: int) -> dict[str, Any]:
    held = json.loads(path.read_text("utf-8"))
    language, pointer = held.get("language", "en"), Pointer(folder)
    rows = [
        (article.get("title", ""), paragraph["context"], qa)
        for article in held["data"]
        for paragraph in article["paragraphs"]
        for qa in paragraph["qas"]
        if qa["answers"]
    ][: limit or None]
    scores: dict[str, list[float]] = {"f1": [], "exact": [], "f1 of the whole passage": []}
    for title, text, qa in track(rows, "pointing"):
        spans = sentences(text, language)
        windows = [text[s:e] for s, e in spans] + [text[spans[n][0] : spans[n + 1][1]] for n in range(len(spans) - 1)]
        answers = [a["text"] for a in qa["answers"]]
        said = max(pointer.best(qa["question"], title, windows), default=(0.0, ""))[1]
        whole = max(pointer.best(qa["question"], title, [text]), default=(0.0, ""))[1]
        scores["f1"].append(100 * token_f1(said, answers, language))
        scores["exact"].append(100 * exact_match(said, answers, language))
        scores["f1 of the whole passage"].append(100 * token_f1(whole, answers, language))
    return {name: str(bootstrap(values)) for name, values in scores.items()} | {"questions": len(rows)}


def main() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    training.add_argument("--out", type=Path, required=True)
    training.add_argument("--shared", type=Path, default=Path("../shared"))
    training.add_argument("--minutes", type=float, default=70)
    measuring = commands.add_parser("measure")
    measuring.add_argument("folder", type=Path)
    measuring.add_argument("--reading", type=Path, required=True)
    measuring.add_argument("--limit", type=int, default=0)
    given = parser.parse_args()
    if given.command == "train":
        train(given.out, given.shared, given.minutes)
    else:
        print(json.dumps(measure(given.folder, given.reading, given.limit)))


if __name__ == "__main__":
    main()
