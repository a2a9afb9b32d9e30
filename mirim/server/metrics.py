"""What the server counts: in Prometheus' text format for machines, as a snapshot for the admin view."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

Labels = tuple[tuple[str, str], ...]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_HELP = {
    "mirim_requests_total": "Requests answered, by route, model and status.",
    "mirim_tokens_total": "Tokens read (prompt, of these cached) and written (completion), by model.",
    "mirim_cancelled_total": "Requests whose client went away, by model.",
    "mirim_warmed_total": "Remembered system prompts that were computed before they were asked for.",
    "mirim_abstained_total": "Questions that the assistant did not answer, by model.",
}


@dataclass(slots=True)
class Histogram:
    """Counts by upper bound in seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(_SECONDS) + 1))
    sum: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(_SECONDS, seconds)] += 1
        self.sum += seconds


@dataclass(slots=True)
class Metrics:
    """Used from the event loop only, so nothing here is locked."""

    counters: dict[str, dict[Labels, float]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(float)))
    histograms: dict[str, dict[Labels, Histogram]] = field(default_factory=lambda: defaultdict(dict))
    recent: deque[tuple[float, float, float, int]] = field(default_factory=lambda: deque(maxlen=2048))
    #: By the clock that nobody sets.
    started: float = field(default_factory=time.monotonic)

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        self.counters[name][tuple(sorted(labels.items()))] += amount

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        self.histograms[name].setdefault(tuple(sorted(labels.items())), Histogram()).add(seconds)

    def finished(self, total: float, first: float, tokens: int) -> None:
        """One generation: seconds in all, seconds to its first token, tokens written."""
        self.recent.append((time.monotonic(), total, first, tokens))

    def text(self, gauges: Iterable[tuple[str, str, Labels, float]] = ()) -> str:
        """Prometheus' exposition format; gauges are (name, help, labels, value)."""
        out: list[str] = []
        for name, rows in sorted(self.counters.items()):
            out += [f"# HELP {name} {_HELP.get(name, name)}", f"# TYPE {name} counter"]
            out += [f"{name}{_braces(labels)} {_number(value)}" for labels, value in sorted(rows.items())]
        for name, parts in sorted(self.histograms.items()):
            out += [f"# HELP {name} Seconds.", f"# TYPE {name} histogram"]
            for labels, histogram in sorted(parts.items()):
                total = 0
                for bound, number in zip((*map(str, _SECONDS), "+Inf"), histogram.counts, strict=True):
                    total += number
                    out.append(f"{name}_bucket{_braces((*labels, ('le', bound)))} {total}")
                out.append(f"{name}_sum{_braces(labels)} {histogram.sum:.6f}")
                out.append(f"{name}_count{_braces(labels)} {total}")
        seen: set[str] = set()
        for name, text, labels, value in sorted(gauges):
            if name not in seen:
                out += [f"# HELP {name} {text}", f"# TYPE {name} gauge"]
                seen.add(name)
            out.append(f"{name}{_braces(labels)} {_number(value)}")
        return "\n".join(out) + "\n"

    def snapshot(self, window: float = 300.0) -> dict[str, object]:
        """Percentiles and speed over the last `window` seconds."""
        since = time.monotonic() - window
        rows = [r for r in self.recent if r[0] >= since]
        minute = time.monotonic() - 60
        return {
            "window_seconds": window,
            "requests": len(rows),
            "total_seconds": _percentiles([r[1] for r in rows]),
            "first_token_seconds": _percentiles([r[2] for r in rows]),
            "tokens_per_second": round(sum(r[3] for r in rows if r[0] >= minute) / 60, 2),
            "uptime_seconds": round(time.monotonic() - self.started, 1),
        }


def _percentiles(values: list[float]) -> dict[str, float | None]:
    """Nearest-rank percentiles; null when there is nothing to rank."""
    ordered = sorted(values)
    return {
        f"p{p}": round(ordered[max(0, -(-p * len(ordered) // 100) - 1)], 4) if ordered else None
        for p in (50, 90, 95, 99)
    }


def _braces(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{k}="{_escape(v)}"' for k, v in labels) + "}"


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
