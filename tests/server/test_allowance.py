"""Allowances: what every kind of them promises to callers, and what leases add to it.

The contract runs over the one in memory and the one on leases of a ledger.  The law at the end: several processes on one
ledger, killed at any moment, never spend more than the cap, whatever happens in which order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec import structs
from twisted.internet.task import Clock

from awfproxy.core.budgets import Budget, Scope, judge
from awfproxy.core.holdings import Holding
from awfproxy.core.settings import OTHER_FEATURES
from awfproxy.core.windows import DAY
from awfproxy.ledger.facts import Window
from awfproxy.ledger.memory import MemoryLedger
from awfproxy.server.allowance import Allowance, Allowances, Answer, Cancel, Reservation
from awfproxy.server.allowance_memory import MemoryAllowances
from awfproxy.server.holdings_file import HoldingsFull
from awfproxy.server.lease import LEASE_MARGIN, LEASE_SECONDS
from awfproxy.server.leased_allowance import PATIENCE
from awfproxy.server.leased_allowances import BEAT_SECONDS, IDLE_BEATS, LOST_SECONDS, OPEN_AHEAD
from tests.server.ledger_stage import PORT, START, MemoryHoldings, Process, budget

TODAY = Window(PORT, "day", START, START + DAY)


class House(Protocol):
    """What the contract needs."""

    clock: Clock
    allowances: Allowances


class Leased:
    """The real one."""

    def __init__(self, clock: Clock, budgets: dict[Scope, Budget]) -> None:
        self.clock = clock
        self.process = Process(MemoryLedger(), clock, budgets)
        self.allowances: Allowances = self.process.allowances

    def available(self, is_it: bool) -> None:
        """Whether the ledger can be reached."""
        if is_it:
            self.process.thread.come_back()
        else:
            self.process.thread.lose()


class InMemory:
    """The fake."""

    def __init__(self, clock: Clock, budgets: dict[Scope, Budget]) -> None:
        self.clock = clock
        self.memory = MemoryAllowances(budgets, clock)
        self.allowances: Allowances = self.memory

    def available(self, is_it: bool) -> None:
        """Whether the ledger can be reached."""
        self.memory.available = is_it


House_ = Callable[[dict[Scope, Budget]], Leased | InMemory]


@pytest.fixture(params=[Leased, InMemory])
def house(request: pytest.FixtureRequest) -> House_:
    """Makes allowances of either kind."""
    clock = Clock()
    clock.advance(START + 3600)
    return lambda budgets: request.param(clock, budgets)


def turn(clock: Clock, seconds: float = 0.5) -> None:
    """Let time pass in small steps."""
    while seconds > 0:
        clock.advance(0.05)
        seconds -= 0.05


def taken(allowance: Allowance, clock: Clock, amount: int) -> Reservation | None:
    """Reserve, asking for it where it is not at hand; None: not within half a second."""
    found = allowance.reserve(amount, clock.seconds())
    got: list[Reservation | None] = [found]
    if found is None:

        def answered(answer: Answer) -> None:
            got[0] = allowance.reserve(amount, clock.seconds()) if answer.fits else None

        cancel = allowance.ask(amount, answered)
        turn(clock)
        cancel()
    return got[0]


# -- the contract


def test_what_is_reserved_and_used_is_shown(house: House_) -> None:
    """Apart, and together they leave what remains."""
    home = house({PORT: budget(1000)})
    allowance, *_ = home.allowances.of("p", None, "chat")
    first, second = taken(allowance, home.clock, 100), taken(allowance, home.clock, 200)
    assert first is not None
    assert second is not None
    standing = allowance.standing(home.clock.seconds())
    assert (standing.used, standing.reserved, standing.remaining) == (0, 300, 700)
    allowance.settle(first, 80)
    standing = allowance.standing(home.clock.seconds())
    assert (standing.used, standing.reserved, standing.remaining) == (80, 200, 720)
    assert (standing.cap, standing.soft_cap, standing.soft_exceeded) == (1000, 0, True)
    assert (standing.window_start, standing.window_end) == (START, START + DAY)


def test_the_cap_is_reached_and_never_passed(house: House_) -> None:
    """Every token of it can be spent, and the next is refused for good."""
    home = house({PORT: budget(1000)})
    allowance, *_ = home.allowances.of("p", None, "chat")
    for _ in range(10):
        reservation = taken(allowance, home.clock, 100)
        assert reservation is not None
        allowance.settle(reservation, 100)
    answers: list[Answer] = []
    assert allowance.reserve(1, home.clock.seconds()) is None
    allowance.ask(1, answers.append)
    turn(home.clock)
    assert [(answer.fits, answer.available) for answer in answers] == [(False, True)]
    standing = answers[0].standing
    assert judge(standing.cap, standing.used, standing.hindering, 1) == "hard-cap-exceeded"


def test_who_waits_for_a_reservation_gets_it_when_it_is_settled(house: House_) -> None:
    """No answer before: the caller has the deadline.  Then in the order of the asking."""
    home = house({PORT: budget(1000)})
    allowance, *_ = home.allowances.of("p", None, "chat")
    holder = taken(allowance, home.clock, 900)
    assert holder is not None
    order: list[str] = []
    got: list[Reservation | None] = []

    def waiting(name: str, amount: int) -> Callable[[Answer], None]:
        def answered(answer: Answer) -> None:
            order.append(name)
            got.append(allowance.reserve(amount, home.clock.seconds()) if answer.fits else None)

        return answered

    allowance.ask(400, waiting("first", 400))
    allowance.ask(500, waiting("second", 500))
    turn(home.clock, 2)
    assert order == []
    standing = allowance.standing(home.clock.seconds())
    assert judge(standing.cap, standing.used, standing.hindering, 400) == "cap-reserved"
    allowance.settle(holder, 100)
    assert order == []  # not within another call's end
    turn(home.clock)
    assert order == ["first", "second"]
    assert None not in got


def test_who_needs_less_is_not_held_up(house: House_) -> None:
    """By somebody who waits for more than there is now."""
    home = house({PORT: budget(1000)})
    allowance, *_ = home.allowances.of("p", None, "chat")
    assert taken(allowance, home.clock, 900) is not None
    large: list[Answer] = []
    allowance.ask(500, large.append)
    turn(home.clock)
    assert taken(allowance, home.clock, 50) is not None
    assert large == []


def test_who_cancels_hears_nothing(house: House_) -> None:
    """Also twice, and after the answer."""
    home = house({PORT: budget(1000)})
    allowance, *_ = home.allowances.of("p", None, "chat")
    answers: list[Answer] = []
    cancel = allowance.ask(100, answers.append)
    cancel()
    turn(home.clock)
    cancel()
    assert answers == []
    cancel = allowance.ask(100, answers.append)
    turn(home.clock)
    cancel()
    assert len(answers) == 1


def test_a_budget_that_is_off_refuses_nothing(house: House_) -> None:
    """Whatever the amount; and nothing is set aside for it."""
    home = house({PORT: budget(1000, enabled=False)})
    allowance, *_ = home.allowances.of("p", None, "chat")
    reservation = allowance.reserve(10**9, home.clock.seconds())
    assert reservation is not None
    assert reservation.amount == 0
    allowance.settle(reservation, 5)
    answers: list[Answer] = []
    allowance.ask(10**9, answers.append)
    turn(home.clock)
    assert [answer.fits for answer in answers] == [True]


def test_without_the_ledger_nobody_knows(house: House_) -> None:
    """Who asks is told so, and a call that is let in without cover is charged all the same."""
    home = house({PORT: budget(1000)})
    allowance, *_ = home.allowances.of("p", None, "chat")
    first = taken(allowance, home.clock, 100)
    assert first is not None
    home.available(False)
    answers: list[Answer] = []
    allowance.ask(900, answers.append)
    turn(home.clock)
    assert [(answer.fits, answer.available) for answer in answers] == [(False, False)]
    uncovered = allowance.overdraw(home.clock.seconds())
    assert uncovered.amount == 0
    allowance.settle(uncovered, 950)
    home.available(True)
    turn(home.clock, 3)
    assert allowance.standing(home.clock.seconds()).used == 950
    allowance.settle(first, 100)
    assert allowance.standing(home.clock.seconds()).used == 1050
    assert taken(allowance, home.clock, 1) is None


def test_a_call_belongs_to_the_window_in_which_it_was_let_in(house: House_) -> None:
    """One that runs over midnight is charged to the day before; the new day is whole."""
    home = house({PORT: budget(1000)})
    allowance, *_ = home.allowances.of("p", None, "chat")
    over_night = taken(allowance, home.clock, 900)
    assert over_night is not None
    turn(home.clock, DAY - 3600 - 5 - home.clock.seconds() + START + 3600)
    turn(home.clock, 10)
    assert home.clock.seconds() >= START + DAY
    assert taken(allowance, home.clock, 1000) is not None
    allowance.settle(over_night, 900)
    standing = allowance.standing(home.clock.seconds())
    assert (standing.used, standing.reserved, standing.window_start) == (0, 1000, START + DAY)


def test_settling_twice_is_a_defect(house: House_) -> None:
    """It would count twice."""
    home = house({PORT: budget(1000)})
    allowance, *_ = home.allowances.of("p", None, "chat")
    reservation = taken(allowance, home.clock, 10)
    assert reservation is not None
    allowance.settle(reservation, 5)
    with pytest.raises(ValueError, match="settled"):
        allowance.settle(reservation, 5)


def test_which_budgets_a_call_must_pass(house: House_) -> None:
    """The port's, its user's, and its feature's, or the one that all others share."""
    scopes = [
        PORT, Scope("p", "user", "ci"), Scope("p", "feature", "review"), Scope("p", "feature", "other"), Scope("q")
    ]  # fmt: skip
    home = house({scope: budget(10) for scope in scopes})

    def found(*call: Any) -> list[Scope]:
        return [allowance.scope for allowance in home.allowances.of(*call) if allowance.cap.measure != "usd"]

    assert found("p", "ci", "review") == scopes[:3]
    assert found("p", None, "chat") == [scopes[0], scopes[3]]
    assert found("p", "nobody", "review") == [scopes[0], scopes[2]]
    assert found("q", "ci", "review") == [scopes[4]]
    assert found("r", "ci", "review") == []


