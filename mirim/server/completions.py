"""POST /v1/completions (raw text, with echo and log-probabilities) and POST /v1/embeddings."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import math
import struct
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

from mirim.core.errors import UsageError
from mirim.core.types import Ids, TokenLogprob
from mirim.server import generate, schemas, wire
from mirim.server.door import Answer, Visit
from mirim.server.generate import gives_logprobs, sampling
from mirim.server.pieces import Order, Piece
from mirim.server.produce import refusal
from mirim.server.room import Served
from mirim.server.scheduler import Stop, call, stream
from mirim.server.wire import ApiError, Last, event, invalid, unsupported


async def completions(visit: Visit) -> Answer:
    row = await visit.body(schemas.COMPLETION)
    served = visit.served(row["model"])
    if served.kind == "assistant":
        raise unsupported("model", f"{served.name} is an assistant and does not continue text; use chat completions")
    if "stream_options" in row and not row.get("stream"):
        raise invalid("stream_options needs stream: true", "stream_options")
    count = row.get("n", 1)
    if row.get("best_of", count) != count:
        raise unsupported("best_of", "only the same number as n")
    wanted = row.get("logprobs")
    if wanted is not None and not gives_logprobs(served):
        raise unsupported("logprobs", f"the engine of {served.name} does not give them")
    if row.get("echo") and wanted is not None and served.adapter is not None:
        raise unsupported("echo", f"{served.name} is an adapter; prompts are scored by its base alone")
    prompts = await _prompts(visit, served, row["prompt"])
    for prompt in prompts:
        generate.fits(served, [prompt], "prompt")
    if len(prompts) * count > 256:
        raise invalid(f"{len(prompts)} prompts times n {count} are more than 256 choices", "n")
    limit = row.get("max_tokens", 16)
    orders = []
    for prompt in prompts:
        first = Order(served, prompt, sampling(row, served, limit, wanted))
        orders += generate.copies(first, count)
    stop = Stop(visit.house.deadline)
    echoes: dict[str, list[TokenLogprob]] = {}
    if row.get("echo") and wanted is not None:
        ids_given = not isinstance(row["prompt"], str) and not isinstance(row["prompt"][0], str)
        for prompt in dict.fromkeys(prompts):
            work = partial(echoed, served, prompt, wanted, ids_given)
            scored = stream(served.lane, visit.owner, stop, work)
            echoes[prompt] = [token async for ready in scored for token in ready]
    shower = _Shower(row, orders, echoes)
    if limit == 0:
        return await _nothing(visit, shower)
    if row.get("stream"):
        source = generate.pieces(visit, orders)
        try:
            first_piece = await anext(source)
        except BaseException:
            await source.aclose()  # type: ignore[attr-defined]
            raise
        return shower.events(first_piece, source)
    return await shower.whole(generate.pieces(visit, orders))


async def _prompts(visit: Visit, served: Served, value: Any) -> list[str]:
    """Texts, some of them given by their token ids."""
    if isinstance(value, str):
        return [value]
    if isinstance(value[0], str):
        return list(value)
    rows = [value] if isinstance(value[0], int) else value
    engine = served.engine
    if not hasattr(engine, "words"):
        raise unsupported("prompt", f"the engine of {served.name} reads text, not token ids")
    for ids in rows:
        if len(ids) > served.context:
            raise invalid(
                f"the prompt has {len(ids)} tokens, the context of {served.name} holds {served.context}; shorten it",
                "prompt",
                "context_length_exceeded",
            )
    # Seconds for hundreds of thousands of them: nobody else's answer waits for it.
    return await asyncio.to_thread(lambda: [_spelt(engine, ids) for ids in rows])


def _spelt(engine: Any, ids: list[int]) -> Ids:
    words = engine.words
    if (highest := max(ids)) >= words.vocabulary:
        raise invalid(f"prompt holds token {highest}; the model has {words.vocabulary}, counted from 0", "prompt")
    lead = engine.encode("")
    body = ids[len(lead) :] if lead and ids[: len(lead)] == lead else ids
    return Ids(b"".join(words.piece(token) or words.text(token) for token in body).decode("utf-8", "replace"), ids)


def echoed(served: Served, prompt: str, top: int, lead_too: bool) -> Iterator[TokenLogprob]:
    """The prompt's tokens with their log-probabilities and the best alternatives, then the likeliest next one: one by
    one, so that it ends when the client has left or the time is up.

    The first token has nothing before it: its log-probability is NaN. `lead_too`: a BOS that was sent is shown.
    """
    import numpy as np

    engine: Any = served.engine
    try:
        ids = engine.encode(prompt)
        if not ids:
            raise UsageError("the prompt is empty, there is nothing to score")
        lead = engine.encode("")
        skip = len(lead) if lead and ids[: len(lead)] == lead and not lead_too else 0
        rows = engine.logits(ids)
    except UsageError as error:
        raise refusal(error, "prompt") from error
    for at in range(skip, len(ids) + 1):
        if at == 0:
            yield TokenLogprob(_shown(engine, ids[0]), math.nan, ids[0])
            continue
        # One row at a time: all of them in double precision would take as much memory as a model.
        row = rows[at - 1].astype(np.float64)
        row -= row.max()
        row -= np.log(np.exp(row).sum())
        token = ids[at] if at < len(ids) else int(row.argmax())
        best: Any = np.argsort(-row, kind="stable")[:top] if top else []
        others = tuple(TokenLogprob(_shown(engine, int(t)), float(row[t]), int(t)) for t in best)
        yield TokenLogprob(_shown(engine, token), float(row[token]), token, (), others)


def _shown(engine: Any, token: int) -> str:
    piece: bytes = engine.words.piece(token) or engine.words.text(token)
    return piece.decode("utf-8", "replace")


class _Shower:
    """Choices in OpenAI's shape."""

    def __init__(self, row: dict[str, Any], orders: list[Order], echoes: dict[str, list[TokenLogprob]]) -> None:
        self.row, self.orders, self.echoes = row, orders, echoes
        self.top = row.get("logprobs") or 0
        self.base = {
            "id": wire.new_id("cmpl"),
            "object": "text_completion",
            "created": wire.now(),
            "model": row["model"],
        }

    def lead(self, number: int) -> tuple[str, list[TokenLogprob]]:
        """What stands before the answer: the prompt, when it is to be echoed."""
        if not self.row.get("echo"):
            return "", []
        prompt = self.orders[number].prompt
        assert isinstance(prompt, str)
        return prompt, self.echoes.get(prompt, [])[:-1]

    def tail(self, number: int, tokens: list[TokenLogprob]) -> list[TokenLogprob]:
        """The generated tokens: never none where the prompt is scored, because whoever reads them counts on one."""
        prompt = self.orders[number].prompt
        assert isinstance(prompt, str)
        if tokens or prompt not in self.echoes or not self.row.get("max_tokens", 16):
            return tokens
        return self.echoes[prompt][-1:]

    def choice(
        self, number: int, text: str, tokens: list[TokenLogprob], reason: str | None, at: int = 0
    ) -> dict[str, Any]:
        shown = None
        if self.row.get("logprobs") is not None:
            shown = wire.text_logprobs(tokens, self.top, at)
        return {"index": number, "text": text, "logprobs": shown, "finish_reason": reason}

    async def whole(self, source: AsyncIterator[generate.Ready]) -> dict[str, Any]:
        texts = [""] * len(self.orders)
        tokens: list[list[TokenLogprob]] = [[] for _ in self.orders]
        ends: list[Piece] = [Piece()] * len(self.orders)
        async for ready in source:
            for number, piece in ready:
                texts[number] += piece.text
                tokens[number] += piece.logprobs
                if piece.reason:
                    ends[number] = piece
        choices = []
        for number, end in enumerate(ends):
            lead, before = self.lead(number)
            choices.append(
                self.choice(number, lead + texts[number], [*before, *self.tail(number, tokens[number])], end.reason)
            )
        return {**self.base, "choices": choices, "usage": self.usage(ends)}

    def usage(self, ends: list[Piece]) -> dict[str, Any]:
        each = max(1, self.row.get("n", 1))
        prompt = sum(e.prompt_tokens for e in ends[::each])
        return wire.usage(prompt, sum(e.completion_tokens for e in ends), sum(e.cached_tokens for e in ends[::each]))

    async def events(self, first: generate.Ready, source: AsyncIterator[generate.Ready]) -> AsyncIterator[bytes]:
        """What is ready at one time as one part: the echo with the first words, how it ended with the end."""
        with_usage = bool((self.row.get("stream_options") or {}).get("include_usage"))
        tail: dict[str, Any] = {"usage": None} if with_usage else {}
        at = [0] * len(self.orders)
        ends: list[Piece] = [Piece()] * len(self.orders)
        out = b""
        async with contextlib.aclosing(source):  # type: ignore[type-var]
            for number in range(len(self.orders)):
                text, tokens = self.lead(number)
                if text:
                    out += event({**self.base, "choices": [self.choice(number, text, tokens, None)], **tail})
                    at[number] = len(text)
            ready: generate.Ready | None = first
            while ready is not None:
                for number, piece in ready:
                    if piece.text or piece.logprobs or piece.reason:
                        shown = self.choice(number, piece.text, [*piece.logprobs], piece.reason or None, at[number])
                        out += event({**self.base, "choices": [shown], **tail})
                        at[number] += len(piece.text)
                    if piece.reason:
                        ends[number] = piece
                # The end of all is told once the work's place is free again, which is next.
                if out and not all(end.reason for end in ends):
                    yield out
                    out = b""
                ready = await anext(source, None)
            if with_usage:
                out += event({**self.base, "choices": [], "usage": self.usage(ends)})
            yield Last(out + event("[DONE]"))


