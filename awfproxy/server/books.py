"""What a process has to do with the ledger, put together: its thread, the journal's reading, the budgets' spending.

Of one process alone everything; of several, the supervisor reads the journal (`keeps`) and the workers spend (`lends`).
A worker without a budget that is on has no thread: it has nothing to ask.

What was stored over the settings (`awf budget set`, here or on another host) is looked for by who keeps, every
`SETTINGS_SECONDS` and when it is told so, and holds from then on: `changed` passes it to the workers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import txaio
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from awfproxy.core.budgets import Budget, Scope
from awfproxy.core.settings import Database, Settings
from awfproxy.ledger.budget_desk import in_effect
from awfproxy.ledger.errors import LedgerUnavailable
from awfproxy.ledger.facts import Setting
from awfproxy.ledger.interface import Ledger
from awfproxy.ledger.row_maker import row_maker
from awfproxy.server.bookkeeper import Bookkeeper, LedgerFigures
from awfproxy.server.holdings_file import HoldingsFile
from awfproxy.server.installation import installation_id
from awfproxy.server.intake import Intake
from awfproxy.server.journal_tail import Tail
from awfproxy.server.leased_allowances import LOST_SECONDS, LeasedAllowances
from awfproxy.server.ledger_thread import LedgerThread
from awfproxy.server.mending import USAGE_FILE
from awfproxy.server.tail_mark import SIZE, TailMark

txaio.use_twisted()
log = txaio.make_logger()

T = TypeVar("T")

#: seconds that giving back and the last rows get at the end; what is not done then, the next start does
CLOSE_SECONDS: Final = 3.0
#: seconds in which the thread must end after that
THREAD_SECONDS: Final = 1.0
#: seconds between two looks for settings that were stored: one small query
SETTINGS_SECONDS: Final = 2.0
#: records that the ledger may be behind the journal before `/health` says so: seconds of work, or an outage
LAG_MAX: Final = 10_000
#: name of the memory that supervisor and workers share for `TailMark`, and bytes of it
MARK: Final = "tail"
MARK_BYTES: Final = SIZE


class Books:
    """See the module.  Nothing is opened before `start`.

    :param journal: of this process; None: it writes none
    :param mark: memory for `TailMark` that is shared with other processes; None: there are none
    """

    def __init__(
        self, settings: Settings, reactor: Any, journal: Intake | None, mark: memoryview | bytearray | None = None
    ) -> None:
        self._settings = settings
        self._reactor = reactor
        self._journal = journal
        self._alone = journal is not None and mark is None
        self._mark = TailMark(bytearray(SIZE) if mark is None else mark)
        loop = getattr(reactor, "_asyncioEventloop", None)
        self._thread = LedgerThread(
            lambda: open_ledger(settings.service.ledger),
            call_from_thread=reactor.callFromThread if loop is None else loop.call_soon_threadsafe,
            clock=reactor,
        )
        self.bookkeeper: Bookkeeper | None = None
        self.allowances: LeasedAllowances | None = None
        #: all budgets, as they hold now
        self.budgets: Mapping[Scope, Budget] = in_effect(settings, ())
        #: called when others hold
        self.changed: Callable[[Mapping[Scope, Budget]], None] = lambda budgets: None
        self._spending = False
        self._looking = LoopingCall(self.look)
        self._looking.clock = reactor

    def start(self, *, keeps: bool) -> None:
        """Begin, once the journal has opened its files.

        :raises InstallationError: the id in ``state_dir`` cannot be read or made
        """
        service = self._settings.service
        instance = installation_id(service.state_dir)
        if keeps:
            path = os.path.join(service.log_dir, USAGE_FILE)
            tail = Tail(path, instance, row_maker(self._settings, instance), time.monotonic)
            self.bookkeeper = Bookkeeper(
                self._thread, tail, self._mark, instance=instance, state_dir=service.state_dir,
                clock=self._reactor, now=time.time, monotonic=time.monotonic,
            )  # fmt: skip
            if self._journal is not None:
                self._journal.usage_was_written = self.bookkeeper.wake
        if self._journal is not None:
            self.allowances = LeasedAllowances(
                self._thread, self._mark, instance=instance,
                open_holdings=lambda: HoldingsFile(service.state_dir),
                journal=self._journal, clock=self._reactor, now=time.time, monotonic=time.monotonic,
                hurry=self._hurry,
                lost_seconds=0.0 if self._alone and service.ledger.path is not None else LOST_SECONDS,
            )  # fmt: skip
        if keeps:
            self._thread.start()
            assert self.bookkeeper is not None
            self.bookkeeper.start()
            self._looking.start(SETTINGS_SECONDS, now=True)
        self.take(self.budgets)

    def take(self, budgets: Mapping[Scope, Budget]) -> None:
        """These budgets hold from now on."""
        self.budgets = budgets
        if self.allowances is None:
            return
        for scope, budget in budgets.items():
            self.allowances.set_budget(scope, budget)
        if not self._spending and (self.bookkeeper is not None or any(budget.enabled for budget in budgets.values())):
            self._spending = True
            if not self._thread.running:
                self._thread.start()
            self.allowances.start()

    def look(self) -> None:
        """Look for what was stored over the settings."""
        self._thread.do(lambda ledger: ledger.settings(), self._looked)

    def on_ledger(self, operation: Callable[[Ledger], T]) -> Deferred[T]:
        """As `controls.Controls`."""
        done: Deferred[T] = Deferred()

        def result(found: T | LedgerUnavailable) -> None:
            if isinstance(found, LedgerUnavailable):
                done.errback(found)
            else:
                done.callback(found)

        self._thread.do(operation, result)
        return done

    def _looked(self, kept: list[Setting] | LedgerUnavailable) -> None:
        if isinstance(kept, LedgerUnavailable):
            return  # what holds goes on holding
        budgets = in_effect(self._settings, kept)
        if budgets != self.budgets:
            log.info("budgets have changed")
            self.take(budgets)
            self.changed(budgets)

    def stop(self) -> Deferred[None]:
        """Give leases back, record the last rows, close the ledger: after the journal has written its last."""
        return Deferred.fromCoroutine(self._stop())

    def condition(self) -> str | None:
        """What is not well with the ledger, for `/health`; None: nothing."""
        if any(budget.enabled and budget.hard_cap_usd for budget in self.budgets.values()):
            return "a stored cap in dollars is not kept in this version: awf budget unset PORT hard_cap_usd"
        if self._thread.trouble is not None:
            return self._thread.trouble
        if self.allowances is not None and self.allowances.trouble is not None:
            return self.allowances.trouble
        if self.bookkeeper is not None:
            if self.bookkeeper.trouble is not None:
                return self.bookkeeper.trouble
            if (lag := self.bookkeeper.lag) is not None and lag > LAG_MAX:
                return f"the ledger is some {lag} records behind the journal"
        return None

    def figures(self) -> LedgerFigures:
        """For `/metrics`; for any thread."""
        keeper = self.bookkeeper
        if keeper is None:
            return LedgerFigures(errors=self._thread.errors)
        return LedgerFigures(keeper.recorded, keeper.lag, keeper.skipped, self._thread.errors, keeper.lost_tokens)

    async def _stop(self) -> None:
        if not self._thread.running:
            return
        try:
            await Deferred.fromCoroutine(self._close()).addTimeout(CLOSE_SECONDS, self._reactor)
        except TimeoutError:
            log.warn("the ledger does not answer: what is not recorded yet is read from the journal at the next start")
        if not await self._thread.stop(THREAD_SECONDS):
            log.warn("the ledger's thread hangs, and ends with the process")
        self._mark.close()

    async def _close(self) -> None:
        if self._looking.running:
            self._looking.stop()
        if self.allowances is not None:
            await self.allowances.stop()
        if self.bookkeeper is not None:
            await self.bookkeeper.stop()

    def _hurry(self) -> None:
        if self.bookkeeper is not None:
            self.bookkeeper.hurry()


def open_ledger(database: Database) -> Ledger:
    """The ledger of the settings, open.

    :raises LedgerError: it cannot be opened
    """
    # Imported by the thread that needs it: SQLAlchemy takes a quarter of a second.
    from awfproxy.ledger.sql import SqlLedger

    ledger = SqlLedger(database.reveal())
    try:
        ledger.open()
    except BaseException:
        ledger.close()
        raise
    return ledger
