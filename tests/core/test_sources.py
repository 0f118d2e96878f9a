"""Where figures are from: the rule as a table."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core import outcomes
from awfproxy.core.sources import REASONS, estimate, judge


@dataclass
class Read:
    """What a scan brought, as far as the rule looks at it."""

    usage: Any = None
    final: bool = False
    errors: dict[str, int] = field(default_factory=dict)


FINAL = Read(usage=object(), final=True)
BEGUN = Read(usage=object())
NOTHING = Read()
BROKEN = Read(errors={"bad-count": 1})
BOMB = Read(errors={"ratio": 1})


@pytest.mark.parametrize(
    ("outcome", "model_call", "sent", "status", "reading", "expected"),
    [
        ("complete", True, True, 200, FINAL, ("reported", None)),
        ("client_left", True, True, 200, FINAL, ("reported", None)),
        ("complete", None, True, 200, FINAL, ("reported", None)),
        ("complete", True, True, 400, FINAL, ("reported", None)),
        ("client_left", True, True, 200, BEGUN, ("partial", "client_left")),
        ("complete", True, True, 200, BEGUN, ("partial", "no-final-usage")),
        ("complete", True, True, 200, NOTHING, ("estimated", "no-usage-in-answer")),
        ("complete", True, True, 200, BROKEN, ("estimated", "bad-count")),
        ("upstream_cut", True, True, 200, NOTHING, ("estimated", "upstream_cut")),
        ("timed_out", True, True, None, None, ("estimated", "timed_out")),
        ("complete", True, True, 200, BOMB, ("none", "ratio")),
        ("complete", True, True, 429, NOTHING, ("none", "status")),
        ("complete", True, True, 304, NOTHING, ("none", "status")),
        ("upstream_failed", True, False, None, None, ("none", "not-sent")),
        ("refused", True, False, 403, None, ("none", "not-sent")),
        ("complete", False, True, 200, FINAL, ("none", "not-a-model-call")),
        ("complete", None, True, 200, NOTHING, ("none", "unknown-path")),
        ("bad_request", None, False, 400, None, ("none", "unknown-path")),
    ],
)
def test_the_rule(
    outcome: Any, model_call: bool | None, sent: bool, status: int | None, reading: Any, expected: tuple[str, Any]
) -> None:
    """Each row is a way a call can end."""
    assert judge(outcome, model_call=model_call, sent=sent, status=status, reading=reading) == expected


@given(
    st.sampled_from(outcomes.OUTCOMES),
    st.sampled_from([True, False, None]),
    st.booleans(),
    st.one_of(st.none(), st.integers(100, 599)),
    st.sampled_from([None, FINAL, BEGUN, NOTHING, BROKEN, BOMB]),
)
def test_missing_is_always_named(outcome: Any, model_call: Any, sent: bool, status: Any, reading: Any) -> None:
    """Reported figures have no reason, all others have one from a closed list; estimates only after a full send."""
    source, reason = judge(outcome, model_call=model_call, sent=sent, status=status, reading=reading)
    assert (reason is None) == (source == "reported")
    assert reason in (None, "bad-count", "ratio", *REASONS, *outcomes.OUTCOMES)
    if source == "estimated":
        assert sent
        assert model_call
        assert status is None or 200 <= status < 300


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**6), st.booleans())
def test_estimates_grow_with_the_bytes(request: int, response: int, more: int, streaming: bool) -> None:
    """Nothing is nothing, anything is at least a token, and more bytes are never fewer tokens."""
    given_in, given_out = estimate(request, response, streaming=streaming)
    more_in, more_out = estimate(request + more, response + more, streaming=streaming)
    assert (given_in > 0) == (request > 0)
    assert (given_out > 0) == (response > 0)
    assert more_in >= given_in
    assert more_out >= given_out
