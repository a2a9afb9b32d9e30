"""The command line in processes of its own, as people and scripts meet it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mirim.cli import PAGES
from mirim.core.errors import MirimError, UsageError
from mirim.core.project import Project
from mirim.new import new


def mirim(*words: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mirim", *words],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_help_names_every_verb_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, mirim.cli as c\n"
        "try: c.main(['--help'])\n"
        "except SystemExit as e: assert e.code == 0, e.code\n"
        "heavy = {'torch','transformers','numpy','fastapi','xllamacpp','lxml','sklearn','scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for name, *_ in PAGES:
        assert name in done.stdout


def test_every_verb_explains_itself_without_torch() -> None:
    code = (
        "import contextlib, sys; sys.modules['torch'] = None; sys.modules['transformers'] = None\n"
        "import mirim.cli as c\n"
        f"for name in {[name for name, *_ in PAGES]!r}:\n"
        "    with contextlib.suppress(SystemExit): c.main([name, '--help'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for name, *_ in PAGES:
        assert f"Usage: mirim {name}" in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["buidl"], 'did you mean "build"'),
        (["keys", "lst"], 'did you mean "list"? (mirim keys --help'),
        (["doctor", "--nope"], "--nope"),
        (["ask", "how", "much"], '"much" belongs to no option; text of several words stands in quotes'),
        (["generate", "The library"], "type: mirim generate --prompt 'The library' ("),
        (["generate", "--prompt", "The", "library"], '"library" belongs to no option; text of several words'),
        (["export", "two words"], '"two words" belongs to no option (mirim export --help'),
        (["generate", "--model", "echo", "--prompt", "x", "--temperature", "nan"], "temperature = nan is not a number"),
        (["ask", "x", "--projct", "."], 'did you mean "--project"'),
        (["--projct", ".", "ask", "x"], 'did you mean "--project"'),
        (["ask", "x", "--polcy", "quote"], 'did you mean "--policy"'),
        (["ask", "x"], "mirim new"),
        (["generate", "--model", "echo", "--prompt", "\udcff"], "bytes that are not UTF-8"),
        (["evaluate", "--model", "echo", "--pairs", "."], "is a folder"),
        (["new", "~no-such-user/x"], "write the whole path"),
        (["new"], "DIRECTORY"),
        (["ask", "--project", "/no/such/folder", "x"], "not a mirim project"),
        (["new", "x", "--from", "clnic"], 'did you mean "clinic"'),
    ],
)
def test_bad_usage_is_one_message_and_exit_code_2(tmp_path: Path, words: list[str], says: str) -> None:
    done = mirim(*words, cwd=tmp_path)
    assert done.returncode == 2, done
    assert says.lower() in done.stderr.lower()
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_names_of_files_do_not_steer_the_terminal(tmp_path: Path) -> None:
    new(tmp_path)
    (tmp_path / "sources" / "\x1b[2J\nred\x07.pdf").write_text("no such thing")
    (tmp_path / "sources" / "good.md").write_text("Good words.")
    done = mirim("ingest", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert r"- **error** \x1b[2J\nred\x07.pdf: is named" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_a_library_that_is_missing_anywhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['sqlite3'] = None\n")
    done = mirim("ingest", "--project", str(tmp_path), cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 2, done
    assert "sqlite3 is not installed; type: pip install" in done.stderr


def test_new_makes_a_project_once(tmp_path: Path) -> None:
    done = mirim("new", "shop", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["project"] == str(tmp_path / "shop")
    assert (tmp_path / "shop" / "sources").is_dir()
    again = mirim("new", "shop", cwd=tmp_path)
    assert again.returncode == 2
    assert "already a mirim project" in again.stderr


@pytest.mark.parametrize(
    "name", ["two\nlines", ".dot", 'a "quoted" \\ name', "del\x7fete", "bee \N{HONEYBEE}", "\t", "ü" * 127]
)
def test_new_takes_any_folder_name(tmp_path: Path, name: str) -> None:
    new(tmp_path / name)
    project = Project.open(tmp_path / name)
    assert project.model.parent == project.models
    assert project.name.isprintable()


def test_a_sample_replaces_no_file_of_a_person(tmp_path: Path) -> None:
    own = {"README.md": "My notes.", "sources/prices/vacinas.csv": "mine;1\n", "evals/questions.jsonl": ""}
    for name, text in own.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=r"README.md and 2 further files .* choose an empty folder"):
        new(tmp_path, from_="clinic")
    assert {n: (tmp_path / n).read_text() for n in own} == own
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == sorted(Path(n).name for n in own)


def test_a_sample_whose_copy_was_interrupted_is_copied_again(tmp_path: Path) -> None:
    new(tmp_path, from_="clinic")
    (tmp_path / "mirim.toml").unlink()
    (tmp_path / "own.txt").write_text("mine")
    new(tmp_path, from_="clinic")
    assert Project.open(tmp_path).sources.is_dir()
    (tmp_path / "mirim.toml").unlink()
    readme = (tmp_path / "README.md").rename(tmp_path / "elsewhere.md")
    (tmp_path / "README.md").symlink_to(readme)
    with pytest.raises(UsageError, match=r"README.md would be replaced"):
        new(tmp_path, from_="clinic")


def test_a_disk_that_fills_while_a_sample_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copy2", full)
    with pytest.raises(MirimError, match="no space left on the disk"):
        new(tmp_path / "clinic", from_="clinic")


def test_a_folder_without_write_permission(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        # Root may write anywhere; a file where the folder should be is refused for everybody.
        (tmp_path / "locked").write_text("")
        done = mirim("new", "locked/shop", cwd=tmp_path)
    else:
        (tmp_path / "locked").mkdir(mode=0o500)
        done = mirim("new", "locked/shop", cwd=tmp_path)
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr


def test_what_a_library_prints_below_python_does_not_reach_stdout(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, mirim.models.engines.echo as e\n"
        "opened = e.open\n"
        "def open(*a, **k):\n"
        "    os.write(1, b'Ignored unknown option\\n')\n"
        "    return opened(*a, **k)\n"
        "e.open = open\n"
    )
    done = mirim("generate", "--model", "echo:hi", "--prompt", "x", "--raw", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "hi"), done
    assert "Ignored unknown option" in done.stderr


@pytest.mark.parametrize("line", ["--help", "train --help", "generate --model echo --prompt hello"])
def test_a_reader_that_leaves_is_no_failure(tmp_path: Path, line: str) -> None:
    words = [sys.executable, "-m", "mirim", *line.split()]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(60) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
def test_results_that_cannot_be_written_are_told_without_a_traceback(tmp_path: Path) -> None:
    for line, code, says in (
        ("generate --model echo --prompt hello > /dev/full", 1, "no space left"),
        ("--help > /dev/full", 1, "no space left"),
        ("generate --model echo --prompt hello >&-", 0, ""),
        ("--help >&-", 0, ""),
    ):
        done = subprocess.run(
            f"{sys.executable} -m mirim {line}", shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), (line, done.stderr)
        assert says in done.stderr
        assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "--x = y\n- z",
        *(pytest.param(t, marks=pytest.mark.slow) for t in ("- an item", "--- a rule", "-5 degrees = cold")),
    ],
)
def test_text_may_begin_with_a_hyphen(tmp_path: Path, text: str) -> None:
    (tmp_path / "mirim.toml").touch()
    done = mirim("generate", "--model", "echo", "--prompt", text, "--raw", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["text"] == text.split("\n")[-1]
    asked = mirim("ask", text, "--model", "none", cwd=tmp_path)
    assert "has no index yet" in asked.stderr


@pytest.mark.slow
def test_doctor_measures_this_machine() -> None:
    done = mirim("doctor", "--json")
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    assert row["cpu"]["cores"] >= 1
    assert row["measured"]["matmul_gflops"] > 0


def test_ctrl_c_is_130(tmp_path: Path) -> None:
    code = (
        # What is started in the background by a script ignores Ctrl-C unless told otherwise.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import sys, time, mirim.cli as c, mirim.plan.doctor as d\n"
        "d._measure = lambda: print('ready', flush=True) or time.sleep(60)\n"
        "c.main(['doctor'])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == "interrupted; what was finished is kept, run the same line again to go on\n"


def test_ctrl_c_while_modules_are_read_is_quiet() -> None:
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import os, sys\n"
        # The heaviest module of the command line, and Ctrl-C in its midst.
        "class Slow:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'cyclopts': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Slow())\n"
        "import mirim.__main__\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_a_flag_of_several_values_takes_all_that_follow_it() -> None:
    from mirim.cli import build_app

    words = ["train", "--method", "pretrain", "--corpus", "a.txt", "b.jsonl", "folder", "--out", "o"]
    _, bound, _ = build_app().parse_args(words, exit_on_error=False, print_error=False)
    assert bound.arguments["corpus"] == (Path("a.txt"), Path("b.jsonl"), Path("folder"))
