"""The server's own description, from the schemas that check its requests."""

from __future__ import annotations

from functools import cache
from typing import Any

from mirim import __version__
from mirim.server import schemas

_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
            "required": ["message", "type", "param", "code"],
        }
    },
    "required": ["error"],
}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _replies(stream: bool = False, kind: str = "application/json", body: bool = True) -> dict[str, Any]:
    good: dict[str, Any] = {kind: {"schema": {"type": "object"} if kind == "application/json" else {"type": "string"}}}
    if stream:
        # Each event; its data is a JSON object, or [DONE].
        event = {"type": "object", "properties": {"event": {"type": "string"}, "data": {"type": "string"}}}
        good["text/event-stream"] = {"schema": event}
    errors = {
        "400": "The request asks for something that cannot be.",
        "401": "No key, or one that is not valid.",
        "403": "The key may not do this.",
        "404": "There is no such model or document.",
        "429": "Too many requests; Retry-After says when to come back.",
    }
    if body:
        errors |= {
            "408": "The body or the answer took too long.",
            "413": "The body is too large.",
            "415": "The body is not JSON.",
        }
    return {
        "200": {"description": "Done.", "content": good},
        **{code: {"description": text, "content": _json(_ERROR)} for code, text in errors.items()},
    }


def _needs(key: str, **others: Any) -> dict[str, Any]:
    """Where `key` is given, the others must be and must fit their schemas."""
    given = {"required": [key], "properties": {key: {"not": {"type": "null"}}}}
    return {"if": given, "then": {"required": list(others), "properties": others}}


_TRUE = {"const": True}
_SOME = {"type": "array", "minItems": 1}
_NONE = {"anyOf": [{"type": "null"}, {"type": "array", "maxItems": 0}]}
_STREAMED = _needs("stream_options", stream=_TRUE)
_EASY = ["auto", "none", None]
#: What goes together, which the checker's schemas leave to code.
RULES: dict[str, list[dict[str, Any]]] = {
    "chat": [
        _STREAMED,
        _needs("tool_choice", tools=_SOME),
        _needs("top_logprobs", logprobs=_TRUE),
        {"not": {"required": ["max_tokens", "max_completion_tokens"]}},
        {"if": {"required": ["logprobs"], "properties": {"logprobs": _TRUE}}, "then": {"properties": {"tools": _NONE}}},
    ],
    "completion": [_STREAMED],
    "response": [
        _STREAMED,
        {
            "if": {
                "required": ["tool_choice"],
                "properties": {"tool_choice": {"not": {"enum": _EASY}}},
            },
            "then": {"required": ["tools"], "properties": {"tools": _SOME}},
        },
    ],
}
_KINDS = {"enum": ["object", "array", "string", "number", "integer", "boolean", "null"]}
_NOTE = {"type": "string"}
_LEAF = {
    "type": "object",
    "properties": {"type": _KINDS, "description": _NOTE, "enum": {"type": "array", "minItems": 1}},
    "additionalProperties": False,
}
#: The part of JSON Schema that most functions need. More is understood: see mirim.server.review.
_SIMPLE = {
    "type": "object",
    "properties": {
        "type": {"const": "object"},
        "description": _NOTE,
        "properties": {"type": "object", "additionalProperties": {"anyOf": [_LEAF, {"type": "boolean"}]}},
        "required": {"type": "array", "items": _NOTE},
    },
    "additionalProperties": False,
}
_STRICT = {
    "if": {"required": ["strict"], "properties": {"strict": _TRUE}},
    "then": {"properties": {"parameters": {"anyOf": [_SIMPLE, {"type": "null"}]}}},
}
#: Understood for the sake of clients that send them, with the one value that they can have; not worth describing.
QUIET = ("best_of", "dimensions")


def _open(node: Any) -> Any:
    """The schema without its refusals of more."""
    if isinstance(node, dict):
        return {key: _open(part) for key, part in node.items() if part is not False}
    return [_open(part) for part in node] if isinstance(node, list) else node


def _simple(node: Any) -> Any:
    """The schema with what it leaves open to JSON Schema described."""
    if node is schemas.JSON_SCHEMA:
        return _SIMPLE
    if node is schemas.PARAMETERS:
        return _open(_SIMPLE)
    if isinstance(node, dict):
        found = {key: _simple(part) for key, part in node.items()}
        return {**found, **_STRICT} if "parameters" in node.get("properties", ()) else found
    return [_simple(part) for part in node] if isinstance(node, list) else node


def _nulls(node: Any) -> Any:
    """The schema with null where something may be left out, which it stands for, known or not."""
    if isinstance(node, list):
        return [_nulls(part) for part in node]
    if not isinstance(node, dict) or node is schemas.JSON_SCHEMA or node is schemas.PARAMETERS:
        return node
    found = {key: _nulls(part) for key, part in node.items()}
    if node.get("additionalProperties") is not False:
        return found
    places = {
        key: place if key in node.get("required", ()) else {"anyOf": [place, {"type": "null"}]}
        for key, place in found.get("properties", {}).items()
    }
    return {**found, "properties": places, "additionalProperties": {"type": "null"}}


