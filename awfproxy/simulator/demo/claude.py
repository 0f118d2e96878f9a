"""An agent as Claude Code is one: it sends the whole conversation with each call, and keeps a log of its session.

The log has the shape of ``~/.claude/projects/<project>/<session>.jsonl`` (`report.turns.claude_log` says where that is
from).  A request that breaks off is sent again, and leaves nothing in the log.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from awfproxy.simulator.demo.sending import COMPLETE, Caller, events_of
from awfproxy.simulator.demo.toolbox import schema_of
from awfproxy.simulator.demo.work import Session, Step, Turn

PATH = "/v1/messages?beta=true"
#: What it may generate with one call.
OUTPUT_MAX = 32_000


class ClaudeAgent:
    """Plays one session.

    :param folder: where the log goes
    """

    def __init__(self, session: Session, caller: Caller, folder: Path) -> None:
        self._session = session
        self._caller = caller
        self._messages: list[dict[str, Any]] = []
        self._lines: list[dict[str, Any]] = []
        self._log = folder / f"{session.name}.jsonl"

    def play(self) -> None:
        """All turns, and the log."""
        for number, turn in enumerate(self._session.turns, 1):
            self._say([{"type": "text", "text": turn.prompt}])
            for step in turn.steps:
                self._step(number, turn, step)
            self._ask(number, turn, None)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in self._lines))

    def _step(self, number: int, turn: Turn, step: Step) -> None:
        called = next((block["id"] for block in self._ask(number, turn, step) if block["type"] == "tool_use"), "")
        result = {"type": "tool_result", "tool_use_id": called, "content": step.result}
        self._say([result], toolUseResult={"stdout": step.result[:80]})

    def _ask(self, number: int, turn: Turn, step: Step | None) -> list[dict[str, Any]]:
        """The blocks that the model answers with, which are in the conversation then."""
        headers = {
            "User-Agent": "claude-cli/2.0.0 (external, cli)",
            "Authorization": "Bearer placeholder-not-a-key",
            "anthropic-version": "2023-06-01",
            "X-Claude-Code-Session-Id": self._session.name,
            "x-awf-feature": self._session.feature,
            "x-sim-cache": "remember",
            "x-sim-tool": "none" if step is None else msgspec.json.encode([step.tool, step.arguments]).decode(),
            "x-sim-events": str(turn.words),
        }
        title = f"{self._session.agent}, turn {number}, {'answer' if step is None else step.tool}"
        broken = 0 if step is None else step.broken_after
        for broken_after in (broken, 0) if broken else (0,):
            answered = self._caller.call(
                "anthropic", PATH, self._body(number), headers,
                title=title, session=self._session.name, turn=number, broken_after=broken_after,
            )  # fmt: skip
        if answered.outcome != COMPLETE or answered.problem:
            return []
        message = _message(events_of(answered.body))
        for block in message["content"]:
            one = {**message, "content": [block]}
            self._write("assistant", message=one, requestId=answered.headers.get("request-id"))
        self._messages.append({"role": "assistant", "content": message["content"]})
        return list(message["content"])

    def _body(self, number: int) -> dict[str, Any]:
        session = self._session
        instructions = session.instructions
        if session.clock:
            instructions += f"\nIt is 09:{10 * number:02d} ."
        return {
            "model": session.model,
            "max_tokens": OUTPUT_MAX,
            "stream": True,
            "system": [_marked({"type": "text", "text": instructions})],
            "tools": [schema_of(tool, "input_schema") for tool in session.tools],
            "messages": [*self._messages[:-1], _last_marked(self._messages[-1])],
        }

    def _say(self, content: list[dict[str, Any]], **more: Any) -> None:
        message = {"role": "user", "content": content}
        self._messages.append(message)
        self._write("user", message=message, **more)

    def _write(self, kind: str, **members: Any) -> None:
        number = len(self._lines)
        self._lines.append(
            {
                "type": kind,
                "sessionId": self._session.name,
                "uuid": f"{self._session.name[:24]}{number:012x}",
                "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "isSidechain": False,
                **members,
            }
        )


def _marked(block: dict[str, Any]) -> dict[str, Any]:
    return block | {"cache_control": {"type": "ephemeral"}}


def _last_marked(message: dict[str, Any]) -> dict[str, Any]:
    *before, last = message["content"]
    return message | {"content": [*before, _marked(last)]}


def _message(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that a stream's events make."""
    message: dict[str, Any] = {}
    arguments = ""
    for event in events:
        if event["type"] == "message_start":
            message = event["message"] | {"content": []}
        elif event["type"] == "content_block_start":
            message["content"].append(event["content_block"])
        elif event["type"] == "content_block_delta":
            block, delta = message["content"][-1], event["delta"]
            if delta["type"] == "text_delta":
                block["text"] += delta["text"]
            else:
                arguments += delta["partial_json"]
        elif event["type"] == "message_delta":
            message["usage"] = message["usage"] | event["usage"]
            message["stop_reason"] = event["delta"]["stop_reason"]
    for block in message["content"]:
        if block["type"] == "tool_use":
            block["input"] = msgspec.json.decode(arguments)
    return message
