"""`mirim evaluate`: held-out questions of a project, or a model on pairs, reading or plain text."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Literal

from mirim.core.errors import UsageError
from mirim.core.project import Project
from mirim.core.report import Report
from mirim.core.verbs import explicit, said, verb


@verb
def evaluate(
    project: Project | None = None,
    *,
    model: str = "",
    base: str = "",
    questions: Path | None = None,
    policy: Literal["", "quote", "grounded", "free"] = "",
    limit: int = 0,
    pairs: Path | None = None,
    reading: Path | None = None,
    perplexity: Path | None = None,
    labels: Path | None = None,
    engine: str = "",
    quant: str = "",
    seed: int = 0,
) -> Report:
    """Measure with confidence intervals, through the functions that people use.

    Without a FILE option: the project's evals/*.jsonl, the tuned model beside its base.

    Args:
        model: Model to measure instead of the project's own.
        base: What to compare with; default is the model's base, or search alone for a model from scratch.
        questions: Questions to ask instead of evals/*.jsonl.
        policy: quote, grounded or free; the project's own when empty.
        limit: Use at most so many questions, pairs or texts, spread evenly; 0 takes all.
        pairs: JSON lines with sentence_good and sentence_bad: which does the model find likelier?
        reading: Reading comprehension in SQuAD's JSON format; answers are generated.
        perplexity: JSON lines (.zst too) with text: bits per byte.
        labels: JSON lines or a table (CSV) with text and label: how well are labels told by what the other texts teach,
            and by their names alone? No model is asked.
        engine: Engine to run the model with; chosen by the model's format when empty.
        quant: With a FILE option, weights of a folder or an adapter as q8_0, q4_0, bf16, f16 or f32.
        seed: Seed of the resampling.
    """
    files = {"pairs": pairs, "reading": reading, "perplexity": perplexity, "labels": labels}
    given = {name: file for name, file in files.items() if file is not None}
    # What is typed wins over what mirim.toml or the environment say of every call.
    given = {name: file for name, file in given.items() if name in explicit()} or given
    if len(given) > 1:
        raise UsageError("one of --pairs, --reading, --perplexity, --labels at a time")
    if limit < 0:
        raise UsageError(f"--limit {limit} is negative; 0 asks everything")
    if seed < 0:
        raise UsageError(f"--seed {seed} is negative; a seed is a whole number from 0 on")
    if given:
        ((what, path),) = given.items()
        if vain := said("evaluate", project, base=base, policy=policy, questions=questions):
            raise UsageError(f"{' and '.join(vain)} say nothing to a model by itself; leave them out")
        if not path.exists() or path.is_dir():
            raise UsageError(f"{path} does not exist" if not path.exists() else f"{path} is a folder")
        if what == "labels":
            from mirim.evals.labels import measure as measure_labels

            if vain := said("evaluate", project, model=model, engine=engine, quant=quant):
                raise UsageError(f"{' and '.join(vain)} say nothing to --labels, which asks no model; leave them out")
            return measure_labels(path, limit)
        from mirim.models.engine import open_engine
        from mirim.models.resolve import default

        if model:
            # It needs no project, but may be the name of one of its bundles.
            with contextlib.suppress(UsageError):
                project = project or Project.find()
        else:
            model, project = default(project, "name one with --model REF")
        running = open_engine(model, engine=engine, project=project, quant=quant)
        try:
            if what == "pairs":
                from mirim.evals.pairs import measure as measure_pairs

                return measure_pairs(running, path, model, limit)
            if what == "reading":
                from mirim.evals.reading import measure as measure_reading

                return measure_reading(running, path, model, limit)
            from mirim.evals.perplexity import measure as measure_perplexity

            return measure_perplexity(running, path, model, limit)
        finally:
            running.close()
    if quant:
        raise UsageError("--quant goes with --pairs, --reading or --perplexity; a project's model is measured as it is")
    from mirim.evals.compare import compare

    return compare(project or Project.find(), model, base, questions, policy, limit, engine, seed)
