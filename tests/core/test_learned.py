"""Learned estimates: laws, and how far they let a cap be overrun by calls of realistic sizes.

Run with ``-s`` to see the table.
"""

from __future__ import annotations

import heapq
import random
from typing import Final, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.budgets import judge
from awfproxy.core.learned import (
    LEAST_BYTES,
    MILLION,
    MODELS_MAX,
    PRIOR_INPUT,
    PRIOR_OUTPUT,
    Estimator,
    Estimators,
)

sizes = st.integers(0, 32 * 2**20)
calls = st.lists(st.tuples(sizes, st.integers(0, 10**6), st.integers(0, 10**6)), max_size=60)


def taught(seen: list[tuple[int, int, int]]) -> Estimator:
    """An estimator that has seen this."""
    estimator = Estimator()
    for call in seen:
        estimator.learn(*call)
    return estimator


@given(calls, sizes, sizes, st.none() | st.integers(0, 10**6))
def test_larger_requests_never_have_smaller_estimates(
    seen: list[tuple[int, int, int]], one: int, other: int, limit: int | None
) -> None:
    """Monotone in the size and in the limit, whatever was learned."""
    estimator = taught(seen)
    small, large = sorted((one, other))
    assert estimator.estimate(small, limit) <= estimator.estimate(large, limit)
    if limit is not None:
        assert estimator.estimate(small, limit) <= estimator.estimate(small, limit + 1) <= estimator.estimate(small)


@given(calls, sizes, st.integers(0, 10**6))
def test_estimates_are_bounded(seen: list[tuple[int, int, int]], size: int, limit: int) -> None:
    """By the largest that was seen (to a bin) or supposed, and the output by the request's limit."""
    estimator = taught(seen)
    rate = max([PRIOR_INPUT, *(used * MILLION // max(request, LEAST_BYTES) for request, used, _ in seen)])
    output = max([PRIOR_OUTPUT, *(used for _, _, used in seen)])
    at_most = max(size, LEAST_BYTES) * rate / MILLION
    assert 0 <= estimator.estimate(size) <= (at_most + output) * 1.05 + 2
    assert estimator.estimate(size, limit) <= at_most * 1.05 + 1 + limit


def test_what_is_supposed_at_first() -> None:
    """3.5 bytes a token and 4,096 of output, to a bin; fewer where the request allows fewer."""
    estimator = Estimator()
    assert estimator.estimate(35_000) == pytest.approx(10_000 + 4_096, rel=0.05)
    assert estimator.estimate(35_000, 100) == pytest.approx(10_000 + 100, rel=0.05)


@pytest.mark.parametrize(("rate", "output"), [(4.0, 300), (7.0, 20), (0.5, 5_000), (1000.0, 1)])
def test_it_converges(rate: float, output: int) -> None:
    """Calls that are all alike are estimated to a few per cent after twenty-five of them."""
    estimator = Estimator()
    for size in range(10_000, 35_000, 1_000):
        estimator.learn(size, int(size / rate), output)
    assert estimator.estimate(50_000) == pytest.approx(50_000 / rate + output, rel=0.1, abs=2)


def test_models_are_bounded() -> None:
    """Names are the clients': those beyond the table share an estimator, which learns from all of them."""
    port = Estimators()
    first = port.learning("model-0")
    assert all(port.learning(f"model-{number}") is not first for number in range(1, MODELS_MAX))
    assert port.learning("model-0") is port.of("model-0") is port.own("model-0") is first
    beyond = port.of("one too many")
    shared = port.learning("one too many")
    assert shared is port.of("another") is port.learning(None) is not beyond
    assert port.own("one too many") is None


def test_names_that_are_only_asked_for_take_no_place() -> None:
    """A call that never ended well teaches nothing: the 64 places are for those that did."""
    port = Estimators()
    unknown = [port.of(f"made-up-{number}") for number in range(2 * MODELS_MAX)]
    assert {each.estimate(35_000) for each in unknown} == {Estimator().estimate(35_000)}
    port.learning("m").learn(35_000, 100, 10)
    assert port.own("m") is port.of("m")
    assert port.of("made-up-0").rates == Estimator().rates


def test_priors_that_are_given() -> None:
    """For one that is new and has a place, and once."""
    port = Estimators()
    made = port.add("m", lambda: (3_000_000, 200))
    assert made is not None and made is port.add("m", lambda: (1, 1))
    assert made.rates == pytest.approx((3_000_000, 200), rel=0.05)
    for number in range(MODELS_MAX - 1):
        port.add(f"m-{number}", lambda: (1, 1))
    assert port.add("one too many", lambda: (1, 1)) is None


class Run(NamedTuple):
    """One window that was used up."""

    used: int
    calls: int
    #: how many used more than was reserved
    beyond: int
    #: what those in flight when the cap was reached used beyond their reservations
    allowed: int


#: caps: of some 400 calls, and of some 4,000
SMALL: Final = 3_000_000
LARGE: Final = 30_000_000


def run(chance: random.Random, clients: int, cap: int, estimator: Estimator) -> Run:
    """Clients that call without pause until all of them are refused for good."""
    now, used, reserved = 0.0, 0, 0
    made, beyond, allowed = 0, 0, 0
    running: list[tuple[float, int, int, int, int]] = []
    waiting = clients
    while True:
        while waiting:
            size = min(int(chance.lognormvariate(10, 1)), 4_000_000)
            estimate = estimator.estimate(size, 32_000)
            refusal = judge(cap, used, reserved, estimate)
            if refusal == "cap-reserved" or (refusal and not running):
                break
            waiting -= 1
            if refusal:
                continue
            given_ = int(size / chance.gauss(5, 0.6))
            made_out = min(int(chance.lognormvariate(6, 1.4)), 32_000)
            reserved += estimate
            made += 1
            heapq.heappush(running, (now + 1 + made_out / 60, estimate, size, given_, made_out))
        if not running:
            return Run(used, made, beyond, allowed)
        now, estimate, size, given_, made_out = heapq.heappop(running)
        actual = given_ + made_out
        reserved -= estimate
        used += actual
        beyond += actual > estimate
        if used + reserved > cap:
            allowed += max(0, actual - estimate)
        estimator.learn(size, given_, made_out)
        waiting += 1


@pytest.mark.parametrize(
    ("clients", "cap", "windows", "most"),
    [(1, SMALL, 40, 0.02), (10, SMALL, 40, 0.04), (50, SMALL, 40, 0.07), (200, SMALL, 40, 0.07), (50, LARGE, 10, 0.01)],
)
def test_overshoot(clients: int, cap: int, windows: int, most: float) -> None:
    """Heavy-tailed calls, an estimator that knows nothing at first: how far caps are overrun."""
    chance = random.Random(clients)
    estimator = Estimator()
    runs = [run(chance, clients, cap, estimator) for _ in range(windows)]
    over = [max(0, each.used - cap) / cap for each in runs]
    share = sum(each.beyond for each in runs) / sum(each.calls for each in runs)
    print(
        f"{clients:4d} clients at once, {sum(each.calls for each in runs) // windows:5d} calls a window: over the cap in "
        f"{sum(each > 0 for each in over)} of {windows}, at most {max(over):.2%}, mean {sum(over) / windows:.2%}; "
        f"used {sum(each.used for each in runs) / windows / cap:.1%}; {share:.1%} of calls beyond their reservation"
    )
    assert all(each.used - cap <= each.allowed for each in runs)
    assert share < 0.1
    assert max(over) < most
    assert min(each.used for each in runs) > 0.9 * cap
