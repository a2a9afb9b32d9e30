"""The command line: verbs to functions, their results to text or JSON, errors to exit codes. Nothing else.

Exit codes: 0 done, 1 the work failed, 2 bad usage or input, 3 a gate refused, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import shlex
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import (
    App,
    CycloptsError,
    Parameter,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
    convert,
)

from mirim import VERBS, __version__
from mirim.core import progress
from mirim.core.errors import DONE, FAILED, INTERRUPTED, USAGE, MirimError, UsageError, suggest
from mirim.core.files import explain
from mirim.core.report import visible
from mirim.core.verbs import coerce

#: verb, group of the help page, one line of help
PAGES = (
    ("new", "Project", "Make a project folder: mirim.toml and sources/."),
    (
        "ingest",
        "Project",
        "Turn files (text, HTML, PDF, Office, OpenDocument, mail, e-books, CSV) into documents and a search index.",
    ),
    ("audit", "Project", "Check whether the documents are fit to train on."),
    ("synth", "Project", "Make training examples and held-out questions from the documents."),
    ("train", "Project", "Train a model, from scratch or from a base."),
    ("evaluate", "Project", "Measure whether it helped, with confidence intervals."),
    ("export", "Project", "Quantise to GGUF, with the proof that it still answers the same."),
    ("build", "Project", "All of the above; skips what is up to date, resumes what was interrupted."),
    ("ask", "Use", "Ask one question and get an answer with its sources."),
    ("chat", "Use", "Talk with the assistant of a project."),
    ("classify", "Use", "Say which of some labels a text has."),
    ("generate", "Use", "Continue a text with any model."),
    ("serve", "Use", "OpenAI-compatible server with a web page."),
    ("bench", "Machine", "How fast a model runs here, beside what the machine could do."),
    ("doctor", "Machine", "What can this machine do, and what is missing."),
)

#: Options of every command line, whatever its verb.
_EVERYWHERE = ("--project", "--json", "--help", "--version")

#: Columns that help is laid out in at least, however narrow the terminal.
_NARROWEST = 20


def build_app() -> App:
    """The tree of commands; no verb's module is imported until it runs."""
    app = App(
        name="mirim",
        help="Small language models from your own documents: audited, proven, quantised, yours.",
        version=__version__,
        # A flag of several values takes all that follow it: --corpus a.txt b.jsonl folder.
        default_parameter=Parameter(parse="^(?!project$)", consume_multiple=True, converter=_value),
        # Help is plain text: a Markdown renderer would double the time to show it.
        help_format="plaintext",
        # Our own exit codes and messages: nothing inside the library may end the process.
        exit_on_error=False,
        print_error=False,
        result_action="return_value",
    )
    for name, group, text in PAGES:
        app.command(f"{VERBS[name]}:{name}", name=name, group=group, help=text)
    with contextlib.suppress(ImportError):
        import importlib.util

        if importlib.util.find_spec("mirim.server.keys"):
            app.command(
                "mirim.server.keys:app", name="keys", group="Machine", help="Keys of the server: new, list, revoke."
            )
    return app


def _value(kind: Any, tokens: Any) -> Any:
    """What stands behind a flag. A number is one as in the environment and in mirim.toml: left to itself the library
    rounds 3.5 to 4, and reads 1.000, a thousand to half of our readers, as 1."""

    def leaf(kind: Any, word: str) -> Any:
        if kind is Path:
            return _path(word, tokens[0].keyword or "the folder")
        return coerce(word, kind, tokens[0].keyword or word) if kind in (int, float) else convert(kind, (word,))

    return convert(kind, tokens, converter=leaf)


def _path(word: str, name: str) -> Path:
    if not word:
        # Path("") is the current folder: a variable that is not set would be one.
        raise UsageError(f'{name}: "" is no path; write . for the current folder')
    return Path(word)


