"""Which of several functions a request is for, told by what their descriptions mean.

A model that points at a function's name learned from functions of the same field that seldom stand beside each other:
"Has order 7741 been delivered?" pointed at what cancels orders as much as at what looks them up. The encoder that finds
passages (`mirim.models.meaning`) reads what each function does and what it takes. A function that changes something is
not what a question asks for, in whatever words it is described: it lies on the side of `ACTS` and not on that of
`ASKS`. Without the encoder nothing is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from mirim.documents.words import parted

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float32]]

#: Nats that the cosine of a request and a function adds, above the usual one, to the odds that the function serves it;
#: what it counts for among several, where the request is the same; and what lying on the side of acts takes from both
#: where the request asks, for each part of a cosine and at most. What looks orders up lies at -0.01, what cancels them
#: at 0.05.
NEAR, MIDDLE, AMONG, SIDE, MOST = 30.0, 0.81, 130.0, 1000.0, 9.0
#: What functions are like that only tell something, and what those are like that change something, of the same things.
ASKS = (
    "Look up information.",
    "Find out something.",
    "Show the current state of something.",
    "How much, how many, when, where.",
    "Price, balance, status, list.",
    "Status of a booking.",
    "Details of a record.",
    "Whether a product is in stock.",
    "Free times for an appointment.",
    "Find an entry.",
    "State of an account.",
    "Who works on a task.",
    "Recent payments.",
    "Consulta informações.",
    "Mostra o estado de algo.",
    "Situação de uma reserva.",
    "Dados de um registro.",
    "Quantidade de um produto.",
    "Horários de uma visita.",
    "Busca um item.",
    "Vencimento de um contrato.",
    "Pagamentos recentes.",
)
ACTS = (
    "Create or book something.",
    "Cancel or delete something.",
    "Pay or send something.",
    "Change something.",
    "Cancel a booking.",
    "Delete a record.",
    "Order a product.",
    "Book an appointment.",
    "Create an entry.",
    "Close an account.",
    "Assign a task.",
    "Transfer money.",
    "Cria ou marca algo.",
    "Cancela ou exclui algo.",
    "Paga ou envia algo.",
    "Altera algo.",
    "Cancela uma reserva.",
    "Exclui um registro.",
    "Encomenda um produto.",
    "Agenda uma visita.",
    "Cria um item.",
    "Encerra um contrato.",
)
#: Characters of a description, and of the end of what is said, that are read; and functions' texts that are kept for
#: when they are asked again.
READ, KEPT = 400, 1024
#: Questions that ask for an act, and how questions begin whose mark was left out.
_POLITE = re.compile(
    r"\W*(?:\w+\W+){0,2}?(?:(?:can|could|would|will) you|(?:(?:você|voce|vc|c[êe]) )?(?:pode|podes|poderia|consegue)"
    r"|(?:d[áa]|tem como|seria poss[íi]vel)\b(?! (?:para|pra) saber)|can i ask you|may i ask you)\b",
    re.IGNORECASE,
)
_BEGINS = re.compile(
    r"\W*(?:who|whose|what|when|where|which|why|how|has|is|are|was|were|does|did|quem|qua(?:l|is)|quando"
    r"|quant[oa]s?|onde|cad[êe]|como|o que|por que|ser[áa])\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[^.?!\n]*[^\W_][^.?!\n]*[.?!]*(?:(?<=\w\.)[^\W_][^.?!\n]*[.?!]*)*")
_THANKS = re.compile(r"\W*(?:please|thanks?|thank you|por favor|obrigad[oa])\b[^.?!\n]{0,20}[.?!]*", re.IGNORECASE)


def asks(words: str) -> bool:
    """Whether what somebody says ends in a question, thanks aside, that asks for no act: "Can you cancel it?" does."""
    said = [one for one in _SENTENCE.findall(words[-READ:]) if not _THANKS.fullmatch(one.strip())]
    if not said or _POLITE.match(said[-1]):
        return False
    return said[-1].rstrip().endswith("?") or bool(_BEGINS.match(said[-1]))


class Purpose(NamedTuple):
    """Nats that what a function is for adds to the odds that it serves a request, and that it is the one of several;
    and what is taken from both because it acts where the request asks."""

    near: float = 0.0
    among: float = 0.0
    acts: float = 0.0


def purposes(request: str, functions: Sequence[Mapping[str, Any]], asked: bool) -> list[Purpose]:
    """Those of each function for a request; `asked`: whether it is a question. Of nothing without the encoder."""
    from mirim.models import meaning

    if not functions or not meaning.available():
        return [Purpose()] * len(functions)
    import numpy as np

    vector, side = meaning.query(request).vector, np.subtract(*(_vectors(some).mean(0) for some in (ACTS, ASKS)))
    found = []
    for function in functions:
        # What a function does by itself, and with what it takes: "to whom" and "on which day" tell apart, too.
        does, whole = _vectors(_texts(function))
        near = float(vector @ (does + whole)) / 2 - MIDDLE
        acts = min(max(SIDE * float(does @ side), 0.0), MOST) if asked else 0.0
        found.append(Purpose(NEAR * near, AMONG * near, acts))
    return found


def _texts(function: Mapping[str, Any]) -> tuple[str, str]:
    name, does = parted(str(function["name"])), str(function.get("description") or "").strip()[:READ]
    takes = (function.get("parameters") or {}).get("properties")
    takes = ", ".join(map(parted, takes)) if isinstance(takes, Mapping) else ""
    return does or name, f"{name}: {does} {takes}"[: 2 * READ]


@lru_cache(maxsize=KEPT)
def _vectors(texts: tuple[str, ...]) -> Floats:
    from mirim.models import meaning

    return meaning.vectors(texts)
