"""What a request for several calls is for each of them: "Weather in Lisbon and in Porto" is "Weather in Lisbon" and
"Weather in Porto"; "Close ticket 318 and book Oak" is each of its halves. Whether these are requests in their own right
is for whoever can tell which function serves them. One that says "rice and beans" is not taken apart to begin with.
"""

from __future__ import annotations

import itertools
import re

#: Parts at most: each is looked at as a request; and characters of a request that is taken apart.
MOST, LONGEST = 6, 600
#: What stands between values, and before the last of them: "Cambuí, in Campinas" counts up nothing.
_COMMA, _AND = r"\s*,\s+", r"(?:\s*,)?\s+(?:and|e|as well as|bem como)\s+"
#: What stands between what is to be done.
_THEN = re.compile(
    r"(?:\s*[,;])?\s+(?:and|e)(?:\s+(?:then|also|depois|também))?\s+|(?<=[.;?!])\s+(?:(?:and|e)\s+)?|\n+", re.IGNORECASE
)
#: A name is nothing to do: "between Mel and Forte das Cobras".
_NAMED = re.compile(r"(?!I\b)[A-ZÀ-Ý]")
#: What depends on something else is no request by itself.
_IF = re.compile(r"\b(?:if|unless|when|until|se|caso|quando|até|before|antes)\b", re.IGNORECASE)
#: Prepositions, with their articles, that are the same one.
_BEFORE = (
    r"in(?: the)?",
    r"at(?: the)?",
    r"for(?: the)?",
    r"of(?: the)?",
    r"from(?: the)?",
    r"to(?: the)?",
    r"about(?: the)?",
    r"(?:em|n[oa]s?)",
    r"d[aeo]s?",
    r"para(?: [oa]s?)?",
    r"pr[oa]s?",
    r"sobre(?: [oa]s?)?",
)
#: A name, or a number of something.
_NAME = r"[A-ZÀ-Ý][\w'’.-]*(?:\s+(?:(?:of|the|d[aeo]s?)\s+)?[A-ZÀ-Ý][\w'’-]*)*"
_CODE = r"[A-Z]{0,4}[-#]?\d[\w-]*"
_ONE = rf"(?-i:{_CODE}|{_NAME})"
_REPEATED = [
    re.compile(rf"\b({one}\s+{_ONE})(?:{_COMMA}{one}\s+{_ONE})*{_AND}{one}\s+{_ONE}(?!\w)", re.IGNORECASE)
    for one in _BEFORE
]
_NUMBERED = re.compile(
    rf"\b[^\W\d_]{{3,}}s\s+((?-i:{_CODE}))(?:{_COMMA}(?-i:{_CODE}))*{_AND}(?-i:{_CODE})(?!\w|[.,:/]\d)", re.IGNORECASE
)
_PARTS = re.compile(f"{_AND}|{_COMMA}", re.IGNORECASE)


def values(request: str) -> list[str]:
    """The request with each by itself of the values that it counts up: behind the same preposition, said again, or
    numbers of things ("orders 5520 and 7741"). Nothing where it counts up none."""
    for pattern in (*_REPEATED, _NUMBERED) if len(request) <= LONGEST else ():
        for match in pattern.finditer(request):
            start = match.start(1)
            found = _PARTS.split(request[start : match.end()])
            if 1 < len(dict.fromkeys(found)) <= MOST:
                return [f"{request[:start]}{one}{request[match.end() :]}" for one in dict.fromkeys(found)]
    return []


def clauses(request: str) -> list[str]:
    """What a request says to do, each by itself, if nothing in it depends on anything else."""
    parts = things(request)
    known = 1 < len(parts) <= MOST and all(len(part.split()) > 1 for part in parts)
    return parts if known and not _IF.search(request) else []


def things(request: str) -> list[str]:
    """What a request says one after another: all that there may be to do, or all of it as one."""
    found = list(_THEN.finditer(request)) if len(request) <= LONGEST else []
    if any(match.group().strip() and _NAMED.match(request, match.end()) for match in found):
        return [request]
    cuts = [0, *itertools.chain.from_iterable(match.span() for match in found), len(request)]
    return [request[a:b].strip() for a, b in zip(cuts[::2], cuts[1::2], strict=True)]
