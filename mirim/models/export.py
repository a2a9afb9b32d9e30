"""`mirim export`: a model folder to GGUF, quantised, with the proof that it still answers the same."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from mirim.core.bundle import FILE as BUNDLE
from mirim.core.bundle import Bundle
from mirim.core.errors import GateRefused, MirimError, UsageError
from mirim.core.files import explain, read_json
from mirim.core.project import FILE as PROJECT
from mirim.core.project import Project
from mirim.core.report import Finding, Report, Table
from mirim.core.verbs import around, verb
from mirim.models import convert, golden, origin, parity, quantise
from mirim.models.resolve import BUNDLED, Model, base_of, local, resolve

_TEMPORARY = ".tmp-export-"
#: Golden prompts that torch answers beside the files, at least.
TORCH = 20
#: What helps where every file is refused.
_ELSEWHERE = "run the folder itself: --engine hf"


@verb
def export(
    project: Project | None = None,
    *,
    model: str = "",
    quant: tuple[str, ...] = ("q8_0", "q4_0"),
    text: Path | None = None,
    policy: Literal["", "quote", "grounded", "free"] = "",
    threads: int = 0,
) -> Report:
    """Write DIR/gguf/<quant>.gguf for each quantisation that passes its gate, and DIR/reports/parity.json.

    A LoRA adapter is merged with its base first. The gate compares with F32 on held-out text: perplexity
    within 1 % (q4_0: 5 %), and golden answers equal in 95 % (under the quote policy: 99 % of the choices).
    F32 itself must have the logits and answers of the trained model, where torch is there to run it.

    Args:
        model: Folder of the model; default: the project's model.
        quant: Comma-separated: f32, f16, bf16, q8_0, q4_0.
        text: UTF-8 file of held-out text; default: validation examples, documents, built-in sentences.
        policy: Answer policy whose gate applies; default: the project's, or quote.
        threads: Threads to compute with; 0 is one for each core.
    """
    wanted = list(dict.fromkeys(quantise.check(q) for part in quant for q in part.split(",") if q.strip()))
    if not wanted:
        raise UsageError(f"no quantisation was named; known: {', '.join(quantise.QUANTS)}")
    if not model:
        project = project or Project.find()
        if not project.model.is_dir():
            raise UsageError(f"{project.model} does not exist yet; type: mirim train")
        model = str(project.model)
    found = resolve(model, project or around())
    if found.kind not in ("folder", "adapter") or found.path is None:
        raise UsageError(f"{model} is a {found.kind}, not a folder in Hugging Face layout; name the model's folder")
    if found.ref == BUNDLED:
        raise UsageError(
            f"{model} is part of the package, and nothing is written there; copy {found.path} and name the copy"
        )
    project = project or _home(found.path)
    rule = policy or str((project.tables.get("ask", {}) if project else {}).get("policy") or "quote")
    with _workspace(found.path) as space:
        return _Export(found, project, wanted, text, rule, threads, space).run()


def _home(folder: Path) -> Project | None:
    """The project that a model lies in, if any: its validation examples and policy are the ones to use."""
    for parent in folder.parents:
        if (parent / PROJECT).is_file():
            return Project.open(parent)
    return None


class _Export:
    def __init__(
        self,
        model: Model,
        project: Project | None,
        wanted: Sequence[str],
        text: Path | None,
        policy: str,
        threads: int,
        space: Path,
    ) -> None:
        assert model.path is not None
        self.folder, self.wanted, self.policy, self.threads, self.space = model.path, wanted, policy, threads, space
        self.base = local(base_of(model, project)) if model.kind == "adapter" else None
        self.checkpoint = convert.read(self.folder, self.base)
        self.made_of = origin.made_of(self.folder)
        from mirim.models.tokenizer import chat_template

        self.held = golden.gather(project, text, chat=bool(chat_template(self.checkpoint.tokenizer)))
        self.findings: list[Finding] = []
        #: What makes the F32 file another model than the trained one; whatever is made of it is refused.
        self.strange: list[str] = []
        self.data: dict[str, Any] = {
            "model": model.name,
            "merged": model.kind == "adapter",
            "policy": policy,
            "held_out": {
                "source": self.held.source,
                "texts": len(self.held.texts),
                "golden_prompts": len(self.held.golden),
                "golden_length": parity.LENGTH,
                "choices": golden.CHOICES,
                "choice_margin": parity.MARGIN,
            },
            "quants": {},
        }

    def run(self) -> Report:
        engine = self._open(self._file("f32"), "f32")
        length = min(128, engine.context)
        try:
            probes = [ids[:length] for ids in map(engine.encode, self.held.texts[:8]) if len(ids) > 1]
            reference = parity.measure(engine, self.held, probes, "f32")
            self.data["reference"] = {
                "perplexity": reference.perplexity.value,
                "perplexity_tokens": reference.perplexity.tokens,
                "perplexity_left_out": reference.perplexity.left_out,
                "perplexity_cut": reference.perplexity.cut,
            }
            torch = self._torch(engine, reference, probes)
            self._tokens(engine, torch)
        finally:
            engine.close()
        measured = {"f32": reference}
        for quant in self.wanted:
            self._quant(quant, measured, torch, probes)
        self._clear()
        return self._finish()

    def _quant(
        self, quant: str, measured: dict[str, parity.Measured], torch: dict[str, Any] | None, probes: list[list[int]]
    ) -> None:
        path = self._file(quant)
        if quant not in measured:
            engine = self._open(path, quant)
            try:
                measured[quant] = parity.measure(engine, self.held, probes, quant)
            finally:
                engine.close()
        row = parity.compare(measured[quant], measured["f32"], self.held)
        row["bytes"] = path.stat().st_size
        row["logits_torch"] = parity.logits(measured[quant].rows, torch["rows"]) if torch else None
        row["answers_equal_torch"] = _share(_some(measured[quant].greedy), torch["greedy"]) if torch else None
        row["refused"] = [*self.strange, *([] if quant == "f32" else parity.refusals(quant, row, self.policy))]
        row["refused"] += self._misread()
        self.data["quants"][quant] = row
        target = self.folder / "gguf" / f"{quant}.gguf"
        try:
            if row["refused"]:
                # An earlier export's file would pass for this model's.
                target.unlink(missing_ok=True)
            else:
                target.parent.mkdir(exist_ok=True)
                os.replace(path, target)
        except OSError as error:
            raise explain(error, target) from error

    def _misread(self) -> list[str]:
        """Whether texts become other tokens, which like `strange` is true of every file."""
        share = self.data["tokens"].get("plain_differing", 0)
        if share <= parity.TOKENISED:
            return []
        return [f"llama.cpp reads {share:.0%} of plain texts as other tokens than the tokenizer does"]

    def _file(self, quant: str) -> Path:
        path = self.space / f"{quant}.gguf"
        if not path.is_file():
            convert.write(self.checkpoint, path, quant, self.made_of)
        return path

    def _clear(self) -> None:
        """An earlier export's files stay beside this one's as long as they are of this model, and nothing was found
        that is wrong with each of them."""
        shared = [*self.strange, *self._misread()]
        for path in sorted((self.folder / "gguf").glob("*.gguf")):
            if origin.stale(path, self.folder):
                why = "it was made of other weights, or another tokenizer, than lie here now"
                hint = f"make it again: mirim export --quant {path.stem}"
            elif shared:
                why, hint = f"what was refused now is true of it too: {'; '.join(shared)}", _ELSEWHERE
            else:
                continue
            try:
                path.unlink()
            except OSError as error:
                raise explain(error, path) from error
            self.findings.append(Finding("info", path.stem, f"removed: {why}", hint))

    def _open(self, path: Path, label: str) -> Any:
        from mirim.models.engines import llama_cpp

        return llama_cpp.open(str(path), threads=self.threads, name=f"{self.checkpoint.name} {label}")

    def _torch(self, engine: Any, reference: parity.Measured, probes: list[list[int]]) -> dict[str, Any] | None:
        """The trained model itself: logits at the probes and greedy answers; None without torch."""
        try:
            from mirim.models.engines import hf
            from mirim.models.unpack import unpacked

            trained = hf.open(
                str(unpacked(self.folder)),
                base=str(unpacked(self.base, tune=True)) if self.base else "",
                threads=self.threads or engine.threads,
                context=engine.context,
            )
        except UsageError as error:
            self.data["torch"] = {"skipped": str(error)}
            self.findings.append(Finding("info", "torch", f"the comparison with torch was skipped: {error}"))
            return None
        assert isinstance(trained, hf.HuggingFace)
        # Python's loop over tokens is slow, and this checks the conversion: some answers show what is wrong there.
        prompts = [parity.fit(engine, item) for item in _some(self.held.golden)]
        # What transformers reads as other tokens (see `_tokens`) it may answer otherwise, by the same weights.
        prompts = [p if p is not None and trained._encode(p) == engine._encode(p) else None for p in prompts]
        row: dict[str, Any] = {
            "rows": [trained.logits(ids) for ids in probes],
            "greedy": [None if p is None else parity.answer(trained, p) for p in prompts],
            "encode": trained.encode,
        }
        self.data["torch"] = {
            "logits": parity.logits(reference.rows, row["rows"]),
            "answers": sum(p is not None for p in prompts),
            "answers_equal": _share(_some(reference.greedy), row["greedy"]),
        }
        self.strange = parity.strangeness(self.data["torch"])
        return row

    def _tokens(self, engine: Any, torch: dict[str, Any] | None) -> None:
        light = _light_tokenizer(self.checkpoint.tokenizer)
        # transformers 5 builds Llama's tokenizer anew and reads texts that begin with a blank otherwise than
        # tokenizer.json and SentencePiece do; agreeing with either is right.
        readers = [r for r in (light, torch and torch["encode"]) if r]
        if not readers:
            why = "neither transformers nor a tokenizer.json and tokenizers are at hand"
            self.data["tokens"] = {"skipped": why}
            self.findings.append(Finding("info", "tokens", f"the tokenizers were not compared: {why}"))
            return
        self.data["tokens"] = row = parity.tokens(readers, engine, _specials(self.checkpoint.tokenizer))
        if row["differing"]:
            first = row["divergences"][0]
            self.findings.append(
                Finding(
                    "warning",
                    "tokens",
                    f"{row['differing']} of {row['texts']} texts become other tokens in GGUF; first {first['text']!r}: "
                    f"{first['got'][:8]} instead of {first['expected'][:8]}",
                    "prompts with such text are read differently by llama.cpp",
                )
            )

    def _finish(self) -> Report:
        refused = {q: r["refused"] for q, r in self.data["quants"].items() if r["refused"]}
        for quant, reasons in refused.items():
            shown = self.data["quants"][quant]["divergences"][:1]
            detail = "".join(
                f"; first divergence after {d['prompt']!r}: {d['quantised']!r} instead of {d['reference']!r}"
                for d in shown
            )
            hint = _ELSEWHERE if self.strange else "use a wider quantisation"
            self.findings.append(Finding("error", quant, "refused: " + "; ".join(reasons) + detail, hint))
        kept = [q for q in self.wanted if q not in refused]
        summary = (
            f"Written: {', '.join(kept) or 'nothing'}. Refused: {', '.join(refused) or 'nothing'}. "
            f"Measured on {self.held.source} ({len(self.held.texts)} texts, {len(self.held.golden)} golden prompts, "
            f"greedy answers of {parity.LENGTH} tokens; a choice counts where F32 prefers it by "
            f"{parity.MARGIN} nats a token)."
        )
        self.data["written"], self.data["refused"] = kept, sorted(refused)
        report = Report("Export", summary, _tables(self.data), tuple(self.findings), data=self.data)
        report.save(self.folder / "reports", "parity")
        if (self.folder / BUNDLE).is_file():
            Bundle.open(self.folder).save()
        if refused:
            lines = "; ".join(f"{q}: {', '.join(r)}" for q, r in refused.items())
            raise GateRefused(
                f"the gate refused {lines}. {self.folder / 'reports' / 'parity.md'} shows where they diverge", report
            )
        return report


def _tables(data: dict[str, Any]) -> tuple[Table, ...]:
    reference = data["reference"]
    rows: list[tuple[Any, ...]] = []
    for quant, row in data["quants"].items():
        torch = row["logits_torch"]
        rows.append(
            (
                quant,
                f"{row['bytes'] / 1e6:.1f} MB",
                row["perplexity"],
                f"{row['perplexity_change']:+.2%}",
                f"{row['answers_equal']:.1%}",
                f"{row['choices_equal']:.1%}",
                f"{torch['max_abs_difference']:.4f}" if torch else "skipped",
                f"{torch['cosine']:.6f}" if torch else "skipped",
                f"{torch['argmax_agreement']:.1%}" if torch else "skipped",
                "refused" if row["refused"] else "passed",
            )
        )
    columns: tuple[str, ...] = ("file", "size", "perplexity", "against F32", "answers equal", "choices equal")
    columns += ("logits: max difference from torch", "cosine", "same likeliest token", "gate")
    tables = [Table(f"Quantisations (F32 perplexity {reference['perplexity']:.3f})", columns, tuple(rows))]
    parts = [
        (q, d["prompt"], d["reference"], d["quantised"], d["reference_choice"], d["quantised_choice"])
        for q, row in data["quants"].items()
        for d in row["divergences"]
    ]
    if parts:
        heads = ("file", "prompt", "F32 writes", "file writes", "F32 chooses", "file chooses")
        tables.append(Table("First divergences", heads, tuple(parts)))
    return tuple(tables)


def _some(items: Sequence[Any]) -> Sequence[Any]:
    """Of the golden prompts, or of the answers to them, those that torch answers too."""
    return items[:: max(1, len(items) // TORCH)]


def _share(ours: Sequence[str], theirs: Sequence[str | None]) -> float:
    """How many of torch's answers are the same; None is one that was not asked for."""
    equal = [a == b for a, b in zip(ours, theirs, strict=True) if b is not None]
    return sum(equal) / len(equal) if equal else 1.0


