"""Claude Code: session files (``~/.claude/projects/<project>/<session>.jsonl``, and those of sub-agents in
``<session>/subagents/``), and what ``claude --output-format stream-json`` prints.

A line is an object with ``type``.  ``user``: a prompt, or results of tools; ``assistant``: one content block of an
answer, so that several lines have the same ``message.id``, ``requestId`` and ``message.usage`` and are one call.
``requestId`` is the provider's ``request-id`` header.  A sub-agent's lines have ``isSidechain`` (and since version 2
``agentId``), in stream-json ``parent_tool_use_id``; stream-json has ``session_id`` and mostly no times.  The output
count of a line may be that of the answer's beginning.  Sources: ccusage's guide and adapter for Claude Code
(github.com/ryoppippi/ccusage), Anthropic's documentation of stream-json.
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
    merged,
    model_name,
    seconds,
    tool_name,
)

#: model of messages that the agent wrote itself: errors, interruptions
_SYNTHETIC: Final = "<synthetic>"
#: How texts begin that the agent writes in the person's name: its own commands, their output, interruptions, reminders.
#: A slash command or a skill that prompts the model begins with ``<command-message>`` and is a prompt.
_NOT_ASKED: Final = (
    "<local-command",
    "<command-name>",
    "<bash-",
    "<system-reminder>",
    "<task-notification>",
    "[Request interrupted",
    "Caveat:",
)
#: types of lines that tell nothing of turns
_PASSED: Final = frozenset(
    (
        *("summary", "system", "attachment", "progress", "file-history-snapshot", "queue-operation", "last-prompt"),
        *("custom-title", "ai-title", "agent-name", "mode", "pr-link", "tag", "result", "stream_event"),
        *("rate_limit_event", "tool_use_summary"),
        *("permission-mode", "cost-state", "tool_progress", "auth_status", "control_request", "control_response"),
    )
)


class _Tokens(msgspec.Struct, gc=False):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None


class _Block(msgspec.Struct, gc=False):
    type: str | None = None
    id: str | None = None
    name: str | None = None
    text: str | None = None


class _Message(msgspec.Struct, gc=False):
    id: str | None = None
    model: str | None = None
    role: str | None = None
    usage: _Tokens | None = None
    content: str | list[_Block | str] | None = None


class _Line(msgspec.Struct, gc=False):
    type: str | None = None
    message: _Message | None = None
    session: str | None = msgspec.field(name="sessionId", default=None)
    session_id: str | None = None
    request: str | None = msgspec.field(name="requestId", default=None)
    timestamp: str | None = None
    uuid: str | None = None
    parent: str | None = msgspec.field(name="parentUuid", default=None)
    agent: str | None = msgspec.field(name="agentId", default=None)
    sidechain: bool | None = msgspec.field(name="isSidechain", default=None)
    parent_tool: str | None = msgspec.field(name="parent_tool_use_id", default=None)
    meta: bool | None = msgspec.field(name="isMeta", default=None)
    compact: bool | None = msgspec.field(name="isCompactSummary", default=None)
    result: Any = msgspec.field(name="toolUseResult", default=None)


_decode = msgspec.json.Decoder(_Line).decode


class ClaudeLog:
    """Reads one file."""

    agent: Agent = "claude-code"

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._steps: dict[str, Step] = {}
        #: the first line of the side chain that each line is of, where no agent's id tells
        self._roots: dict[str, str] = {}

    def feed(self, line: bytes, number: int) -> Verdict:
        try:
            said = _decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return "broken"
        message = said.message
        kind = said.type or (message.role if message is not None else None)
        session = known_id(said.session) or known_id(said.session_id)
        if kind not in ("user", "assistant"):
            return "passed" if kind in _PASSED else "unknown"
        if session is None or message is None:
            return "broken"
        time = seconds(said.timestamp)
        subagent = self._subagent(said)
        if kind == "user":
            if not _asks(said, message):
                return "passed"
            key = known_id(said.uuid) or f"{session}:{number}"
            self.events.append(Prompt(session, subagent, key, time, line=number))
            return "read"
        if message.model == _SYNTHETIC:
            return "passed"
        self._answered(said, message, session, subagent, number)
        return "read"

    def finish(self) -> None:
        pass

    def _answered(self, said: _Line, message: _Message, session: str, subagent: str | None, number: int) -> None:
        time = seconds(said.timestamp)
        key = known_id(message.id) or known_id(said.request) or known_id(said.uuid) or f"{session}:{number}"
        step = Step(
            session,
            subagent,
            key,
            time,
            time,
            known_ids(said.request, message.id),
            model_name(message.model),
            _usage(message.usage),
            line=number,
        )
        for place, block in enumerate(message.content if isinstance(message.content, list) else ()):
            if isinstance(block, _Block) and block.type is not None and block.type.endswith("tool_use"):
                step.tools[known_id(block.id) or f"{number}:{place}"] = tool_name(block.name)
        before = self._steps.get(key)
        if before is None:
            self._steps[key] = step
            self.events.append(step)
        else:
            merged(before, step)

    def _subagent(self, said: _Line) -> str | None:
        if (parent := known_id(said.parent_tool)) is not None:
            return parent
        if not said.sidechain:
            return None
        if (agent := known_id(said.agent)) is not None:
            return agent
        uuid = known_id(said.uuid)
        root = self._roots.get(said.parent or "", uuid) or "sidechain"
        if uuid is not None:
            self._roots[uuid] = root
        return root


def _usage(tokens: _Tokens | None) -> Usage | None:
    if tokens is None or tokens.input_tokens is None:
        return None
    # Anthropic's input does not count what was read from the cache or written to it.
    read, written = tokens.cache_read_input_tokens, tokens.cache_creation_input_tokens
    return Usage(tokens.input_tokens + (read or 0) + (written or 0), read, written, tokens.output_tokens)


def _asks(said: _Line, message: _Message) -> bool:
    """Whether this is a prompt: not a tool's result, nor what the agent wrote in the person's name."""
    if said.meta or said.compact or said.result is not None:
        return False
    content = message.content
    if isinstance(content, str):
        return not content.lstrip().startswith(_NOT_ASKED)
    asked = False
    for block in content or ():
        if isinstance(block, str):
            asked = True
        elif block.type is not None and block.type.endswith("tool_result"):
            return False
        elif block.text is None or not block.text.lstrip().startswith(_NOT_ASKED):
            asked = True
    return asked
