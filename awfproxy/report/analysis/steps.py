"""One recorded call, as far as findings need it.

Rules: what a line has wrong in its hints costs only the hints; the figures count as in every other report.  A count
that nobody reported is None.  What a call cost is what `report.costs` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from awfproxy.report.analysis.amounts import Claim, Place
from awfproxy.report.costs import Cost, PlainRow
from awfproxy.report.escaping import short
from awfproxy.report.filters import Filters
from awfproxy.report.reading import Remarks
from awfproxy.report.rows import COUNTLESS, OUTPUT, Count, Counted, Reason, Row, decoded, know_output
from awfproxy.report.seen import Seen
from awfproxy.report.times import CANONICAL, comparable, moment

if TYPE_CHECKING:
    from awfproxy.report.analysis.groups import Group
    from awfproxy.report.costs import Costs, Rates

#: outcomes of calls whose client had the provider's whole answer; AWF's records say nothing
WHOLE: Final = frozenset({None, "complete"})
#: sources of figures that are the provider's final ones
EXACT: Final = frozenset({None, "reported"})
#: statuses from which on an answer is an error
ERRORS: Final = 400


_NO_NAMES: Final = msgspec.Raw(b"[]")
#: what is left out of a line that cannot be read with it
_SPARE: Final = ("hints", "path", "status", "duration_ms")


class Hints(msgspec.Struct, gc=False):
    """Those members of `core.hint_fields.Hints` that findings go by."""

    session: str | None = None
    subagent: str | None = None
    messages: Count | None = None
    conversation_hash: str | None = None
    system_hash: str | None = None
    tools_hash: str | None = None
    tools_bytes: Count | None = None
    tools: Count | None = None
    #: as it stands in the line: a list of names that is the same in call after call, and long
    tools_offered: msgspec.Raw = _NO_NAMES
    tools_called: tuple[str, ...] | None = None
    tool_call_hashes: tuple[str, ...] | None = None
    tool_result_hashes: tuple[str, ...] | None = None
    previous_response_id_hash: str | None = None
    response_id_hash: str | None = None


class PlainLine(PlainRow):
    """A record whose price is its counts times its model's rates."""

    path: str | None = None
    status: int | None = None
    duration_ms: float | None = None
    hints: Hints | None = None


class Line(Row):
    """Any other record."""

    path: str | None = None
    status: int | None = None
    duration_ms: float | None = None
    hints: Hints | None = None


class Step:
    """A call, on its way through the rules."""

    __slots__ = (
        "cost", "end", "exact", "fresh", "hints", "key", "known", "least", "model", "most", "output", "place",
        "priced", "prompt", "rates", "read", "reasoning", "row", "several", "tokens", "whole", "written",
    )  # fmt: skip

    def __init__(self, row: PlainLine | Line, rates: Rates | None, cost: Cost) -> None:
        """
        :param rates: None: the model has no price, or nobody asked
        """
        self.row = row
        self.hints = row.hints
        self.rates = rates
        self.cost, self.least = cost
        #: whether all that it read and wrote is known
        self.known = row.whole
        self.end = _end(row)
        #: for sorting
        self.key = (self.end, row.request_id or "")
        self.model = row.model if row.model is None or len(row.model) < CANONICAL else short(row.model)
        run = row.run if row.run is None or len(row.run) < CANONICAL else short(row.run)
        self.place: Place = (run, self.model, None)
        self.exact = row.usage_source in EXACT
        #: whether it came to its end, and not with an error
        self.whole = row.outcome in WHOLE and (row.status is None or row.status < ERRORS)
        self.priced = rates is not None
        self.read = row.cache_read_tokens
        self.written = row.cache_write_tokens
        self.output = row.output_tokens
        self.reasoning = row.reasoning_tokens
        #: everything read, cached or not; None: not known
        self.prompt = prompt = row.all_input_tokens
        #: of it what was neither read from the cache nor written to it
        self.fresh = 0 if prompt is None else max(prompt - (self.read or 0) - (self.written or 0), 0)
        #: everything read and written, as far as it is known
        self.tokens = row.known_tokens
        #: the largest of what findings claim at once, figure by figure
        self.most: Claim | None = None
        #: what groups of calls claim, until it is known whether the group is a finding
        self.several: list[tuple[Group, Claim]] | None = None

    def claim(self, tokens: int, pico: int, saved_tokens: int, saved_pico: int) -> Claim:
        """A claim, within what this call used and cost."""
        tokens, pico = min(max(tokens, 0), self.tokens), min(max(pico, 0), self.cost)
        return Claim(tokens, pico, min(max(saved_tokens, 0), tokens), min(max(saved_pico, 0), pico))

    def all_of_it(self) -> Claim:
        """The whole call, at stake and saved."""
        return Claim(self.tokens, self.cost, self.tokens, self.cost)

    def cheapest(self, tokens: int) -> int:
        """Pico-dollars of so many tokens of the prompt, as far as they can have been read from the cache; the others as
        input."""
        if self.rates is None:
            return 0
        read = min(tokens, self.read or 0)
        return read * self.rates.cache_read + (tokens - read) * self.rates.input

    def newest(self, tokens: int) -> int:
        """Pico-dollars of so many tokens at the end of the prompt: what was not in the cache."""
        if self.rates is None:
            return 0
        fresh = min(tokens, self.fresh)
        written = min(tokens - fresh, self.written or 0)
        rest = tokens - fresh - written
        return fresh * self.rates.input + written * self.rates.cache_write + rest * self.rates.cache_read

    def brought_by(self, before: Step) -> int:
        """Tokens that the call before brought to the cache, and this one read from there.  What the other is not known
        to have read from it counts as brought."""
        return max(min(self.read or 0, before.prompt or 0) - (before.read or 0), 0)

    def more_without(self, before: Step) -> int:
        """Pico-dollars that this call would have cost more without what `brought_by` tells."""
        if self.rates is None:
            return 0
        paid = self.rates.cache_write if before.written else self.rates.input
        return self.brought_by(before) * (paid - self.rates.cache_read)

    def seconds_after(self, other: Step) -> float | None:
        """From the other's end to this one's admission; None: one of them is not known."""
        begun = moment(self.row.when)
        if self.row.admitted_at is None and begun is not None and self.row.duration_ms is not None:
            begin = begun.timestamp() - self.row.duration_ms / 1000
        elif begun is not None:
            begin = begun.timestamp()
        else:
            return None
        ended = moment(other.end)
        return None if ended is None else begin - ended.timestamp()


