"""Learning to point at answers: a LoRA adapter of a model without its causal mask, and two rows of numbers on top.

What is learned and what it is for says `mirim.models.pointing`. A question is shown with the sentence that answers it,
alone or with a neighbour, with other sentences of its passage, with the whole passage, or with the passage without what
answers; it learns the places where the answer begins and ends, or that it stands nowhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mirim.core import progress
from mirim.core.errors import UsageError
from mirim.core.types import Passage
from mirim.documents.sentences import sentences
from mirim.documents.words import stems
from mirim.examples.placed import Placed, read
from mirim.examples.tasks import answer
from mirim.models import convert, lora, unpack
from mirim.models.pointing import ADAPTER, FOLDER, HEAD
from mirim.models.weights import open_weights
from mirim.training.adapt import base_points, with_lora
from mirim.training.device import Device, wait, world
from mirim.training.loop import Result, Settings, fit
from mirim.training.loss import Loss
from mirim.training.packing import Batch, Batches, Row

if TYPE_CHECKING:
    from mirim.training.recipe import Recipe, Stage
    from mirim.training.stages import Plan

#: Characters of what is shown at most; tokens of a step when nothing else is said.
ROOM, STEP = 1400, 3000
#: Chances that the whole passage is shown, then that it lacks what answers, and that a sentence is shown that does not.
WHOLE, GONE, OTHER = 0.18, 0.4, 0.2
#: One question in so many is not learned from: the loss is watched by some, and what builds on pointing fitted on them.
APART, WATCHED = 8, 400
#: Rows that are sorted by length together.
SORTED = 2000
#: How the adapter is written; the model's own weights are mostly rounded alike.
QUANT = "q8_0"


def learn(
    plan: Plan,
    recipe: Recipe,
    stage: Stage,
    model: Any,
    tokenizer: Any,
    device: Device,
    work: Path,
    run: str,
    tokens: int,
) -> Result:
    """Learn from `tokens` of the questions that the recipe's tasks are to point at, from where the base left off if it
    learned the same; what comes of it lies in `work` / FOLDER / the stage's task afterwards. `model` stays as it is.

    UsageError when no question has an answer that stands in its passage, or the model is of no family that is known.
    """
    family = convert.find_family(model.config.to_dict(), work)  # what cannot be written is not learned
    every = (
        read(recipe.find(plan.corpus[0], source.path), source.most, plan.seed)
        for source in recipe.tasks
        if source.points
    )
    asked = [one for rows in every for one in rows if one.task == stage.task]
    rows, watched = _rows(asked, tokenizer, tokens, stage.context, plan.seed)
    net = with_lora(model, stage.pointing, plan.seed)
    net.pointing = torch.nn.Linear(model.config.hidden_size, 2)
    torch.nn.init.normal_(net.pointing.weight, 0, 0.02)
    if begun := base_points(plan.base).get(stage.task) if plan.base else None:
        _go_on(net, begun)
    batches = Lengthwise(
        rows, stage.context, stage.batch or plan.batch_tokens or STEP, plan.seed, tokenizer.pad_token_id or 0
    )
    mean = sum(map(len, (row.ids for row in rows))) / len(rows)
    settings = Settings(
        max(1, round(tokens / mean / (len(rows) / batches.per_epoch))),
        (plan.learning_rate or recipe.learning_rate) * stage.learning_rate,
        stage.schedule,
        weight_decay=0.01,
        betas=(0.9, 0.98),
        seed=plan.seed,
    )
    result = fit(
        net,
        batches,
        settings,
        device,
        folder=work / stage.name,
        run=run,
        validation=[batches.collated([row]) for row in watched],
        label=stage.name,
        deadline=plan.deadline,
        loss=Places,
    )
    if world()[0] == 0:
        _write(net, family.ARCHITECTURE, work / FOLDER / stage.task)
    wait()
    net.unload()
    return result


@torch.no_grad()
def _go_on(net: Any, folder: Path) -> None:
    """Begin with what the base points with for the same task. UsageError where its rank is another."""
    kept = open_weights(folder, HEAD)
    for name, value in net.pointing.named_parameters():
        value.copy_(torch.from_numpy(kept.read(name)))
    inner = net.get_base_model()
    for name, (a, b) in unpack.halves(folder / ADAPTER, inner.config.to_dict(), folder).items():
        module = inner.get_submodule(name.removesuffix(".weight"))
        down, up = module.lora_A["default"].weight, module.lora_B["default"].weight
        if down.shape != a.shape:
            raise UsageError(
                f"{folder} has rank {a.shape[0]}, the stage asks for pointing = {down.shape[0]}; write {a.shape[0]} "
                "into the recipe to go on from there"
            )
        down.copy_(torch.from_numpy(a))
        up.copy_(torch.from_numpy(b / module.scaling["default"]))


def apart(question: str) -> bool:
    """Whether a question is kept out of what pointing learns from."""
    return int(hashlib.sha256(question.encode()).hexdigest()[:8], 16) % APART == 0


def _rows(asked: list[Placed], tokenizer: Any, tokens: int, context: int, seed: int) -> tuple[list[Row], list[Row]]:
    """(to learn, to watch): as many ways to show each question as the tokens ask for."""
    spans = {one.text: sentences(one.text, one.language) for one in asked if one.task == "read"}
    rows: list[Row] = []
    watched: list[Row] = []
    rng, learned, drawn = random.Random(f"{seed} pointing"), 0, 0
    while learned < tokens:
        rng.shuffle(asked)
        before = len(rows)
        for one in progress.track(asked, f"questions to point at, {drawn + 1}"):
            # Of a function all that is asked is kept apart, or nothing.
            kept = apart(one.question if one.task == "read" else one.heading.partition(":")[0])
            shown, places = one.text, one.places
            if one.task == "read":
                said = one.text[slice(*one.places[0])]
                shown = show(one.text, spans[one.text], one.question, said, one.language, rng)
                places = tuple(match.span() for match in re.finditer(re.escape(said), shown))
            if len(shown) > ROOM or (kept and (drawn or len(watched) == WATCHED)):
                continue
            row = placed(tokenizer, one._replace(text=shown, places=places))
            if row is None or len(row.ids) > context:
                continue
            (watched if kept else rows).append(row)
            learned += 0 if kept else len(row.ids)
        drawn += 1
        if len(rows) == before:
            break
    if not rows:
        raise UsageError(
            "no question is left to learn pointing from: mark [[tasks]] with points = true whose rows are of the task "
            "read and whose answers stand in their passages, or of the task tools with calls"
        )
    return rows, watched


def show(
    text: str, spans: Sequence[tuple[int, int]], question: str, said: str, language: str, rng: random.Random
) -> str:
    """What is shown of a passage that holds the answer `said`, by its sentences."""
    homes = [n for n, (start, end) in enumerate(spans) if said in text[start:end]]
    chance = rng.random()
    if len(homes) != 1:
        return text
    home = homes[0]
    if chance < WHOLE:
        if len(spans) > 2 and rng.random() < GONE:
            return f"{text[: spans[home][0]].rstrip()} {text[spans[home][1] :].lstrip()}".strip()
        return text
    if chance < WHOLE + OTHER and len(spans) > 2:
        # More often than not the one of some others that sounds most like the question.
        others = rng.sample([n for n in range(len(spans)) if n != home], min(4, len(spans) - 1))
        other = others[0]
        if rng.random() < 0.6:
            asks = set(stems(question, language, content=True))
            other = max(others, key=lambda n: len(asks.intersection(stems(text[slice(*spans[n])], language))))
        with_former = other and other - 1 != home and rng.random() < 0.4
        return text[spans[other - 1 if with_former else other][0] : spans[other][1]]
    chance, (start, end) = rng.random(), spans[home]
    if chance < 0.3 and home:
        start = spans[home - 1][0]
    elif chance < 0.5 and home + 1 < len(spans):
        end = spans[home + 1][1]
    return text[start:end]


def placed(tokenizer: Any, one: Placed) -> Row | None:
    """The prompt, and as its mask what is learned at each token: -100 where an answer cannot be, 0 where none begins,
    and where one does the token that it ends with. The last token stands for an answer that is not there. None where
    the answer is there and has no tokens of its own."""
    shown = Passage("", "", 0, len(one.text), one.heading, one.text, None, one.language)
    prompt = answer.messages(one.question, [shown], one.language)
    spoken = tokenizer.apply_chat_template([m.to_json() for m in prompt], tokenize=False, add_generation_prompt=True)
    begin = spoken.find(prompt[0].content)
    if begin < 0:
        return None
    begin += len(f"{one.heading}\n")
    made = tokenizer(spoken, add_special_tokens=False, return_offsets_mapping=True)
    ids, end = made["input_ids"], begin + len(one.text)
    own = [(i, max(s, begin), min(e, end)) for i, (s, e) in enumerate(made["offset_mapping"]) if e > begin and s < end]
    marks = np.full(len(ids), -100, np.int64)
    marks[[i for i, _, _ in own]] = 0
    for start, stop in ((begin + a, begin + b) for a, b in one.places):
        first = next((i for i, s, e in own if s <= start < e), None)
        last = next((i for i, s, e in reversed(own) if s < stop <= e), None)
        if first is not None and last is not None:
            marks[first] = last
    if not own or bool(one.places) != bool((marks > 0).any()):
        return None
    marks[-1] = 0 if one.places else len(ids) - 1
    return Row(np.asarray(ids, np.int64), marks)


@dataclass(frozen=True, slots=True)
class Asked(Batch):
    """Questions, a row each: `targets` as `placed` marks them."""

    @property
    def tokens(self) -> int:
        """Questions, of which each counts as one."""
        return int((self.targets != -100).any(1).sum())


class Lengthwise(Batches):
    """Batches of about `step` tokens, rows of like length together, each row a sequence."""

    def __init__(self, rows: Sequence[Row], room: int, step: int, seed: int, pad: int) -> None:
        super().__init__(rows, room, 1, seed, pad, packed=False)
        self.step = step

    def _epoch(self, epoch: int) -> list[list[list[int]]]:
        if self._planned != epoch:
            order, self._plan = self._order(epoch), []
            for at in range(0, len(order), SORTED):
                part: list[list[list[int]]] = [[]]
                for row in sorted(order[at : at + SORTED], key=lambda n: self.lengths[n]):
                    if part[-1] and (len(part[-1]) + 1) * self.lengths[row] > self.step:
                        part.append([])
                    part[-1].append([row])
                self._plan += part
            # Of all lengths at any time; those of one part would come from the shortest to the longest.
            random.Random(f"{self.seed} {epoch} groups").shuffle(self._plan)
            self._planned = epoch
        return self._plan

    def made(self, groups: Sequence[Sequence[int]]) -> Batch:
        return self.collated([self.rows[group[0]] for group in groups])

    def collated(self, rows: Sequence[Row]) -> Asked:
        width = max(len(row.ids) for row in rows)
        ids = np.full((len(rows), width), self.pad, np.int64)
        positions, targets = np.zeros_like(ids), np.full_like(ids, -100)
        for b, row in enumerate(rows):
            n = len(row.ids)
            ids[b, :n], targets[b, :n] = row.ids, np.asarray(row.mask)
            # They begin again where the padding does, which nothing sees.
            positions[b] = [*range(n), *range(width - n)]
        return Asked(torch.from_numpy(ids), torch.from_numpy(positions), torch.from_numpy(targets))


class Places(Loss):
    """What it costs that an answer begins and ends where it does: the cross-entropy of both places among those of the
    text and the last token, the likeliest of an answer's places counting as far as it is likely (Clark & Gardner 2018).
    """

    def __init__(self, model: Any, *, compiled: bool = False) -> None:
        self.model, self.device = model, next(model.parameters()).device
        inner = model.get_base_model()
        self.decoder = getattr(inner, "base_model", inner)

    def attending(self) -> contextlib.AbstractContextManager[Any]:
        """Under a mask that hides the padding alone."""
        return contextlib.nullcontext()

    def backward(self, batch: Batch, scale: float) -> torch.Tensor:
        loss = self._lost(batch.to(self.device))
        (loss * scale).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    @torch.no_grad()
    def mean(self, batches: list[Batch]) -> float:
        """Mean loss in nats a question."""
        self.model.eval()
        total = sum(float(self._lost(batch.to(self.device))) for batch in batches)
        self.model.train()
        return total / max(sum(batch.tokens for batch in batches), 1)

    def _lost(self, batch: Batch) -> torch.Tensor:
        there = (batch.positions == 0).cumsum(1) == 1
        # Of four dimensions, so that transformers takes it as it is: nothing makes it causal.
        hidden = torch.zeros(len(there), 1, *there.shape[1:] * 2, device=self.device)
        hidden = hidden.masked_fill(~there[:, None, None, :], torch.finfo(torch.float32).min)
        if torch.is_autocast_enabled(self.device.type):
            hidden = hidden.to(torch.get_autocast_dtype(self.device.type))
        states = self.decoder(input_ids=batch.ids, attention_mask=hidden, use_cache=False).last_hidden_state
        with torch.autocast(self.device.type, enabled=False):
            told = self.model.pointing(states.float())  # (B, T, 2)
        told = told.masked_fill((batch.targets == -100)[..., None], -1e4).log_softmax(1)
        ends = told[..., 1].gather(1, batch.targets.clamp(min=0))
        both = (told[..., 0] + ends).masked_fill(batch.targets <= 0, -torch.inf)
        learned = (batch.targets > 0).any(1)
        lost: torch.Tensor = -both[learned].logsumexp(1).sum()
        return lost


def _write(net: Any, architecture: str, folder: Path) -> None:
    """The adapter and what is on top of it."""
    from safetensors.torch import save_file

    shutil.rmtree(folder, ignore_errors=True)
    working = folder.with_name(f".tmp-{folder.name}")
    shutil.rmtree(working, ignore_errors=True)
    head = {name: value.detach().float().cpu().contiguous() for name, value in net.pointing.state_dict().items()}
    del net.pointing
    net.save_pretrained(working / "peft", save_embedding_layers=False)
    lora.write(working / "peft", architecture, net.get_base_model().config.to_dict(), working / ADAPTER, QUANT)
    shutil.rmtree(working / "peft")
    save_file(head, working / f"{HEAD}.safetensors")
    working.rename(folder)
