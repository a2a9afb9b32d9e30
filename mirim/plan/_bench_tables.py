"""What `mirim bench` measured, as figures and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mirim.core.report import Finding, Table

#: What a round measures; of speeds (tok/s) more is better, of seconds less.
MEASURES = {
    "prefill_tok_s": "prefill, tok/s",
    "decode_tok_s": "decode, tok/s",
    "ttft_cold_s": "first token, cold, ms",
    "ttft_cached_s": "first token, cached prefix, ms",
}
_SPEEDS = ("prefill_tok_s", "decode_tok_s")
_REST = (
    "engine",
    "threads",
    "memory, MiB",
    "model file, MiB",
    "decode: share of bandwidth",
    "prefill: share of matmul",
)


def quantile(values: Sequence[float], share: float) -> float:
    """The `share` quantile, between neighbours in proportion (type 7 of Hyndman and Fan, 1996)."""
    rows = sorted(values)
    at = (len(rows) - 1) * share
    low = int(at)
    return rows[low] + (rows[min(low + 1, len(rows) - 1)] - rows[low]) * (at - low)


def ratios_of(one: Sequence[Mapping[str, float]], other: Sequence[Mapping[str, float]]) -> list[dict[str, Any]]:
    """Round by round, how many times as fast the first is: {'measure', 'median', 'p10', 'p90', 'pairs'} a measure."""
    out = []
    for name in MEASURES:
        pairs = [(a[name], b[name]) for a, b in zip(one, other, strict=True) if name in a and name in b]
        values = [a / b if name in _SPEEDS else b / a for a, b in pairs]
        if values:
            median, low, high = (quantile(values, q) for q in (0.5, 0.1, 0.9))
            out.append({"measure": name, "median": median, "p10": low, "p90": high, "pairs": len(values)})
    return out


def tables(data: Mapping[str, Any]) -> tuple[Table, ...]:
    """The tables of a report whose JSON is `data`."""
    speeds, rest = [], []
    for row in data["engines"]:
        for run in row["runs"]:
            cells = [_spread(run[n], run["spread"][n], 1 if n in _SPEEDS else 1000) for n in MEASURES]
            speeds.append((row["engine"], run["threads"], *cells))
            sizes = (f"{run['rss_bytes'] / 2**20:,.0f}", f"{run['model_file_bytes'] / 2**20:,.0f}")
            shares = (_percent(run["bandwidth_fraction"]), _percent(run["matmul_fraction"]))
            rest.append((row["engine"], run["threads"], *sizes, *shares))
    pairs: dict[tuple[Any, ...], dict[str, str]] = {}
    for ratio in data["ratios"]:
        cell = _spread(ratio["median"], (ratio["p10"], ratio["p90"]), 1)
        pairs.setdefault((ratio["of"], ratio["to"], ratio["threads"]), {})[ratio["measure"]] = cell
    roofs = [
        (r["threads"], _number(r["bandwidth_gb_s"]), _number(r["matmul_gflops"])) for r in data["machine"]["roofs"]
    ]
    out = [Table("Speed", ("engine", "threads", *MEASURES.values()), tuple(speeds))]
    if pairs:
        columns = ("engine", "beside", "threads", *(title.rpartition(",")[0] for title in MEASURES.values()))
        rows = tuple((*key, *(cells.get(n, "none") for n in MEASURES)) for key, cells in pairs.items())
        out.append(Table("Times as fast, pair by pair", columns, rows))
    out.append(Table("Memory, and the share of what the machine can do", _REST, tuple(rest)))
    out.append(Table("This machine", ("threads", "memory bandwidth, GB/s", "float32 matmul, GFLOP/s"), tuple(roofs)))
    return tuple(out)


def above(engines: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Why a share can be more than all."""
    runs = [run for row in engines for run in row["runs"]]
    out = []
    if any((run["bandwidth_fraction"] or 0) > 1 for run in runs):
        what = "a share above 100 %: the weights fit the processor's cache, which is faster than memory"
        out.append(Finding("info", "bandwidth", what))
    if any((run["matmul_fraction"] or 0) > 1 for run in runs):
        what = "a share above 100 %: the engine multiplies small integers, which are faster than float32"
        out.append(Finding("info", "matmul", what))
    return out


def _spread(middle: float | None, ends: Sequence[float] | None, unit: int) -> str:
    if middle is None or ends is None:
        return "none"
    return f"{_number(middle * unit)} ({_number(ends[0] * unit)} to {_number(ends[1] * unit)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.0%}"
