"""The calls that wait for one budget, and whose turn it is.

Rules:
- What becomes free goes to the client that holds least of the budget; among equals, to the one that has waited longest.
  So a client with many calls cannot keep the others out, however fast it calls again (max-min fairness).
- A call that arrives does not go before the waiting calls of a client that holds no more than its own; it waits too.
- Among the calls of one client, the first `ASKING_MAX` ask at the same time: one that needs less may go first, since
  between its own calls a client has nothing to be protected from.

Without clients' keys all calls are of one client.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from awfproxy.server.allowance import Allowance, Answer, Cancel

#: calls of the client whose turn it is that ask at once: each change of turn takes them all back
ASKING_MAX: Final = 8


class Waiter(Protocol):
    """A call that waits."""

    #: None: no client
    user: str | None

    def amount(self, allowance: Allowance) -> int:
        """Tokens that it needs of this budget."""


class WaitingLine:
    """See the module.

    :param answered: told what became of a call's asking; it must have left the line when this returns, or go on waiting
    """

    def __init__(self, allowance: Allowance, answered: Callable[[WaitingLine, Waiter, Answer], None]) -> None:
        self.allowance = allowance
        #: tokens that the running calls of each client have reserved here, in this process
        self.held: dict[str | None, int] = {}
        self._answered = answered
        self._waiting: dict[str | None, dict[Waiter, None]] = {}
        #: whose turn it is
        self._turn: str | None = None
        self._asking: dict[Waiter, Cancel] = {}

    def __len__(self) -> int:
        """How many wait."""
        return sum(len(calls) for calls in self._waiting.values())

    def holds(self, user: str | None, amount: int) -> None:
        """A client holds so much more, or less."""
        held = self.held.get(user, 0) + amount
        if held:
            self.held[user] = held
        else:
            self.held.pop(user, None)

    def must_wait(self, user: str | None) -> bool:
        """Whether a call of this client that arrives now must let others go first."""
        if not self._waiting:
            return False
        held = self.held
        own = held.get(user, 0)
        return any(other != user and held.get(other, 0) <= own for other in self._waiting)

    def join(self, waiter: Waiter) -> None:
        """It waits, behind the others of its client."""
        self._waiting.setdefault(waiter.user, {})[waiter] = None
        self._advance()

    def leave(self, waiter: Waiter) -> None:
        """It waits no longer."""
        calls = self._waiting.get(waiter.user)
        if calls is None or waiter not in calls:
            return
        del calls[waiter]
        if not calls:
            del self._waiting[waiter.user]
        cancel = self._asking.pop(waiter, None)
        if cancel is not None:
            cancel()
        self._advance()

    def _advance(self) -> None:
        """Let those ask whose turn it is."""
        if not self._waiting:
            return
        held = self.held
        # in the order in which their oldest calls came, so that among equals the first of them is found
        turn = min(self._waiting, key=lambda user: held.get(user, 0))
        if turn != self._turn:
            asking, self._asking = self._asking, {}
            for cancel in asking.values():
                cancel()
            self._turn = turn
        for waiter in self._waiting[turn]:
            if len(self._asking) >= ASKING_MAX:
                break
            if waiter not in self._asking:
                amount = waiter.amount(self.allowance)
                self._asking[waiter] = self.allowance.ask(amount, partial(self._told, waiter))

    def _told(self, waiter: Waiter, answer: Answer) -> None:
        if self._asking.pop(waiter, None) is not None:
            self._answered(self, waiter, answer)
            self._advance()