class Reader:
    """Makes steps of lines.

    :param costs: the prices; None: nobody asked what it costs
    :param filters: which calls
    :param seen: the ids that have been met
    :param remarks: takes how many were met again
    """

    def __init__(self, costs: Costs | None, filters: Filters, seen: Seen, remarks: Remarks) -> None:
        self._costs = costs
        self._wanted = filters.wants if filters else None
        self._seen = seen
        self._remarks = remarks

    def step(self, line: bytes) -> Step | Reason | None:
        """The call of a line of token-usage.jsonl, or why it is none; None: it is not wanted, or was met before."""
        row: PlainLine | Line
        plain = True
        try:
            row = _decode_plain(line)
            if row.unknown is not None and OUTPUT in row.unknown:
                know_output(row, line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            plain = False
            found = decoded(line, _decode, _SPARE)
            if isinstance(found, str):
                return found
            row = found
        if row.input_tokens is None and row.output_tokens is None:
            return COUNTLESS
        if self._wanted is not None and not self._wanted(row):
            return None
        if row.request_id is not None and not self._seen.add(row.request_id, row.mark):
            self._remarks.duplicates += 1
            self._remarks.differing = self._seen.differing
            return None
        if row.unknown:
            row.forget_unknown()
        rates = None if self._costs is None else self._costs.rates(row)
        return Step(row, rates, Cost(0) if rates is None else self._cost(row, line, rates, plain))

    def _cost(self, row: PlainLine | Line, line: bytes, rates: Rates, plain: bool) -> Cost:
        if plain:
            fresh, read, written = row.input_tokens or 0, row.cache_read_tokens or 0, row.cache_write_tokens or 0
            output, thought = row.output_tokens or 0, row.reasoning_tokens or 0
            prompt = fresh
            if row.includes_cache:
                fresh -= read + written
            else:
                prompt += read + written
            usage = row.usage  # type: ignore[union-attr]
            kept = None if usage is None else usage.cache_creation
            hour = 0 if kept is None else kept.ephemeral_1h_input_tokens or 0
            told_apart = kept is not None and row.cache_write_tokens is None
            if fresh >= 0 and prompt <= rates.longest and thought <= output and hour <= written and not told_apart:
                return Cost(rates.of(1, fresh, read, written - hour, hour, output - thought, thought))
        assert self._costs is not None  # or there would be no rates
        return self._costs.exact(line, rates)


def kept_an_hour(step: Step) -> bool:
    """Whether what it wrote to the cache is kept for an hour (Anthropic)."""
    usage = getattr(step.row, "usage", None)
    kept = None if usage is None else usage.cache_creation
    return kept is not None and bool(kept.ephemeral_1h_input_tokens)


def ended(line: bytes) -> str | None:
    """When the call of a line ended, as the proxy writes times; None: it is no record of token usage."""
    row = decoded(line, _decode_counted)
    return None if isinstance(row, str) else _end(row)


def _end(row: Counted) -> str:
    """When it ended; what has no time is before all others."""
    return comparable(row.timestamp or row.admitted_at) or ""


_decode_counted: Final = msgspec.json.Decoder(Counted).decode
_decode_plain: Final = msgspec.json.Decoder(PlainLine).decode
_decode: Final = msgspec.json.Decoder(Line).decode
