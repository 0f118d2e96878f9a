"""The account of one window: what was handed out as leases, to whom, and what comes back.  Arithmetic only.

The ledgers load an account under its lock, call one function here and store what changed: all of them lend alike.

Rules:
- ``committed`` is what the window's rows showed when the account was opened, and all that was handed out since and not
  given back.  `borrow` hands out only what fits under the cap, so what holders may spend together never passes it.
- What a lease was granted stays part of ``committed`` until `give_back` or `close`: death and silence of a holder free
  nothing.
- A holder that used more than it was granted (a learned estimate was too low, or it ran on without the ledger) has a
  debt, which is committed at once, over the cap if need be: it was used.
- Whatever a holder says twice, because an answer got lost, counts once: it says where it stands, never what to add.
- A lease that the ledger does not know, of a holder that has one, was lost with the database: the account was opened
  anew from rows, which have all that was spent; only what is reserved is committed again.
- A lease that expired and whose holder speaks again lives on: its tokens were never given to anybody else.
"""

from __future__ import annotations

from typing import Final

import msgspec

from awfproxy.core.holdings import piece
from awfproxy.ledger.facts import Grant, Held, Holder, Loss, Release, Standing, Window

#: seconds that a holder's wish for what others have free is kept: longer than calls wait (``admission_wait``, 2 s) and
#: than two heartbeats
WANTED_SECONDS: Final = 10.0


class Lease(msgspec.Struct):
    """What the ledger knows of one holder's piece.  ``lost``: 0 while ``dead`` is false."""

    granted: int = 0
    spent: int = 0
    reserved: int = 0
    lost: int = 0
    dead: bool = False
    expires_at: float = 0.0

    @property
    def free(self) -> int:
        return self.granted - self.spent - self.reserved

    @property
    def unspent(self) -> int:
        return max(self.granted - self.spent, 0)


class Account(msgspec.Struct):
    """One window's tokens and its leases."""

    window: Window
    committed: int
    lost: int = 0
    wanted_until: float = 0.0
    leases: dict[Holder, Lease] = {}

    def standing(self, now: float) -> Standing:
        living = [lease for lease in self.leases.values() if not lease.dead]
        return Standing(
            self.committed,
            self.lost,
            sum(lease.unspent for lease in living),
            sum(lease.reserved for lease in living),
            len(living),
            self.wanted_until > now,
        )

    def beat(self, holder: Holder, held: Held, now: float, expires_at: float) -> Grant:
        """Take over a holder's figures, its debt too, and prolong its lease."""
        lease = self._hear(holder, held)
        lease.expires_at = expires_at
        return self._grant(lease, True, now)

    def borrow(
        self, holder: Holder, held: Held, *, cap: int, need: int, most: int, now: float, expires_at: float
    ) -> Grant:
        """See `interface.Ledger.borrow`."""
        lease = self._hear(holder, held)
        lease.expires_at = expires_at
        short = need - lease.free
        if short <= 0:
            return self._grant(lease, True, now)
        remaining = cap - self.committed
        if short > remaining:
            others = (other for other in self.leases.values() if other is not lease)
            if any(not other.dead and other.free > 0 for other in others):
                self.wanted_until = now + WANTED_SECONDS
            return self._grant(lease, False, now)
        holders = sum(not other.dead for other in self.leases.values())
        lent = max(short, min(most, piece(remaining, short, holders)))
        lease.granted += lent
        self.committed += lent
        return self._grant(lease, True, now)

    def give_back(self, holder: Holder, held: Held, now: float) -> Grant:
        """Lower the lease to ``held.granted``, at least to what is spent and reserved."""
        lease = self._hear(holder, held)
        back = lease.granted - max(held.granted, lease.spent + lease.reserved)
        if back > 0:
            lease.granted -= back
            self.committed -= back
        return self._grant(lease, True, now)

    def close(self, holder: Holder, held: Held) -> int:
        """End a lease with its last figures: what is free comes back, what is reserved is lost; returns the lost."""
        lease = self._hear(holder, held)
        self.committed -= lease.free
        self.lost += lease.reserved
        del self.leases[holder]
        return lease.reserved

    def settle(self, holder: Holder, held: Held | None) -> Loss:
        """End the lease of a dead holder, by its last figures if there are any, else by what it told last."""
        lease = self.leases.get(holder, Lease())
        if held is None:
            held = Held(self.window, lease.granted, lease.spent, lease.reserved)
        elif held.spent < lease.spent:  # the machine died, and its file with the figures is older than what it told
            held = msgspec.structs.replace(held, spent=lease.spent)
        return Loss(holder, self.window, self.close(holder, held))

    def give_up(self, holder: Holder) -> int:
        """End a lease of which nobody knows more than was last heard; all that was not spent is lost."""
        lease = self.leases.pop(holder)
        self.lost += lease.unspent - lease.lost
        return lease.unspent

    def expire(self, now: float) -> list[Loss]:
        """Declare the leases dead whose time is over."""
        losses = []
        for holder, lease in self.leases.items():
            if not lease.dead and lease.expires_at <= now:
                lease.dead = True
                lease.lost = lease.unspent
                self.lost += lease.lost
                losses.append(Loss(holder, self.window, lease.lost))
        return losses

    def release(self, shown: int) -> Release:
        """Let go of lost tokens that no row shows.

        :param shown: the tokens of all rows of the window, with those of the dead
        """
        lost = self.lost
        unspent = sum(lease.unspent for lease in self.leases.values() if not lease.dead)
        released = min(lost, max(self.committed - unspent - shown, 0))
        self.committed -= released
        self.lost = 0
        # Those leases that could come to life again must not bring back what is no longer committed.
        left = released
        for lease in self.leases.values():
            if lease.dead:
                cut = min(lease.lost, left)
                lease.granted -= cut
                left -= cut
                lease.lost = 0
        return Release(self.window, released, lost - released)

    def recount(self, shown: int) -> None:
        """Make up for calls that nobody reserved for, because the budget was off: rows show ``shown`` tokens."""
        unspent = sum(lease.unspent for lease in self.leases.values() if not lease.dead)
        self.committed = max(self.committed, shown + unspent + self.lost)

    def _hear(self, holder: Holder, held: Held) -> Lease:
        lease = self.leases.get(holder)
        if lease is None:
            lease = self.leases[holder] = Lease(granted=held.spent, spent=held.spent)
        if held.spent < lease.spent:
            raise ValueError(f"{holder} has spent {held.spent} and said {lease.spent} before: settle the dead first")
        if lease.dead:
            self.lost -= lease.lost
            lease.lost = 0
            lease.dead = False
        lease.spent = held.spent
        lease.reserved = held.reserved
        debt = -lease.free
        if debt > 0:
            lease.granted += debt
            self.committed += debt
        return lease

    def _grant(self, lease: Lease, fits: bool, now: float) -> Grant:
        return Grant(self.window, lease.granted, fits, self.standing(now))
