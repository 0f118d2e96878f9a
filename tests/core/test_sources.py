"""Where figures are from: the rule as a table."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core import outcomes
from awfproxy.core.sources import REASONS, judge


@dataclass
class Read:
    """What a scan brought, as far as the rule looks at it."""

    usage: Any = None
    final: bool = False
    error_seen: bool = False
    errors: dict[str, int] = field(default_factory=dict)


FINAL = Read(usage=object(), final=True)
BEGUN = Read(usage=object())
NOTHING = Read()
FAILED = Read(error_seen=True)
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
        ("complete", True, True, 200, FAILED, ("estimated", "error-in-answer")),
        ("complete", None, True, 200, FAILED, ("none", "error-in-answer")),
        ("upstream_cut", True, True, 200, FAILED, ("estimated", "upstream_cut")),
        ("upstream_cut", True, True, 200, NOTHING, ("estimated", "upstream_cut")),
        ("timed_out", True, True, None, None, ("estimated", "timed_out")),
        ("complete", True, True, 200, BOMB, ("none", "ratio")),
        ("complete", True, True, 429, NOTHING, ("none", "status")),
        ("complete", True, True, 304, NOTHING, ("none", "status")),
        ("upstream_failed", True, False, None, None, ("none", "not-sent")),
        ("refused", True, False, 403, None, ("none", "not-sent")),
        ("complete", False, True, 200, FINAL, ("none", "not-a-model-call")),
        ("complete", None, True, 200, NOTHING, ("none", "no-usage-in-answer")),
        ("client_left", None, True, None, None, ("none", "client_left")),
        ("complete", None, True, 200, BEGUN, ("partial", "no-final-usage")),
    ],
)
def test_the_rule(
    outcome: Any, model_call: bool | None, sent: bool, status: int | None, reading: Any, expected: tuple[str, Any]
) -> None:
    """Each row is a way a call can end."""
    assert judge(outcome, model_call=model_call, sent=sent, status=status, reading=reading) == expected


def test_a_path_that_no_rule_knows() -> None:
    """Only what is reported counts there, and the reason says that the path is not known."""
    unknown = {"model_call": None, "sent": True, "status": 200, "path_known": False}
    assert judge("complete", reading=FINAL, **unknown) == ("reported", None)  # type: ignore[arg-type]
    assert judge("complete", reading=NOTHING, **unknown) == ("none", "unknown-path")  # type: ignore[arg-type]
    assert judge("bad_request", reading=None, **unknown) == ("none", "unknown-path")  # type: ignore[arg-type]


def test_work_that_goes_on() -> None:
    """What works in the background has used nothing yet; where it failed at once, the status says so."""
    call = {"model_call": True, "sent": True, "background": True}
    assert judge("complete", reading=NOTHING, status=200, **call) == ("none", "background")  # type: ignore[arg-type]
    assert judge("complete", reading=FINAL, status=200, **call) == ("reported", None)  # type: ignore[arg-type]
    assert judge("complete", reading=NOTHING, status=400, **call) == ("none", "status")  # type: ignore[arg-type]


@given(
    st.sampled_from(outcomes.OUTCOMES),
    st.sampled_from([True, False, None]),
    st.booleans(),
    st.one_of(st.none(), st.integers(100, 599)),
    st.sampled_from([None, FINAL, BEGUN, NOTHING, BROKEN, BOMB]),
    st.booleans(),
    st.booleans(),
)
def test_missing_is_always_named(
    outcome: Any, model_call: Any, sent: bool, status: Any, reading: Any, path_known: bool, background: bool
) -> None:
    """Reported figures have no reason, all others have one from a closed list; estimates only after a full send."""
    source, reason = judge(
        outcome, model_call=model_call, sent=sent, status=status, reading=reading, path_known=path_known,
        background=background,
    )  # fmt: skip
    assert (reason is None) == (source == "reported")
    assert reason in (None, "bad-count", "ratio", *REASONS, *outcomes.OUTCOMES)
    if source == "estimated":
        assert sent
        assert model_call
        assert status is None or 200 <= status < 300
