"""Small drawings for reports, as SVG: no library, no script, sharp at any size."""

from __future__ import annotations

import html
from collections.abc import Sequence

from mirim.core.report import Figure
from mirim.evals.interval import Interval

_COLOURS = ("#2a7f62", "#8a8f98")


def whiskers(title: str, rows: Sequence[tuple[str, Sequence[tuple[str, Interval]]]]) -> Figure:
    """For each figure its value and interval, one line for each system."""
    left, width, step = 290, 380, 22
    parts: list[str] = []
    y = 44
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = left + tick * width
        parts.append(f'<line x1="{x}" y1="18" x2="{x}" y2="100%" stroke="#8884"/>')
        parts.append(f'<text x="{x}" y="26" text-anchor="middle">{tick:g}</text>')
    said = []
    for name, systems in rows:
        parts.append(f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{html.escape(name)}</text>')
        for i, (system, interval) in enumerate(systems):
            at, colour = y + i * 12, _COLOURS[i % len(_COLOURS)]
            x1, x2, x = (left + v * width for v in (interval.low, interval.high, interval.value))
            label = html.escape(f"{name}, {system}: {interval}")
            parts.append(f'<g stroke="{colour}" fill="{colour}"><title>{label}</title>')
            parts.append(f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{at}" y2="{at}" stroke-width="2"/>')
            parts.append(f'<circle cx="{x:.1f}" cy="{at}" r="4"/></g>')
            said.append(f"{name}, {system}: {interval}")
        y += step + 12 * (len(systems) - 1)
    names = list(dict.fromkeys(system for _, systems in rows for system, _ in systems))
    for i, system in enumerate(names):
        parts.append(f'<text x="4" y="{12 + 14 * i}" fill="{_COLOURS[i % len(_COLOURS)]}">{html.escape(system)}</text>')
    return Figure(title, _svg(left + width + 30, y, parts), "; ".join(said))


def lines(
    title: str, curves: Sequence[tuple[str, Sequence[tuple[float, float]]]], x_label: str, y_label: str
) -> Figure:
    """Curves over the unit square."""
    size, pad = 260, 44
    parts = [f'<rect x="{pad}" y="10" width="{size}" height="{size}" fill="none" stroke="#8886"/>']
    for i, (name, points) in enumerate(curves):
        colour = _COLOURS[i % len(_COLOURS)]
        path = " ".join(f"{pad + x * size:.1f},{10 + (1 - y) * size:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{pad + 8}" y="{26 + 16 * i}" fill="{colour}">{html.escape(name)}</text>')
    parts.append(f'<text x="{pad + size / 2}" y="{size + 38}" text-anchor="middle">{html.escape(x_label)}</text>')
    turned = f'transform="rotate(-90 14 {size / 2})" x="14" y="{size / 2}"'
    parts.append(f'<text {turned} text-anchor="middle">{html.escape(y_label)}</text>')
    for value in (0, 0.5, 1):
        parts.append(f'<text x="{pad + value * size}" y="{size + 24}" text-anchor="middle">{value:g}</text>')
        parts.append(f'<text x="{pad - 6}" y="{14 + (1 - value) * size}" text-anchor="end">{value:g}</text>')
    said = "; ".join(f"{name}: " + ", ".join(f"{x:.2f} {y:.2f}" for x, y in _few(points)) for name, points in curves)
    return Figure(title, _svg(size + pad + 20, size + 48, parts), f"{y_label} over {x_label}. {said}")


def _few(points: Sequence[tuple[float, float]], most: int = 11) -> list[tuple[float, float]]:
    """Points enough to say in words what a curve shows."""
    step = max(1.0, (len(points) - 1) / (most - 1))
    return [points[round(i * step)] for i in range(min(most, len(points)))]


def _svg(width: float, height: float, parts: list[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" font-family="system-ui, sans-serif" '
        f'font-size="12" fill="currentColor">{"".join(parts)}</svg>'
    )
