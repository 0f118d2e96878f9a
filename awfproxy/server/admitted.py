"""A call that was let in, and one that waits to be: what each holds, until it lets go of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
import txaio
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from awfproxy.core.budgets import Budget
from awfproxy.core.rates import Rates
from awfproxy.core.refusals import Refusal
from awfproxy.core.settlement import Rule, Spent, by_counts, due
from awfproxy.server.allowance import NO_COUNTS, Allowance, Answer, Cancel, Reservation
from awfproxy.server.demand import Demand
from awfproxy.server.waiting_line import Waiter, WaitingLine

if TYPE_CHECKING:
    from awfproxy.server.admission import Admission

log = txaio.make_logger()

#: tokens in a rate are settled as a learned budget is
_OF_RATES: Final = Budget()


class Admitted(msgspec.Struct, eq=False):
    """A call that was let in, until `settle`.  A structure, as there is one for each call."""

    _admission: Admission
    _demand: Demand
    #: seconds since the epoch: the call belongs to the windows of this moment
    at: float
    #: of budgets in tokens, those that are off too
    _held: list[tuple[Allowance, int, Reservation]]
    #: of caps in dollars
    _usd: list[tuple[Allowance, int, Reservation]]
    #: of rates, with their stamps
    _taken: list[tuple[Rates, int]]
    #: in the rates
    _tokens: int
    _settled: bool = False

    @property
    def estimates(self) -> bool:
        """A learned budget may want to know what was delivered."""
        return any(allowance.budget.mode == "learned" for allowance, _, _ in self._held) or bool(self._tokens)

    @property
    def strict(self) -> bool:
        """A strict budget covers it: what it may use if it is sent once."""
        for allowance, _, _ in self._held:
            budget = allowance.budget
            if budget.enabled and budget.mode == "strict":
                return True
        return False

    @property
    def notice(self) -> bytes | None:
        """What `X-AWF-Budget` says: of the first budget whose soft cap is passed; None: of none."""
        standings = self._admission.standings
        if not standings.soft_caps.passed:  # nearly always
            return None
        return standings.notice([allowance for allowance, _, _ in self._held])

    def settle(self, spent: Spent) -> None:
        """The call is over: once."""
        if self._settled:
            return
        self._settled = True
        admission, demand = self._admission, self._demand
        if self._taken:
            beyond = due(_OF_RATES, self._tokens, spent) - self._tokens
            for rates, stamp in self._taken:
                rates.settle(stamp, beyond)
        usd = self._usd
        counts_all = counts_reported = False
        for allowance, amount, reservation in self._held:
            beside = allowance.dollars
            if beside is not None and beside.counts:
                for each, _, _ in usd:
                    if each is beside:
                        break
                else:  # it was switched on meanwhile
                    usd.append((beside, 0, beside.overdraw(self.at)))
            budget = allowance.budget
            if budget.count == "all":
                counts_all = True
            else:
                counts_reported = True
            try:  # what one budget trips over must not stay reserved in the others
                if admission.shares:
                    admission.released(allowance, demand.user, amount)
                charge(allowance, reservation, due, amount, spent)
            except Exception:
                log.failure("a call could not be settled with a budget")
        if usd:
            admission.dollars.settle(usd, demand, spent, admission.released)
        if spent.late and not self._held:
            admission.charge_late(demand, spent)
        if spent.final and spent.usage is not None and demand.may_spend():
            admission.learn(demand, spent.usage, counts_reported, counts_all)


def charge(allowance: Allowance, reservation: Reservation, rule: Rule, amount: int, spent: Spent) -> None:
    """A call is over for one budget.

    :param amount: what was reserved, or would have been
    """
    budget, others = allowance.budget, allowance.other_counts
    otherwise = by_counts(rule, budget, amount, spent, others) if others else NO_COUNTS
    allowance.settle(reservation, rule(budget, amount, spent), otherwise)


class Waiting:
    """A call that waits; `cancel` it when it ends."""

    __slots__ = (
        "_budgets", "_cancelled", "_deliver", "_looked_up", "admission", "amounts", "demand", "line", "priced", "rates",
        "result", "timer", "tokens", "uncovered", "user",
    )  # fmt: skip

    def __init__(
        self,
        admission: Admission,
        demand: Demand,
        amounts: list[tuple[Allowance, int]],
        rates: Sequence[Rates],
        tokens: int,
        deliver: Callable[[Admitted | Refusal], None],
    ) -> None:
        self.admission = admission
        self.demand = demand
        self.user = demand.user
        self.rates = rates
        self.quoted(amounts, tokens)
        #: it does not wait for a price
        self.priced = bool(amounts)
        #: budgets that are passed without cover, because the ledger cannot be reached
        self.uncovered: set[Allowance] = set()
        self.line: WaitingLine | None = None
        #: ends the waiting, then the turn in which the call goes on
        self.timer: IDelayedCall | None = None
        self.result: Admitted | Refusal | None = None
        self._deliver = deliver
        self._cancelled = False
        #: forgets the lookup of its price
        self._looked_up: Cancel | None = None

    def quoted(self, amounts: list[tuple[Allowance, int]], tokens: int) -> None:
        """It needs so much, by what its budgets are now."""
        self.amounts = amounts
        self.tokens = tokens
        self._budgets = [allowance.budget for allowance, _ in amounts]

    @property
    def outdated(self) -> bool:
        """A budget was changed since: what it needs may be something else now."""
        return any(
            allowance.budget is not budget
            for (allowance, _), budget in zip(self.amounts, self._budgets, strict=True)
        )  # fmt: skip

    @property
    def over(self) -> bool:
        """It has been decided, or cancelled."""
        return self._cancelled or self.result is not None

    def amount(self, allowance: Allowance) -> int:
        """What it needs of this budget."""
        return next(amount for each, amount in self.amounts if each is allowance)

    def decide(self, result: Admitted | Refusal, clock: IReactorTime) -> None:
        """It waits no longer; the call goes on in a turn of its own, not within another call's end."""
        self.result = result
        self.step_out()
        self.timer = clock.callLater(0, self._go_on)

    def cancel(self) -> None:
        """The call has ended."""
        self._cancelled = True
        self.step_out()
        if isinstance(self.result, Admitted):
            self.result.settle(Spent())

    def wait_for_price(self, looked_up: Cancel) -> None:
        """:param looked_up: forgets that"""
        self.priced = False
        self._looked_up = looked_up

    def step_out(self) -> None:
        """It waits for nothing: no moment, no price, no budget."""
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
        looked_up, self._looked_up = self._looked_up, None
        if looked_up is not None:
            looked_up()
        line, self.line = self.line, None
        if line is not None:
            line.leave(self)

    def _go_on(self) -> None:
        assert self.result is not None
        if not self._cancelled:
            self._deliver(self.result)


def tell(line: WaitingLine, waiter: Waiter, answer: Answer) -> None:
    """The ledger has answered about one that waits: told to the admission that it asked."""
    assert isinstance(waiter, Waiting)
    waiter.admission.answered(line, waiter, answer)
