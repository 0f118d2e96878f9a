"""Leases: what is used in a window is counted in its account once, whatever happens to budgets, ledgers and processes.

The law at the end knows the truth: every call of every process, let in by a budget or past it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from copy import deepcopy
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from twisted.internet.task import Clock

from awfproxy.core.budgets import Budget, Count
from awfproxy.core.settlement import Spent, due
from awfproxy.core.windows import DAY, window_end, window_start
from awfproxy.ledger.errors import LedgerUnavailable
from awfproxy.ledger.facts import Position, Standing, Window
from awfproxy.ledger.memory import MemoryLedger
from awfproxy.ledger.rows import Row
from awfproxy.server.admitted import charge
from awfproxy.server.allowance import Answer, Reservation
from awfproxy.server.bookkeeper import DOUBT_SECONDS
from awfproxy.server.lease import Checkpoint
from awfproxy.server.leased_allowance import LeasedAllowance
from awfproxy.server.leased_allowances import BEAT_SECONDS, LOST_SECONDS
from tests.conftest import LoggedFailures
from tests.core.test_settlement import usage
from tests.server.ledger_stage import PORT, START, Host, Process, budget
from tests.server.test_allowance import taken, turn

TODAY = Window(PORT, "day", START, START + DAY)
MONTH_START = window_start("month", START)
MONTH = Window(PORT, "month", MONTH_START, window_end("month", MONTH_START))
OFF = budget(1000, enabled=False)


@pytest.fixture
def clock() -> Clock:
    """An hour after midnight."""
    made = Clock()
    made.advance(START + 3600)
    return made


class BreakingLedger(MemoryLedger):
    """Its connection may break when rows were recorded, before anybody is told so."""

    breaks = 0
    #: or before they were
    fails = 0

    def record(self, rows: Sequence[Row], position: Position | None = None) -> int:
        if rows and self.fails:
            self.fails -= 1
            raise LedgerUnavailable("the connection broke")
        added = super().record(rows, position)
        if rows and self.breaks:
            self.breaks -= 1
            raise LedgerUnavailable("the connection broke")
        return added


def tokens(process: Process) -> LeasedAllowance:
    """The allowance in tokens."""
    return process.allowances.all[PORT, "tokens"]


def standing(ledger: MemoryLedger, window: Window = TODAY) -> Standing:
    """How an account stands."""
    found = ledger.window(window, START)
    assert found is not None
    return found


def test_a_checkpoint_passes_when_all_before_it_is_read() -> None:
    """First its records are written, then the journal is read from a moment after that on."""
    checkpoint = Checkpoint(70, handed=5)
    assert not checkpoint.passed(written=4, mark=9.0, monotonic=1.0)
    assert not checkpoint.passed(written=5, mark=2.0, monotonic=2.0)
    assert not checkpoint.passed(written=9, mark=2.0, monotonic=8.0)
    assert checkpoint.passed(written=9, mark=2.1, monotonic=8.0)


# -- a budget that changes while calls run


def test_off_and_on_again_counts_what_was_used_meanwhile(clock: Clock) -> None:
    """A call that was let in and ended while it was off, in a process whose lease lives on because of another call."""
    ledger = MemoryLedger()
    one = Process(ledger, clock, {PORT: budget(1000)})
    allowance = tokens(one)
    assert taken(allowance, clock, 100) is not None
    one.allowances.set_budget(PORT, OFF)
    turn(clock, 3)
    free = allowance.reserve(600, clock.seconds())
    assert free is not None
    one.settle(allowance, free, 600)
    turn(clock, 3)
    one.allowances.set_budget(PORT, budget(1000))
    turn(clock, 3)
    assert standing(ledger).used == 600
    assert taken(allowance, clock, 301) is None
    assert taken(allowance, clock, 300) is not None


def test_a_call_that_runs_while_it_is_switched_on_is_charged(clock: Clock) -> None:
    """It reserves nothing, as nobody has asked what it may use."""
    ledger = MemoryLedger()
    one = Process(ledger, clock, {PORT: budget(1000)})
    one.allowances.set_budget(PORT, OFF)
    running = tokens(one).reserve(100, clock.seconds())
    assert running is not None
    one.allowances.set_budget(PORT, budget(1000))
    turn(clock, 3)
    one.settle(tokens(one), running, 400)
    turn(clock, 2)
    assert standing(ledger).used == 400


def test_what_was_used_without_any_lease_counts_from_its_rows(clock: Clock) -> None:
    """A process that came while the budget was off, and an account that was there before."""
    ledger = MemoryLedger()
    before = Process(ledger, clock, {PORT: budget(1000)})
    first = taken(tokens(before), clock, 100)
    assert first is not None
    before.settle(tokens(before), first, 100)
    before.allowances.stop()
    turn(clock, 1)
    one = Process(ledger, clock, {PORT: OFF})
    one.rows = before.rows
    for _ in range(3):
        free = tokens(one).reserve(50, clock.seconds())
        assert free is not None
        one.settle(tokens(one), free, 50)
    assert standing(ledger).committed == 100
    one.allowances.set_budget(PORT, budget(1000))
    turn(clock, 3)
    assert standing(ledger).committed == 250


@pytest.mark.parametrize("other", [{"period": "month"}, {"count": "all"}])
def test_another_period_or_way_to_count_counts_what_runs(clock: Clock, other: dict[str, Any]) -> None:
    """A call that was let in under the one is charged to the other too, when it ends; and back again."""
    ledger = MemoryLedger()
    one = Process(ledger, clock, {PORT: budget(1000)})
    allowance = tokens(one)
    running = taken(allowance, clock, 800)
    assert running is not None
    one.allowances.set_budget(PORT, budget(1000, **other))
    turn(clock, 3)
    one.settle(allowance, running, 800)
    turn(clock, 3)
    assert taken(allowance, clock, 201) is None
    small = taken(allowance, clock, 150)
    assert small is not None
    one.settle(allowance, small, 150)
    one.allowances.set_budget(PORT, budget(1000))
    turn(clock, 3)
    assert standing(ledger).used == 950
    assert taken(allowance, clock, 51) is None
    assert taken(allowance, clock, 50) is not None


def test_each_lease_is_charged_by_its_own_way_to_count(clock: Clock) -> None:
    """A budget that counts something else for a while, and then as before: its account has what its own count says of
    all calls, those that ended meanwhile and the one that runs all the time."""
    spent = Spent(usage=usage(50, 50, read=900), final=True, sent=True)
    ledger = MemoryLedger()
    one = Process(ledger, clock, {PORT: budget(10_000, count="all")})
    turn(clock, 3)
    allowance = tokens(one)

    def end(reservation: Reservation | None) -> None:
        assert reservation is not None
        charge(allowance, reservation, due, 100, spent)
        number = len(one.rows.rows)
        one.rows.rows.append(
            Row(f"r{number}", "host", "p", int(clock.seconds() * 1000), "anthropic", "m", "reported", input_tokens=50,
                output_tokens=50, total_tokens=100, cache_read_tokens=900, include_cache=False)
        )  # fmt: skip

    running = taken(allowance, clock, 100)
    one.allowances.set_budget(PORT, budget(10_000, count="reported"))
    turn(clock, 3)
    assert allowance.other_counts == ("all",)
    for _ in range(2):
        end(taken(allowance, clock, 100))
    end(running)
    turn(clock, 3)
    one.allowances.set_budget(PORT, budget(10_000, count="all"))
    turn(clock, 60)
    assert allowance.other_counts == ("reported",)
    end(taken(allowance, clock, 100))
    turn(clock, 3)
    ledger.record(one.rows.rows)
    expected: dict[Count, int] = {"all": 4_000, "reported": 400}
    for count, tokens_of_it in expected.items():
        assert standing(ledger, msgspec.structs.replace(TODAY, measure=count)).used == tokens_of_it
        assert ledger.used("p", 0, 2**40, measure=count) == tokens_of_it


def test_a_call_of_yesterday_is_not_charged_to_today(clock: Clock) -> None:
    """A window counts what was admitted in it: the month does, the new day does not."""
    ledger = MemoryLedger()
    one = Process(ledger, clock, {PORT: budget(1000)})
    allowance = tokens(one)
    admitted = clock.seconds()
    running = taken(allowance, clock, 300)
    assert running is not None
    clock.advance(START + DAY + 60 - clock.seconds())
    turn(clock, 3)
    one.allowances.set_budget(PORT, budget(1000, period="month"))
    turn(clock, 3)
    one.settle(allowance, running, 300, admitted)
    turn(clock, 3)
    tomorrow = Window(PORT, "day", START + DAY, START + 2 * DAY)
    assert standing(ledger, tomorrow).committed == 0
    assert (standing(ledger).committed, standing(ledger, MONTH).used) == (300, 300)


# -- a ledger that is another one


def lost(clock: Clock, ledger: MemoryLedger, one: Process) -> MemoryLedger:
    """It is gone, and this one is in its place; the journal is not read."""
    one._read = False
    fresh = MemoryLedger()
    one.thread.vanish(fresh)
    one.turn(0.1)
    one.allowances.beat()
    one.turn(0.1)
    assert one.thread.ledger is fresh
    return fresh


def test_a_lost_ledger_counts_what_ended_before_it_was_told(clock: Clock) -> None:
    """The journal was read, then a call ends, then the lease joins: neither rows nor reservations have that call."""
    ledger = MemoryLedger()
    one = Process(ledger, clock, {PORT: budget(1000)})
    running = taken(tokens(one), clock, 800)
    assert running is not None
    fresh = lost(clock, ledger, one)
    one.turn(1.2)
    one.mark.at = clock.seconds()  # by a round that began before the call has ended
    tokens(one).settle(running, 800)
    one.turn(1.2)
    one.rows.add(800, clock.seconds())
    one._read = True
    one.turn(LOST_SECONDS + 3)
    assert standing(fresh).used == 800
    assert taken(tokens(one), clock, 201) is None
    assert taken(tokens(one), clock, 200) is not None


def test_a_lost_ledger_counts_once_what_rows_show(clock: Clock) -> None:
    """What ended before the loss is theirs; what still runs is set aside again."""
    ledger = MemoryLedger()
    one = Process(ledger, clock, {PORT: budget(1000)})
    ended, running = taken(tokens(one), clock, 300), taken(tokens(one), clock, 200)
    assert ended is not None
    assert running is not None
    one.settle(tokens(one), ended, 250)
    fresh = lost(clock, ledger, one)
    one._read = True
    one.turn(3)
    assert (standing(fresh).used, standing(fresh).reserved) == (250, 200)
    one.settle(tokens(one), running, 120)
    one.turn(3)
    assert (standing(fresh).used, standing(fresh).reserved) == (370, 0)


@pytest.mark.parametrize("answers", [1, 2])
def test_an_answer_to_the_joining_that_got_lost(clock: Clock, answers: int) -> None:
    """It was done, and is done again: counted once."""
    ledger = MemoryLedger()
    one = Process(ledger, clock, {PORT: budget(1000)})
    ended, running = taken(tokens(one), clock, 300), taken(tokens(one), clock, 200)
    assert ended is not None
    assert running is not None
    one.settle(tokens(one), ended, 250)
    fresh = lost(clock, ledger, one)
    one._read = True
    one.thread.answers_lost = answers
    one.turn(0.7)
    one.settle(tokens(one), running, 120)
    one.turn(5)
    assert (standing(fresh).used, standing(fresh).reserved, standing(fresh).holders) == (370, 0, 1)


def test_a_copy_that_was_restored_does_not_know_the_lease(clock: Clock) -> None:
    """The process is told so, nothing is reserved until it has joined, and what rows show is counted."""
    ledger = MemoryLedger()
    copy = deepcopy(ledger)
    one = Process(ledger, clock, {PORT: budget(1000)})
    ended, running = taken(tokens(one), clock, 300), taken(tokens(one), clock, 200)
    assert ended is not None
    assert running is not None
    one.settle(tokens(one), ended, 250)
    one._read = False
    one.thread.ledger = copy
    one.turn(1.2)
    assert tokens(one).reserve(1, clock.seconds()) is None
    one._read = True
    one.turn(LOST_SECONDS + 3)
    assert (standing(copy).used, standing(copy).reserved) == (250, 200)
    assert taken(tokens(one), clock, 550) is not None


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("seconds", [30, 400])
def test_an_outage_that_began_with_a_failed_record(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, workers: int, seconds: int
) -> None:
    """Calls go on without the ledger, for longer than leases live: each counts once, whoever comes back first."""
    monkeypatch.setattr("awfproxy.server.bookkeeper.dead", lambda state_dir: [])
    ledger = BreakingLedger()
    host = Host(ledger, clock, "host")
    processes = [Process(ledger, clock, {PORT: budget(100_000)}, host=host) for _ in range(workers)]

    def calls() -> None:
        for process in processes:
            free = tokens(process).reserve(100, clock.seconds()) or tokens(process).overdraw(clock.seconds())
            process.settle(tokens(process), free, 100)

    turn(clock, 3)
    for _ in range(2):
        calls()
        turn(clock, 3)
    calls()
    ledger.fails = 1
    turn(clock, 1)
    assert not ledger.fails
    threads = [host.thread, *(process.thread for process in processes)]
    for thread in threads:
        thread.lose()
    calls()
    turn(clock, seconds)
    for thread in threads:
        thread.come_back()
        turn(clock, 0.02)
    turn(clock, 40)
    assert (standing(ledger).used, standing(ledger).lost) == (400 * workers, 0)


def test_a_record_that_failed_and_is_repeated_counts_nothing_twice(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger is where it was: it is no other one."""
    monkeypatch.setattr("awfproxy.server.bookkeeper.dead", lambda state_dir: [])
    ledger = BreakingLedger()
    host = Host(ledger, clock, "host")
    processes = [Process(ledger, clock, {PORT: budget(100_000)}, host=host) for _ in range(2)]
    turn(clock, 3)
    for number in range(400):
        if number % 100 == 50:
            ledger.fails = 1
        for process in processes:
            free = tokens(process).reserve(10, clock.seconds()) or tokens(process).overdraw(clock.seconds())
            process.settle(tokens(process), free, 10)
        turn(clock, 0.05)
        assert ledger.in_doubt("host") == []
    turn(clock, 5)
    assert standing(ledger).used == 8000


