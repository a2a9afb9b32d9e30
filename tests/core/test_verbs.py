import shlex
from pathlib import Path
from typing import Literal

import pytest

from mirim.core.errors import UsageError
from mirim.core.project import Project
from mirim.core.verbs import coerce, options, verb


@verb
def cook(
    project: Project,
    dish: str = "",
    *,
    minutes: int = 10,
    heat: Literal["low", "high"] = "low",
    salt: float | None = None,
    herbs: tuple[str, ...] = (),
    lid: bool = False,
) -> dict[str, object]:
    return {
        "root": project.root,
        "dish": dish,
        "minutes": minutes,
        "heat": heat,
        "salt": salt,
        "herbs": herbs,
        "lid": lid,
    }


def folder(tmp_path: Path, toml: str) -> Path:
    (tmp_path / "mirim.toml").write_text(toml, "utf-8")
    return tmp_path


def test_flag_beats_environment_beats_toml_beats_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder(tmp_path, "[cook]\nminutes = 20\n")
    assert cook(root)["minutes"] == 20
    monkeypatch.setenv("MIRIM_COOK_MINUTES", "30")
    assert cook(root)["minutes"] == 30
    assert cook(root, minutes=40)["minutes"] == 40
    assert cook(root)["heat"] == "low"


def test_an_unknown_option_in_the_environment_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIRIM_COOK_MINUTE", "30")
    with pytest.raises(UsageError, match='MIRIM_COOK_MINUTE: cook has no option "minute"; did you mean "minutes"'):
        cook(folder(tmp_path, ""))


@pytest.mark.parametrize("salt", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(tmp_path: Path, salt: float) -> None:
    with pytest.raises(UsageError, match="is not a number to work with"):
        cook(folder(tmp_path, ""), salt=salt)


@pytest.mark.parametrize("name", ["a\\u0000b", "../x", ".x", "x" * 121, "two\\nlines"])
def test_a_name_must_be_that_of_a_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="name = "):
        Project.open(folder(tmp_path, f'[project]\nname = "{name}"\n'))


def test_the_project_is_found_from_a_folder_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder(tmp_path, "")
    (root / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(root / "a" / "b")
    assert cook()["root"] == root.resolve()
    assert cook(None, "soup")["dish"] == "soup"


def test_a_verb_that_needs_no_project_reads_the_settings_of_the_one_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @verb
    def roast(project: Project | None = None, *, minutes: int = 10) -> tuple[bool, int]:
        return project is None, minutes

    monkeypatch.chdir(tmp_path)
    assert roast() == (True, 10)
    root = folder(tmp_path, "[roast]\nminutes = 20\n")
    assert roast() == (True, 20)
    assert roast(root) == (False, 20)
    assert roast(minutes=5) == (True, 5)


def test_an_unknown_key_is_named_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='unknown key "minuts"; did you mean "minutes"'):
        cook(folder(tmp_path, "[cook]\nminuts = 1\n"))


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("[cook]\nminutes = 'x'\n", "'x' is not a whole number"),
        ("[cook]\nminutes = 1.5\n", "not a whole number"),
        ("[cook]\nminutes = true\n", "not a whole number"),
        ("[cook]\nheat = 'mid'\n", "not one of low, high"),
        ("[cook]\nlid = 'maybe'\n", "not true or false"),
        ("[cook]\nherbs = 3\n", "not a list"),
        ("[project]\nnmae = 'x'\n", 'did you mean "name"'),
        ("[project]\nseed = 'seven'\n", "seed = 'seven' is not a whole number"),
        ("[project]\nname = 3\n", "name = 3 is not text"),
        ("[project]\nname = '../x'\n", "is not the name of a folder"),
        ("[project]\nlanguage = 'xx'\n", "is not one of en, pt"),
        ("[trian]\n", r'unknown table \[trian\]; did you mean "train"'),
        ("[export]\nquantt = ['q8_0']\n", r'\[export\]: unknown key "quantt"; did you mean "quant"'),
        ("[evaluate]\nlimit = 'x'\n", r"\[evaluate\] limit: 'x' is not a whole number"),
        ("minutes = 3\n", "outside any table"),
        ("[cook\n", "cannot be read as TOML"),
    ],
)
def test_bad_settings_say_what_was_expected(tmp_path: Path, toml: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        cook(folder(tmp_path, toml))


def test_settings_that_are_not_utf_8_are_told_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "mirim.toml").write_bytes(b'[project]\nname = "a\xe7\xe3o"\n')
    with pytest.raises(UsageError, match="line 2 is not in UTF-8; save the file as UTF-8"):
        Project.open(tmp_path)


def test_choices_that_may_be_empty_are_listed_without_the_empty_one() -> None:
    with pytest.raises(UsageError, match=r'"qoute" is not one of quote, free$'):
        coerce("qoute", Literal["", "quote", "free"], "policy")


def test_settings_saved_with_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    assert Project.open(folder(tmp_path, '\ufeff[project]\nname = "a"\n')).name == "a"


def test_what_to_type_next_can_be_pasted(tmp_path: Path) -> None:
    root = tmp_path / "our clinic's $papers"
    root.mkdir()
    project = Project.open(folder(root, ""))
    assert shlex.split(project.flag) == ["--project", str(root)]


def test_a_file_of_questions_that_is_empty_yet_is_none(tmp_path: Path) -> None:
    project = Project.open(folder(tmp_path, ""))
    project.evals.mkdir()
    (project.evals / "later.jsonl").touch()
    assert project.eval_files() == []
    (project.evals / "now.jsonl").write_text("{}\n")
    assert project.eval_files() == [project.evals / "now.jsonl"]
    (project.evals / "then.JSONL").write_text("{}\n")
    assert len(project.eval_files()) == 2


def test_words_from_the_environment_become_values() -> None:
    assert coerce("1e-3", float | None, "x") == 0.001
    assert coerce("a,b", tuple[str, ...], "x") == ("a", "b")
    assert coerce("yes", bool, "x") is True
    assert coerce(3, float, "x") == 3.0
    assert set(options(cook)) == {"minutes", "heat", "salt", "herbs", "lid"}


def test_no_project_anywhere_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="mirim new"):
        cook()


def test_words_of_the_command_line_go_to_a_variadic_parameter(tmp_path: Path) -> None:
    (tmp_path / "mirim.toml").write_text("")

    @verb
    def gather(project: Project, *paths: Path, deep: bool = False) -> tuple[Project, tuple[Path, ...], bool]:
        return project, paths, deep

    project = Project.open(tmp_path)
    assert gather(project, Path("a"), Path("b")) == (project, (Path("a"), Path("b")), False)
    # As the command line calls it: the rest by position, the project by name.
    assert gather(Path("a"), Path("b"), project=tmp_path, deep=True) == (project, (Path("a"), Path("b")), True)
