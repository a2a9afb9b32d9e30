"""The web page's files: read once, served by name from a fixed list, with an ETag."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from mirim.server.door import Answer, Visit

FOLDER = Path(__file__).resolve().parent / "web"
KINDS = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
PATHS = {
    "/": "index.html",
    "/admin": "admin.html",
    "/favicon.ico": "bee.svg",
    **{f"/web/{p.name}": p.name for p in sorted(FOLDER.iterdir()) if p.suffix in KINDS and p.suffix != ".html"},
}


@cache
def _file(name: str) -> tuple[bytes, str, str]:
    data = (FOLDER / name).read_bytes()
    return data, KINDS[Path(name).suffix], f'"{hashlib.sha256(data).hexdigest()[:20]}"'


async def page(name: str, visit: Visit) -> Answer:
    data, kind, tag = _file(name)
    visit.headers |= {"etag": tag, "cache-control": "no-cache"}
    if visit.request.headers.get("if-none-match") == tag:
        return 304, b"", kind
    return 200, data, kind
