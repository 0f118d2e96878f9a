"""The summary of everything that came: requests and how they ended, latency, bytes, refusals, and the tokens.

Rules: requests are told from requests.jsonl, tokens from token-usage.jsonl, each record once; where only one of the two
is there, only that is told.  Memory does not grow with the number of records, but for their ids.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import IO, Annotated, Final, Literal

import msgspec
from msgspec import Meta

from awfproxy.core.outcomes import BAD_REQUEST, COMPLETE, REFUSED
from awfproxy.report.costs import Costs
from awfproxy.report.escaping import short
from awfproxy.report.filters import Filters
from awfproxy.report.lines import Lines, find_files, size_of
from awfproxy.report.percentiles import Percentiles
from awfproxy.report.reading import REQUESTS, USAGE, USAGE_BUT, Remarks, expected
from awfproxy.report.rows import MALFORMED, MISTYPED, OTHER, Reason
from awfproxy.report.seen import Seen
from awfproxy.report.sums import OTHERS
from awfproxy.report.token_usage import TokenUsage

#: names that are counted apart in one table; all further ones are counted together
NAMES_MAX: Final = 1_000
#: what is told as percentiles: members of a record
DURATIONS: Final = ("duration_ms", "ttfb_ms", "queue_ms", "connect_ms")
#: the outcome of a call that came to the end that its client wanted
WELL: Final = COMPLETE
#: outcomes of requests that went nowhere
TURNED_AWAY: Final = (REFUSED, BAD_REQUEST)

_Milliseconds = Annotated[float, Meta(ge=0, le=1e15)]
_Bytes = Annotated[int, Meta(ge=0, le=10**15)]


class Request(msgspec.Struct, gc=False):
    """A line of requests.jsonl, as far as the summary needs it."""

    event: Literal["request"]
    timestamp: str | None = None
    request_id: str | None = None
    provider: str | None = None
    port: str | None = None
    outcome: str | None = None
    usage_source: str | None = None
    duration_ms: _Milliseconds | None = None
    usage_reason: str | None = None
    status: int | None = None
    model: str | None = None
    refusal: str | None = None
    refusal_code: str | None = None
    reason: str | None = None
    request_bytes: _Bytes = 0
    response_bytes: _Bytes = 0
    admitted_at: str | None = None
    ttfb_ms: _Milliseconds | None = None
    queue_ms: _Milliseconds | None = None
    connect_ms: _Milliseconds | None = None
    user: str | None = None
    feature: str | None = None
    run: str | None = None

    @property
    def when(self) -> str | None:
        """The time that it belongs to."""
        return self.admitted_at or self.timestamp


class Tally:
    """How often each name came."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def add(self, name: str) -> None:
        """Once more."""
        name = short(name)
        if name not in self._counts and len(self._counts) >= NAMES_MAX:
            name = OTHERS
        self._counts[name] = self._counts.get(name, 0) + 1

    def largest(self) -> list[tuple[str, int]]:
        """Names and counts, the most frequent first."""
        return sorted(self._counts.items(), key=lambda each: (-each[1], each[0]))


class Port:
    """The requests of one port."""

    def __init__(self) -> None:
        self.requests = 0
        self.complete = 0
        #: by that outcome; what was no request is apart, as it is among the outcomes
        self.refused = 0
        self.bad_requests = 0
        self.request_bytes = 0
        self.response_bytes = 0
        self.duration = Percentiles()

    def add(self, request: Request) -> None:
        """One more."""
        self.requests += 1
        self.complete += request.outcome == WELL
        self.refused += request.outcome == REFUSED
        self.bad_requests += request.outcome == BAD_REQUEST
        self.request_bytes += request.request_bytes
        self.response_bytes += request.response_bytes
        if request.duration_ms is not None and request.outcome not in TURNED_AWAY:
            self.duration.add(request.duration_ms)


