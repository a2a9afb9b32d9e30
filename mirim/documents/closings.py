"""What stands at the end of a letter and says nothing of its matter: regards, the device, the notice of secrecy."""

from __future__ import annotations

import re

_DEVICE = re.compile(
    r"^[*_]{0,2}(?:sent from my |sent from (?:outlook|yahoo|mail) |enviad[oa] d[oe] (?:meu|minha) |enviado do (?:"
    r"outlook|yahoo|e-?mail) |(?:get|download) outlook for |(?:obter|obtenha|baixe) o outlook (?:para|for) )"
    r"[^\n]{1,60}\n?",
    re.I | re.M,
)
_REGARDS = re.compile(
    r"^[ \t]*(?:(?:com (?:os )?)?(?:(?:meus|os|melhores) )*(?:melhores )?(?:cumprimentos|saudações)(?: cordiais)?"
    r"|(?:(?:my|with|kind|best|warm|kindest|warmest) )*(?:regards|wishes)|all the best|(?:um |grande )*abraços?"
    r"|at(?:enciosamen)?te|att|cordialmente|respeitosamente|cheers|(?:yours )?(?:sincerely|faithfully|truly)(?: yours)?"
    r"|(?:muito |desde já,? |antecipadamente )*(?:obrigad[oa]|grat[oa])(?: desde já| pela atenção)?"
    r"|(?:many )?thanks(?: in advance)?|thank you(?: in advance)?)[ \t]*[,.!;–-]?[ \t]*(?:\n|\Z)",
    re.I | re.M,
)
#: After regards, the lines that say who wrote: short ones, none of which ends a sentence.
_NAMES = re.compile(r"\n?(?:(?![-*•|]|\d+[.)])[^\n]{0,59}[^\n.?!:;](?:\n|\Z)){0,6}")
#: A paragraph about the message itself, who may read it and what to do when it went astray.
_NOTICE = re.compile(
    r"(?:^|(?<=\n\n))[*_-]{0,3}\s?(?:this|the information|the contents?|if you|esta|este|as informações|o conteúdo|"
    r"aviso|disclaimer|confidential\w*|important|importante)\b(?=(?:(?!\n\n).)*\b(?:confiden[ct]ia\w+|privileged|sigilos\w+)"
    r")(?=(?:(?!\n\n).)*\b(?:message|e-?mail|mensagem|anexos|attachments))(?=(?:(?!\n\n).)*\b(?:recipient|addressee|"
    r"destin\w+|(?:in|by) (?:error|mistake)|por (?:engano|erro)))(?:(?!\n\n).)+",
    re.I | re.S,
)


def unclosed(text: str, names: bool = False) -> str:
    """A letter's text without them, and with `names` without those of whoever wrote it."""
    text = _NOTICE.sub("", _DEVICE.sub("", text))
    if not names:
        return _REGARDS.sub("", text)
    kept, last = "", 0
    for match in _REGARDS.finditer(text):
        if match.start() >= last:
            kept += text[last : match.start()]
            named = _NAMES.match(text, match.end())
            last = named.end() if named else match.end()
    return kept + text[last:]
