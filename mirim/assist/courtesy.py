"""What asks nothing of the documents: greetings, thanks and the like, who is speaking, and what is said to them."""

from __future__ import annotations

import re

from mirim.documents.words import tokens

#: By kind and language, folded and without punctuation; what stands with any of them is in the last.
_WORDS = {
    "thanks": {
        "en": r"thanks?|for (?:the|your) help|cheers",
        "pt": r"obrigad[oa]|valeu|agradeco|pela (?:sua )?(?:ajuda|atencao)|por tudo",
    },
    "farewell": {"en": r"bye|goodbye|good night|see you(?: later)?", "pt": r"tchau|ate (?:logo|mais|breve|amanha)"},
    "greeting": {
        "en": r"hello|hi|hey|good (?:morning|afternoon|evening)|how are you",
        "pt": r"oi|ola|opa|bom dia|boa (?:tarde|noite)|tudo bem|como vai",
    },
    "assent": {"en": r"yes|no|great", "pt": r"sim|nao|certo|beleza"},
    "": {"": r"ok|okay|you|there|a lot|(?:very|so) much|muito|k{3,}|(?:ha){2,}|rs(?:rs)*"},
}
_ALL = re.compile(rf"(?:(?:{'|'.join(w for kind in _WORDS.values() for w in kind.values())})(?: |$))+")
_ITSELF = re.compile(
    r"(?:who|what) are you|are you (?:(?:a|an) )?(?:ro)?(?:bot|human|person|machine|computer|program|ai|real)"
    r"|what (?:can|do) you (?:do|know)|how can you help(?: me)?"
    r"|(?:am i )?talking to (?:a|an) (?:ro)?(?:bot|person|human)|quem e voce|(?:o )?que e voce"
    r"|voce e (?:uma? )?(?:robo|maquina|pessoa|human[oa]|programa|ia|bot|real|de verdade)"
    r"|(?:o )?que (?:voce|vc) (?:faz|sabe|pode fazer)|como (?:voce|vc) pode (?:me )?ajudar"
    r"|(?:estou )?falando com (?:uma? )?(?:robo|pessoa|maquina|humano|atendente)"
)
_SAID = {
    "itself": {
        "en": "I am a program, not a person. I answer from the documents I have, and say so where they do not.",
        "pt": "Sou um programa, não uma pessoa. Respondo pelos documentos que tenho, e aviso quando não dizem.",
    },
    "thanks": {
        "en": "You're welcome. If there is anything else, just ask.",
        "pt": "De nada. Se precisar de mais alguma coisa, é só perguntar.",
    },
    "farewell": {"en": "Goodbye, and all the best.", "pt": "Até logo, e tudo de bom."},
    "greeting": {
        "en": "Hello. What would you like to know? I answer from the documents I have.",
        "pt": "Olá. O que você gostaria de saber? Respondo com o que dizem os documentos que tenho.",
    },
    "assent": {
        "en": "All right. What would you like to know?",
        "pt": "Certo. O que você gostaria de saber?",
    },
}


def courtesy(text: str) -> bool:
    """Whether a text only greets, thanks or agrees."""
    return bool(_ALL.fullmatch(" ".join(tokens(text))))


def asks_who(text: str) -> bool:
    """Whether a text asks who or what is speaking, or what it can do."""
    return bool(_ITSELF.fullmatch(" ".join(tokens(text))))


def returned(text: str, language: str) -> str:
    """What is said to these, to a courtesy in its own language where its words tell, otherwise in `language`."""
    folded = " ".join(tokens(text))
    if asks_who(text):
        return _SAID["itself"].get(language, _SAID["itself"]["en"])
    for kind, words in _WORDS.items():
        for spoken, pattern in words.items():
            if spoken and re.search(rf"(?<!\S)(?:{pattern})(?!\S)", folded):
                return _SAID[kind][spoken]
    return _SAID["assent"].get(language, _SAID["assent"]["en"])
