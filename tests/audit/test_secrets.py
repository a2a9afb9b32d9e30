"""Passwords and keys in a text, and words about passwords that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirim.audit.checks import secrets
from mirim.core.project import Project
from mirim.core.types import Document


def _found(text: str) -> list[str]:
    document = Document("d", "d.md", "text/markdown", "Wifi", text, language="en")
    return [one.what for one in secrets.check(Project(Path("nowhere"), {}), iter([document]))]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("DB_PASSWORD=hunter22", "password: hu••••22"),
        ("AWS_SECRET_ACCESS_KEY=wJalr1XUtnFE", "secret_access_key: wJ••••••••FE"),
        ("client_secret: abcd12345", "secret: ab•••••45"),
        ("senha do wifi: abc12345", "senha: ab••••45"),
        ("Senha padrão: Abc12345", "senha: Ab••••45"),
        ("| senha | abc12345 |", "senha: ab••••45"),
        ("The password is hunter22!", "password: hu••••22!"),
        ("pwd: p@ssw0rd1", "pwd: p@s••••d1"),
        ("postgres://ana:p4ssw0rd@db.example/shop", "password of an address: p4••••rd"),
        ("ASIAABCDEFGHIJKLMNOP", "AWS access key: AS••••••••••••••••OP"),
        ("glpat-abcdefghijklmnopqrst1", "GitLab token: gl•••-•••••••••••••••••••t1"),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----", "private key"),
    ],
)
def test_a_secret_however_it_is_named(text: str, shown: str) -> None:
    assert _found(text) == [f"looks like a secret, {shown}"]


@pytest.mark.parametrize(
    "text",
    [
        "password reset takes 24 hours",
        "senha: mudar a cada 90 dias",
        "Password: at least 8 characters",
        "a senha é enviada por SMS em 5 minutos",
        "The secret of our 1950s recipe",
        "Retire sua senha: guichê 12",
        "Forgot password? Call 555-1234",
        "https://shop.example:8080/a@b",
    ],
)
def test_what_is_said_of_secrets_is_none(text: str) -> None:
    assert _found(text) == []