class Summary:
    """What came, and what was left out."""

    def __init__(self, costs: Costs | None = None, filters: Filters | None = None) -> None:
        self.filters = filters or Filters()
        self.usage = TokenUsage(("port",), costs, self.filters)
        self.remarks: Remarks = self.usage.remarks
        self.whole = Port()
        self.ports: dict[str | None, Port] = {}
        self.outcomes = Tally()
        self.statuses = Tally()
        #: why requests were turned away
        self.refusals = Tally()
        #: what ended calls that were neither complete nor turned away
        self.reasons = Tally()
        #: where the figures of requests are from, and why they are not the provider's
        self.sources = Tally()
        self.usage_reasons = Tally()
        #: by member; without requests that were turned away
        self.durations = {name: Percentiles() for name in DURATIONS}

    @property
    def found(self) -> bool:
        """Whether there is anything to tell."""
        return self.whole.requests > 0 or self.usage.found

    def read(self, files: Sequence[str], stdin: IO[bytes] | None, progress: Callable[[int], None] | None) -> None:
        """All records of the files, "-" among them, in one pass."""
        lines = Lines(files, stdin, progress)
        many = expected(size_of(files), files)
        # A request and its usage have the same id, so each kind has ids of its own.
        request = self._taker(Seen(many // 2))
        usage = self.usage.taker(Seen(many // 2))
        first, second = usage, request
        for line in lines:
            reason = first(line)
            if reason == OTHER:
                # Files are mostly of one kind.
                first, second = second, first
                reason = first(line)
            if reason is not None and not line.isspace():
                self.remarks.count(reason)
        self.remarks.too_long += lines.too_long
        self.remarks.troubles += lines.troubles
        self.usage.grouped.settle()

    def _taker(self, seen: Seen) -> Callable[[bytes], Reason | None]:
        wanted = self.filters.wants if self.filters else None

        def take(line: bytes) -> Reason | None:
            request = read_request(line)
            if isinstance(request, str):
                return request
            if wanted is not None and not wanted(request):
                return None
            if request.request_id is not None and not seen.add(request.request_id):
                self.remarks.duplicates += 1
                return None
            self.add(request)
            return None

        return take

    def add(self, request: Request) -> None:
        """One more request."""
        self.whole.add(request)
        name = None if request.port is None else short(request.port)
        if name not in self.ports and len(self.ports) >= NAMES_MAX:
            name = OTHERS
        self.ports.setdefault(name, Port()).add(request)
        outcome = request.outcome or "?"
        self.outcomes.add(outcome)
        self.statuses.add("none" if request.status is None else str(request.status))
        self.sources.add(request.usage_source or "?")
        if request.usage_reason is not None:
            self.usage_reasons.add(request.usage_reason)
        if request.refusal is not None or request.refusal_code is not None:
            self.refusals.add(request.refusal_code or request.refusal or "?")
        if request.reason is not None:
            self.reasons.add(request.reason)
        if outcome in TURNED_AWAY:
            return
        for member, durations in self.durations.items():
            value = getattr(request, member)
            if value is not None:
                durations.add(value)


def files_of(paths: Sequence[str]) -> list[str]:
    """The files in which records are: of a folder requests*.jsonl* and token-usage*.jsonl*, and those in the folders
    within."""
    found = [*find_files(paths, REQUESTS, "\0"), *find_files(paths, USAGE, USAGE_BUT)]
    return list(dict.fromkeys(found))


def summary(
    paths: Sequence[str],
    stdin: IO[bytes] | None = None,
    costs: Costs | None = None,
    filters: Filters | None = None,
    progress: Callable[[int], None] | None = None,
) -> Summary:
    """Reads files, folders and "-" in one pass; the parameters are those of `token_usage.token_usage`."""
    report = Summary(costs, filters)
    report.read(files_of(paths), stdin, progress)
    return report


def read_request(line: bytes) -> Request | Reason:
    """A line of requests.jsonl, or why it is none."""
    try:
        return _decode(line)
    except msgspec.ValidationError:
        return _kind(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return MALFORMED


def _kind(line: bytes) -> Reason:
    """Why a line of JSON is no request."""
    try:
        event = _decode_event(line).event
    except msgspec.ValidationError:
        return MISTYPED
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return MALFORMED  # beyond what was mistyped
    return MISTYPED if event == "request" else OTHER


class _Event(msgspec.Struct):
    event: str | None = None


_decode: Final = msgspec.json.Decoder(Request).decode
_decode_event: Final = msgspec.json.Decoder(_Event).decode
