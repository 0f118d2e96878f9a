"""One window of one budget as this process holds it: its figures, and how it stands with the ledger.  No thread, no
clock; `leased_allowance` and `leased_allowances` move it.

A lease is *known* while the ledger has it and this process may spend it.  It is not before its account was opened, nor
after the ledger was lost and made anew: then nothing is reserved on it, until the ledger was told of it again.
"""

from __future__ import annotations

from typing import Final

from awfproxy.core.budgets import Budget
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


class Reservation:
    """See `allowance.Reservation`."""

    __slots__ = ("admitted", "amount", "lease", "settled")

    def __init__(self, amount: int, lease: Lease | None, admitted: float) -> None:
        self.amount = amount
        #: None: let in without cover
        self.lease = lease
        #: seconds since the epoch
        self.admitted = admitted
        self.settled = False


class Lease:
    """See the module."""

    __slots__ = (
        "_grant",
        "_told",
        "busy",
        "end",
        "handed",
        "holding",
        "idle",
        "known",
        "low",
        "needed_at",
        "recall",
        "recount",
        "start",
        "until",
        "window",
    )

    def __init__(self, window: facts.Window, holding: Holding, handed: int) -> None:
        self.window = window
        self.start = window.start
        self.end = window.end
        self.holding = holding
        self.known = False
        #: seconds since the epoch; nothing is reserved from then on
        self.until = 0.0
        #: the ledger's thread has something to do about it
        self.busy = False
        #: records that must be written before rows can show all that was used without this lease
        self.handed = handed
        #: by the monotonic clock, when they were; None: they are not yet
        self.needed_at: float | None = None
        #: calls have used tokens that were not reserved and may not be committed
        self.recount = False
        #: what is free is to go back
        self.recall = False
        #: looks since something was reserved
        self.idle = 0
        #: tokens; with less free, more is borrowed before it is needed
        self.low = 0
        self._grant: facts.Grant | None = None
        self._told = facts.Held(window, 0, 0, 0)

    def held(self) -> facts.Held:
        """Its figures now, for the ledger."""
        holding = self.holding
        return facts.Held(self.window, holding.granted, holding.spent, holding.reserved)

    def agree(self, told: facts.Held, grant: facts.Grant, expires_at: float) -> None:
        """The ledger has answered.

        :param told: what it was told
        """
        more = grant.granted - self.holding.granted
        self.holding.agree(grant.granted, int(expires_at))
        if more > 0:
            self.low = more // LOW_PART
        self.known = True
        self.until = expires_at - LEASE_MARGIN
        self._told = told
        self._grant = grant

    def forgotten(self, handed: int) -> None:
        """The ledger was lost, and with it this lease."""
        self.known = False
        self.handed = handed
        self.needed_at = None

    @property
    def wanted(self) -> bool:
        """Another process waits for what is free here."""
        return self._grant is not None and self._grant.standing.wanted

    @property
    def committed(self) -> int:
        """Of the whole window, as far as is known."""
        return self._grant.standing.committed if self._grant is not None else 0

    def standing(self, budget: Budget) -> Standing:
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
            cap=budget.hard_cap_tokens,
            soft_cap=budget.soft_cap_tokens,
            window_start=self.start,
            window_end=self.end,
        )
