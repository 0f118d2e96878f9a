"""Rows of the ledger, made from the journal's usage records.

Rules: None is "not said".  A count that nobody reported is None, though the record's line has 0; a total of which one
part is known is that part.  Whatever the line holds, the row fits both databases: a row that cannot be stored would
stop its whole batch, again and again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

from awfproxy.core.budgets import Charge, Measure, counted
from awfproxy.core.consumption import Counted
from awfproxy.core.fields import COUNT_MAX
from awfproxy.core.records import TokenUsageRecord, clip
from awfproxy.core.targets import RECORD_PATH_MAX
from awfproxy.core.usage_line import UsageLine

#: bytes of a text: those of a record's path, the longest of its names; PostgreSQL's indexes take up to 2,704
TEXT_MAX: Final = RECORD_PATH_MAX
#: bytes of a request id, which is the key: ours have 36.  A longer one is not cut, as two could become one
REQUEST_ID_MAX: Final = 128

#: what rows are made of: the whole record has more
Line = UsageLine | TokenUsageRecord
#: what a call cost, by what is known of it, its model, and when it was admitted, in seconds since the epoch
Price = Callable[[Counted, str, float], Charge]
#: where nobody prices
UNPRICED: Final = Charge(None, None)


class Row(msgspec.Struct, frozen=True, gc=False):
    """What one response used.  The columns of ``ai_usage_ledger`` have these names and this order."""

    request_id: str
    instance: str
    port: str
    #: when the call was admitted, milliseconds since the epoch: a number sorts alike in both databases
    created_at: int
    provider: str
    model: str
    usage_source: str
    user: str | None = None
    #: as budgets count it
    feature: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    #: input + output
    total_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    #: whether ``input_tokens`` has the cached ones in it
    include_cache: bool | None = None
    #: dollars; None: the model has no price
    cost_usd: float | None = None
    #: what caps in dollars count, in millionths; of a model without a price by a rule.  None: nobody has priced it yet
    counted_usd: int | None = None

    @property
    def unpriced(self) -> bool:
        """It used something, and what that cost is not known."""
        return self.cost_usd is None and self.counted("all") > 0

    def counted(self, measure: Measure) -> int:
        """What a budget counts, tokens or millionths of a dollar; 0 where nothing is known."""
        if measure == "usd":
            return self.counted_usd or 0
        return counted(
            self.input_tokens or 0,
            self.output_tokens or 0,
            self.cache_read_tokens or 0,
            self.cache_write_tokens or 0,
            input_includes_cache=self.include_cache,
            count=measure,
        )


def row_of(
    record: Line, instance: str, *, feature: str | None, price: Price = lambda record, model, at: UNPRICED
) -> Row | None:
    """The row of a journal's record; None where the record has no usable time or id (a line that was edited).

    :param feature: the feature that the budgets count the call under
    :param price: what the call cost
    """
    admitted = _milliseconds(record.admitted_at) if record.admitted_at is not None else None
    created_at = _milliseconds(record.timestamp) if admitted is None else admitted
    request_id = record.request_id
    if created_at is None or not 0 < len(request_id) <= REQUEST_ID_MAX or not request_id.isprintable():
        return None
    unknown = record.unknown or ()
    given = _count(record.input_tokens) if "input_tokens" not in unknown else None
    made = _count(record.output_tokens) if "output_tokens" not in unknown else None
    charge = price(record, record.model, created_at / 1000)
    return Row(
        request_id,
        instance,
        _text(record.port),
        created_at,
        _text(record.provider),
        _text(record.model),
        record.usage_source,
        None if record.user is None else _text(record.user),
        None if feature is None else _text(feature),
        given,
        made,
        None if given is None and made is None else (given or 0) + (made or 0),
        _count(record.cache_read_tokens) if "cache_read_tokens" not in unknown else None,
        _count(record.cache_write_tokens) if "cache_write_tokens" not in unknown else None,
        record.input_tokens_include_cache,
        charge.usd,
        None if charge.counted is None else min(charge.counted, COUNT_MAX),
    )


def _count(value: int) -> int | None:
    return value if 0 <= value <= COUNT_MAX else None


def _text(value: str) -> str:
    if "\0" in value:  # PostgreSQL's texts have none
        value = value.replace("\0", "�")
    return clip(value, TEXT_MAX)


def _milliseconds(text: str) -> int | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    # a datetime counts in microseconds; whole ones, as floats would round some milliseconds down
    past = time - _EPOCH
    return past.days * 86_400_000 + past.seconds * 1000 + past.microseconds // 1000


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def priced(row: Row, price: Price) -> Row:
    """A row with its cost, by its own counts: they tell less than the record's usage does (how long a cache is kept,
    how the call was served), and are all there is where that is not at hand."""
    charge = price(_Facts(row), row.model, row.created_at / 1000)
    counted_usd = None if charge.counted is None else min(charge.counted, COUNT_MAX)
    return msgspec.structs.replace(row, cost_usd=charge.usd, counted_usd=counted_usd)


class _Facts:
    """A row as `consumption.of_record` takes it."""

    reasoning_tokens: int | None = None
    usage: dict[str, Any] | None = None

    def __init__(self, row: Row) -> None:
        counts = {name: getattr(row, name) for name in _COUNTS}
        self.provider = row.provider
        self.input_tokens_include_cache = row.include_cache
        self.unknown = [name for name, count in counts.items() if count is None]
        self.input_tokens, self.output_tokens, self.cache_read_tokens, self.cache_write_tokens = (
            count or 0 for count in counts.values()
        )


_COUNTS: Final = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


class Difference(msgspec.Struct, frozen=True):
    """Where journal and ledger disagree about a request."""

    #: ``missing``: in the journal only; ``extra``: in the ledger only; ``different``: ``fields`` name what differs
    kind: Literal["missing", "extra", "different"]
    request_id: str
    fields: tuple[str, ...] = ()
    journal: Row | None = None
    ledger: Row | None = None


#: what of a row must be as the journal says.  Not who wrote it down, as a log folder may outlive its installation; and
#: not the cost, as prices change.
COMPARED: Final = tuple(
    name for name in Row.__struct_fields__ if name not in ("request_id", "instance", "cost_usd", "counted_usd")
)


def differing(journal: Row, ledger: Row) -> tuple[str, ...]:
    """The names of `COMPARED` in which two rows of a request are not the same."""
    return tuple(name for name in COMPARED if getattr(journal, name) != getattr(ledger, name))
