"""What a process has to do with the ledger, put together: its thread, the journal's reading, the budgets' spending.

Of one process alone everything; of several, the supervisor reads the journal (`keeps`) and the workers spend (`lends`).
A worker without a budget that is on has no thread: it has nothing to ask.

What was stored over the settings (`awf budget set`, here or on another host) is looked for by who keeps, every
`SETTINGS_SECONDS` and when it is told so, and holds from then on: `changed` passes it to the workers.  Until the first
look has succeeded, what was seen last holds (`stored_budgets`); where nobody knows that, see `unknown_budgets`.  A
ledger that was lost and made anew gets that back before anybody asks or changes it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import txaio
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.task import LoopingCall

from awfproxy.core.budgets import Budget, Scope
from awfproxy.core.settings import Database, Settings
from awfproxy.ledger.budget_desk import in_effect
from awfproxy.ledger.errors import LedgerUnavailable
from awfproxy.ledger.facts import Setting
from awfproxy.ledger.interface import Ledger
from awfproxy.ledger.row_maker import row_maker
from awfproxy.ledger.rows import Line, Row
from awfproxy.prices.charges import Charges
from awfproxy.server.allowance import Allowances
from awfproxy.server.bookkeeper import Bookkeeper, LedgerFigures
from awfproxy.server.holdings_file import HoldingsFile
from awfproxy.server.intake import Intake
from awfproxy.server.journal_tail import Tail
from awfproxy.server.leased_allowances import LOST_SECONDS, LeasedAllowances
from awfproxy.server.ledger_thread import LedgerThread
from awfproxy.server.mending import USAGE_FILE
from awfproxy.server.tail_mark import SIZE, TailMark
from awfproxy.server.tariff import Found, Tariff
from awfproxy.server.unknown_budgets import UnknownBudgets
from awfproxy.state.installation import installation_id
from awfproxy.state.stored_budgets import NAME, Look, StoredBudgets

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
        #: used by the ledger's thread
        self._charges = Charges(settings.service.prices, time.monotonic)
        self.bookkeeper: Bookkeeper | None = None
        self.allowances: LeasedAllowances | None = None
        #: all budgets, as they hold now
        self.budgets: Mapping[Scope, Budget] = in_effect(settings, ())
        #: what is stored of them is known, or was
        self.known = True
        #: called when others hold
        self.changed: Callable[[Mapping[Scope, Budget]], None] = lambda budgets: None
        #: called with what calls must pass, at the start and when that is something else
        self.lend: Callable[[Allowances], None] = lambda allowances: None
        self._stored = StoredBudgets(settings.service.state_dir)
        #: what was stored of budgets when somebody looked last
        self._kept: Sequence[Setting] = ()
        #: used by the ledger's thread: makes the rows of records
        self._row_of: Callable[[Line], Row | None] = lambda record: None
        self._instance = ""
        self._tariff: Tariff | None = None
        self._spending = False
        self._looking = LoopingCall(self.look)
        self._looking.clock = reactor

    def start(self, *, keeps: bool) -> None:
        """Begin, once the journal has opened its files.

        :raises InstallationError: the id in ``state_dir`` cannot be read or made
        """
        service = self._settings.service
        self._instance = instance = installation_id(service.state_dir)
        if keeps:
            self._remember()
            path = os.path.join(service.log_dir, USAGE_FILE)
            self._row_of = row_maker(self._settings, instance, self._charges.charge)
            tail = Tail(path, instance, lambda record: self._row_of(record), time.monotonic)
            self.bookkeeper = Bookkeeper(
                self._thread, tail, self._mark, instance=instance, state_dir=service.state_dir,
                price=self._charges.charge, clock=self._reactor, now=time.time, monotonic=time.monotonic,
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
        self._lend()
        self._hold(self.budgets)

    def take_over(self, settings: Settings, budgets: Mapping[Scope, Budget] | None = None) -> None:
        """These settings are in effect from now on: what is stored over them stays.

        :param budgets: as they hold with them, where somebody else has looked
        """
        service = settings.service
        self._settings = settings
        if self.bookkeeper is not None:
            self._row_of = row_maker(settings, self._instance, self._charges.charge)
        if not self.known:
            self._lend()
        self._hold(in_effect(settings, self._kept) if budgets is None else budgets)
        if self._thread.running:
            self._thread.do(lambda _: self._charges.reopen(service.prices), lambda _: self._prices_changed())
        else:
            self._charges.reopen(service.prices)

    def _prices_changed(self) -> None:
        if self._tariff is not None:
            self._tariff.renew()

    def _lend(self) -> None:
        if self.allowances is not None:
            unknown = None if self.known else UnknownBudgets(self._settings, self.allowances, self._reactor)
            self.lend(unknown or self.allowances)

    def take(self, budgets: Mapping[Scope, Budget]) -> None:
        """These budgets hold from now on: somebody has looked."""
        if not self.known:
            self.known = True
            if self.allowances is not None:
                self.lend(self.allowances)
        self._hold(budgets)

    def _hold(self, budgets: Mapping[Scope, Budget]) -> None:
        self.budgets = budgets
        if self.allowances is None:
            return
        self.allowances.set_budgets(budgets)
        if not self._spending and (self.bookkeeper is not None or any(budget.enabled for budget in budgets.values())):
            self._spending = True
            if not self._thread.running:
                self._thread.start()
            self.allowances.start()

    def look(self) -> None:
        """Look for what was stored over the settings."""
        self._thread.do(self._stored.look, self._looked)

    def price(self, tariff: Tariff) -> None:
        """Have the ledger's thread find the rates of a tariff."""
        self._tariff = tariff
        tariff.look_up = self._rate
        self._thread.returned.append(tariff.retry)

    def _rate(self, provider: str, model: str, at: float, found: Found) -> None:
        self._thread.do(
            lambda _: self._charges.rate(provider, model, at),
            lambda rate: found(None if isinstance(rate, LedgerUnavailable) else rate),
        )

    def on_ledger(self, operation: Callable[[Ledger], T]) -> Deferred[T]:
        """As `controls.Controls`."""
        done: Deferred[T] = Deferred()

        def looked_and_done(ledger: Ledger) -> tuple[Look, T]:
            # in one, or a change would go over nothing where the ledger was lost since the last look
            return self._stored.look(ledger), operation(ledger)

        def result(found: tuple[Look, T] | LedgerUnavailable) -> None:
            if isinstance(found, LedgerUnavailable):
                done.errback(found)
            else:
                self._looked(found[0])
                done.callback(found[1])

        self._thread.do(looked_and_done, result)
        return done

    def _looked(self, look: Look | LedgerUnavailable) -> None:
        if isinstance(look, LedgerUnavailable):
            return  # what holds goes on holding
        if look.restored:
            log.warn(
                "the ledger had lost what was stored of budgets: {count} stored again as {file} has them",
                count=len(look.restored), file=NAME,
            )  # fmt: skip
        self._kept = look.settings
        budgets = in_effect(self._settings, look.settings)
        if budgets != self.budgets or not self.known:
            log.info("budgets have changed")
            self.take(budgets)
            self.changed(budgets)

    def _remember(self) -> None:
        """What was stored when somebody looked last."""
        kept = self._stored.read()
        self.known = kept is not None
        self._kept = kept or ()
        self.budgets = in_effect(self._settings, self._kept)
        if kept is None:
            log.error("{file} in state_dir is damaged: budgets are not known before the ledger is reached", file=NAME)

    def opening(self) -> bool:
        """Whether a budget that is on cannot be spent yet, and soon can, as far as is known; asking hastens it."""
        allowances = self.allowances
        if allowances is None or not self._thread.running or self._thread.trouble is not None:
            return False
        if not self.known:
            return True
        if allowances.trouble is not None or allowances.defect is not None or allowances.waits_for_others:
            return False
        leases = [each.lease for each in allowances.all.values() if each.cap.enabled and each.lease is not None]
        # all of them are asked, not up to the first that is not ready: it brings each of them further
        return bool([lease for lease in leases if not allowances.ready(lease)])

    def stop(self) -> Deferred[None]:
        """Give leases back, record the last rows, close the ledger: after the journal has written its last."""
        return Deferred.fromCoroutine(self._stop())

    def condition(self) -> str | None:
        """What is not well with the ledger, for `/health`; None: nothing."""
        if not self.known:
            return "what was stored of budgets is not known: the ledger cannot be reached, and budgets.json is damaged"
        if self._thread.trouble is not None:
            return self._thread.trouble
        if self.allowances is not None and self.allowances.trouble is not None:
            return self.allowances.trouble
        if self.allowances is not None and self.allowances.defect is not None:
            return self.allowances.defect
        if self.allowances is not None and self.allowances.waits_for_others:
            return "the ledger was made anew: nothing is borrowed until all processes have told it what they hold"
        if self._charges.trouble is not None:
            return self._charges.trouble
        if self._stored.trouble is not None:
            return self._stored.trouble
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
        return LedgerFigures(
            keeper.recorded, keeper.lag, keeper.skipped, self._thread.errors, keeper.lost_tokens,
            dict(self._charges.unpriced),
        )  # fmt: skip

    async def _stop(self) -> None:
        if not self._thread.running:
            return
        try:
            await Deferred.fromCoroutine(self._close()).addTimeout(CLOSE_SECONDS, self._reactor)
        except DeferredTimeout:  # not Python's: Twisted has one of its own
            log.warn("the ledger does not answer: what is not recorded yet is read from the journal at the next start")
        if not await self._thread.stop(THREAD_SECONDS):
            log.warn("the ledger's thread hangs, and ends with the process")
        self._mark.close()

    async def _close(self) -> None:
        if self._looking.running:
            self._looking.stop()
        if self.allowances is not None:
            # what was asked of the thread before is answered before: calls that wait for their price are charged
            await self._settled()
            await self.allowances.stop()
        if self.bookkeeper is not None:
            await self.bookkeeper.stop()

    def _settled(self) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self._thread.do(lambda _: None, lambda _: done.callback(None))
        return done

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
