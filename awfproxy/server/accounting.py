"""From a call that has ended to its record, its lines and its counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from awfproxy.core.labels import NO_LABELS
from awfproxy.core.records import RequestRecord, clip, encode, milliseconds, timestamp, token_usage
from awfproxy.core.sources import estimate, judge

if TYPE_CHECKING:
    from awfproxy.server.call import Call
    from awfproxy.server.port import Port

_INITIATORS: dict[str | None, Literal["agent", "user"]] = {None: "agent", "agent": "agent", "user": "user"}
#: bytes of UTF-8 of a model's name in a record
MODEL_MAX = 256


def record_lines(call: Call, port: Port, ended_at: float) -> tuple[bytes | None, bytes]:
    """The usage line, if the call used tokens, and the request line of a call that has ended; counts it.

    :param ended_at: monotonic seconds
    """
    assert call.outcome is not None
    answer = call.answer
    scanner = answer.scanner if answer is not None else None
    reading = scanner.reading if scanner is not None else None
    route, labels, facts, refusal = call.route, call.labels, call.facts, call.refusal
    kind = route.kind
    upstream_status = call.status if answer is not None else None
    source, reason = judge(
        call.outcome,
        model_call=None if kind is None else kind.model_call,
        sent=call.sent,
        status=upstream_status,
        reading=reading,
    )
    if answer is not None and answer.unplugged and source != "reported":
        reason = "scanner-failed"
    request_model = facts.model or route.model
    model = (reading.model if reading is not None else None) or request_model
    duration = ended_at - call.began
    ttfb = None if call.first_byte_at is None else call.first_byte_at - call.began
    response_bytes = 0 if answer is None else answer.bytes
    client_id = call.client_request_id
    upstream_id = call.upstream_request_id
    record = RequestRecord(
        timestamp=timestamp(call.admitted_at + duration),
        request_id=call.request_id,
        provider=port.provider.name,
        port=port.name,
        outcome=call.outcome,
        usage_source=source,
        usage_reason=reason,
        method=call.method.decode("ascii", "replace") or None,
        path=route.path or None,
        status=call.status,
        streaming=call.streaming,
        model=None if model is None else clip(model, MODEL_MAX),
        request_model=None if request_model is None else clip(request_model, MODEL_MAX),
        refusal=None if refusal is None else refusal.type,
        refusal_code=None if refusal is None else refusal.code,
        reason=call.reason,
        request_bytes=call.request_bytes,
        response_bytes=response_bytes,
        framing=call.upstream_framing,
        admitted_at=timestamp(call.admitted_at),
        duration_ms=milliseconds(duration),
        ttfb_ms=None if ttfb is None else milliseconds(ttfb),
        queue_ms=None if call.queue_seconds is None else milliseconds(call.queue_seconds),
        connect_ms=None if call.connect_seconds is None else milliseconds(call.connect_seconds),
        attempts=call.attempts,
        client_request_id=None if client_id is None else client_id.decode("ascii"),
        upstream_request_id=None if upstream_id is None else upstream_id.decode("ascii"),
        feature=kind.name if kind is not None else None,
        billing=call.billing,
    )
    if labels is not NO_LABELS:
        record.feature = labels.feature or record.feature
        record.user = labels.user
        record.run = labels.run
        record.conversation = labels.conversation
        record.initiator = labels.initiator
    if port.provider.interaction_id:  # Copilot
        record.x_initiator = _INITIATORS.get(labels.initiator)
    usage_line = None
    if source != "none":
        guess = None
        if source == "estimated":
            guess = estimate(call.request_bytes, response_bytes, streaming=bool(call.streaming))
        usage = token_usage(record, reading, estimate=guess)
        usage_line = None if usage is None else encode(usage)
    tally = port.tally
    if reading is not None and reading.errors:
        record.scan_errors = reading.errors
        for name, count in reading.errors.items():
            tally.scan_error(name, count)
    if call.attempts > 1:
        tally.retries += 1
    if call.outcome == "client_left":
        tally.client_aborts += 1
    tally.ended(
        model, call.outcome, call.status, duration, ttfb, call.overhead, call.request_bytes, response_bytes,
        reading.usage if reading is not None and source in ("reported", "partial") else None, source, reason,
    )  # fmt: skip
    return usage_line, encode(record)
