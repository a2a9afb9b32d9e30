"""What functions are for, and whether somebody asks or orders."""

from __future__ import annotations

from typing import Any

import pytest

from mirim.models import meaning, purposes
from mirim.models.pointing import Pointed
from mirim.models.slots import SERVES, SURE, likeliest
from tests.models.pointed import Pointer


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("Has parcel 12 arrived?", True),
        ("O pacote 12 já chegou?", True),
        ("where is parcel 12", True),
        ("cadê o pacote 12", True),
        ("Has parcel 12 arrived? Thanks!", True),
        ("Return parcel 12.", False),
        ("Devolva o pacote 12", False),
        # These ask for an act.
        ("Can you return parcel 12?", False),
        ("Please, could you return it?", False),
        ("Você pode devolver o pacote 12?", False),
        ("Dá para devolver o pacote?", False),
        # What is said last counts.
        ("Oi, tudo bem? Devolva o pacote 12.", False),
        ("I ordered yesterday. Is it on its way?", True),
        ("", False),
        ("?!", False),
    ],
)
def test_a_question_is_told_from_an_order(words: str, asked: bool) -> None:
    assert purposes.asks(words) is asked


def _function(name: str, does: str) -> dict[str, Any]:
    place = {"type": "string", "description": "Number of the parcel"}
    return {"name": name, "description": does, "parameters": {"properties": {"parcel": place}, "required": ["parcel"]}}


TRACKS, RETURNS = _function("track_parcel", "Where a parcel is."), _function("return_parcel", "Return a parcel.")


def _called(request: str, *functions: dict[str, Any], tracks: float, returns: float) -> tuple[str, float]:
    said = Pointed(4.5, {"12": 1.0})
    pointer = Pointer(track_parcel=Pointed(tracks, {}), return_parcel=Pointed(returns, {}), parcel=said)
    best, odds = likeliest(pointer, request, functions) or (-1, 0.0)  # type: ignore[arg-type]
    return functions[best]["name"], odds


@pytest.mark.skipif(not meaning.available(), reason="needs the encoder")
@pytest.mark.parametrize("request_", ["Has parcel 12 arrived?", "O pacote 12 já chegou?"])
def test_what_changes_something_is_not_called_for_a_question(request_: str) -> None:
    name, odds = _called(request_, RETURNS, TRACKS, tracks=3.0, returns=4.0)
    assert (name, odds > 0) == ("track_parcel", True)
    # Not where nothing else is there either.
    assert (
        _called(request_, RETURNS, tracks=3.0, returns=4.0)[1] < _called(request_, TRACKS, tracks=4.0, returns=4.0)[1]
    )


@pytest.mark.skipif(not meaning.available(), reason="needs the encoder")
@pytest.mark.parametrize("request_", ["Return parcel 12.", "Can you return parcel 12?"])
def test_what_functions_are_for_decides_among_several(request_: str) -> None:
    assert _called(request_, TRACKS, RETURNS, tracks=3.0, returns=2.5)[0] == "return_parcel"


def _alone(request: str, does: str, odds: float) -> float:
    """Log-odds that a function serves a request at whose name it is pointed with such odds."""
    best = likeliest(Pointer(act=Pointed(odds, {}), thing=Pointed(4.5, {})), request, [_plain(does)])  # type: ignore[arg-type]
    assert best
    return best[1]


def _plain(does: str) -> dict[str, Any]:
    thing = {"type": "string", "description": "Which one"}
    return {"name": "act", "description": does, "parameters": {"properties": {"thing": thing}, "required": ["thing"]}}


@pytest.mark.skipif(not meaning.available(), reason="needs the encoder")
@pytest.mark.parametrize(
    ("does", "question", "order"),
    [
        ("Dá alta a um animal internado.", "O Nino teve alta?", "Dê alta ao Nino."),
        ("Dá alta a um animal internado.", "Já deram alta ao Nino?", "Pode dar alta ao Nino?"),
        ("Registra a devolução de uma escada.", "Devolveram a escada 4?", "Registre que devolveram a escada 4."),
        ("Agenda um exame.", "O exame de sexta foi agendado?", "Agende um exame na sexta."),
        ("Locks a gate.", "Did anybody lock the north gate?", "Lock the north gate."),
        ("Sign a lease.", "Was lease 31 signed?", "Could you sign lease 31, please?"),
        ("Check a guest in.", "Has Mr. Amaro checked in?", "Check Mr. Amaro in."),
    ],
)
def test_whether_it_has_happened_is_not_an_order_however_sure_pointing_is(does: str, question: str, order: str) -> None:
    assert _alone(question, does, 8.0) < SERVES
    assert _alone(order, does, 8.0) > SURE


@pytest.mark.skipif(not meaning.available(), reason="needs the encoder")
@pytest.mark.parametrize(
    ("does", "order"),
    [
        ("Cancela um pedido.", "Cancela o pedido 31 pra mim?"),
        ("Cancelar um pedido.", "Oi! Cancela o pedido 31?"),
        ("Locks a gate.", "Lock the north gate for me?"),
        ("Marca uma consulta.", "Que tal marcar uma consulta na sexta?"),
        ("Marca uma consulta.", "Dava para marcar uma consulta na sexta?"),
        ("Sign a lease.", "Would it be possible to sign lease 31?"),
    ],
)
def test_what_is_asked_for_as_a_favour_is_an_order(does: str, order: str) -> None:
    assert _alone(order, does, 6.0) > SERVES
    assert purposes.acting(_plain(does)) > 0


@pytest.mark.skipif(not meaning.available(), reason="needs the encoder")
@pytest.mark.parametrize(
    ("does", "question"),
    [
        ("Mostra como está um animal internado.", "O Nino teve alta?"),
        ("Notas de um aluno.", "Qual foi a nota do Caio?"),
        ("Whether a gate is locked.", "Is the north gate locked?"),
        ("Looks up a lease.", "Was lease 31 signed?"),
        ("Calculates the fare of a trip.", "How much is the fare to Porto?"),
    ],
)
def test_what_only_tells_something_is_called_for_a_question(does: str, question: str) -> None:
    assert purposes.acting(_plain(does)) < 0
    assert _alone(question, does, 3.5) > SERVES


def test_without_the_encoder_pointing_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meaning, "available", lambda: False)
    name, odds = _called("Has parcel 12 arrived?", RETURNS, TRACKS, tracks=3.0, returns=4.0)
    assert (name, odds) == ("return_parcel", 4.0)
