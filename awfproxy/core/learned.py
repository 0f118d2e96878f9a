"""What a call will likely use: learned from what calls of its port and model used, and what a learned budget reserves.

Written for tokens.  Dollars are learned in the same way, in millionths: what input costs, and what output costs.
Caches make the first far less than its tokens at their price, and that is what is learned; before anything is known the
prior is the learned estimate of tokens at the price of the model.

The input goes with the size of the request, and the output does not; so two quantiles are kept: of input tokens for a
million bytes, and of output tokens.  The estimate is the sum of both 95 % quantiles, the output's no more than the
request allows.  Two numbers that are each kept by 95 of 100 calls are together kept by more where one is large when the
other is small, and by no fewer than 90.  Before anything is known the estimate is `PRIOR_INPUT` and `PRIOR_OUTPUT`;
that prior is one number among those seen, and outweighed after some 20 calls.

Overshoot.  A call is let in only if used + reserved + its estimate fit under the cap, and what calls used beyond their
reservations counts from the moment they end.  So what is used beyond the cap is at most the sum, over the calls that
were in flight when the cap was reached, of what each used beyond its reservation.  Measured with heavy-tailed calls
(tests/core/test_learned.py): 4 of 100 calls use more than was reserved; caps of some 400 calls were overrun by 2.1 % at
most with 10 clients at once, by 4.6 % with 50 to 200; a cap of some 4,000 calls by 0.9 % with 50.

Memory: two `Quantile` (some 5 KB each) for each of at most `MODELS_MAX` models, the first of which calls were learned
from.  Further ones share one in tokens.  Dollars have none to share, as one model may cost a hundred times another:
they stay with the prior, at the model's own price.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from awfproxy.core.quantile import Quantile

#: models (names that clients choose) with an estimator of their own in one port
MODELS_MAX: Final = 64
#: bytes for which the input's quantile is kept
MILLION: Final = 1_000_000
#: input tokens a million bytes of request, where nothing is known yet: 3.5 bytes a token, the least that whole requests
#: of recorded agents have (`core.estimate` has the means)
PRIOR_INPUT: Final = MILLION * 10 // 35
#: output tokens, where nothing is known yet: 95 of 100 recorded answers are shorter
PRIOR_OUTPUT: Final = 4_096
#: requests count as at least so many bytes: their tokens do not shrink with them
LEAST_BYTES: Final = 256


def amount(given: int, made: int, size: int, limit: int | None) -> int:
    """What a call is likely to use, where ``given`` is what `MILLION` bytes of prompt use, and ``made`` an answer.

    :param limit: the most that its answer may use; None: not said
    """
    if limit is not None and limit < made:
        made = limit
    if size < LEAST_BYTES:
        size = LEAST_BYTES
    return -(-size * given // MILLION) + made


class Estimator:
    """The calls of one port and model.

    :param prior_input: what `MILLION` bytes are supposed to use, and ``prior_output`` an answer, before calls say so
    """

    __slots__ = ("_input", "_output", "rates")

    def __init__(self, prior_input: int = PRIOR_INPUT, prior_output: int = PRIOR_OUTPUT) -> None:
        self._input = Quantile()
        self._output = Quantile()
        self._input.add(prior_input)
        self._output.add(prior_output)
        #: what it reckons with: input for `MILLION` bytes, and output
        self.rates = (self._input.value, self._output.value)

    def estimate(self, size: int, limit: int | None = None) -> int:
        """Tokens to reserve for a call.

        :param size: bytes of its prompt (`estimate.prompt_bytes`), or of its body where that is not known
        :param limit: the most it may generate, over all answers; None: not said
        """
        return amount(*self.rates, size, limit)

    def learn(self, size: int, input_tokens: int, output_tokens: int) -> None:
        """What a call with a request of ``size`` bytes used, as it counts for the budget."""
        self._input.add(input_tokens * MILLION // (size if size > LEAST_BYTES else LEAST_BYTES))
        self._output.add(output_tokens)
        self.rates = (self._input.value, self._output.value)


class Estimators:
    """The estimators of one port: made by what calls used, never by names that are only asked for."""

    __slots__ = ("_by_model", "_others")

    def __init__(self) -> None:
        self._by_model: dict[str, Estimator] = {}
        #: of all further models
        self._others: Estimator | None = None

    def own(self, model: str | None) -> Estimator | None:
        """The one that a model has for itself; None: it has none, or not yet."""
        return self._by_model.get(model or "")

    def of(self, model: str | None) -> Estimator:
        """What is reckoned with for a model that a request asks for; for estimates only."""
        found = self._by_model.get(model or "")
        return found if found is not None else ((self._others if self._full else None) or _UNKNOWN)

    def add(self, model: str | None, prior: Callable[[], tuple[int, int]]) -> Estimator | None:
        """The one that learns for a model alone, made where there is place; None: there is none.

        :param prior: asked for the priors of one that is new
        """
        found = self.own(model)
        if found is None and not self._full:
            found = self._by_model[model or ""] = Estimator(*prior())
        return found

    def learning(self, model: str | None) -> Estimator:
        """The one that learns of a model's calls: its own, or that of all further models."""
        found = self._by_model.get(model or "")
        if found is None:
            found = self.add(model, lambda: (PRIOR_INPUT, PRIOR_OUTPUT))
        if found is None:
            found = self._others = self._others or Estimator()
        return found

    @property
    def _full(self) -> bool:
        return len(self._by_model) >= MODELS_MAX


#: what nothing is known of; it never learns
_UNKNOWN: Final = Estimator()