# -- closing


def closing(clock: Clock, ledger: MemoryLedger) -> tuple[Process, LeasedAllowance]:
    """A process whose lease of today is about to be closed, and that is in today again: its clock was set back."""
    one = Process(ledger, clock, {PORT: budget(1000)})
    allowance = tokens(one)
    reservation = taken(allowance, clock, 100)
    assert reservation is not None
    one.settle(allowance, reservation, 0)
    one.turn(0.5)
    one.thread.slowness = 0.5
    clock.advance(START + DAY + 3600 - clock.seconds())
    set_back(one, clock)
    return one, allowance


def set_back(one: Process, clock: Clock) -> None:
    """Its clock, by a day; nothing else goes by it."""
    one.allowances.now = lambda: clock.seconds() - DAY


def test_nothing_is_reserved_on_a_lease_that_is_being_closed(clock: Clock) -> None:
    """What is free on it goes to others."""
    ledger = MemoryLedger()
    one, allowance = closing(clock, ledger)
    (lease,) = [each for each in allowance.leases if each.window == TODAY]
    assert lease.closing
    assert lease.holding.free > 0
    assert allowance.reserve(1, one.allowances.now()) is None
    one.turn(2)
    assert lease not in allowance.leases
    one.thread.slowness = 0.0
    answers: list[Answer] = []
    allowance.ask(400, answers.append)
    one.turn(3)
    assert [answer.fits for answer in answers] == [True]


