"""What is counted, as plain ints: one object per port, one per port and model.

The byte path adds to attributes; `exposition` reads them when somebody asks.  ``prometheus_client``'s own counters cost
a lock and a label look-up each time.  Labels come from us (ports, providers, outcomes, reasons) or are bounded: a model
name gets its own label only once an answer with a 2xx status had it, and only `MODELS_MAX` of them per port; all others
share `OTHER`.  A client can name a million models; it cannot make one of them a label.

Counters only grow.  Only the reactor thread adds; another thread may read, and sees each number whole.  All of it is
structs, so that a worker can send what it counted as it stands, and `totals` can add up the workers'.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import partial
from typing import Final, Protocol

import msgspec

from awfproxy.core.outcomes import Outcome
from awfproxy.core.records import Source

#: models with a label of their own, per port: a provider has a few dozen, and each costs about forty series
MODELS_MAX: Final = 100
OTHER: Final = "other"
#: no model was named, by the request or by the answer
UNNAMED: Final = "unknown"
#: characters of a model's label
MODEL_LABEL_MAX: Final = 128
#: reasons with a label of their own; they are words of ours, so this bound only guards against a mistake
REASONS_MAX: Final = 64

#: seconds: from a refusal of our own to a long reasoning answer
DURATION_BOUNDS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 600.0)
#: seconds until the first byte of an answer
FIRST_BYTE_BOUNDS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0)
#: seconds that the proxy itself took of a call
OVERHEAD_BOUNDS: Final = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)

#: statuses that tell operators different things; others share the label of their class ("4xx")
CODES: Final = frozenset({200, 400, 401, 403, 404, 408, 409, 413, 422, 426, 429, 500, 502, 503, 504, 529})


class UsageCounts(Protocol):
    """What is read of a `core.usage.Usage`; None: not said, adds nothing."""

    @property
    def input_tokens(self) -> int | None: ...
    @property
    def output_tokens(self) -> int | None: ...
    @property
    def cache_read_tokens(self) -> int | None: ...
    @property
    def cache_write_tokens(self) -> int | None: ...
    @property
    def reasoning_tokens(self) -> int | None: ...


class Histogram(msgspec.Struct, array_like=True):
    """Counts between bounds (`counts` has one more for what is above the last), and the sum."""

    bounds: tuple[float, ...]
    counts: list[int] = []
    sum: float = 0.0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """Count one value; a bound counts what equals it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class ModelTallies(msgspec.Struct, array_like=True):
    """The calls of one model on one port."""

    #: by outcome and status; at most nine times the few hundred statuses that there are
    requests: dict[tuple[str, int | None], int] = {}
    #: by source and reason
    usage_records: dict[tuple[str, str], int] = {}
    duration: Histogram = msgspec.field(default_factory=partial(Histogram, DURATION_BOUNDS))
    first_byte: Histogram = msgspec.field(default_factory=partial(Histogram, FIRST_BYTE_BOUNDS))
    request_bytes: int = 0
    response_bytes: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


class BudgetFigures(msgspec.Struct, array_like=True, frozen=True):
    """How a cap stands: tokens or millionths of a dollar, and the window's start and end in seconds since the epoch."""

    limit: int
    #: these three: None: not known, because the ledger has not told of the window yet
    used: int | None
    reserved: int | None
    remaining: int | None
    #: None: there is none
    soft_cap: int | None
    window_start: int
    window_end: int


