"""One line of token-usage.jsonl, as far as reports need it.

Rules: files of AWF's own api-proxy are read as well as ours.  A count that is absent, or that the record's `unknown`
names, is not known, and never 0.  A line that is no such record is not an error, but it is told why (`REASONS`).  A
label of another type is one that is not said: what was used counts alike, whatever a report is grouped by.  Where the
provider tells no output, and a total that is all input (embeddings), the output is known to be 0.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from awfproxy.core.consumption import guessed_to_include
from awfproxy.core.fields import COUNT_MAX

Count = Annotated[int, Meta(ge=0, le=COUNT_MAX)]

#: The counts of a record, in the order in which they are shown.
COUNTS: Final = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")

OUTPUT: Final = "output_tokens"

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

#: A source of figures that nobody counted.
ESTIMATED: Final = "estimated"
#: Providers whose input tokens do not count the cached ones, and that name those in every answer; models on Bedrock
#: that have no cache do not.
TELLING: Final = frozenset({"anthropic"})


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
        """Whether `input_tokens` counts the cached ones too: by the record's word, else by its figures."""
        if self.input_tokens_include_cache is not None:
            return self.input_tokens_include_cache
        fresh, read, written = self.input_tokens, self.cache_read_tokens, self.cache_write_tokens
        if unknown := self.unknown:
            fresh = None if "input_tokens" in unknown else fresh
            read = None if "cache_read_tokens" in unknown else read
            written = None if "cache_write_tokens" in unknown else written
        return guessed_to_include(self.provider, fresh, read, written)

    @property
    def all_input_tokens(self) -> int | None:
        """Everything the model read, cached or not: comparable between providers, as `input_tokens` is not."""
        if self.input_tokens is None:
            return None
        return known_input(
            self.input_tokens, self.cache_read_tokens, self.cache_write_tokens, includes_cache=self.includes_cache
        )

    @property
    def known_tokens(self) -> int:
        """What is known of everything read and written, cached or not; where `whole` is not set, at least so many.

        Unknown counts are None (`forget_unknown`).
        """
        fresh, read, written = self.input_tokens, self.cache_read_tokens, self.cache_write_tokens
        return known_input(fresh, read, written, includes_cache=self.includes_cache) + (self.output_tokens or 0)

    @property
    def whole(self) -> bool:
        """Whether all of what was read and written is known (`whole`)."""
        lacks = [name for name in COUNTS if getattr(self, name) is None or name in (self.unknown or ())]
        return not lacks or whole(self.provider, self.usage_source, lacks, includes_cache=self.includes_cache)

    @property
    def mark(self) -> int:
        """A hash of what was used: of two records of one call it is the same."""
        return hash(used(self))

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


#: what was used, by which two records of one call are the same
used: Final = attrgetter("model", *COUNTS[:4])


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


def decoded(line: bytes, decode: Callable[[bytes], R], spare: Sequence[str] = ()) -> R | Reason:
    """What the line is for this decoder; counts are as they stand, labels of another type are None.

    :param spare: members that the call counts without, left out one after the other where it cannot be read with them
    """
    try:
        row = decode(line)
    except msgspec.ValidationError:
        kind = _kind(line)
        mended = _without(line, decode, spare) if kind == MISTYPED else None
        if mended is None:
            return kind
        row = mended
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return MALFORMED
    if row.input_tokens is None and row.output_tokens is None:
        return COUNTLESS
    if row.unknown is not None and OUTPUT in row.unknown:
        know_output(row, line)
    return row


def know_output(row: Counted, line: bytes) -> None:
    """Takes the output out of what is not known where the total says that there was none.

    :param row: of which the output is not known
    :param line: what it is from
    """
    if row.usage_source not in (None, "reported") or row.output_tokens or row.unknown is None:
        return
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        usage = _decode_totals(line).usage
        if usage is not None and usage.total_tokens is not None and usage.total_tokens == usage.prompt_tokens:
            row.unknown = tuple(name for name in row.unknown if name != OUTPUT) or None


def _without(line: bytes, decode: Callable[[bytes], R], spare: Sequence[str]) -> R | None:
    """The row without those of its labels that are no texts, and without as much of what is spare as it takes; None:
    that is not enough."""
    try:
        members = _decode_members(line)
        for name in LABELS & members.keys():
            if not bytes(members[name]).startswith((b'"', b"null")):
                del members[name]
        for name in ("", *spare):
            members.pop(name, None)
            with suppress(msgspec.ValidationError):
                return decode(msgspec.json.encode(members))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass  # an object within that nobody can read
    return None


def _kind(line: bytes) -> Reason:
    """Why a line of JSON is no record of token usage."""
    try:
        event = _decode_event(line).event
    except msgspec.ValidationError:
        return MISTYPED
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return MALFORMED  # beyond what was mistyped
    return OTHER if isinstance(event, str) and event != "token_usage" else MISTYPED


def whole(provider: str | None, source: str | None, unknown: Collection[str], *, includes_cache: bool) -> bool:
    """Whether all that calls read and wrote is known: the input, the cached tokens where that does not count them and
    the provider always tells them, and the output.  An estimate is one of everything that was sent.

    :param source: where the figures are from
    :param unknown: the counts that are not known
    """
    needed = COUNTS[:4] if provider in TELLING and not includes_cache and source != ESTIMATED else COUNTS[:2]
    return not any(name in unknown for name in needed)


def known_input(fresh: int | None, read: int | None, written: int | None, *, includes_cache: bool) -> int:
    """What is known of everything read, of one call or of several.  Cached tokens are a part of it, whether the input
    counts them or not: where that is not known, they are.

    :param fresh: the input as the provider counts it; this and the others: None: not known
    """
    if fresh is not None and includes_cache:
        return fresh
    return (fresh or 0) + (read or 0) + (written or 0)


def unknown_counts(names: Iterable[str] | None, absent: Collection[str] = ()) -> tuple[str, ...]:
    """The counts among the names, each once and in the order of `COUNTS`."""
    wanted = {*(names or ()), *absent}
    return tuple(name for name in COUNTS if name in wanted)


class _Event(msgspec.Struct):
    event: Any = None


class _Totals(msgspec.Struct):
    prompt_tokens: Count | None = None
    total_tokens: Count | None = None


class _Totalled(msgspec.Struct):
    usage: _Totals | None = None


_decode_event: Final = msgspec.json.Decoder(_Event).decode
_decode_totals: Final = msgspec.json.Decoder(_Totalled).decode
_decode_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_row: Final = msgspec.json.Decoder(Row).decode
