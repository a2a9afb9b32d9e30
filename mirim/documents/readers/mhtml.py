"""Pages that a browser saved in one file (MHTML): its page, through the reader of web pages."""

from __future__ import annotations

import email
import email.policy
import re
from pathlib import Path

from mirim.documents.draft import Draft, Refused
from mirim.documents.readers.html import charset, page
from mirim.documents.text import decode, unscramble

SUFFIXES = (".mhtml", ".mht")
MEDIA = "multipart/related"
VERSION = 1
ISOLATE = True

_HEAD = re.compile(rb"^content-type:\s*(?:multipart/related|text/html)", re.IGNORECASE | re.MULTILINE)


def sniff(head: bytes, path: Path) -> bool:
    # Mail may consist of the same parts, and is told by its name.
    return path.suffix.lower() in SUFFIXES and bool(_HEAD.search(head))


def read(path: Path) -> Draft:
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    parts = [part for part in message.walk() if part.get_content_type() == "text/html"]
    start = str(message.get_param("start") or "")
    main = next((part for part in parts if start and str(part.get("content-id", "")).strip() == start), None)
    texts, notes = list[str](), list[str]()
    title, facts = "", dict[str, str]()
    # Frames are pages of their own, which the one that holds them only names.
    for part in ([main] if main else []) + [part for part in parts if part is not main]:
        payload = part.get_payload(decode=True)
        if not isinstance(payload, bytes) or not payload.strip():
            continue
        text, found = decode(payload, part.get_content_charset() or charset(payload))
        try:
            body, name, said = page(text)
        except Refused:
            continue
        notes += found
        texts.append(body)
        title, facts = (title, facts) if len(texts) > 1 else (name, said)
    if not texts:
        raise Refused("holds no page that can be read; open it in a browser and save it as HTML")
    subject = " ".join(unscramble(str(message.get("subject", "")))[0].split())
    return Draft("\n\n".join(texts), title or subject, metadata=facts, notes=tuple(dict.fromkeys(notes)))
