"""What a GGUF file says of its tokenizer in our own keys, above all what is done to a text before it is split."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from mirim.core.errors import UsageError

#: ids that end a text, as decimal numbers with commas.
ENDS = "mirim.end_tokens"
#: a JSON object of what `preparation` does, left out where that is nothing.
#: "normalize": "NFC"; "space": where a blank is put before a text, "first" at its start or "always" after each special
#: token too; "special": the tokens between which a text is prepared piece by piece.
PREPARE = "mirim.prepare"
#: Left out where the tokenizer itself has a BOS: "config" when only the model's configuration names
#: one, "none" when the id under llama.cpp's key stands there for llama.cpp alone.
BOS = "mirim.bos"

#: llama.cpp's names of tokenizers that bring text into NFC.
_COMPOSED = ("qwen2", "qwen35")


def preparation(keys: Mapping[str, Any]) -> Callable[[str, bool], str]:
    """What a GGUF file with these keys wants done to a text before llama.cpp splits it.

    The function made takes a text, and whether it is a whole one, which may get a blank in front, or a continuation.
    UsageError when the file says it in no form that is known.
    """
    # Files from elsewhere do not say, and llama.cpp normalises nothing.
    foreign = ENDS not in keys and keys.get("tokenizer.ggml.pre") in _COMPOSED
    try:
        row = json.loads(keys.get(PREPARE, "{}"))
        composed, space = row.get("normalize", "NFC" if foreign else None), row.get("space")
        if composed not in (None, "NFC") or space not in (None, "first", "always"):
            raise ValueError(f"{composed!r}, {space!r}")
        special = sorted(filter(None, row.get("special", ())), key=len, reverse=True)
        # Longest first, as tokenizers finds them. Without any, nothing may be found, not even between two letters.
        between = re.compile(f"({'|'.join(map(re.escape, special)) or '(?!)'})")
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{PREPARE} in this GGUF file cannot be read ({error}); export it again") from error
    if not composed and not space:
        return lambda text, whole: text

    def prepare(text: str, whole: bool) -> str:
        pieces = between.split(text)
        if composed:
            pieces[::2] = (unicodedata.normalize("NFC", piece) for piece in pieces[::2])
        if whole and space:
            for n in range(0, len(pieces) if space == "always" else 1, 2):
                if pieces[n] and pieces[n][0] not in " \u2581":
                    pieces[n] = " " + pieces[n]
        return "".join(pieces)

    return prepare
