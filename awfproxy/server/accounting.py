"""From a call that has ended to its record, its lines and its counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from awfproxy.core.background import goes_on, is_over
from awfproxy.core.estimate import NO_OUTPUT, estimate
from awfproxy.core.hint_fields import Hints
from awfproxy.core.labels import NO_LABELS
from awfproxy.core.outcomes import COMPLETE, PROXY_ERROR
from awfproxy.core.records import RequestRecord, clip, encode, milliseconds, timestamp, token_usage
from awfproxy.core.settlement import NOTHING, Spent
from awfproxy.core.sources import RECORD_FAILED, SCANNER_FAILED, UNREADABLE, judge

if TYPE_CHECKING:
    from awfproxy.core.kinds import Kind
    from awfproxy.core.records import Source
    from awfproxy.core.usage import Reading
    from awfproxy.server.call import Call
    from awfproxy.server.port import Port

_INITIATORS: dict[str | None, Literal["agent", "user"]] = {None: "agent", "agent": "agent", "user": "user"}
#: bytes of UTF-8 of a model's name in a record
MODEL_MAX = 256
#: whether an answer in this framing is a stream; of others (an array, a text) only the request can tell
_STREAMED = {"sse": True, "ndjson": True, "eventstream": True, "json": False}


def record_lines(call: Call, port: Port, ended_at: float) -> tuple[bytes | None, bytes, Spent]:
    """The usage line, if the call used tokens, the request line of a call that has ended, and what it spent; counts it.

    :param ended_at: monotonic seconds
    """
    assert call.outcome is not None
    answer = call.answer
    scanner = answer.scanner if answer is not None else None
    reading = scanner.reading if scanner is not None else None
    request, exchange, refusal = call.request, call.exchange, call.refusal
    route, labels, facts = request.route, request.labels, request.facts
    kind = route.kind
    background = kind is not None and (kind.deferred or (kind.may_go_on and facts.background is True))
    begun = ended = None
    if reading is not None and reading.object_id is not None and kind is not None:
        begun, ended = _work(call, port, kind, reading, background)
    source, reason = judge(
        call.outcome,
        model_call=None if kind is None or ended is not None else kind.model_call,
        sent=exchange is not None and exchange.sent,
        status=call.status if answer is not None else None,
        reading=reading,
        path_known=kind is not None,
        background=background or begun is not None,
    )
    if answer is not None and answer.unplugged:
        port.tally.scan_error(SCANNER_FAILED)
        if source != "reported":
            reason = SCANNER_FAILED
    request_model = facts.model or route.model
    model = (reading.model if reading is not None else None) or request_model
    duration = ended_at - call.began
    provider = port.provider
    # the required ones by position, the others where there is something to say: see `RequestRecord`
    record = RequestRecord(
        timestamp(call.arrived_at + duration), call.request_id, provider.name, port.name, call.outcome, source,
        milliseconds(duration),
    )  # fmt: skip
    record.usage_reason = reason
    record.method = request.method.decode("ascii", "replace") or None
    record.path = route.path or None
    record.status = call.status
    record.streaming = request.streaming if reading is None else _STREAMED.get(reading.framing, request.streaming)
    if model is not None:
        record.model = clip(model, MODEL_MAX)
    if request_model is not None:
        record.request_model = record.model if request_model is model else clip(request_model, MODEL_MAX)
    record.request_bytes = request.size
    record.admitted_at = timestamp(call.arrived_at if request.admitted is None else request.admitted.at)
    ttfb = overhead = None
    response_bytes = 0
    if answer is not None:
        record.response_bytes = response_bytes = answer.bytes
    if exchange is not None:
        overhead = exchange.overhead
        record.attempts = exchange.attempts
        record.framing = exchange.framing
        record.billing = exchange.billing
        if exchange.upstream_request_id is not None:
            record.upstream_request_id = exchange.upstream_request_id.decode("ascii")
        if exchange.first_byte_at is not None:
            ttfb = exchange.first_byte_at - call.began
            record.ttfb_ms = milliseconds(ttfb)
        if exchange.connect_seconds is not None:
            record.connect_ms = milliseconds(exchange.connect_seconds)
    if refusal is not None:
        record.refusal = refusal.type
        record.refusal_code = refusal.code
    record.reason = call.reason
    if request.queue_seconds is not None:
        record.queue_ms = milliseconds(request.queue_seconds)
    if request.client_request_id is not None:
        record.client_request_id = request.client_request_id.decode("ascii")
    if kind is not None:
        record.feature = kind.name if ended is None else kind.shows or kind.name
    record.response_id_hash = begun or ended
    if labels is not NO_LABELS:
        record.feature = labels.feature or record.feature
        record.user = labels.user
        record.run = labels.run
        record.conversation = labels.conversation
        record.initiator = labels.initiator
    hints = request.hints
    if hints is not None and record.conversation is None:
        record.conversation = hints.session
    if provider.interaction_id:  # Copilot
        record.x_initiator = _INITIATORS.get(labels.initiator)
    usage_line = None
    spent = _spent(call, kind, source, reason, reading, model, late=ended is not None)
    if source != "none":
        guess = None
        if source == "estimated" or (not spent.final and request.admitted is not None and request.admitted.estimates):
            guess = estimate("" if kind is None else kind.name, facts, request.prompt_bytes, scanner)
            spent = msgspec.structs.replace(spent, delivered=_sum(guess), delivered_output=guess[1] or 0)
        if reading is not None and reading.object_id is not None:
            hints = hints or Hints()
            hints.response_id_hash = port.keyed_hash(reading.object_id)  # what the next request may go on from
        usage = token_usage(record, reading, estimate=guess if source == "estimated" else None, hints=hints)
        usage_line = None if usage is None else encode(usage)
    tally = port.tally
    if reading is not None and reading.errors:
        record.scan_errors = reading.errors
        for name, count in reading.errors.items():
            tally.scan_error(name, count)
    tally.ended(
        model, call.outcome, call.status, duration, ttfb, overhead, request.size, response_bytes,
        reading.usage if reading is not None and source in ("reported", "partial") else None, source, reason,
    )  # fmt: skip
    return usage_line, encode(record), spent


def _spent(
    call: Call,
    kind: Kind | None,
    source: Source,
    reason: str | None,
    reading: Reading | None,
    model: str | None,
    *,
    late: bool,
) -> Spent:
    """What is known of what the call used, but for an estimate."""
    if call.request.admitted is None:
        return NOTHING
    usage = reading.usage if reading is not None and source in ("reported", "partial") else None
    whole = usage is not None and usage.input_tokens is not None and (
        usage.output_tokens is not None or (kind is not None and kind.name in NO_OUTPUT)
    )  # fmt: skip
    return Spent(
        usage=usage,
        final=whole and source == "reported",
        sent=call.sent,
        status=call.status if call.answer is not None else None,
        delivered=None if reason == SCANNER_FAILED or reason in UNREADABLE else 0,
        only_reported=kind is not None and kind.model_call is None and call.outcome == COMPLETE,
        late=late,
        model=model,
    )


def _sum(guess: tuple[int | None, int | None]) -> int | None:
    given, made = guess
    return None if given is None or made is None else given + made


def _work(
    call: Call, port: Port, kind: Kind, reading: Reading, background: bool
) -> tuple[str | None, str | None]:
    """The names of work that goes on after this answer, and of work that it is the first to show finished.

    A later answer about that work is one that its path asks for, or that made it go on (a run's tool outputs).
    """
    if call.status is None or not 200 <= call.status < 300:
        return None, None
    begun = goes_on(kind, background, reading, whole=call.outcome == COMPLETE)
    if begun is not None:
        name = port.keyed_hash(begun)
        port.works.began(name)
        return name, None
    work = call.request.route.work or (reading.object_id if kind.may_go_on and len(port.works) else None)
    if work is not None and is_over(work, reading) and (reading.final or call.outcome == COMPLETE):
        name = port.keyed_hash(work)
        if port.works.ended(name):
            return None, name
    return None, None


def bare_lines(call: Call, port: Port, ended_at: float) -> tuple[None, bytes, Spent]:
    """The same of a call whose record could not be made: a defect of ours, told as one."""
    port.tally.in_flight -= 1
    port.tally.scan_error(RECORD_FAILED)
    duration = ended_at - call.began
    record = RequestRecord(
        timestamp(call.arrived_at + duration), call.request_id, port.provider.name, port.name, PROXY_ERROR, "none",
        milliseconds(duration),
    )  # fmt: skip
    record.usage_reason = RECORD_FAILED
    record.status = call.status
    status = call.status if call.answer is not None else None
    return None, encode(record), Spent(sent=call.sent, status=status, delivered=None)
