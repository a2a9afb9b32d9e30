"""The nouns that every room shares: frozen values with a JSON form, and the Engine protocol."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

Role = Literal["system", "user", "assistant", "tool"]
Split = Literal["train", "valid"]
Policy = Literal["quote", "grounded", "free"]


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and the characters it governs: `Document.text[start:end]`, heading line included."""

    heading: str
    level: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Document:
    """One source as Markdown text.

    id         file name in data/documents without `.md`; also the name citations use
    source     path below sources/, with forward slashes
    pages      offset at which each page starts (page numbers are 1-based); empty when the format has none
    sha256     of the source file's bytes
    language   'en', 'pt' or another ISO 639-1 code, '' when unknown
    """

    id: str
    source: str
    media_type: str
    title: str
    text: str
    sections: tuple[Section, ...] = ()
    pages: tuple[int, ...] = ()
    sha256: str = ""
    licence: str = ""
    language: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)

    def page_at(self, offset: int) -> int | None:
        """1-based page that holds the character at `offset`, None when the format has no pages."""
        return bisect_right(self.pages, offset) or 1 if self.pages else None


@dataclass(frozen=True, slots=True)
class Passage:
    """A cut of a document: `text == document.text[start:end]`. `heading` is the path 'Title > Section'.

    header   the header row, bars and all, when the passage goes on with a table that began before it
    """

    document: str
    source: str
    start: int
    end: int
    heading: str
    text: str
    page: int | None = None
    language: str = ""
    header: str = ""

    @property
    def id(self) -> str:
        return f"{self.document}:{self.start}"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. `tool_calls` follows OpenAI's shape; `tool_call_id` says which call this answers."""

    role: Role
    content: str
    tool_calls: tuple[dict[str, Any], ...] = ()
    name: str = ""
    tool_call_id: str = ""

    def to_json(self) -> dict[str, Any]:
        row: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.tool_calls:
            row["tool_calls"] = list(self.tool_calls)
        if self.name:
            row["name"] = self.name
        if self.tool_call_id:
            row["tool_call_id"] = self.tool_call_id
        return row

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Message:
        calls = tuple(row.get("tool_calls") or ())
        return cls(row["role"], row.get("content") or "", calls, row.get("name") or "", row.get("tool_call_id") or "")


@dataclass(frozen=True, slots=True)
class Span:
    """Where a fact stands: `document.text[start:end]`."""

    document: str
    start: int
    end: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Example:
    """A training or validation conversation; the last message is the assistant's target.

    sources    the spans that the target rests on; empty for a negative
    origin     what made it: 'extract', 'teacher', 'import', 'feedback'
    """

    id: str
    task: str
    messages: tuple[Message, ...]
    sources: tuple[Span, ...] = ()
    split: Split = "train"
    origin: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "task": self.task,
            "messages": [m.to_json() for m in self.messages],
            "sources": [s.to_json() for s in self.sources],
            "split": self.split,
            "origin": self.origin,
            "metadata": self.metadata,
        }

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Example:
        return cls(
            row["id"],
            row["task"],
            tuple(Message.from_json(m) for m in row["messages"]),
            tuple(Span(**s) for s in row.get("sources", ())),
            row.get("split", "train"),
            row.get("origin", ""),
            row.get("metadata", {}),
        )


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw tokens. temperature 0 is greedy and reproducible token for token.

    logprobs     how many alternatives to each token are given with their log-probabilities; None: no probabilities
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    logprobs: int | None = None


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token that was or could have been chosen, with the natural log of its probability before sampling."""

    token: str
    logprob: float
    id: int = -1
    bytes: tuple[int, ...] = ()
    top: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a generated answer. The last one carries `finish_reason` and the counts.

    token_ids          ids that this piece stands for, where the engine knows them
    finish_reason      'stop', 'length' or 'tool_calls' on the last piece, otherwise ''
    completion_tokens  tokens generated in all, on the last piece; 0 where the engine does not know
    cached_tokens      tokens of the prompt that did not have to be computed, on the last piece
    logprobs           of this piece's tokens, when `Sampling.logprobs` asks and the engine gives them
    """

    text: str
    token_ids: tuple[int, ...] = ()
    finish_reason: str = ""
    prompt_tokens: int = 0
    tool_calls: tuple[dict[str, Any], ...] = ()
    completion_tokens: int = 0
    cached_tokens: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()


class Ids(str):
    """Raw text that is given by its tokens: an engine of local models reads these `ids`, whatever it would read the
    text as."""

    ids: tuple[int, ...]

    def __new__(cls, text: str, ids: Sequence[int]) -> Ids:
        made = super().__new__(cls, text)
        made.ids = tuple(ids)
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ids) and self.ids == other.ids

    def __hash__(self) -> int:
        return hash(self.ids)


class Engine(Protocol):
    """Something that continues text. A `str` prompt is raw text; messages go through the chat template.

    `score` gives, for each candidate continuation of the prompt, the log-probabilities (natural log)
    of its tokens. `embed` gives one vector a text. `count` is in tokens. Engines raise UsageError for
    what they cannot do, and for a prompt longer than `context` with both numbers in the message.

    `generate` holds the text to the JSON schema `schema`. Where `call` is given too, the model may write <tool_call>
    and what fits `call` in its stead.
    """

    name: str
    context: int

    def generate(
        self,
        prompt: str | Sequence[Message],
        sampling: Sampling,
        *,
        tools: Sequence[dict[str, Any]] = (),
        schema: dict[str, Any] | None = None,
        call: dict[str, Any] | None = None,
    ) -> Iterator[Delta]: ...

    def score(self, prompt: str | Sequence[Message], candidates: Sequence[str]) -> list[list[float]]: ...

    def embed(self, texts: Sequence[str]) -> list[list[float]]: ...

    def count(self, prompt: str | Sequence[Message]) -> int: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Citation:
    """A checkable quotation: `text` equals the stored document's characters `start:end`."""

    document: str
    source: str
    page: int | None
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person gets. `confidence` is a calibrated probability that the answer is right, 0 to 1.

    `removed` holds the sentences that the grounded policy took out because no passage supports them.
    """

    answer: str
    abstained: bool
    confidence: float
    policy: Policy
    citations: tuple[Citation, ...]
    model: str
    seconds: float
    removed: tuple[str, ...] = ()
    question: str = ""

    def to_json(self) -> dict[str, Any]:
        """The object that `mirim ask --json` prints."""
        return {
            "answer": self.answer,
            "abstained": self.abstained,
            "confidence": round(self.confidence, 4),
            "policy": self.policy,
            "citations": [asdict(c) for c in self.citations],
            "model": self.model,
            "seconds": round(self.seconds, 4),
            **({"removed": list(self.removed)} if self.removed else {}),
        }

    def to_text(self) -> str:
        """The answer with numbered sources, for a terminal."""
        lines = [self.answer]
        for number, c in enumerate(self.citations, 1):
            page = f", page {c.page}" if c.page else ""
            quote = " ".join(c.text.split())
            lines.append(
                f"  [{number}] {c.source}{page}, characters {c.start}-{c.end}: {quote[:160]}{'…' * (len(quote) > 160)}"
            )
        if self.removed:
            lines.append(f"  removed, no source supports it: {' '.join(self.removed)}")
        lines.append(f"  ({self.policy}, confidence {self.confidence:.0%}, {self.seconds:.2f} s)")
        return "\n".join(lines)