@pytest.mark.parametrize("done", [False, True])
def test_a_lease_that_could_not_be_closed_is_used_again(clock: Clock, done: bool) -> None:
    """Whether it was closed or not: where it was, it joins again."""
    ledger = MemoryLedger()
    one, allowance = closing(clock, ledger)
    (lease,) = [each for each in allowance.leases if each.window == TODAY]
    if done:
        one.thread.answers_lost = 2  # of what was asked before, and of the close
    else:
        one.thread.lose()
    one.turn(0.6)
    assert lease in allowance.leases
    assert not lease.closing
    one.thread.slowness = 0.0
    if not done:
        one.thread.come_back()
    one.turn(LOST_SECONDS + 3)
    assert allowance.reserve(0, one.allowances.now()) is not None
    assert standing(ledger).holders == 1


def test_a_window_to_which_the_clock_was_set_back_is_opened_again(clock: Clock) -> None:
    """Its lease was closed meanwhile: what had been used in it still counts, once."""
    ledger = MemoryLedger()
    one = Process(ledger, clock, {PORT: budget(1000)})
    allowance = tokens(one)
    reservation = taken(allowance, clock, 400)
    assert reservation is not None
    one.settle(allowance, reservation, 400)
    one.turn(2)
    clock.advance(START + DAY + 3600 - clock.seconds())
    one.turn(3)
    assert standing(ledger).holders == 0
    set_back(one, clock)
    one.turn(3)
    assert standing(ledger).committed == 400
    answers: list[Answer] = []
    allowance.ask(601, answers.append)
    allowance.ask(600, answers.append)
    one.turn(3)
    assert [answer.fits for answer in answers] == [False, True]