def _told(
    schema: dict[str, Any], rules: list[dict[str, Any]], without: tuple[str, ...] = (), tokens: int = 0
) -> dict[str, Any]:
    """A request as a client may send it."""
    schema = _simple(_nulls(schema))
    places = {key: place for key, place in schema["properties"].items() if key not in (*QUIET, *without)}
    if "tool_choice" in places:
        # A function may be chosen by its name too, {"type": "function", "function": {"name": ...}}: one of the tools.
        places["tool_choice"] = {"enum": ["none", "auto", "required", None]}
    if "prompt" in places:
        text, texts, ids, lists = places["prompt"]["anyOf"]
        known = {**ids, "items": {"type": "integer", "minimum": 0, "maximum": tokens - 1}}
        read = [known, {**lists, "items": known}] if tokens else []
        places["prompt"] = {"anyOf": [text, texts, *read]}
    return {**schema, "properties": places, **({"allOf": rules} if rules else {})}


def _action(summary: str, schema: dict[str, Any], stream: bool) -> dict[str, Any]:
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": _json(schema)},
            "responses": _replies(stream),
        }
    }


def _get(summary: str, *parameters: dict[str, Any], kind: str = "application/json") -> dict[str, Any]:
    return {"get": {"summary": summary, "parameters": [*parameters], "responses": _replies(kind=kind, body=False)}}


def _place(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _offset(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": True, "schema": {"type": "integer", "minimum": 0}}


def _grounded(kind: str, assistants: tuple[str, ...], models: tuple[str, ...]) -> list[dict[str, Any]]:
    """What assistants take of a request of this kind, and what only they take."""
    bare = [name for name in models if name not in assistants]
    if kind not in ("chat", "response"):
        return [{"properties": {"model": {"enum": bare}}}] if kind in ("completion", "embedding") else []
    empty = {"type": "null"}
    words = {"type": "string", "pattern": "\\S", "maxLength": schemas.QUESTION}
    question = {"required": ["content"], "properties": {"role": {"const": "user"}, "content": words}}
    kept: dict[str, Any] = {"messages": {"items": question}} if kind == "chat" else {"input": words}
    kept |= {key: empty for key in ("tools", "tool_choice", "logprobs", "top_logprobs", "text")}
    kept["response_format"] = {"anyOf": [empty, {"properties": {"type": {"const": "text"}}}]}
    policy = {"type": "object", "required": ["policy"], "properties": {"policy": {"not": empty}}}
    return [
        {"if": {"properties": {"model": {"enum": list(assistants)}}}, "then": {"properties": kept}},
        {"if": {"properties": {"model": {"enum": bare}}}, "then": {"properties": {"mirim": {"not": policy}}}},
    ]


@cache
def description(
    models: tuple[str, ...] = (), assistants: tuple[str, ...] = (), logprobs: bool = True, tokens: int = 0
) -> dict[str, Any]:
    """The OpenAPI 3.1 document; with the names that `model` may have, where they may be told.

    `assistants` are those that answer from documents; `logprobs` is whether any engine gives log-probabilities;
    every engine that reads token ids knows the first `tokens`, 0 when one reads text alone.
    """
    without: tuple[str, ...] = () if logprobs else ("logprobs", "top_logprobs")
    without += () if assistants or not models else ("mirim",)

    def _post(summary: str, schema: dict[str, Any], stream: bool = False, rules: str = "") -> dict[str, Any]:
        more = _grounded(rules, assistants, models) if assistants else []
        schema = _told(schema, [*RULES.get(rules, []), *more], without, tokens)
        if models:
            known = {**schema["properties"], "model": {"type": "string", "enum": list(models)}}
            schema = {**schema, "properties": known}
        return _action(summary, schema, stream)

    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mirim",
            "version": __version__,
            "description": "OpenAI's interface to local models. The assistant of a project answers with citations, "
            "confidence and abstained under `mirim` in its message (in a stream: in the last chunk and its delta). "
            "Given tools and a JSON format, a model either calls or writes JSON in the format.",
        },
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"key": []}],
        "paths": {
            "/v1/chat/completions": _post("Continue a conversation.", schemas.CHAT, True, "chat"),
            "/v1/completions": _post("Continue raw text.", schemas.COMPLETION, True, "completion"),
            "/v1/embeddings": _post("Vectors of texts.", schemas.EMBEDDING, False, "embedding"),
            "/v1/responses": _post("Continue a conversation, item by item.", schemas.RESPONSE, True, "response"),
            "/v1/models": _get("The models that are served."),
            "/v1/models/{id}": _get("One model.", _place("id")),
            "/mirim/sources/{model}/{document}": _get(
                "The text around a citation.", _place("model"), _place("document"), _offset("start"), _offset("end")
            ),
            "/mirim/feedback": _post("Store what a person thinks of an answer.", schemas.FEEDBACK),
            "/mirim/status": _get("Live load, for the admin view."),
            "/metrics": _get("Counters for Prometheus.", kind="text/plain"),
            "/health": _get("The process lives."),
            "/ready": _get("Models are loaded and requests are accepted."),
        },
    }
