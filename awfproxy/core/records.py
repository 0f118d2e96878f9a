"""The two records of a call, and their lines.

`RequestRecord` is the one record that every request leaves in ``requests.jsonl``; `TokenUsageRecord` is its usage part
in ``token-usage.jsonl``, with the same ``request_id``, made from it by `token_usage`.  Field names, units and meaning
are the contract (docs/records.md, docs/schemas/): a field that is None was not said and is left out of the line, never
written as 0 or "".

`encode` gives one line of at most `RECORD_BYTES_MAX` bytes, whatever is in the record: it never raises on a value that
fits the types, because a record that cannot be written would be a call that nobody paid for.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from awfproxy.core.hint_fields import Hints
from awfproxy.core.outcomes import Outcome
from awfproxy.core.targets import RECORD_PATH_MAX

if TYPE_CHECKING:
    from awfproxy.core.usage import Reading

Source = Literal["reported", "partial", "estimated", "none"]
#: how the end of the provider's answer could be told; ``close``: by the end of the connection, where an answer that
#: came whole and one that was cut look alike (RFC 9112 section 6.3, rule 8); ``none``: the answer had no body
BodyFraming = Literal["content-length", "chunked", "close", "none"]

TOKEN_USAGE_SCHEMA: Final = "token-usage/v1.0.0"
REQUESTS_SCHEMA: Final = "requests/v1.0.0"

#: bytes of a line with its newline; the provider's usage object (4 KB at most) and all names fit three times over
RECORD_BYTES_MAX: Final = 16 * 1024
#: bytes to which all texts are cut where a line is too long, one after the other; with the last, thirty texts of
#: control characters (six bytes each in JSON) still make a short line
TEXT_LIMITS: Final = (RECORD_PATH_MAX, 64)
#: written as ``status`` of a usage record where the client left or the upstream died before any status was seen; the
#: field is required and between 100 and 599.  nginx's number for "client closed request"; ``unknown`` names the field
STATUS_NEVER_SEEN: Final = 499


class RequestRecord(msgspec.Struct, omit_defaults=True, tag_field="_schema", tag=REQUESTS_SCHEMA, gc=False):
    """One request that arrived, and how it ended.  Bytes are of bodies as transferred; times are milliseconds.

    Make it from the required fields in their order and assign the others that are known: keyword arguments are
    looked up one by one (7 µs for all of them, against 1).
    """

    #: when the call ended, ISO 8601 with milliseconds and Z (see `timestamp`)
    timestamp: str
    request_id: str
    provider: str
    port: str
    outcome: Outcome
    usage_source: Source
    #: from the end of the request's head until the end of the call
    duration_ms: float
    # A factory, because a plain default would be left out of the line.
    event: Literal["request"] = msgspec.field(default_factory=lambda: "request")
    #: why there is no exact usage: a short word from a closed list (`core.sources`); absent where it is reported
    usage_reason: str | None = None
    #: absent where what arrived was no request (``bad_request``)
    method: str | None = None
    path: str | None = None
    #: what the client was answered, by the provider or by the proxy; absent where there was no answer
    status: int | None = None
    streaming: bool | None = None
    #: the response's, else the request's
    model: str | None = None
    request_model: str | None = None
    #: type and code of the refusal that the client was answered (`core.refusals`)
    refusal: str | None = None
    refusal_code: str | None = None
    #: what ended a call that was neither complete nor refused, in a word or two: "connect", "first-byte", "reset"
    reason: str | None = None
    request_bytes: int = msgspec.field(default_factory=int)
    response_bytes: int = msgspec.field(default_factory=int)
    framing: BodyFraming | None = None
    #: when the request was admitted; a call belongs to the budget window of this time
    admitted_at: str | None = None
    ttfb_ms: float | None = None
    #: waiting inside the proxy (memory for the body, a place in the pool) before the request went out
    queue_ms: float | None = None
    #: until the upstream connection stood; absent where a kept one was used
    connect_ms: float | None = None
    #: times the request was sent upstream: 0 where it never was
    attempts: int = msgspec.field(default_factory=int)
    user: str | None = None
    feature: str | None = None
    run: str | None = None
    conversation: str | None = None
    initiator: str | None = None
    #: the header as it went upstream, on Copilot ports only: it decides whether the call is billed as premium
    x_initiator: Literal["agent", "user"] | None = None
    client_request_id: str | None = None
    upstream_request_id: str | None = None
    billing: dict[str, Any] | None = None
    #: keyed hash of the id of work that goes on after this answer (``usage_reason`` "background"), or whose end this
    #: answer was the first to show (`core.background`)
    response_id_hash: str | None = None
    #: what the usage scanner rejected, by reason
    scan_errors: dict[str, int] | None = None
    #: true: added at the start after a crash, from the usage record that had no line here
    recovered: bool = False


class TokenUsageRecord(msgspec.Struct, omit_defaults=True, tag_field="_schema", tag=TOKEN_USAGE_SCHEMA, gc=False):
    """What one response used.  Every field that `RequestRecord` has too means the same."""

    timestamp: str
    request_id: str
    provider: str
    model: str
    path: str
    status: int
    streaming: bool
    #: docs/records.md says what each count means; 0 and named in ``unknown`` where the provider did not say
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    duration_ms: float
    request_bytes: int
    response_bytes: int
    usage_source: Literal["reported", "partial", "estimated"]
    outcome: Outcome
    port: str
    event: Literal["token_usage"] = msgspec.field(default_factory=lambda: "token_usage")
    #: the part of ``output_tokens`` that nobody sees; absent if not said
    reasoning_tokens: int | None = None
    #: whether ``input_tokens`` counts the cached ones too (OpenAI, Gemini) or not (Anthropic)
    input_tokens_include_cache: bool | None = None
    #: required fields above whose figure nobody reported
    unknown: list[str] | None = None
    ttfb_ms: float | None = None
    admitted_at: str | None = None
    attempts: int = msgspec.field(default_factory=int)
    request_model: str | None = None
    user: str | None = None
    feature: str | None = None
    run: str | None = None
    conversation: str | None = None
    initiator: str | None = None
    x_initiator: Literal["agent", "user"] | None = None
    client_request_id: str | None = None
    upstream_request_id: str | None = None
    #: the provider's own names and numbers
    usage: dict[str, Any] | None = None
    usage_truncated: bool = False
    billing: dict[str, Any] | None = None
    hints: Hints | None = None


Record = RequestRecord | TokenUsageRecord

_encode = msgspec.json.Encoder().encode


def encode(record: Record) -> bytes:
    """One line with its newline, UTF-8, at most `RECORD_BYTES_MAX` bytes.

    What only explains (``usage``, ``hints``, ``billing``, ``scan_errors``) is left out of a record that would be longer
    and ``usage_truncated`` says so; texts are cut if that is not enough.  Counts always stay.
    """
    try:
        line = _encode(record) + b"\n"
    except (UnicodeEncodeError, RecursionError):
        # A lone surrogate, or nesting without end, that came through members of the provider's.
        line = b""
    for limit in TEXT_LIMITS:
        if line and len(line) <= RECORD_BYTES_MAX:
            break
        line = _encode(_cut(_bare(record), limit)) + b"\n"
    return line


def _bare(record: Record) -> Record:
    if isinstance(record, TokenUsageRecord):
        return msgspec.structs.replace(record, usage=None, hints=None, billing=None, usage_truncated=True)
    return msgspec.structs.replace(record, billing=None, scan_errors=None)


def _cut(record: Record, limit: int) -> Record:
    """The record with every text valid and of at most ``limit`` bytes."""
    values = {name: getattr(record, name) for name in record.__struct_fields__}
    texts = {name: clip(value, limit) for name, value in values.items() if isinstance(value, str)}
    return msgspec.structs.replace(record, **texts)


def clip(text: str, limit: int) -> str:
    """``text`` as valid Unicode of at most ``limit`` bytes of UTF-8, cut between two characters."""
    if len(text) * 4 <= limit and text.isascii():
        return text
    raw = text.encode("utf-8", "replace")
    return raw[:limit].decode("utf-8", "ignore") if len(raw) > limit else raw.decode("utf-8")


def milliseconds(seconds: float) -> float:
    """Seconds as milliseconds with microsecond digits, never below 0 (a clock may have been set back)."""
    return int(seconds * 1e6) / 1e3 if seconds > 0 else 0.0


_MILLISECONDS: Final = tuple(f"{number:03d}Z" for number in range(1000))
_second: tuple[int, str] = (0, "1970-01-01T00:00:00.")


def timestamp(epoch: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC with milliseconds, cut and not rounded: ``2026-01-02T03:04:05.678Z``.

    The text of the current second is kept: calls end thousands of times within one.
    """
    global _second
    whole = int(epoch)
    second, text = _second
    if second != whole:
        text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
        _second = (whole, text)  # one assignment: the second and its text always belong together
    return text + _MILLISECONDS[int((epoch - whole) * 1000)]


