"""The refusals of one port's admission, each counted: what is said is in `core.limit_refusals`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from awfproxy.core import refusals
from awfproxy.core.budgets import RESERVED, UNBOUNDED, Reason, judge
from awfproxy.core.limit_refusals import Amounts, budget_exceeded, rate_limited
from awfproxy.core.rates import RateRefusal
from awfproxy.core.refusals import Refusal
from awfproxy.server.allowance import Allowance, Standing
from awfproxy.server.demand import Demand
from awfproxy.server.tallies import PortTallies

#: seconds for which to stay away where only reservations stand in the way: 1, and one more for so many calls that wait
#: there already, up to the last
RETRY_LEAST: Final = 1
RETRY_MOST: Final = 5
WAITING_A_SECOND: Final = 16


class Refusing:
    """See the module.

    :param budgets: those that a call must pass
    :param waiting: how many calls wait for a budget
    :param wall: seconds since the epoch
    """

    def __init__(
        self,
        budgets: Callable[[Demand], Sequence[Allowance]],
        waiting: Callable[[Allowance], int],
        tally: PortTallies,
        wall: Callable[[], float],
    ) -> None:
        self._budgets = budgets
        self._waiting = waiting
        self._tally = tally
        self._wall = wall

    def limited(self, found: RateRefusal, *, of_user: bool) -> Refusal:
        """A rate has no room; see `rate_limited`."""
        self._tally.rate_limited_by("user" if of_user else "port", found.name)
        return rate_limited(found, self._wall(), of_user=of_user)

    def unavailable(self, allowance: Allowance) -> Refusal:
        """The ledger cannot be reached, and the port does not go on without it."""
        self._tally.budget_decision(allowance.scope.kind, "ledger-unavailable")
        return refusals.ledger_unavailable()

    def exceeded(
        self,
        allowance: Allowance,
        demand: Demand,
        estimate: int | None,
        standing: Standing | None = None,
        unbounded: str | None = None,
    ) -> Refusal:
        """A budget does not let a call in.

        :param estimate: what the call needs of it; None: it has no upper bound
        :param standing: as it was when that was decided; None: as it is now
        :param unbounded: why it has none
        """
        now = self._wall()
        if standing is None:
            standing = allowance.standing(now)
        # what would have been enough a moment ago, and is not there: others have it
        reason: Reason = judge(standing.cap, standing.used, standing.hindering, estimate) or RESERVED
        self._tally.budget_decision(allowance.scope.kind, reason)
        found = _amounts(standing, estimate)
        in_dollars = allowance.cap.measure == "usd"
        return budget_exceeded(
            reason,
            allowance.scope,
            self._in_tokens(allowance, demand, now) if in_dollars else found,
            found if in_dollars else None,
            period=allowance.budget.period,
            now=now,
            window_end=standing.window_end,
            wait=min(RETRY_MOST, RETRY_LEAST + self._waiting(allowance) // WAITING_A_SECOND),
            unbounded=unbounded if reason == UNBOUNDED else None,
        )

    def _in_tokens(self, allowance: Allowance, demand: Demand, now: float) -> Amounts:
        """How the cap in tokens stands that is beside one in dollars."""
        standing = next(each for each in self._budgets(demand) if each.dollars is allowance).standing(now)
        return _amounts(standing)


def _amounts(standing: Standing, estimate: int | None = None) -> Amounts:
    return Amounts(standing.used, standing.reserved, standing.cap, estimate, standing.lent)
