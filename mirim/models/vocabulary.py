"""A vocabulary as GGUF numbers it: tokens by id, and llama.cpp's type of each."""

from __future__ import annotations

from pathlib import Path

from mirim.core.errors import UsageError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


def in_order(path: Path, vocabulary: dict[str, int], extra: dict[int, tuple[str, bool]]) -> tuple[list[str], list[int]]:
    """Tokens by id and their types; holes in the numbering become unused tokens.

    `extra`: the tokens beside the vocabulary, or in the place of some of it, by id, and whether each is special.
    UsageError for none, and for numbers that no vocabulary has; `path` is where they stand.
    """
    by_id = {i: t for t, i in vocabulary.items()}
    by_id |= {i: text for i, (text, _) in extra.items()}
    if not by_id:
        raise UsageError(f"{path} holds no tokens; copy the whole tokenizer of its base there")
    count = max(by_id) + 1
    if count > 2_000_000 or min(by_id) < 0:
        raise UsageError(f"{path} numbers its tokens from {min(by_id)} to {count - 1}; that cannot be a vocabulary")
    tokens, types, seen = [], [], set()
    for i in range(count):
        text = by_id.get(i, "")
        if i not in by_id or text in seen:
            text, kind = f"[PAD{i}]", UNUSED
        elif i in extra:
            kind = CONTROL if extra[i][1] else USER_DEFINED
        else:
            kind = NORMAL
        seen.add(text)
        tokens.append(text)
        types.append(kind)
    return tokens, types


def need_bytes(path: Path, tokens: list[str]) -> None:
    """UsageError where `tokens` lack one of the 256 byte tokens."""
    missing = {f"<0x{n:02X}>" for n in range(256)} - set(tokens)
    if missing:
        raise UsageError(f"{path} lacks the byte token {min(missing)}; llama.cpp needs all 256")
