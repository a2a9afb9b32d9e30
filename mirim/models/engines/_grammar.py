"""What holds a model to JSON: grammars for llguidance (https://github.com/guidance-ai/llguidance), which mirim's core
asks itself and llama.cpp has built in."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from mirim.core.errors import UsageError
from mirim.core.extras import need
from mirim.examples.tasks.tools import CLOSE, MARK
from mirim.models.engines._llama import Vocabulary

#: Blanks between the parts are fixed, as json.dumps writes them: a small model could write them until its tokens are
#: used up.
_COMPACT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def compact(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "x-guidance": _COMPACT}


def either(schema: dict[str, Any], call: dict[str, Any]) -> str:
    """Words that fit `schema`, or what fits `call` between the marks of a call. No JSON begins like the mark, so that
    the first token decides, and the model is free in it. The mark that closes belongs to it: where a model learned
    "}}</" as one token, one that may not write it goes on with the call instead."""
    words, made = (json.dumps(compact(s)) for s in (schema, call))
    return (
        f'start: call | words\ncall: "{MARK}" blank %json {made} blank "{CLOSE}"\nblank: "\\n"?\nwords: %json {words}\n'
    )


def check_json(text: str, engine: str, *, whole: bool, call: bool = False) -> None:
    """Notice, in text that was to follow a schema, that it does not. `call`: it may begin with the mark of one."""
    body = text.lstrip()
    if call and body[: len(MARK)] == MARK[: len(body)]:
        body = body[len(MARK) :].lstrip().removesuffix(CLOSE)
    sound = not body or body[0] in '{["-0123456789tfn'
    if sound and whole:
        try:
            json.loads(body)
        except ValueError:
            sound = False
    if not sound:
        raise UsageError(f"{engine} cannot hold a model to this JSON schema (it wrote {text[:40]!r}); simplify it")


def grammar(schema: dict[str, Any], call: dict[str, Any] | None) -> str:
    """The grammar of a schema, or of a call in its stead; UsageError says which of them none can be made of.

    Asked before any token: an engine that finds no grammar may write what it likes.
    """
    made = need("llguidance", "serve").LLMatcher
    if call is None:
        return _sound("this JSON schema", lambda: made.grammar_from_json_schema(compact(schema)))
    try:
        return _sound("this JSON schema or a call", lambda: made.grammar_from_lark(either(schema, call)))
    except UsageError:
        # What is wrong with one of them is told best by the one alone.
        grammar(schema, None)
        _sound("this JSON schema of a call", lambda: made.grammar_from_json_schema(compact(call)))
        raise


def _sound(what: str, write: Callable[[], str]) -> str:
    try:
        text: str = write()
        why: str | None = need("llguidance", "serve").LLMatcher.validate_grammar(text)
    except ValueError as error:
        text, why = "", str(error) or "unknown"
    if why:
        raise UsageError(f"{what} cannot be held to: {why.strip().splitlines()[0]}; simplify it")
    return text


class Guide:
    """Which tokens of a vocabulary a schema allows next."""

    def __init__(self, words: Vocabulary, ends: Sequence[int], encode: Callable[[str], list[int]]) -> None:
        self._llguidance = need("llguidance", "serve")
        pieces = _Pieces(words, ends, encode)
        self._tokens = self._llguidance.LLTokenizer(self._llguidance.TokenizerWrapper(pieces), eos_token=list(ends))

    def matcher(self, schema: dict[str, Any], call: dict[str, Any] | None) -> Any:
        """Held to `schema`, or to a call in its stead; UsageError when no grammar can be made."""
        matcher = self._llguidance.LLMatcher(self._tokens, grammar(schema, call))
        if matcher.is_error():
            raise UsageError(f"this JSON schema cannot be held to: {matcher.get_error()}; simplify it")
        return matcher


class _Pieces:
    """The vocabulary as llguidance wants it: bytes of each token, a mark before those that are no text."""

    def __init__(self, words: Vocabulary, ends: Sequence[int], encode: Callable[[str], list[int]]) -> None:
        self.eos_token_id = ends[0] if ends else 0
        self.bos_token_id = None
        pieces = [words.piece(t) for t in range(words.vocabulary)]
        self.special_token_ids = [t for t, piece in enumerate(pieces) if not piece]
        self.tokens = [piece or b"\xff" + words.text(t) for t, piece in enumerate(pieces)]
        self._encode = encode

    def __call__(self, text: str) -> list[int]:
        return self._encode(text)
