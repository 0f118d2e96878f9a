"""What is to be set aside for a call: of each budget that applies, and in the rates.

A strict budget asks for the upper bound of the call (`core.bounds`), a learned one for what such calls lately used, and
a cap in dollars for what they lately cost, by the price of the model.  Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final

import msgspec

from awfproxy.core.bounds import Bound
from awfproxy.core.budgets import Count
from awfproxy.server.allowance import Allowance
from awfproxy.server.demand import Demand, Estimates
from awfproxy.server.dollars import Dollars
from awfproxy.server.standings import BudgetsOf

#: no budget is passed without cover
COVERED: Final[frozenset[Allowance]] = frozenset()


class Quote(msgspec.Struct, frozen=True, gc=False):
    """What a call needs."""

    #: of every budget that applies; 0 of one that is off
    amounts: list[tuple[Allowance, int]]
    #: tokens in the rates
    tokens: int


class Unbounded(msgspec.Struct, frozen=True):
    """A strict budget that wants an upper bound, and why there is none."""

    allowance: Allowance
    reason: str | None


class PriceMissing:
    """The price of the call's model is not known here (`Dollars.ask`)."""


_PRICE_MISSING: Final = PriceMissing()


class Quotes:
    """Of one port.

    :param port: its name
    :param budgets: those that a call must pass, as `Allowances.of`
    :param counts_tokens: a rate counts them
    """

    def __init__(
        self,
        port: str,
        budgets: BudgetsOf,
        estimates: Estimates,
        dollars: Dollars,
        *,
        counts_tokens: bool,
    ) -> None:
        self._port = port
        self._budgets = budgets
        self._estimates = estimates
        self._dollars = dollars
        self._counts_tokens = counts_tokens

    def quote(self, demand: Demand, uncovered: Container[Allowance] = COVERED) -> Quote | Unbounded | PriceMissing:
        """What a call needs.

        :param uncovered: budgets that it passes without cover; of a cap in dollars nothing is asked for then
        """
        amounts: list[tuple[Allowance, int]] = []
        if not demand.may_spend():
            return Quote(amounts, 0)
        learned: dict[Count, int] = {}
        bound: Bound | None = None
        usd: int | None = None
        for allowance in self._budgets(self._port, demand.user, demand.feature):
            budget = allowance.budget
            amount = 0
            if not budget.enabled:
                pass  # what it uses may have to be charged all the same
            elif budget.mode == "learned":
                count = budget.count
                if count not in learned:
                    learned[count] = self._estimates.of(demand, count)
                amount = learned[count]
            else:
                if bound is None:
                    bound = demand.bound()
                if bound.tokens is not None:
                    amount = bound.tokens
                elif budget.unbounded != "refuse":
                    amount = budget.unbounded
                else:
                    return Unbounded(allowance, bound.reason)
            amounts.append((allowance, amount))
            in_dollars = allowance.dollars
            if in_dollars is not None and in_dollars.cap.enabled:
                if in_dollars in uncovered:
                    amounts.append((in_dollars, 0))
                    continue
                if usd is None:
                    usd = self._dollars.amount(demand)
                    if usd is None:
                        return _PRICE_MISSING
                amounts.append((in_dollars, usd))
        tokens = 0
        if self._counts_tokens:
            tokens = learned["reported"] if "reported" in learned else self._estimates.of(demand, "reported")
        return Quote(amounts, tokens)
