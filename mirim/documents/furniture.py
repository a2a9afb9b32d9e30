"""What stands around the text of a page and no reader of it reads: menus, banners, notices of cookies, its footer."""

from __future__ import annotations

import re
from typing import Any

from mirim.documents.elements import BLOCKS, OPENING, content, opens

_ROLES = frozenset("navigation search dialog alertdialog".split())
#: Class names and ids of what surrounds a page's content.
_NAMES = frozenset(
    "cookie cookies consent cookie-banner cookie-notice cookie-consent cookiebar cookie-bar gdpr lgpd breadcrumb "
    "breadcrumbs navbar nav-bar navigation site-nav main-nav main-menu site-menu skip-link skiplink share "
    "share-buttons sharing social social-links social-media newsletter popup modal advert advertisement ads "
    "mw-jump-link".split()
)
#: Words in such names of what is a menu or a column beside the text if links are all that it holds: a restaurant's menu
#: holds more.
_AROUND = frozenset("menu menus nav navbar navigation navegacao sidebar footer rodape".split())
#: What a page says of itself: whose it is, and that it uses cookies, if a click is asked for.
_RIGHTS = re.compile(
    r"(?:copyright )?(?:©|\(c\)) ?(?:19|20)\d\d\b.*"
    r"|.{0,80}\b(?:todos os direitos reservados|all rights reserved)\b.{0,60}",
    re.I,
)
_COOKIES = re.compile(
    r"(?:(?:this|our) (?:web)?site|we|este site|nosso site|nós|utilizamos|usamos)\b.{0,40}\bcookies\b", re.I
)
_SAID = 300
#: Of a text's characters, those of links and headings from which on it holds nothing else.
_LINKED = 0.9
#: What a link gives that is no page.
_ASKED_FOR = re.compile(r"^(?:tel|mailto):|\.(?:pdf|docx?|xlsx?|od[tsp]|zip)(?:[?#]|$)", re.I)


def furniture(root: Any) -> None:
    """Take out menus, banners, cookie notices and the page's footer, unless that leaves next to nothing.

    A footer goes when the page has content beside it; its contact lines stay when they are an <address>.
    """
    whole = len(content(root))
    shown = _shown(root)
    doomed = [e for e in root.iter() if isinstance(e.tag, str) and _is_furniture(e, shown)]
    known = set(doomed)
    lost = sum(len(content(e)) for e in doomed if known.isdisjoint(e.iterancestors()))
    if whole - lost < 0.15 * whole:
        return
    for element in doomed:
        parent = element.getparent()
        if parent is not None:
            kept = list(element.iter("address")) if element.tag == "footer" else []
            _take_out(element)
            for address in kept:
                parent.append(address)


def _shown(root: Any) -> set[str]:
    """The ids of what a button or a link of the page opens and closes."""
    found = set[str]()
    for element in root.iter("button", "a", "summary", "div", "h2", "h3", "h4", "dt"):
        for name in ("aria-controls", "data-target", "data-bs-target", *["href"] * (element.tag == "a")):
            value = element.get(name) or ""
            found.update(one.removeprefix("#") for one in value.split() if name == "aria-controls" or one[0] == "#")
    return found


def _opened(element: Any, shown: set[str]) -> bool:
    """Whether what is hidden at first is the answer below a question that opens it."""
    before = element.getprevious()
    if element.get("id") in shown or before is None:
        return element.get("id") in shown
    return before.tag in OPENING or (before.tag == "button" and opens(before))


def _is_furniture(element: Any, shown: set[str]) -> bool:
    tag = element.tag
    if tag in ("html", "body", "main", "article"):
        return False
    if tag in ("nav", "dialog") or element.get("role", "").lower() in _ROLES:
        return True
    hidden = element.get("hidden") is not None or element.get("aria-hidden") == "true"
    if hidden or "display:none" in element.get("style", "").replace(" ", "").lower():
        return not _opened(element, shown)
    if tag in ("p", "div", "small", "span", "li") and _of_itself(element):
        return True
    if tag == "footer":
        return not any(a.tag in ("article", "section", "blockquote") for a in element.iterancestors())
    names = f"{element.get('id', '')} {element.get('class', '')}".lower().replace("_", "-").split()
    around = tag in ("div", "section", "aside", "ul", "ol") and not _AROUND.isdisjoint("-".join(names).split("-"))
    if around and _linked(element):
        return True
    if tag not in ("div", "section", "aside", "ul", "ol", "p", "form", "header", "a") or _NAMES.isdisjoint(names):
        return False
    # A banner asks for a click; a chapter on the same matter has a heading and text.
    titled = next(element.iter("h1", "h2", "h3", "h4"), None) is not None
    return not titled or next(element.iter("button", "input"), None) is not None


def _of_itself(element: Any) -> bool:
    """Whether an element without blocks in it is the page's line of copyright, or a notice of cookies beside its
    button."""
    said = content(element).strip() if _plain(element) else ""
    if not said or len(said) > _SAID or _RIGHTS.fullmatch(said):
        return 0 < len(said) <= _SAID
    beside = (element, *element.itersiblings(), *element.itersiblings(preceding=True))
    return bool(_COOKIES.match(said)) and any(
        next(one.iter("button", "input"), None) is not None for one in beside if _plain(one)
    )


def _plain(element: Any) -> bool:
    """Whether an element has no blocks in it."""
    return not any(child.tag in BLOCKS for child in element)


def _linked(element: Any) -> bool:
    """Whether an element holds several links to pages and, but for headings, nothing else; whom to call, and which
    forms there are, may be asked for."""
    links = list(element.iter("a"))
    if any(_ASKED_FOR.search(link.get("href", "")) for link in links):
        return False
    headings = [h for h in element.iter("h1", "h2", "h3", "h4", "h5", "h6") if next(h.iter("a"), None) is None]
    told = sum(_letters(e) for e in (*links, *headings))
    return len(links) > 1 and told >= _LINKED * _letters(element)


def _letters(element: Any) -> int:
    """How many characters an element shows, blanks left out."""
    return len("".join(content(element).split()))


def _take_out(element: Any) -> None:
    """Remove an element and keep the text after it."""
    parent, tail = element.getparent(), element.tail
    if tail:
        before = element.getprevious()
        if before is not None:
            before.tail = (before.tail or "") + tail
        else:
            parent.text = (parent.text or "") + tail
    parent.remove(element)