# -- leases


@pytest.fixture
def clock() -> Clock:
    """An hour after midnight."""
    made = Clock()
    made.advance(START + 3600)
    return made


def process(ledger: MemoryLedger, clock: Clock, cap: int = 1000, **fields: Any) -> tuple[Process, Allowance]:
    """One with a budget of its port."""
    made = Process(ledger, clock, {PORT: budget(cap, **fields)})
    allowance, *_ = made.allowances.of("p", None, "chat")
    return made, allowance


def test_what_lies_idle_is_called_back(clock: Clock) -> None:
    """A piece that one process does not use is there for another within two beats."""
    ledger = MemoryLedger()
    _one, first = process(ledger, clock)
    _two, second = process(ledger, clock)
    assert taken(first, clock, 100) is not None
    answers: list[Answer] = []
    second.ask(900, answers.append)
    turn(clock, 2 * BEAT_SECONDS + 0.5)
    assert [answer.fits for answer in answers] == [True]


def test_what_nobody_needed_goes_back(clock: Clock) -> None:
    """After `IDLE_BEATS`: the ledger has all but what was used."""
    ledger = MemoryLedger()
    _one, first = process(ledger, clock)
    reservation = taken(first, clock, 100)
    assert reservation is not None
    first.settle(reservation, 40)
    turn(clock, (IDLE_BEATS + 2) * BEAT_SECONDS)
    standing = ledger.window(TODAY, clock.seconds())
    assert standing is not None
    assert (standing.committed, standing.outstanding) == (40, 0)


