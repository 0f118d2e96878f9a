"""Whether a call is let in: the rates and budgets of its port, its client and its feature, in one decision.

Order: the rates of the port and of the client; then every budget that applies.  A call passes all of them or none:
nothing is counted or reserved of one that is not let in.  Where what this process has at hand suffices, the decision is
made at once, from memory.  Else the call waits in the `waiting_line` of the budget that stands in its way, for at most
``admission_wait``; then it is let in or refused.  It is refused at once where waiting cannot help: what is known to be
used only grows within a window.

What a call may use is estimated once (`quotes`): for a strict budget by `core.bounds`, for a learned one by
`core.learned`, from what earlier calls of this port and model used.  For a cap in dollars the price of the model must
be known here (`tariff`): the first call of a model waits until it is found, as calls wait for the ledger.  How a call
is charged in the end is said in `core.settlement`.

Calls that make no model work count in the rates and in no budget.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Final

import msgspec
from twisted.internet.interfaces import IReactorTime

from awfproxy.core.budgets import ESTIMATED, HARD_CAP, RESERVED, judge
from awfproxy.core.counts import Usage
from awfproxy.core.rates import Rates
from awfproxy.core.refusals import Refusal
from awfproxy.core.settings import Port as PortSettings
from awfproxy.core.settlement import Spent, late
from awfproxy.server.admitted import Admitted, Waiting, charge, tell
from awfproxy.server.allowance import Allowance, Answer, Reservation
from awfproxy.server.counted_rates import CountedRates, RatesOf
from awfproxy.server.demand import Demand, Estimates
from awfproxy.server.dollars import Dollars
from awfproxy.server.quotes import COVERED, PriceMissing, Quote, Quotes, Unbounded
from awfproxy.server.refusing import Refusing
from awfproxy.server.soft_caps import SoftCapPassed, SoftCaps
from awfproxy.server.standings import BudgetsOf, Standings
from awfproxy.server.tallies import PortTallies
from awfproxy.server.tariff import Tariff
from awfproxy.server.waiting_line import WaitingLine

#: seconds that a call waits for the ledger to answer, also where ``admission_wait`` is less: that setting is about
#: waiting for other calls
LEDGER_WAIT: Final = 2.0

_DECIDED: Final = (Admitted, Refusal)


class Admission:
    """The decisions of one port.

    :param budgets: those that a call must pass, as `Allowances.of`
    :param rates: the counters of the port (None) or of a user of it
    :param tariff: what models cost
    :param clock: for the timers of those who wait
    :param monotonic: seconds of the clock that all workers share, for rates
    :param wall: seconds since the epoch, for windows
    :param wait: seconds, ``admission_wait``
    :param soft_cap_passed: told once a window of each budget
    :param before: the decisions of the port until now, under other settings: what it has learned, who waits and who
        holds what goes on here
    """

    standings: Standings
    _lines: dict[Allowance, WaitingLine]
    _estimates: Estimates

    def __init__(
        self,
        settings: PortSettings,
        budgets: BudgetsOf,
        rates: RatesOf,
        tally: PortTallies,
        tariff: Tariff,
        *,
        clock: IReactorTime,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
        wait: float,
        soft_cap_passed: SoftCapPassed,
        before: Admission | None = None,
    ) -> None:
        self._settings = settings
        self._port = settings.name
        self._budgets = budgets
        self._tally = tally
        self._clock = clock
        self._monotonic = monotonic
        self._wall = wall
        self._wait = wait
        self._lines = {} if before is None else before._lines
        self._estimates = Estimates() if before is None else before._estimates
        self.dollars = Dollars(settings.name, settings.provider, tariff, self._estimates)
        soft_caps = SoftCaps(soft_cap_passed) if before is None else before.standings.soft_caps
        self.standings = Standings(settings, budgets, wall, soft_caps)
        #: several clients share the budgets
        self.shares = len({client.user for client in settings.clients}) > 1
        self._rates = CountedRates(settings, rates)
        in_tokens = self._rates.in_tokens
        self._quotes = Quotes(settings.name, budgets, self._estimates, self.dollars, counts_tokens=in_tokens)
        self._refusing = Refusing(self._budgets_of, self._waiting_for, tally, wall)

    def take_effect(self) -> None:
        """From now on its limits hold."""
        self._rates.take_effect()

    def ask(self, demand: Demand, decided: Callable[[Admitted | Refusal], None]) -> Admitted | Refusal | Waiting:
        """Let a call in, refuse it, or have it wait.

        :param decided: told in a later turn what became of a call that waits, unless it is cancelled
        """
        rates = self._rates.of(demand.user)
        quote = self._quotes.quote(demand)
        if not isinstance(quote, Quote):
            if isinstance(quote, Unbounded):
                return self._unbounded(demand, rates, quote)
            return self._have_priced(Waiting(self, demand, [], rates, 0, decided))
        obstacle = self._others_first(demand, quote.amounts) if self.shares else None
        if obstacle is None:
            tried = self._try(demand, quote.amounts, rates, quote.tokens)
            if isinstance(tried, _DECIDED):
                return tried
            obstacle = tried
        return self._have_wait(Waiting(self, demand, quote.amounts, rates, quote.tokens, decided), obstacle)

    def line(self, allowance: Allowance) -> WaitingLine:
        """Those who wait for a budget."""
        line = self._lines.get(allowance)
        if line is None:
            line = self._lines[allowance] = WaitingLine(allowance, tell)
        return line

    def _waiting_for(self, allowance: Allowance) -> int:
        line = self._lines.get(allowance)
        return 0 if line is None else len(line)

    def released(self, allowance: Allowance, user: str | None, amount: int) -> None:
        """A client holds so much less of a budget."""
        if self.shares:
            self.line(allowance).holds(user, -amount)

    def learn(self, demand: Demand, usage: Usage, counts_reported: bool, counts_all: bool) -> None:
        """What a call used, for the estimates of those that follow, in what its budgets count."""
        self._estimates.learn(demand, usage, counts_reported or self._rates.in_tokens, counts_all)

    def charge_late(self, demand: Demand, spent: Spent) -> None:
        """Work in the background is finished: charge it to the budgets of the call that shows it."""
        now = self._wall()
        usd = []
        for allowance in self._budgets_of(demand):
            charge(allowance, allowance.overdraw(now), late, 0, spent)
            if allowance.dollars is not None and allowance.dollars.counts:
                usd.append((allowance.dollars, 0, allowance.dollars.overdraw(now)))
        if usd:
            self.dollars.settle(usd, demand, msgspec.structs.replace(spent, final=True), self.released)

    def _budgets_of(self, demand: Demand) -> tuple[Allowance, ...]:
        return self._budgets(self._port, demand.user, demand.feature)

    # -- deciding

    def _others_first(self, demand: Demand, amounts: list[tuple[Allowance, int]]) -> Allowance | None:
        """The first budget for which others wait that go before this call."""
        for allowance, _ in amounts:
            line = self._lines.get(allowance)
            if line is not None and line.must_wait(demand.user):
                return allowance
        return None

    def _try(
        self,
        demand: Demand,
        amounts: list[tuple[Allowance, int]],
        rates: Sequence[Rates],
        tokens: int,
        uncovered: Container[Allowance] = COVERED,
    ) -> Admitted | Refusal | Allowance:
        """All of it, or a refusal, or the budget that has not enough at hand."""
        if rates and (limited := self._limited(demand, rates, tokens)) is not None:
            return limited
        now = self._wall()
        held: list[tuple[Allowance, int, Reservation]] = []
        usd: list[tuple[Allowance, int, Reservation]] = []
        for allowance, amount in amounts:
            cover = uncovered is COVERED or allowance not in uncovered
            reservation = allowance.reserve(amount, now) if cover else allowance.overdraw(now)
            if reservation is None:
                for before, _, kept in (*held, *usd):
                    before.settle(kept, 0)
                return allowance
            (usd if allowance.cap.measure == "usd" else held).append((allowance, amount, reservation))
        if self.shares:
            for allowance, amount, _ in (*held, *usd):
                self.line(allowance).holds(demand.user, amount)
        taken: list[tuple[Rates, int]] = []
        for each in rates:
            taken.append((each, each.take(demand.size, tokens)))
        if amounts:
            self._tally.budget_decision("", "allowed")
        return Admitted(self, demand, now, held, usd, taken, tokens)

    def _limited(self, demand: Demand, rates: Sequence[Rates], tokens: int) -> Refusal | None:
        """The refusal of the first rate that has no room."""
        monotonic = self._monotonic()
        for each in rates:
            limited = each.check(monotonic, demand.size, tokens)
            if limited is not None:
                return self._refusing.limited(limited, of_user=each is not self._rates.of_port)
        return None

    def _unbounded(self, demand: Demand, rates: Sequence[Rates], found: Unbounded) -> Refusal:
        """A strict budget does not take the call, if the rates do."""
        tokens = self._estimates.of(demand, "reported") if self._rates.in_tokens else 0
        return self._limited(demand, rates, tokens) or self._refusing.exceeded(
            found.allowance, demand, None, unbounded=found.reason
        )

    # -- waiting for a price

    def _have_priced(self, waiting: Waiting) -> Waiting | Refusal:
        """It waits until the price of its model is known here."""
        demand = waiting.demand
        for allowance in self._in_dollars(demand):
            standing = allowance.standing(self._wall())
            if standing.used >= standing.cap:  # whatever it costs
                return self._refusing.exceeded(allowance, demand, None, standing)
        waiting.timer = self._clock.callLater(LEDGER_WAIT, self._priced, waiting, False)
        waiting.wait_for_price(self.dollars.ask(demand, lambda rate: self._priced(waiting, rate is not None)))
        return waiting

    def _priced(self, waiting: Waiting, found: bool) -> None:
        """The price is known here now, or nobody can say it."""
        if waiting.over or waiting.priced:
            return
        waiting.step_out()
        waiting.priced = True
        refusal = None if found else self._without_price(waiting)
        self._decide(waiting, refusal or self._ask(waiting))

    def _without_price(self, waiting: Waiting) -> Refusal | None:
        """Nobody can say what the call costs: the port's ``on_ledger_loss`` decides."""
        without = self._in_dollars(waiting.demand)
        if without and self._settings.budget.on_ledger_loss == "deny":
            return self._refusing.unavailable(without[0])
        waiting.uncovered.update(without)
        return None

    def _ask(self, waiting: Waiting) -> Admitted | Refusal | Waiting:
        """As `ask`, of a call that has waited for its price, or for a budget that was changed."""
        quote = self._quotes.quote(waiting.demand, waiting.uncovered)
        if isinstance(quote, PriceMissing):
            if not waiting.priced:  # the cap was switched on meanwhile
                return self._have_priced(waiting)
            if refusal := self._without_price(waiting):  # so many models came
                return refusal
            quote = self._quotes.quote(waiting.demand, waiting.uncovered)
        if isinstance(quote, Unbounded):
            return self._unbounded(waiting.demand, waiting.rates, quote)
        assert isinstance(quote, Quote)
        waiting.quoted(quote.amounts, quote.tokens)
        obstacle = self._others_first(waiting.demand, quote.amounts) if self.shares else None
        tried = obstacle or self._try(
            waiting.demand, quote.amounts, waiting.rates, quote.tokens, waiting.uncovered
        )
        return tried if isinstance(tried, _DECIDED) else self._have_wait(waiting, tried)

    def _ask_again(self, waiting: Waiting) -> None:
        """A budget was changed while it waited: it is as if it came now."""
        waiting.step_out()
        waiting.priced = False
        self._decide(waiting, self._ask(waiting))

    def _decide(self, waiting: Waiting, decided: Admitted | Refusal | Waiting) -> None:
        if not isinstance(decided, Waiting):
            waiting.decide(decided, self._clock)

    def _in_dollars(self, demand: Demand) -> list[Allowance]:
        beside = [each.dollars for each in self._budgets_of(demand)]
        return [each for each in beside if each is not None and each.cap.enabled]

    # -- waiting for others

    def _have_wait(self, waiting: Waiting, obstacle: Allowance) -> Waiting | Refusal:
        amount = waiting.amount(obstacle)
        standing = obstacle.standing(self._wall())
        reason = judge(standing.cap, standing.used, standing.hindering, amount)
        if reason in (HARD_CAP, ESTIMATED) or (reason == RESERVED and not self._wait):
            return self._refusing.exceeded(obstacle, waiting.demand, amount, standing)
        patience = max(self._wait, LEDGER_WAIT) if reason is None else self._wait
        waiting.timer = self._clock.callLater(patience, self._too_late, waiting)
        self._stand_in(waiting, obstacle)
        return waiting

    def _stand_in(self, waiting: Waiting, obstacle: Allowance) -> None:
        """It waits for this budget, and no longer for another."""
        before, line = waiting.line, self.line(obstacle)
        if before is not line:
            waiting.line = line
            if before is not None:
                before.leave(waiting)
            line.join(waiting)

    def answered(self, line: WaitingLine, waiter: Waiting, answer: Answer) -> None:
        """The ledger has answered about one that waits here."""
        if waiter.outdated:
            self._ask_again(waiter)
            return
        allowance = line.allowance
        if not answer.available:
            if self._settings.budget.on_ledger_loss == "deny":
                waiter.decide(self._refusing.unavailable(allowance), self._clock)
                return
            waiter.uncovered.add(allowance)
        elif not answer.fits:
            refusal = self._refusing.exceeded(allowance, waiter.demand, waiter.amount(allowance), answer.standing)
            waiter.decide(refusal, self._clock)
            return
        tried = self._try(waiter.demand, waiter.amounts, waiter.rates, waiter.tokens, waiter.uncovered)
        if isinstance(tried, _DECIDED):
            waiter.decide(tried, self._clock)
        else:
            self._stand_in(waiter, tried)

    def _too_late(self, waiting: Waiting) -> None:
        """It has waited long enough."""
        if waiting.outdated:
            self._ask_again(waiting)
            return
        line = waiting.line
        assert line is not None
        allowance = line.allowance
        amount = waiting.amount(allowance)
        standing = allowance.standing(self._wall())
        if judge(standing.cap, standing.used, standing.hindering, amount) is not None or len(line) > 1:
            waiting.decide(self._refusing.exceeded(allowance, waiting.demand, amount, standing), self._clock)
            return
        # as far as is known it would fit: it is the ledger that did not answer
        self.answered(line, waiting, Answer(False, standing, available=False))
        if waiting.line is not None and waiting.result is None:
            waiting.decide(self._refusing.unavailable(waiting.line.allowance), self._clock)
