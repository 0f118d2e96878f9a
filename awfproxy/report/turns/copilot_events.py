"""Copilot CLI: the events of a session (``~/.copilot/session-state/<session>/events.jsonl``; in gh-aw's artifacts
``sandbox/agent/logs/copilot-session-state/<session>/events.jsonl``), and the same events as its SDK gives them.

A line is ``{"type", "data", "id", "timestamp", "agentId"}``.  ``user.message`` begins a turn; ``assistant.message`` is
an answer, or a part of one (``chunkIndex``), with ``outputTokens``, ``apiCallId`` (the completion's id), ``requestId``
(GitHub's ``x-github-request-id``), ``clientRequestId`` (the ``x-request-id`` that the client made) and
``interactionId`` (sent as ``X-Interaction-Id``); ``assistant.usage`` has all counts, but is not written to the file;
``tool.execution_start`` names a tool.  ``agentId``: a sub-agent's.  Source: the generated event types of
github.com/github/copilot-sdk.
"""

from __future__ import annotations

from typing import Final

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
    merged,
    model_name,
    seconds,
    tool_name,
)

#: how the types of Copilot's events begin
_FAMILIES: Final = (
    *("session.", "assistant.", "user.", "tool.", "subagent.", "system.", "hook.", "model.", "permission.", "skill."),
    *("mcp.", "mcp_app.", "command", "external_tool.", "pending_messages.", "abort", "elicitation.", "sampling."),
    "result",
)


class _Request(msgspec.Struct, gc=False):
    id: str | None = msgspec.field(name="toolCallId", default=None)
    name: str | None = None


class _Data(msgspec.Struct, rename="camel", gc=False):
    session_id: str | None = None
    interaction_id: str | None = None
    turn_id: str | None = None
    source: str | None = None
    is_autopilot_continuation: bool | None = None
    message_id: str | None = None
    api_call_id: str | None = None
    request_id: str | None = None
    service_request_id: str | None = None
    provider_call_id: str | None = None
    client_request_id: str | None = None
    parent_tool_call_id: str | None = None
    model: str | None = None
    selected_model: str | None = None
    new_model: str | None = None
    tool_requests: list[_Request] | None = None
    tool_call_id: str | None = None
    tool_name: str | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    #: milliseconds of the call
    duration: float | None = None


class _Line(msgspec.Struct, gc=False):
    type: str | None = None
    data: _Data | None = None
    id: str | None = None
    timestamp: str | None = None
    agent: str | None = msgspec.field(name="agentId", default=None)


_decode = msgspec.json.Decoder(_Line).decode


class CopilotEvents:
    """Reads one file."""

    agent: Agent = "copilot"

    def __init__(self, place: str) -> None:
        """:param place: what the session is called if the file does not say: the name of its folder"""
        self.events: list[Event] = []
        self._session = place
        self._model: str | None = None
        self._steps: dict[str, Step] = {}
        #: the id of what the last prompt of the person has set off
        self._interaction: str | None = None

    def feed(self, line: bytes, number: int) -> Verdict:
        try:
            said = _decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return "broken"
        kind, data = said.type or "", said.data
        if not kind.startswith(_FAMILIES):
            return "unknown"
        if data is None:
            return "passed"
        time = seconds(said.timestamp)
        subagent = known_id(said.agent) or known_id(data.parent_tool_call_id)
        if kind in ("session.start", "session.resume"):
            self._session = known_id(data.session_id) or self._session
            self._model = model_name(data.selected_model) or self._model
        elif kind == "session.model_change":
            self._model = model_name(data.new_model) or self._model
        elif kind == "user.message":
            if data.is_autopilot_continuation or data.source not in (None, "user"):
                return "passed"
            interaction = known_id(data.interaction_id)
            if subagent is None:
                self._interaction = interaction
            key = known_id(said.id) or f"{self._session}:{number}"
            self.events.append(Prompt(self._session, subagent, key, time, interaction, number))
        elif kind in ("assistant.message", "assistant.usage"):
            self._answered(data, subagent, time, number)
        elif kind == "tool.execution_start":
            self._called(data)
        else:
            return "passed"
        return "read"

    def finish(self) -> None:
        pass

    def _answered(self, data: _Data, subagent: str | None, time: float | None, number: int) -> None:
        key = known_id(data.api_call_id) or known_id(data.message_id) or f"{self._session}:{number}"
        begin = time - data.duration / 1000 if time is not None and data.duration else None
        step = Step(
            self._session,
            subagent,
            key,
            begin,
            time,
            known_ids(
                data.request_id,
                data.service_request_id,
                data.provider_call_id,
                data.client_request_id,
                data.api_call_id,
            ),
            model_name(data.model) or self._model,
            _usage(data),
            turn_id=known_id(data.interaction_id) or self._interaction,
            line=number,
        )
        for place, request in enumerate(data.tool_requests or ()):
            step.tools[known_id(request.id) or f"{number}:{place}"] = tool_name(request.name)
        before = self._steps.get(key)
        if before is None:
            self._steps[key] = step
            self.events.append(step)
        else:
            merged(before, step)

    def _called(self, data: _Data) -> None:
        """Tools of answers that list none: they belong to the last answer."""
        last = self.events[-1] if self.events else None
        call = known_id(data.tool_call_id)
        if isinstance(last, Step) and call is not None:
            last.tools.setdefault(call, tool_name(data.tool_name))


def _usage(data: _Data) -> Usage | None:
    prompt, read, written = data.input_tokens, data.cache_read_tokens, data.cache_write_tokens
    if prompt is None and data.output_tokens is None:
        return None
    if prompt is not None and prompt < (read or 0) + (written or 0):
        # Told as Anthropic does: without what was read from the cache or written to it.
        prompt += (read or 0) + (written or 0)
    return Usage(prompt, read, written, data.output_tokens)
