"""Hints of every recorded request body, against a plain reading of the same JSON."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from awfproxy.core.hints import Hinter
from awfproxy.core.records import RECORD_BYTES_MAX
from awfproxy.core.request import look, peek
from awfproxy.core.tools import NAMES_MAX, plain_name

#: conversations that the whole corpus has at least, and those whose newest turn called a tool
CONVERSATIONS, CALLING = 3000, 400


def offered(body: dict[str, Any]) -> list[str]:
    """Names of tools, read without haste."""
    tools: Any = (
        next((body[name] for name in ("tools", "functions") if name in body), None)
        or (body.get("toolConfig") or {}).get("tools")
        or []
    )
    names: list[Any] = []
    for tool in tools if isinstance(tools, list) else []:
        declared = tool.get("functionDeclarations") or tool.get("function_declarations")
        inner = tool.get("function") or tool.get("custom") or tool.get("toolSpec") or tool
        if declared is not None:
            names += [each.get("name") for each in declared]
        elif tool.get("name"):
            names.append(tool["name"])
        else:
            names.append(inner.get("name") or tool.get("type") or next(iter(tool), None))
    plain = [plain_name(json.dumps(name).encode()) for name in names]
    return [name for name in plain if name is not None][:NAMES_MAX]


def called(text: str) -> bool:
    """Whether a call of a tool may stand anywhere in a body."""
    return any(mark in text for mark in ("tool_use", "functionCall", "toolUse", "function_call", "_call", "tool_calls"))


def test_recorded_requests(corpus: Path) -> None:
    """No body raises; counts and names are those that stand there; lines stay short."""
    hinter = Hinter(b"k" * 32)
    seen: Counter[str] = Counter()
    for path in sorted(corpus.glob("*.jsonl.gz")):
        with gzip.open(path) as lines:
            for line in lines:
                text = json.loads(line).get("request_body")
                if not text:
                    continue
                facts, conversation = look(text.encode(), b"application/json", conversation=True)
                assert facts == peek(text.encode(), b"application/json")
                hints = hinter.hints({}, conversation)
                if hints is None or conversation is None:
                    continue
                body = json.loads(text)
                messages = next((body[n] for n in ("messages", "contents", "input") if body.get(n) is not None), None)
                if isinstance(messages, list):
                    assert hints.messages == len(messages)
                    seen["conversations"] += 1
                assert (hints.tools_offered or []) == offered(body)
                if hints.tools_called:
                    assert called(text)
                    assert hints.tool_call_hashes is not None
                    assert len(hints.tools_called) == len(hints.tool_call_hashes)
                    seen["calling"] += 1
                assert len(msgspec.json.encode(hints)) < RECORD_BYTES_MAX / 4
    assert seen["conversations"] >= CONVERSATIONS
    assert seen["calling"] >= CALLING
