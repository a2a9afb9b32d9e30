"""A small bilingual library and a project around it, for the tests of this room."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mirim.core.project import Project
from mirim.documents.ingest import ingest

TEXTS = {
    "pool.md": """# Swimming pool

## Opening hours

The pool opens at 7:00 on weekdays and closes at 21:00. On Sundays it closes at noon.
You can enter until 30 minutes before closing time.

## Prices

| ticket | price | valid for |
| --- | --- | --- |
| Single visit | R$ 18.00 | 1 day |
| Monthly pass | R$ 140.00 | 30 days |
| Family pass | R$ 260.00 | 30 days |

A lost locker key costs R$ 25.00. Children under 5 years enter free of charge.

## Before you swim

You must shower before entering the water. Bring your own towel and a swimming cap.
If you have an open wound, please stay out of the water until it heals.
Wait two hours after a heavy meal.

## Can I bring a guest?

Members may bring two guests a month. Guests pay half the price of a single visit.

## Contact

Call the reception desk on (11) 4002-8922. Dr. Helena Prado sees members on Tuesdays.
""",
    "library.md": """# Town library

## Borrowing

You can borrow five books for three weeks. A reader's card is valid for two years.
Late books cost R$ 0.50 a day. Magazines are kept in the reading room on the second floor.

## Joining

To join the library, bring your identity document and a proof of address.
Cards are ready within 2 working days.

## Rooms

The study room holds twenty readers. Please turn off your telephone in the study room.
Groups must book the meeting room three days in advance.
""",
    "pt-piscina.md": """# Academia do bairro

## Horário de funcionamento

A academia abre às 6h e fecha às 22h de segunda a sexta. Aos sábados funciona das 8h às 14h.

## Matrícula

A matrícula custa R$ 60,00. O exame médico vale por seis meses. O cadastro fica pronto em dois dias úteis.
Se você perder a carteirinha, a segunda via custa R$ 15,00.
Para cancelar o plano, avise a recepção com 30 dias de antecedência.

## O que levar

Traga toalha, garrafa de água e tênis limpo. Não use celular na sala de musculação.
Você pode usar o armário por até 3 horas.

## Posso levar um acompanhante?

Sim, um por mês, de segunda a quinta.
""",
    "pt-oficina.md": """# Oficina de bicicletas

## Revisão

A revisão completa custa R$ 120,00 e demora três dias. Atendemos sem hora marcada até as 17h.
Os freios são testados na rua dos fundos. A garantia do serviço é de 90 dias.

## Peças

As peças usadas ficam na oficina por 30 dias. Aceitamos cartão e dinheiro.
O cliente deve retirar a bicicleta em até dez dias.

## Aluguel

O aluguel de uma bicicleta custa R$ 35,00 por dia. É preciso deixar um documento no balcão.
""",
}  # fmt: skip


Make = Callable[..., Project]


@pytest.fixture
def texts() -> dict[str, str]:
    return dict(TEXTS)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """`make(texts, evals=[...], seeds=[...])` is a project with its documents ingested."""

    def build(
        texts: dict[str, str] | None = None, evals: list[str] | None = None, seeds: list[dict[str, Any]] | None = None,
        name: str = "town",
    ) -> Project:  # fmt: skip
        root = tmp_path / name
        (root / "sources").mkdir(parents=True)
        (root / "mirim.toml").write_text('[project]\nname = "town"\nlanguage = "en"\n')
        for file, text in (TEXTS if texts is None else texts).items():
            (root / "sources" / file).write_text(text, "utf-8")
        held = [{"id": str(i), "question": q, "answer": "", "answerable": False} for i, q in enumerate(evals or ())]
        for folder, lines in (("evals", held), ("seeds", seeds or [])):
            if lines:
                (root / folder).mkdir()
                text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
                (root / folder / "lines.jsonl").write_text(text, "utf-8")
        opened = Project.open(root)
        ingest(opened)
        return opened

    return build


@pytest.fixture
def read() -> Callable[[Project], list[dict[str, Any]]]:
    """The rows of data/examples, file by file."""

    def rows(opened: Project) -> list[dict[str, Any]]:
        files = sorted(opened.examples.glob("*.jsonl"))
        return [json.loads(line) for path in files for line in path.read_text("utf-8").splitlines()]

    return rows