def test_stopping_twice_over_closes_what_is_under_way(clock: Clock) -> None:
    """A loan and the close after it: the ledger ends with what was used."""
    ledger = MemoryLedger()
    one = Process(ledger, clock, {PORT: budget(1000)})
    reservation = taken(tokens(one), clock, 100)
    assert reservation is not None
    one.settle(tokens(one), reservation, 60)
    one.thread.slowness = 0.2
    tokens(one).ask(900, lambda answer: None)
    one.turn(0.05)
    one.allowances.stop()
    one.turn(2)
    assert (standing(ledger).committed, standing(ledger).holders) == (60, 0)
    assert one.holdings.closed
    assert not one.holdings.held


# -- defects


def test_a_defect_in_a_beat_is_said_and_the_beats_go_on(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, logged_failures: LoggedFailures
) -> None:
    """The other leases are prolonged all the same; and it is over when it does not happen any more."""
    ledger = MemoryLedger()
    one = Process(ledger, clock, {PORT: budget(1000)})
    broken = tokens(one)
    assert taken(broken, clock, 100) is not None
    until = broken.lease.until if broken.lease is not None else 0.0

    def fails(now: float) -> None:
        raise ArithmeticError("one and one is three")

    with monkeypatch.context() as patched:
        patched.setattr(broken, "at", fails)
        turn(clock, 3 * BEAT_SECONDS)
        assert one.allowances.defect == (
            "leases are not looked after as they should be: ArithmeticError: one and one is three"
        )
        assert broken.lease is not None
        assert broken.lease.until >= until + 2 * BEAT_SECONDS
    turn(clock, 2 * BEAT_SECONDS)
    assert one.allowances.defect is None
    assert logged_failures.flush(ArithmeticError)


