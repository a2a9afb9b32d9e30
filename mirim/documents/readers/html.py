"""Web pages: the content as Markdown, without menus, banners and scripts."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mirim.core.extras import need
from mirim.documents.draft import Draft, Refused
from mirim.documents.furniture import furniture
from mirim.documents.markdown import emboldened
from mirim.documents.text import decode

SUFFIXES = (".html", ".htm", ".xhtml", ".shtml")
MEDIA = "text/html"
VERSION = 6
ISOLATE = True
#: The name alone is believed: pieces of pages begin with any tag.
TEXTUAL = True

_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([\w-]+)", re.IGNORECASE)
_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
#: What browsers without frames are shown is the text of such a page; the parser would take its tags for text.
_FRAMELESS = re.compile(r"</?noframes\b[^>]{0,200}>", re.IGNORECASE)
_OPENING = re.compile(
    rb"\A(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html[\s>])", re.I | re.S
)


def sniff(head: bytes, path: Path) -> bool:
    return bool(_OPENING.match(head)) and path.suffix.lower() not in (".md", ".markdown", ".eml")


def read(path: Path) -> Draft:
    data = path.read_bytes()
    text, notes = decode(data, charset(data))
    body, title, metadata = page(text)
    return Draft(body, title=title, metadata=metadata, notes=tuple(notes))


def charset(data: bytes) -> str:
    """The encoding that a page declares, '' where it declares none that it can be in."""
    declared = _CHARSET.search(data[:4096])
    name = declared.group(1).decode("ascii") if declared else ""
    # What could be found in single bytes is in single bytes, whatever it says.
    return "" if name.lower().startswith(("utf-16", "utf-32", "ucs-")) else name


def page(text: str) -> tuple[str, str, dict[str, str]]:
    """Markdown, title and metadata of a page."""
    markup: Any = need("mirim.documents.markup", "documents")
    html = need("lxml.html", "documents")
    etree = need("lxml.etree", "documents")
    text = _FRAMELESS.sub("", _DECLARATION.sub("", text)).replace("\x00", "")
    parser = html.HTMLParser(recover=True, remove_comments=True, remove_pis=True, huge_tree=True)
    try:
        root = html.document_fromstring(text, parser=parser)
    except etree.ParserError as error:
        raise Refused("holds no text") from error
    if any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log):
        # The parser stops there and would lose the rest without a word.
        raise Refused("is nested too deeply to be read: elements within elements, more than 2048 levels")
    title = " ".join((root.findtext(".//title") or "").split())
    metadata = {"language": root.get("lang") or root.get("{http://www.w3.org/XML/1998/namespace}lang") or ""}
    for meta in root.iter("meta"):
        name = (meta.get("name") or meta.get("property") or "").lower()
        if name in ("description", "author", "date", "dcterms.date", "article:published_time"):
            metadata[name.rpartition(":")[2]] = meta.get("content") or ""
    body = root.find("body")
    if body is None:
        body = root
    furniture(body)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, 20_000))
    try:
        content = emboldened(markup.convert(body))
    finally:
        sys.setrecursionlimit(limit)
    return content, _site(title, content), metadata


def _site(title: str, content: str) -> str:
    """A page's title without the name of the site, when its main heading says the rest."""
    first = re.search(r"^# +(.+)$", content, re.MULTILINE)
    heading = re.sub(r"\[([^\]]*)\]\([^)]*\)|[*_`]", r"\1", first.group(1)).strip() if first else ""
    if heading and re.match(re.escape(heading) + r"\s*[|\-–—·:»]", title):
        return heading
    return title or heading
