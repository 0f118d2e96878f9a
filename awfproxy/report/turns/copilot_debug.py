"""Copilot CLI: its debug log (``~/.copilot/logs/process-*.log``, written with ``--log-level debug``; gh-aw reads the
same).

Lines of text, ``<ISO time> [LEVEL] text``.  After ``[DEBUG] response (Request-ID <id>):`` and ``[DEBUG] data:`` stands
the whole answer as indented JSON, its lines with the same head or without any.  ``Workspace initialized: <session>``
names the session.  Prompts are not told, so that all calls are one turn, unless the session's events are read too (the
completion's ``id`` is the same in both).  Source: gh-aw's parser of these logs (github.com/github/gh-aw).
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from awfproxy.core.hint_fields import Agent
from awfproxy.report.turns.agent_events import (
    Count,
    Event,
    Step,
    Usage,
    Verdict,
    known_id,
    known_ids,
    model_name,
    seconds,
    tool_name,
)

#: bytes of one answer's JSON: an answer of a hundred thousand tokens
BLOCK_MAX: Final = 1024 * 1024

_head = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z?) \[([A-Z-]{1,16})\] ?").match
_response = re.compile(rb"response \(Request-ID ([A-Za-z0-9:._-]{1,128})\)").match
_workspace = re.compile(rb"Workspace initialized: ([A-Za-z0-9-]{1,64})").match


class _Details(msgspec.Struct, gc=False):
    cached_tokens: Count | None = None
    cache_creation_tokens: Count | None = None


class _Tokens(msgspec.Struct, gc=False):
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    prompt_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None


class _Function(msgspec.Struct, gc=False):
    name: str | None = None


class _Call(msgspec.Struct, gc=False):
    id: str | None = None
    function: _Function | None = None


class _Message(msgspec.Struct, gc=False):
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct, gc=False):
    message: _Message | None = None


class _Answer(msgspec.Struct, gc=False):
    id: str | None = None
    model: str | None = None
    usage: _Tokens | None = None
    choices: list[_Choice] | None = None


_decode = msgspec.json.Decoder(_Answer).decode


class CopilotDebug:
    """Reads one file."""

    agent: Agent = "copilot"

    def __init__(self, place: str) -> None:
        """:param place: what the session is called if the file does not say: the name of the file"""
        self.events: list[Event] = []
        self._session = place
        self._time: float | None = None
        self._request: str | None = None
        #: the lines of the answer that is being read; None: none is
        self._block: bytearray | None = None
        self._waits = False

    def feed(self, line: bytes, number: int) -> Verdict:
        head = _head(line)
        text = line[head.end() :] if head is not None else line
        if head is not None:
            if head[2] != b"DEBUG":
                return self._told(text, number)
            self._time = seconds(head[1].decode("ascii")) or self._time
        if self._block is not None:
            return self._more(text, number)
        if head is None and not self._waits:
            return "passed"
        stripped = text.strip()
        if (response := _response(stripped)) is not None:
            self._request, self._waits = response[1].decode("ascii"), False
        elif stripped == b"data:":
            self._waits = self._request is not None
            return "read" if self._waits else "passed"
        elif self._waits and stripped.startswith(b"{"):
            self._block = bytearray()
            return self._more(text, number)
        else:
            return "passed"
        return "read"

    def finish(self) -> None:
        self._drop()

    def _told(self, text: bytes, number: int) -> Verdict:
        self._drop()
        if (workspace := _workspace(text)) is not None:
            self._session = workspace[1].decode("ascii")
            for event in self.events:
                event.session = self._session
            return "read"
        return "passed"

    def _more(self, text: bytes, number: int) -> Verdict:
        block = self._block
        assert block is not None
        if len(block) + len(text) > BLOCK_MAX:
            self._drop()
            return "broken"
        block += text
        last = text.rstrip()
        # The JSON is indented: its end is the only brace at the beginning of a line (or it is all in one line).
        if last != b"}" and not (len(block) == len(text) and last.endswith(b"}")):
            return "read"
        request = self._request
        self._drop()
        try:
            answer = _decode(block)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return "broken"
        self._answered(answer, known_id(request), number)
        return "read"

    def _drop(self) -> None:
        self._block, self._waits, self._request = None, False, None

    def _answered(self, answer: _Answer, request: str | None, number: int) -> None:
        ids = known_ids(request, answer.id)
        step = Step(
            self._session,
            None,
            known_id(answer.id) or (ids[0] if ids else f"{self._session}:{number}"),
            None,
            self._time,
            ids,
            model_name(answer.model),
            _usage(answer.usage),
            line=number,
        )
        for place, choice in enumerate(answer.choices or ()):
            for other, call in enumerate((choice.message.tool_calls if choice.message is not None else None) or ()):
                name = call.function.name if call.function is not None else None
                step.tools[known_id(call.id) or f"{number}:{place}:{other}"] = tool_name(name)
        self.events.append(step)


def _usage(tokens: _Tokens | None) -> Usage | None:
    if tokens is None:
        return None
    details = tokens.prompt_tokens_details or tokens.input_tokens_details or _Details()
    return Usage(
        tokens.prompt_tokens if tokens.prompt_tokens is not None else tokens.input_tokens,
        details.cached_tokens,
        details.cache_creation_tokens,
        tokens.completion_tokens if tokens.completion_tokens is not None else tokens.output_tokens,
    )
