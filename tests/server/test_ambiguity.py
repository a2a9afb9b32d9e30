"""Which regular expressions a backtracking matcher could take for ever over."""

from __future__ import annotations

import re
import time

import pytest

from mirim.core.check import Misfit
from mirim.server.ambiguity import explodes
from mirim.server.review import refuse


@pytest.mark.parametrize(
    ("pattern", "ever"),
    [
        (r"^(?:(?:a|aa)*c|a*b)$", True),
        (r"^(?:a|aa)*c$", True),
        (r"^(?:a{0,1000}){0,1000}c$", True),
        (r"^(?:a?){50}a{50}$", True),
        (r"^(a*)*$", True),
        (r"^(a+)+b$", True),
        (r"^(?:\w+\s?)*$", True),
        (r"^(?:a{2,3})+$", True),
        (r"^(?:a|a)*b$", False),
        (r"^(.|[a-z])*x$", True),
        (r"^[\w.+-]+@[\w-]+(?:\.[\w-]+)+$", False),
        (r"^\d{4}-\d{2}-\d{2}$", False),
        (r"^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$", False),
        (r"^(?:[A-Z]{2}){3}$", False),
        (r"^(?:foo|bar|baz)+$", False),
        (r"^(?:[a-z]+,)*[a-z]+$", False),
        (r"^[A-Z][a-z]+(?: [A-Z][a-z]+)*$", False),
        (r".*foo.*bar.*", False),
        (r"^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$", False),
        (r"^(?:red|green|blue)(?:, (?:red|green|blue))*$", False),
        (r"^\+?\d{1,3}(?:[ .-]?\d){8,12}$", False),
        (r"^(?:(?:(?:a{0,4}){4}){4}){4}$", True),
        (r"^(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}$", False),
        (r"^(?:a?){3}$", False),
        (r"^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)$", False),
        (r"^[a-z]{2,5}(?:-[a-z0-9]{2,8})*$", False),
        (r"^(?:a|b|ab)*c$", True),
        (r"^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$", False),
    ],
)
def test_which_explode(pattern: str, ever: bool) -> None:
    assert explodes(pattern) is ever
    re.compile(pattern)


def test_large_ones_are_told_in_time() -> None:
    began = time.perf_counter()
    assert not explodes("^" + "abc" * 300 + "$")
    assert explodes("^" + "[a-z]*" * 200 + "$")
    assert time.perf_counter() - began < 10


@pytest.mark.parametrize("pattern", [r"^R\$", r"^a\\\$", "a$", "^a", "^"])
def test_a_pattern_goes_from_end_to_end(pattern: str) -> None:
    with pytest.raises(Misfit, match="begins with"):
        refuse({"type": "string", "pattern": pattern})


def test_a_pattern_may_end_with_a_sign_of_money() -> None:
    refuse({"type": "string", "pattern": r"^R\$$"})
    refuse({"type": "string", "pattern": r"^a\\$"})
    with pytest.raises(Misfit, match="several ways"):
        refuse({"type": "string", "pattern": "^(?:a|aa)*c$"})


@pytest.mark.parametrize("pattern", ["^a++$", "^(?:a|b)?+c$", "^a{2,}+$"])
def test_what_python_alone_knows_is_told(pattern: str) -> None:
    with pytest.raises(Misfit, match="possessive repeat is not known here"):
        refuse({"type": "string", "pattern": pattern})