def token_usage(
    request: RequestRecord,
    reading: Reading | None,
    *,
    estimate: tuple[int | None, int | None] | None = None,
    hints: Hints | None = None,
) -> TokenUsageRecord | None:
    """The usage part of ``request``, or None where its ``usage_source`` is "none".

    ``estimate``: (input, output) tokens, used only where ``usage_source`` is "estimated"; None: not even a guess.
    """
    source = request.usage_source
    if source == "none":
        return None
    usage = reading.usage if reading is not None and source != "estimated" else None
    counts: tuple[int | None, int | None, int | None, int | None]
    if usage is not None:
        counts = (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens)
    else:
        counts = (*(estimate or (None, None)), None, None)
    record = TokenUsageRecord(
        request.timestamp,
        request.request_id,
        request.provider,
        request.model or "unknown",
        request.path or "",
        request.status or STATUS_NEVER_SEEN,
        bool(request.streaming),
        counts[0] or 0,
        counts[1] or 0,
        counts[2] or 0,
        counts[3] or 0,
        request.duration_ms,
        request.request_bytes,
        request.response_bytes,
        source,
        request.outcome,
        request.port,
    )
    if None in counts or request.status is None:
        record.unknown = [name for name, count in zip(_COUNTS, counts, strict=True) if count is None]
        if request.status is None:
            record.unknown.append("status")
    if usage is not None:
        record.reasoning_tokens = usage.reasoning_tokens
        record.input_tokens_include_cache = usage.input_tokens_include_cache
        record.usage = usage.raw
        record.usage_truncated = reading is not None and reading.usage_truncated
    record.ttfb_ms = request.ttfb_ms
    record.admitted_at = request.admitted_at
    record.attempts = request.attempts
    record.request_model = request.request_model
    record.user = request.user
    record.feature = request.feature
    record.run = request.run
    record.conversation = request.conversation
    record.initiator = request.initiator
    record.x_initiator = request.x_initiator
    record.client_request_id = request.client_request_id
    record.upstream_request_id = request.upstream_request_id
    record.billing = request.billing
    record.hints = hints
    return record


_COUNTS: Final = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