def test_more_is_borrowed_before_it_is_needed(clock: Clock) -> None:
    """While there is plenty, calls do not wait: a hundred of them, and none had to ask but the first."""
    _one, allowance = process(MemoryLedger(), clock, 1_000_000)
    assert taken(allowance, clock, 100) is not None
    for _ in range(100):
        reservation = allowance.reserve(5_000, clock.seconds())
        assert reservation is not None
        allowance.settle(reservation, 5_000)
        clock.advance(0.001)


def test_stopping_gives_everything_back(clock: Clock) -> None:
    """The ledger has what was used, no lease is left, and the file goes."""
    ledger = MemoryLedger()
    one, allowance = process(ledger, clock)
    reservation = taken(allowance, clock, 100)
    assert reservation is not None
    allowance.settle(reservation, 60)
    done: list[None] = []
    one.allowances.stop().addCallback(done.append)
    turn(clock, 0.2)
    standing = ledger.window(TODAY, clock.seconds())
    assert standing is not None
    assert (standing.committed, standing.holders, standing.lost) == (60, 0, 0)
    assert done == [None]
    assert one.holdings.closed
    assert not one.holdings.held
    assert not clock.getDelayedCalls()


def test_what_cannot_be_given_back_is_left_for_the_next_start(clock: Clock) -> None:
    """Without the ledger the figures stay where the next start finds them."""
    ledger = MemoryLedger()
    one, allowance = process(ledger, clock)
    reservation = taken(allowance, clock, 100)
    assert reservation is not None
    allowance.settle(reservation, 60)
    one.thread.lose()
    done: list[None] = []
    one.allowances.stop().addCallback(done.append)
    turn(clock, 0.2)
    assert done == [None]
    assert [held.spent for held in one.holdings.figures()] == [60]