# -- the law

CHANGES: dict[str, Budget] = {
    "off": OFF,
    "day": budget(1000),
    "month": budget(1000, period="month"),
    "lower": budget(500),
}


class Call:
    """One that runs."""

    def __init__(self, process: Process, reservation: Reservation, admitted: float) -> None:
        self.process = process
        self.reservation = reservation
        self.admitted = admitted


class Counting(RuleBasedStateMachine):
    """Two hosts, one of them with two workers: budgets change, processes die, the ledger is lost or restored.

    In the end the accounts have at least what was used; and no more, where no ledger was lost and no process was without
    it for so long that what was in doubt because of it had to be decided.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.clock.advance(START + 3600)
        self.ledger = BreakingLedger()
        self.copies: list[BreakingLedger] = []
        self.hosts = [Host(self.ledger, self.clock, name) for name in ("a", "b")]
        self.graves = patch("awfproxy.server.bookkeeper.dead", self.found)
        self.graves.start()
        self.processes: list[Process] = []
        self.running: list[Call] = []
        #: by calls that ended, all together
        self.used = 0
        #: what was used by calls that left no record, in the window that had reserved for them
        self.unrecorded: dict[Window, int] = {}
        #: no ledger but the first has been there, and nobody was without it for long
        self.one_ledger = True
        #: since when processes are
        self.cut: dict[Process, float] = {}

    def found(self, state_dir: str) -> list[Any]:
        """As `holdings_file.dead`."""
        (host,) = [each for each in self.hosts if each.instance == state_dir]
        return list(host.graves)

    @initialize()
    def begin(self) -> None:
        """All are there."""
        self.processes = [self.new(self.hosts[number]) for number in (0, 0, 1)]

    def new(self, host: Host, change: str = "day") -> Process:
        """A process."""
        made = Process(self.ledger, self.clock, {PORT: CHANGES[change]}, host=host)
        made.turn(0.1)
        return made

    @rule(number=st.integers(0, 2), amount=st.integers(0, 400))
    def ask(self, number: int, amount: int) -> None:
        """A call wants to be let in."""
        process = self.processes[number]
        allowance = tokens(process)

        def answered(answer: Answer) -> None:
            if answer.fits and process in self.processes:
                reservation = allowance.reserve(amount, self.clock.seconds())
                assert reservation is not None
                self.running.append(Call(process, reservation, self.clock.seconds()))

        allowance.ask(amount, answered)
        self.wait(0.3)

    @rule(number=st.integers(0, 2))
    def let_in(self, number: int) -> None:
        """A call goes on without cover."""
        process = self.processes[number]
        now = self.clock.seconds()
        self.running.append(Call(process, tokens(process).overdraw(now), now))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), share=st.floats(0, 1.2), uncovered=st.integers(0, 300))
    def end(self, data: st.DataObject, share: float, uncovered: int) -> None:
        """A call used what was reserved for it, less or more."""
        call = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        used = int(call.reservation.amount * share) or uncovered
        call.process.settle(tokens(call.process), call.reservation, used, call.admitted)
        self.used += used

    @rule(seconds=st.sampled_from([0.0, 0.05, 0.3, 1.0, 3.0, 20.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        turn(self.clock, seconds)
        self.clock.advance(0)

    @rule(number=st.integers(0, 2), change=st.sampled_from(sorted(CHANGES)))
    def change(self, number: int, change: str) -> None:
        """Of the budget, as one process hears of it."""
        self.processes[number].allowances.set_budget(PORT, CHANGES[change])

    @rule(number=st.integers(0, 2), share=st.floats(0, 1), change=st.sampled_from(sorted(CHANGES)))
    def kill(self, number: int, share: float, change: str) -> None:
        """A process, and another comes."""
        process = self.processes[number]
        for call in [each for each in self.running if each.process is process]:
            self.running.remove(call)
            lease = getattr(call.reservation, "lease", None)
            if lease is not None:
                used = int(call.reservation.amount * share)
                self.unrecorded[lease.window] = self.unrecorded.get(lease.window, 0) + used
        process.die(self.ledger)
        self.back(process)
        assert process.host is not None
        self.processes[number] = self.new(process.host, change)

    @rule(number=st.integers(0, 2))
    def cut_off(self, number: int) -> None:
        """The ledger is out of reach for a process, or there again."""
        process = self.processes[number]
        if process.thread.trouble is None:
            process.thread.lose()
            self.cut[process] = self.clock.seconds()
        else:
            self.back(process)
            process.thread.come_back()

    def back(self, process: Process) -> None:
        """What was in doubt because of it may have been decided."""
        if self.clock.seconds() - self.cut.pop(process, self.clock.seconds()) > DOUBT_SECONDS / 2:
            self.one_ledger = False

    @rule(number=st.integers(0, 2), answers=st.integers(1, 3))
    def answers_get_lost(self, number: int, answers: int) -> None:
        """What was asked is done."""
        self.processes[number].thread.answers_lost = answers
        self.one_ledger = False  # a lease may then join again, and begin anew

    @rule()
    def break_off(self) -> None:
        """The connection, as rows are recorded next."""
        self.ledger.breaks = 1

    @rule()
    def lose(self) -> None:
        """The ledger, for all: with it what was lost."""
        self.other(BreakingLedger())
        for process in self.processes:
            process.thread.vanish(self.ledger)
        for host in self.hosts:
            host.thread.vanish(self.ledger)

    @rule()
    def copy(self) -> None:
        """It is saved."""
        saved, made = self.ledger, BreakingLedger()
        for name in ("_rows", "_positions", "_settings", "_accounts", "_settled"):
            setattr(made, name, deepcopy(getattr(saved, name)))
        self.copies.append(made)

    @precondition(lambda self: self.copies)
    @rule()
    def restore(self) -> None:
        """What was saved is put in its place, under all at once.  It is noticed by hosts that have recorded since."""
        copy = self.copies.pop()
        if any(host.keeper._position == copy.position(host.instance) for host in self.hosts):
            return
        self.other(copy)
        for thread in [each.thread for each in self.processes] + [each.thread for each in self.hosts]:
            thread.ledger, thread._next = self.ledger, None

    def other(self, ledger: BreakingLedger) -> None:
        """Another ledger."""
        self.ledger = ledger
        self.unrecorded.clear()
        self.one_ledger = False

    def settle_down(self, change: str) -> None:
        """All budgets are like that, and everybody has told what there is."""
        for process in self.processes:
            process.allowances.set_budget(PORT, CHANGES[change])
        turn(self.clock, LOST_SECONDS + 10)

    def teardown(self) -> None:
        """When all have ended, the accounts have what was used."""
        try:
            self.look_at_the_end()
        finally:
            self.graves.stop()

    def look_at_the_end(self) -> None:
        """See `teardown`."""
        if not self.processes:
            return
        for process in self.processes:
            process.thread.answers_lost = 0
            self.back(process)
            if process.thread.trouble is not None:
                process.thread.come_back()
        self.settle_down("day")
        for call in self.running:
            call.process.settle(tokens(call.process), call.reservation, call.reservation.amount, call.admitted)
            self.used += call.reservation.amount
        for window, change in ((TODAY, "day"), (MONTH, "month")):
            self.settle_down(change)
            used = self.used + self.unrecorded.get(window, 0)
            account = standing(self.ledger, window)
            assert used <= account.used, f"{window.period}: {account.used} are counted of {used}"
            if self.one_ledger:
                assert account.reserved == 0
                most = self.used + account.lost
                assert account.used <= most, f"{window.period}: {account.used} are counted of {used}"


TestCounting = Counting.TestCase
# The same ones each time where nobody is there to look into a new one.
TestCounting.settings = settings(
    max_examples=80, stateful_step_count=40, deadline=None, derandomize="CI" in os.environ
)
