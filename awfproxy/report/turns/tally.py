"""Sums over calls, honest about what nobody reported."""

from __future__ import annotations

from collections import Counter
from typing import Any

from awfproxy.report.rows import COUNTS, known_input
from awfproxy.report.turns.calls import Call


class Tally:
    """Of any number of calls: their counts, and of how many each is not known."""

    def __init__(self) -> None:
        self.calls = 0
        self.sums = [0] * len(COUNTS)
        self.unknown = [0] * len(COUNTS)
        #: everything read and written, cached or not: comparable between providers
        self.all_tokens = 0
        self.all_unknown = 0
        self.sources: Counter[str] = Counter()

    def add(self, call: Call) -> None:
        self.calls += 1
        self.sources[call.source] += 1
        for place, count in enumerate(call.counts):
            if count is None:
                self.unknown[place] += 1
            else:
                self.sums[place] += count
        usage = call.usage
        read = known_input(usage.prompt, usage.cache_read, usage.cache_write, includes_cache=True)
        self.all_tokens += read + (usage.output or 0)
        self.all_unknown += not call.whole

    def include(self, other: Tally) -> None:
        """Adds all calls of another one."""
        self.calls += other.calls
        self.sources.update(other.sources)
        self.sums = [one + more for one, more in zip(self.sums, other.sums, strict=True)]
        self.unknown = [one + more for one, more in zip(self.unknown, other.unknown, strict=True)]
        self.all_tokens += other.all_tokens
        self.all_unknown += other.all_unknown

    def facts(self) -> dict[str, Any]:
        """Counts by name; one that no call reported is left out, and `unknown` says how many did not report it."""
        found: dict[str, Any] = {"calls": self.calls}
        unknown = {}
        for name, total, missing in zip(COUNTS, self.sums, self.unknown, strict=True):
            if missing < self.calls:
                found[name] = total
            if missing:
                unknown[name] = missing
        if self.all_unknown < self.calls or self.all_tokens:
            found["all_tokens"] = self.all_tokens
        if self.all_unknown:
            unknown["all_tokens"] = self.all_unknown
        if unknown:
            found["unknown"] = unknown
        return found
