"""Deaths of processes, and a ledger that fails while they are settled: nothing that was used is lost, nothing stays out.

The same clock and the same memory as in test_lease.py; the files of the dead are real where it is about them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from awfproxy.ledger.errors import LedgerUnavailable
from awfproxy.ledger.facts import Grant, Held, Holder, Loss, Window
from awfproxy.ledger.memory import MemoryLedger
from awfproxy.server.holdings_file import HoldingsFile
from tests.server.ledger_stage import PORT, START, Grave, Host, Process, budget
from tests.server.test_allowance import taken, turn
from tests.server.test_bookkeeper import Stage
from tests.server.test_bookkeeper import stage as stage
from tests.server.test_lease import OFF, TODAY, standing, tokens
from tests.server.test_lease import clock as clock


class Failing(MemoryLedger):
    """Its connection breaks: before something is done, or after it."""

    before_settling = after_settling = before_windows = after_joining = 0

    def settle_dead(self, holder: Holder, helds: Sequence[Held], now: float) -> list[Loss]:
        if self.before_settling:
            self.before_settling -= 1
            raise LedgerUnavailable("the connection broke")
        done = super().settle_dead(holder, helds, now)
        if self.after_settling:
            self.after_settling -= 1
            raise LedgerUnavailable("the answer got lost")
        return done

    def windows(self, now: float) -> list[Window]:
        if self.before_windows:
            self.before_windows -= 1
            raise LedgerUnavailable("the connection broke")
        return super().windows(now)

    def join(self, holder: Holder, held: Held, *, now: float, expires_at: float, recount: bool = False) -> Grant:
        done = super().join(holder, held, now=now, expires_at=expires_at, recount=recount)
        if self.after_joining:
            self.after_joining -= 1
            raise LedgerUnavailable("the answer got lost")
        return done


@pytest.fixture
def ledger() -> Failing:
    """One that works until it is told otherwise."""
    return Failing()


@pytest.fixture
def host(ledger: Failing, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Whose dead are found."""
    made = Host(ledger, clock, "host")
    monkeypatch.setattr("awfproxy.server.bookkeeper.dead", lambda state_dir: list(made.graves))
    return made


def dead_workers(ledger: MemoryLedger, folder: Path) -> None:
    """Two that had 400 tokens each, 10 of them reserved."""
    for _ in range(2):
        file = HoldingsFile(str(folder))
        holding = file.holding(TODAY)
        grant = ledger.borrow(
            Holder("host", file.number), Held(TODAY, 0, 0, 0), cap=1000, need=400, most=400, now=START,
            expires_at=START + 300,
        )  # fmt: skip
        holding.agree(grant.granted, START + 300)
        assert holding.reserve(10)
        file.close()


def test_one_death_that_cannot_be_settled_yet_keeps_no_other(stage: Stage) -> None:
    """The ledger fails once: both are settled in the next round, and nobody holds the lock of either meanwhile."""
    ledger = stage.ledger = stage.thread.ledger = Failing()
    dead_workers(ledger, stage.folder)
    ledger.before_settling = 1
    stage.keeper.start()
    stage.turn(5)
    now = standing(ledger)
    assert (now.committed, now.lost) == (20, 20)
    assert stage.keeper.lost_tokens == 20
    assert not os.listdir(stage.folder / "holdings")


