"""What is answered where a limit or a budget does not let a call in."""

from __future__ import annotations

import json

import pytest

from awfproxy.core.budgets import ESTIMATED, HARD_CAP, RESERVED, UNBOUNDED, Reason, Scope
from awfproxy.core.limit_refusals import PATIENCE, REASONS, Amounts, budget_exceeded, rate_limited
from awfproxy.core.rates import WINDOWS, RateRefusal
from awfproxy.core.refusals import Refusal, response
from tests.core.test_refusals import SHAPES, split

NOW = 1_800_000_000.4
END = 1_800_003_600


def budget(reason: Reason, **options: object) -> Refusal:
    """A refusal of a budget."""
    values = {"tokens": Amounts(400, 50, 500, 120), "period": "day", "now": NOW, "window_end": END}
    return budget_exceeded(reason, Scope("main"), **(values | options))  # type: ignore[arg-type]


def rate(**options: object) -> Refusal:
    """A refusal of a rate."""
    values = {
        "name": "requests_per_minute", "window": 60, "limit": 600, "remaining": 0, "reset": 59.2, "retry_after": 34.2,
    }  # fmt: skip
    return rate_limited(RateRefusal(**(values | options)), NOW, of_user=False)  # type: ignore[arg-type]


def headers(refusal: Refusal) -> dict[bytes, bytes]:
    """Of the whole answer."""
    return split(response(refusal, "openai", "id", close=False))[1]


def test_a_rate_has_the_headers_that_clients_know() -> None:
    """As AWF's api-proxy has them: whole seconds to wait, rounded up, and the reset as a time."""
    refusal = rate()
    sent = headers(refusal)
    assert (refusal.status, refusal.type, refusal.code) == (429, "rate_limit_error", "requests_per_minute")
    assert sent[b"retry-after"] == b"35"
    assert sent[b"x-ratelimit-limit"] == b"600"
    assert sent[b"x-ratelimit-remaining"] == b"0"
    assert sent[b"x-ratelimit-reset"] == b"1800000060"
    assert b"x-should-retry" not in sent
    assert refusal.details == {"limit": 600, "window": "per_minute", "retry_after": 35, "scope": "port"}


def test_a_minute_is_never_more_than_a_minute() -> None:
    """A burst may count for 61 seconds; SDKs that are told 61 do not wait at all, or give up."""
    sent = headers(rate(retry_after=60.9))
    assert sent[b"retry-after"] == b"60"
    assert b"x-should-retry" not in sent


@pytest.mark.parametrize(("wait", "retried"), [(0.0, True), (PATIENCE, True), (PATIENCE + 0.1, False), (3000.0, False)])
def test_nobody_is_told_to_wait_longer_than_sdks_do(wait: float, retried: bool) -> None:
    """Beyond a minute they would not wait but try again at once."""
    sent = headers(rate(name="requests_per_hour", window=3600, retry_after=wait))
    assert int(sent[b"retry-after"]) >= 1
    assert (b"x-should-retry" not in sent) is retried


def test_a_request_larger_than_the_whole_limit_is_not_to_be_repeated() -> None:
    """However long somebody waits."""
    refusal = rate(name="bytes_per_minute", retry_after=60.0, possible=False)
    assert headers(refusal)[b"x-should-retry"] == b"false"
    assert "alone is more" in refusal.message


@pytest.mark.parametrize("name", [*(name for name, _ in WINDOWS), "concurrent_requests"])
def test_every_limit_has_its_words(name: str) -> None:
    """A limit that is added must get them."""
    refusal = rate(name=name)
    assert refusal.code == name
    assert refusal.details is not None
    assert refusal.details["window"].startswith(("per_", "concurrent"))


@pytest.mark.parametrize(
    ("reason", "retried", "wait"),
    [(HARD_CAP, False, b"3600"), (ESTIMATED, False, b"3600"), (RESERVED, True, b"3"), (UNBOUNDED, False, None)],
)
def test_what_a_budget_says(reason: Reason, retried: bool, wait: bytes | None) -> None:
    """Final for the period but where only reservations stand in the way."""
    refusal = budget(reason, wait=3, unbounded="web_search")
    sent = headers(refusal)
    assert (refusal.status, refusal.type, refusal.code) == (429, "budget_exceeded", reason)
    assert (b"x-should-retry" not in sent) is retried
    assert sent.get(b"retry-after") == wait
    details = refusal.details
    assert details is not None
    assert (details["used_tokens"], details["reserved_tokens"], details["cap_tokens"]) == (400, 50, 500)
    assert details["estimated_tokens"] == 120
    assert details["resets_at"] == "2027-01-15T09:00:00.000Z"


@pytest.mark.parametrize("shape", SHAPES)
def test_in_every_shape(shape: str) -> None:
    """SDKs of each provider find type and figures where they look."""
    _, _, body = split(response(budget(HARD_CAP), shape, "id", close=False))  # type: ignore[arg-type]
    error = json.loads(body)["error"]
    assert error["type"] == "budget_exceeded"
    assert error["used_tokens"] == 400
    assert error["retryable"] is False


def test_what_other_processes_hold_is_told_apart() -> None:
    """They can be asked for it back; no call runs that has reserved it."""
    refusal = budget(RESERVED, tokens=Amounts(400, 50, 500, 120, lent=30))
    assert refusal.message.endswith("have reserved 50 tokens; other processes hold 30 tokens.")
    assert refusal.details is not None
    assert (refusal.details["reserved_tokens"], refusal.details["lent_tokens"]) == (50, 30)
    assert budget(RESERVED).message.endswith("have reserved 50 tokens.")


def test_without_a_bound_there_is_no_estimate() -> None:
    """Missing is not 0; and the reason is told."""
    refusal = budget(UNBOUNDED, tokens=Amounts(400, 50, 500), unbounded="image_url by reference")
    assert refusal.details is not None
    assert "estimated_tokens" not in refusal.details
    assert "image_url by reference" in refusal.message


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (HARD_CAP, "used up today: $0.30 of $0.25"),
        (ESTIMATED, "may use $0.012345, and the dollar budget of this port has $0.00 left"),
        (RESERVED, "have reserved $0.05"),
    ],
)
def test_what_a_budget_in_dollars_says(reason: Reason, words: str) -> None:
    """In dollars, as numbers; and how the cap in tokens stands, which every refusal of a budget has."""
    refusal = budget(reason, tokens=Amounts(400, 50, 500), usd=Amounts(300_000, 50_000, 250_000, 12_345))
    assert (refusal.type, refusal.code) == ("budget_exceeded", reason)
    details = refusal.details
    assert details is not None
    assert (details["used_usd"], details["reserved_usd"], details["cap_usd"]) == (0.3, 0.05, 0.25)
    assert details["estimated_usd"] == 0.012345
    assert (details["used_tokens"], details["reserved_tokens"], details["cap_tokens"]) == (400, 50, 500)
    assert "estimated_tokens" not in details
    assert words in refusal.message
    assert "token" not in refusal.message


def test_a_budget_in_tokens_says_nothing_of_dollars() -> None:
    """A cap in dollars beside it does not stand in the way."""
    details = budget(HARD_CAP).details
    assert details is not None
    assert not [name for name in details if name.endswith("_usd")]


def test_the_reasons_that_refuse() -> None:
    """All of them, and no others, are words of the refusals."""
    assert set(REASONS) == {"hard-cap-exceeded", "estimated-exceeds-cap", "cap-reserved", "estimate-unbounded"}