class PortTallies(msgspec.Struct, array_like=True):
    """The calls of one port, and its connections to the upstream."""

    name: str
    provider: str
    models: dict[str, ModelTallies] = {}
    in_flight: int = 0
    overhead: Histogram = msgspec.field(default_factory=partial(Histogram, OVERHEAD_BOUNDS))
    #: clients that closed before the end of their answer
    client_aborts: int = 0
    #: clients' connections without a call that were closed to make room for others
    closed_for_others: int = 0
    #: requests sent a second time because a kept connection was found closed
    retries: int = 0
    #: ends of answers that went to the client though the journal had not written the record in time
    released_unrecorded: int = 0
    scan_errors: dict[str, int] = {}
    #: connections to the upstream, as of the last sweep: with a call (or being made for one), and kept
    connections_busy: int = 0
    connections_idle: int = 0
    #: calls refused by a rate limit, by whose it is ("port" or "user") and its setting's name
    rate_limited: dict[tuple[str, str], int] = {}
    #: decisions where a budget was asked, by the kind of the one that refused ("" where none did) and the reason
    budget_decisions: dict[tuple[str, str], int] = {}
    #: caps in tokens as of the last sweep, by kind and name of their scope; and those in dollars
    budgets: dict[tuple[str, str], BudgetFigures] = {}
    budgets_usd: dict[tuple[str, str], BudgetFigures] = {}

    def started(self) -> None:
        """A request arrived."""
        self.in_flight += 1

    def ended(
        self,
        model: str | None,
        outcome: Outcome,
        status: int | None,
        duration: float,
        ttfb: float | None,
        overhead: float | None,
        request_bytes: int,
        response_bytes: int,
        usage: UsageCounts | None,
        source: Source,
        reason: str | None,
    ) -> None:
        """It ended: exactly once for each `started`.

        Times in seconds, None where there was none; ``usage`` as the provider reported it, never an estimate.
        """
        self.in_flight -= 1
        tallies = self.models.get(model or UNNAMED)
        if tallies is None:
            tallies = self._model(model or UNNAMED, status is not None and 200 <= status < 300)
        ending = (outcome, status)
        tallies.requests[ending] = tallies.requests.get(ending, 0) + 1
        _count(tallies.usage_records, (source, reason or ""))
        tallies.request_bytes += request_bytes
        tallies.response_bytes += response_bytes
        tallies.duration.add(duration)
        if ttfb is not None:
            tallies.first_byte.add(ttfb)
        if overhead is not None:
            self.overhead.add(overhead)
        if usage is not None:
            tallies.input_tokens += usage.input_tokens or 0
            tallies.output_tokens += usage.output_tokens or 0
            tallies.cache_read_tokens += usage.cache_read_tokens or 0
            tallies.cache_write_tokens += usage.cache_write_tokens or 0
            tallies.reasoning_tokens += usage.reasoning_tokens or 0

    def _model(self, name: str, answered: bool) -> ModelTallies:
        """A model that is not known yet; ``answered``: an upstream took the name, so that it may become a label."""
        label = name[:MODEL_LABEL_MAX] if name == UNNAMED or (answered and len(self.models) < MODELS_MAX) else OTHER
        return self.models.setdefault(label, ModelTallies())

    def rate_limited_by(self, scope: str, name: str) -> None:
        """A limit had no room for a call."""
        self.rate_limited[scope, name] = self.rate_limited.get((scope, name), 0) + 1

    def budget_decision(self, scope: str, reason: str) -> None:
        """Budgets were asked about a call."""
        counts, key = self.budget_decisions, (scope, reason)
        counts[key] = counts.get(key, 0) + 1

    def scan_error(self, reason: str, count: int = 1) -> None:
        """The usage scanner rejected something."""
        if reason not in self.scan_errors and len(self.scan_errors) >= REASONS_MAX:
            reason = OTHER
        self.scan_errors[reason] = self.scan_errors.get(reason, 0) + count


class Tallies:
    """All ports'."""

    __slots__ = ("ports",)

    def __init__(self) -> None:
        self.ports: dict[str, PortTallies] = {}

    def port(self, name: str, provider: str) -> PortTallies:
        """The counters of a port: looked up once, when the port is made.

        One that has another provider than before has counters of its own beside those that it had.
        """
        first = self.ports.setdefault(name, PortTallies(name, provider))
        if first.provider == provider:
            return first
        return self.ports.setdefault(f"{name} {provider}", PortTallies(name, provider))  # no name has a space in it


def code_of(status: int | None) -> str:
    """The label of a status: itself, its class, or "none"."""
    if status is None:
        return "none"
    return str(status) if status in CODES else f"{status // 100}xx"


def _count(counts: dict[tuple[str, str], int], key: tuple[str, str]) -> None:
    """Add one to ``counts[key]``; a reason beyond `REASONS_MAX` counts as `OTHER`."""
    count = counts.get(key)
    if count is None and len(counts) >= REASONS_MAX:
        key = (key[0], OTHER)
        count = counts.get(key)
    counts[key] = (count or 0) + 1