def test_a_file_that_cannot_be_opened_now_keeps_no_other(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Descriptors run short in the middle: what was looked at before is let go of, and all are settled later."""
    dead_workers(stage.ledger, stage.folder)
    opened = []
    open_file: Callable[..., int] = os.open

    def short(path: str, flags: int, *mode: int) -> int:
        opened.append(path)
        if len(opened) == 2:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)
        return open_file(path, flags, *mode)

    monkeypatch.setattr("awfproxy.server.holdings_file.os.open", short)
    stage.keeper.start()
    stage.turn(5)
    assert len(opened) >= 3
    now = standing(stage.ledger)
    assert (now.committed, now.lost) == (20, 20)
    assert not os.listdir(stage.folder / "holdings")


@pytest.mark.parametrize("breaks", ["nothing", "after_settling", "before_windows"])
def test_what_the_dead_used_without_a_lease(ledger: Failing, host: Host, clock: Clock, breaks: str) -> None:
    """It is made up for from rows, also where the ledger fails between the settling and that."""
    one = Process(ledger, clock, {PORT: budget(1000)}, host=host)
    turn(clock, 3)
    assert taken(tokens(one), clock, 1) is not None
    two = Process(ledger, clock, {}, host=host)
    two.thread.lose()
    two.allowances.set_budget(PORT, budget(1000))
    turn(clock, 1)
    two.settle(tokens(two), tokens(two).overdraw(clock.seconds()), 900)
    turn(clock, 3)
    if breaks != "nothing":
        setattr(ledger, breaks, 1)
    two.die(ledger)
    turn(clock, 60)
    assert standing(ledger).used == 900
    assert taken(tokens(one), clock, 200) is None


def test_what_a_worker_used_that_never_had_a_file(ledger: Failing, host: Host, clock: Clock) -> None:
    """The budget was off all its life: when it is on again, its rows count in the account that is still there."""
    workers = [Process(ledger, clock, {PORT: budget(1000)}, host=host) for _ in range(2)]
    turn(clock, 3)
    for each in workers:
        each.allowances.set_budget(PORT, OFF)
    turn(clock, 3)
    workers[1].die(ledger)
    turn(clock, 3)
    killed = Process(ledger, clock, {PORT: OFF}, host=host)
    turn(clock, 3)
    reservation = tokens(killed).reserve(900, clock.seconds())
    assert reservation is not None
    killed.settle(tokens(killed), reservation, 900)
    turn(clock, 3)
    killed.die(ledger)
    assert not host.graves
    after = Process(ledger, clock, {PORT: OFF}, host=host)
    turn(clock, 5)
    for each in (workers[0], after):
        each.allowances.set_budget(PORT, budget(1000))
    turn(clock, 60)
    assert standing(ledger).used == 900


def test_figures_that_the_ledger_never_agreed_to(ledger: Failing, host: Host, clock: Clock) -> None:
    """A lease that was joined, of which nobody here knows; then what rows show went out of its figures for a joining
    that was never done.  After the death these figures are not taken for all that was used."""
    one = Process(ledger, clock, {PORT: budget(1000)}, host=host)
    turn(clock, 3)
    assert taken(tokens(one), clock, 1) is not None
    two = Process(ledger, clock, {}, host=host)
    ledger.after_joining = 1
    two.allowances.set_budget(PORT, budget(1000))
    for _ in range(200):
        turn(clock, 0.05)
        if not ledger.after_joining:
            break
    two.thread.lose()
    two.settle(tokens(two), tokens(two).overdraw(clock.seconds()), 600)
    turn(clock, 5)
    two.settle(tokens(two), tokens(two).overdraw(clock.seconds()), 100)
    turn(clock, 1)
    two.die(ledger)
    turn(clock, 60)
    assert standing(ledger).used == 700


def test_a_lease_that_the_ledger_may_have_is_not_let_go_of(clock: Clock, host: Host) -> None:
    """A ledger that was made anew has it, the answer got lost, and the process stops while the ledger is away: the next
    start finds the lease in its file, and what was reserved does not stay out."""
    first, fresh = Failing(), Failing()
    host.thread.ledger = first
    one = Process(first, clock, {PORT: budget(1000)}, host=host)
    turn(clock, 3)
    running = taken(tokens(one), clock, 800)
    assert running is not None
    fresh.after_joining = 1
    one.thread.vanish(fresh)
    host.thread.vanish(fresh)
    for _ in range(400):
        turn(clock, 0.05)
        if not fresh.after_joining:
            break
    one.thread.lose()
    one.settle(tokens(one), running, 300)
    turn(clock, 0.3)
    one.allowances.stop()
    turn(clock, 1)
    held: dict[int, Any] = one.holdings.held
    assert held
    host.graves.append(Grave(one.holdings.number, one.holdings.figures(), host.graves))
    turn(clock, 400)
    now = standing(fresh)
    assert (now.committed, now.lost) == (300, 0)
