"""Which regular expressions a backtracking matcher could take for ever over.

One can when a loop of its automaton reads the same text in two ways (exponential degree of ambiguity; Weber & Seidl
1991): each turn doubles the ways that fail one after the other. The automaton is Glushkov's, a state for each character
of the expression, counts but for small ones taken as loops; two ways stand in one strongly connected part of its square
(Allauzen et al. 2008).
"""

from __future__ import annotations

import re
import re._parser as _parser
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from mirim.server.patterns import characters

#: Steps between pairs of states that are looked at: an expression with more is too large to tell.
STEPS = 200_000
#: Turns of a counted repetition, and of all that it stands in, up to which it is no loop: their ways are few.
FEW = 16
#: Characters that tell classes apart, beside those that the expression names.
_SAMPLES = "aZ5 _-.é\n\u4e2d"

Pair = tuple[int, int]


def explodes(pattern: str) -> bool:
    """Whether matching could take exponential time, or is too large to tell. re.error for what Python alone knows."""
    graph = _Graph(pattern)
    return graph.twice or graph.ambiguous()


class _Graph:
    """Glushkov's automaton. `twice`: a loop within a loop reads the same, or nothing at all may be repeated."""

    def __init__(self, pattern: str) -> None:
        self.alphabet = sorted({*_SAMPLES, *pattern})
        self.reads: list[frozenset[str]] = []
        self.next: dict[int, set[int]] = defaultdict(set)
        self.twice = False
        self._add(_parser.parse(pattern))

    def _add(self, ops: Any, turns: int = 1) -> tuple[bool, set[int], set[int]]:
        """(may be empty, states that it begins with, states that it ends with) of a part, linked within."""
        empty, first, last = True, set[int](), set[int]()
        for op, value in ops:
            none, begins, ends = self._one(str(op), value, turns)
            for state in last:
                self.next[state] |= begins
            first |= begins if empty else set()
            last = (last | ends) if none else ends
            empty = empty and none
        return empty, first, last

    def _one(self, name: str, value: Any, turns: int) -> tuple[bool, set[int], set[int]]:
        if name == "AT":
            return True, set(), set()
        if name == "SUBPATTERN":
            return self._add(value[-1], turns)
        if name == "BRANCH":
            parts = [self._add(branch, turns) for branch in value[1]]
            begins = set[int]().union(*(first for _, first, _ in parts))
            ends = set[int]().union(*(last for _, _, last in parts))
            return any(empty for empty, _, _ in parts), begins, ends
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            low, high, body = value
            few = turns * min(int(high), FEW + 1) <= FEW
            empty, first, last = self._add(body, turns * int(high) if few else FEW + 1)
            # What is as long each time, so many times, is read in one way.
            if not few and not (low == high and len({*body.getwidth()}) == 1):
                self.twice |= empty or any(self.next[state] & first for state in last)
                for state in last:
                    self.next[state] |= first
            return empty or low == 0, first, last
        if name not in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
            raise re.error(f"{name.lower().replace('_', ' ')} is not known here")
        one = re.compile(characters(name, value)[0], re.DOTALL)
        self.reads.append(frozenset(c for c in self.alphabet if one.fullmatch(c)))
        state = len(self.reads) - 1
        return False, {state}, {state}

    def ambiguous(self) -> bool:
        """Whether a strongly connected part of the square has both a state twice and two states (Tarjan 1972)."""
        order: dict[Pair, int] = {}
        low: dict[Pair, int] = {}
        stack: list[Pair] = []
        held: set[Pair] = set()
        steps = 0
        for state in range(len(self.reads)):
            if (state, state) in order:
                continue
            walk = [((state, state), self._after((state, state)))]
            while walk:
                pair, after = walk[-1]
                if pair not in order:
                    order[pair] = low[pair] = len(order)
                    stack.append(pair)
                    held.add(pair)
                for other in after:
                    steps += 1
                    if steps > STEPS:
                        return True
                    if other not in order:
                        walk.append((other, self._after(other)))
                        break
                    if other in held:
                        low[pair] = min(low[pair], order[other])
                else:
                    walk.pop()
                    if walk:
                        low[walk[-1][0]] = min(low[walk[-1][0]], low[pair])
                    if low[pair] == order[pair]:
                        part = stack[stack.index(pair) :]
                        del stack[len(stack) - len(part) :]
                        held.difference_update(part)
                        if len({one == two for one, two in part}) == 2:
                            return True
        return False

    def _after(self, pair: Pair) -> Iterator[Pair]:
        for one in self.next[pair[0]]:
            for other in self.next[pair[1]]:
                if not self.reads[one].isdisjoint(self.reads[other]):
                    yield one, other
