"""The budgets of a process while nobody knows what was stored of them: at a start without the ledger, where what was
last seen is damaged.

Rules:
- A port whose ``on_ledger_loss`` is `deny` lets no call in that a model may work on: 503, as where the ledger cannot be
  reached.  Perhaps a budget is on that the settings have off.
- Of a port with `allow`, the budgets of the settings hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from twisted.internet.interfaces import IReactorTime

from awfproxy.core.budgets import DEFAULTS, TOKENS_MAX, Budget, Cap, Count, Measure, Scope
from awfproxy.core.settings import Settings
from awfproxy.server.allowance import NO_COUNTS, Allowance, Allowances, Answer, Answered, Cancel, Reservation, Standing

#: no cap of its own is in the way, nor shown anywhere
_CAP: Final = Cap(False, "month", "reported", TOKENS_MAX, None)
_STANDING: Final = Standing(used=0, reserved=0, lent=0, cap=TOKENS_MAX, soft_cap=None, window_start=0, window_end=0)


class UnknownBudgets:
    """In the place of the budgets that will be known.

    :param allowances: those of the settings
    """

    def __init__(self, settings: Settings, allowances: Allowances, clock: IReactorTime) -> None:
        self._allowances = allowances
        self._denying = {
            port.name: (_Unknown(Scope(port.name), clock),)
            for port in settings.ports
            if port.budget.on_ledger_loss == "deny"
        }

    def of(self, port: str, user: str | None, feature: str) -> tuple[Allowance, ...]:
        """As `allowance.Allowances`."""
        return self._denying.get(port) or self._allowances.of(port, user, feature)


class _Nothing(msgspec.Struct, frozen=True):
    """A reservation of nothing."""

    amount: int = 0


class _Unknown:
    """The budget of a port, as `allowance.Allowance`: nobody knows whether a call fits."""

    budget: Budget = DEFAULTS
    cap = _CAP
    counts = False
    dollars = None
    other_counts: Sequence[Count] = ()

    def __init__(self, scope: Scope, clock: IReactorTime) -> None:
        self.scope = scope
        self._clock = clock

    def reserve(self, amount: int, now: float) -> Reservation | None:
        return None

    def overdraw(self, now: float) -> Reservation:
        return _Nothing()

    def settle(self, reservation: Reservation, used: int, otherwise: Mapping[Measure, int] = NO_COUNTS) -> None:
        """The record shows it: accounts are opened with that."""

    def ask(self, amount: int, answered: Answered) -> Cancel:
        later = self._clock.callLater(0, answered, Answer(False, _STANDING, available=False))

        def cancel() -> None:
            if later.active():
                later.cancel()

        return cancel

    def standing(self, now: float) -> Standing:
        return _STANDING
