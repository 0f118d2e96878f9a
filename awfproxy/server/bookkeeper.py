"""Keeps the ledger what the journal says: one process of each host does, the only one or the supervisor.

A *round* is some operations of the ledger's thread: settle the leases of this host's dead (`holdings_file`), read what
the journal's files have more and record it, in batches, and at their end move the mark (`tail_mark`), with which the
other processes may have accounts opened from rows.  So no account is opened before the dead are settled.

Rules:
- A round begins soon after records were written (`wake`), so that batches are worth their transaction, at once where
  somebody waits for it (`hurry`), and in any case every `LOOK_SECONDS`.
- Each round asks the ledger how far it is: another database, a restored one, a new file: it is read from there.
- A ledger that is not where this one left it is another one, or an older copy: the mark says nothing until the end of
  the journal was reached with it.
- Then, and at the first end after the start, the accounts make up with rows for what no lease has covered
  (`Ledger.recount`), where this installation has any: calls may have run while the budget was off, or their leases may
  be gone with the database.  The same after a death, for those accounts of which the dead had no lease, or one that the
  ledger had not followed to its end.  For `DOUBT_SECONDS` they are looked at again: what leases live on have told by
  then is not counted twice.
- A batch whose answer got lost was recorded all the same, if the ledger is where it would be with it: that is no other
  ledger.
- Rows without a cost (of an older version, or written while there was no price list) are priced before accounts are
  opened, as far back as budgets look.  Those that nobody can price hide none behind them: after a batch of such the
  next one is looked at `PRICE_EVERY` seconds later, and after the last of all the first.
- Whatever fails is tried again in the next round, and is said in `trouble`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

import msgspec
import txaio
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from awfproxy.core.budgets import dollars
from awfproxy.core.windows import PERIODS, window_start
from awfproxy.ledger.budget_desk import titled
from awfproxy.ledger.errors import LedgerUnavailable
from awfproxy.ledger.facts import Holder, Loss, Position, Window
from awfproxy.ledger.interface import BATCH_ROWS, Ledger
from awfproxy.ledger.rows import Price, Row, priced
from awfproxy.server.holdings_file import Dead, dead
from awfproxy.server.journal_tail import Batch, Tail
from awfproxy.server.ledger_thread import LedgerThread
from awfproxy.server.tail_mark import TailMark

txaio.use_twisted()
log = txaio.make_logger()

#: seconds from a record to the round that reads it: five transactions a second at the most
PAUSE_SECONDS: Final = 0.2
#: seconds between rounds where nobody says that there is something, as the journal's writers are other processes
LOOK_SECONDS: Final = 0.5
#: seconds between two looks for leases of hosts that are gone
EXPIRE_EVERY: Final = 30.0
#: seconds between two attempts to price rows, where nobody can say what they cost
PRICE_EVERY: Final = 30.0
#: seconds for which what accounts made up with rows is looked at again (many beats of those who hold leases), and
#: seconds between two such looks, each a sum over the rows of a window
DOUBT_SECONDS: Final = 15.0
DOUBT_EVERY: Final = 1.0
#: seconds for which the account of a window that is over is kept, for calls that still run and for `release_lost`
FORGET_AFTER: Final = 35 * 86_400
#: rounds that fail one after the other before it is worth a word: a file that is just being rotated fails one
FAILURES_TOLERATED: Final = 2


class Round(msgspec.Struct):
    """What a step of a round did."""

    added: int = 0
    #: the journal's end was reached, as it was at the beginning of the step
    last: bool = False
    losses: list[Loss] = []
    #: why the journal could not be read; None: it could
    why: str | None = None


class LedgerFigures(msgspec.Struct, array_like=True):
    """What `/metrics` shows of the ledger."""

    #: rows that were added
    recorded: int = 0
    #: records that the journal has and the ledger has not, about; None: not known yet
    lag: int | None = None
    #: lines of the journal that were no usage records
    skipped: int = 0
    #: attempts to use the ledger that failed
    errors: int = 0
    #: tokens that processes had reserved when they died
    lost: int = 0
    #: tokens of models without a price, by provider and model
    unpriced: dict[tuple[str, str], int] = {}


class Bookkeeper:
    """See the module.

    :param instance: this installation's id
    :param tail: of the journal; used by the ledger's thread only, from the first round on
    :param price: what calls cost; for the ledger's thread
    :param now: seconds since the epoch
    :param monotonic: as `tail_mark` has it
    """

    def __init__(
        self,
        thread: LedgerThread,
        tail: Tail,
        mark: TailMark,
        *,
        instance: str,
        state_dir: str,
        price: Price,
        clock: IReactorTime,
        now: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._thread = thread
        self._tail = tail
        self._price = price
        self._mark = mark
        self._instance = instance
        self._state_dir = state_dir
        self._clock = clock
        self._now = now
        self._monotonic = monotonic
        self._timer: IDelayedCall | None = None
        self._running = False
        self._again = False
        self._closing: Deferred[None] | None = None
        self._failures = 0
        self._why: str | None = None
        #: rows that were added, and tokens that were lost with their processes
        self.recorded = 0
        self.lost_tokens = 0
        # used by the ledger's thread only
        self._position: Position | None = None
        #: a batch of which nobody knows whether it was recorded, and where the ledger is with it
        self._attempt: Batch | None = None
        self._begun = False
        #: the end was reached with this ledger
        self._whole = False
        #: rows may show what no lease has covered, of any account
        self._uncovered = False
        #: and of these
        self._to_recount: set[Window] = set()
        #: since when those are looked at again in which something may be counted twice, and when next
        self._in_doubt: dict[Window, float] = {}
        self._review_at = 0.0
        #: there may be rows without a cost
        self._not_priced = True
        #: some of those that were looked at could not be priced
        self._unpriceable = False
        #: the last of them, behind which to go on; None: begin with the oldest
        self._passed_over: Row | None = None
        self._price_at = 0.0
        self._expired = float("-inf")
        #: that are not told yet
        self._losses: list[Loss] = []

    # -- in the reactor thread

    def start(self) -> None:
        """Begin the first round; the thread must run."""
        self._mark.at = 0.0
        self._thread.returned.append(self.hurry)
        self.hurry()

    def wake(self) -> None:
        """Records were written."""
        self._begin_within(PAUSE_SECONDS)

    def hurry(self) -> None:
        """Somebody waits for what was written until now."""
        if self._running:
            self._again = True
        else:
            self._begin_within(0.0)

    def stop(self) -> Deferred[None]:
        """A last round, for what was written until now."""
        self._closing = Deferred()
        self.hurry()
        return self._closing

    @property
    def lag(self) -> int | None:
        """About how many records the journal has and the ledger has not; None: not known yet."""
        return self._tail.behind()

    @property
    def skipped(self) -> int:
        """Lines of the journal that were no usage records."""
        return self._tail.skipped

    @property
    def trouble(self) -> str | None:
        """Why the journal is not read; None: it is."""
        return self._why if self._failures > FAILURES_TOLERATED else None

    def _begin_within(self, seconds: float) -> None:
        if self._running:
            return
        if self._timer is not None and self._timer.active():
            if self._timer.getTime() <= self._clock.seconds() + seconds:
                return
            self._timer.cancel()
        self._timer = self._clock.callLater(seconds, self._begin)

    def _begin(self) -> None:
        self._running = True
        self._thread.do(self._step, self._stepped)

    def _stepped(self, done: Round | LedgerUnavailable) -> None:
        if isinstance(done, LedgerUnavailable):
            self._failures += 1
            self._why = str(done)
            self._end()
            return
        self.recorded += done.added
        if done.why is not None:
            self._failures += 1
            self._why = done.why
            self._end()
            return
        for loss in done.losses:
            in_dollars = loss.window.measure == "usd"
            self.lost_tokens += 0 if in_dollars else loss.lost
            log.warn(
                "{lost} of {budget} are lost with a process that died",
                lost=f"{dollars(loss.lost):.6f} dollars" if in_dollars else f"{loss.lost} tokens",
                budget=titled(loss.window.scope),
            )  # fmt: skip
        if not done.last:
            self._thread.do(self._step, self._stepped)
            return
        self._failures = 0
        self._end()

    def _end(self) -> None:
        self._running = False
        if self._again:
            self._again = False
            self._begin_within(0.0)
        elif self._closing is not None:
            if self._timer is not None and self._timer.active():
                self._timer.cancel()
            self._thread.returned.remove(self.hurry)
            self._thread.do(lambda _: self._tail.close(), lambda _: None)
            closing, self._closing = self._closing, None
            closing.callback(None)
        else:
            self._begin_within(LOOK_SECONDS)

    # -- in the ledger's thread

    def _step(self, ledger: Ledger) -> Round:
        done = Round()
        try:
            self._bury(ledger)
            done.losses, self._losses = self._losses, []
            self._advance(ledger, done)
        except OSError as error:
            self._begun = False
            name = os.path.basename(error.filename) if isinstance(error.filename, str) else "a file"
            done.why = f"the journal cannot be read: {name}: {error.strerror or error}"
        except BaseException:
            self._begun = False
            raise
        return done

    def _advance(self, ledger: Ledger, done: Round) -> None:
        began = self._monotonic()
        position = ledger.position(self._instance)
        attempt, self._attempt = self._attempt, None
        if attempt is not None and position == attempt.position != self._position:
            self._position = position
            self._recorded(done, len(attempt.rows))
        if position != self._position:
            self._mark.at, self._whole, self._uncovered = 0.0, False, True
        if not self._begun or position != self._position:
            self._tail.begin(position)
            self._position, self._begun = position, True
        batch = self._tail.read()
        if batch.rows or (batch.position is not None and batch.position != self._position):
            self._attempt = batch
            self._not_priced = self._not_priced or any(row.counted_usd is None for row in batch.rows)
            added = ledger.record(batch.rows, batch.position)
            self._attempt = None
            self._position = batch.position or self._position
            self._recorded(done, added)
        done.last = batch.last and self._priced(ledger)
        if done.last:
            for window in ledger.windows(self._now()) if self._uncovered else self._to_recount:
                ledger.recount(window, self._instance)
                self._in_doubt.pop(window, None)
            self._whole, self._uncovered = True, False
            self._to_recount.clear()
            self._mark.at = began
            if began >= self._review_at or self._closing is not None:
                self._review(ledger)

    def _recorded(self, done: Round, added: int) -> None:
        done.added += added
        self._uncovered = self._uncovered or (added > 0 and not self._whole)

    def _review(self, ledger: Ledger) -> None:
        """Look again at the accounts in which something may be counted twice; others get ten times as long between."""
        now = self._monotonic()
        self._in_doubt = {window: self._in_doubt.get(window, now) for window in ledger.in_doubt(self._instance)}
        for window, since in self._in_doubt.items():
            ledger.review(window, self._instance, now - since >= DOUBT_SECONDS)
        end = self._monotonic()
        self._review_at = end + max(DOUBT_EVERY, 10 * (end - now))

    def _priced(self, ledger: Ledger) -> bool:
        """Price a batch of the rows that have no cost; False: there may be more."""
        if not self._not_priced and self._whole:
            return True
        if self._monotonic() < self._price_at:
            return True
        now = self._now()
        rows = ledger.not_priced(min(window_start(period, now) for period in PERIODS), after=self._passed_over)
        found = [row for row in (priced(row, self._price) for row in rows) if row.counted_usd is not None]
        ledger.price(found)
        self._uncovered = self._uncovered or bool(found)
        self._unpriceable = self._unpriceable or len(found) < len(rows)
        full = len(rows) == BATCH_ROWS
        self._passed_over = rows[-1] if full else None
        if found and full:
            return False
        self._not_priced = full or self._unpriceable
        self._price_at = self._monotonic() + PRICE_EVERY if self._not_priced else 0.0
        if not full:
            self._unpriceable = False
        return True

    def _bury(self, ledger: Ledger) -> None:
        """Settle the dead, of this host by their files, of others by the time."""
        for each in dead(self._state_dir):
            try:
                self._settle(ledger, each)
            finally:
                each.close()
        if self._monotonic() - self._expired > EXPIRE_EVERY:
            self._lost(ledger.expire(self._now()))
            ledger.forget(self._now() - FORGET_AFTER)
            self._expired = self._monotonic()

    def _settle(self, ledger: Ledger, each: Dead) -> None:
        holder = Holder(self._instance, each.number)
        try:
            if each.helds is None:
                self._lost(ledger.give_up(holder))
            else:
                self._lost(ledger.settle_dead(holder, each.helds, self._now()))
                self._to_recount |= set(ledger.windows(self._now())) - {held.window for held in each.helds}
        except BaseException:
            # Perhaps it was done, and only the answer got lost: the next one says nothing of these leases.
            self._uncovered = True
            raise
        each.settled()

    def _lost(self, losses: list[Loss]) -> None:
        self._to_recount |= {loss.window for loss in losses if not loss.followed}
        self._losses += [loss for loss in losses if loss.lost]
