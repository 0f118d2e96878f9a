"""The account of one window: what was handed out as leases, to whom, and what comes back.  Arithmetic only.

The ledgers load an account under its lock, call one function here and store what changed: all of them lend alike.

Rules:
- ``committed`` is what the window's rows showed when the account was opened, and all that was handed out since and not
  given back.  `borrow` hands out only what fits under the cap, so what holders may spend together never passes it.
- ``covered`` is the part of it that an installation's rows showed then, and that its leases had spent which have ended.
  What its rows show beyond that, and beyond what they show of its living leases, no lease has covered: `recount` makes
  up for it, whatever other installations do meanwhile.
- What they show of living leases is told later than they show it, so `recount` may count some of that twice.  This part
  is ``doubtful``: `review` takes back what holders have told to be theirs by then.  As long as it is doubtful
  and a lease lives, it is committed, and not called used: a call for which it leaves no room is told to come again.
- A holder without a lease gets one with `join`, or with its first `borrow`.  What it says to have spent and reserved
  then is committed on top of what rows have: so it says nothing that they show (see `server.lease`).
- A holder that speaks of a lease which the account does not have, or that had spent more, is told so, and nothing is
  changed: the lease went with a database, or was settled, or is of an older copy.  It joins again.
- What a lease was granted stays part of ``committed`` until `give_back` or `close`: death and silence of a holder free
  nothing.
- A holder that used more than it was granted (a learned estimate was too low, or it ran on without the ledger) has a
  debt, which is committed at once, over the cap if need be: it was used.
- Whatever a holder says twice, because an answer got lost, counts once: it says where it stands, never what to add.
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
    #: the part of ``spent`` that rows are known to show
    shown: int = 0
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
    #: by instance
    covered: dict[str, int] = {}
    #: the part of it that may have been counted twice
    doubtful: dict[str, int] = {}

    def standing(self, now: float) -> Standing:
        living = [lease for lease in self.leases.values() if not lease.dead]
        return Standing(
            self.committed,
            self.lost,
            sum(lease.unspent for lease in living)
            + sum(doubt for instance, doubt in self.doubtful.items() if self._lives(instance)),
            sum(lease.reserved for lease in living),
            len(living),
            self.wanted_until > now,
        )

    def join(self, holder: Holder, held: Held, rows: int | None, now: float, expires_at: float) -> Grant:
        """Begin a lease, whatever there was before: what that had spent stays committed.

        :param held: what is committed for it, and no row that is there shows
        :param rows: what the rows of its installation show, to make up for those that no lease has covered; None:
            there are none
        """
        before = self.leases.pop(holder, None)
        if before is not None:
            self.committed -= before.unspent
            self.lost -= before.lost
            self._cover(holder.instance, before.spent)
        if rows is not None:
            self.recount(holder.instance, rows)
        self.leases[holder] = Lease()
        self._doubt(holder.instance, held.spent)  # which rows may have shown already
        return self.beat(holder, held, now, expires_at)

    def beat(self, holder: Holder, held: Held, now: float, expires_at: float) -> Grant:
        """Take over a holder's figures, its debt too, and prolong its lease."""
        if not self._has(holder, held):
            return self.stranger(now)
        lease = self._hear(holder, held)
        lease.expires_at = expires_at
        return self._grant(lease, True, now)

    def borrow(
        self, holder: Holder, held: Held, *, cap: int, need: int, most: int, now: float, expires_at: float
    ) -> Grant:
        """See `interface.Ledger.borrow`."""
        if holder not in self.leases and not held.spent and not held.reserved:
            self.leases[holder] = Lease()
        if not self._has(holder, held):
            return self.stranger(now)
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
        if not self._has(holder, held):
            return self.stranger(now)
        lease = self._hear(holder, held)
        back = lease.granted - max(held.granted, lease.spent + lease.reserved)
        if back > 0:
            lease.granted -= back
            self.committed -= back
        return self._grant(lease, True, now)

    def close(self, holder: Holder, held: Held) -> int:
        """End a lease with its last figures: what is free comes back, what is reserved is lost; returns the lost.

        Of a lease that is not there nothing: it was closed before, and only the answer got lost.
        """
        if holder not in self.leases:
            return 0
        spent = max(held.spent, self.leases[holder].spent)
        lease = self._hear(holder, msgspec.structs.replace(held, spent=spent))
        self.committed -= lease.free
        self.lost += lease.reserved
        self._cover(holder.instance, lease.spent)
        del self.leases[holder]
        return lease.reserved

    def settle(self, holder: Holder, held: Held | None) -> Loss:
        """End the lease of a dead holder, by its last figures if there are any, else by what it told last; once."""
        lease = self.leases.get(holder)
        # Of a lease that began after these figures were written, or was never told, only rows have what it spent; and
        # what its process used before it was made.
        if lease is None:
            lease = self.leases[holder] = Lease()
            followed = held is None
            held = Held(self.window, 0, 0, held.reserved if held is not None else 0)
        elif held is None:
            followed = True
            held = Held(self.window, lease.granted, lease.spent, lease.reserved)
        else:
            followed = held.agreed and self._has(holder, held)
        return Loss(holder, self.window, self.close(holder, held), followed)

    def give_up(self, holder: Holder) -> int:
        """End a lease of which nobody knows more than was last heard; all that was not spent is lost."""
        lease = self.leases.pop(holder)
        self.lost += lease.unspent - lease.lost
        self._cover(holder.instance, lease.spent)
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

    def release(self, rows: dict[str, int]) -> Release:
        """Let go of lost tokens that no row shows.

        :param rows: what the rows of each installation show, with those of the dead
        """
        for instance, shown in rows.items():
            self.review(instance, shown, last=True)
        lost = self.lost
        unspent = sum(lease.unspent for lease in self.leases.values() if not lease.dead)
        released = min(lost, max(self.committed - unspent - sum(rows.values()), 0))
        self.committed -= released
        self.lost = 0
        # The others of them were used by what these rows show.  Where a lease lives, these may be its own calls.
        for instance, shown in rows.items():
            if not self._lives(instance):
                self._cover(instance, self._uncovered(instance, shown))
        # Those leases that could come to life again must not bring back what is no longer committed.
        left = released
        for lease in self.leases.values():
            if lease.dead:
                cut = min(lease.lost, left)
                lease.granted -= cut
                left -= cut
                lease.lost = 0
        return Release(self.window, released, lost - released)

    def recount(self, instance: str, rows: int) -> None:
        """Make up for calls of an installation that no lease has covered, where its rows show ``rows``.

        To be called when the rows have all of its journal, and its dead are settled.  The rows may have more of a lease
        that has not ended than is known to be in them: that is counted too, never too little, and doubtful as long.
        """
        more = self._uncovered(instance, rows)
        self.committed += more
        self._cover(instance, more)
        if self._leases_of(instance):
            self._doubt(instance, more)

    def review(self, instance: str, rows: int, last: bool) -> None:
        """Take back what is known by now to have been counted twice for an installation, where its rows show ``rows``.

        Each time at most: what no lease has covered does not change, and the rows have all of it.

        :param last: what is left is not doubtful any more; so it is where it has no lease
        """
        doubt = self.doubtful.pop(instance, 0)
        less = max(doubt - self._uncovered(instance, rows, doubt), 0)
        self.committed -= less
        self._cover(instance, -less)
        if not last and doubt > less and self._leases_of(instance):
            self.doubtful[instance] = doubt - less

    def _uncovered(self, instance: str, rows: int, doubt: int = 0) -> int:
        """Of an installation's rows, what is not known to be committed, or only by what is doubtful."""
        known = self.covered.get(instance, 0) - doubt
        leases = self._leases_of(instance)
        return max(rows - known - sum(lease.spent if lease.dead else lease.shown for lease in leases), 0)

    def _lives(self, instance: str) -> bool:
        return any(not lease.dead for lease in self._leases_of(instance))

    def _leases_of(self, instance: str) -> list[Lease]:
        return [lease for holder, lease in self.leases.items() if holder.instance == instance]

    def _doubt(self, instance: str, tokens: int) -> None:
        """So much of what is covered may have been counted twice, at most all."""
        doubt = self.doubtful.get(instance, 0)
        more = min(tokens, self.covered.get(instance, 0) - doubt)
        if more > 0:
            self.doubtful[instance] = doubt + more

    def _cover(self, instance: str, more: int) -> None:
        if more:
            self.covered[instance] = self.covered.get(instance, 0) + more

    def stranger(self, now: float) -> Grant:
        """The answer to a holder that speaks of a lease which is not there."""
        return Grant(self.window, 0, False, self.standing(now), known=False)

    def _has(self, holder: Holder, held: Held) -> bool:
        """Whether the lease that a holder speaks of is the one that is here."""
        lease = self.leases.get(holder)
        return lease is not None and held.spent >= lease.spent

    def _hear(self, holder: Holder, held: Held) -> Lease:
        lease = self.leases[holder]
        if lease.dead:
            self.lost -= lease.lost
            lease.lost = 0
            lease.dead = False
        lease.spent = held.spent
        lease.shown = max(lease.shown, min(held.shown, held.spent))
        lease.reserved = held.reserved
        debt = -lease.free
        if debt > 0:
            lease.granted += debt
            self.committed += debt
        return lease

    def _grant(self, lease: Lease, fits: bool, now: float) -> Grant:
        return Grant(self.window, lease.granted, fits, self.standing(now))
