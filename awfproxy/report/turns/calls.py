"""The recorded calls, as far as matching them with turns needs them.

Rules: lines of token-usage.jsonl, AWF's own as well as ours; each `request_id` once; a count that the record does not
say, or that its `unknown` names, is None.  A call's times are the proxy's: `end` when its record was made, `begin` when
its request had come.
"""

from __future__ import annotations

from collections.abc import Iterable
from sys import intern
from typing import TYPE_CHECKING, Final

import msgspec

from awfproxy.report.filters import Filters
from awfproxy.report.reading import Remarks
from awfproxy.report.rows import COUNTS, Count, Row, decoded, known_input, read_row
from awfproxy.report.seen import Seen
from awfproxy.report.turns.agent_events import Usage, seconds

if TYPE_CHECKING:
    from awfproxy.report.costs import Costs

#: pico-dollars in a dollar, in which `Costs` counts
PICO: Final = 10**12
#: calls that are held: a busy month of a team; each takes about 1 KB
CALLS_MAX: Final = 500_000


class _Hints(msgspec.Struct, gc=False):
    agent: str | None = None
    session: str | None = None
    subagent: str | None = None
    turn: str | None = None
    messages: Count | None = None
    conversation_hash: str | None = None
    tools_bytes: Count | None = None
    tools_called: list[str] | None = None
    tool_result_hashes: list[str] | None = None
    previous_response_id_hash: str | None = None
    response_id_hash: str | None = None


class _Line(Row):
    """A record, with what tells its turn."""

    duration_ms: float | None = None
    initiator: str | None = None
    x_initiator: str | None = None
    client_request_id: str | None = None
    upstream_request_id: str | None = None
    hints: _Hints | None = None


#: what is left out of a line that cannot be read with it: a call is counted without
_SPARE: Final = ("hints", "duration_ms", "initiator", "x_initiator", "client_request_id", "upstream_request_id")


class Call(msgspec.Struct, gc=False):
    """One recorded call; None where the record does not say."""

    request_id: str | None
    #: seconds since the epoch, by the proxy's clock
    begin: float | None
    end: float | None
    provider: str | None
    port: str | None
    model: str | None
    run: str | None
    #: reported, partial or estimated; AWF's records say nothing and have reported figures
    source: str
    #: in the order of `COUNTS`, as the record has them
    counts: tuple[int | None, ...]
    #: the same, comparable with what agents' logs say
    usage: Usage
    #: the provider's and the client's ids of the request
    ids: tuple[str, ...]
    #: "user" or "agent", where the client said it
    initiator: str | None
    #: label of the conversation, or the session that the agent named
    conversation: str | None
    agent: str | None = None
    session: str | None = None
    subagent: str | None = None
    turn: str | None = None
    messages: int | None = None
    conversation_hash: str | None = None
    #: tools that the model called in the newest turn of the request
    tools: tuple[str, ...] = ()
    offers_tools: bool = False
    #: results of tools stand at the end of the request: the agent goes on by itself
    answers_tools: bool = False
    #: of the newest turn: the same in a request that is sent again
    results: tuple[str, ...] = ()
    previous_response: str | None = None
    response: str | None = None
    #: dollars; None: the model has no price, or nobody asked
    cost: float | None = None
    #: not all of it has a price
    least: bool = False
    #: all of what was read and written is known
    whole: bool = True
    #: decides between calls of one moment, whatever the order of the files
    name: str = ""

    @property
    def exact(self) -> bool:
        return self.source == "reported"

    def sent_again(self, other: Call) -> bool:
        """Whether this is the same request as the other, by what the record says of its conversation."""
        return (
            self.messages is not None
            and self.messages == other.messages
            and self.conversation_hash is not None
            and self.conversation_hash == other.conversation_hash
            and self.results == other.results
        )


class Calls(msgspec.Struct):
    """All that was read."""

    #: in the order of their ends
    calls: list[Call] = msgspec.field(default_factory=list)
    remarks: Remarks = msgspec.field(default_factory=Remarks)


_decode = msgspec.json.Decoder(_Line).decode


def read_calls(lines: Iterable[bytes], filters: Filters | None = None, costs: Costs | None = None) -> Calls:
    """The calls of all lines, in the order of time.

    :param filters: which of them; None: all
    :param costs: the prices; None: nobody asked what it costs
    """
    found = Calls()
    remarks = found.remarks
    seen = Seen()
    for line in lines:
        if line.isspace():
            continue
        row = decoded(line, _decode, _SPARE)
        if isinstance(row, str):
            remarks.count(row)
        elif row.request_id is not None and not seen.add(row.request_id, row.mark):
            remarks.duplicates += 1
            remarks.differing = seen.differing
        elif filters is None or filters.wants(row):
            if len(found.calls) >= CALLS_MAX:
                remarks.troubles.append(f"More than {CALLS_MAX:,} calls; the others were not read.")
                break
            call = _call(row)
            if costs is not None:
                call.cost, call.least = _cost(line, costs)
            found.calls.append(call)
    found.calls.sort(key=_order)
    return found


def _order(call: Call) -> tuple[bool, float, str]:
    return call.end is None, call.end or 0.0, call.name


def _call(row: _Line) -> Call:
    end = seconds(row.timestamp)
    lasted = (row.duration_ms or 0.0) / 1000
    unknown = row.unknown or ()
    counts = tuple(None if name in unknown else getattr(row, name) for name in COUNTS)
    call = Call(
        row.request_id,
        None if end is None else end - lasted if 0.0 <= lasted <= end else end,
        end,
        _kept(row.provider),
        _kept(row.port),
        _kept(row.model),
        _kept(row.run),
        row.usage_source or "reported",
        counts,
        _usage(row, counts),
        tuple(each for each in (row.upstream_request_id, row.client_request_id) if each),
        row.initiator or row.x_initiator,
        _kept(row.conversation),
        whole=row.whole,
        name=row.request_id or f"{row.timestamp}/{counts}",
    )
    hints = row.hints
    if hints is not None:
        call.agent = _kept(hints.agent)
        call.session = _kept(hints.session)
        call.subagent = _kept(hints.subagent)
        call.turn = _kept(hints.turn)
        call.messages = hints.messages
        call.conversation_hash = _kept(hints.conversation_hash)
        call.offers_tools = bool(hints.tools_bytes)
        call.tools = tuple(map(intern, hints.tools_called or ()))
        call.results = tuple(hints.tool_result_hashes or ())
        call.answers_tools = bool(call.results or call.tools)
        call.previous_response = hints.previous_response_id_hash
        call.response = hints.response_id_hash
    return call


def _cost(line: bytes, costs: Costs) -> tuple[float | None, bool]:
    """Dollars, and whether it is at least that; None: the model has no price."""
    row = read_row(line)
    rates = None if isinstance(row, str) else costs.rates(row)
    if rates is None:
        return None, False
    cost = costs.exact(line, rates)
    return cost.pico / PICO, cost.least


def _usage(row: _Line, counts: tuple[int | None, ...]) -> Usage:
    prompt, output, read, written = counts[:4]
    if prompt is not None:
        prompt = known_input(prompt, read, written, includes_cache=row.includes_cache)
    return Usage(prompt, read, written, output)


def _kept(text: str | None) -> str | None:
    # The same few names stand in all records.
    return intern(text) if text is not None else None