async def _nothing(visit: Visit, shower: _Shower) -> Answer:
    """max_tokens 0: nothing is generated, the prompt may be scored (how lm-eval asks for likelihoods)."""
    served = shower.orders[0].served

    def count() -> list[int]:
        assert served.engine is not None
        return [served.engine.count(order.prompt) for order in shower.orders]

    counts = await call(served.lane, visit.owner, Stop(visit.house.deadline), count)
    ends = [Piece(reason="length", prompt_tokens=n) for n in counts]

    async def source() -> AsyncIterator[generate.Ready]:
        yield list(enumerate(ends))

    items = source()
    if shower.row.get("stream"):
        return shower.events(await anext(items), items)
    return await shower.whole(items)


async def embeddings(visit: Visit) -> Answer:
    try:
        row = await visit.body(schemas.EMBEDDING)
    except ApiError as error:
        if (error.param or "").startswith("input[") and "expected string" in str(error):
            # Taken as they are they would give vectors of other words, and nobody would see it.
            raise invalid(
                f"{error}; numbers of tokens mean other words to another model: send text, as LangChain's "
                "OpenAIEmbeddings does with check_embedding_ctx_length=False",
                error.param,
                error.code,
            ) from error
        raise
    served = visit.served(row["model"])
    if served.kind != "model" or served.engine is None:
        raise unsupported("model", f"{served.name} gives no embeddings; use a bare model, see /v1/models")
    if "dimensions" in row:
        raise unsupported("dimensions", "vectors come as long as the model makes them")
    texts = [row["input"]] if isinstance(row["input"], str) else row["input"]
    for text in texts:
        generate.fits(served, [text], "input")
    engine = served.engine

    def work() -> Iterator[tuple[list[float], int]]:
        # One by one, so that it ends when the client has left or the time is up.
        for text in texts:
            try:
                yield engine.embed([text])[0], engine.count(text)
            except UsageError as error:
                raise refusal(error, "input") from error

    stop = Stop(visit.house.deadline)
    found = [one async for ready in stream(served.lane, visit.owner, stop, work) for one in ready]
    used = sum(count for _, count in found)
    visit.house.metrics.count("mirim_tokens_total", used, model=served.name, kind="prompt")
    pack = row.get("encoding_format") == "base64"
    data = [
        {
            "object": "embedding",
            "index": number,
            "embedding": base64.b64encode(struct.pack(f"<{len(v)}f", *v)).decode() if pack else v,
        }
        for number, (v, _) in enumerate(found)
    ]
    usage = {"prompt_tokens": used, "total_tokens": used}
    return {"object": "list", "model": row["model"], "data": data, "usage": usage}
