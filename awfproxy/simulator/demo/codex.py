"""An agent as Codex is one: the Responses API, the whole conversation with each call, and a rollout file.

The file has the shape of ``~/.codex/sessions/<year>/<month>/<day>/rollout-<time>-<thread>.jsonl``
(`report.turns.codex_log` says where that is from).  A person may interrupt an answer: what had come of it is lost.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from awfproxy.simulator.demo.sending import COMPLETE, Caller, events_of
from awfproxy.simulator.demo.toolbox import schema_of
from awfproxy.simulator.demo.work import Session, Step, Turn

PATH = "/v1/responses"
#: Tokens that the model thinks before each answer.
REASONING = 64

_COUNTS = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens", "total_tokens")


class CodexAgent:
    """Plays one session.

    :param folder: where the log goes
    """

    def __init__(self, session: Session, caller: Caller, folder: Path) -> None:
        self._session = session
        self._caller = caller
        self._input: list[dict[str, Any]] = []
        self._lines: list[dict[str, Any]] = []
        self._total = dict.fromkeys(_COUNTS, 0)
        self._log = folder / f"rollout-{session.name}.jsonl"

    def play(self) -> None:
        """All turns, and the log."""
        self._write("session_meta", id=self._session.name, originator="codex_cli_rs", cwd="/repository")
        self._say("<environment_context> the repository of a lighthouse </environment_context>")
        for number, turn in enumerate(self._session.turns, 1):
            self._write("event_msg", type="task_started", turn_id=self._turn_id(number))
            self._write("turn_context", turn_id=self._turn_id(number), model=self._session.model)
            self._write("event_msg", type="user_message", message=turn.prompt)
            self._say(turn.prompt)
            for step in turn.steps:
                self._step(number, turn, step)
            self._ask(number, turn, None)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in self._lines))

    def _turn_id(self, number: int) -> str:
        return f"{self._session.name[:24]}{number:012x}"

    def _step(self, number: int, turn: Turn, step: Step) -> None:
        called = next((item for item in self._ask(number, turn, step) if item["type"] == "function_call"), None)
        if called is not None:
            result = {"type": "function_call_output", "call_id": called["call_id"], "output": step.result}
            self._input.append(result)
            self._write("response_item", **result)

    def _ask(self, number: int, turn: Turn, step: Step | None) -> list[dict[str, Any]]:
        """The items that the model answers with, which are in the conversation then."""
        left_after = turn.left_after if step is None else 0
        headers = {
            "User-Agent": "codex_cli_rs/0.60.0 (Linux; x86_64)",
            "Authorization": "Bearer placeholder-not-a-key",
            "originator": "codex_cli_rs",
            "session_id": self._session.name,
            "x-codex-turn-metadata": msgspec.json.encode({"turn_id": self._turn_id(number)}).decode(),
            "x-awf-feature": self._session.feature,
            "x-sim-cache": "remember",
            "x-sim-reasoning": str(REASONING),
            "x-sim-events": str(turn.words),
            "x-sim-tool": "none" if step is None else msgspec.json.encode([step.tool, step.arguments]).decode(),
        }
        answered = self._caller.call(
            "openai", PATH, self._body(), headers,
            title=f"{self._session.agent}, turn {number}, {'answer' if step is None else step.tool}",
            session=self._session.name, turn=number, leave_events=left_after,
        )  # fmt: skip
        if answered.outcome != COMPLETE or answered.problem:
            self._write("event_msg", type="turn_aborted", turn_id=self._turn_id(number), reason="interrupted")
            return []
        response = events_of(answered.body)[-1]["response"]
        for item in response["output"]:
            self._input.append(item)
            self._write("response_item", **item)
        self._used(response["usage"])
        return list(response["output"])

    def _body(self) -> dict[str, Any]:
        session = self._session
        return {
            "model": session.model,
            "instructions": session.instructions,
            "input": self._input,
            "tools": [{"type": "function"} | schema_of(tool, "parameters") for tool in session.tools],
            "tool_choice": "auto",
            "parallel_tool_calls": False,
            "reasoning": {"effort": "medium", "summary": "auto"},
            "store": False,
            "stream": True,
            "include": ["reasoning.encrypted_content"],
            "prompt_cache_key": session.name,
        }

    def _used(self, usage: dict[str, Any]) -> None:
        last = {
            "input_tokens": usage["input_tokens"],
            "cached_input_tokens": usage["input_tokens_details"]["cached_tokens"],
            "output_tokens": usage["output_tokens"],
            "reasoning_output_tokens": usage["output_tokens_details"]["reasoning_tokens"],
            "total_tokens": usage["total_tokens"],
        }
        self._total = {name: self._total[name] + count for name, count in last.items()}
        self._write("event_msg", type="token_count", info={"total_token_usage": self._total, "last_token_usage": last})

    def _say(self, text: str) -> None:
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        self._input.append(item)
        self._write("response_item", **item)

    def _write(self, kind: str, **payload: Any) -> None:
        when = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._lines.append({"timestamp": when, "type": kind, "payload": payload})
