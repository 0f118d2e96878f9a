"""One line of token-usage.jsonl, as far as reports need it.

Rules: files of AWF's own api-proxy are read as well as ours.  A count that is absent, or that the record's `unknown`
names, is None: unknown, and never 0.  A line that is no such record is not an error, but it is told apart: of another
kind (`OTHER`), or broken (`BROKEN`).
"""

from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

#: More tokens than any call can use; a number above it is a mistake.
COUNT_MAX = 10**12

Count = Annotated[int, Meta(ge=0, le=COUNT_MAX)]

#: The counts of a record, in the order in which they are shown.
COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")

#: What `read_row` answers for a line that is a record of some other kind.
OTHER: Final = "other"
#: What it answers for a line that is no record at all.
BROKEN: Final = "broken"

#: Providers whose input tokens do not count the cached ones, for records that do not say (AWF's).
_APART = frozenset({"anthropic", "bedrock"})


class Row(msgspec.Struct, gc=False):
    """A record's fields; None where it does not say."""

    event: str | None = None
    request_id: str | None = None
    timestamp: str | None = None
    provider: str | None = None
    model: str | None = None
    port: str | None = None
    user: str | None = None
    feature: str | None = None
    run: str | None = None
    conversation: str | None = None
    outcome: str | None = None
    usage_source: str | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    reasoning_tokens: Count | None = None
    input_tokens_include_cache: bool | None = None
    unknown: tuple[str, ...] | None = None

    @property
    def all_input_tokens(self) -> int | None:
        """Everything the model read, cached or not: comparable between providers, as `input_tokens` is not."""
        if self.input_tokens is None:
            return None
        included = self.input_tokens_include_cache
        if included is None:
            included = self.provider not in _APART
        if included:
            return self.input_tokens
        return self.input_tokens + (self.cache_read_tokens or 0) + (self.cache_write_tokens or 0)


_decode = msgspec.json.Decoder(Row).decode


def read_row(line: bytes) -> Row | Literal["other", "broken"]:
    """The row of a line of token-usage.jsonl."""
    try:
        row = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return BROKEN
    if row.event != "token_usage" and row.event is not None:
        return OTHER
    if row.input_tokens is None and row.output_tokens is None:
        return BROKEN
    for name in row.unknown or ():
        if name in COUNTS:
            setattr(row, name, None)
    return row


def day(row: Row) -> str | None:
    """The UTC day of the record's time, "2026-01-31"."""
    when = _utc(row.timestamp)
    return when[:10] if when else None


def hour(row: Row) -> str | None:
    """The UTC hour of the record's time, "2026-01-31T17:00Z"."""
    when = _utc(row.timestamp)
    return f"{when[:13]}:00Z" if when else None


def _utc(timestamp: str | None) -> str | None:
    if timestamp is None:
        return None
    try:
        when = datetime.fromisoformat(timestamp)
        return (when if when.tzinfo is None else when.astimezone(UTC)).isoformat()
    except (ValueError, OverflowError):  # no time at all; or one of another zone at the very ends of the calendar
        return None
