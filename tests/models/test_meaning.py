"""How far a passage answers a question: each token's like and what it finds, by the weights as they are."""

from __future__ import annotations

import math

import numpy as np

from mirim.models import meaning
from mirim.models.meaning import Asked, Said


def _unit(rng: np.random.Generator, *shape: int) -> np.ndarray:
    x = rng.standard_normal(shape).astype(np.float32)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _by_hand(asked: Asked, said: Said) -> float:
    w = meaning._weights()
    slope, point, scale, bias, near, sharp = map(float, w["numbers"])
    total = 0.0
    for token, weight in zip(asked.tokens, asked.weights, strict=True):
        alike = [float(token @ other) for other in said.tokens]
        shares = [math.exp(sharp * x) for x in alike]
        met = sum((s * other for s, other in zip(shares, said.tokens, strict=True)), 0 * token) / sum(shares)
        row = np.concatenate([token * met, token, met, [max(alike)], [1.0]])
        hidden = [max(0.0, float(unit @ row)) for unit in w["compare"]]
        hit = -math.log1p(math.exp(slope * (point - max(alike))))
        total += float(weight) * (hit + float(np.append(hidden, 1.0) @ w["add"]))
    cosine = float(asked.vector @ said.vector)
    return total * math.exp(scale) + bias + near * (cosine - meaning.MIDDLE)


def test_log_odds_are_what_the_weights_say() -> None:
    rng, size = np.random.default_rng(3), meaning._weights()["asked"].shape[0]
    for _ in range(5):
        asked = Asked(_unit(rng, 384), _unit(rng, 7, size), np.full(7, 1 / 7, np.float32))
        said = Said(_unit(rng, 384), _unit(rng, 30, size))
        assert abs(meaning.log_odds(asked, said) - _by_hand(asked, said)) < 1e-3


def test_a_passage_without_tokens_is_told_by_its_vector_alone() -> None:
    rng, size = np.random.default_rng(4), meaning._weights()["asked"].shape[0]
    vector, none = _unit(rng, 384), np.zeros((0, size), np.float32)
    asked = Asked(vector, _unit(rng, 2, size), np.full(2, 0.5, np.float32))
    *_, bias, near, _ = map(float, meaning._weights()["numbers"])
    assert abs(meaning.log_odds(asked, Said(vector, none)) - bias - near * (1 - meaning.MIDDLE)) < 1e-3
