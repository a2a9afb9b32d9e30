"""What an exported model is measured on: held-out text, golden prompts, and strings that upset tokenizers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mirim.core.errors import UsageError
from mirim.core.files import explain, read_jsonl
from mirim.core.project import Project
from mirim.core.types import Example, Message

#: Golden prompts at most, and choices offered for each.
PROMPTS, CHOICES = 40, 4

_BUILT_IN = (
    "Please arrive fifteen minutes before your appointment and bring an identity document with a photograph.",
    "The office is open from Monday to Friday, between eight in the morning and six in the evening.",
    "If you feel pain or fever after the procedure, call the number printed on the first page of this leaflet.",
    "A refund is paid within thirty days, by the same means of payment that was used for the purchase.",
    "Water boils at one hundred degrees, but on a high mountain it boils sooner because the air is thinner.",
    "Our library lends up to five books at a time, and each of them may be kept for three weeks.",
    "The report must be signed by two members of the board and sent to every partner before the end of March.",
    "Once upon a time there was a small bee that lived with her sisters in the hollow of an old tree.",
    "To restart the machine, hold the green button for five seconds and wait until the light stops blinking.",
    "Children under twelve travel free of charge when they are accompanied by an adult with a valid ticket.",
    "The harvest was late that year, because it had rained for many weeks and the fields were under water.",
    "Keep the medicine in a dry place, out of the reach of children, and do not use it after the date on the box.",
    "Chegue quinze minutos antes da consulta e traga um documento de identidade com fotografia.",
    "O atendimento funciona de segunda a sexta-feira, das oito da manhã às seis da tarde.",
    "Se sentir dor ou febre depois do procedimento, ligue para o número impresso na primeira página deste folheto.",
    "O reembolso é feito em até trinta dias, pelo mesmo meio de pagamento usado na compra.",
    "A água ferve a cem graus, mas no alto da montanha ferve antes, porque o ar é mais rarefeito.",
    "Nossa biblioteca empresta até cinco livros por vez, e cada um pode ficar três semanas com o leitor.",
    "O relatório deve ser assinado por dois membros do conselho e enviado a todos os sócios até o fim de março.",
    "Era uma vez uma abelha pequena que morava com as irmãs no oco de uma árvore antiga.",
    "Para reiniciar a máquina, segure o botão verde por cinco segundos e espere a luz parar de piscar.",
    "Crianças com menos de doze anos não pagam passagem quando acompanhadas de um adulto com bilhete válido.",
    "A colheita atrasou naquele ano, porque choveu por muitas semanas e os campos ficaram debaixo d'água.",
    "Guarde o remédio em lugar seco, fora do alcance das crianças, e não o use depois da data da caixa.",
)

_HARD = (
    "",
    " ",
    "  ",
    "\n",
    "\n\n\n",
    "\t\t x",
    "a",
    " a",
    "a ",
    "Hello, world!",
    "Don't we'll I'M THEY'RE it's'",
    "0123456789 1 22 333 4444 55555 3.14159 1,000,000 R$ 1.234,56",
    "ação coração ÀÉÎÕÜ ñ ß æ ø ł ğ",
    "cafe\u0301 a\u0303o e\u0302",
    "😀 🐝🐝 👩‍👩‍👧‍👦 🇧🇷 ☃️ ✓",
    "日本語 中文 한국어 العربية עברית ไทย हिन्दी",
    "“quotes” ‘single’ — – … • ½ º ª §",
    'snake_case camelCase kebab-case C++ x==y; {"key": [1, 2]} </tag> \\n',
    "https://example.org/a?b=c&d=%20#e me@example.org +55 (11) 5555-0100",
    "line one\nline two\r\nline three\n  indented\n\tand tabbed  ",
    "    four spaces     five      six",
    "\u00a0nbsp\u200bzero\u2003em",
    "!!!???...,,,;;;:::---___***",
    "\x01\x02 control \x7f",
    "ALL CAPS AND lower MiXeD",
)


@dataclass(frozen=True, slots=True)
class Golden:
    """A prompt, and answers to choose between; the first is the one written down."""

    prompt: str | tuple[Message, ...]
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """`source` says in words where the material comes from."""

    source: str
    texts: tuple[str, ...]
    golden: tuple[Golden, ...]


def gather(project: Project | None, file: Path | None, chat: bool) -> HeldOut:
    """Held-out material: `file`, else the project's validation examples, else its documents, else built-in.

    `chat` says whether the model has a chat template; without one, messages are joined as plain lines.
    """
    if file is not None:
        file = Path(file)
        texts = _paragraphs(_read(file))
        if not texts:
            raise UsageError(f"{file} holds no text to measure on")
        return HeldOut(f"the file {file.name}", texts, _from_texts(texts))
    if project is not None:
        rows = _examples(project)
        if rows:
            return HeldOut("the project's validation examples", *_from_examples(rows, chat))
        texts = tuple(t for p in _documents(project) for t in _paragraphs(_body(_read(p))))
        if len(texts) >= 4:
            step = max(1, len(texts) // 200)
            return HeldOut("the project's documents", texts[::step], _from_texts(texts[::step]))
    return HeldOut("built-in sentences in English and Portuguese", _BUILT_IN, _from_texts(_BUILT_IN))


def fuzz(special: Sequence[str]) -> list[str]:
    """Strings for comparing two tokenizers, the same every time: languages, spaces, digits, emoji, specials."""
    dice = random.Random(20)
    pool = "".join(_HARD) + " ".join(_BUILT_IN)
    noise = ["".join(dice.choice(pool) for _ in range(dice.randint(1, 60))) for _ in range(40)]
    marked = [f"{token}{text}{token}\n" for token in special for text in ("user", " a b", "")]
    return [*_HARD, *_BUILT_IN, *noise, *marked]


def _examples(project: Project) -> list[Example]:
    rows = []
    for path in sorted(project.examples.glob("*.jsonl")) if project.examples.is_dir() else ():
        for row in read_jsonl(path):
            if row.get("split") == "valid":
                try:
                    rows.append(Example.from_json(row))
                except (KeyError, TypeError) as error:
                    raise UsageError(f"{path}: a row is no example ({error!r}); type: mirim synth") from error
    return [r for r in rows if len(r.messages) > 1 and r.messages[-1].role == "assistant" and r.messages[-1].content]


def _from_examples(rows: list[Example], chat: bool) -> tuple[tuple[str, ...], tuple[Golden, ...]]:
    step = max(1, len(rows) // PROMPTS)
    rows = rows[::step][:PROMPTS]
    # A choice is between answers to the same kind of task: those are what the assistant really weighs.
    answers: dict[str, list[str]] = {}
    for row in rows:
        answers.setdefault(row.task, []).append(row.messages[-1].content)
    texts, golden = [], []
    for row in rows:
        own = row.messages[-1].content
        prompt = row.messages[:-1] if chat else "\n".join(m.content for m in row.messages[:-1]) + "\n"
        texts.append("\n".join(m.content for m in row.messages))
        golden.append(Golden(prompt, _choices(own, answers[row.task])))
    return tuple(texts), tuple(golden)


def _from_texts(texts: Sequence[str]) -> tuple[Golden, ...]:
    """The first half of each text is the prompt, its second half and those of others are the choices."""
    halves = []
    for text in texts:
        words = text.split(" ")
        if len(words) >= 6:
            middle = len(words) // 2
            halves.append((" ".join(words[:middle]), " " + " ".join(words[middle : middle + 12])))
    step = max(1, len(halves) // PROMPTS)
    halves = halves[::step][:PROMPTS]
    rest = [tail for _, tail in halves]
    return tuple(Golden(head, _choices(tail, rest)) for head, tail in halves)


def _choices(own: str, others: Sequence[str]) -> tuple[str, ...]:
    unlike = [o for o in dict.fromkeys(others) if o != own]
    at = sum(own.encode()) % len(unlike) if unlike else 0
    return (own, *(unlike[at:] + unlike[:at])[: CHOICES - 1])


def _documents(project: Project) -> list[Path]:
    return sorted(project.documents.glob("*.md"))[:200] if project.documents.is_dir() else []


def _body(text: str) -> str:
    """A stored document without its front matter."""
    return text.partition("\n---\n")[2] if text.startswith("---\n") else text


def _paragraphs(text: str) -> tuple[str, ...]:
    return tuple(p.strip() for p in text.split("\n\n") if len(p.split()) >= 6)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise explain(error, path) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text: {error}") from error