def main(argv: list[str] | None = None) -> None:
    """Entry point of the `mirim` script."""
    # A shell may have closed them (`>&-`).
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    sys.stderr = sys.stderr or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    width = os.environ.get("COLUMNS", "")
    if width.isdecimal() and int(width) < _NARROWEST:
        # Some terminals say 0 before they know; in a few columns the help is laid out for ever.
        os.environ["COLUMNS"] = str(_NARROWEST)
    _keep_stdout()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    code = run(sys.argv[1:] if argv is None else argv)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    code = _flushed(code)
    if code == INTERRUPTED:
        # Python would end itself with the signal where Ctrl-C came inside a library's own code, and scripts see -2.
        os._exit(code)
    # Engines keep native threads; leaving through exit handlers could wait for them.
    sys.exit(code)


def _flushed(code: int) -> int:
    """The exit code once all results are out; where they cannot be, Python is not to complain at exit once more."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError) and code == DONE:
            _say(f"mirim: {explain(error, Path('what is written'))}")
            return FAILED
    return code


def _keep_stdout() -> None:
    """Keep stdout for results: what a library in C or Rust prints there by itself goes to stderr."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if sys.stdout.fileno() == 1:
            sys.stdout.flush()
            result = os.fdopen(os.dup(1), "w")
            os.dup2(2, 1)
            sys.stdout = result


def run(argv: list[str]) -> int:
    """Run one command line; return its exit code."""
    app = build_app()
    # Ctrl-C is ours to answer.
    app.meta.suppress_keyboard_interrupt = False
    code = DONE

    @app.meta.default
    def _meta(
        *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        project: Annotated[
            Path | None,
            Parameter(parse=True, help="Project folder; default: this one or its nearest parent with mirim.toml."),
        ] = None,
        json: Annotated[bool, Parameter(negative="", help="Print JSON on stdout, and nothing else there.")] = False,
    ) -> None:
        nonlocal code
        code = _dispatch(app, _with_texts(tokens), project, json)

    quiet = "--json" in argv
    if quiet:
        app.version, app.version_format = json.dumps({"version": __version__}), "plaintext"
    restore = _install_progress(quiet)
    try:
        if callable(signal.getsignal(signal.SIGINT)):
            signal.signal(signal.SIGINT, signal.default_int_handler)
        app.meta(argv, exit_on_error=False, print_error=False)
        return code
    except KeyboardInterrupt:
        _say("interrupted; what was finished is kept, run the same line again to go on")
        return INTERRUPTED
    except SystemExit:
        # So rich, which writes the help, ends where the reader left.
        return DONE
    except BrokenPipeError:
        # The reader left (`| head`): not our failure, and Python must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except MirimError as error:
        if error.report is not None:
            _show(error.report, quiet)
        _say(f"mirim: {error}")
        return error.exit_code
    except UnknownCommandError as error:
        word = (error.unused_tokens or argv or [""])[0]
        if word.startswith("-"):
            _say(_unknown_option(word, ()))
            return USAGE
        line = " ".join(("mirim", *(error.command_chain or ())))
        names = [name for name in error.app or app if not name.startswith("-")]
        _say(f'mirim: no command "{word}"{suggest(word, names)} ({line} --help lists them)')
        return USAGE
    except UnknownOptionError as error:
        names = [name for argument in error.argument_collection for name in argument.names]
        _say(_unknown_option(error.token.keyword or error.token.value, names))
        return USAGE
    except UnusedCliTokensError as error:
        _say(_unused(error, argv))
        return USAGE
    except CycloptsError as error:
        _say(f"mirim: {error}")
        return USAGE
    except OSError as error:
        if not _stands():
            _say("mirim: the folder that this terminal is in is not there any more; type: cd FOLDER, then this again")
            return USAGE
        known = explain(error, Path(error.filename or "what is written"))
        _say(f"mirim: {known}")
        return known.exit_code
    except Exception as error:
        if os.environ.get("MIRIM_TRACE"):
            raise
        if isinstance(error, RuntimeError) and "home directory" in str(error):
            _say('mirim: a path begins with "~" and no user of this machine; write the whole path')
            return USAGE
        if isinstance(error, UnicodeError) and sys.getfilesystemencoding() != "utf-8":
            _say("mirim: a name has letters that this terminal's LANG has none for; type: export PYTHONUTF8=1")
            return USAGE
        # What a verb imports first is missing by way of another error.
        missing = [e for e in (error, error.__cause__) if isinstance(e, ModuleNotFoundError)]
        if missing and (missing[0].name or "mirim").partition(".")[0] != "mirim":
            _say(f"mirim: {missing[0].name} is not installed; type: pip install 'mirim[all]'")
            return USAGE
        _say(
            f"mirim: {type(error).__name__}: {error}\nThis is a defect of mirim. MIRIM_TRACE=1 shows where it happened."
        )
        return FAILED
    finally:
        restore()


