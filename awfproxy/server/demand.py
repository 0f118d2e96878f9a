"""What a call asks for, and how many tokens that may be, or how much money.

Tokens go with the bytes of a prompt; of a file (audio, a form), of a batch, and of what an unknown API is sent, they do
not, and their size is not asked.
"""

from __future__ import annotations

import msgspec

from awfproxy.core.bounds import Bound, upper_bound
from awfproxy.core.budgets import Count
from awfproxy.core.counts import Usage
from awfproxy.core.kinds import Kind
from awfproxy.core.learned import MILLION, Estimators, amount
from awfproxy.prices.charges import Rate


class Demand(msgspec.Struct):
    """What a call asks for."""

    #: the client's; None: the port has no clients
    user: str | None
    feature: str
    #: None: an unknown API
    kind: Kind | None
    model: str | None
    #: decoded; None: it cannot be decoded
    body: bytes | None
    #: bytes of the body as it came
    size: int
    #: bytes that are prompt (`estimate.prompt_bytes`); None: they say nothing of its tokens
    prompt: int | None = None
    #: the most tokens it may generate, over all answers; None: not said
    limit: int | None = None
    #: nobody knows which server it is that will answer (`Port.any_server`)
    any_server: bool = False

    def may_spend(self) -> bool:
        """A model may work on it."""
        kind = self.kind
        return kind is None or kind.model_call is not False

    def learned_size(self) -> int:
        """Bytes that its tokens go with."""
        kind = self.kind
        return 0 if kind is None or kind.deferred else self.prompt or 0

    def bound(self) -> Bound:
        """The most that it can use."""
        if self.body is None:
            return Bound(None, "a body that cannot be decoded")
        return upper_bound(self.kind, self.body, self.model, any_server=self.any_server)


class Estimates:
    """What calls of one port are likely to use, learned from those that have ended."""

    def __init__(self) -> None:
        self._estimators: dict[Count, Estimators] = {"reported": Estimators(), "all": Estimators()}
        #: in millionths of a dollar
        self._usd = Estimators()

    def usd(self, demand: Demand, rate: Rate) -> int:
        """Millionths of a dollar that a call is likely to cost."""
        limit = demand.limit
        most = None if limit is None else -(-limit * rate.output_per_million // MILLION)
        own = self._usd.own(demand.model)
        given, made = self._prior(demand, rate) if own is None else own.rates
        return amount(given, made, demand.learned_size(), most)

    def learn_usd(self, demand: Demand, rate: Rate, input_usd: int, output_usd: int) -> None:
        """What a call cost, in the same."""
        estimator = self._usd.own(demand.model) or self._usd.add(demand.model, lambda: self._prior(demand, rate))
        if estimator is not None:
            estimator.learn(demand.learned_size(), input_usd, output_usd)

    def _prior(self, demand: Demand, rate: Rate) -> tuple[int, int]:
        """Its tokens at their price."""
        given, made = self._estimators["reported"].of(demand.model).rates
        return given * rate.input_per_million // MILLION, made * rate.output_per_million // MILLION

    def of(self, demand: Demand, count: Count) -> int:
        """Tokens of a call, as they count."""
        given, made = self._estimators[count].of(demand.model).rates
        return amount(given, made, demand.learned_size(), demand.limit)

    def learn(self, demand: Demand, usage: Usage, counts_reported: bool, counts_all: bool) -> None:
        """What a call used, as far as it is asked for."""
        given, made = usage.input_tokens or 0, usage.output_tokens or 0
        if counts_reported:
            self._estimators["reported"].learning(demand.model).learn(demand.learned_size(), given, made)
        if counts_all:
            if not usage.input_tokens_include_cache:
                given += (usage.cache_read_tokens or 0) + (usage.cache_write_tokens or 0)
            self._estimators["all"].learning(demand.model).learn(demand.learned_size(), given, made)
