"""Whether a call is let in: the rates and budgets of its port, its client and its feature, in one decision.

Order: the rates of the port and of the client; then every budget that applies.  A call passes all of them or none:
nothing is counted or reserved of one that is not let in.  Where what this process has at hand suffices, the decision is
made at once, from memory.  Else the call waits in the `waiting_line` of the budget that stands in its way, for at most
``admission_wait``; then it is let in or refused.  It is refused at once where waiting cannot help: what is known to be
used only grows within a window.

What a call may use is estimated once: for a strict budget by `core.bounds`, for a learned one by `core.learned`, from
what earlier calls of this port and model used.  How it is charged in the end is said in `core.settlement`.

Calls that make no model work count in the rates and in no budget.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime

from awfproxy.core import refusals
from awfproxy.core.bounds import Bound
from awfproxy.core.budgets import ESTIMATED, HARD_CAP, RESERVED, UNBOUNDED, Count, Reason, judge
from awfproxy.core.counts import Usage
from awfproxy.core.limit_refusals import budget_exceeded, rate_limited
from awfproxy.core.rates import RateLimits, RateRefusal, Rates
from awfproxy.core.refusals import Refusal
from awfproxy.core.settings import OTHER_FEATURES
from awfproxy.core.settings import Port as PortSettings
from awfproxy.core.settlement import Spent, late
from awfproxy.server.admitted import Admitted, Waiting
from awfproxy.server.allowance import Allowance, Answer, Reservation, Standing
from awfproxy.server.demand import Demand, Estimates
from awfproxy.server.soft_caps import SoftCapPassed, SoftCaps
from awfproxy.server.tallies import BudgetFigures, PortTallies
from awfproxy.server.waiting_line import Waiter, WaitingLine

#: seconds that a call waits for the ledger to answer, also where ``admission_wait`` is less: that setting is about
#: waiting for other calls
LEDGER_WAIT: Final = 2.0
#: seconds for which to stay away where only reservations stand in the way: 1, and one more for so many calls that wait
#: there already, up to the last
RETRY_LEAST: Final = 1
RETRY_MOST: Final = 5
WAITING_A_SECOND: Final = 16

BudgetsOf = Callable[[str, str | None, str], tuple[Allowance, ...]]
RatesOf = Callable[[str, str | None, RateLimits], Rates]


_DECIDED: Final = (Admitted, Refusal)


class Admission:
    """The decisions of one port.

    :param budgets: those that a call must pass, as `Allowances.of`
    :param rates: the counters of the port (None) or of a user of it
    :param clock: for the timers of those who wait
    :param monotonic: seconds of the clock that all workers share, for rates
    :param wall: seconds since the epoch, for windows
    :param wait: seconds, ``admission_wait``
    :param soft_cap_passed: told once a window of each budget
    """

    def __init__(
        self,
        settings: PortSettings,
        budgets: BudgetsOf,
        rates: RatesOf,
        tally: PortTallies,
        *,
        clock: IReactorTime,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
        wait: float,
        soft_cap_passed: SoftCapPassed,
    ) -> None:
        self._settings = settings
        self._port = settings.name
        self._budgets = budgets
        self._tally = tally
        self._clock = clock
        self._monotonic = monotonic
        self._wall = wall
        self._wait = wait
        self._lines: dict[Allowance, WaitingLine] = {}
        self._estimates = Estimates()
        self._soft_caps = SoftCaps(soft_cap_passed)
        #: several clients share the budgets
        self._shares = len({client.user for client in settings.clients}) > 1
        port = [rates(settings.name, None, settings.limits)] if settings.limits != RateLimits() else []
        users = {client.user: client.limits for client in settings.clients}
        #: by user, those that a call must pass
        self._rates: dict[str | None, tuple[Rates, ...]] = {None: tuple(port)}
        for user, limits in users.items():
            self._rates[user] = (*port, *([rates(settings.name, user, limits)] if limits != RateLimits() else []))
        self._of_port = port[0] if port else None
        self._counts_tokens = any(
            limits.tokens_per_minute is not None for limits in (settings.limits, *users.values())
        )

    def ask(self, demand: Demand, decided: Callable[[Admitted | Refusal], None]) -> Admitted | Refusal | Waiting:
        """Let a call in, refuse it, or have it wait.

        :param decided: told in a later turn what became of a call that waits, unless it is cancelled
        """
        rates = self._rates[demand.user]
        amounts: list[tuple[Allowance, int]] = []
        learned: dict[Count, int] = {}
        tokens = 0
        if demand.may_spend:
            allowances = self._budgets(self._port, demand.user, demand.feature)
            if allowances:
                found = self._amounts(demand, allowances, learned)
                if isinstance(found, Refusal):
                    return found
                amounts = found
            if self._counts_tokens:
                tokens = learned["reported"] if "reported" in learned else self._estimates.of(demand, "reported")
        obstacle = self._others_first(demand, amounts) if self._shares else None
        if obstacle is None:
            tried = self._try(demand, amounts, rates, tokens)
            if isinstance(tried, _DECIDED):
                return tried
            obstacle = tried
        return self._have_wait(Waiting(demand, amounts, rates, tokens, decided), obstacle)

    def line(self, allowance: Allowance) -> WaitingLine:
        """Those who wait for a budget."""
        line = self._lines.get(allowance)
        if line is None:
            line = self._lines[allowance] = WaitingLine(allowance, self._answered)
        return line

    def released(self, allowance: Allowance, user: str | None, amount: int) -> None:
        """A client holds so much less of a budget."""
        if self._shares:
            self.line(allowance).holds(user, -amount)

    def learn(self, demand: Demand, usage: Usage, counts: Sequence[Count]) -> None:
        """What a call used, for the estimates of those that follow.

        :param counts: what counted in its budgets
        """
        self._estimates.learn(demand, usage, ("reported", *counts) if self._counts_tokens else counts)

    def charge_late(self, demand: Demand, spent: Spent) -> None:
        """Work in the background is finished: charge it to the budgets of the call that shows it."""
        now = self._wall()
        for allowance in self._budgets(self._port, demand.user, demand.feature):
            allowance.settle(allowance.overdraw(now), late(allowance.budget, spent))

    def notice(self, allowances: Sequence[Allowance]) -> bytes | None:
        """What `X-AWF-Budget` says of these budgets; None: nothing."""
        if not self._soft_caps:
            return None
        now = self._wall()
        return next((said for each in allowances if (said := self._soft_caps.notice(each, now)) is not None), None)

    def look(self) -> dict[tuple[str, str], BudgetFigures]:
        """How the enabled budgets of this port stand, by kind and name of their scope."""
        settings, now = self._settings, self._wall()
        found: dict[tuple[str, str], BudgetFigures] = {}
        for user in {client.user: None for client in settings.clients} or (None,):
            for feature in (OTHER_FEATURES, *(each.name for each in settings.features)):
                for allowance in self._budgets(self._port, user, feature):
                    key = (allowance.scope.kind, allowance.scope.name)
                    if key not in found and allowance.budget.enabled:
                        standing = allowance.standing(now)
                        self._soft_caps.look(allowance, standing)
                        found[key] = BudgetFigures(
                            standing.cap, standing.used, standing.reserved, standing.remaining, standing.soft_cap,
                            standing.window_start, standing.window_end,
                        )  # fmt: skip
        return found

    # -- estimates

    def _amounts(
        self, demand: Demand, allowances: Sequence[Allowance], learned: dict[Count, int]
    ) -> list[tuple[Allowance, int]] | Refusal:
        """What is to be reserved of each budget; a refusal where one of them cannot say.

        :param learned: gets the learned estimates, by what counts
        """
        bound: Bound | None = None
        amounts = []
        for allowance in allowances:
            budget = allowance.budget
            amount = 0
            if budget.enabled and budget.mode == "learned":
                if budget.count not in learned:
                    learned[budget.count] = self._estimates.of(demand, budget.count)
                amount = learned[budget.count]
            elif budget.enabled:
                if bound is None:
                    bound = demand.bound
                if bound.tokens is not None:
                    amount = bound.tokens
                elif budget.unbounded != "refuse":
                    amount = budget.unbounded
                else:
                    return self._refusal(allowance, None, None, unbounded=bound.reason)
            amounts.append((allowance, amount))
        return amounts

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
        uncovered: set[Allowance] | frozenset[Allowance] = frozenset(),
    ) -> Admitted | Refusal | Allowance:
        """All of it, or a refusal, or the budget that has not enough at hand."""
        now = self._wall()
        if rates:
            monotonic = self._monotonic()
            for each in rates:
                limited = each.check(monotonic, demand.size, tokens)
                if limited is not None:
                    return self._limited(limited, each, now)
        held: list[tuple[Allowance, int, Reservation]] = []
        for allowance, amount in amounts:
            cover = not uncovered or allowance not in uncovered
            reservation = allowance.reserve(amount, now) if cover else allowance.overdraw(now)
            if reservation is None:
                for before, _, kept in held:
                    before.settle(kept, 0)
                return allowance
            held.append((allowance, amount, reservation))
        if self._shares:
            for allowance, amount, _ in held:
                self.line(allowance).holds(demand.user, amount)
        stamps = [each.take(demand.size, tokens) for each in rates]
        if amounts:
            self._tally.budget_decision("", "allowed")
        return Admitted(self, demand, now, held, rates, stamps, tokens)

    def _have_wait(self, waiting: Waiting, obstacle: Allowance) -> Waiting | Refusal:
        amount = waiting.amount(obstacle)
        standing = obstacle.standing(self._wall())
        reason = judge(standing.cap, standing.used, standing.hindering, amount)
        if reason in (HARD_CAP, ESTIMATED) or (reason == RESERVED and not self._wait):
            return self._refusal(obstacle, amount, standing)
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

    def _answered(self, line: WaitingLine, waiter: Waiter, answer: Answer) -> None:
        """The ledger has answered about one that waits."""
        assert isinstance(waiter, Waiting)
        allowance = line.allowance
        if not answer.available:
            if self._settings.budget.on_ledger_loss == "deny":
                waiter.decide(self._unavailable(allowance), self._clock)
                return
            waiter.uncovered.add(allowance)
        elif not answer.fits:
            waiter.decide(self._refusal(allowance, waiter.amount(allowance), answer.standing), self._clock)
            return
        tried = self._try(waiter.demand, waiter.amounts, waiter.rates, waiter.tokens, waiter.uncovered)
        if isinstance(tried, _DECIDED):
            waiter.decide(tried, self._clock)
        else:
            self._stand_in(waiter, tried)

    def _too_late(self, waiting: Waiting) -> None:
        """It has waited long enough."""
        line = waiting.line
        assert line is not None
        allowance = line.allowance
        amount = waiting.amount(allowance)
        standing = allowance.standing(self._wall())
        if judge(standing.cap, standing.used, standing.hindering, amount) is not None or len(line) > 1:
            waiting.decide(self._refusal(allowance, amount, standing), self._clock)
            return
        # as far as is known it would fit: it is the ledger that did not answer
        self._answered(line, waiting, Answer(False, standing, available=False))
        if waiting.line is not None and waiting.result is None:
            waiting.decide(self._unavailable(waiting.line.allowance), self._clock)

    # -- refusing

    def _limited(self, found: RateRefusal, rates: Rates, now: float) -> Refusal:
        of_user = rates is not self._of_port
        self._tally.rate_limited_by("user" if of_user else "port", found.name)
        return rate_limited(found, now, of_user=of_user)

    def _unavailable(self, allowance: Allowance) -> Refusal:
        self._tally.budget_decision(allowance.scope.kind, "ledger-unavailable")
        return refusals.ledger_unavailable()

    def _refusal(
        self, allowance: Allowance, estimate: int | None, standing: Standing | None, unbounded: str | None = None
    ) -> Refusal:
        now = self._wall()
        if standing is None:
            standing = allowance.standing(now)
        # what would have been enough a moment ago, and is not there: others have it
        reason: Reason = judge(standing.cap, standing.used, standing.hindering, estimate) or RESERVED
        self._tally.budget_decision(allowance.scope.kind, reason)
        line = self._lines.get(allowance)
        return budget_exceeded(
            reason,
            allowance.scope,
            period=allowance.budget.period,
            used=standing.used,
            reserved=standing.hindering,
            cap=standing.cap,
            estimate=estimate,
            now=now,
            window_end=standing.window_end,
            wait=min(RETRY_MOST, RETRY_LEAST + (0 if line is None else len(line) // WAITING_A_SECOND)),
            unbounded=unbounded if reason == UNBOUNDED else None,
        )
