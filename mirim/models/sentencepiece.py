"""SentencePiece's own file, tokenizer.model, as GGUF metadata, read without its library.

It is a protocol buffer of pieces with scores and types, the same numbers as in GGUF:
https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mirim.core.errors import Unfit, UsageError
from mirim.core.files import explain
from mirim.models.preparation import PREPARE
from mirim.models.vocabulary import BYTE, CONTROL, NORMAL, UNKNOWN, in_order, need_bytes


def read(
    path: Path, settings: dict[str, Any], added: dict[int, tuple[str, bool]]
) -> tuple[dict[str, Any], list[str], list[int]]:
    """GGUF keys, tokens and their types of the tokenizer.model at `path`; `added` come after its pieces, or in their
    place. `settings` are those of tokenizer_config.json.

    UsageError for a file that is none, Unfit for one of another kind than BPE.
    """
    try:
        data = path.read_bytes()
        pieces, scores, types, trainer, normal = [], [], [], {}, {}
        for number, value in _fields(data):
            if number == 1:
                piece = dict(_fields(value))
                pieces.append(piece.get(1, b"").decode("utf-8"))
                scores.append(struct.unpack("<f", piece[2])[0] if 2 in piece else 0.0)
                types.append(int(piece.get(3, NORMAL)))
            elif number == 2:
                trainer = dict(_fields(value))
            elif number == 3:
                normal = dict(_fields(value))
    except OSError as error:
        raise explain(error, path) from error
    except (ValueError, TypeError, AttributeError, struct.error) as error:
        raise UsageError(f"{path} is not a SentencePiece model: {error}") from error
    if not pieces:
        raise UsageError(f"{path} is not a SentencePiece model: it holds no pieces")
    if trainer.get(3, 1) != 2:
        raise Unfit(f"{path} is not a BPE model (SentencePiece type {trainer.get(3, 1)})")
    tokens, kinds = in_order(path, {t: i for i, t in enumerate(pieces)}, added)
    for number, kind in enumerate(types):
        # What the model says of a piece stands, unless the piece was added once more.
        if kind in (UNKNOWN, BYTE) or number not in added:
            kinds[number] = kind
    need_bytes(path, tokens)
    scores += [-1e6] * (len(tokens) - len(scores))
    space = settings.get("add_prefix_space")
    space = bool(normal.get(3, 1)) if space is None else bool(space)
    # "legacy" is transformers' word for SentencePiece's own way, a blank before each piece between special tokens.
    first = space and settings.get("legacy") is False
    keys = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.add_space_prefix": space and not first,
        "tokenizer.ggml.add_bos_token": bool(settings.get("add_bos_token", True)),
        "tokenizer.ggml.add_eos_token": bool(settings.get("add_eos_token", False)),
    }
    if first:
        marks = [text for number, text in enumerate(tokens) if number in added or kinds[number] in (UNKNOWN, CONTROL)]
        keys[PREPARE] = json.dumps({"space": "first", "special": marks})
    return keys, tokens, kinds


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Fields of a protocol buffer message: (number, int or bytes). ValueError when it is not one."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            if at >= len(data) or shift > 63:
                raise ValueError("cut off")
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = varint()
        kind = key & 7
        if kind == 0:
            yield key >> 3, varint()
            continue
        length = {1: 8, 5: 4}.get(kind, varint() if kind == 2 else -1)
        if length < 0 or at + length > len(data):
            raise ValueError("cut off")
        yield key >> 3, data[at : at + length]
        at += length
