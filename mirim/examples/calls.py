"""Requests and functions made up by program: which function fits, what it is called here, and what goes where.

Names of functions and of their parameters are drawn anew each time, so that they can only be read off the list; so are
the values, which can only be read off the request. Sometimes no function fits, and the answer says so in words.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mirim.core.types import Example, Message
from mirim.examples.tasks import example, tools

#: Share of requests that no listed function serves, and functions listed at most.
UNFIT, LISTED = 0.3, 3
_CITIES = "Recife Lisbon Porto Boston Curitiba Madrid Belém Chicago Natal Oslo Santos Toronto Manaus Cairo Lyon Kyoto"
_PEOPLE = "Ana Rui Marta Pedro Lucia Tiago Sofia Miguel Clara Hugo Alice Bruno Diana Edgar Flora Ivo Julia Leo Nina"
_THINGS = "coffee rice bread paper apples chairs soap tea lamps shoes books pens milk cups shirts tiles"
_TOPICS = "history music science football cooking travel weather art health law birds chess maps poetry robots"


@dataclass(frozen=True, slots=True)
class _Deed:
    """What a function can do: words for its name, what it is for, its parameters, and ways to ask for it."""

    verbs: str
    nouns: str
    purpose: str
    #: Names a parameter may have, and what kind of value it takes.
    places: tuple[tuple[str, str], ...]
    en: tuple[str, ...]
    pt: tuple[str, ...]


_DEEDS = (
    _Deed("get find fetch", "weather forecast", "the weather in a city on a day",
          (("city location place", "city"), ("day date", "day")),
          ("What will the weather be like in {0} on {1}?", "Is it going to rain in {0} on {1}?"),
          ("Como estará o tempo em {0} em {1}?", "Vai chover em {0} em {1}?")),
    _Deed("calculate compute", "triangle_area area", "the area of a triangle from its base and height",
          (("base base_length", "whole"), ("height altitude", "whole")),
          ("Find the area of a triangle with base {0} and height {1}.",
           "A triangle is {0} wide and {1} high. How large is it?"),
          ("Calcule a área de um triângulo de base {0} e altura {1}.",
           "Qual é a área do triângulo com base {0} e altura {1}?")),
    _Deed("book reserve", "table dinner", "a table in a restaurant",
          (("people guests party_size", "few"), ("time hour", "hour")),
          ("Book a table for {0} at {1}.", "We are {0}, could we have dinner at {1}?"),
          ("Reserve uma mesa para {0} às {1}.", "Somos {0}, queremos jantar às {1}.")),
    _Deed("convert exchange", "currency money", "an amount of one currency in another",
          (("amount value", "money"), ("source from_currency", "coin"), ("target to_currency", "coin")),
          ("How much is {0} {1} in {2}?", "Change {0} {1} into {2}."),
          ("Quanto são {0} {1} em {2}?", "Converta {0} {1} para {2}.")),
    _Deed("send write", "message note", "a message to a person",
          (("recipient person to", "person"), ("text body content", "phrase")),
          ("Tell {0} that {1}.", "Send {0} a message: {1}."),
          ("Diga a {0} que {1}.", "Mande uma mensagem para {0}: {1}.")),
    _Deed("set create add", "alarm reminder", "an alarm at an hour",
          (("time hour at", "hour"),),
          ("Wake me up at {0}.", "Set an alarm for {0}, please."),
          ("Acorde-me às {0}.", "Ponha um alarme para as {0}, por favor.")),
    _Deed("order buy purchase", "goods items product", "a number of things from the shop",
          (("item product thing", "thing"), ("quantity count number", "few")),
          ("I need {1} of the {0}.", "Order {1} {0} for me."),
          ("Preciso de {1} unidades de {0}.", "Peça {1} {0} para mim.")),
    _Deed("find search look_up", "flights flight", "flights between two cities on a day",
          (("origin departure from_city", "city"), ("destination arrival to_city", "city"), ("date day", "day")),
          ("I want to fly from {0} to {1} on {2}.", "Are there flights to {1} from {0} on {2}?"),
          ("Quero voar de {0} para {1} em {2}.", "Há voos de {0} para {1} em {2}?")),
    _Deed("calculate get", "compound_interest interest", "the interest on a sum after some years",
          (("principal capital amount", "money"), ("rate interest_rate", "share"), ("years duration", "few")),
          ("What is the interest on {0} at {1} percent after {2} years?",
           "I put {0} in the bank at {1} percent for {2} years. What do I get?"),
          ("Quanto rendem {0} a {1} por cento em {2} anos?",
           "Aplico {0} a {1} por cento durante {2} anos. Quanto recebo?")),
    _Deed("play start", "song music", "music by an artist or of a kind",
          (("artist singer performer", "person"),),
          ("Play something by {0}.", "I would like to hear {0}."),
          ("Toque alguma coisa de {0}.", "Quero ouvir {0}.")),
    _Deed("get find", "distance route", "the distance between two cities",
          (("start origin city_a", "city"), ("end destination city_b", "city")),
          ("How far is it from {0} to {1}?", "What is the distance between {0} and {1}?"),
          ("Qual é a distância de {0} a {1}?", "Quanto falta de {0} até {1}?")),
    _Deed("schedule make book", "appointment visit", "an appointment with a doctor or an adviser",
          (("doctor person with_whom", "person"), ("date day", "day"), ("time hour", "hour")),
          ("I would like to see {0} on {1} at {2}.", "Make an appointment with {0} for {1}, {2}."),
          ("Quero uma consulta com {0} em {1} às {2}.", "Marque uma consulta com {0} para {1}, {2}.")),
    _Deed("search find list", "books articles news", "what was written about a topic",
          (("topic subject query", "topic"), ("limit max_results count", "few")),
          ("Show me {1} articles about {0}.", "I want to read about {0}; {1} texts are enough."),
          ("Mostre {1} artigos sobre {0}.", "Quero ler sobre {0}; {1} textos bastam.")),
    _Deed("solve find", "quadratic_equation roots", "the roots of a quadratic equation from its coefficients",
          (("a coefficient_a", "whole"), ("b coefficient_b", "whole"), ("c coefficient_c", "whole")),
          ("Solve the quadratic equation with a={0}, b={1} and c={2}.",
           "Find the roots for coefficients {0}, {1} and {2}."),
          ("Resolva a equação de segundo grau com a={0}, b={1} e c={2}.",
           "Ache as raízes com coeficientes {0}, {1} e {2}.")),
    _Deed("track check", "parcel delivery", "where a parcel is",
          (("code tracking_number parcel_id", "code"),),
          ("Where is my parcel {0}?", "Has {0} been delivered yet?"),
          ("Onde está a minha encomenda {0}?", "A entrega {0} já chegou?")),
    _Deed("set change", "temperature heating", "the temperature of a room",
          (("room area", "room"), ("degrees temperature value", "whole")),
          ("Make the {0} {1} degrees.", "Set the {0} to {1} degrees."),
          ("Ponha {0} a {1} graus.", "Quero {0} com {1} graus.")),
    _Deed("translate render", "text sentence", "a sentence in another language",
          (("text sentence content", "phrase"), ("language target_language", "tongue")),
          ('How do you say "{0}" in {1}?', 'Translate "{0}" into {1}.'),
          ('Como se diz "{0}" em {1}?', 'Traduza "{0}" para {1}.')),
    _Deed("calculate estimate", "body_mass_index bmi", "the body mass index from weight and height",
          (("weight mass", "whole"), ("height size", "whole")),
          ("I weigh {0} kilos and am {1} centimetres tall. What is my body mass index?",
           "Body mass index for {0} kg and {1} cm."),
          ("Peso {0} quilos e tenho {1} centímetros. Qual é o meu índice de massa corporal?",
           "Índice de massa corporal com {0} kg e {1} cm.")),
)  # fmt: skip

_TYPES = {"whole": "integer", "few": "integer", "money": "number", "share": "number"}
_FIXED = {
    "coin": "USD EUR BRL GBP JPY CAD".split(),
    "tongue": "English Portuguese French German Spanish Italian".split(),
    "room": "kitchen bedroom office hall library garage".split(),
    "phrase": ["the bus is late", "lunch is ready", "the meeting was moved", "o jantar está pronto", "a chuva parou"],
    "city": _CITIES.split(),
    "person": _PEOPLE.split(),
    "thing": _THINGS.split(),
    "topic": _TOPICS.split(),
}


def make(count: int, seed: int | str) -> Iterator[Example]:
    """`count` requests, half of them in Portuguese."""
    rng = random.Random(f"{seed} calls")
    for number in range(count):
        yield order(("en", "pt")[number % 2], rng)


def order(language: str, rng: random.Random) -> Example:
    """A request with some functions: the call that serves it, or the words for none."""
    wanted, *others = rng.sample(_DEEDS, rng.randint(1, LISTED) + 1)
    functions = [_function(deed, rng) for deed in others]
    values = [_value(kind, rng) for _, kind in wanted.places]
    request = rng.choice(wanted.pt if language == "pt" else wanted.en).format(*values)
    if rng.random() < UNFIT:
        target = tools.NONE[language]
    else:
        function = _function(wanted, rng)
        functions[rng.randrange(len(functions))] = function
        target = tools.call(function["name"], dict(zip(function["parameters"]["properties"], values, strict=True)))
    listed = [{"type": "function", "function": f} for f in functions]
    prompt = tools.messages([Message("user", request)], listed)
    return example("tools", prompt, target, (), {"kind": "drill", "language": language})


def _function(deed: _Deed, rng: random.Random) -> dict[str, Any]:
    verb, noun = rng.choice(deed.verbs.split()), rng.choice(deed.nouns.split())
    # The ways in which people spell the names of functions.
    spelling = rng.random()
    name = f"{verb}_{noun}" if spelling < 0.6 else f"{noun}.{verb}" if spelling < 0.8 else verb + _joined(noun)
    places: dict[str, Any] = {}
    for names, kind in deed.places:
        choices = [n for n in names.split() if n not in places]
        places[rng.choice(choices)] = _place(kind, rng)
    function: dict[str, Any] = {"name": name, "description": f"{verb.capitalize()} {deed.purpose}."}
    function["parameters"] = {
        "type": rng.choice(("object", "dict")),
        "properties": places,
        "required": list(places),
    }
    return function


def _place(kind: str, rng: random.Random) -> dict[str, Any]:
    place: dict[str, Any] = {"type": _TYPES.get(kind, "string")}
    if rng.random() < 0.6:
        place["description"] = {"whole": "A whole number.", "few": "How many.", "day": "The day."}.get(
            kind, f"The {kind}."
        )
    return place


def _joined(words: str) -> str:
    return "".join(word.capitalize() for word in words.split("_"))


def _value(kind: str, rng: random.Random) -> Any:
    if kind in _FIXED:
        return rng.choice(_FIXED[kind])
    if kind == "whole":
        return rng.randint(1, 300)
    if kind == "few":
        return rng.randint(2, 20)
    if kind == "money":
        return rng.choice((rng.randint(10, 9999), rng.randint(1, 99) * 100, round(rng.uniform(1, 999), 2)))
    if kind == "share":
        return rng.choice((rng.randint(1, 15), round(rng.uniform(0.5, 12), 1)))
    if kind == "hour":
        return f"{rng.randint(6, 22)}:{rng.choice(('00', '15', '30', '45'))}"
    if kind == "day":
        return f"2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    return "".join(rng.choice("ABCDEFGHJKMNPQRSTUVWXYZ23456789") for _ in range(rng.randint(5, 9)))
