"""The members of a usage record's `hints`: numbers, names and keyed hashes, never content (docs/records.md, "Hints").

`core.hints` makes them; readers of records need only this.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Agent = Literal["claude-code", "codex", "copilot"]


class Hints(msgspec.Struct, omit_defaults=True):
    """`hints` of a usage record; None: not said."""

    agent: Agent | None = None
    session: str | None = None
    subagent: str | None = None
    turn: str | None = None
    messages: int | None = None
    conversation_hash: str | None = None
    system_hash: str | None = None
    tools_hash: str | None = None
    #: bytes of the tools' JSON
    tools_bytes: int | None = None
    #: how many tools are offered, where not all names are in ``tools_offered``
    tools: int | None = None
    tools_offered: list[str] | None = None
    #: of the newest turn, in its order; ``tool_call_hashes`` beside them, of name and arguments
    tools_called: list[str] | None = None
    tool_call_hashes: list[str] | None = None
    tool_result_hashes: list[str] | None = None
    previous_response_id_hash: str | None = None
    response_id_hash: str | None = None
