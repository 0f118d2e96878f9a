"""The dollars of a port's calls: what is reserved, and what is charged in the end.

Rules:
- Reserved is what calls of this model lately cost (`demand.Estimates`), once the model's rate is known here.
- Charged is what the answer's own model costs; it may be another than the one that was asked for.  Where its rate is
  not known yet, the call's reservation stands until the ledger's thread has found it, which takes milliseconds.  Where
  that fails, the rate of the model that was asked for serves; without that too it stands until one is found, and is
  charged itself only where too many wait for that.
- What used nothing is charged nothing, and needs no price.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import txaio

from awfproxy.core.budgets import micro_dollars
from awfproxy.core.consumption import consumption
from awfproxy.core.settlement import Spent, due_usd, priced
from awfproxy.prices.charges import Rate
from awfproxy.server.allowance import Allowance, Cancel, Reservation
from awfproxy.server.demand import Demand, Estimates
from awfproxy.server.tariff import Found, Tariff

txaio.use_twisted()
log = txaio.make_logger()

#: a budget, what is reserved of it for a call, and by what
Held = tuple[Allowance, int, Reservation]


class Dollars:
    """See the module.

    :param port: its name
    :param provider: its provider
    """

    def __init__(self, port: str, provider: str, tariff: Tariff, estimates: Estimates) -> None:
        self._port = port
        self._provider = provider
        self._tariff = tariff
        self._estimates = estimates

    def amount(self, demand: Demand) -> int | None:
        """Millionths of a dollar to reserve; None: the rate is not known here, `ask` for it."""
        rate = self._tariff.known(self._provider, demand.model or "")
        return None if rate is None else self._estimates.usd(demand, rate)

    def ask(self, demand: Demand, answered: Found) -> Cancel:
        """Find the rate of a call; see `Tariff.ask`.  The names of one client of the port wait for one another."""
        return self._tariff.ask(self._provider, demand.model or "", answered, (self._port, demand.user))

    def settle(
        self, held: Sequence[Held], demand: Demand, spent: Spent, released: Callable[[Allowance, str | None, int], None]
    ) -> None:
        """A call is over; each budget of ``held`` is charged once, now or in a later turn.

        :param released: told of each, as `Admission.released`
        """

        if spent.nothing:
            for allowance, amount, reservation in held:
                released(allowance, demand.user, amount)
                allowance.settle(reservation, 0)
            return

        def charge(rate: Rate | None) -> None:
            consumed = None if spent.usage is None else consumption(spent.usage)
            found = None if rate is None else priced(spent, consumed, rate.price.cost)
            for allowance, amount, reservation in held:
                try:  # what one budget trips over must not stay reserved in the others
                    released(allowance, demand.user, amount)
                    allowance.settle(reservation, amount if found is None else due_usd(amount, spent, found))
                except Exception:
                    log.failure("a call could not be settled with a budget in dollars")
            if rate is not None and found is not None and consumed is not None and spent.final and demand.may_spend():
                made = micro_dollars(rate.price.output_cost(consumed))
                given = found.so_far - made
                self._estimates.learn_usd(demand, rate, given if given > 0 else 0, made)

        self._tariff.charge(self._provider, spent.model or "", demand.model or "", charge)

