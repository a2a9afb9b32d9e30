"""A server under clients that behave badly: 64 of them, for minutes.

    python bench/soak.py --model REF [--clients 64] [--minutes 10]

Each client draws at random: a good request (whole or streamed), one that it drops in the middle, a prompt longer than
the context, JSON that is cut, an unknown parameter, an unknown model. Counts answers by status, what was accepted and
not answered whole, and the server's memory once a second after a minute of warming up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx

KINDS = ("whole", "streamed", "dropped", "long", "broken", "unknown parameter", "unknown model")
WEIGHTS = (5, 5, 3, 1, 1, 1, 1)
#: The status that each kind must get; 429 is right for any of them when the queue is full.
RIGHT = {"long": 400, "broken": 400, "unknown parameter": 400, "unknown model": 404}


async def client(url: str, model: str, until: float, seen: Counter[tuple[str, str]], number: int) -> None:
    rng = random.Random(number)
    async with httpx.AsyncClient(base_url=url, timeout=120) as http:
        while time.monotonic() < until:
            kind = rng.choices(KINDS, WEIGHTS)[0]
            try:
                result = await ask(http, model, kind, rng)
            except httpx.HTTPError as error:
                result = type(error).__name__
            seen[kind, result] += 1
            if result == "429":
                await asyncio.sleep(rng.random())


async def ask(http: httpx.AsyncClient, model: str, kind: str, rng: random.Random) -> str:
    body: dict[str, object] = {
        "model": model,
        "messages": [
            {"role": "user", "content": f"Tell me {rng.random()} about {rng.choice('ants bees wasps'.split())}"}
        ],
        "max_tokens": rng.randint(4, 48),
        "temperature": 0.8,
    }
    if kind == "long":
        body["messages"] = [{"role": "user", "content": "bee " * 40_000}]
    elif kind == "unknown parameter":
        body["bees"] = 3
    elif kind == "unknown model":
        body["model"] = "wasp"
    if kind in ("streamed", "dropped"):
        return await streamed(http, body | {"stream": True}, rng.randint(1, 6) if kind == "dropped" else 0)
    data = json.dumps(body)
    if kind == "broken":
        data = data[: rng.randrange(1, len(data) - 1)]
    reply = await http.post("/v1/chat/completions", content=data, headers={"Content-Type": "application/json"})
    if reply.status_code == 200 and not reply.json()["choices"][0]["finish_reason"]:
        return "200, not finished"
    return str(reply.status_code)


async def streamed(http: httpx.AsyncClient, body: dict[str, object], drop: int) -> str:
    """Read a stream to its end, or leave after some lines."""
    async with http.stream("POST", "/v1/chat/completions", json=body) as reply:
        if reply.status_code != 200:
            return str(reply.status_code)
        count, last = 0, ""
        async for line in reply.aiter_lines():
            count, last = count + 1, line or last
            if drop and count >= drop:
                return "200"
    return "200" if last == "data: [DONE]" else "200, not finished"


def memory(pid: int) -> int:
    """Resident bytes."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * 1024 if found else 0


async def run(url: str, model: str, pid: int, clients: int, minutes: float) -> dict[str, object]:
    seen: Counter[tuple[str, str]] = Counter()
    until = time.monotonic() + minutes * 60
    tasks = [asyncio.create_task(client(url, model, until, seen, n)) for n in range(clients)]
    sizes: list[int] = []
    warm = time.monotonic() + min(60.0, minutes * 15)
    while not all(task.done() for task in tasks):
        await asyncio.sleep(1)
        if time.monotonic() > warm:
            sizes.append(memory(pid))
    await asyncio.gather(*tasks)
    tenth = max(1, len(sizes) // 10)
    first, last = sum(sizes[:tenth]) / tenth, sum(sizes[-tenth:]) / tenth
    wrong = {
        f"{kind}: {result}": count
        for (kind, result), count in seen.items()
        if result not in ("429", str(RIGHT.get(kind, 200)))
    }
    return {
        "requests": sum(seen.values()),
        "by": {f"{kind}: {result}": count for (kind, result), count in sorted(seen.items())},
        "5xx": sum(count for (_, result), count in seen.items() if result.startswith("5")),
        "not as they should be": wrong,
        "memory MB, first tenth and last": [round(first / 1e6, 1), round(last / 1e6, 1)],
        "memory growth": round(last / first - 1, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=10)
    given = parser.parse_args()
    line = [sys.executable, "-m", "mirim", "serve", "--port", "0", "--model", given.model]
    server = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = re.search(r"https?://\S+:\d+", server.stdout.readline())
        if not url:
            sys.exit("the server did not start")
        models = httpx.get(f"{url[0]}/v1/models").json()["data"]
        row = asyncio.run(run(url[0], models[0]["id"], server.pid, given.clients, given.minutes))
        row["alive after"] = server.poll() is None and httpx.get(f"{url[0]}/health").status_code == 200
    finally:
        server.terminate()
        row_exit = server.wait(timeout=60)
    print(json.dumps(row | {"exit": row_exit}, indent=1))


if __name__ == "__main__":
    main()
