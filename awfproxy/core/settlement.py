"""What a call is charged when it is over, in each of its budgets: the rule of `budgets.charge`, on what is known.

* The usage that the provider reported in the end is charged, whatever was reserved.
* A call that was never handed to the upstream, or was answered with an error and no usage, is charged nothing.
* Of a call that was handed over and has no final usage nobody knows what it used: a strict budget charges the whole
  reservation, a learned one the greater of what had been reported and the estimate of what was delivered; where nothing
  can be estimated (pictures, speech, an answer that could not be decoded), the reservation.
* A kind of call that uses tokens only where its answer says so is charged what it says, once its answer is whole.

Work in the background has no usage when it is begun, so a learned budget charges nothing then, and a strict one what
was reserved, its `unbounded`.  The answer that first shows it finished brings the usage: it is charged then, in the
window of that answer (`late`); a strict budget charges what goes beyond its `unbounded`.
"""

from __future__ import annotations

import msgspec

from awfproxy.core.budgets import Budget, Count, charge, counted
from awfproxy.core.counts import Usage


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
    #: without usage it used none
    only_reported: bool = False
    #: the answer is the first to show work in the background finished, and the usage is that work's
    late: bool = False

    def tokens(self, count: Count) -> int:
        """What was reported, final or not."""
        usage = self.usage
        if usage is None:
            return 0
        return counted(
            usage.input_tokens or 0,
            usage.output_tokens or 0,
            usage.cache_read_tokens or 0,
            usage.cache_write_tokens or 0,
            input_includes_cache=usage.input_tokens_include_cache,
            count=count,
        )


#: a call that never went on
NOTHING = Spent()


def due(budget: Budget, reserved: int, spent: Spent) -> int:
    """Tokens that a call is charged.

    :param reserved: what was set aside for it, or would have been
    """
    so_far = spent.tokens(budget.count)
    if spent.final or spent.only_reported:
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


def late(budget: Budget, spent: Spent) -> int:
    """Tokens that are charged with the answer that first shows work in the background finished."""
    tokens = spent.tokens(budget.count)
    if budget.mode == "strict" and budget.unbounded != "refuse":
        return max(0, tokens - budget.unbounded)
    return tokens
