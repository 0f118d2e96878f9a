"""One line of token-usage.jsonl, as far as reports need it.

Rules: files of AWF's own api-proxy are read as well as ours.  A count that is absent, or that the record's `unknown`
names, is not known, and never 0.  A line that is no such record is not an error, but it is told why (`REASONS`).
"""

from collections.abc import Callable, Collection, Iterable
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from awfproxy.core.fields import COUNT_MAX

Count = Annotated[int, Meta(ge=0, le=COUNT_MAX)]

#: The counts of a record, in the order in which they are shown.
COUNTS: Final = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")

Reason = Literal["other", "malformed", "mistyped", "countless"]
#: A record of some other kind (requests.jsonl).
OTHER: Final = "other"
#: No JSON object: torn, or never one.
MALFORMED: Final = "malformed"
#: A JSON object in which something is of another type than in any record, or a count that nobody can mean.
MISTYPED: Final = "mistyped"
#: An object without any counts.
COUNTLESS: Final = "countless"
REASONS: Final = (OTHER, MALFORMED, MISTYPED, COUNTLESS)

#: Providers whose input tokens do not count the cached ones, for records that do not say (AWF's).
APART: Final = frozenset({"anthropic", "bedrock"})


class Counted(msgspec.Struct, gc=False):
    """What every report of usage needs of a record; None where it does not say.  In the order of the record, in which
    members are found fastest."""

    timestamp: str | None = None
    request_id: str | None = None
    provider: str | None = None
    model: str | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    usage_source: str | None = None
    event: Literal["token_usage"] | None = None
    reasoning_tokens: Count | None = None
    input_tokens_include_cache: bool | None = None
    unknown: tuple[str, ...] | None = None
    admitted_at: str | None = None

    @property
    def when(self) -> str | None:
        """The time that the call belongs to: its admission, as in budgets; AWF's records know only the end."""
        return self.admitted_at or self.timestamp

    @property
    def includes_cache(self) -> bool:
        """Whether `input_tokens` counts the cached ones too: by the record's word, else by its provider."""
        if self.input_tokens_include_cache is None:
            return self.provider not in APART
        return self.input_tokens_include_cache

    @property
    def all_input_tokens(self) -> int | None:
        """Everything the model read, cached or not: comparable between providers, as `input_tokens` is not."""
        if self.input_tokens is None:
            return None
        if self.includes_cache:
            return self.input_tokens
        return self.input_tokens + (self.cache_read_tokens or 0) + (self.cache_write_tokens or 0)

    def forget_unknown(self) -> None:
        """Makes every count None that `unknown` names."""
        for name in self.unknown or ():
            if name in COUNTS:
                setattr(self, name, None)


class Row(Counted):
    """A record's fields; None where it does not say."""

    outcome: str | None = None
    port: str | None = None
    user: str | None = None
    feature: str | None = None
    run: str | None = None
    conversation: str | None = None


class UsageRow(Row):
    """A row with the provider's own usage object: a dictionary, or whatever else the line has there."""

    usage: Any = None


#: members of a row that only groups and filters need
LABELS: Final = frozenset(Row.__struct_fields__) - frozenset(Counted.__struct_fields__)

R = TypeVar("R", bound=Counted)


def read_row(line: bytes) -> Row | Reason:
    """The row of a line of token-usage.jsonl, or why it is none.  Unknown counts are None."""
    row = decoded(line, _decode_row)
    if not isinstance(row, str):
        row.forget_unknown()
    return row


def decoded(line: bytes, decode: Callable[[bytes], R]) -> R | Reason:
    """What the line is for this decoder; counts are as they stand."""
    try:
        row = decode(line)
    except msgspec.ValidationError:
        return _kind(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return MALFORMED
    return COUNTLESS if row.input_tokens is None and row.output_tokens is None else row


def _kind(line: bytes) -> Reason:
    """Why a line of JSON is no record of token usage."""
    try:
        event = _decode_event(line).event
    except msgspec.ValidationError:
        return MISTYPED
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return MALFORMED  # beyond what was mistyped
    return OTHER if isinstance(event, str) and event != "token_usage" else MISTYPED


def unknown_counts(names: Iterable[str] | None, absent: Collection[str] = ()) -> tuple[str, ...]:
    """The counts among the names, each once and in the order of `COUNTS`."""
    wanted = {*(names or ()), *absent}
    return tuple(name for name in COUNTS if name in wanted)


class _Event(msgspec.Struct):
    event: Any = None


_decode_event: Final = msgspec.json.Decoder(_Event).decode
_decode_row: Final = msgspec.json.Decoder(Row).decode