def test_a_lease_that_is_not_prolonged_is_not_used(clock: Clock) -> None:
    """The ledger may count it as lost soon: nothing is reserved any more, though there is something."""
    one, allowance = process(MemoryLedger(), clock)
    assert taken(allowance, clock, 100) is not None
    one.thread.lose()
    clock.advance(LEASE_SECONDS - LEASE_MARGIN - 5)
    assert allowance.reserve(1, clock.seconds()) is not None
    clock.advance(10)
    assert allowance.reserve(1, clock.seconds()) is None
    one.thread.come_back()
    turn(clock, 2)
    assert allowance.reserve(1, clock.seconds()) is not None


def test_no_account_is_opened_before_the_journal_was_read(clock: Clock) -> None:
    """Who asks is told after a while that nobody knows; and it goes on by itself when the journal was read."""
    ledger = MemoryLedger()
    one = Process(ledger, clock, {PORT: budget(1000)}, read=False)
    allowance, *_ = one.allowances.of("p", None, "chat")
    answers: list[Answer] = []
    allowance.ask(100, answers.append)
    turn(clock, PATIENCE - 0.1)
    assert answers == []
    turn(clock, 0.2)
    assert [(answer.fits, answer.available) for answer in answers] == [(False, False)]
    assert ledger.window(TODAY, clock.seconds()) is None
    one.mark.at = clock.seconds()
    assert taken(allowance, clock, 100) is not None


def test_nor_before_the_records_of_this_process_are_written(clock: Clock) -> None:
    """What ended a moment ago may still be on its way to the file."""
    ledger = MemoryLedger()
    one, _ = process(ledger, clock)
    one.journal.start()
    one.journal.stall("full")
    assert one.journal.reserve()
    one.journal.append(None, b"{}\n", lambda: None)
    one.allowances.set_budget(Scope("q"), budget(500))
    allowance, *_ = one.allowances.of("q", None, "chat")
    assert taken(allowance, clock, 100) is None
    one.journal.stall(None)
    assert taken(allowance, clock, 100) is not None


def test_the_next_windows_account_is_open_before_it_begins(clock: Clock) -> None:
    """The first call of a day waits for one transaction, not for the journal."""
    ledger = MemoryLedger()
    _one, allowance = process(ledger, clock)
    assert taken(allowance, clock, 100) is not None
    tomorrow = Window(PORT, "day", START + DAY, START + 2 * DAY)
    clock.advance(START + DAY - OPEN_AHEAD - 1 - clock.seconds())
    assert ledger.window(tomorrow, clock.seconds()) is None
    turn(clock, 3)
    assert ledger.window(tomorrow, clock.seconds()) is not None


def test_a_window_that_is_over_is_closed_when_its_last_call_has_ended(clock: Clock) -> None:
    """Until then its lease lives, and afterwards its place is free."""
    ledger = MemoryLedger()
    one, allowance = process(ledger, clock)
    reservation = taken(allowance, clock, 100)
    assert reservation is not None
    turn(clock, 1)
    clock.advance(START + DAY - clock.seconds())
    turn(clock, 3)
    standing = ledger.window(TODAY, clock.seconds())
    assert standing is not None
    assert (standing.holders, standing.reserved) == (1, 100)
    allowance.settle(reservation, 70)
    turn(clock, 3)
    standing = ledger.window(TODAY, clock.seconds())
    assert standing is not None
    assert (standing.holders, standing.committed) == (0, 70)
    assert [held.window.start for held in one.holdings.figures()] == [START + DAY]


