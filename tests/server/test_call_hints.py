"""Hints in the records of calls."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest

from awfproxy.core.hints import Hinter
from tests.server.stage import Stage
from tests.server.test_call import request, requests, response, usages

SESSION = b"0b5f6b1e-7f0e-4b5e-9b67-2f8f4e1d9a11"
ANSWER = b'{"id":"chatcmpl-1","model":"m","usage":{"prompt_tokens":3,"completion_tokens":4}}'
BODY = json.dumps(
    {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is in a.txt?"},
            {"role": "assistant", "tool_calls": [{"function": {"name": "read", "arguments": '{"path":"a.txt"}'}}]},
            {"role": "tool", "content": "the contents"},
        ],
        "tools": [{"type": "function", "function": {"name": "read"}}],
    }
).encode()


def call(stage: Stage, sent: bytes, answer: bytes = ANSWER) -> None:
    """One call, answered."""
    client = stage.client()
    client.receive(sent)
    stage.turn()
    stage.upstream.receive(response(answer))
    stage.turn()


def test_a_conversation() -> None:
    """Numbers, names and hashes, and nothing of what was said."""
    stage = Stage()
    call(stage, request(BODY))
    hints = usages(stage)[0]["hints"]
    assert hints["messages"] == 4
    assert hints["tools_offered"] == hints["tools_called"] == ["read"]
    assert len(hints["tool_call_hashes"]) == len(hints["tool_result_hashes"]) == 1
    assert {"conversation_hash", "system_hash", "tools_hash"} <= hints.keys()
    line = json.dumps([usages(stage), requests(stage)])
    assert not any(text in line for text in ("Be brief", "What is", "a.txt", "the contents"))


def test_a_compressed_body_says_the_same() -> None:
    """It is decoded on the side anyway."""
    stage = Stage()
    call(stage, request(BODY))
    call(stage, request(zlib.compress(BODY), headers=b"Content-Encoding: deflate\r\n"))
    first, second = usages(stage)
    assert first["hints"] == second["hints"]


def test_the_session_is_the_conversation_unless_it_is_labelled() -> None:
    """In both records; and the ids go on upstream as they came."""
    stage = Stage()
    call(stage, request(BODY, headers=b"X-Claude-Code-Session-Id: %b\r\n" % SESSION))
    assert b"X-Claude-Code-Session-Id: %b\r\n" % SESSION in stage.upstream.sent
    call(stage, request(BODY, headers=b"X-Claude-Code-Session-Id: %b\r\nX-AWF-Conversation: mine\r\n" % SESSION))
    for line in (usages(stage)[0], requests(stage)[0]):
        assert line["conversation"] == SESSION.decode()
    for line in (usages(stage)[1], requests(stage)[1]):
        assert line["conversation"] == "mine"
    assert [each["hints"]["agent"] for each in usages(stage)] == ["claude-code"] * 2
    assert [each["hints"]["session"] for each in usages(stage)] == [SESSION.decode()] * 2


def test_an_answer_and_what_goes_on_from_it() -> None:
    """The hash of a Response's id is in its record, and in that of the request that names it."""
    stage = Stage()
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    answer = {"id": "resp_1", "object": "response", "status": "completed", "model": "m", "usage": usage}
    bodies: list[dict[str, Any]] = [{"model": "m", "input": "a"}, {"input": "b", "previous_response_id": "resp_1"}]
    for body in bodies:
        call(stage, request(json.dumps(body).encode(), path=b"/v1/responses"), json.dumps(answer).encode())
    first, second = (line["hints"] for line in usages(stage))
    assert first["response_id_hash"] == second["previous_response_id_hash"] == stage.port.keyed_hash("resp_1")
    assert "conversation_hash" in first
    assert "conversation_hash" not in second


def test_what_is_no_conversation_has_no_hints() -> None:
    """Embeddings; the record is as before."""
    stage = Stage()
    call(stage, request(b'{"model":"m","input":["a","b"]}', path=b"/v1/embeddings"))
    assert "hints" not in usages(stage)[0]


def test_a_defect_in_hints_costs_no_call(monkeypatch: pytest.MonkeyPatch, logged_failures: Any) -> None:
    """The call goes on and is recorded without."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Hinter, "hints", broken)
    stage = Stage()
    call(stage, request(BODY))
    assert "hints" not in usages(stage)[0]
    assert len(logged_failures.flush(ZeroDivisionError)) == 1
