"""secrets: passwords and keys, which a model would repeat to anybody who asks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mirim.audit.identifiers import masked
from mirim.core.project import Project
from mirim.core.report import Finding
from mirim.core.types import Document

_NAMED = re.compile(
    r"\b(password|passwd|passcode|senha|api[ _-]?key|chave de api|secret|access[ _-]?token|token de acesso)\b"
    r"[*_`\"']{0,3}\s*(?:(?:\bis\b|\bé\b)?\s*[:=]|\bis\b|\bé\b)\s*[*_`\"']{0,3}(?=[^\s*`\"']*(?:\d|[@#$%&!?]\w))([^\s*`\"',;]{5,})",
    re.IGNORECASE,
)
_KEYS = (
    ("private key", re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----")),
    ("AWS access key", re.compile(r"\bAKIA[0-9A-Z]{16}\b")),
    ("GitHub token", re.compile(r"\bgh[pousr]_[A-Za-z0-9]{30,}\b")),
    ("API key", re.compile(r"\bsk-[A-Za-z0-9_-]{20,}\b")),
    ("Slack token", re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}\b")),
    ("Google API key", re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b")),
    ("web token", re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}")),
)


def check(project: Project, documents: Iterator[Document]) -> Iterator[Finding]:
    """An error for each secret, masked."""
    for document in documents:
        for match in _NAMED.finditer(document.text):
            yield _finding(document, match.group(1).lower(), match.group(2).rstrip(".)"))
        for name, pattern in _KEYS:
            for match in pattern.finditer(document.text):
                yield _finding(document, name, match.group())


def _finding(document: Document, name: str, value: str) -> Finding:
    shown = name if name == "private key" else f"{name}: {masked(value)}"
    return Finding(
        "error", document.id, f"looks like a secret, {shown}", "change the secret and take it out of the source"
    )
