"""What every ledger does.  Each method is one transaction: done whole, or not at all.

All methods raise `errors.LedgerUnavailable` (`errors.LedgerGone` where `reopen` would help) and may then be called
again; none needs to know whether the call before had been done (see `lending`).  They block: call them from a thread of
their own, one at a time.  Times are seconds since the epoch and arguments, so clocks are the callers'.

A holder keeps its leases right by three rules: one call about a lease at a time; what is to be given back is taken out
of its own figures before the call; and ``granted`` of the answer is taken over, be it more or less than it thought.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from awfproxy.core.budgets import Measure, Scope
from awfproxy.ledger.facts import (
    Breakdown,
    Cost,
    Grant,
    Held,
    Holder,
    Loss,
    Position,
    Release,
    Setting,
    Standing,
    Window,
)
from awfproxy.ledger.rows import Difference, Row

Fault = TypeVar("Fault")

#: rows in one batch of `Ledger.record`: a megabyte, and a few milliseconds of lock
BATCH_ROWS = 1000


class Ledger(Protocol):
    """Rows, positions, settings, and windows with their leases."""

    def close(self) -> None: ...

    def reopen(self) -> None:
        """Make anew what is gone; the journal has to be read again from the `position` found then."""

    # -- rows

    def record(self, rows: Sequence[Row], position: Position | None = None) -> int:
        """Add the rows whose request is not there yet, and keep how far the journal was read; returns how many."""

    def position(self, instance: str) -> Position | None:
        """How far this installation's journal was read; None: nothing of it."""

    def used(
        self,
        port: str,
        since: float,
        until: float,
        *,
        feature: str | None = None,
        user: str | None = None,
        measure: Measure = "reported",
    ) -> int:
        """What counts of the calls admitted at ``since`` or later and before ``until``."""

    def cost(
        self, port: str, since: float, until: float, *, feature: str | None = None, user: str | None = None
    ) -> Cost:
        """Money of the same calls."""

    def breakdown(self, port: str, since: float, until: float, *, measure: Measure = "reported") -> Breakdown:
        """The same calls by feature, by model and by user."""

    def not_priced(self, since: float, most: int = BATCH_ROWS, *, after: Row | None = None) -> list[Row]:
        """Rows of calls admitted then or later of which nobody has said what they cost; the oldest first.

        :param after: one of them: only those behind it
        """

    def price(self, rows: Sequence[Row]) -> None:
        """Store what these rows cost, where nobody has said it yet."""

    def rebuild(self, instance: str, since: float, until: float, rows: Iterable[Row]) -> int:
        """Put ``rows`` in the place of all that this instance has from ``since`` until before ``until``.

        Rows of other times are passed over.  Returns how many are there now.
        """

    def verify(self, instance: str, since: float, until: float, rows: Iterable[Row]) -> Iterator[Difference]:
        """Where these rows and the ledger's of that time differ; extra are only rows of ``instance``."""

    # -- settings of budgets

    def setting(self, scope: Scope) -> Setting | None:
        """What was stored for this scope; None: nothing ever."""

    def settings(self) -> list[Setting]:
        """All of them."""

    def set_setting(
        self,
        scope: Scope,
        fields: dict[str, Any],
        who: str,
        when: float,
        merge: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any] | Fault],
    ) -> Setting | Fault:
        """Store ``merge(stored fields, fields)``; what it returns instead of a dict is returned, and nothing stored.

        Where it leaves no field, the row stays and says who did it.
        """

    def restore_settings(self, settings: Sequence[Setting]) -> list[Setting]:
        """Store those of whose scopes the ledger has nothing, as they are; returns these.

        As a row stays when its fields are taken out, a scope that was known and is not there was lost with its ledger.
        """

    # -- windows and leases

    def window(self, window: Window, now: float) -> Standing | None:
        """How a window stands; None: nobody has asked for a piece of it."""

    def windows(self, now: float) -> list[Window]:
        """Those that are not over."""

    def join(self, holder: Holder, held: Held, *, now: float, expires_at: float, recount: bool) -> Grant:
        """Begin a lease, in the place of one that the holder may have had.

        What it says to have spent and reserved is committed besides all that rows show: let the journal be read before
        up to the moment from which on these figures count.  A holder that was settled as dead gets none.

        :param recount: calls of this holder have used what no lease of this window covered, and rows show: the account
            makes up for them.  It makes no difference where the account is opened by this call
        """

    def borrow(
        self, holder: Holder, held: Held, *, cap: int, need: int, most: int, now: float, expires_at: float
    ) -> Grant:
        """Make ``need`` tokens free in a lease, and where there is room up to ``most`` more than before.

        ``held.window`` names the window; a holder without a lease of it says 0 three times, and has one then.  The
        account of a window is opened with what its rows show: let the journal be read to its end before.  Where
        ``need`` does not fit under ``cap``, nothing is handed out, and others who have tokens free are asked to give
        them back.
        """

    def give_back(self, holder: Holder, held: Held, now: float) -> Grant:
        """Lower a lease to ``held.granted`` (never under what is spent and reserved)."""

    def close_lease(self, holder: Holder, held: Held) -> None:
        """End a lease: what is free comes back, what is still reserved is lost; nothing where it has ended before."""

    def heartbeat(self, holder: Holder, helds: Sequence[Held], now: float, expires_at: float) -> list[Grant]:
        """Tell the figures of all leases and prolong them; the answers are in the same order."""

    def settle_dead(self, holder: Holder, helds: Sequence[Held], now: float) -> list[Loss]:
        """End all leases of a holder that is no more, with its last figures; what it had reserved is lost.

        A lease that ``helds`` has not was granted when nobody was left to use it.  Once for each holder: a second time
        nothing is done, and it never gets a lease again (`forget` forgets that too).
        """

    def give_up(self, holder: Holder) -> list[Loss]:
        """End all leases of a dead holder whose figures are lost too: all that it never said to have spent is lost."""

    def expire(self, now: float) -> list[Loss]:
        """Declare dead the leases whose time is over: all that they never said to have spent is lost, until their
        holder speaks again."""

    def release_lost(self, window: Window) -> Release | None:
        """Give back the lost tokens that no row shows; None: there is no such window.

        For people to call, once the holders are surely no more and every journal has been read to its end: it takes the
        rows' word that nothing else was used, also by calls whose usage nobody reported.
        """

    def recount(self, window: Window, instance: str) -> None:
        """Commit what rows of this installation show and no lease of it has covered.

        Call it when all of its journal is in the rows, and its dead are settled.  What living leases have spent, and
        not told yet that rows show, counts twice until `review` knows better.
        """

    def in_doubt(self, instance: str) -> list[Window]:
        """Those in which something may have been counted twice for this installation (by `recount` or `join`)."""

    def review(self, window: Window, instance: str, last: bool) -> None:
        """Take back what was counted twice, as far as holders have told by now what rows show of theirs.

        As `recount`, to be called when all of the journal is in the rows.

        :param last: what is left stays counted, and is not in doubt any more
        """

    def forget(self, before: float) -> int:
        """Drop the windows that ended before, with their leases, and who was settled before.

        Returns how many windows.
        """