def test_a_ledger_that_was_lost_is_told_what_is_held(clock: Clock) -> None:
    """Nothing is reserved until it knows, nothing borrowed until all others have told it too."""
    ledger = MemoryLedger()
    one, allowance = process(ledger, clock)
    spent, held = taken(allowance, clock, 100), taken(allowance, clock, 50)
    assert spent is not None
    assert held is not None
    allowance.settle(spent, 100)
    fresh = MemoryLedger()
    one._read = False
    one.thread.come_back(fresh)
    assert allowance.reserve(1, clock.seconds()) is None
    turn(clock, 1)
    assert fresh.window(TODAY, clock.seconds()) is None
    one._read = True
    turn(clock, 1.5)
    standing = fresh.window(TODAY, clock.seconds())
    assert standing is not None
    assert standing.reserved == 50
    assert taken(allowance, clock, 10) is None
    turn(clock, LOST_SECONDS)
    assert taken(allowance, clock, 10) is not None


def test_what_was_prepared_for_a_lost_ledger_is_not_done_with_the_next(clock: Clock) -> None:
    """It would open an account there before the journal was read."""
    one, allowance = process(MemoryLedger(), clock)
    allowance.ask(100, lambda _: None)
    one.thread.slowness = 0.3
    turn(clock, 0.1)
    fresh = MemoryLedger()
    one._read = False
    one.thread.ledger, one.thread.made_anew = fresh, 1  # found gone by an operation before, not yet told here
    turn(clock, 1)
    assert fresh.window(TODAY, clock.seconds()) is None


def test_a_lower_cap_holds_soon(clock: Clock) -> None:
    """What was borrowed under the old one goes back."""
    one, allowance = process(MemoryLedger(), clock, 1000)
    assert taken(allowance, clock, 100) is not None
    one.allowances.set_budget(PORT, budget(200))
    turn(clock, 2 * BEAT_SECONDS)
    assert taken(allowance, clock, 101) is None
    assert taken(allowance, clock, 100) is not None


def test_a_budget_that_is_switched_on_counts_what_runs(clock: Clock) -> None:
    """A call that was let in without it, and ends with it, is charged."""
    one, allowance = process(MemoryLedger(), clock, enabled=False)
    running = allowance.reserve(100, clock.seconds())
    assert running is not None
    one.allowances.set_budget(PORT, budget(1000))
    turn(clock, 0.5)
    one.settle(allowance, running, 300)
    assert allowance.standing(clock.seconds()).used == 300
    assert taken(allowance, clock, 701) is None
    assert taken(allowance, clock, 700) is not None


def test_a_budget_that_is_switched_off_lets_go(clock: Clock) -> None:
    """Calls that run are settled as they were let in, and nothing more is kept from others."""
    ledger = MemoryLedger()
    one, allowance = process(ledger, clock)
    running = taken(allowance, clock, 100)
    assert running is not None
    one.allowances.set_budget(PORT, budget(1000, enabled=False))
    assert allowance.reserve(10**6, clock.seconds()) is not None
    turn(clock, 2)
    allowance.settle(running, 90)
    turn(clock, 2)
    standing = ledger.window(TODAY, clock.seconds())
    assert standing is not None
    assert (standing.committed, standing.outstanding) == (90, 0)


def test_without_a_place_for_figures_nobody_knows(clock: Clock) -> None:
    """A full disk at the moment at which the file is to be made."""
    made = Process(MemoryLedger(), clock, {})

    def full() -> Any:
        raise OSError(28, "No space left on device")

    made.allowances._places._open_file = full
    made.allowances.set_budget(PORT, budget(1000))
    allowance, *_ = made.allowances.of("p", None, "chat")
    answers: list[Answer] = []
    assert allowance.reserve(1, clock.seconds()) is None
    allowance.ask(1, answers.append)
    turn(clock)
    assert [(answer.fits, answer.available) for answer in answers] == [(False, False)]
    assert made.allowances.trouble == "budgets cannot be spent: No space left on device"


OTHER = Scope(PORT.port, "user", "one-too-many")


