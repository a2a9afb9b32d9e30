"""Messages and letters: what is quoted, attached, signed; and what says nothing."""

from __future__ import annotations

import re
import sys
import time
from email.message import EmailMessage
from pathlib import Path

import pytest

from mirim.documents import kinds
from mirim.documents.draft import Refused
from mirim.documents.extract import extract
from mirim.documents.passages import cut
from mirim.documents.readers import eml, mbox
from mirim.documents.readers.eml import separate
from mirim.documents.readers.html import page

sys.path.insert(0, str(Path(__file__).parent))
from outlook import compound, message
from reading import SAMPLES, read


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


#: A message in a mailbox: what stands before its subject, that, and its text.
def _boxed(before: str, subject: str, body: str, mark: str = "From - Mon Nov 02 09:30:00 2026") -> bytes:
    return f"{mark}\n{before}From: Ivo <ivo@club.example>\nSubject: {subject}\n\n{body}\n\n".encode()


def test_a_mailbox_without_an_ending_is_read_as_one(tmp_path: Path) -> None:
    """As Thunderbird has them; read as text they would show everybody's addresses and pages of base64."""
    (tmp_path / "Inbox").write_bytes(_boxed("", "Lockers", "A locker costs 3 euros."))
    assert kinds.choose(tmp_path / "Inbox")[0] == "mbox"
    document = read(tmp_path / "Inbox")
    assert document.title == "Inbox"
    assert document.text == "# Lockers\n\nIvo\n\nA locker costs 3 euros.\n"


def test_what_is_deleted_or_unwanted_in_a_mailbox_is_left_out(tmp_path: Path) -> None:
    gmail = "From 18@xxx Mon Nov 02 09:30:00 +0000 2026"
    (tmp_path / "a.mbox").write_bytes(
        _boxed("X-Mozilla-Status: 0001\n", "Kept", "Stays open.")
        + _boxed("X-Mozilla-Status: 0009\n", "Deleted", "Gone.")
        + _boxed("X-Gmail-Labels: =?utf-8?q?Lixeira,N=C3=A3o_lidas?=\n", "Bin", "Gone.", gmail)
        + _boxed("X-Gmail-Labels: Spam,Unread\n", "Spam", "Gone.", gmail)
        + _boxed("X-Gmail-Labels: Bin collection\n", "Waste", "On Tuesdays.", gmail)
        + _boxed("X-IMAP: 17 42\n", "DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA", "Internal.")
    )
    document, notes = extract(tmp_path / "a.mbox", "a.mbox", "mbox")
    assert [s.heading for s in document.sections] == ["Kept", "Waste"]
    assert notes == ["3 x: a message that is deleted, or marked as unwanted, was left out"]


def test_lines_of_a_message_that_begin_as_a_message_does(tmp_path: Path) -> None:
    body = "Hours:\n\n>From March on at eight.\n\nFrom April on:\nNote: at nine.\n\nFrom us all 10:00 in 2026\n\nYours."
    (tmp_path / "a.mbox").write_bytes(_boxed("", "Hours", body) + _boxed("", "Next", "Text."))
    document = read(tmp_path / "a.mbox")
    assert [s.heading for s in document.sections] == ["Hours", "Next"]
    assert (
        "\n\nFrom March on at eight.\n\nFrom April on:\nNote: at nine.\n\nFrom us all 10:00 in 2026\n" in document.text
    )


def test_a_message_without_a_subject_is_not_part_of_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "Club.mbox").write_bytes(_boxed("", "Hours", "At eight.") + _boxed("", "", "Keys cost 12 euros."))
    assert [p.heading for p in cut(read(tmp_path / "Club.mbox"))] == ["Club > Hours", "Club"]


def test_attachments_of_a_mailbox_are_told_once(tmp_path: Path) -> None:
    head = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n"
    part = "--b\n\nSee it.\n--b\nContent-Type: application/pdf; name=bill{}.pdf\n\n...\n--b--"
    (tmp_path / "a.mbox").write_bytes(b"".join(_boxed(head, f"Bill {i}", part.format(i)) for i in range(9)))
    document, notes = extract(tmp_path / "a.mbox", "a.mbox", "mbox")
    assert document.text.count("Attachments: bill") == 9
    [note] = notes
    assert note.startswith("9 attachments were not read, such as bill0.pdf, ")


def test_a_message_too_large_does_not_cost_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mbox, "_MOST", 1000)
    large = _boxed("", "Large", "words and words\n" * 200)
    (tmp_path / "a.mbox").write_bytes(large + _boxed("", "Small", "At eight."))
    document, notes = extract(tmp_path / "a.mbox", "a.mbox", "mbox")
    assert [s.heading for s in document.sections] == ["Small"]
    assert "left out" in notes[0]
    (tmp_path / "a.mbox").write_bytes(large)
    with pytest.raises(Refused, match=r"no message that is kept \(a message of more than"):
        read(tmp_path / "a.mbox")


def test_a_message_of_outlook_in_single_bytes(tmp_path: Path) -> None:
    page_ = "<p>A chave nova custa <b>R$ 12,00</b>.".encode("cp1252")
    tree = message({"0037001E": "Preços".encode("cp1252"), "10130102": page_, "0042": "Ivo Prado"})
    tree["__properties_version1.0"] += bytes.fromhex("0300fd3f06000000e404000000000000")
    tree["__attach_version1.0_#00000000"] = {
        "__properties_version1.0": bytes(8),
        "__substg1.0_3704001E": b"LISTA~1.PDF",
    }
    (tmp_path / "m.msg").write_bytes(compound(tree))
    document = read(tmp_path / "m.msg")
    assert document.text.startswith("# Preços\n\nIvo Prado\n\nA chave nova custa **R$ 12,00**.\n")
    assert "Attachments: LISTA~1.PDF" in document.text


def test_a_message_of_outlook_that_is_only_rich_text_says_so(tmp_path: Path) -> None:
    (tmp_path / "m.msg").write_bytes(compound(message({"0037": "Hours", "10090102": b"LZFu"})))
    document, notes = extract(tmp_path / "m.msg", "m.msg", "msg")
    assert document.title == "Hours"
    assert notes == ["its text is there as rich text alone, which was not read; save it as HTML in Outlook"]


@pytest.mark.parametrize("size", [300, 700, 5000, 20_000])
def test_a_message_of_outlook_cut_short_is_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "m.msg").write_bytes((SAMPLES / "msg.msg").read_bytes()[:size])
    with pytest.raises(Refused, match=r"damaged|no Outlook message"):
        read(tmp_path / "m.msg")
