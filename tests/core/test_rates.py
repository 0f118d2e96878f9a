"""Limits of a port and its clients together, and the cases of AWF's own rate limiter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.rates import REGION_WORDS, RateLimits, RateRefusal, Rates, forget_calls

NAMES = ("requests_per_minute", "requests_per_hour", "bytes_per_minute", "tokens_per_minute", "concurrent_requests")
#: AWF's names of the limits
AWF = {"rpm": "requests_per_minute", "rph": "requests_per_hour", "bytes_pm": "bytes_per_minute"}


def region(workers: int) -> memoryview[int]:
    """Memory that workers share."""
    return memoryview(bytearray(8 * REGION_WORDS * workers)).cast("q")


def granted(answer: int | RateRefusal) -> int:
    """The stamp of a call that was let in."""
    assert isinstance(answer, int), answer
    return answer


def refused(answer: object) -> RateRefusal:
    """The refusal of a call that was not."""
    assert isinstance(answer, RateRefusal), answer
    return answer


@pytest.mark.parametrize(
    ("name", "size", "tokens", "window"),
    [
        ("requests_per_minute", 5, 5, 60),
        ("requests_per_hour", 5, 5, 3600),
        ("bytes_per_minute", 2, 5, 60),
        ("tokens_per_minute", 5, 2, 60),
    ],
)
def test_each_limit(name: str, size: int, tokens: int, window: int) -> None:
    """Three calls' worth: the fourth is refused, and told which limit, how long, how much is left."""
    limit = 3 if "requests" in name else 7
    rates = Rates(RateLimits(**{name: limit}))
    for second in range(3):
        rates.settle(granted(rates.ask(second, size, tokens)), 0)
    refusal = refused(rates.ask(3, size, tokens))
    left = limit - 3 * (1 if "requests" in name else 2)
    bucket = window // 60
    assert refusal == RateRefusal(name, window, limit, left, 2 // bucket * bucket + window + bucket - 3, window + bucket - 3)
    assert rates.remaining(3) == {name: left}
    assert isinstance(rates.ask(refusal.retry_after + 3, size, tokens), int)


def test_calls_at_a_time() -> None:
    """The third waits until one is over."""
    rates = Rates(RateLimits(concurrent_requests=2))
    stamp = granted(rates.ask(0, 1, 1))
    granted(rates.ask(0, 1, 1))
    refusal = refused(rates.ask(0, 1, 1))
    assert (refusal.name, refusal.window, refusal.limit, refusal.possible) == ("concurrent_requests", 0, 2, True)
    assert rates.running == 2
    assert rates.remaining(0) == {"concurrent_requests": 0}
    rates.settle(stamp, 0)
    granted(rates.ask(0, 1, 1))


@given(st.sampled_from(NAMES))
def test_a_limit_of_nothing_refuses_all(name: str) -> None:
    """0 is a limit, None is none; and such a refusal says that waiting is no use."""
    refusal = refused(Rates(RateLimits(**{name: 0})).ask(5, 1, 1))
    assert (refusal.name, refusal.possible) == (name, False)
    granted(Rates(RateLimits()).ask(5, 10**15, 10**15))


def test_more_than_the_whole_limit() -> None:
    """It never fits, and says so; the wait is the window's."""
    refusal = refused(Rates(RateLimits(bytes_per_minute=100)).ask(5, 101, 0))
    assert (refusal.possible, refusal.retry_after, refusal.remaining, refusal.reset) == (False, 60.0, 100, 0.0)


calls = st.lists(
    st.tuples(st.floats(0, 40), st.integers(0, 60), st.integers(0, 60), st.integers(-60, 60)), max_size=60
)
limits = st.builds(RateLimits, **{name: st.none() | st.integers(0, 100) for name in NAMES})


@given(limits, limits, calls)
def test_a_refused_call_counts_nowhere(port: RateLimits, client: RateLimits, asked: list[tuple[float, int, int, int]]) -> None:
    """Neither in the limits before the one that refused it, nor in the other set of limits."""
    both = [Rates(port), Rates(client)]
    now = 0.0
    running: list[tuple[list[int], int]] = []
    for passed, size, tokens, delta in asked:
        now += passed
        before = [each.remaining(now) for each in both]
        refusals = [refusal for each in both if (refusal := each.check(now, size, tokens)) is not None]
        answer = refusals[0] if refusals else [each.take(size, tokens) for each in both]
        after = [each.remaining(now) for each in both]
        if isinstance(answer, RateRefusal):
            assert after == before
            assert answer.retry_after > 0
            assert answer.remaining <= answer.limit
        else:
            cost = dict(zip(NAMES, (1, 1, size, tokens, 1), strict=True))
            assert after == [{name: left - cost[name] for name, left in each.items()} for each in before]
            running.append((answer, delta))
        if len(running) > 5:
            stamps, change = running.pop(0)
            for rates, stamp in zip(both, stamps, strict=True):
                rates.settle(stamp, change)
    assert all(rates.running == len(running) for rates in both)


def test_tokens_are_put_right_in_the_bucket_of_admission() -> None:
    """An estimate of 60 that was 10 leaves 90; a minute later there is nothing to put right."""
    rates = Rates(RateLimits(tokens_per_minute=100))
    stamp = granted(rates.ask(0, 0, 60))
    rates.settle(stamp, -50)
    assert rates.remaining(30) == {"tokens_per_minute": 90}
    late = granted(rates.ask(100, 0, 60))
    rates.settle(late, 5)
    assert rates.remaining(100) == {"tokens_per_minute": 35}
    later = granted(rates.ask(200, 0, 60))
    assert rates.remaining(300) == {"tokens_per_minute": 100}
    rates.settle(later, -50)
    assert rates.remaining(300) == {"tokens_per_minute": 100}


def test_changed_limits() -> None:
    """What was counted stays, new limits begin at 0, limits that are gone refuse nothing."""
    rates = Rates(RateLimits(requests_per_minute=2))
    for _ in range(2):
        granted(rates.ask(0, 10, 10))
    refused(rates.ask(0, 10, 10))
    rates.change(RateLimits(requests_per_minute=3, bytes_per_minute=15))
    granted(rates.ask(0, 10, 10))
    assert refused(rates.ask(0, 1, 1)).name == "requests_per_minute"
    rates.change(RateLimits(bytes_per_minute=15))
    assert refused(rates.ask(0, 10, 10)).name == "bytes_per_minute"


def test_workers_share_every_limit() -> None:
    """Each limit counts over all of them; a dead worker's calls run no more, but what it admitted counts."""
    shared = region(3)
    bounds = RateLimits(
        requests_per_minute=6, requests_per_hour=7, bytes_per_minute=10**6, tokens_per_minute=10**6, concurrent_requests=5
    )
    workers = [Rates(bounds, shared, own) for own in range(3)]
    stamps = [granted(workers[number % 3].ask(1, 1, 1)) for number in range(5)]
    assert refused(workers[0].ask(1, 1, 1)).name == "concurrent_requests"
    assert workers[0].all_running() == 5
    forget_calls(shared, 1)
    assert workers[0].all_running() == 3
    workers[1] = Rates(bounds, shared, 1)
    workers[1].settle(granted(workers[1].ask(1, 1, 1)), 0)
    assert refused(workers[1].ask(1, 1, 1)).name == "requests_per_minute"
    workers[0].settle(stamps[0], 0)
    granted(workers[2].ask(62, 1, 1))
    assert refused(workers[2].ask(62, 1, 1)).name == "requests_per_hour"


def test_a_successor_has_no_calls_that_run() -> None:
    """A worker that takes a dead one's place begins with none, and the others see it."""
    shared = region(2)
    bounds = RateLimits(concurrent_requests=1, requests_per_minute=2)
    dead, other = Rates(bounds, shared, 0), Rates(bounds, shared, 1)
    granted(dead.ask(0, 1, 1))
    assert refused(other.ask(0, 1, 1)).name == "concurrent_requests"
    successor = Rates(bounds, shared, 0)
    assert (successor.all_running(), other.all_running()) == (0, 0)
    granted(other.ask(0, 1, 1))
    assert refused(successor.ask(0, 1, 1)).name == "requests_per_minute"


def test_cases_of_awf(corpus: Path) -> None:
    """What AWF's limiter lets in and refuses, ours does; named in its words."""
    seen = 0
    for line in (corpus / "awf" / "awf_extra_cases.jsonl").read_text().splitlines():
        case = json.loads(line)
        if case["kind"] != "rate_limit":
            continue
        given_, expect = case["input"], case["expect"]
        sizes = given_.get("request_bytes") or [0] * len(expect["allowed"])
        # AWF's cases begin at a whole minute and hour of the clock, and within their buckets, alike
        for begin in (0.0, 3600.0, 12_345.6):
            rates = Rates(RateLimits(**{ours: given_.get(theirs) for theirs, ours in AWF.items()}))
            moments = given_.get("at_seconds") or [0] * len(expect["allowed"])
            answers = [rates.ask(begin + at, size, 0) for at, size in zip(moments, sizes, strict=True)]
            assert [isinstance(answer, int) for answer in answers] == expect["allowed"], case["source"]
            if "limit_type" in expect:
                assert refused(answers[-1]).name == AWF[expect["limit_type"]]
        seen += 1
    assert seen >= 6
