"""`audit`: each check finds what is planted and nothing in a clean library."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from mirim.audit.audit import audit
from mirim.audit.similar import MOST, alike
from mirim.core import plugins
from mirim.core.errors import GateRefused, UsageError
from mirim.core.project import Project
from mirim.core.report import Finding
from mirim.core.types import Document
from mirim.documents import store
from mirim.documents.indexing import Writer

TEXT = {
    "en": "The library opens at nine every weekday and closes at six. Members may borrow five books for three weeks. "
    "Late books cost fifty cents a day. The reading room on the second floor has free internet and forty seats.",
    "pt": "A piscina abre às sete da manhã e fecha às dez da noite. Os sócios podem trazer dois convidados por mês. "
    "O exame médico é obrigatório e vale por seis meses. A touca é exigida de todos e custa doze reais na recepção.",
}


def project(
    root: Path, texts: dict[str, str], languages: dict[str, str] | None = None, head: str = 'licence = "CC0"'
) -> Project:
    (root / "mirim.toml").write_text(f"[project]\n{head}\n")
    for name, text in texts.items():
        language = (languages or {}).get(name, "pt" if name.startswith("pt") else "en")
        store.save(root / "data" / "documents", Document(name, name, "text/plain", name, text, language=language))
    return Project.open(root)


def found(report_root: Path, check: str) -> list[Finding]:
    opened = Project.open(report_root)
    return list(plugins.load("audit.checks", check).check(opened, store.iterate(opened.documents)))


def test_a_clean_library_has_no_errors_and_no_warnings(tmp_path: Path) -> None:
    report = audit(project(tmp_path, {"en.txt": TEXT["en"], "pt.txt": TEXT["pt"]}))
    assert (report.data["errors"], report.data["warnings"]) == (0, 0)
    assert set(report.data["checks"]) == set(plugins.names("audit.checks"))


def test_every_check_is_covered_here() -> None:
    text = Path(__file__).read_text("utf-8")
    for name in plugins.names("audit.checks"):
        assert f'"{name}"' in text


def test_duplicates(tmp_path: Path) -> None:
    project(tmp_path, {"en-a.txt": TEXT["en"], "en-b.txt": TEXT["en"].upper() + " Thank you.", "en-c.txt": TEXT["pt"]})
    rows = found(tmp_path, "duplicates")
    assert [(f.where, f.severity) for f in rows] == [("en-b.txt", "warning")]
    assert "en-a.txt" in rows[0].what


def test_a_file_named_after_a_persons_number_is_told_without_it(tmp_path: Path) -> None:
    name = "laudo-529.982.247-25.txt"
    report = audit(project(tmp_path, {name: TEXT["en"], "zz.txt": TEXT["en"]}))
    named = next(f for f in report.findings if "its name" in f.what)
    assert (named.where, named.what) == ("laudo-52•.•••.•••-25.txt", "its name holds a CPF: 52•.•••.•••-25")
    assert named.severity == "error"
    assert any("nearly the same text" in f.what for f in report.findings)
    assert "529.982.247-25" not in report.to_text() + (tmp_path / "reports" / "audit.json").read_text("utf-8")


def test_personal_data_is_masked(tmp_path: Path) -> None:
    secret = "529.982.247-25"
    project(tmp_path, {"en.txt": f"{TEXT['en']} Joana's CPF is {secret}, write to joana.prado@mail.example."})
    rows = found(tmp_path, "personal")
    assert {(f.severity, f.what.split(":")[0]) for f in rows} == {("error", "1 CPF"), ("info", "1 e-mail")}
    assert not any(secret in f.what or "joana.prado" in f.what for f in rows)
    audit(Project.open(tmp_path))
    for ending in ("md", "html", "json"):
        assert secret not in (tmp_path / "reports" / f"audit.{ending}").read_text("utf-8")


@pytest.mark.parametrize(
    "line",
    [
        "Password: Tr0ub4dor&3",
        "a senha é: jatoba#2024",
        "api_key = sk-abcdefghijklmnopqrstuvwx1234",
        "AKIAIOSFODNN7EXAMPLE",
        "-----BEGIN RSA PRIVATE KEY-----",
    ],
)
def test_secrets_are_found_and_masked(tmp_path: Path, line: str) -> None:
    project(tmp_path, {"en.txt": f"{TEXT['en']}\n\n{line}\n"})
    rows = found(tmp_path, "secrets")
    assert rows
    assert all(f.severity == "error" for f in rows)
    assert not any(word in f.what for f in rows for word in ("Tr0ub4dor&3", "jatoba#2024", "IOSFODNN"))


def test_words_about_passwords_are_no_secret(tmp_path: Path) -> None:
    project(
        tmp_path,
        {"pt.txt": TEXT["pt"] + " A senha aparece no painel. Senha: peça na recepção. Your password: keep it."},
    )
    assert found(tmp_path, "secrets") == []


def test_encoding(tmp_path: Path) -> None:
    project(
        tmp_path,
        {
            "pt-a.txt": TEXT["pt"] * 5 + " A informaÃ§Ã£o",
            "pt-b.txt": "\ufffd\ufffd caf\ufffd " * 9,
            "pt-c.txt": TEXT["pt"],
        },
    )
    assert {f.where: f.severity for f in found(tmp_path, "encoding")} == {"pt-a.txt": "warning", "pt-b.txt": "error"}


def test_length(tmp_path: Path) -> None:
    project(tmp_path, {"en-a.txt": "", "en-b.txt": "Three small words.", "en-c.txt": TEXT["en"]})
    assert {f.where: f.severity for f in found(tmp_path, "length")} == {"en-a.txt": "error", "en-b.txt": "warning"}


def test_languages(tmp_path: Path) -> None:
    project(
        tmp_path,
        {"en.txt": TEXT["en"] * 20, "pt.txt": TEXT["pt"], "fr.txt": "Bonjour tout le monde."},
        {"fr.txt": "fr"},
    )
    rows = found(tmp_path, "languages")
    assert any(f.severity == "warning" and "is in pt" in f.what for f in rows)
    assert any(f.severity == "warning" and "fr.txt" in f.what for f in rows)


def test_a_document_in_two_languages_is_told(tmp_path: Path) -> None:
    project(tmp_path, {"en.txt": f"{TEXT['en']}\n\n{TEXT['pt']}", "en-b.txt": TEXT["en"], "pt.txt": TEXT["pt"]})
    (mixed,) = [f for f in found(tmp_path, "languages") if "another language" in f.what]
    assert (mixed.severity, mixed.where) == ("warning", "en.txt")
    assert mixed.what.endswith("read as en")


def test_licences(tmp_path: Path) -> None:
    project(tmp_path, {"en.txt": TEXT["en"]}, head='name = "x"')
    assert [f.severity for f in found(tmp_path, "licences")] == ["warning"]


def test_leakage(tmp_path: Path) -> None:
    question = "How many books may a member borrow at once?"
    opened = project(tmp_path, {"en-a.txt": f"# {question}\n\nFive.\n", "en-b.txt": TEXT["en"]})
    (tmp_path / "evals").mkdir()
    row = {"id": "1", "question": question, "answer": "five", "answerable": True, "document": "en-b.txt"}
    (tmp_path / "evals" / "q.jsonl").write_text(json.dumps(row) + "\n")
    opened.examples.mkdir(parents=True)
    leak = {
        "messages": [{"role": "user", "content": "text\n? how many books may a member borrow at once"}],
        "metadata": {},
    }
    fine = {"messages": [{"role": "user", "content": "text\n? when does it open"}], "metadata": {"question": "when"}}
    (opened.examples / "judge.jsonl").write_text(json.dumps(leak) + "\n" + json.dumps(fine) + "\n")
    rows = found(tmp_path, "leakage")
    assert {(f.severity, f.where) for f in rows} == {("warning", "en-a.txt"), ("error", "data/examples/judge.jsonl")}
    assert any(f.what.startswith("1 examples") for f in rows)


def test_gate(tmp_path: Path) -> None:
    opened = project(tmp_path, {"en.txt": TEXT["en"]}, head='name = "x"')
    assert audit(opened).data["warnings"] == 1
    assert audit(opened, fail_on="error").data["warnings"] == 1
    with pytest.raises(GateRefused) as refused:
        audit(opened, fail_on="warning")
    assert refused.value.exit_code == 3
    assert refused.value.report.data["warnings"] == 1
    assert json.loads((tmp_path / "reports" / "audit.json").read_text())["warnings"] == 1


def test_many_findings_are_counted_not_listed(tmp_path: Path) -> None:
    report = audit(project(tmp_path, {f"en-{i:03}.txt": "" for i in range(230)}))
    assert report.data["errors"] == 230
    assert any("further findings" in f.what and f.where == "length" for f in report.findings)


def test_no_documents(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mirim ingest"):
        audit(project(tmp_path, {}))


def test_a_part_of_the_documents_is_not_audited(tmp_path: Path) -> None:
    made = project(tmp_path, {"en.txt": TEXT["en"]})
    Writer(made.index, "passages 200").close()
    with pytest.raises(UsageError, match=r"unfinished: an ingest was interrupted; type: mirim ingest"):
        audit(made, fail_on="error")
    with contextlib.closing(Writer(made.index, "passages 200")) as writer:
        writer.finish(tidy=False)
    assert audit(made, fail_on="error").data["documents"] == 1


def test_what_people_wrote_as_examples_is_looked_through_too(tmp_path: Path) -> None:
    made = project(tmp_path, {"en.txt": TEXT["en"]})
    folder = made.root / "seeds"
    folder.mkdir(exist_ok=True)
    row = {
        "messages": [
            {"role": "user", "content": "CPF 529.982.247-25"},
            {"role": "assistant", "content": "senha: Abc12345"},
        ]
    }
    (folder / "chat.jsonl").write_text(json.dumps(row) + "\n", "utf-8")
    found = {(one.where, one.what) for one in audit(made).findings if one.severity == "error"}
    assert found == {
        ("seeds/chat.jsonl", "1 CPF: 52•.•••.•••-25"),
        ("seeds/chat.jsonl", "looks like a secret, senha: Ab••••45"),
    }


def test_letters_of_one_form_are_not_compared_all_with_all() -> None:
    form = "Dear {0}, your appointment at the clinic is on Monday at eight; bring your card, papers and a towel. " * 4
    letters = [Document(f"{i:03}", f"{i}.md", "text/markdown", "", form.format(f"name{i}")) for i in range(60)]
    found = alike(letters, 0.5)
    assert [bool(near) for near in found.values()] == [False] + [True] * 59
    assert max(map(len, found.values())) <= 2 * MOST


def test_a_number_in_a_table_is_told_by_the_heading_of_its_column(tmp_path: Path) -> None:
    rows = [
        ("name", "RG", "CNH", "SSN", "NHS number", "telefone"),
        ("---",) * 6,
        ("Ana", "12.345.678-9", "12345678900", "219099999", "943 476 5919", "912345678"),
    ]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    project(tmp_path, {"en.txt": f"{TEXT['en']}\n\n{table}\n"})
    told = {f.what.split(":")[0] for f in found(tmp_path, "personal")}
    assert told == {"1 RG", "1 CNH", "1 SSN", "1 NHS number", "1 phone"}