def _specials(folder: Path) -> list[str]:
    file = folder / "tokenizer.json"
    added = (read_json(file).get("added_tokens") or []) if file.is_file() else []
    return [str(a["content"]) for a in added if a.get("special")][:8]


def _light_tokenizer(folder: Path) -> Callable[[str], list[int]] | None:
    """Token ids by the tokenizers library alone, which needs no torch."""
    try:
        import tokenizers

        loaded = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception:
        # The library raises bare Exception for a missing or foreign file; the report says that it was skipped.
        return None
    return lambda text: list(loaded.encode(text).ids)


@contextlib.contextmanager
def _workspace(folder: Path) -> Any:
    """A temporary folder on the model's own disk, so that finished files move into place at once."""
    for old in folder.glob(f"{_TEMPORARY}*"):
        if not _alive(old.name.removeprefix(_TEMPORARY).partition("-")[0]):
            shutil.rmtree(old, ignore_errors=True)
    try:
        space = tempfile.mkdtemp(prefix=f"{_TEMPORARY}{os.getpid()}-", dir=folder)
    except OSError as error:
        raise explain(error, folder) from error
    try:
        yield Path(space)
    except MemoryError as error:
        raise MirimError(
            f"not enough memory to export {folder}; close other programs or use another machine"
        ) from error
    finally:
        shutil.rmtree(space, ignore_errors=True)


def _alive(number: str) -> bool:
    """Whether an export with this process id may still be at work; a killed one leaves its folder behind."""
    try:
        os.kill(int(number), 0)
    except (ValueError, ProcessLookupError):
        return False
    except OSError:
        return True
    return True
