"""What /openapi.json says is what the server does: schemathesis makes requests from it, good and bad."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from server_fakes import Scripted, house
from waiting import built


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["echo", "native"])
def test_schemathesis_finds_no_request_that_is_answered_otherwise(
    server: Callable[..., Any], tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    tool = Path(sys.executable).with_name("st")
    if not tool.is_file() and not shutil.which("st"):
        pytest.skip("schemathesis is not installed")
    if kind == "native":
        built()
    # How long a text may be no schema says: the context holds what is drawn here.
    model = ["echo"] if kind == "echo" else [str(request.getfixturevalue("roomy")), "--ctx", "8192"]
    running = server("--model", *model)
    line = [str(tool if tool.is_file() else "st"), "run", f"{running.url}/openapi.json", "--max-examples", "8"]
    line += ["--phases", "examples,coverage,fuzzing,stateful", "--workers", "1", "--seed", "11", "--no-color"]
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stdout[-6000:]
    assert " passed" in done.stdout


CALLS = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
TOOL = {"type": "function", "function": {"name": "f"}}
FORM = {"type": "json_object"}


@pytest.mark.parametrize(
    ("path", "body", "fits"),
    [
        ("chat/completions", {"model": "clinic", "messages": [{"role": "user", "content": "hi"}]}, True),
        ("chat/completions", {"model": "clinic", "messages": [{"role": "user", "tool_calls": CALLS}]}, False),
        ("chat/completions", {"model": "bare", "tools": [TOOL], "response_format": FORM}, True),
        ("chat/completions", {"model": "bare", "tools": [TOOL], "response_format": FORM, "tool_choice": None}, True),
        ("chat/completions", {"model": "bare", "tools": [TOOL], "logprobs": True}, False),
        (
            "chat/completions",
            {"model": "bare", "tools": [TOOL], "response_format": FORM, "tool_choice": "required"},
            True,
        ),
        ("responses", {"model": "bare", "tools": [{"type": "function", "name": "f"}], "text": {"format": FORM}}, True),
        ("chat/completions", {"model": "bare", "functions": None, "mirim": {"policy": None}}, True),
        ("chat/completions", {"model": "clinic", "response_format": {"type": "text", "strict": None}}, True),
        ("chat/completions", {"model": None}, False),
        ("chat/completions", {"model": "bare", "stop": [None]}, False),
        ("completions", {"model": "bare", "prompt": ""}, False),
        ("completions", {"model": "bare", "prompt": ["hi", ""]}, False),
    ],
)
def test_the_description_and_the_server_agree(client: Any, path: str, body: dict[str, Any], fits: bool) -> None:
    schemas = pytest.importorskip("jsonschema_rs")
    start: dict[str, Any] = {}
    if path == "chat/completions":
        start = {"messages": [{"role": "user", "content": "hi"}]}
    elif path == "responses":
        start = {"input": "hi"}
    http = client(house(Scripted(['{"name": "f", "arguments": {}}'])))
    described = http.get("/openapi.json").json()["paths"][f"/v1/{path}"]["post"]
    schema = described["requestBody"]["content"]["application/json"]["schema"]
    assert schemas.is_valid(schema, {**start, **body}) is fits
    assert (http.post(f"/v1/{path}", json={**start, **body}).status_code == 200) is fits
