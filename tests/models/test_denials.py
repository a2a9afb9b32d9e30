"""Whether a request wants what a yes or no is about."""

from __future__ import annotations

import pytest

from mirim.models import denials


@pytest.mark.parametrize(
    ("name", "description", "request_", "language", "wanted"),
    [
        # What a description says of nothing said denies nothing.
        ("breakfast", "Whether to include breakfast (false if not specified)", "A room without breakfast", "en", False),
        ("cafe", "Se inclui café da manhã; falso se não informado", "Um quarto sem café da manhã", "pt", False),
        # Another clause is about something else, and that something is wanted says nothing of what.
        ("breakfast", "Whether the guest wants breakfast", "With breakfast and I don't want a sauna", "en", True),
        ("cafe", "Se o hóspede quer café da manhã", "com café da manhã e não quero sauna", "pt", True),
        ("gym", "", "A hotel with no pool but a gym", "en", True),
        ("academia", "", "sem piscina mas com academia", "pt", True),
        # Reminders, and denials of denials.
        ("breakfast", "Include breakfast.", "Don't forget to include breakfast", "en", True),
        ("cafe", "Incluir café da manhã", "Não esqueça de incluir o café da manhã", "pt", True),
        ("avoid_tolls", "", "Don't avoid tolls", "en", False),
        ("avoid_tolls", "", "Avoid tolls please", "en", True),
        ("tolls", "Use toll roads", "Don't avoid tolls", "en", True),
        ("pedagios", "", "não precisa evitar pedágios", "pt", True),
        # Words that look like denials, and what one language says as the other does.
        ("flash", "", "Tire uma foto com flash", "pt", True),
        ("acucar", "", "tire o açúcar", "pt", False),
        ("piscina", "Acesso à piscina", "acesso exclusivo à piscina", "pt", True),
        ("notifications", "", "Turn off the notifications", "en", False),
        ("notificacoes", "", "Desligue as notificações", "pt", False),
        ("breakfast", "", "Everything except breakfast", "en", False),
        ("cafe", "", "Tudo exceto café", "pt", False),
    ],
)
def test_what_is_denied(name: str, description: str, request_: str, language: str, wanted: bool) -> None:
    assert denials.wanted(name, {"description": description}, request_, language) is wanted
