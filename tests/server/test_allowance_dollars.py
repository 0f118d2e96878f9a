"""Caps in dollars on leases: the same rules as those in tokens, beside them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs
from twisted.internet.task import Clock

from awfproxy.core.budgets import USD_UNIT, Budget, Scope
from awfproxy.core.windows import DAY
from awfproxy.ledger.facts import Window
from awfproxy.ledger.memory import MemoryLedger
from awfproxy.server.allowance import Allowance
from tests.server.ledger_stage import PORT, START, Process, budget
from tests.server.test_allowance import taken

USD = Window(PORT, "day", START, START + DAY, "usd")


def with_dollars(usd: float, **more: Any) -> Budget:
    """A budget of both."""
    return structs.replace(budget(1000), hard_cap_usd=usd, **more)


@pytest.fixture
def clock() -> Clock:
    made = Clock()
    made.advance(START)
    return made


def caps(process: Process) -> tuple[Allowance, Allowance]:
    """Those of the port."""
    (tokens,) = process.allowances.of(PORT.port, None, "chat")
    assert tokens.dollars is not None
    return tokens, tokens.dollars


def test_each_has_an_account_of_its_own(clock: Clock) -> None:
    """In its own unit; what one uses is not the other's."""
    process = Process(MemoryLedger(), clock, {PORT: with_dollars(2.5)})
    tokens, usd = caps(process)
    assert (tokens.cap.measure, usd.cap.measure) == ("reported", "usd")
    kept = taken(usd, clock, 2_000_000)
    assert kept is not None
    usd.settle(kept, 1_500_000)
    assert usd.reserve(1_000_001, clock.seconds()) is None
    standing = usd.standing(clock.seconds())
    assert (standing.cap, standing.used, standing.remaining) == (2_500_000, 1_500_000, 1_000_000)
    assert (standing.soft_cap, standing.soft_exceeded) == (None, False)
    assert tokens.standing(clock.seconds()).used == 0
    process.turn(1.5)
    told = process.thread.ledger.window(USD, clock.seconds())
    assert told is not None and told.used == 1_500_000


@pytest.mark.parametrize(
    ("settings", "on"),
    [(with_dollars(1), True), (with_dollars(0), False), (with_dollars(1, enabled=False), False)],
)
def test_where_it_is_off_there_is_no_account(clock: Clock, settings: Budget, on: bool) -> None:
    """A place in the memory of leases is for caps that are kept."""
    process = Process(MemoryLedger(), clock, {PORT: settings})
    _, usd = caps(process)
    assert (usd.cap.enabled, usd.counts) == (on, on)
    assert (USD in [window for window, _ in process.holdings.held.values()]) is on
    assert usd.reserve(10**12, clock.seconds()) is not None or on


def test_a_cap_that_is_set_in_the_middle_of_a_period_counts_what_was_used_before(clock: Clock) -> None:
    """By the rows, which are priced whether there is a cap or not; and calls that run then."""
    ledger = MemoryLedger()
    process = Process(ledger, clock, {PORT: with_dollars(0)})
    _, usd = caps(process)
    process.rows.add(5, clock.seconds())
    process.rows.rows = [structs.replace(row, counted_usd=400_000) for row in process.rows.rows]
    running = usd.overdraw(clock.seconds())
    assert not usd.counts
    process.allowances.set_budget(PORT, with_dollars(1))
    process.turn(1)
    taken_ = taken(usd, clock, 100_000)
    assert taken_ is not None
    assert usd.standing(clock.seconds()).used == 400_000
    usd.settle(running, 250_000)
    usd.settle(taken_, 0)
    process.turn(1)
    assert usd.standing(clock.seconds()).used == 650_000


def test_a_cap_that_is_off_for_a_while_knows_afterwards_what_was_used(clock: Clock) -> None:
    """Though its account was there, opened without those calls, perhaps by a process that is no more."""
    ledger = MemoryLedger()
    before = Process(ledger, clock, {PORT: with_dollars(1)})
    assert taken(caps(before)[1], clock, 1) is not None
    process = Process(ledger, clock, {PORT: with_dollars(0)})
    tokens, usd = caps(process)
    kept = taken(tokens, clock, 5)
    assert kept is not None
    process.settle(tokens, kept, 5)
    process.rows.rows = [structs.replace(row, counted_usd=400_000) for row in process.rows.rows]
    process.turn(1)
    process.allowances.set_budget(PORT, with_dollars(1))
    process.turn(2)
    assert taken(usd, clock, 1) is not None
    assert taken(usd, clock, 600_000) is None
    for window in ledger.in_doubt("host"):
        ledger.review(window, "host", last=True)  # as its bookkeeper does
    process.turn(2)
    assert usd.standing(clock.seconds()).used == 400_000


def test_users_and_features_have_theirs(clock: Clock) -> None:
    """In the order in which a call must pass them."""
    scopes = [PORT, Scope(PORT.port, "user", "ci"), Scope(PORT.port, "feature", "review")]
    process = Process(MemoryLedger(), clock, {scope: with_dollars(number) for number, scope in enumerate(scopes)})
    beside = [each.dollars for each in process.allowances.of(PORT.port, "ci", "review")]
    found = [(each.scope, each.cap.measure, each.cap.hard) for each in beside if each is not None]
    assert found == [(scope, "usd", number * USD_UNIT) for number, scope in enumerate(scopes)]
    assert [each.dollars for each in beside if each is not None] == [None] * 3
