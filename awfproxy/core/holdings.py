"""What one process holds of one budget window: the arithmetic of a lease, in memory that outlives the process.

A process borrows pieces of a window from the ledger (``granted``), reserves from them for calls that run
(``reserved``) and spends what the calls used (``spent``).  What is ``free`` is granted - spent - reserved.  A call is
let in only where its estimate is free, so spent + reserved never exceeds granted while no call uses more than was
reserved for it (strict budgets).  A call that does (learned ones) leaves a ``debt``, which the next borrowing takes up.

The figures lie in `WORDS` 64-bit integers that other processes can read, also when the writer has been killed; there is
one writer::

    0   1 while the place is in use, else 0
    1   number of the scope, as the owner of the memory numbers them
    2   start of the window, seconds since the epoch
    3   granted
    4   spent
    5   reserved
    6   until when the lease may be used, seconds since the epoch
    7   calls with a reservation

Each step writes its words in the order in which a death between two of them loses tokens and gives none away: `settle`
adds what was spent before it takes off what was reserved.  The same holds between this memory and the ledger, where the
ledger's side is the caller's: `agree` comes after the ledger has committed, `give_back` before.
"""

from __future__ import annotations

from typing import Final

import msgspec

#: 64-bit words of one holding: a cache line, so that two writers never share one
WORDS: Final = 8
#: windows that one process holds at once
PLACES: Final = 4096
#: one holder may ask for a 4th of its equal part of what remains: pieces shrink towards the cap, where they would lie
#: idle with one holder while another has to refuse
SHARES: Final = 4

_USED, _SCOPE, _WINDOW, _GRANTED, _SPENT, _RESERVED, _EXPIRES, _CALLS = range(WORDS)


def piece(remaining: int, ask: int, holders: int) -> int:
    """How much of what remains of a window is lent to a holder that needs ``ask``: that at least, more while there is
    plenty; 0 where it does not fit.

    :param holders: how many hold a lease of this window, the one who asks included
    """
    if ask > remaining:
        return 0
    return max(ask, remaining // (SHARES * max(1, holders)))


class Figures(msgspec.Struct, frozen=True):
    """A holding, as it was at one moment."""

    scope: int
    window: int
    granted: int
    spent: int
    reserved: int
    expires: int
    calls: int

    @property
    def back(self) -> int:
        """What goes back to the ledger when the holder has died: neither spent nor reserved."""
        return max(0, self.granted - self.spent - self.reserved)

    @property
    def debt(self) -> int:
        """What is spent or reserved and was never granted."""
        return max(0, self.spent + self.reserved - self.granted)

    @property
    def lost(self) -> int:
        """What the calls of a holder that has died may have used: counts as used until their records say otherwise."""
        return self.reserved


class Holding:
    """One holding, by its only writer.  Amounts are whole tokens (or millionths of a dollar), never negative."""

    __slots__ = ("_words", "calls", "expires", "granted", "reserved", "scope", "spent", "window")

    def __init__(self, words: memoryview[int], scope: int, window: int) -> None:
        """Begin an empty holding.

        :param words: `WORDS` words that are not in use
        :param scope: number of the scope
        :param window: start of the window
        """
        self._words = words
        self.scope = scope
        self.window = window
        self.granted = 0
        self.spent = 0
        self.reserved = 0
        #: seconds since the epoch; 0: it may not be used yet
        self.expires = 0
        self.calls = 0
        words[_USED] = 0
        for at, value in ((_SCOPE, scope), (_WINDOW, window), *((at, 0) for at in range(_GRANTED, WORDS))):
            words[at] = value
        words[_USED] = 1

    @property
    def free(self) -> int:
        """What may be reserved; negative while there is a debt."""
        return self.granted - self.spent - self.reserved

    @property
    def debt(self) -> int:
        """What was used beyond what is granted, until the ledger has taken it up."""
        return max(0, -self.free)

    def reserve(self, amount: int) -> bool:
        """Set ``amount`` aside for a call, if it is free; whether it was."""
        reserved = self.reserved + amount
        if reserved > self.granted - self.spent:
            return False
        words = self._words
        self.reserved = words[_RESERVED] = reserved
        self.calls = words[_CALLS] = self.calls + 1
        return True

    def settle(self, reserved: int, used: int) -> None:
        """A call for which ``reserved`` was set aside has used ``used``; once of each.

        :raises ValueError: so much is not reserved
        """
        left, calls = self.reserved - reserved, self.calls - 1
        if left < 0 or calls < 0 or used < 0 or reserved < 0:
            raise ValueError(f"settling {reserved} for {used}, with {self.reserved} reserved for {self.calls} calls")
        words = self._words
        self.spent = words[_SPENT] = self.spent + used
        self.reserved = words[_RESERVED] = left
        self.calls = words[_CALLS] = calls

    def charge(self, used: int) -> None:
        """A call for which nothing was set aside has used ``used``: it is spent, as a debt if it must be."""
        if used < 0:
            raise ValueError(f"charging {used}")
        self.spent += used
        self._words[_SPENT] = self.spent

    def agree(self, granted: int, expires: int) -> None:
        """Take over what the ledger says is lent, more or less than was thought here.

        Less is said by a ledger that was lost and made anew: nothing may have been reserved since it was asked.
        """
        self.granted = self._words[_GRANTED] = granted
        self.expires = self._words[_EXPIRES] = expires

    def rebase(self, shown: int) -> None:
        """Begin anew with a ledger that knows nothing of this holding: ``shown`` of what was spent is in its rows.

        Nothing is granted but what was spent besides and is reserved.

        :raises ValueError: so much was not spent
        """
        if not 0 <= shown <= self.spent:
            raise ValueError(f"{shown} of {self.spent} spent is shown")
        self.spent = self._words[_SPENT] = self.spent - shown
        self.agree(self.spent + self.reserved, 0)

    def give_back(self, keep: int = 0) -> int:
        """Let go of what is free beyond ``keep``; how much it is, for the ledger to take back."""
        amount = max(0, self.free - keep)
        self.granted -= amount
        self._words[_GRANTED] = self.granted
        return amount

    def close(self) -> None:
        """The place is free again; nothing may be reserved, and nothing granted but what is spent and in the ledger.

        :raises ValueError: calls still run on it
        """
        if self.calls:
            raise ValueError(f"closing a holding with {self.calls} calls")
        self._words[_USED] = 0


def read(words: memoryview[int]) -> Figures | None:
    """What stands in a place, of whoever has written it; None: it is not in use.

    Figures that no holder writes (a damaged file) are read as if all that was granted were reserved: nothing of it
    goes back.
    """
    if not words[_USED]:
        return None
    _, scope, window, granted, spent, reserved, expires, calls = words[:WORDS].tolist()
    if min(granted, spent, reserved, calls) < 0:
        granted = max(0, granted)
        spent, reserved, calls = 0, granted, max(0, calls)
    return Figures(scope, window, granted, spent, reserved, expires, calls)
