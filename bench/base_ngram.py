"""Bits per byte of the base beside a 5-gram that was counted on the very tokens the base learned.

    python bench/base_ngram.py --work DIR --recipe recipes/mirim-base.toml --corpus ../shared --model REF --out DIR

DIR of --work holds `tokenizer` and `shard`, as a run of the recipe prepares them (they are made when absent). Documents
of which no window was taken by any stage are the test: 150 a language, written to --out, scored by both. The 5-gram
is interpolated Kneser-Ney with one discount an order (Chen and Goodman 1999, n1 / (n1 + 2 n2)).
"""

from __future__ import annotations

import argparse
import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from mirim.core.files import write_jsonl
from mirim.evals.evaluate import evaluate
from mirim.training import corpus as reading
from mirim.training import recipe as recipes
from mirim.training import shards
from mirim.training.packing import Batches
from mirim.training.pretrain import load_tokenizer
from mirim.training.shape import batch_tokens

ORDER = 5
Array = np.ndarray[Any, Any]


def taken(recipe: recipes.Recipe, stage: recipes.Stage, shard: Path, tokens: int, seed: int, steps: int) -> Array:
    """Starts of the windows of text that a stage of text alone took, in the order in which it did."""
    rows, _ = shards.Shard.split(shard, stage.context)
    sequences = max(1, batch_tokens(tokens) // stage.context)
    batches = Batches(rows, stage.context, sequences, seed, 0, weights=rows.weights, full=True)
    steps = steps or max(1, round(stage.share * tokens / (sequences * stage.context)))
    plan = batches._epoch(0)[:steps]
    return np.asarray([[rows.starts[i], rows.lengths[i]] for batch in plan for group in batch for i in group])


class NGram:
    """Counts of every order as sorted keys."""

    def __init__(self, sequences: list[Array], vocabulary: int) -> None:
        self.vocabulary = vocabulary
        whole = [np.concatenate([np.full(ORDER - 1, 0), s.astype(np.int64)]) for s in sequences]
        grams = np.concatenate([np.lib.stride_tricks.sliding_window_view(s, ORDER) for s in whole])
        self.tables = []
        kinds = grams
        for order in range(ORDER, 0, -1):
            if order < ORDER:
                # Lower orders count in how many different contexts their words were seen.
                kinds = np.unique(kinds, axis=0)[:, 1:]
            keys, counts = np.unique(_keys(kinds), return_counts=True)
            contexts, place = np.unique(_keys(kinds[:, :-1]), return_inverse=True)
            totals = np.bincount(place, minlength=len(contexts))
            first = np.unique(_keys(kinds), return_index=True)[1]
            types = np.bincount(place[first], minlength=len(contexts))
            ones, twos = (counts == 1).sum(), (counts == 2).sum()
            self.tables.append((keys, counts, contexts, totals, types, ones / max(1, ones + 2 * twos)))

    def logprobs(self, ids: Array) -> Array:
        """Natural log-probability of each of `ids`, which stand after a start."""
        grams = np.lib.stride_tricks.sliding_window_view(
            np.concatenate([np.full(ORDER - 1, 0), ids.astype(np.int64)]), ORDER
        )
        probability = np.full(len(ids), 1.0 / self.vocabulary)
        for order in range(1, ORDER + 1):
            keys, counts, contexts, totals, types, discount = self.tables[ORDER - order]
            part = grams[:, ORDER - order :]
            seen, known = _find(keys, _keys(part)), _find(contexts, _keys(part[:, :-1]))
            count = np.where(seen >= 0, counts[seen], 0)
            total = np.where(known >= 0, totals[known], 1)
            kept = np.maximum(count - discount, 0) / total
            rest = np.where(known >= 0, discount * types[known] / total, 1.0)
            probability = kept + rest * probability
        return np.asarray(np.log(probability))


def _keys(grams: Array) -> Array:
    """A number for each row; 64 bits mixed, so that two rows of some millions hardly ever share one."""
    keys = np.full(len(grams), 0x9E3779B97F4A7C15, np.uint64)
    for column in range(grams.shape[1]):
        keys = (keys ^ (grams[:, column].astype(np.uint64) + np.uint64(0x632BE59BD9B4E019))) * np.uint64(
            0xFF51AFD7ED558CCD
        )
        keys ^= keys >> np.uint64(32)
    return keys


def _find(table: Array, keys: Array) -> Array:
    """Places of keys in a sorted table, -1 for those that are not there."""
    at = np.minimum(np.searchsorted(table, keys), len(table) - 1)
    return np.where(table[at] == keys, at, -1)


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("work", "recipe", "corpus", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--model", default="mirim-base")
    parser.add_argument("--tokens", type=int, default=0)
    parser.add_argument("--steps", type=int, default=0, help="steps of the first stage, when it was stopped early")
    given = parser.parse_args()
    recipe = recipes.load(given.recipe)
    tokens = given.tokens or recipe.tokens
    documents = reading.Corpus(
        [recipe.find(given.corpus, t.path) for t in recipe.text],
        [f"{Path(t.path).name}={t.weight:g}" for t in recipe.text],
    )
    recipes._prepare(recipe, given.corpus, given.work, documents, argparse.Namespace(base="", seed=0))
    tokenizer = load_tokenizer(given.work)
    windows = taken(recipe, recipe.stages[0], given.work / "shard", tokens, 0, given.steps)
    data = shards.Shard.open(given.work / "shard", 512).tokens
    ends = np.load(given.work / "shard" / "ends.npy")
    used = np.zeros(len(ends), bool)
    # Later stages take other windows: of the documents that the first left alone, those they take are drawn anew.
    used[np.searchsorted(ends, windows[:, 0], side="right")] = True
    texts: dict[str, list[str]] = {"en": [], "pt": []}
    languages = [str(row.get("lang", "")) for row in _rows(documents)]
    order = np.random.default_rng(1).permutation(len(ends))
    for number in order:
        begin, end = int(ends[number - 1]) if number else 0, int(ends[number])
        language = languages[number]
        if not used[number] and language in texts and 200 < end - begin < 3000 and len(texts[language]) < 150:
            texts[language].append(tokenizer.decode(data[begin + 1 : end - 1]))
    model = NGram([np.asarray(data[start : start + length]) for start, length in windows], len(tokenizer))
    row: dict[str, Any] = {"tokens learned": int(windows[:, 1].sum())}
    for language, some in texts.items():
        path = given.out / f"held-{language}.jsonl"
        write_jsonl(path, ({"text": text} for text in some))
        nats = total = 0.0
        for text in some:
            ids = np.asarray(tokenizer.encode(text, add_special_tokens=False))
            nats -= float(model.logprobs(ids).sum())
            total += len(text.encode())
        own = evaluate(model=given.model, perplexity=path).to_json()
        row[language] = {
            "documents": len(some),
            "bytes": int(total),
            "5-gram bits per byte": round(nats / total / np.log(2), 4),
            "model bits per byte": round(own["bits_per_byte"], 4),
        }
    print(json.dumps(row, indent=1))


def _rows(documents: reading.Corpus) -> list[dict[str, Any]]:
    """The rows of the documents that were kept, in order."""
    for _ in islice(documents, 0):
        pass
    for _ in documents if documents._kept is None else ():
        pass
    kept = iter(documents._kept or [])
    return [row for path in documents.files for _, row in reading.rows(path) if next(kept)]


if __name__ == "__main__":
    main()
