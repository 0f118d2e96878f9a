"""Codex: rollout files (``~/.codex/sessions/<year>/<month>/<day>/rollout-<time>-<thread>.jsonl``).

A line is ``{"timestamp", "type", "payload"}``.  ``session_meta`` names the thread; ``turn_context`` the model and the
turn; of ``event_msg``: ``task_started`` and ``user_message`` begin turns, ``token_count`` comes after each call with
``info.last_token_usage`` and the thread's running ``info.total_token_usage`` (and comes again, with the same total,
when only rate limits have changed); ``response_item`` has the calls of tools.  Newer versions write
``token_usage_record`` with the turn's and the response's ids too.  A thread that was forked from another, or is a
sub-agent's, begins with a copy of what came before it, all written in the same second.  Input counts what was cached,
output what was reasoned.  Sources: codex-rs/protocol (github.com/openai/codex), ccusage's adapter for Codex
(github.com/ryoppippi/ccusage).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from awfproxy.core.hint_fields import Agent
from awfproxy.report.turns.agent_events import (
    Count,
    Event,
    Prompt,
    Step,
    Usage,
    Verdict,
    known_id,
    known_ids,
    model_name,
    seconds,
    tool_name,
)

#: seconds within which the copy of an older thread is written at the beginning of a new one
_COPY_TIME: Final = 1.0

_KINDS: Final = frozenset(("session_meta", "turn_context", "event_msg", "response_item", "token_usage_record"))
_PASSED: Final = frozenset(
    ("compacted", "world_state", "inter_agent_communication", "inter_agent_communication_metadata")
)


class _Tokens(msgspec.Struct, gc=False):
    input_tokens: Count | None = None
    cached_input_tokens: Count | None = None
    cache_write_input_tokens: Count | None = None
    output_tokens: Count | None = None


class _Info(msgspec.Struct, gc=False):
    last: _Tokens | None = msgspec.field(name="last_token_usage", default=None)
    total: _Tokens | None = msgspec.field(name="total_token_usage", default=None)


class _Payload(msgspec.Struct, gc=False):
    type: str | None = None
    id: str | None = None
    model: str | None = None
    turn_id: str | None = None
    name: str | None = None
    call_id: str | None = None
    info: _Info | None = None
    response_id: str | None = None
    usage: _Tokens | None = None
    total: _Tokens | None = msgspec.field(name="thread_token_usage", default=None)
    forked_from_id: str | None = None
    parent_thread_id: str | None = None
    source: Any = None


class _Line(msgspec.Struct, gc=False):
    type: str | None = None
    timestamp: str | None = None
    payload: _Payload | None = None


_decode = msgspec.json.Decoder(_Line).decode


class CodexLog:
    """Reads one file."""

    agent: Agent = "codex"

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._session: str | None = None
        self._model: str | None = None
        self._turn: str | None = None
        self._total: Usage | None = None
        self._tools: dict[str, str] = {}
        self._began: float | None = None
        #: what came before this time is a copy
        self._copied_until: float | None = None

    def feed(self, line: bytes, number: int) -> Verdict:
        try:
            said = _decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return "broken"
        kind, payload = said.type, said.payload
        if kind not in _KINDS:
            return "passed" if kind in _PASSED else "unknown"
        if payload is None:
            return "broken"
        time = seconds(said.timestamp)
        if self._began is None:
            self._began = time
        if kind == "session_meta":
            self._meta(payload)
        elif kind == "turn_context":
            self._model = model_name(payload.model) or self._model
            self._begin_turn(payload.turn_id, time, number)
        elif kind == "token_usage_record":
            self._used(payload.usage, payload.total, payload, time, number)
        elif kind == "response_item":
            return self._item(payload, number)
        else:
            return self._event(payload, time, number)
        return "read"

    def finish(self) -> None:
        pass

    def _meta(self, payload: _Payload) -> None:
        if self._session is not None:  # the head of the thread that this one was copied from
            return
        self._session = known_id(payload.id)
        subagent = isinstance(payload.source, dict) and "subagent" in payload.source
        if self._began is not None and (payload.forked_from_id or payload.parent_thread_id or subagent):
            self._copied_until = self._began + _COPY_TIME

    def _event(self, payload: _Payload, time: float | None, number: int) -> Verdict:
        if payload.type == "token_count":
            info = payload.info
            if info is None:
                return "passed"
            self._used(info.last, info.total, payload, time, number)
        elif payload.type in ("task_started", "turn_started"):
            self._begin_turn(payload.turn_id, time, number)
        elif payload.type == "user_message":
            # Older versions name no turns: each message of the person begins one.
            if self._turn is None:
                self._prompt(f"{self._session}:{number}", None, time, number)
        else:
            return "passed"
        return "read"

    def _begin_turn(self, turn: str | None, time: float | None, number: int) -> None:
        turn = known_id(turn)
        if turn is not None and turn != self._turn:
            self._turn = turn
            self._prompt(turn, turn, time, number)

    def _prompt(self, key: str, turn: str | None, time: float | None, number: int) -> None:
        if self._session is not None and not self._is_copy(time):
            self.events.append(Prompt(self._session, None, key, time, turn, number))

    def _item(self, payload: _Payload, number: int) -> Verdict:
        kind = payload.type or ""
        if not kind.endswith("_call"):
            return "passed"
        self._tools[known_id(payload.call_id) or known_id(payload.id) or str(number)] = tool_name(
            payload.name or kind[: -len("_call")]
        )
        return "read"

    def _used(
        self, last: _Tokens | None, total: _Tokens | None, payload: _Payload, time: float | None, number: int
    ) -> None:
        running, before = _usage(total), self._total
        if running is not None:
            self._total = running
        if self._session is None or self._is_copy(time):
            self._tools = {}
            return
        if running is not None and running == before:
            # The same call told again: with its ids (a record of its own), or because a rate limit changed.
            self._told_again(payload)
            return
        grown = None if running is None else running if before is None else running.less(before)
        usage = _usage(last) or grown
        if usage is None or not (usage.prompt or usage.output):
            return
        step = Step(
            self._session,
            None,
            f"{self._session}:{_key(running) or number}",
            None,
            time,
            known_ids(payload.response_id),
            self._model,
            usage,
            tools=self._tools,
            turn_id=known_id(payload.turn_id) or self._turn,
            line=number,
        )
        if grown is not None and before is not None and grown != usage:
            missing = grown.less(usage)
            step.missing = missing if missing.prompt or missing.output else None
        self._tools = {}
        self.events.append(step)

    def _told_again(self, payload: _Payload) -> None:
        last = self.events[-1] if self.events else None
        if isinstance(last, Step):
            last.ids = tuple(dict.fromkeys((*last.ids, *known_ids(payload.response_id))))
            last.tools.update(self._tools)
            self._tools = {}

    def _is_copy(self, time: float | None) -> bool:
        return self._copied_until is not None and time is not None and time <= self._copied_until


def _usage(tokens: _Tokens | None) -> Usage | None:
    if tokens is None or (tokens.input_tokens is None and tokens.output_tokens is None):
        return None
    return Usage(
        tokens.input_tokens, tokens.cached_input_tokens, tokens.cache_write_input_tokens, tokens.output_tokens
    )


def _key(total: Usage | None) -> str | None:
    """A thread's running total tells its calls apart: it only grows."""
    return None if total is None else f"{total.prompt}/{total.output}"
