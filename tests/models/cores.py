"""What the core's tests share."""

from __future__ import annotations

#: Long enough for several pages and pieces of attention; it repeats itself, so that drafts are made.
LONG = "O paciente deve ficar em jejum por oito horas antes do exame de sangue. The nurse said so, 2024! " * 6
#: Windows that end within a page, at its end, and beyond a piece of attention.
WINDOWS = (24, 128, 200)


def opened(path, **options):
    from mirim.models.engines import native

    return native.open(str(path), **{"threads": 1, **options})


def ids_of(engine, text, sampling, **more):
    return [t for d in engine.generate(text, sampling, **more) for t in d.token_ids]
