"""Fit the weights of mirim/models/purposes.py: whether a function changes something, or only tells something.

    python bench/fit_purposes.py --out mirim/models/purposes.npz

Data: the functions of recipes/requests, sorted by the verb that their descriptions begin with (those of other words,
and of verbs that may be either, as "return" and "report", are left out), and 72 more below. On the vectors of what a
function does, and of what it is called, does and takes, a linear layer is fitted (both kinds count as much in all).
Reported: how well it tells functions, and functions of verbs, that it was not fitted on, the 72 apart; and what that
does to questions of recipes/requests, with the bundled base pointing: those that a function which tells serves, and
those that one which acts does not.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.metrics import roc_auc_score

from mirim.evals.interval import wilson
from mirim.models import meaning, purposes, slots
from mirim.models.engine import open_engine

HERE = Path(__file__).resolve().parent
#: Parts that functions are divided into for the figures; how much weights are held back; questions of each kind asked.
FOLDS, HELD, QUESTIONS = 10, 0.03, 400
#: How often each of the 72 counts.
OFTEN = 3
ACTS = frozenset(
    """accept activate add adjust announce anonymise apply approve arrange assign block book box bring buy call cancel
    carry change close compress copy create declare delegate delete deploy dispute encrypt enrol enroll enter exchange
    fix follow forward handle import increase insert install insure invite issue join lend limit lock log make merge
    move note open order pass pay place post preheat publish put raise record redirect reduce refer register remove
    rename renew rent reply request reschedule reserve resize restart restore save schedule send set share sign start
    stop store submit subscribe switch take train transfer trim tune turn unlock update upload
    abre aciona adiciona agenda altera aluga aplica ajusta atribui atualiza bloqueia cadastra cancela chama compra
    confirma contesta contrata convida coloca corrige corta cria define delega desbloqueia devolve distribui eleva emite
    empresta encaminha encerra encomenda envia exclui inscreve lança liga marca matricula muda ordena paga parcela pede
    programa publica recarrega registra reinicia remarca remove renomeia reserva salva solicita transfere troca vende
    """.split()
)
TELLS = frozenset(
    """advise analyse analyze approximate area balance calculate check compare compute convert correlation count
    describe detect details distance estimate evaluate explain facts fetch find forecast frequency generate get give
    how identify information integrate list locate look multiply nutrition number predict print probability profit
    query quote rank ranking rate recommend results retrieve review scan search select show simulate solve standings
    statistics status suggest sum summarise summarize tell temporary time track translate transpose value weather what
    when where which who
    analisa avalia busca calcula classifica compara condições confere consulta conta converte cota descobre encontra
    estima explica filtra formata gera identifica informa informações lista localiza mostra pesquisa previsão procura
    qualidade rastreia recomenda resolve retorna simula soma sugere traduz verifica volume
    """.split()
)
#: What functions do whose verbs few of the others have, or that are described without a verb: name,
#: description, parameters.
ALSO_ACTS = (
    ("sell", "Sell an item.", "item"),
    ("check_in", "Check a guest in.", "guest"),
    ("check_out", "Check a book out to a reader.", "book, reader"),
    ("return_item", "Return an item to the shop.", "item, reason"),
    ("feed", "Feed an animal.", "animal, amount"),
    ("water", "Water the plants.", "bed, minutes"),
    ("discharge", "Discharge a patient.", "patient"),
    ("deactivate user", "Deactivate a user.", "user"),
    ("payment", "Pay a bill.", "bill, account"),
    ("new booking", "New booking.", "guest, room, nights"),
    ("cancellation", "Cancels a subscription.", "customer"),
    ("unlock", "Unlocks a door.", "door"),
    ("wash car", "Wash a car.", "plate"),
    ("print label", "Prints a label on the printer.", "parcel"),
    ("repair", "Repair a machine.", "machine"),
    ("dar baixa", "Dá baixa em um título.", "título"),
    ("dar alta", "Dá alta a um paciente.", "paciente"),
    ("fazer check-in", "Faz o check-in de um passageiro.", "localizador"),
    ("vender produto", "Vende um produto.", "produto, quantidade"),
    ("pagamento", "Pagamento de uma conta.", "conta, valor"),
    ("cancelamento", "Cancelamento de uma matrícula.", "aluno"),
    ("novo pedido", "Novo pedido.", "cliente, itens"),
    ("demitir", "Desliga um funcionário.", "funcionário"),
    ("fechar caixa", "Fecha o caixa do dia.", "caixa"),
    ("aplicar dose", "Aplica uma dose em um animal.", "animal, dose"),
    ("trancar", "Tranca uma porta.", "porta"),
    ("limpar quarto", "Limpa um quarto.", "quarto"),
    ("consertar", "Conserta uma máquina.", "máquina"),
    ("devolver produto", "Devolve um produto.", "produto, motivo"),
    ("marcar consulta", "Marca uma consulta.", "paciente, médico, dia"),
    ("agendar consulta", "Agenda uma consulta médica.", "especialidade, dia, hora"),
    ("cancelar consulta", "Cancela uma consulta.", "consulta"),
    ("add to list", "Adds an item to a shopping list.", "item"),
    ("new record", "New record of a visit.", "visitor, day"),
    ("place order", "Places an order for books.", "title, copies"),
    ("liberar acesso", "Libera o acesso de um visitante.", "visitante, portaria"),
)
ALSO_TELLS = (
    ("order", "Looks up an order.", "order"),
    ("track parcel", "Where a parcel is.", "parcel"),
    ("return policy", "Returns the policy of a shop.", "shop"),
    ("sales", "What was sold on a day.", "day"),
    ("guests", "Guests who are in the house.", "date"),
    ("loans", "Books that a reader has.", "reader"),
    ("patient", "Record of a patient.", "patient"),
    ("grade", "Grade of a student.", "student, subject"),
    ("payments", "Payments of a customer.", "customer"),
    ("is paid", "Whether a bill was paid.", "bill"),
    ("shipment history", "History of a shipment.", "shipment"),
    ("door state", "State of a door.", "door"),
    ("next appointment", "When the next appointment is.", "patient"),
    ("invoice", "An invoice by its number.", "number"),
    ("last repair", "When a machine was repaired last.", "machine"),
    ("nota do aluno", "Nota de um aluno.", "aluno, disciplina"),
    ("listar pedidos", "Pedidos de um cliente.", "cliente"),
    ("prontuário", "Prontuário de um paciente.", "paciente"),
    ("vacinas do animal", "Vacinas que um animal tomou.", "animal"),
    ("total da mesa", "Quanto a mesa consumiu.", "mesa"),
    ("vendas do dia", "O que foi vendido no dia.", "dia"),
    ("saldo", "Saldo de uma conta.", "conta"),
    ("hóspedes", "Quem está hospedado.", "data"),
    ("empréstimos", "Livros que um leitor pegou.", "leitor"),
    ("foi pago", "Se um boleto foi pago.", "boleto"),
    ("histórico", "Histórico de um chamado.", "chamado"),
    ("estado da porta", "Se uma porta está trancada.", "porta"),
    ("último conserto", "Quando uma máquina foi consertada.", "máquina"),
    ("ver contrato", "Dados de um contrato.", "contrato"),
    ("consultar pedido", "Consulta um pedido.", "pedido"),
    ("consultas do dia", "Consultas marcadas para um dia.", "médico, dia"),
    ("próxima consulta", "Quando é a próxima consulta.", "paciente"),
    ("books by", "Books by an author.", "author"),
    ("orders", "Orders placed by a customer.", "customer"),
    ("shopping list", "What is on a shopping list.", "list"),
    ("presença", "Faltas de um aluno.", "aluno, bimestre"),
)


@dataclass(frozen=True)
class Row:
    function: dict[str, Any]
    verb: str
    acts: bool
    requests: list[Any]


def verb(function: dict[str, Any]) -> str:
    """The known verb that a description begins with, in whatever person; '' for another word."""
    word = f"{function.get('description') or function['name']} ".split()[0].strip(".,:;").lower()
    forms = (word, word.removesuffix("s"), word.removesuffix("es"))
    return next((form for form in forms if form in ACTS | TELLS), "")


def rows() -> list[Row]:
    """Functions of recipes/requests, and behind them the 72."""
    paths = sorted((HERE.parent / "recipes" / "requests").glob("calls-*.jsonl"))
    found: dict[str, Row] = {}
    for one in (json.loads(line) for path in paths for line in path.read_text("utf-8").splitlines()):
        if known := verb(one["function"]):
            row = Row(one["function"], known, known in ACTS, [])
            found.setdefault(one["function"]["name"], row).requests.extend(one["calls"])
    for n, (name, does, takes) in enumerate(ALSO_ACTS + ALSO_TELLS):
        function = {"name": name, "description": does, "parameters": {"properties": dict.fromkeys(takes.split(", "))}}
        found[f"also {name}"] = Row(function, f"also {name}", n < len(ALSO_ACTS), [])
    return list(found.values())


def fit(x: np.ndarray, acts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """A weight of each number of the vectors, and a bias; each row counts so much, before both kinds count the same."""
    middle, sign = x.mean(0), np.where(acts, 1.0, -1.0)
    counts = counts * np.where(acts, 0.5 / counts[acts].sum(), 0.5 / counts[~acts].sum()) * counts.sum()

    def lost(flat: np.ndarray) -> tuple[float, np.ndarray]:
        odds = sign * ((x - middle) @ flat[:-1] + flat[-1])
        change = -counts * sign / (1 + np.exp(odds))
        loss = (counts * np.logaddexp(0, -odds)).sum() + HELD * (flat[:-1] ** 2).sum() / 2
        return float(loss), np.append((x - middle).T @ change + HELD * flat[:-1], change.sum())

    flat = minimize(lost, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B").x
    return np.append(flat[:-1], flat[-1] - middle @ flat[:-1]).astype(np.float32)


def crossed(x: np.ndarray, acts: np.ndarray, counts: np.ndarray, kinds: Sequence[str]) -> np.ndarray:
    """Log-odds of each by what is fitted on the others; those of one kind are in one part."""
    every = sorted(set(kinds))
    random.Random(1).shuffle(every)
    part = np.array([every.index(kind) % FOLDS for kind in kinds])
    found = np.zeros(len(x))
    for n in range(FOLDS):
        weights = fit(x[part != n], acts[part != n], counts[part != n])
        found[part == n] = x[part == n] @ weights[:-1] + weights[-1]
    return found


def questions(some: Sequence[Row], acts: bool) -> list[tuple[str, dict[str, Any]]]:
    """Questions that a function which acts does not serve, or that one which tells does."""
    found = [
        (request, row.function)
        for row in some
        for request, given in row.requests
        if row.acts is acts is (given is None) and purposes.asks(request)
    ]
    random.Random(3).shuffle(found)
    return found[:QUESTIONS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    some = rows()
    acts, also = np.array([row.acts for row in some]), np.array([row.verb.startswith("also ") for row in some])
    counts = np.where(also, OFTEN, 1.0)
    x = np.stack([meaning.vectors(purposes.texts(row.function)).ravel() for row in some]).astype(float)
    print(f"{len(some)} functions, {acts.sum()} of them act; {len({row.verb for row in some})} verbs")
    apart = crossed(x, acts, counts, [row.function["name"] for row in some])
    verbs = crossed(x, acts, counts, [row.verb for row in some])
    for name, odds, at in (
        ("other functions", apart, ~also),
        ("other verbs", verbs, ~also),
        ("the 72", verbs, also),
    ):
        right = ((odds > 0) == acts)[at].sum()
        area = roc_auc_score(acts[at], odds[at])
        print(f"{name}: {wilson(int(right), at.sum())} right, area under the curve {area:.3f}")
    told = {row.function["name"]: float(odds) for row, odds in zip(some, apart, strict=True)}
    engine = open_engine("mirim-base")
    pointer = engine.pointers["tools"]  # type: ignore[attr-defined]
    for name, known in (("as fitted on others", told.__getitem__), ("nothing known of acts", lambda _: -1.0)):
        purposes.acting = lambda function, known=known: known(function["name"])
        for kind, what in ((False, "that a telling function serves"), (True, "that an acting one does not")):
            odds = [(slots.likeliest(pointer, r, [f]) or (0, 0.0))[1] for r, f in questions(some, kind)]
            called = sum(one >= slots.SERVES for one in odds)
            print(f"{name}: questions {what}, called: {wilson(called, len(odds))}", flush=True)
    engine.close()
    np.savez(given.out, acts=fit(x, acts, counts))
    print(f"{given.out}: {given.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
