"""Messages and letters: what is quoted, attached, signed; and what says nothing."""

from __future__ import annotations

import re
import sys
import time
from email.message import EmailMessage
from pathlib import Path

import pytest

from mirim.documents.extract import extract
from mirim.documents.passages import cut
from mirim.documents.readers import eml
from mirim.documents.readers.eml import separate
from mirim.documents.readers.html import page

sys.path.insert(0, str(Path(__file__).parent))
from reading import read


def test_the_page_of_a_message_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(eml, "page", lambda text: (calls.append(text), page(text))[1])
    (tmp_path / "m.eml").write_bytes(
        b"From: a@b.example\nSubject: Hours\nContent-Type: multipart/alternative; boundary=b\n\n"
        b"--b\n\nHi\n--b\nContent-Type: text/html\n\n<p>The clinic opens at eight on Monday.</p>\n--b--\n"
    )
    assert "eight" in read(tmp_path / "m.eml").text
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("body", "fresh", "quoted"),
    [
        ("Hi\n\n> old", "Hi", "old"),
        ("Hi\n\nOn Mon, Ana <a@b.c> wrote:\nold\n", "Hi", "On Mon, Ana wrote:\nold"),
        ("Oi\n\nEm seg., 1 de dez., Ana escreveu:\n> velho", "Oi", "Em seg., 1 de dez., Ana escreveu:\nvelho"),
        ("Oi\n\n-----Mensagem original-----\nvelho", "Oi", "-----Mensagem original-----\nvelho"),
        ("Oi\n\n**De:** Ana <a@b.c>\n**Enviado:** terça\n**Para:** Beto <b@b.c>\n\nvelho", "Oi",
         "**De:** Ana\n**Enviado:** terça\n\nvelho"),
        ("no quotes\nat all", "no quotes\nat all", ""),
    ],
)  # fmt: skip
def test_quoted_replies(body: str, fresh: str, quoted: str) -> None:
    assert separate(body) == (fresh, quoted)


def test_messages_attached_to_a_message_are_read(tmp_path: Path) -> None:
    inner = EmailMessage()
    inner["From"], inner["Subject"] = "Ana <ana@clinic.example>", "Holiday hours"
    inner.set_content("The clinic stays closed on 24 December.")
    outer = EmailMessage()
    outer["From"], outer["Subject"] = "Rui <rui@clinic.example>", "Please file this"
    outer.set_content("The notice is attached to this message.")
    outer.add_attachment(inner)
    outer.add_attachment(b"...", maintype="image", subtype="png", filename="seal.png")
    (tmp_path / "m.eml").write_bytes(outer.as_bytes())
    document = read(tmp_path / "m.eml")
    assert [(s.heading, s.level) for s in document.sections] == [("Please file this", 1), ("Holiday hours", 2)]
    assert "closed on 24 December" in document.text
    assert "Attachments: seal.png\n" in document.text


def test_addresses_of_a_header_stay_out_of_the_text(tmp_path: Path) -> None:
    inner = EmailMessage()
    inner["From"], inner["To"], inner["Subject"] = '"Prado, Ana" <ana@a.example>', "Bia <bia@b.example>", "Hours"
    inner.set_content("The clinic stays closed on 24 December.")
    outer = EmailMessage()
    outer["From"], outer["To"], outer["Cc"] = "rui@c.example", "Caio <caio@d.example>, eva@e.example", "f@f.example"
    outer["Subject"], outer["Date"] = "Please file this", "Mon, 17 Mar 2025 09:12:00 -0300"
    outer.set_content(
        "See below.\n\n-----Original Message-----\nFrom: Ivo\nSent: Monday\nTo: Gil <gil@g.example>;\n"
        " Hugo <hugo@h.example>\nCc: i@i.example\nSubject: Hours\n\nTo all: at eight.\n"
    )
    outer.add_attachment(inner)
    (tmp_path / "m.eml").write_bytes(outer.as_bytes())
    document = read(tmp_path / "m.eml")
    assert "@" not in document.text
    assert document.text.startswith("# Please file this\n\n2025-03-17\n\nSee below.")
    assert "> Sent: Monday\n> Subject: Hours\n>\n> To all: at eight." in document.text
    assert "## Hours\n\nPrado, Ana\n\nThe clinic" in document.text
    assert document.metadata["author"] == "rui@c.example"


@pytest.mark.parametrize(
    "rest",
    [
        # A picture between two paragraphs, the way some programs send it.
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nFirst lines.\n--b\nContent-Type: image/png\n\n...\n"
        b"--b\n\nSecond lines.\n--b--\n",
        b"Content-Type: multipart/mixed\n\nFirst lines.\n\nSecond lines.\n",
        b"Content-Type: multipart/alternative; boundary=b\n\nFirst lines.\nSecond lines.\n",
        # Paragraphs that are each there in two ways.
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/alternative; boundary=c\n\n"
        b"--c\n\nFirst lines.\n--c\nContent-Type: text/html\n\n<p>First lines.\n--c--\n--b\n"
        b"Content-Type: text/html\n\n<p>Second lines.\n--b--\n",
        # Signed.
        b"Content-Type: multipart/signed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=c\n\n"
        b"--c\n\nFirst lines.\n--c\n\nSecond lines.\n--c--\n--b\n"
        b"Content-Type: application/pgp-signature\n\n...\n--b--\n",
        # Nothing but another message.
        b"Content-Type: message/rfc822\n\nTo: c@d.example\n\nFirst lines.\nSecond lines.\n",
    ],
)
def test_no_text_of_a_message_is_lost(tmp_path: Path, rest: bytes) -> None:
    (tmp_path / "m.eml").write_bytes(b"From: a@b.example\nSubject: Parts\n" + rest)
    assert re.search(r"First lines\.\s+Second lines\.", read(tmp_path / "m.eml").text)