def _stands() -> bool:
    """Whether the current folder is still there."""
    try:
        return bool(os.getcwd())
    except OSError:
        return False


def _with_texts(tokens: Sequence[str]) -> list[str]:
    """The words of a command line, where what begins with "-" and holds a space is text, such as "- an item"."""
    words: list[str] = []
    texts: list[str] = []
    for number, token in enumerate(tokens):
        if token == "--":
            return [*words, *tokens[number:], *texts]
        if not (token.startswith("-") and any(c.isspace() for c in token.partition("=")[0])):
            words.append(token)
        elif words and words[-1].startswith("--") and "=" not in words[-1]:
            words[-1] += f"={token}"
        else:
            texts.append(token)
    return [*words, "--", *texts] if texts else words


def _dispatch(app: App, tokens: list[str], folder: Path | None, as_json: bool) -> int:
    command, bound, ignored = app.parse_args(tokens, exit_on_error=False, print_error=False)
    if "project" in ignored:
        bound.arguments["project"] = folder
        bound.arguments = {k: bound.arguments[k] for k in bound.signature.parameters if k in bound.arguments}
    elif folder is not None:
        raise UsageError(f"{' '.join(tokens[:1])} takes no --project")
    # An interactive or streaming verb must know how it will be shown.
    os.environ["MIRIM_JSON"] = "1" if as_json else ""
    result = command(*bound.args, **bound.kwargs)
    if result is not None:
        _show(result, as_json)
    return DONE


def _show(result: Any, as_json: bool) -> None:
    if "WORLD_SIZE" in os.environ and os.environ.get("RANK", "0") != "0":
        # Of the processes of one training run the first one speaks.
        return
    if hasattr(result, "to_lines"):
        for item in result.to_lines():
            _show(item, as_json)
        return
    if as_json:
        print(json.dumps(result.to_json(), ensure_ascii=False), flush=True)
    else:
        verbatim = getattr(result, "verbatim", False)
        text = result.to_text() if verbatim else visible(result.to_text())
        print(text, end="" if text.endswith("\n") or verbatim else "\n", flush=True)


def _unknown_option(word: str, known: Iterable[str]) -> str:
    if word in known:
        return f'mirim: {word} stands after "--", where all is text; write it before'
    return f'mirim: unknown option "{word}"{suggest(word, {*known, *_EVERYWHERE})}'


def _unused(error: UnusedCliTokensError, argv: Sequence[str]) -> str:
    word, line = (error.unused_tokens or [""])[0], " ".join(("mirim", *(error.command_chain or ())))
    takes = inspect.signature(error.target).parameters if error.target else ()
    hint = "" if len(word.split()) > 1 else "; text of several words stands in quotes"
    if "prompt" in takes and not any(w.partition("=")[0] == "--prompt" for w in argv):
        hint = f"; for text type: {line} --prompt {shlex.quote(word)}"
    return f'mirim: "{word}" belongs to no option{hint} ({line} --help lists the options)'


def _say(text: str) -> None:
    print(visible(text), file=sys.stderr, flush=True)


def _install_progress(quiet: bool) -> Any:
    """Bars on stderr for people; bare notes where stderr is a file or a pipe."""
    if quiet and not sys.stderr.isatty():
        return progress.install(_Notes())
    from mirim._bars import Bars

    return progress.install(Bars())


class _Notes:
    @contextlib.contextmanager
    def bar(self, label: str, total: float | None) -> Iterator[progress.Task]:
        yield progress.SilentTask()

    def note(self, text: str) -> None:
        _say(text)