class OnePlace(MemoryHoldings):
    """A file with places for one window."""

    def holding(self, window: Window) -> Holding:
        if self.held:
            raise HoldingsFull("all 1 places for windows of budgets are in use")
        return super().holding(window)


def test_a_budget_without_a_place_is_its_own_trouble(clock: Clock) -> None:
    """The others borrow and wait as ever: what a port has left is reserved, and who waits for it goes on waiting."""
    made = Process(MemoryLedger(), clock, {})
    made.holdings = OnePlace()
    made.allowances.set_budget(PORT, budget(1000))
    port, *_ = made.allowances.of("p", None, "chat")
    turn(clock, 3)
    assert taken(port, clock, 600) is not None
    made.allowances.set_budget(OTHER, budget(1000))
    for _ in range(2):
        turn(clock, 3)
        assert made.allowances.trouble == "budgets cannot be spent: all 1 places for windows of budgets are in use"
        answers: list[Answer] = []
        port.ask(600, answers.append)
        made.allowances.all[OTHER, "tokens"].ask(1, answers.append)
        turn(clock, 1)
        assert [(each.fits, each.available) for each in answers] == [(False, False)]


def test_a_budget_is_in_trouble_until_it_has_a_place_or_is_off(clock: Clock) -> None:
    """What another one finds does not say that all is well."""
    made = Process(MemoryLedger(), clock, {})
    made.holdings = OnePlace()
    made.allowances.set_budget(OTHER, budget(1000))
    made.allowances.set_budget(PORT, budget(1000))
    turn(clock, 2)
    assert made.allowances.trouble is not None
    made.allowances.set_budget(PORT, structs.replace(budget(1000), enabled=False))
    turn(clock, 2)
    assert made.allowances.trouble is None
    made.allowances.set_budget(PORT, budget(1000))
    assert made.allowances.trouble is not None
    made.holdings.__class__ = MemoryHoldings
    turn(clock, 2)
    assert made.allowances.trouble is None
    port, *_ = made.allowances.of("p", None, "chat")
    assert taken(port, clock, 1000) is not None


# -- the law

CAP = 1000


