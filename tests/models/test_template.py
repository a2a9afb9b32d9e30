"""Chat templates render as transformers renders them, in a sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirim.core.errors import UsageError
from mirim.core.types import Message
from mirim.examples.template import lead, render_chat

REAL = sorted((Path(__file__).resolve().parents[3] / "shared/data/gguf_vocab/templates").glob("*.jinja"))
MESSAGES = (Message("user", "Olá <b>"), Message("assistant", "Oi"), Message("user", "again"))


def _render(template, messages=MESSAGES, tools=(), prompt=True):
    return render_chat(template, messages, add_generation_prompt=prompt, bos_token="<s>", eos_token="</s>", tools=tools)


def test_messages_and_generation_prompt():
    template = (
        "{{ bos_token }}{% for m in messages %}\n[{{ m['role'] }}] {{ m.content }}{{ eos_token }}{% endfor %}\n"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    assert _render(template) == "<s>[user] Olá <b></s>[assistant] Oi</s>[user] again</s>[assistant]"
    assert _render(template, prompt=False).endswith("again</s>")


def test_tools_arguments_are_objects_and_not_escaped():
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": "<é>"}'}}
    messages = [Message("user", "x"), Message("assistant", "", (call,))]
    template = (
        "{{ tools | tojson }}{% for m in messages %}{% for c in m.tool_calls %}{{ c.function.arguments | tojson }}"
    )
    template += "{% endfor %}{% endfor %}"
    assert _render(template, messages, tools=[{"n": "<é>"}]) == '[{"n": "<é>"}]{"a": "<é>"}'


def test_generation_blocks_pass_through():
    assert _render("{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}") == (
        "Olá <b>Oiagain"
    )


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for %}", "not valid Jinja"),
        ("{{ raise_exception('Roles must alternate') }}", "Roles must alternate"),
        ("{{ messages[0].content.__class__.__mro__[1].__subclasses__() }}", "refuses"),
        ("{{ messages[9].content.x }}", "refuses"),
        ("{{ 1 / 0 }}", "refuses"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "too much .*recursion"),
        ("{{ " + "(" * 500 + "1" + ")" * 500 + " }}", "too much .*recursion"),
        ("{% for a in [1] %}" * 30 + "{% endfor %}" * 30, "too much .*nested"),
        ("{{ 'x' * 10**17 }}", "too much .*memory"),
    ],
)
def test_bad_templates_are_messages(template, message):
    with pytest.raises(UsageError, match=message):
        _render(template)


@pytest.mark.slow
@pytest.mark.skipif(not REAL, reason="the published templates are not beside this checkout")
@pytest.mark.parametrize("path", REAL, ids=lambda p: p.stem)
def test_published_templates_equal_transformers(path):
    from transformers.utils.chat_template_utils import render_jinja_template

    template = path.read_text("utf-8")
    tool = {"type": "function", "function": {"name": "f", "description": "<x>", "parameters": {"type": "object"}}}
    for tools in ([], [tool]):
        for prompt in (True, False):
            rows = [m.to_json() for m in MESSAGES]
            try:
                (expected,), _ = render_jinja_template(
                    [rows],
                    chat_template=template,
                    tools=tools or None,
                    add_generation_prompt=prompt,
                    bos_token="<s>",
                    eos_token="</s>",
                )
            except Exception:
                with pytest.raises(UsageError):
                    _render(template, tools=tools, prompt=prompt)
                continue
            assert _render(template, tools=tools, prompt=prompt) == expected


def test_blanks_before_an_answer_belong_to_the_template():
    chatml = (
        "{% for m in messages %}<|{{ m.role }}|>\n{{ SPACE + m.content }}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
    )
    spaced = chatml.replace("SPACE", "(' ' if m.role == 'assistant' else '')")
    assert lead(spaced, "", "") == " "
    assert lead(chatml.replace("SPACE", "''"), "", "") == ""
    # What is written there and is no blank is left to the model.
    assert lead(spaced.replace("' '", "'<think></think>'"), "", "") == ""
    assert lead("{{ raise_exception('no') }}", "", "") == ""
