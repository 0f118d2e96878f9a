"""What this process may spend of a budget: the seam between admission and the ledger's thread.

An `Allowance` is one budget of a port (its own, a user's, a feature's) as far as this process may spend it.  It answers
from memory: `reserve` and `settle` never wait and never see a database.  Where what is at hand does not suffice, `ask`
has the ledger's thread get more, and answers later, in the reactor thread.

Rules for callers:
- A call that is let in holds one `Reservation` of every allowance that `Allowances.of` names for it, and settles each
  of them exactly once, whatever its end; also after the window has ended, the lease expired, or the budget was changed.
- ``now`` is seconds since the epoch, as the call's admission has it: it decides the window.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

import msgspec

from awfproxy.core.budgets import Budget, Cap, Count, Measure, Scope

NO_COUNTS: Final[Mapping[Measure, int]] = MappingProxyType({})


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a budget's window stands, as far as this process knows: its own figures are of now, those of other processes
    as they told the ledger last (every few seconds)."""

    #: tokens used since the window began, those that died with a process (``lost``) included
    used: int
    #: set aside for calls that run, here and elsewhere
    reserved: int
    #: lent to other processes and free there: stands in the way of a call here, and can be called back
    lent: int
    #: the hard cap
    cap: int
    #: None: there is none
    soft_cap: int | None
    #: seconds since the epoch
    window_start: int
    window_end: int
    #: the ledger has told of this window.  False: the amounts are those of this process alone, and at least what is so
    known: bool = True

    @property
    def remaining(self) -> int:
        """What is neither used nor reserved, at least 0."""
        return max(0, self.cap - self.used - self.reserved)

    @property
    def soft_exceeded(self) -> bool:
        return self.soft_cap is not None and self.used > self.soft_cap

    @property
    def hindering(self) -> int:
        """What only stands in the way for a while, for `budgets.judge`."""
        return self.reserved + self.lent


class Answer(msgspec.Struct, frozen=True):
    """What became of `Allowance.ask`."""

    #: the amount is free here now: `Allowance.reserve` gets it, if it is called within the callback
    fits: bool
    standing: Standing
    #: the ledger could be reached.  False: nobody knows whether it would fit, and the port's ``on_ledger_loss`` decides
    available: bool = True


Answered = Callable[[Answer], None]
#: forget an `ask`; harmless after its answer
Cancel = Callable[[], None]


class Reservation(Protocol):
    """What is set aside for one call in one budget; only its allowance looks into it."""

    @property
    def amount(self) -> int:
        """Tokens; 0 where the budget is off, or the call is let in without cover."""


class Allowance(Protocol):
    """One cap of one budget of a port, as this process may spend it.  For the reactor thread only.

    All amounts are in the unit of the cap: tokens, or millionths of a dollar.
    """

    @property
    def budget(self) -> Budget:
        """The settings of the budget, as they are now."""

    @property
    def cap(self) -> Cap:
        """Which of its caps this is about."""

    @property
    def dollars(self) -> Allowance | None:
        """The cap in dollars beside one in tokens; None: there is none, or this is it.

        Callers ask for it where it is on.  What a call used is told to it where it `counts` when the call ends, whether
        or not something was reserved.
        """

    @property
    def counts(self) -> bool:
        """What calls use is summed up: the cap is on, or was in this period."""

    @property
    def scope(self) -> Scope: ...

    def reserve(self, amount: int, now: float) -> Reservation | None:
        """Set ``amount`` tokens aside for a call; None: so many are not at hand, `ask` for them.

        Of a budget that is off always a reservation of 0, whatever the amount.
        """

    def overdraw(self, now: float) -> Reservation:
        """Let a call in without cover, where the ledger cannot be reached and the port goes on all the same
        (``on_ledger_loss = "allow"``).  What it uses is charged when it is settled."""

    @property
    def other_counts(self) -> Sequence[Count]:
        """Besides the budget's own, the ways to count that it had in windows that are not over."""

    def settle(self, reservation: Reservation, used: int, otherwise: Mapping[Measure, int] = NO_COUNTS) -> None:
        """The call has ended and is charged ``used`` tokens.

        :param otherwise: what that is by each of `other_counts`
        """

    def ask(self, amount: int, answered: Answered) -> Cancel:
        """Have ``amount`` tokens made free here for a call that waits.

        ``answered`` is called at most once, in a later turn, in the order of the asking: when the amount fits; when it
        is certain that it does not (used + amount > cap); when the ledger cannot be reached.
        While only what other calls have reserved, here or elsewhere, stands in the way, there is no answer: the caller
        has the deadline, and cancels.  Then `standing` says what was in the way.
        """

    def standing(self, now: float) -> Standing:
        """What is known without asking: for headers, ``/reflect``, metrics and refusals."""


class Allowances(Protocol):
    """All of a process."""

    def of(self, port: str, user: str | None, feature: str) -> tuple[Allowance, ...]:
        """What a call must pass: the budgets of the port, its user, its feature, those there are, in this order.

        Budgets that are off are among them: what runs while one is switched on counts too.

        :param user: the client's; None: there is none
        :param feature: the call's own; one that the port does not list is `settings.OTHER_FEATURES`
        """


class NoAllowances:
    """Where nothing has a budget."""

    def of(self, port: str, user: str | None, feature: str) -> tuple[Allowance, ...]:
        return ()
