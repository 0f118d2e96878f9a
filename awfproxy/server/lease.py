"""One window of one budget as this process holds it: its figures, and how it stands with the ledger.  No thread, no
clock; `leased_allowance` and `leased_allowances` move it.

What was used in a window is counted in its account once, by these rules:

- **A lease counts every call of its allowance that ends here while the lease is there and that was admitted in its
  window**, whoever reserved for it: another lease (the period was changed while it ran), or none (the budget was off,
  or the ledger out of reach).  So it stays until its window is over, also while its budget is off.
- **What ended before the lease was made is for rows.**  The account must have all of these rows when the lease joins
  it, so it is told only after a `Checkpoint` that was taken later has passed.
- **The ledger has a lease, or it has its rows.**  One that the ledger does not have (it was lost and made anew, was
  restored from a copy, or the lease was settled by mistake) is not *known* any more: nothing is reserved on it.  What
  it had spent until a checkpoint that passed is taken out of its figures, as rows have that, and with the rest it joins
  again.  What ends between that checkpoint and the joining may be in both: too much is counted then, never too little.
- **Where the account was there before**, it makes up with rows for what this process used without a lease
  (``recount``).

A lease is also not usable while it is *closing*: until the ledger has answered, nobody knows whether it is still there.
"""

from __future__ import annotations

from typing import Final, Protocol

import msgspec
from msgspec import structs

from awfproxy.core.budgets import Cap
from awfproxy.core.holdings import Holding
from awfproxy.ledger import facts
from awfproxy.server.allowance import Standing

#: seconds for which the ledger lets a lease live without a word; what it has left counts as lost after that, until its
#: process speaks again
LEASE_SECONDS: Final = 300.0
#: seconds before that from which nothing is reserved any more: clocks of hosts differ
LEASE_MARGIN: Final = 60.0
#: a lease asks for more when less than this part of its last piece is free
LOW_PART: Final = 4


#: checkpoints after which a lease joins though calls have ended since the last one: without cover they go on ending
CHECKPOINTS: Final = 3


class Checkpoint:
    """A moment, and what was spent until then: *passed* once the rows of all calls that had ended are in the ledger."""

    __slots__ = ("_handed", "_needed_at", "spent")

    def __init__(self, spent: int, handed: int) -> None:
        """:param handed: records that this process has given to its journal by now, since it began"""
        self.spent = spent
        self._handed = handed
        #: by the monotonic clock, when they were written, or a little later; None: they are not yet
        self._needed_at: float | None = None

    def passed(self, written: int, mark: float, monotonic: float) -> bool:
        """Look whether it has.

        :param written: records that the journal has written
        :param mark: see `tail_mark`
        """
        if self._needed_at is None:
            if written < self._handed:
                return False
            self._needed_at = monotonic
        return mark > self._needed_at


class Owner(Protocol):
    """Whose lease it is."""

    def dropped(self, lease: Lease) -> None:
        """It is no more."""


class Reservation(msgspec.Struct, eq=False, gc=False):
    """See `allowance.Reservation`.  A structure, as there is one for each call and budget."""

    amount: int
    #: None: let in without cover
    lease: Lease | None
    #: seconds since the epoch
    admitted: float
    settled: bool = False


class Lease:
    """See the module."""

    __slots__ = (
        "_checkpoint",
        "_checkpoints",
        "_grant",
        "_told",
        "asked",
        "busy",
        "closing",
        "end",
        "holding",
        "idle",
        "known",
        "low",
        "owner",
        "recall",
        "recount",
        "shown",
        "start",
        "until",
        "window",
    )

    def __init__(self, window: facts.Window, holding: Holding, owner: Owner, handed: int, recount: bool) -> None:
        self.window = window
        self.start = window.start
        self.end = window.end
        self.holding = holding
        self.owner = owner
        self.known = False
        #: the ledger was asked to have it, and has not said since that it has not
        self.asked = False
        #: it is about to be no more
        self.closing = False
        #: seconds since the epoch; nothing is reserved from then on
        self.until = 0.0
        #: the ledger's thread has something to do about it
        self.busy = False
        #: of what was spent, what rows are known to show
        self.shown = 0
        #: calls have used what no lease that the ledger has covered
        self.recount = recount
        #: what is free is to go back
        self.recall = False
        #: looks since something was reserved
        self.idle = 0
        #: tokens; with less free, more is borrowed before it is needed
        self.low = 0
        self._grant: facts.Grant | None = None
        self._told = facts.Held(window, 0, 0, 0)
        self._checkpoint = Checkpoint(0, handed)
        #: that have passed since the ledger knew it last
        self._checkpoints = 0

    @property
    def usable(self) -> bool:
        """Something may be reserved on it, as far as the ledger is concerned."""
        return self.known and not self.closing

    def held(self) -> facts.Held:
        """Its figures now, for the ledger."""
        holding = self.holding
        return facts.Held(self.window, holding.granted, holding.spent, holding.reserved, self.shown)

    def look(self, written: int, mark: float, monotonic: float, handed: int) -> bool:
        """Look at the checkpoint; whether it has passed, and the next one has begun."""
        if not self._checkpoint.passed(written, mark, monotonic):
            return False
        self.shown = self._checkpoint.spent
        self._checkpoint = Checkpoint(self.holding.spent, handed)
        self._checkpoints += 1
        return True

    @property
    def ripe(self) -> bool:
        """It may join, now that a checkpoint has passed."""
        return self.shown == self.holding.spent or self._checkpoints >= CHECKPOINTS

    def prepare(self) -> None:
        """It is about to join: what rows show goes out of its figures."""
        shown, told = self.shown, self._told
        self.asked = True
        self.recount |= shown > 0
        self.holding.rebase(shown)
        self._checkpoint.spent -= shown
        self.shown = 0
        # so that `standing` says the same as before
        self._told = structs.replace(told, spent=told.spent - shown)

    def agree(self, told: facts.Held, grant: facts.Grant, expires_at: float) -> bool:
        """The ledger has answered; whether it has this lease.

        :param told: what it was told
        """
        if not grant.known:
            self.asked = False
            return False
        more = grant.granted - self.holding.granted
        self.holding.agree(grant.granted, int(expires_at))
        if more > 0:
            self.low = more // LOW_PART
        self.until = expires_at - LEASE_MARGIN
        self._told = told
        self._grant = grant
        return True

    def forgotten(self, handed: int) -> None:
        """The ledger does not have this lease, or nobody knows whether it has."""
        self.known = False
        # what this one had the account make up for may be forgotten too
        self.recount = True
        self._checkpoint = Checkpoint(self.holding.spent, handed)
        self._checkpoints = 0

    @property
    def wanted(self) -> bool:
        """Another process waits for what is free here."""
        return self._grant is not None and self._grant.standing.wanted

    @property
    def committed(self) -> int:
        """Of the whole window, as far as is known."""
        return self._grant.standing.committed if self._grant is not None else 0

    def standing(self, cap: Cap) -> Standing:
        """See `allowance.Standing`."""
        holding, told, grant = self.holding, self._told, self._grant
        used, reserved, lent = holding.spent, holding.reserved, 0
        if grant is not None:
            all_ = grant.standing
            others = max(0, all_.reserved - told.reserved)
            used += max(0, all_.used - told.spent)
            reserved += others
            lent = max(0, all_.outstanding - (grant.granted - told.spent) - others)
        return Standing(
            used=used,
            reserved=reserved,
            lent=lent,
            cap=cap.hard,
            soft_cap=cap.soft,
            window_start=self.start,
            window_end=self.end,
            known=grant is not None,
        )
