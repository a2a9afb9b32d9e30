"""A small shop whose documents are ingested once; answers come from search alone unless a test brings a model."""

from __future__ import annotations

import pytest

from mirim.core.project import Project
from mirim.documents.ingest import ingest

HOURS = """# Opening hours

The shop opens at 9:00 and closes at 18:00 from Monday to Friday. On Saturdays it closes at 13:00. It stays closed on
Sundays and public holidays.

# Returns

You may return a lamp within 30 days with its receipt. The refund is paid to the same card within 5 working days.
Broken glass is exchanged free of charge when we are told within 48 hours.

# Delivery

Delivery inside the city costs R$ 25.00 and takes 2 working days. Large mirrors are carried up by two people.
"""
PARKING = """# Estacionamento e acesso

O estacionamento fica na Rua das Figueiras, 80, e a primeira hora é gratuita. Depois disso, cada hora custa R$ 7,00.
Há rampa na entrada lateral e elevador até o segundo andar.

# Oficina

O conserto de luminárias demora até 10 dias úteis. O orçamento vale por 15 dias e não custa nada.
"""
STAFF = "\n\n".join(
    f"# Note {i}\n\nShelf {i} holds {what} from the {where} workshop, counted every {when}."
    for i, (what, where, when) in enumerate(
        (w, p, d)
        for w in ("brackets", "cables", "shades", "sockets", "switches")
        for p in ("northern", "southern")
        for d in ("month", "quarter")
    )
)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("shop")
    (root / "sources").mkdir()
    (root / "mirim.toml").write_text('[project]\nname = "shop"\nlanguage = "en"\ncontact = "the counter"\n', "utf-8")
    (root / "sources" / "handbook.md").write_text(HOURS, "utf-8")
    (root / "sources" / "acesso.md").write_text(PARKING, "utf-8")
    (root / "sources" / "stock.md").write_text(STAFF, "utf-8")
    project = Project.open(root)
    ingest(project)
    return project
