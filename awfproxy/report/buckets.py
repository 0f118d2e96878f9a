"""Calls that have all in common but their figures, added up.

Rules: a bucket adds counts and multiplies nothing.  What its calls cost is worked out when its rates change, or in the
end, from the sums since the last time (`settle`); calls that are not priced by rates alone (`costs`) are taken out of
those sums (`apart`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from awfproxy.report.rows import Counted, known_input, whole

if TYPE_CHECKING:
    from awfproxy.report.costs import Cost, Rates

#: figures that are added up
FIGURES: Final = (
    "calls",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "hour_tokens",
)


class Facts(NamedTuple):
    """What the calls of one bucket have in common."""

    group: tuple[str | None, ...]
    provider: str | None
    model: str | None
    #: of `sums.SOURCES`, or another word
    source: str
    includes_cache: bool
    #: counts that they did not report; the figures for them mean nothing
    unknown: tuple[str, ...]


class Bucket:
    """Figures of calls that have all else in common."""

    __slots__ = (
        "_settled",
        "begin",
        "cost",
        "end",
        "facts",
        "least",
        "longest",
        "rates",
        "reasoning_calls",
        "unpriced",
        *FIGURES,
    )

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.calls = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.cache_read_tokens = 0
        self.cache_write_tokens = 0
        self.reasoning_tokens = 0
        #: of what was written to the cache, what is kept for an hour
        self.hour_tokens = 0
        #: calls that said how much was reasoning
        self.reasoning_calls = 0
        #: the hour of the call before, or its ten minutes where prices change within the hour: what begins as its time
        #: does is from `begin` on, and before `end`
        self.begin = ""
        self.end = ""
        #: what calls of that time are priced by; None: they have no price
        self.rates: Rates | None = None
        #: the longest prompt that `rates` hold for
        self.longest = -1
        #: pico-dollars of the calls that have a price
        self.cost = 0
        #: calls that have none
        self.unpriced = 0
        #: calls of which the cost is a least one, by their price and not for want of counts
        self.least = 0
        self._settled = (0,) * len(FIGURES)

    def settle(self) -> None:
        """Works out what the calls since the last time cost."""
        now = (
            self.calls,
            self.input_tokens,
            self.output_tokens,
            self.cache_read_tokens,
            self.cache_write_tokens,
            self.reasoning_tokens,
            self.hour_tokens,
        )
        calls, fresh, output, read, written, thought, hour = (a - b for a, b in zip(now, self._settled, strict=True))
        self._settled = now
        if self.rates is None:
            self.unpriced += calls
            return
        unknown = self.facts.unknown
        output = 0 if "output_tokens" in unknown else output
        read = 0 if "cache_read_tokens" in unknown else read
        written = 0 if "cache_write_tokens" in unknown else written
        if "input_tokens" in unknown:
            fresh = 0
        elif self.facts.includes_cache:
            fresh -= read + written
        self.cost += self.rates.of(calls, fresh, read, written - hour, hour, output - thought, thought)

    def apart(self, row: Counted, cost: Cost) -> None:
        """A call that was added, and that is not priced by the rates: takes it out of what they are for."""
        self.cost += cost.pico
        self.least += cost.least
        counts = (
            1,
            row.input_tokens,
            row.output_tokens,
            row.cache_read_tokens,
            row.cache_write_tokens,
            row.reasoning_tokens,
            0,
        )
        self._settled = tuple(before + (count or 0) for before, count in zip(self._settled, counts, strict=True))

    @property
    def known_tokens(self) -> int:
        """What is known of everything read and written; where `whole` is not set, at least so many."""
        return self._known_input + (0 if "output_tokens" in self.facts.unknown else self.output_tokens)

    @property
    def whole(self) -> bool:
        """Whether its calls reported all of what was read and what was written."""
        facts = self.facts
        return whole(facts.provider, facts.source, facts.unknown, includes_cache=facts.includes_cache)

    @property
    def all_input_tokens(self) -> int | None:
        """Everything read, cached or not, of all calls together; None: not known."""
        return None if "input_tokens" in self.facts.unknown else self._known_input

    @property
    def _known_input(self) -> int:
        unknown = self.facts.unknown
        return known_input(
            None if "input_tokens" in unknown else self.input_tokens,
            None if "cache_read_tokens" in unknown else self.cache_read_tokens,
            None if "cache_write_tokens" in unknown else self.cache_write_tokens,
            includes_cache=self.facts.includes_cache,
        )