def test_parts_of_a_message_that_are_not_read_are_said(tmp_path: Path) -> None:
    (tmp_path / "m.eml").write_bytes(
        b"From: a@b.example\nSubject: Secret\nContent-Type: multipart/alternative; boundary=b\n\n"
        b"--b\n\nShort.\n--b\nContent-Type: multipart/mixed; boundary=c\n\n"
        b"--c\nContent-Type: text/html\n\n<p>A longer text.\n"
        b"--c\nContent-Type: application/pdf; name=bill.pdf\n\n...\n--c\nContent-Type: text/rtf\n\n...\n"
        b"--c\nContent-Type: image/png; name=logo.png\nContent-ID: <1>\n\n...\n--c--\n--b--\n"
    )
    document, notes = extract(tmp_path / "m.eml", "m.eml", "eml")
    assert "A longer text.\n\nAttachments: bill.pdf\n" in document.text
    assert notes == [
        "a part of the type text/rtf was not read",
        "attachments were not read: bill.pdf; put them into sources/ themselves",
    ]


@pytest.mark.slow
def test_a_header_of_a_megabyte_takes_no_time(tmp_path: Path) -> None:
    (tmp_path / "m.eml").write_bytes(b"From: a@b.example\nSubject: " + b"long " * 200_000 + b"\n\nThe body.\n")
    started = time.monotonic()
    document = read(tmp_path / "m.eml")
    assert "The body." in document.text
    assert len(document.title) <= 200
    assert max(len(p.heading) for p in cut(document)) < 1000
    assert time.monotonic() - started < 30


def test_a_message_whose_plain_text_announces_its_page(tmp_path: Path) -> None:
    page_ = b"<p>The clinic is closed from Monday to Wednesday, and opens again on Thursday at eight in the morning."
    for plain, kept in ((b"See the page.", b"Thursday"), (b"Closed from Monday to Wednesday, open again.", b"again.")):
        (tmp_path / "m.eml").write_bytes(
            b"From: a@b.example\nSubject: Hours\nContent-Type: multipart/alternative; boundary=b\n\n"
            b"--b\n\n" + plain + b"\n--b\nContent-Type: text/html\n\n" + page_ + b"\n--b--\n"
        )
        text = read(tmp_path / "m.eml").text
        assert kept.decode() in text
        assert ("Thursday" in text) != (plain.decode() in text)


def test_the_end_of_a_letter_says_nothing() -> None:
    body = (
        "A locker costs 3 euros a day.\n\nKind regards,\nIvo\nFront desk, (00) 3000-1122\n\nSent from my telephone\n\n"
        "This message is confidential and meant for its recipient alone.\nIf it came by mistake, delete it.\n\n"
        "On Mon, 2 Nov 2026 at 10:00, Rita <rita@mail.example> wrote:\n"
        "> What does a locker cost?\n>\n> Thanks in advance,\n>\n> Rita Melo\n> 12 Mill Lane\n>\n"
        "> I also lost a glove.\n"
    )
    assert separate(body) == (
        "A locker costs 3 euros a day.\n\nIvo\nFront desk, (00) 3000-1122",
        "On Mon, 2 Nov 2026 at 10:00, Rita wrote:\nWhat does a locker cost?\n\nI also lost a glove.",
    )


def test_the_end_of_a_letter_in_portuguese() -> None:
    body = (
        "O armário custa R$ 9,00.\n\nAtenciosamente,\nIvo\n\nEnviado do meu celular\n\n"
        "Esta mensagem e seus anexos são confidenciais; se a recebeu por engano, apague-a.\n\n"
        "-----Mensagem original-----\nDe: Rita <rita@mail.example>\nPara: ivo@clube.example\n\n"
        "Quanto custa o armário?\n\nObrigada!\nRita\n"
    )
    assert separate(body) == (
        "O armário custa R$ 9,00.\n\nIvo",
        "-----Mensagem original-----\nDe: Rita\n\nQuanto custa o armário?",
    )


@pytest.mark.parametrize(
    "text",
    [
        "Thanks to a gift, entry is free.",
        "This form is confidential. Send it by e-mail to the desk.",
        "Files of members are confidential; the message to a recipient is sealed, also if it came by mistake.",
        "Obrigado!\n\nThe pool opens at nine. Bring a towel.",
    ],
)
def test_what_a_letter_says_stays(text: str) -> None:
    kept = text.removeprefix("Obrigado!\n\n")
    assert separate(text) == (kept, "")
    assert separate(f"> {text}".replace("\n", "\n> ")) == ("", kept)