class Spending(RuleBasedStateMachine):
    """Three processes on one ledger; calls use up to what was reserved for them; processes die and come back."""

    #: the ledger may be out of reach for one of them
    outages = False

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.clock.advance(START + 3600)
        self.ledger = MemoryLedger()
        self.processes: list[Process] = []
        self.running: list[tuple[int, Allowance, Reservation]] = []
        self.waiting: list[Cancel] = []
        #: what providers counted
        self.used = 0

    @initialize()
    def begin(self) -> None:
        """All are there."""
        self.processes = [self._new() for _ in range(3)]

    def _new(self) -> Process:
        return Process(self.ledger, self.clock, {PORT: budget(CAP)})

    @rule(number=st.integers(0, 2), amount=st.integers(0, 400))
    def admit(self, number: int, amount: int) -> None:
        """From what is at hand."""
        allowance, *_ = self.processes[number].allowances.of("p", None, "chat")
        reservation = allowance.reserve(amount, self.clock.seconds())
        if reservation is not None:
            self.running.append((number, allowance, reservation))

    @rule(number=st.integers(0, 2), amount=st.integers(0, 400))
    def ask(self, number: int, amount: int) -> None:
        """For more."""
        allowance, *_ = self.processes[number].allowances.of("p", None, "chat")

        def answered(answer: Answer) -> None:
            if answer.fits:
                reservation = allowance.reserve(amount, self.clock.seconds())
                assert reservation is not None
                self.running.append((number, allowance, reservation))
            elif answer.available:
                assert answer.standing.used + amount > CAP

        self.waiting.append(allowance.ask(amount, answered))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), share=st.floats(0, 1))
    def end(self, data: st.DataObject, share: float) -> None:
        """A call used a part of what was reserved for it."""
        at = data.draw(st.integers(0, len(self.running) - 1))
        _, allowance, reservation = self.running.pop(at)
        used = int(reservation.amount * share)
        self.used += used
        allowance.settle(reservation, used)

    @rule(seconds=st.sampled_from([0.0, 0.05, 0.3, 1.0, 3.0, 15.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        turn(self.clock, seconds)
        self.clock.advance(0)

    @rule(number=st.integers(0, 2), share=st.floats(0, 1))
    def kill(self, number: int, share: float) -> None:
        """A process dies: its calls used what they used, and another comes."""
        for each in [each for each in self.running if each[0] == number]:
            self.running.remove(each)
            self.used += int(each[2].amount * share)
        self.processes[number].die(self.ledger)
        self.processes[number] = self._new()

    @precondition(lambda self: self.outages)
    @rule(number=st.integers(0, 2))
    def lose_the_ledger(self, number: int) -> None:
        """For one of them; it comes back with the next."""
        thread = self.processes[number].thread
        if thread.trouble is None:
            thread.lose()
        else:
            thread.come_back()

    @invariant()
    def never_over(self) -> None:
        """What was used, and what calls that run may still use, fits under the cap."""
        assert self.used + sum(reservation.amount for _, _, reservation in self.running) <= CAP
        standing = self.ledger.window(TODAY, self.clock.seconds())
        assert standing is None or standing.committed <= CAP

    def teardown(self) -> None:
        """When all have ended and stopped, the ledger has what was used, and what was lost."""
        for cancel in self.waiting:
            cancel()
        for _, allowance, reservation in self.running:
            allowance.settle(reservation, reservation.amount)
            self.used += reservation.amount
        for each in self.processes:
            if each.thread.trouble is not None:
                each.thread.come_back()
        turn(self.clock, 3)
        for each in self.processes:
            each.allowances.stop()
        turn(self.clock, 0.3)
        standing = self.ledger.window(TODAY, self.clock.seconds())
        if standing is not None:
            assert standing.holders == 0
            assert self.used <= standing.committed <= self.used + standing.lost


TestSpending = Spending.TestCase
TestSpending.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


class SpendingThroughOutages(Spending):
    """The same, and now and then the ledger is out of reach for one of them."""

    outages = True


TestSpendingThroughOutages = SpendingThroughOutages.TestCase
TestSpendingThroughOutages.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def started(ledger: MemoryLedger, clock: Clock) -> tuple[Process, Any]:
    """A process with a strict cap of 1000, and its allowance."""
    process = Process(ledger, clock, {PORT: budget(1000)})
    allowance, *_ = process.allowances.of("p", None, "x")
    return process, allowance


def test_timers_do_not_pile_up() -> None:
    """While somebody waits for what others have reserved, settling calls leaves no more of them than one."""
    clock = Clock()
    clock.advance(START + 3600)
    process, allowance = started(MemoryLedger(), clock)
    assert taken(allowance, clock, 900)
    allowance.ask(500, lambda answer: None)
    turn(clock, 1)
    before = len(process.allowances._timers)
    for _ in range(200):
        reservation = taken(allowance, clock, 10)
        assert reservation is not None
        allowance.settle(reservation, 0)
        clock.advance(0.01)
    assert len(process.allowances._timers) <= before + 3


def test_budgets_that_the_settings_have_no_longer(clock: Clock) -> None:
    """No call passes them, what was lent goes back, and a call that runs is settled; one that comes back knows what was
    used; a feature that is listed no longer counts as one of the others.
    """
    ledger = MemoryLedger()
    one = Process(ledger, clock, {})
    user, feature, rest = Scope("p", "user", "u"), Scope("p", "feature", "f"), Scope("p", "feature", OTHER_FEATURES)
    budget = Budget(enabled=True, soft_cap_tokens=1, hard_cap_tokens=1000)
    allowances = one.allowances
    allowances.set_budgets(dict.fromkeys((PORT, user, feature, rest), budget))
    turn(clock, 2)

    def passed() -> list[Scope]:
        return [each.scope for each in allowances.of("p", "u", "f")]

    assert passed() == [PORT, user, feature]
    held = taken(allowances.all[user, "tokens"], clock, 100)
    assert held is not None
    allowances.set_budgets(dict.fromkeys((PORT, rest), budget))
    assert passed() == [PORT, rest]
    assert not allowances.all[user, "tokens"].cap.enabled
    allowances.all[user, "tokens"].settle(held, 60)
    turn(clock, 3)
    allowances.set_budgets(dict.fromkeys((PORT, user, rest), budget))
    turn(clock, 2)
    assert passed() == [PORT, user, rest]
    assert allowances.all[user, "tokens"].standing(clock.seconds()).used == 60
    allowances.set_budgets({})
    assert passed() == []
