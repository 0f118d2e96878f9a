"""What is told of a soft cap, and what the answer to it means."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.alerts import RETRY_AFTER_MAX, RETRY_SECONDS, Alert, Reply, body, pause
from awfproxy.core.budgets import Scope

#: 2026-01-15 12:00:00.250 UTC
NOW = 1_768_478_400.25


def alert(**fields: Any) -> Alert:
    """Of a user's day."""
    start = 1_768_435_200
    facts: dict[str, Any] = {
        "scope": Scope("openai", "user", "ci"), "period": "day", "window_start": start, "window_end": start + 86_400,
        "used": 101, "soft_cap": 100, "hard_cap": 500, "at": NOW,
    }  # fmt: skip
    return Alert(**facts | fields)


def test_the_body() -> None:
    """All names, with times as people and programs read them."""
    assert json.loads(body(alert(), "0123456789abcdef")) == {
        "event": "soft_cap_passed",
        "port": "openai",
        "scope": "user",
        "name": "ci",
        "period": "day",
        "window_start": "2026-01-15T00:00:00.000Z",
        "window_end": "2026-01-16T00:00:00.000Z",
        "used_tokens": 101,
        "soft_cap_tokens": 100,
        "hard_cap_tokens": 500,
        "instance": "0123456789abcdef",
        "timestamp": "2026-01-15T12:00:00.250Z",
    }


def test_a_window_is_one_whatever_was_used_in_it() -> None:
    """And another scope, period or start is another."""
    assert alert().window == alert(used=400, hard_cap=600, at=NOW + 9).window
    others = {alert(scope=Scope("openai")).window, alert(period="week").window, alert(window_start=0).window}
    assert len(others | {alert().window}) == 4


@pytest.mark.parametrize(
    ("status", "delivered", "tried_again"),
    [
        (200, True, False), (202, True, False), (204, True, False), (299, True, False),
        (301, False, False), (302, False, False), (307, False, False), (304, False, False),
        (400, False, False), (401, False, False), (404, False, False), (410, False, False), (422, False, False),
        (408, False, True), (429, False, True), (500, False, True), (502, False, True), (503, False, True),
        (599, False, True), (None, False, True),
    ],
)  # fmt: skip
def test_what_an_answer_means(status: int | None, delivered: bool, tried_again: bool) -> None:
    """It is told, or it is tried again, or it is given up."""
    reply = Reply(status)
    assert reply.delivered is delivered
    if not delivered:
        assert (pause(reply, 1, NOW) is not None) is tried_again


def test_pauses_grow_until_it_is_given_up() -> None:
    """1, 5, 30 seconds, 2 and 10 minutes."""
    assert [pause(Reply(500), attempt, NOW) for attempt in range(1, 7)] == [1.0, 5.0, 30.0, 120.0, 600.0, None]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 1.0), ("1", 1.0), ("17", 17.0), (" 17 ", 17.0), ("3600", 3600.0), ("3601", 3600.0),
        ("9" * 5000, 3600.0), ("-5", 1.0), ("1.5", 1.0), ("soon", 1.0), ("", 1.0), ("²", 1.0),
        ("Thu, 15 Jan 2026 12:01:00 GMT", 59.75), ("Thu, 15 Jan 2026 11:00:00 GMT", 1.0),
        ("Thu, 15 Jan 2099 11:00:00 GMT", 3600.0), ("Thu, 99 Jan 2026 11:00:00 GMT", 1.0),
    ],
)  # fmt: skip
def test_retry_after_is_obeyed_up_to_a_bound(header: str, seconds: float) -> None:
    """As seconds and as a date (RFC 9110 section 10.2.3), never to come sooner; what is neither says nothing."""
    assert pause(Reply(503, header), 1, NOW) == seconds


@given(st.text(), st.integers(1, len(RETRY_SECONDS)), st.floats(0, 4e9))
def test_whatever_a_receiver_asks_for_there_is_a_pause(header: str, attempts: int, now: float) -> None:
    """Between its place in the row and the bound."""
    found = pause(Reply(429, header), attempts, now)
    assert found is not None
    assert RETRY_SECONDS[attempts - 1] <= found <= max(RETRY_AFTER_MAX, RETRY_SECONDS[-1])
