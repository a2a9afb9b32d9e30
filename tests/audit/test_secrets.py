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
        ("password: 12hunter", "password: 12••••er"),
        ("pwd: p@ssw0rd1", "pwd: p@s••••d1"),
        ("postgres://ana:p4ssw0rd@db.example/shop", "password of an address: p4••••rd"),
        ("ASIAABCDEFGHIJKLMNOP", "AWS access key: AS••••••••••••••••OP"),
        ("glpat-abcdefghijklmnopqrst1", "GitLab token: gl•••-•••••••••••••••••••t1"),
        ("Senha do Wi-Fi dos alunos: Turma@2025", "senha: Tu•••@••25"),
        ("login admin / senha Cafe1234!", "senha: Ca••••34!"),
        ("The alarm code is 4471#.", "alarm code: 4•••#"),
        ("código do cofre: 88-41-07", "código do cofre: 8•-••-••"),
        ("SMTP_PASS=graoTorrado77", "pass: gr•••••••••77"),
        ("SECRET_KEY_BASE=9f8e7d6c5b4a39281706", "secret_key: 9f••••••••••••••••06"),
        ("adminPassword=Gull9Harbour", "password: Gu••••••••ur"),
        ("<password>Maple!Leaf22</password>", "password: Ma•••!••••22"),
        ("token: 8f14e45fceea167a5a36", "token: 8f••••••••••••••••36"),
        ("AccountKey=Eby8vdM02xNOcqFlqUwJPLlm==", "key: Eb••••••••••••••••••••lm=="),
        ("Authorization: Bearer 8d3f9a7bc2e14f50a1b2", "authorization: bearer: 8d••••••••••••••••b2"),
        ("STRIPE=sk_test_51Habcdefghijklmn", "payment key: sk_••••_•••••••••••••••mn"),
        (
            "bot 123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw",
            "Telegram token: 12•••••••:••••••••••••••••••••••••••••••••aw",
        ),
        ("api_key = sk-abcdefghijklmnopqrstuvwx1234", "API key: sk-••••••••••••••••••••••••••34"),
        ("| user | senha |\n| --- | --- |\n| ana | Cafe1234 |", "senha: Ca••••34"),
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
        "PWD=/home/coop/app1",
        "Password: http://help.example/reset1",
        "password: ${DB_PASSWORD1}",
        "senha: <sua-senha-1>",
        "Senha preferencial: P045 a P100",
        "key = ec.generate_private_key(ec.SECP256R1())",
        "The door code is changed every 90 days",
        "Password expiry: 90days",
        "Tamanho da senha: 8dígitos",
    ],
)
def test_what_is_said_of_secrets_is_none(text: str) -> None:
    assert _found(text) == []
