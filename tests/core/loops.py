"""Agent loops as requests: the same story told in the words of each API, one request for each call of the model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

Body = dict[str, Any]
#: of one turn of the model: name, argument, result of each call
Calls = list[tuple[str, str, str]]
#: what was said so far: "user" and "assistant" with a text, "calls" with what the model called and got
History = list[tuple[str, Any]]


class Step(msgspec.Struct):
    """A person says something; the model calls tools some times over, then answers."""

    prompt: str
    turns: list[Calls]
    answer: str


def chat(system: str, tools: list[str], history: History) -> Body:
    """OpenAI chat; Ollama and Cohere likewise."""
    said: list[Body] = [{"role": "system", "content": system}]
    for kind, what in history:
        if kind == "calls":
            calls = [
                {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": json.dumps({"x": argument})}}
                for n, (name, argument, _) in enumerate(what)
            ]
            said.append({"role": "assistant", "content": None, "tool_calls": calls})
            said += [{"role": "tool", "tool_call_id": f"c{n}", "content": each[2]} for n, each in enumerate(what)]
        else:
            said.append({"role": kind, "content": what})
    functions = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in tools]
    return {"model": "m", "messages": said, "tools": functions}


def messages(system: str, tools: list[str], history: History) -> Body:
    """Anthropic, as Claude Code sends it: the mark of the cache stands at the newest message, whose text is an array of
    parts then and a text alone later; the first system block has a checksum of the body in it."""
    said: list[Body] = []
    for kind, what in history:
        if kind == "calls":
            calls = [{"type": "tool_use", "id": "t", "name": name, "input": {"x": each}} for name, each, _ in what]
            results = [{"type": "tool_result", "tool_use_id": "t", "content": result} for *_, result in what]
            said += [{"role": "assistant", "content": calls}, {"role": "user", "content": results}]
        else:
            said.append({"role": kind, "content": what})
    newest = said[-1]["content"]
    parts: list[Body] = [{"type": "text", "text": newest}] if isinstance(newest, str) else newest
    parts[-1]["cache_control"] = {"type": "ephemeral"}
    said[-1]["content"] = parts
    billing = {"type": "text", "text": f"x-anthropic-billing-header: cc_version=1; cch={len(said):05x};"}
    blocks = [billing, {"type": "text", "text": system, "cache_control": {"type": "ephemeral"}}]
    offered = [{"name": name, "input_schema": {}} for name in tools]
    return {"model": "m", "system": blocks, "messages": said, "tools": offered}


def responses(system: str, tools: list[str], history: History) -> Body:
    """OpenAI Responses, the whole input each time."""
    items: list[Body] = []
    for kind, what in history:
        if kind == "calls":
            items.append({"type": "reasoning", "summary": [], "encrypted_content": "AAAA"})
            for n, (name, argument, _) in enumerate(what):
                arguments = json.dumps({"x": argument})
                items.append({"type": "function_call", "call_id": f"c{n}", "name": name, "arguments": arguments})
            for n, (*_, result) in enumerate(what):
                items.append({"type": "function_call_output", "call_id": f"c{n}", "output": result})
        else:
            form = "input_text" if kind == "user" else "output_text"
            items.append({"type": "message", "role": kind, "content": [{"type": form, "text": what}]})
    offered = [{"type": "function", "name": name, "parameters": {}} for name in tools]
    return {"model": "m", "instructions": system, "input": items, "tools": offered}


def gemini(system: str, tools: list[str], history: History) -> Body:
    """generateContent."""
    contents: list[Body] = []
    for kind, what in history:
        if kind == "calls":
            calls = [{"functionCall": {"name": name, "args": {"x": argument}}} for name, argument, _ in what]
            results = [{"functionResponse": {"name": name, "response": {"out": result}}} for name, _, result in what]
            contents += [{"role": "model", "parts": calls}, {"role": "user", "parts": results}]
        else:
            contents.append({"role": "user" if kind == "user" else "model", "parts": [{"text": what}]})
    offered = [{"functionDeclarations": [{"name": name} for name in tools]}]
    return {"contents": contents, "systemInstruction": {"parts": [{"text": system}]}, "tools": offered}


def converse(system: str, tools: list[str], history: History) -> Body:
    """Bedrock Converse."""
    said: list[Body] = []
    for kind, what in history:
        if kind == "calls":
            calls = [{"toolUse": {"toolUseId": "t", "name": name, "input": {"x": each}}} for name, each, _ in what]
            results = [{"toolResult": {"toolUseId": "t", "content": [{"text": result}]}} for *_, result in what]
            said += [{"role": "assistant", "content": calls}, {"role": "user", "content": results}]
        else:
            said.append({"role": kind, "content": [{"text": what}]})
    config = {"tools": [{"toolSpec": {"name": name, "inputSchema": {"json": {}}}} for name in tools]}
    return {"messages": said, "system": [{"text": system}], "toolConfig": config}


SHAPES: dict[str, Callable[[str, list[str], History], Body]] = {
    each.__name__: each for each in (chat, messages, responses, gemini, converse)
}


def requests(shape: str, system: str, tools: list[str], story: list[Step]) -> Iterator[Body]:
    """The bodies of a whole conversation, in order."""
    tell = SHAPES[shape]
    history: History = []
    for step in story:
        history.append(("user", step.prompt))
        yield tell(system, tools, history)
        for turn in step.turns:
            history.append(("calls", turn))
            yield tell(system, tools, history)
        history.append(("assistant", step.answer))
