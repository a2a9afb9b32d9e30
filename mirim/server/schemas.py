"""The requests that are understood, as JSON Schemas: the checker reads them, and so does whoever asks for
/openapi.json. A parameter that is not here is refused; one that has a single value here can only be left as it is.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def _object(properties: Schema, required: tuple[str, ...] = (), closed: bool = True) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": not closed,
    }


def _null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(items: Schema, least: int, most: int) -> Schema:
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


TEXT: Schema = {"type": "string"}
WORDS: Schema = {"type": "string", "minLength": 1}
NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 256}
STOP: Schema = {"anyOf": [WORDS, _list(WORDS, 0, 16)]}
SEED: Schema = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
COUNT: Schema = {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}
FREE: Schema = {"type": "object"}
#: A JSON Schema; what it may hold is for review.refuse to say, and openapi describes the simple part of it.
JSON_SCHEMA: Schema = {"type": "object"}
#: That of a function, which may hold what nothing enforces as long as the call is not strict.
PARAMETERS: Schema = {"type": "object"}

#: Characters of a question to the assistant, and of one that is rated: to look for as many takes a second.
QUESTION = 20_000

#: How tokens are drawn; top_k, min_p and repeat_penalty are ours.
SAMPLING: Schema = {
    "temperature": {"type": "number", "minimum": 0, "maximum": 2},
    "top_p": {"type": "number", "minimum": 0, "maximum": 1},
    "top_k": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
    "min_p": {"type": "number", "minimum": 0, "maximum": 1},
    "repeat_penalty": {"type": "number", "exclusiveMinimum": 0, "maximum": 10},
    "seed": SEED,
    "stop": STOP,
    # Not implemented by any engine here: only the neutral value is accepted.
    "presence_penalty": {"type": "number", "enum": [0]},
    "frequency_penalty": {"type": "number", "enum": [0]},
    "logit_bias": {"type": "object", "additionalProperties": False},
    "user": {"type": "string", "maxLength": 512},
    "stream": {"type": "boolean"},
    "stream_options": _object({"include_usage": {"type": "boolean"}, "include_obfuscation": {"enum": [False]}}),
    "n": {"type": "integer", "minimum": 1, "maximum": 16},
}

#: What a request is called by those who send it, in a chat: they find it again by it, and no answer depends on it.
MARKS: Schema = {
    "user": SAMPLING["user"],
    "safety_identifier": {"type": "string", "maxLength": 512},
    "prompt_cache_key": {"type": "string", "maxLength": 512},
    "metadata": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 512}},
}

#: What OpenAI's clients add to an answer that they read for their caller, and send back with it.
READ: Schema = {}

_PART = _object({"type": {"enum": ["text"]}, "text": TEXT}, ("type", "text"))
_CONTENT: Schema = {"anyOf": [TEXT, _list(_PART, 1, 1024)]}
_CALL = _object(
    {
        "id": TEXT,
        "type": {"enum": ["function"]},
        "function": _object({"name": NAME, "arguments": TEXT, "parsed_arguments": READ}, ("name", "arguments")),
        "index": {"type": "integer"},
    },
    ("id", "type", "function"),
)
_MESSAGE = _object(
    {
        "role": {"type": "string", "enum": ["system", "developer", "user", "assistant", "tool"]},
        "content": _null(_CONTENT),
        "name": _null(TEXT),
        "tool_calls": _null(_list(_CALL, 0, 128)),
        "tool_call_id": _null(TEXT),
        # What our own answers carry comes back in the next request of clients that send messages as they got them.
        "mirim": _null(FREE),
        "parsed": READ,
        "refusal": {"type": "null"},
        "annotations": _null({"type": "array", "maxItems": 0}),
        "audio": {"type": "null"},
        "function_call": {"type": "null"},
    },
    ("role",),
)
#: Words, or calls.
MESSAGE: Schema = {
    **_MESSAGE,
    "anyOf": [
        {"required": ["content"], "properties": {"content": _CONTENT}},
        {"required": ["tool_calls"], "properties": {"tool_calls": _list(_CALL, 1, 128)}},
    ],
}
_TOOL_NAME: Schema = {"type": "string", "pattern": "^[a-zA-Z0-9_.-]{1,64}$"}
FUNCTION = _object(
    {
        "name": _TOOL_NAME,
        "description": _null({"type": "string", "maxLength": 65536}),
        "parameters": _null(PARAMETERS),
        "strict": _null({"type": "boolean"}),
    },
    ("name",),
)
TOOL = _object({"type": {"enum": ["function"]}, "function": FUNCTION}, ("type", "function"))
_NAMED = _object({"type": {"enum": ["function"]}, "function": _object({"name": NAME}, ("name",))}, ("type", "function"))
_JSON_SCHEMA = {
    "name": _TOOL_NAME,
    "schema": JSON_SCHEMA,
    "strict": _null({"type": "boolean"}),
    "description": _null(TEXT),
}
FORMAT: Schema = {
    "anyOf": [
        _object({"type": {"enum": ["text"]}}, ("type",)),
        _object({"type": {"enum": ["json_object"]}}, ("type",)),
        _object(
            {"type": {"enum": ["json_schema"]}, "json_schema": _object(_JSON_SCHEMA, ("name", "schema"))},
            ("type", "json_schema"),
        ),
    ]
}

CHAT = _object(
    {
        "model": NAME,
        "messages": _list(MESSAGE, 1, 4096),
        **SAMPLING,
        **MARKS,
        "max_tokens": COUNT,
        "max_completion_tokens": COUNT,
        "logprobs": {"type": "boolean"},
        "top_logprobs": {"type": "integer", "minimum": 0, "maximum": 20},
        "tools": _list(TOOL, 0, 128),
        "tool_choice": {"anyOf": [{"type": "string", "enum": ["none", "auto", "required"]}, _NAMED]},
        "parallel_tool_calls": {"type": "boolean"},
        "response_format": FORMAT,
        "store": {"enum": [False]},
        "modalities": {"type": "array", "items": {"enum": ["text"]}, "maxItems": 1},
        "service_tier": {"type": "string", "enum": ["auto", "default"]},
        "mirim": _object({"policy": {"type": "string", "enum": ["quote", "grounded", "free"]}}),
    },
    ("model", "messages"),
)

_TOKENS = _list({"type": "integer", "minimum": 0, "maximum": 2**31 - 1}, 1, 10**6)
COMPLETION = _object(
    {
        "model": NAME,
        # Not empty: only some models have a token of their own to begin with.
        "prompt": {"anyOf": [WORDS, _list(WORDS, 1, 256), _TOKENS, _list(_TOKENS, 1, 256)]},
        **SAMPLING,
        "max_tokens": {**COUNT, "minimum": 0},
        "logprobs": {"type": "integer", "minimum": 0, "maximum": 20},
        "echo": {"type": "boolean"},
        "best_of": {"type": "integer", "minimum": 1, "maximum": 16},
        "suffix": {"enum": [""]},
    },
    ("model", "prompt"),
)

EMBEDDING = _object(
    {
        "model": NAME,
        "input": {"anyOf": [WORDS, _list(WORDS, 1, 2048)]},
        "encoding_format": {"type": "string", "enum": ["float", "base64"]},
        "dimensions": COUNT,
        "user": {"type": "string", "maxLength": 512},
    },
    ("model", "input"),
)

_INPUT_PART = _object(
    {
        "type": {"enum": ["input_text", "output_text", "text"]},
        "text": TEXT,
        "annotations": {"type": "array"},
        "logprobs": _null({"type": "array"}),
        "parsed": READ,
    },
    ("type", "text"),
)
_ITEM: Schema = {
    "anyOf": [
        _object(
            {
                "type": {"enum": ["message"]},
                "id": TEXT,
                "status": _null(TEXT),
                "role": {"type": "string", "enum": ["system", "developer", "user", "assistant"]},
                "content": {"anyOf": [TEXT, _list(_INPUT_PART, 1, 1024)]},
                "phase": {"type": "null"},
                "mirim": _null(FREE),
            },
            ("role", "content"),
        ),
        _object(
            {
                "type": {"enum": ["function_call"]},
                "id": _null(TEXT),
                "call_id": TEXT,
                "name": NAME,
                "arguments": TEXT,
                "parsed_arguments": READ,
                "status": _null(TEXT),
            },
            ("type", "call_id", "name", "arguments"),
        ),
        _object(
            {
                "type": {"enum": ["function_call_output"]},
                "id": _null(TEXT),
                "call_id": TEXT,
                "output": {"anyOf": [TEXT, _list(_INPUT_PART, 1, 1024)]},
                "status": _null(TEXT),
            },
            ("type", "call_id", "output"),
        ),
    ]
}
#: What a response could hold besides, of kinds of items that none has here: it holds all there is of them.
NEVER = (
    "reasoning.encrypted_content",
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "message.input_image.image_url",
)
RESPONSE = _object(
    {
        "model": NAME,
        "input": {"anyOf": [TEXT, _list(_ITEM, 1, 4096)]},
        "instructions": TEXT,
        "temperature": SAMPLING["temperature"],
        "top_p": SAMPLING["top_p"],
        "max_output_tokens": COUNT,
        "stream": {"type": "boolean"},
        "stream_options": _object({"include_obfuscation": {"enum": [False]}}),
        "tools": _list(_object({"type": {"enum": ["function"]}, **FUNCTION["properties"]}, ("type", "name")), 0, 128),
        "tool_choice": {
            "anyOf": [
                {"type": "string", "enum": ["none", "auto", "required"]},
                _object({"type": {"enum": ["function"]}, "name": NAME}, ("type", "name")),
            ]
        },
        "parallel_tool_calls": {"type": "boolean"},
        "text": _object(
            {
                "format": {
                    "anyOf": [
                        _object({"type": {"enum": ["text"]}}, ("type",)),
                        _object({"type": {"enum": ["json_object"]}}, ("type",)),
                        _object({"type": {"enum": ["json_schema"]}, **_JSON_SCHEMA}, ("type", "name", "schema")),
                    ]
                }
            }
        ),
        **MARKS,
        "store": {"enum": [False]},
        "truncation": {"type": "string", "enum": ["disabled"]},
        "background": {"enum": [False]},
        "include": {"type": "array", "items": {"enum": list(NEVER)}},
        "service_tier": {"type": "string", "enum": ["auto", "default"]},
        "mirim": CHAT["properties"]["mirim"],
    },
    ("model", "input"),
)

FEEDBACK = _object(
    {
        "model": NAME,
        "rating": {"type": "string", "enum": ["up", "down"]},
        "question": {"type": "string", "minLength": 1, "maxLength": QUESTION},
        "answer": {"type": "string", "maxLength": 100_000},
        "comment": {"type": "string", "maxLength": 5_000},
        "response_id": {"type": "string", "maxLength": 128},
        "citations": _list(
            _object(
                {
                    "document": NAME,
                    "source": {"type": "string", "maxLength": 1024},
                    "page": _null({"type": "integer"}),
                    "start": {"type": "integer", "minimum": 0},
                    "end": {"type": "integer", "minimum": 0},
                    "text": {"type": "string", "maxLength": 20_000},
                },
                ("document", "start", "end"),
            ),
            0,
            5,
        ),
    },
    ("model", "rating", "question", "answer"),
)
