"""What the assistant says in its own words, in both languages."""

from __future__ import annotations

_UNKNOWN = {
    "en": "I don't know: the documents I have do not answer this.",
    "pt": "Não sei: os documentos que tenho não respondem a isso.",
}
#: A bare contact (a name, a number, an address) reads well after either.
_ASK = {"en": "Please contact: {contact}.", "pt": "Por favor, fale com: {contact}."}


def unknown(language: str, contact: str = "") -> str:
    """The honest refusal, with whom to ask when the project names somebody."""
    key = language if language in _UNKNOWN else "en"
    return _UNKNOWN[key] + (" " + _ASK[key].format(contact=contact) if contact else "")


def declined(text: str) -> bool:
    """Whether a text is such a refusal."""
    return text.startswith(tuple(_UNKNOWN.values()))
