"""Which agent makes a call, and the ids that its own log has for the session and the turn.

One table of names for each agent; an agent is told by the names that only it sends.  Kept are random ids and nothing
else of what stands beside them: account ids, ids of devices, user names and paths of the workspace stay where they are.
What does not look like an id counts as not said.

- Claude Code: the headers `X-Claude-Code-Session-Id` and, from a sub-agent, `X-Claude-Code-Agent-Id` (its LLM gateway
  documentation); before them `metadata.user_id`, as `user_…_account_…_session_…` or as JSON with `session_id`.
- Codex: `thread-id`, `session-id`, formerly `session_id` and `conversation_id`; `x-codex-turn-metadata`, a JSON object
  with `turn_id`; the body's `client_metadata` and `prompt_cache_key` (its sources: the thread's id).  A rollout file is
  named by the thread, so that goes first.
- Copilot: `X-Client-Session-Id`, and `X-Interaction-Id` for what one prompt of a person sets off.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from awfproxy.core.hint_fields import Agent
from awfproxy.core.request import Members
from awfproxy.core.undecodable import UNDECODABLE

#: bytes of JSON that is looked into for an id: workspaces make it long
METADATA_MAX: Final = 16 * 1024
#: characters of an id; a UUID has 36
ID_MAX: Final = 128


class Speaker(msgspec.Struct, frozen=True, kw_only=True):
    """None: not said."""

    agent: Agent | None = None
    session: str | None = None
    #: which of the session's sub-agents: an id (Claude Code) or its task in a word (Codex)
    subagent: str | None = None
    turn: str | None = None


NOBODY: Final = Speaker()

_CODEX_SESSION: Final = (b"thread-id", b"session-id", b"session_id", b"conversation_id")
_CODEX_ONLY: Final = (b"x-codex-turn-metadata", b"x-codex-window-id", b"x-codex-installation-id")
_COPILOT_ONLY: Final = (b"x-client-session-id", b"x-interaction-id", b"copilot-integration-id")
#: one of these comes with every call of an agent; the others are looked for only then
_TELLING: Final = frozenset((b"x-claude-code-session-id", b"originator", *_CODEX_ONLY, *_COPILOT_ONLY))

_is_id = re.compile(rb"[A-Za-z0-9._:-]{1,%d}" % ID_MAX).fullmatch
_legacy_session = re.compile(r"user_[0-9a-f]{8,}_account_[0-9a-f-]*_session_([0-9a-f-]{8,})").fullmatch


class _Ids(msgspec.Struct):
    """Members of `metadata`, of the JSON in its `user_id`, of `client_metadata` and of `x-codex-turn-metadata`."""

    user_id: Raw | UnsetType = UNSET
    session_id: Raw | UnsetType = UNSET
    thread_id: Raw | UnsetType = UNSET
    turn_id: Raw | UnsetType = UNSET
    turn_metadata: Raw | UnsetType = msgspec.field(name="x-codex-turn-metadata", default=UNSET)
    installation: Raw | UnsetType = msgspec.field(name="x-codex-installation-id", default=UNSET)


_decode_ids = msgspec.json.Decoder(_Ids).decode
_decode_text = msgspec.json.Decoder(str).decode
_NO_IDS: Final = _Ids()


def speaker(fields: dict[bytes, bytes], members: Members | None) -> Speaker:
    """Who makes this call.

    :param fields: the request's headers by lower-case name
    :param members: of its body, where that is a conversation
    """
    told = not _TELLING.isdisjoint(fields)
    if told and b"x-claude-code-session-id" in fields:
        return Speaker(
            agent="claude-code",
            session=_field(fields, b"x-claude-code-session-id"),
            subagent=_field(fields, b"x-claude-code-agent-id"),
        )
    if members is not None and members.metadata is not UNSET:
        session = _claude_session(members.metadata)
        if session is not None:
            return Speaker(agent="claude-code", session=session)
    sent = _NO_IDS if members is None or members.client_metadata is UNSET else _ids(members.client_metadata)
    if (
        (told and (fields.get(b"originator", b"").startswith(b"codex") or any(name in fields for name in _CODEX_ONLY)))
        or sent.turn_metadata is not UNSET
        or sent.installation is not UNSET
    ):
        return _codex(fields, members, sent)
    if told and any(name in fields for name in _COPILOT_ONLY):
        return Speaker(
            agent="copilot",
            session=_field(fields, b"x-client-session-id"),
            turn=_field(fields, b"x-interaction-id"),
        )
    return NOBODY


def _codex(fields: dict[bytes, bytes], members: Members | None, sent: _Ids) -> Speaker:
    about = fields.get(b"x-codex-turn-metadata")
    turn = _ids(about) if about is not None else _inner(sent.turn_metadata)
    session = next((found for name in _CODEX_SESSION if (found := _field(fields, name)) is not None), None)
    for raw in (sent.thread_id, turn.thread_id, sent.session_id, turn.session_id):
        session = session or _member(raw)
    if session is None and members is not None:
        session = _member(members.prompt_cache_key)
    return Speaker(
        agent="codex",
        session=session,
        subagent=_field(fields, b"x-openai-subagent"),
        turn=_member(turn.turn_id) or _member(sent.turn_id),
    )


def _claude_session(metadata: Raw) -> str | None:
    raw = _ids(metadata).user_id
    if raw is UNSET:
        return None
    try:
        text = _decode_text(raw)
    except UNDECODABLE:
        return None
    if text.startswith("{"):
        return _member(_ids(text.encode()).session_id)
    found = _legacy_session(text)
    return None if found is None else found[1]


def _inner(raw: Raw | UnsetType) -> _Ids:
    """The ids of an object that is sent as text."""
    if raw is UNSET:
        return _NO_IDS
    try:
        return _ids(_decode_text(raw).encode())
    except UNDECODABLE:
        return _NO_IDS


def _ids(raw: Raw | bytes) -> _Ids:
    if memoryview(raw).nbytes > METADATA_MAX:
        return _NO_IDS
    try:
        return _decode_ids(raw)
    except UNDECODABLE:
        return _NO_IDS


def _field(fields: dict[bytes, bytes], name: bytes) -> str | None:
    value = fields.get(name)
    return value.decode("ascii") if value is not None and _is_id(value) else None


def _member(raw: Raw | UnsetType) -> str | None:
    if raw is UNSET:
        return None
    value = bytes(raw)
    quoted = value[1:-1]  # with an escape in it, it is no id
    return quoted.decode("ascii") if value[:1] == b'"' and _is_id(quoted) else None
