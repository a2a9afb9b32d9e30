"""Check digits: real-looking numbers that hold, and the same with one digit changed."""

from __future__ import annotations

import pytest

from mirim.audit.identifiers import identifiers, is_card, is_cnpj, is_cpf, is_iban, is_nhs, is_nif, is_sus, masked


def _cpf(first: str) -> str:
    """An independent computation of the two check digits."""
    d = [int(c) for c in first]
    for n in (10, 11):
        total = 0
        for i, x in enumerate(d):
            total += x * (n - i)
        rest = total % 11
        d.append(0 if rest < 2 else 11 - rest)
    return "".join(map(str, d))


@pytest.mark.parametrize("first", ["111444777", "529982247", "000000001", "123456789"])
def test_cpf_agrees_with_the_textbook_rule(first: str) -> None:
    whole = _cpf(first)
    assert is_cpf(whole)
    assert is_cpf(f"{whole[:3]}.{whole[3:6]}.{whole[6:9]}-{whole[9:]}")
    for i in (9, 10):
        changed = whole[:i] + str((int(whole[i]) + 1) % 10) + whole[i + 1 :]
        assert not is_cpf(changed)


def test_equal_digits_are_no_cpf() -> None:
    assert not is_cpf("111.111.111-11")


def test_cnpj() -> None:
    assert is_cnpj("11.222.333/0001-81")
    assert not is_cnpj("11.222.333/0001-82")
    assert not is_cnpj("00.000.000/0000-00")


def test_sus_card() -> None:
    # Weighted 15..1 and divisible by 11: 7 at weight 15 is 105, then 5 at weight 1 makes 110.
    assert is_sus("700000000000005")
    assert not is_sus("700000000000004")
    assert not is_sus("300000000000002")


def test_luhn() -> None:
    assert is_card("4111 1111 1111 1111")
    assert is_card("5500-0000-0000-0004")
    assert not is_card("4111 1111 1111 1112")
    assert not is_card("0000 0000 0000 0000")


def test_kinds_in_a_text_each_value_once() -> None:
    text = (
        "CPF 529.982.247-25, CNPJ 11.222.333/0001-81, cartão 4111 1111 1111 1111, SUS 700 0000 0000 0005, "
        "escreva para ana.lima@loja.example ou ligue (11) 4002-8922. Pedido 1234-5678, versão 1.2.3, R$ 1.234,56."
    )
    found = list(identifiers(text))
    assert found == [
        ("CNPJ", "11.222.333/0001-81"),
        ("CPF", "529.982.247-25"),
        ("SUS card", "700 0000 0000 0005"),
        ("payment card", "4111 1111 1111 1111"),
        ("e-mail", "ana.lima@loja.example"),
        ("phone", "(11) 4002-8922"),
    ]


@pytest.mark.parametrize("value", ["529.982.247-25", "4111 1111 1111 1111", "hunter2!", "ana.lima@loja.example"])
def test_masked_never_shows_the_value(value: str) -> None:
    shown = masked(value)
    assert value not in shown
    assert sum(a == b for a, b in zip(shown, value, strict=False) if b.isalnum()) <= 4 or "@" in value
    assert value.split("@")[0] not in shown


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        # Dashes and blanks of word processors, and what stands before.
        ("CPF 529.982.247\u201125", "CPF", "529.982.247\u201125"),
        ("CPF-529.982.247–25", "CPF", "529.982.247–25"),
        ("529 982 247 25", "CPF", "529 982 247 25"),
        ("529.982.247 - 25", "CPF", "529.982.247 - 25"),
        ("CNPJ 12.ABC.345/01DE-35", "CNPJ", "12.ABC.345/01DE-35"),
        ("4111.1111.1111.1111", "payment card", "4111.1111.1111.1111"),
        ("IBAN DE89 3704 0044 0532 0130 00", "IBAN", "DE89 3704 0044 0532 0130 00"),
        ("iban de89370400440532013000.", "IBAN", "de89370400440532013000"),
        ("BE68 5390 0754 7034 (para doar)", "IBAN", "BE68 5390 0754 7034"),
        ("ana.lima [at] loja.example", "e-mail", "ana.lima [at] loja.example"),
        ("escreva: ana (arroba) loja ponto example", "e-mail", "ana (arroba) loja ponto example"),
        ("ana(at)loja[dot]example", "e-mail", "ana(at)loja[dot]example"),
        ("PIS/PASEP: 120.56412.54-5", "PIS", "120.56412.54-5"),
        ("CNH nº 12345678900", "CNH", "12345678900"),
        ("RG: 12.345.678-X", "RG", "12.345.678-X"),
        ("social security number is 123-45-6789", "SSN", "123-45-6789"),
        ("tel: 11912345678", "phone", "11912345678"),
        ("(11) 9 1234-5678", "phone", "(11) 9 1234-5678"),
        ("0800 123 4567", "phone", "0800 123 4567"),
        ("o'brien@loja.example", "e-mail", "o'brien@loja.example"),
        ("a@host.рф", "e-mail", "a@host.рф"),
    ],
)
def test_an_identifier_however_it_is_written(text: str, kind: str, value: str) -> None:
    assert list(identifiers(text)) == [(kind, value)]


@pytest.mark.parametrize(
    "text",
    [
        "2017 2018 2019 2020",
        "2023 2024 2025 2026",
        "2500 3000 3500 2000",
        "20240218142600",
        "4111-1111 1111.1111",
        "12.ABC.345/01DE-36",
        "PIS 120.56412.54-7",
        "11912345678",
        "CONFIGURACAO12",
        # Of rows of figures one in ten satisfies Luhn's check.
        "4120 5230 6410 7351\n4111 1111 1111 1111\n5120 4410 8890 1200",
        "Meet at noon, or (at) least by one.",
    ],
)
def test_numbers_that_name_nobody(text: str) -> None:
    assert list(identifiers(text)) == []


