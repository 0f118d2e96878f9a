"""Who makes a call, told by the names that agents send."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.agents import ID_MAX, METADATA_MAX, NOBODY, Speaker, speaker
from awfproxy.core.request import look

SESSION = "0b5f6b1e-7f0e-4b5e-9b67-2f8f4e1d9a11"
TURN = "turn-7:2"
LEGACY = f"user_{'ab' * 32}_account_6e1c0d9e-0000-4000-8000-1234567890ab_session_{SESSION}"
ABOUT = json.dumps({"turn_id": TURN, "workspaces": {"/home/ann/secret": {"has_changes": True}}, "sandbox": "none"})


def told(fields: dict[str, str], body: dict[str, Any] | None = None) -> Speaker:
    """`speaker` of these headers and this body."""
    parts = None
    if body is not None:
        _facts, parts = look(json.dumps({"messages": []} | body).encode(), b"application/json", conversation=True)
        assert parts is not None
    return speaker({k.encode(): v.encode() for k, v in fields.items()}, None if parts is None else parts.members)


@pytest.mark.parametrize(
    ("fields", "body", "expected"),
    [
        ({"user-agent": "python"}, {}, NOBODY),
        ({"user-agent": "python"}, None, NOBODY),
        # Claude Code
        ({"x-claude-code-session-id": SESSION}, None, Speaker(agent="claude-code", session=SESSION)),
        (
            {"x-claude-code-session-id": SESSION, "x-claude-code-agent-id": "a1b2"}, None,
            Speaker(agent="claude-code", session=SESSION, subagent="a1b2"),
        ),
        ({}, {"metadata": {"user_id": LEGACY}}, Speaker(agent="claude-code", session=SESSION)),
        (
            {}, {"metadata": {"user_id": LEGACY.replace("6e1c0d9e-0000-4000-8000-1234567890ab", "")}},
            Speaker(agent="claude-code", session=SESSION),
        ),
        (
            {},
            {"metadata": {"user_id": json.dumps({"device_id": "d" * 64, "account_uuid": "", "session_id": SESSION})}},
            Speaker(agent="claude-code", session=SESSION),
        ),
        ({}, {"metadata": {"user_id": "ann@example.test"}}, NOBODY),
        ({}, {"metadata": {"user_id": "{"}}, NOBODY),
        ({}, {"metadata": {"user_id": 7}}, NOBODY),
        ({}, {"metadata": "x"}, NOBODY),
        ({}, {"metadata": {"user_id": LEGACY, "more": "x" * METADATA_MAX}}, NOBODY),
        # Codex
        (
            {"originator": "codex_cli_rs", "session_id": SESSION, "conversation_id": "c-1"}, None,
            Speaker(agent="codex", session=SESSION),
        ),
        (
            {"x-codex-turn-metadata": ABOUT, "session-id": "root", "thread-id": SESSION, "x-openai-subagent": "review"},
            None,
            Speaker(agent="codex", session=SESSION, subagent="review", turn=TURN),
        ),
        (
            {}, {"client_metadata": {"x-codex-turn-metadata": ABOUT, "thread_id": SESSION}},
            Speaker(agent="codex", session=SESSION, turn=TURN),
        ),
        (
            {}, {"client_metadata": {"x-codex-installation-id": "i-1", "turn_id": TURN, "session_id": SESSION}},
            Speaker(agent="codex", session=SESSION, turn=TURN),
        ),
        ({"originator": "codex_exec"}, {"prompt_cache_key": SESSION}, Speaker(agent="codex", session=SESSION)),
        ({"x-codex-turn-metadata": "{"}, None, Speaker(agent="codex")),
        ({"session_id": SESSION, "originator": "other"}, {"prompt_cache_key": SESSION}, NOBODY),
        # Copilot
        (
            {"x-client-session-id": SESSION, "x-interaction-id": TURN}, None,
            Speaker(agent="copilot", session=SESSION, turn=TURN),
        ),
        ({"copilot-integration-id": "vscode-chat", "vscode-sessionid": "s"}, None, Speaker(agent="copilot")),
    ],
)  # fmt: skip
def test_speakers(fields: dict[str, str], body: dict[str, Any] | None, expected: Speaker) -> None:
    """Each agent's names; of what stands beside the ids nothing is taken."""
    assert told(fields, body) == expected


@pytest.mark.parametrize("value", ["", "a b", "a@b", "x" * (ID_MAX + 1), "/home/ann", 'a"b', "é"])
def test_what_is_no_id_is_not_said(value: str) -> None:
    """Names, paths and the like are not kept."""
    assert told({"x-claude-code-session-id": value}) == Speaker(agent="claude-code")
    assert told({"originator": "codex"}, {"prompt_cache_key": value}) == Speaker(agent="codex")
    assert told({"originator": "codex"}, {"prompt_cache_key": 12345}) == Speaker(agent="codex")


names = st.sampled_from(
    [
        *("x-claude-code-session-id", "x-claude-code-agent-id", "originator", "session_id", "thread-id"),
        *("x-codex-turn-metadata", "x-interaction-id", "x-client-session-id", "x-openai-subagent"),
    ]
)
texts = st.text(max_size=40) | st.just(ABOUT) | st.just("codex") | st.just(SESSION)


@given(
    st.dictionaries(names, texts),
    st.dictionaries(
        st.sampled_from(["metadata", "client_metadata", "prompt_cache_key"]),
        texts | st.dictionaries(st.sampled_from(["user_id", "turn_id", "x-codex-turn-metadata"]), texts | st.integers()),
    ),
)
def test_no_request_raises(fields: dict[str, str], body: dict[str, Any]) -> None:
    """Law: whatever is sent, ids are ids."""
    who = told(fields, body)
    for value in (who.session, who.subagent, who.turn):
        assert value is None or (value.isascii() and 0 < len(value) <= ID_MAX and not set(value) & set(' "/@{'))
