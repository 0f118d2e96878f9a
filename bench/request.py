"""What reading a request's body costs on one core: the facts (`peek`), and with them the hints.

    python -m bench.request

For each API and size µs of CPU time: `peek` alone, all that is read of a conversation whose agent has asked before
(tools and system prompt are remembered), the same of a first request, and ms a MB of the warm one.  Gates nothing.
Aim: 1 ms a MB; the hints of a short body take some 30 µs, after it was sent on.
"""

from __future__ import annotations

import json
import pathlib
import time
from collections.abc import Callable
from typing import Any

from awfproxy.core.hints import Hinter
from awfproxy.core.request import look, peek

SIZES = (2_000, 20_000, 200_000, 2_000_000)
JSON = b"application/json"
KEY = b"k" * 32
#: share of a body that tools, and the system prompt, have, and their longest (Claude Code's); the rest are turns
SHARE, LONGEST = 0.2, 60_000
#: characters of a tool's result
RESULT = 3_000
SOURCE = pathlib.Path(__file__).read_text()

Body = dict[str, Any]


def text(size: int, at: int = 0) -> str:
    """Source code, as agents send it."""
    long = SOURCE * (size // len(SOURCE) + 2)
    at %= len(SOURCE)
    return long[at : at + size]


def schemas(size: int) -> list[tuple[str, str, Body]]:
    """Names, descriptions and schemas of tools."""
    each = max(1, round(size / 900))
    parameters = {"type": "object", "properties": {n: {"type": "string"} for n in "abcdef"}, "required": ["a"]}
    return [(f"tool_{n}", text(600, n * 50), parameters) for n in range(each)]


def messages(size: int) -> Body:
    """Anthropic."""
    turns: list[Body] = [{"role": "user", "content": [{"type": "text", "text": text(500)}]}]
    for n in range(rounds(size)):
        call = {"type": "tool_use", "id": f"toolu_{n}", "name": "tool_0", "input": {"path": f"src/{n}.py"}}
        result = {"type": "tool_result", "tool_use_id": f"toolu_{n}", "content": text(length(size), n * 100)}
        turns += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    tools = [{"name": n, "description": d, "input_schema": p} for n, d, p in schemas(fixed(size))]
    system = [{"type": "text", "text": text(fixed(size)), "cache_control": {"type": "ephemeral"}}]
    return {"model": "claude", "max_tokens": 9, "stream": True, "system": system, "tools": tools, "messages": turns}


def chat(size: int) -> Body:
    """OpenAI chat."""
    turns: list[Body] = [{"role": "system", "content": text(fixed(size))}, {"role": "user", "content": text(500)}]
    for n in range(rounds(size)):
        function = {"name": "tool_0", "arguments": json.dumps({"path": f"src/{n}.py"})}
        call = {"id": f"call_{n}", "type": "function", "function": function}
        turns.append({"role": "assistant", "content": None, "tool_calls": [call]})
        turns.append({"role": "tool", "tool_call_id": f"call_{n}", "content": text(length(size), n * 100)})
    functions = [{"name": n, "description": d, "parameters": p} for n, d, p in schemas(fixed(size))]
    tools = [{"type": "function", "function": each} for each in functions]
    return {"model": "gpt", "stream": True, "messages": turns, "tools": tools}


def responses(size: int) -> Body:
    """OpenAI Responses."""
    turns: list[Body] = [{"role": "user", "content": [{"type": "input_text", "text": text(500)}]}]
    for n in range(rounds(size)):
        arguments = json.dumps({"path": f"src/{n}.py"})
        turns.append({"type": "reasoning", "summary": [], "encrypted_content": "x" * 300})
        turns.append({"type": "function_call", "call_id": f"call_{n}", "name": "tool_0", "arguments": arguments})
        turns.append({"type": "function_call_output", "call_id": f"call_{n}", "output": text(length(size), n * 100)})
    tools = [
        {"type": "function", "name": n, "description": d, "parameters": p} for n, d, p in schemas(fixed(size))
    ]
    return {"model": "gpt", "stream": True, "instructions": text(fixed(size)), "input": turns, "tools": tools}


def gemini(size: int) -> Body:
    """Gemini's generateContent."""
    turns: list[Body] = [{"role": "user", "parts": [{"text": text(500)}]}]
    for n in range(rounds(size)):
        call = {"name": "tool_0", "args": {"path": f"src/{n}.py"}}
        turns.append({"role": "model", "parts": [{"functionCall": call}]})
        result = {"name": "tool_0", "response": {"output": text(length(size), n * 100)}}
        turns.append({"role": "user", "parts": [{"functionResponse": result}]})
    declared = [{"name": n, "description": d, "parameters": p} for n, d, p in schemas(fixed(size))]
    system = {"parts": [{"text": text(fixed(size))}]}
    return {"contents": turns, "systemInstruction": system, "tools": [{"functionDeclarations": declared}]}


def converse(size: int) -> Body:
    """Bedrock Converse."""
    turns: list[Body] = [{"role": "user", "content": [{"text": text(500)}]}]
    for n in range(rounds(size)):
        call = {"toolUseId": f"tooluse_{n}", "name": "tool_0", "input": {"path": f"src/{n}.py"}}
        result = {"toolUseId": f"tooluse_{n}", "content": [{"text": text(length(size), n * 100)}]}
        turns.append({"role": "assistant", "content": [{"toolUse": call}]})
        turns.append({"role": "user", "content": [{"toolResult": result}]})
    specs = [{"name": n, "description": d, "inputSchema": {"json": p}} for n, d, p in schemas(fixed(size))]
    tools = {"tools": [{"toolSpec": spec} for spec in specs]}
    return {"messages": turns, "system": [{"text": text(fixed(size))}], "toolConfig": tools}


def embeddings(size: int) -> Body:
    """No conversation."""
    return {"model": "text-embedding", "input": [text(1_000, n) for n in range(max(1, size // 1_000))]}


def fixed(size: int) -> int:
    """Characters of the system prompt, and of the tools."""
    return min(LONGEST, int(size * SHARE))


def length(size: int) -> int:
    """Characters of one result."""
    return min(RESULT, size // 4)


def rounds(size: int) -> int:
    """Turns that fill what tools and system prompt leave."""
    return max(1, int((size - 2 * fixed(size)) / (length(size) + 300)))


def cost(work: Callable[[], object], seconds: float = 0.01) -> float:
    """µs of CPU time a round, the best of many short runs: others use the machine too."""
    best = float("inf")
    for _ in range(40):
        done, start = 0, time.process_time()
        while (spent := time.process_time() - start) < seconds:
            work()
            done += 1
        best = min(best, spent / done)
    return best * 1e6


def main() -> None:
    """Print the table."""
    print(f"{'body':12s} {'bytes':>9s} {'peek µs':>9s} {'warm µs':>9s} {'first µs':>9s} {'warm ms/MB':>11s}")
    for make in (messages, chat, responses, gemini, converse, embeddings):
        conversation = make is not embeddings
        for size in SIZES:
            body = json.dumps(make(size)).encode()
            hinter = Hinter(KEY)

            def read(hinter: Hinter | None = hinter, body: bytes = body, conversation: bool = conversation) -> None:
                _facts, parts = look(body, JSON, conversation=conversation)
                (hinter or Hinter(KEY)).hints({}, parts)

            alone = cost(lambda body=body: peek(body, JSON))  # type: ignore[misc]
            warm = cost(read)
            first = cost(lambda read=read: read(None)) - cost(lambda: Hinter(KEY))  # type: ignore[misc]
            rate = warm / len(body) * 1e3
            print(f"{make.__name__:12s} {len(body):9d} {alone:9.1f} {warm:9.1f} {first:9.1f} {rate:11.2f}")


if __name__ == "__main__":
    main()
