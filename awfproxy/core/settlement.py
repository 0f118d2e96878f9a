"""What a call is charged when it is over, in each of its budgets: the rule of `budgets.charge`, on what is known.

* The usage that the provider reported in the end is charged, whatever was reserved.
* A call that was never handed to the upstream, or was answered with an error and no usage, is charged nothing.
* Of a call that was handed over and has no final usage nobody knows what it used: a strict budget charges the whole
  reservation, a learned one the greater of what had been reported and the estimate of what was delivered; where nothing
  can be estimated (pictures, speech, an answer that could not be decoded), the reservation.
* A kind of call that uses tokens only where its answer says so is charged what it says, once its answer is whole.

In dollars the same, with what the classes of tokens cost (`due_usd`).

Work in the background has no usage when it is begun, so a learned budget charges nothing then, and a strict one what
was reserved, its `unbounded`.  The answer that first shows it finished brings the usage: it is charged then, in the
window of that answer (`late`); a strict budget charges what goes beyond its `unbounded`.  Of a batch no answer ever
tells the usage: it stays with what was charged when it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from awfproxy.core.budgets import Budget, Count, Measure, charge, counted, micro_dollars
from awfproxy.core.consumption import Consumption
from awfproxy.core.counts import Usage

#: dollars that a consumption costs
CostOf = Callable[[Consumption], float]


class Spent(msgspec.Struct, frozen=True):
    """What is known of what a call used."""

    #: as the provider reported it; None: it reported none
    usage: Usage | None = None
    #: that is its last word, and no count of it is missing
    final: bool = False
    #: the request was handed to the upstream
    sent: bool = False
    #: of the upstream's answer; None: none was seen
    status: int | None = None
    #: estimate of the tokens of what was sent and delivered; None: nobody can say
    delivered: int | None = 0
    #: the part of it that is output
    delivered_output: int = 0
    #: the model that answered, or that was asked for; None: neither is known
    model: str | None = None
    #: without usage it used none
    only_reported: bool = False
    #: the answer is the first to show work in the background finished, and the usage is that work's
    late: bool = False

    @property
    def told(self) -> bool:
        """What was reported is all that it used."""
        return self.final or self.only_reported

    @property
    def nothing(self) -> bool:
        """It used nothing, whatever a token costs."""
        if self.usage is not None:
            return False
        return self.only_reported or not self.sent or (self.status is not None and self.status >= 400)

    def tokens(self, count: Count) -> int:
        """What was reported, final or not."""
        usage = self.usage
        if usage is None:
            return 0
        if count == "reported":
            return counted(usage.input_tokens or 0, usage.output_tokens or 0)
        return counted(
            usage.input_tokens or 0,
            usage.output_tokens or 0,
            usage.cache_read_tokens or 0,
            usage.cache_write_tokens or 0,
            input_includes_cache=usage.input_tokens_include_cache,
            count=count,
        )


#: `due` or `late`
Rule = Callable[[Budget, int, Spent], int]

#: a call that never went on
NOTHING = Spent()


def due(budget: Budget, reserved: int, spent: Spent) -> int:
    """Tokens that a call is charged.

    :param reserved: what was set aside for it, or would have been
    """
    so_far = spent.tokens(budget.count)
    if spent.told:
        return so_far
    return charge(
        budget.mode,
        reserved,
        reported=None,
        sent=spent.sent,
        status=spent.status,
        so_far=so_far,
        delivered=reserved if spent.delivered is None else spent.delivered,
    )


def late(budget: Budget, reserved: int, spent: Spent) -> int:
    """Tokens that are charged with the answer that first shows work in the background finished, as in `due`; what was
    reserved for that answer does not matter."""
    tokens = spent.tokens(budget.count)
    if budget.mode == "strict" and budget.unbounded != "refuse":
        return max(0, tokens - budget.unbounded)
    return tokens


def by_counts(
    rule: Rule, budget: Budget, reserved: int, spent: Spent, counts: Sequence[Count]
) -> dict[Measure, int]:
    """What a call is charged by `due` or `late` where its budget counted in other ways."""
    return {count: rule(msgspec.structs.replace(budget, count=count), reserved, spent) for count in counts}


class Priced(msgspec.Struct, frozen=True):
    """What a call used, in millionths of a dollar."""

    #: as it was reported, final or not
    so_far: int
    #: what was sent and delivered, by the estimate of its tokens; None: nobody can say, or the provider has said it
    delivered: int | None


def priced(spent: Spent, consumed: Consumption | None, cost: CostOf) -> Priced:
    """What was used, by the prices of `Spent.model`.

    :param consumed: its usage, by classes; None: it has none
    """
    delivered = None
    if not spent.told and spent.delivered is not None:
        made = min(spent.delivered_output, spent.delivered)
        delivered = micro_dollars(cost(Consumption(input=spent.delivered - made, output=made)))
    return Priced(0 if consumed is None else micro_dollars(cost(consumed)), delivered)


def due_usd(reserved: int, spent: Spent, found: Priced) -> int:
    """What a call is charged in millionths of a dollar; its budget is a learned one.

    :param reserved: what was set aside for it, or would have been, in the same
    """
    if spent.told:
        return found.so_far
    return charge(
        "learned",
        reserved,
        reported=None,
        sent=spent.sent,
        status=spent.status,
        so_far=found.so_far,
        delivered=reserved if found.delivered is None else found.delivered,
    )
