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
        good["text/event-stream"] = {"schema": {"type": "string"}}
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


@cache
def description(models: tuple[str, ...] = ()) -> dict[str, Any]:
    """The OpenAPI 3.1 document; with the names that `model` may have, where they may be told."""

    def _post(summary: str, schema: dict[str, Any], stream: bool = False) -> dict[str, Any]:
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
            "confidence and abstained under `mirim` in its message (in a stream: in the last chunk and its delta).",
        },
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"key": []}],
        "paths": {
            "/v1/chat/completions": _post("Continue a conversation.", schemas.CHAT, stream=True),
            "/v1/completions": _post("Continue raw text.", schemas.COMPLETION, stream=True),
            "/v1/embeddings": _post("Vectors of texts.", schemas.EMBEDDING),
            "/v1/responses": _post("Continue a conversation, item by item.", schemas.RESPONSE, stream=True),
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
