"""Office formulas (OMML, ISO/IEC 29500 part 1, 22.1) as LaTeX."""

from __future__ import annotations

from typing import Any

_SYMBOLS = {
    "α": r"\alpha ", "β": r"\beta ", "γ": r"\gamma ", "δ": r"\delta ", "ε": r"\epsilon ", "ζ": r"\zeta ",
    "η": r"\eta ", "θ": r"\theta ", "λ": r"\lambda ", "μ": r"\mu ", "ν": r"\nu ", "ξ": r"\xi ", "π": r"\pi ",
    "ρ": r"\rho ", "σ": r"\sigma ", "τ": r"\tau ", "φ": r"\phi ", "χ": r"\chi ", "ψ": r"\psi ", "ω": r"\omega ",
    "Γ": r"\Gamma ", "Δ": r"\Delta ", "Θ": r"\Theta ", "Λ": r"\Lambda ", "Ξ": r"\Xi ", "Π": r"\Pi ",
    "Σ": r"\Sigma ", "Φ": r"\Phi ", "Ψ": r"\Psi ", "Ω": r"\Omega ", "∞": r"\infty ", "≤": r"\leq ", "≥": r"\geq ",
    "≠": r"\neq ", "±": r"\pm ", "×": r"\times ", "÷": r"\div ", "·": r"\cdot ", "⋅": r"\cdot ", "→": r"\to ",
    "∈": r"\in ", "∑": r"\sum ", "∏": r"\prod ", "∫": r"\int ", "∂": r"\partial ", "∇": r"\nabla ", "≈": r"\approx ",
    "…": r"\ldots ", "⋯": r"\cdots ", "∀": r"\forall ", "∃": r"\exists ", "−": "-", "∓": r"\mp ", "%": r"\%",
    "{": r"\{", "}": r"\}",
}  # fmt: skip
_FUNCTIONS = frozenset(
    "sin cos tan cot sec csc log ln exp lim max min sup inf det arcsin arccos arctan sinh cosh tanh".split()
)
_NARY = {"∑": r"\sum", "∏": r"\prod", "∫": r"\int", "∬": r"\iint", "∮": r"\oint", "⋃": r"\bigcup", "⋂": r"\bigcap"}
_ACCENTS = {"\u0302": "hat", "\u0303": "tilde", "\u0304": "bar", "\u0305": "overline", "\u0307": "dot", "\u20d7": "vec"}


def latex(element: Any) -> str:
    """LaTeX of an OMML element, such as <m:oMath>."""
    return " ".join(_children(element).split())


def _name(element: Any) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _child(element: Any, name: str) -> Any:
    return next((c for c in element if _name(c) == name), None)


def _part(element: Any, name: str) -> str:
    child = _child(element, name)
    return "" if child is None else _children(child).strip()


def _children(element: Any) -> str:
    return "".join(_one(child) for child in element)


def _property(element: Any, name: str, default: str) -> str:
    """`val` of m:<x>Pr/m:<name>."""
    for child in element:
        if _name(child).endswith("Pr"):
            found = _child(child, name)
            if found is not None:
                return next((v for k, v in found.attrib.items() if k.endswith("val")), default)
    return default


def _base(text: str) -> str:
    return f"{{{text}}}" if text.startswith("\\frac") else text


def _one(e: Any) -> str:
    name = _name(e)
    if name == "t":
        return "".join(_SYMBOLS.get(c, c) for c in e.text or "")
    if name.endswith("Pr"):
        return ""
    if name == "f":
        kind = _property(e, "type", "bar")
        over, under = _part(e, "num"), _part(e, "den")
        return (
            f"\\genfrac{{}}{{}}{{0pt}}{{}}{{{over}}}{{{under}}}" if kind == "noBar" else f"\\frac{{{over}}}{{{under}}}"
        )
    if name == "sSup":
        return f"{_base(_part(e, 'e'))}^{{{_part(e, 'sup')}}}"
    if name == "sSub":
        return f"{_base(_part(e, 'e'))}_{{{_part(e, 'sub')}}}"
    if name == "sSubSup":
        return f"{_base(_part(e, 'e'))}_{{{_part(e, 'sub')}}}^{{{_part(e, 'sup')}}}"
    if name == "sPre":
        return f"{{}}_{{{_part(e, 'sub')}}}^{{{_part(e, 'sup')}}}{_part(e, 'e')}"
    if name == "rad":
        degree = _part(e, "deg")
        return f"\\sqrt[{degree}]{{{_part(e, 'e')}}}" if degree else f"\\sqrt{{{_part(e, 'e')}}}"
    if name == "nary":
        sign = _NARY.get(_property(e, "chr", "∫"), r"\int")
        low, high = _part(e, "sub"), _part(e, "sup")
        return f"{sign}{f'_{{{low}}}' if low else ''}{f'^{{{high}}}' if high else ''}{_part(e, 'e')}"
    if name == "d":
        left, right = _property(e, "begChr", "("), _property(e, "endChr", ")")
        inner = ",".join(_children(c).strip() for c in e if _name(c) == "e")
        return f"\\left{_bracket(left)}{inner}\\right{_bracket(right)}"
    if name == "func":
        word = _part(e, "fName")
        return f"\\{word}{{{_part(e, 'e')}}}" if word in _FUNCTIONS else f"{word}{_part(e, 'e')}"
    if name == "acc":
        return f"\\{_ACCENTS.get(_property(e, 'chr', chr(0x302)), 'hat')}{{{_part(e, 'e')}}}"
    if name == "bar":
        return f"\\overline{{{_part(e, 'e')}}}"
    if name == "limLow":
        word = _part(e, "e")
        return f"{'' + chr(92) + word if word in _FUNCTIONS else word}_{{{_part(e, 'lim')}}}"
    if name == "limUpp":
        return f"\\overset{{{_part(e, 'lim')}}}{{{_part(e, 'e')}}}"
    if name == "m":
        rows = [" & ".join(_children(c).strip() for c in row if _name(c) == "e") for row in e if _name(row) == "mr"]
        return "\\begin{matrix}" + " \\\\ ".join(rows) + "\\end{matrix}"
    if name == "eqArr":
        rows = [_children(c).strip() for c in e if _name(c) == "e"]
        return "\\begin{array}{l}" + " \\\\ ".join(rows) + "\\end{array}"
    return _children(e)


def _bracket(character: str) -> str:
    return {"{": r"\{", "}": r"\}", "": "."}.get(character, character)
