"""Chat templates: messages to the text that a model was trained to read.

The template is Jinja written by whoever published the model, so it runs in a sandbox and sees plain JSON
values only. The environment (trimmed blocks, `tojson`, `raise_exception`, `strftime_now`, `generation`
blocks) is the one that Hugging Face models are written for, so rendering equals `apply_chat_template`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from mirim.core.errors import UsageError
from mirim.core.extras import need
from mirim.core.types import Message

#: What models of mirim's own making speak: ChatML, with a space before the assistant's words. Their first word is then
#: the token that it is inside a text, which a small model copies far more easily.
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + "
    "(' ' if message['role'] == 'assistant' else '') + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def render_chat(
    template: str,
    messages: Sequence[Message | Mapping[str, Any]],
    *,
    add_generation_prompt: bool,
    bos_token: str,
    eos_token: str,
    tools: Sequence[dict[str, Any]] = (),
) -> str:
    """The conversation as text, special tokens written out (tokenise it without adding a BOS again).

    add_generation_prompt   end with the header of the assistant's turn, so that the model answers next
    tools                   functions the model may call, in OpenAI's shape

    UsageError when the template is not valid Jinja, refuses the conversation, or is too much to compute.
    """
    jinja2 = need("jinja2", "serve")
    rows = [_row(m.to_json() if isinstance(m, Message) else dict(m)) for m in messages]
    try:
        text = _compile(template).render(
            messages=rows,
            tools=list(tools) or None,
            documents=None,
            add_generation_prompt=add_generation_prompt,
            bos_token=bos_token,
            eos_token=eos_token,
        )
    except jinja2.exceptions.TemplateSyntaxError as error:
        raise UsageError(f"the model's chat template is not valid Jinja: {error}; put right chat_template.jinja") from (
            error
        )
    except (RecursionError, MemoryError, SyntaxError) as error:
        # Python's own limits: macros without end, blocks in blocks, texts of any length.
        raise UsageError(
            f"the model's chat template asks for too much ({str(error) or 'no memory is left'}); "
            "put right chat_template.jinja, or use raw text"
        ) from error
    except (jinja2.exceptions.TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        roles = ", ".join(str(r.get("role")) for r in rows)
        raise UsageError(
            f"the model's chat template refuses this conversation (roles: {roles}): {error}; "
            "send other messages, or use raw text"
        ) from error
    return str(text)


@lru_cache(maxsize=32)
def lead(template: str, bos_token: str, eos_token: str) -> str:
    """The blanks that the template writes before an assistant's words, after the header that asks for them.

    A model that learned with them begins its answers so; they belong to the template and not to the answer.
    """
    between = before_words(template, bos_token, eos_token)
    return "" if between.strip() else between


def before_words(template: str, bos_token: str, eos_token: str) -> str:
    """All that the template writes before an assistant's last words and does not ask for them with; '' where it refuses
    a question with its answer."""
    marks: dict[str, Any] = {"bos_token": bos_token, "eos_token": eos_token}
    asked, said = Message("user", "?"), Message("assistant", "answer")
    try:
        before = render_chat(template, [asked], add_generation_prompt=True, **marks)
        after = render_chat(template, [asked, said], add_generation_prompt=False, **marks)
    except UsageError:
        return ""
    return after[len(before) :].partition(said.content)[0] if after.startswith(before) else ""


def _row(message: dict[str, Any]) -> dict[str, Any]:
    """Templates write tool arguments with `tojson`: hand them the object, not OpenAI's JSON string."""
    calls = []
    for call in message.get("tool_calls") or ():
        function = dict(call.get("function") or {})
        if isinstance(function.get("arguments"), str):
            # What is not JSON stays as the model wrote it.
            with contextlib.suppress(ValueError):
                function["arguments"] = json.loads(function["arguments"])
        calls.append({**call, "function": function})
    if calls:
        message = {**message, "tool_calls": calls}
    return message


@lru_cache(maxsize=32)
def _compile(template: str) -> Any:
    import jinja2
    import jinja2.ext
    import jinja2.sandbox
    from jinja2.nodes import CallBlock

    class Generation(jinja2.ext.Extension):
        """`{% generation %}` marks what the assistant wrote; here it only passes its body through."""

        tags = {"generation"}  # noqa: RUF012 - jinja's own attribute

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return CallBlock(self.call_method("_pass"), [], [], body).set_lineno(line)

        def _pass(self, caller: Any) -> str:
            return str(caller())

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )

    def refuse(message: str) -> None:
        raise jinja2.exceptions.TemplateError(message)

    def to_json(
        value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
    ) -> str:
        # Jinja's own filter escapes HTML characters, which no model was trained on.
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(template)
