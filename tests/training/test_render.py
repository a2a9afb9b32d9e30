"""Which tokens are learned: the assistant's last turn with its end, whatever the template looks like."""

from __future__ import annotations

from typing import Any

import pytest

from mirim.core.errors import UsageError
from mirim.core.types import Example, Message
from mirim.examples.render import render

pytestmark = pytest.mark.slow

TEMPLATES = {
    "chatml": (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        "good morning<|im_end|>",
    ),
    "default system": (
        "{% if messages[0].role != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}"
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        "good morning<|im_end|>",
    ),
    "begin token": (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
        "{% elif m.role == 'assistant' %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}",
        " good morning<|im_end|>",
    ),
    "generation marks": (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
        "<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        "good morning<|im_end|>",
    ),
    "empty thought": (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and loop.last %}<think>\n\n"
        "</think>\n\n{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        "<think>\n\n</think>\n\ngood morning<|im_end|>",
    ),
    "no end": (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}",
        "good morning<|im_end|>",
    ),
}


def _example(*turns: tuple[str, str]) -> Example:
    return Example("e1", "answer", tuple(Message(role, text) for role, text in turns))  # type: ignore[arg-type]


TURNS = (("user", "say 42"), ("assistant", "once upon a time"), ("user", "and now?"), ("assistant", "good morning"))


@pytest.mark.parametrize("name", TEMPLATES)
def test_only_the_last_answer_and_its_end_are_learned(name: str, tokenizer: Any) -> None:
    template, learned = TEMPLATES[name]
    tokenizer.chat_template = template
    made = render(_example(*TURNS), tokenizer, 500)
    assert made is not None
    assert len(made.ids) == len(made.mask)
    assert tokenizer.decode([i for i, m in zip(made.ids, made.mask, strict=True) if m]) == learned
    prompt = [{"role": r, "content": t} for r, t in TURNS[:-1]]
    asked = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=False)
    # What is not learned is, id for id, what the model will be asked with.
    assert made.ids[: made.mask.index(True)] == asked
    assert made.mask == [False] * len(asked) + [True] * (len(made.ids) - len(asked))


@pytest.mark.parametrize("name", list(TEMPLATES))
def test_every_answer_of_a_quiz_is_learned_as_it_will_be_asked(name: str, tokenizer: Any) -> None:
    tokenizer.chat_template = TEMPLATES[name][0]
    turns = (*TURNS, ("user", "And then?"), ("assistant", "Then it was late."))
    if name == "empty thought":
        with pytest.raises(UsageError, match="writes the prompt differently"):
            render(_example(*turns), tokenizer, 500, every=True)
        return
    made, last = render(_example(*turns), tokenizer, 500, every=True), render(_example(*turns), tokenizer, 500)
    assert made is not None
    assert last is not None
    learned = tokenizer.decode([i for i, m in zip(made.ids, made.mask, strict=True) if m])
    answers = [text for role, text in turns if role == "assistant"]
    assert len(answers) > 1
    assert [a for a in answers if a in learned] == answers
    assert not any(text in learned for role, text in turns if role == "user")
    if name != "no end":
        # The same tokens as where the last answer alone is learned. Without a mark, a turn's end may be cut otherwise.
        assert made.ids == last.ids
        assert made.mask[last.mask.index(True) :] == last.mask[last.mask.index(True) :]


def test_the_limit_is_exact_and_an_answer_is_never_cut(tokenizer: Any) -> None:
    whole = render(_example(*TURNS), tokenizer, 500)
    assert whole is not None
    assert render(_example(*TURNS), tokenizer, len(whole.ids)) == whole
    assert render(_example(*TURNS), tokenizer, len(whole.ids) - 1) is None


def test_a_tokenizer_that_cuts_texts_is_not_obeyed(tokenizer: Any) -> None:
    whole = render(_example(*TURNS), tokenizer, 500)
    tokenizer.backend_tokenizer.enable_truncation(5)
    tokenizer.backend_tokenizer.enable_padding(length=400)
    assert render(_example(*TURNS), tokenizer, 500) == whole


def test_named_templates_take_the_default(tokenizer: Any) -> None:
    plain = render(_example(*TURNS), tokenizer, 500)
    tokenizer.chat_template = {"tool_use": "{{ nothing }}", "default": tokenizer.chat_template}
    assert render(_example(*TURNS), tokenizer, 500) == plain


def test_what_cannot_be_learned_is_refused(tokenizer: Any) -> None:
    with pytest.raises(UsageError, match="last message must be the assistant's"):
        render(_example(*TURNS[:3]), tokenizer, 500)
    with pytest.raises(UsageError, match="last message must be the assistant's"):
        render(Example("e", "answer", ()), tokenizer, 500)
    tokenizer.chat_template = "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}"
    with pytest.raises(UsageError, match="writes the prompt differently"):
        render(_example(*TURNS), tokenizer, 500)
    tokenizer.chat_template = None
    with pytest.raises(UsageError, match="no chat template"):
        render(_example(*TURNS), tokenizer, 500)