def test_cards_in_rows_are_cards() -> None:
    text = "Ana 4111 1111 1111 1111\nRui 5500 0000 0000 0004\n"
    assert [kind for kind, _ in identifiers(text)] == ["payment card"] * 2


def test_a_password_is_no_e_mail() -> None:
    assert masked("p@ssw0rd1") == "p@s••••d1"
    assert masked("Senha@2024") == "Se•••@••24"


def test_iban() -> None:
    assert is_iban("GB82 WEST 1234 5698 7654 32")
    assert not is_iban("GB82 WEST 1234 5698 7654 33")


def test_a_value_of_signs_is_masked_too() -> None:
    assert masked("!@#$%^7a") == "!•••••••"


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("CPF 529.982.247/25", "CPF", "529.982.247/25"),
        ("(11)987654321", "phone", "(11)987654321"),
        ("(11) 33334444", "phone", "(11) 33334444"),
        ("fone 3333-4444", "phone", "3333-4444"),
        ("Celular: 98765-4321", "phone", "98765-4321"),
        ("Carteira de identidade nº 12.345.678-9", "RG", "12.345.678-9"),
    ],
)
def test_forms_that_people_write(text: str, kind: str, value: str) -> None:
    assert list(identifiers(text)) == [(kind, value)]


@pytest.mark.parametrize("text", ["ISBN 978 85 333 0227 3", "Contato: 2019-2023", "(2) 123456789", "123.456.789/26"])
def test_other_numbers_are_none_of_these(text: str) -> None:
    assert not list(identifiers(text))


def test_nhs_and_nif() -> None:
    # Weighted 10 to 2, 9434765919 gives 299, and 299 + 9 is divisible by 11; 123456789 is the textbook's NIF.
    assert is_nhs("943 476 5919")
    assert not is_nhs("943 476 5918")
    assert is_nif("123456789")
    assert not is_nif("123456780")


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        # Words between the name and the number, and the name in small letters or with points.
        ("RG do pai: 12.345.678-9", "RG", "12.345.678-9"),
        ("R.G. 12.345.678-9", "RG", "12.345.678-9"),
        ("rg (SSP-SP) 12.345.678-9", "RG", "12.345.678-9"),
        ("RG MG-14.567.890", "RG", "14.567.890"),
        ("Registro Geral 1.234.567", "RG", "1.234.567"),
        ("CNH (registro) 12345678900", "CNH", "12345678900"),
        ("CNH_joao_12345678900.pdf", "CNH", "12345678900"),
        ("PIS do empregado: 120.56412.54-5", "PIS", "120.56412.54-5"),
        # Parted in other ways, or without the zero that a table of figures drops, behind its name.
        ("CPF 529-982-247-25", "CPF", "529-982-247-25"),
        ("CPF 529.982.247.25", "CPF", "529.982.247.25"),
        ("portador do CPF\n529.982.247-\n25", "CPF", "529.982.247-\n25"),
        ("CPF 1234567890", "CPF", "1234567890"),
        ("CNPJ 11.222.333 / 0001-81", "CNPJ", "11.222.333 / 0001-81"),
        ("SUS 700-0000-0000-0005", "SUS card", "700-0000-0000-0005"),
        ("título de eleitor nº 1234 5678 0140", "voter card", "1234 5678 0140"),
        ("Passport number: YB123456", "passport", "YB123456"),
        ("passaporte FZ 123456", "passport", "FZ 123456"),
        ("NIF do cliente: 123 456 789", "NIF", "123 456 789"),
        ("NHS number: 943 476 5919", "NHS number", "943 476 5919"),
        ("NHS 943-476-5919", "NHS number", "943-476-5919"),
        ("National Insurance no. QQ 12 34 56 C", "national insurance number", "QQ 12 34 56 C"),
        ("SS# 219-09-9999", "SSN", "219-09-9999"),
        ("the applicant, 219-09-9999, asked", "SSN", "219-09-9999"),
        ("SSN: 219.09.9999", "SSN", "219.09.9999"),
        ("WhatsApp: 5511912345678", "phone", "5511912345678"),
        ("Telemóvel: 912 345 678", "phone", "912 345 678"),
        ("or 0161 496 0123.", "phone", "0161 496 0123"),
        ("Mobile 07700900123", "phone", "07700900123"),
        ("1-800-867-5309", "phone", "1-800-867-5309"),
        ("+44 (0)20 7946 0123", "phone", "+44 (0)20 7946 0123"),
    ],
)
def test_numbers_behind_their_names_and_of_other_countries(text: str, kind: str, value: str) -> None:
    assert list(identifiers(text)) == [(kind, value)]


@pytest.mark.parametrize(
    "text",
    [
        "Anexo 12 2019-2020",
        "art. (15) 1988-1990",
        "de 10 100-1000 g",
        "faixa 100 1000-2000 mg",
        "quadra 11 1000-1200",
        "turmas 101 102 103 1040",
        "open 24 0900-1700",
        "isbn 85 333 0227 3",
        "chave 3524 0512 3456 7800 0195 5500 1000 0012 3410 0001 2345",
        "identidade visual de R$ 1.234.567",
        "NHS number 9434765918",
        "NIF da empresa 501234567",
        "part no. 000-12-3456",
        "passport photos cost 12 pounds",
    ],
)
def test_figures_side_by_side_are_no_numbers_of_persons(text: str) -> None:
    assert list(identifiers(text)) == []
