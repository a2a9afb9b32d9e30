"""Everyday questions that an organisation's documents do not answer: what must be refused."""

from __future__ import annotations

import random
from collections.abc import Iterator

_TOPICS = {
    "en": (
        (
            "who won {} last year",
            ("the world cup", "the chess championship", "the election", "the song contest", "the marathon"),
        ),
        ("what is the capital of {}", ("Mongolia", "Canada", "Peru", "Finland", "Kenya", "Australia")),
        ("how do I cook {}", ("rice", "a chocolate cake", "black beans", "a roast chicken", "pancakes")),
        ("what will the weather be like {}", ("tomorrow", "at the weekend", "in July", "tonight")),
        ("write me {}", ("a poem about the sea", "a cover letter", "a python function that sorts a list", "a joke")),
        ("how do I fix {}", ("a flat tyre", "my printer", "a leaking tap", "a slow computer")),
        ("which {} should I buy", ("phone", "car", "laptop", "television", "bicycle")),
        ("how old is {}", ("the moon", "the president", "that actress", "the oldest tree")),
        ("what is {} times {}", ("12", "37", "144", "8")),
        ("can you recommend {}", ("a film", "a restaurant downtown", "a novel", "a hotel at the beach")),
        ("translate {} into Japanese", ("good morning", "thank you", "where is the station")),
        ("what time is the {}", ("next train to the coast", "football match", "sunset", "flight to Lisbon")),
    ),
    "pt": (
        ("quem ganhou {} no ano passado", ("a copa do mundo", "o campeonato", "a eleição", "o festival", "a corrida")),
        ("qual é a capital {}", ("da Mongólia", "do Canadá", "do Peru", "da Finlândia", "do Quênia")),
        ("como faço {}", ("um bolo de chocolate", "feijoada", "arroz soltinho", "pão de queijo", "lasanha")),
        ("como vai estar o tempo {}", ("amanhã", "no fim de semana", "em julho", "hoje à noite")),
        ("escreva {}", ("um poema sobre o mar", "uma carta de amor", "um programa que ordena uma lista", "uma piada")),
        ("como conserto {}", ("um pneu furado", "minha impressora", "uma torneira pingando", "o computador lento")),
        ("qual {} devo comprar", ("celular", "carro", "notebook", "televisão", "bicicleta")),
        ("quantos anos tem {}", ("a lua", "o presidente", "aquela atriz", "a árvore mais velha")),
        ("quanto é {} vezes {}", ("12", "37", "144", "8")),
        ("me indica {}", ("um filme", "um restaurante no centro", "um livro", "um hotel na praia")),
        ("como se diz {} em japonês", ("bom dia", "obrigado", "onde fica a estação")),
        ("que horas {}", ("sai o próximo trem", "é o jogo", "o sol se põe", "sai o voo para Lisboa")),
    ),
}


def questions(language: str, rng: random.Random) -> Iterator[str]:
    """Endless questions of one language, in a seeded order."""
    frames = _TOPICS[language]
    while True:
        frame, words = rng.choice(frames)
        text = frame.format(*rng.sample(words, frame.count("{}")))
        yield text[0].upper() + text[1:] + "?" if rng.random() < 0.7 else text
