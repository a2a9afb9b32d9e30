"""What a verb found, once, for people and for machines: Markdown, HTML, JSON."""

from __future__ import annotations

import html
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from mirim.core.files import write_json, write_text

Severity = Literal["error", "warning", "info"]


#: What steers a terminal: control characters other than tabs and line ends.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def visible(text: str) -> str:
    """The text with control characters as Python writes them: names of files come from anywhere."""
    return _STEERING.sub(lambda m: m.group().encode("unicode_escape").decode(), text)


class Printable(Protocol):
    """What a verb returns: the command line prints one form or the other."""

    def to_json(self) -> dict[str, Any]: ...

    def to_text(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a person should know: how bad, where, what, and what to do about it."""

    severity: Severity
    where: str
    what: str
    do: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing as an SVG string; `alt` says in words what it shows."""

    title: str
    svg: str
    alt: str


@dataclass(frozen=True, slots=True)
class Report:
    """`data` is what --json prints; title, summary, tables, findings and figures are for reading."""

    title: str
    summary: str = ""
    tables: tuple[Table, ...] = ()
    findings: tuple[Finding, ...] = ()
    figures: tuple[Figure, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        row = dict(self.data)
        if self.findings:
            row.setdefault("findings", [asdict(f) for f in self.findings])
        return row

    def to_text(self) -> str:
        return self.to_markdown()

    def to_markdown(self) -> str:
        parts = [f"# {self.title}"]
        if self.summary:
            parts.append(self.summary)
        for table in self.tables:
            head = "| " + " | ".join(table.columns) + " |\n|" + " --- |" * len(table.columns)
            rows = "\n".join("| " + " | ".join(_cell(c) for c in row) + " |" for row in table.rows)
            parts.append(f"## {table.title}\n\n{head}\n{rows}" if table.title else f"{head}\n{rows}")
        if self.findings:
            where = [f.where.replace("\n", "\\n") for f in self.findings]
            lines = [
                f"- **{f.severity}** {at}: {f.what}" + (f" — {f.do}" if f.do else "")
                for f, at in zip(self.findings, where, strict=True)
            ]
            parts.append("## Findings\n\n" + "\n".join(lines))
        return "\n\n".join(parts) + "\n"

    def to_html(self) -> str:
        """One self-contained page: no scripts, nothing fetched, readable in light and dark."""
        out = [f"<h1>{html.escape(self.title)}</h1>"]
        out += [f"<p>{html.escape(p)}</p>" for p in self.summary.split("\n\n") if p.strip()]
        for figure in self.figures:
            caption = f"<figcaption>{html.escape(figure.title)}</figcaption>"
            out.append(f'<figure role="img" aria-label="{html.escape(figure.alt)}">{figure.svg}{caption}</figure>')
        for table in self.tables:
            head = "".join(f"<th>{html.escape(c)}</th>" for c in table.columns)
            rows = "".join(
                "<tr>" + "".join(f"<td>{html.escape(_cell(c, '|'))}</td>" for c in row) + "</tr>" for row in table.rows
            )
            out.append(f"<h2>{html.escape(table.title)}</h2><table><tr>{head}</tr>{rows}</table>")
        if self.findings:
            items = "".join(
                f'<li class="{f.severity}"><b>{f.severity}</b> {html.escape(f.where)}: {html.escape(f.what)}'
                f"{' — ' + html.escape(f.do) if f.do else ''}</li>"
                for f in self.findings
            )
            out.append(f"<h2>Findings</h2><ul>{items}</ul>")
        return _PAGE.format(title=html.escape(self.title), body="\n".join(out))

    def save(self, folder: Path, name: str) -> Path:
        """Write name.json, name.md and name.html into `folder`; return the Markdown file."""
        write_json(folder / f"{name}.json", self.to_json())
        write_text(folder / f"{name}.html", self.to_html())
        write_text(folder / f"{name}.md", self.to_markdown())
        return folder / f"{name}.md"


def _cell(value: Any, bar: str = "\\|") -> str:
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".") if abs(value) < 1000 else f"{value:,.0f}"
    return str(value).replace("\n", " ").replace("|", bar)


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }}
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse; display: block; overflow-x: auto }}
th, td {{ padding: .3rem .6rem; border-bottom: 1px solid #8884; text-align: left; vertical-align: top }}
figure {{ margin: 1rem 0 }} svg {{ max-width: 100%; height: auto }}
.error b {{ color: #c33 }} .warning b {{ color: #b70 }}
</style></head><body>
{body}
</body></html>
"""
