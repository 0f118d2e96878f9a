"""Exports as JSON: what the providers' usage and cost interfaces answer.

Rules: a document is a page, a list of pages or of buckets, or one of them a line.  Each result is read for itself, so
that one that is not as documented is a fault with its place, and no more.  Times are UTC, as documented.

* OpenAI, ``/v1/organization/usage/completions`` (embeddings and moderations too) and ``/v1/organization/costs``:
  buckets with ``start_time`` and ``end_time`` in seconds; input counts what was read from the cache and written to it;
  amounts are dollars (developers.openai.com, "Usage").
* Anthropic, ``/v1/organizations/usage_report/messages`` and ``/v1/organizations/cost_report``: buckets with
  ``starting_at`` and ``ending_at``; classes that do not overlap; amounts are decimal texts of cents
  (platform.claude.com, "Usage and Cost API").
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec import Raw, field

from awfproxy.report.reconcile.cells import Wrong, checked_count, checked_time, money_of, time_of
from awfproxy.report.reconcile.names import model_of_item
from awfproxy.report.reconcile.used import NO_COUNTS, Counts, Faults, Used

#: bytes of one document: a page of 1,440 buckets with a hundred results each has some 40 MB
DOCUMENT_MAX: Final = 64 * 1024 * 1024

#: OpenAI's kinds of results that have tokens
_OF_TOKENS: Final = ("completions", "embeddings", "moderations")
_USAGE: Final = "organization.usage."
_COMPLETIONS: Final = "organization.usage.completions."
_COSTS: Final = "organization.costs.result"
#: what tells two results of the same time apart: what they may be grouped by
_COLUMNS: Final = (
    *("object", "model", "api_key_id", "project_id", "workspace_id", "batch"),
    *("service_tier", "line_item", "description"),
)
_DOLLAR, _CENT = Decimal(1), Decimal("0.01")

Number = int | float


class _Part(msgspec.Struct, gc=False):
    """A page, or a bucket."""

    data: list[_Part] | None = None
    results: list[Raw] | None = None
    #: what older descriptions of OpenAI's call `results`
    result: list[Raw] | None = None
    start_time: Number | None = None
    end_time: Number | None = None
    starting_at: str | None = None
    ending_at: str | None = None
    has_more: bool | None = None


class _Written(msgspec.Struct, gc=False):
    ephemeral_5m_input_tokens: Number | None = None
    ephemeral_1h_input_tokens: Number | None = None


class _Result(msgspec.Struct, gc=False):
    object: str | None = None
    model: str | None = None
    api_key_id: str | None = None
    project_id: str | None = None
    workspace_id: str | None = None
    batch: bool | None = None
    service_tier: str | None = None
    num_model_requests: Number | None = None
    input_tokens: Number | None = None
    input_cached_tokens: Number | None = None
    input_cache_write_tokens: Number | None = None
    output_tokens: Number | None = None
    uncached_input_tokens: Number | None = None
    cache_read_input_tokens: Number | None = None
    cache_creation: _Written | None = None
    amount: Any = None
    currency: str | None = None
    line_item: str | None = None
    cost_type: str | None = None
    description: str | None = None


class _Amount(msgspec.Struct, gc=False):
    #: a number in the documentation, a text of many digits in what is answered
    value: Number | str | None = None
    currency: str | None = None


class Told(msgspec.Struct):
    """What a file has beside its rows."""

    #: buckets: begin and end; also of empty ones
    spans: list[tuple[str, int, int]] = field(default_factory=list)
    #: the provider has more pages than the file
    cut: bool = False
    #: results of kinds that have no tokens, by kind
    passed: dict[str, int] = field(default_factory=dict)


_decode_part: Final = msgspec.json.Decoder(_Part)
_decode_parts: Final = msgspec.json.Decoder(list[_Part])
_decode_result: Final = msgspec.json.Decoder(_Result).decode


def read_json(document: bytes, path: str, faults: Faults, take: Callable[[Used], None]) -> Told:
    """Gives every row of a document to `take`."""
    told = Told()
    try:
        parts = _parts(document)
    except msgspec.ValidationError as error:
        faults.add(path, f"is no usage or cost export: {_reason(error)}")
        return told
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        faults.add(f"{path}:{_line(document, error)}", f"is no JSON: {_reason(error)}")
        return told
    for number, part in enumerate(parts):
        at = f"[{number}]" if len(parts) > 1 else ""
        told.cut |= bool(part.has_more)
        if part.data is None:
            _bucket(part, f"{path}: ${at}", faults, take, told)
        for place, bucket in enumerate(part.data or ()):
            _bucket(bucket, f"{path}: ${at}.data[{place}]", faults, take, told)
    # Pages that follow one another say so of each but the last.
    told.cut = bool(parts) and bool(parts[-1].has_more)
    return told


def _parts(document: bytes) -> list[_Part]:
    if document.lstrip()[:1] == b"[":
        return _decode_parts.decode(document)
    try:
        return [_decode_part.decode(document)]
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        if b"\n" not in document.strip():
            raise
        try:
            return _decode_part.decode_lines(document)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
        raise


def _bucket(bucket: _Part, at: str, faults: Faults, take: Callable[[Used], None], told: Told) -> None:
    results = bucket.results if bucket.results is not None else bucket.result
    try:
        if bucket.start_time is not None and bucket.end_time is not None:
            provider = "openai"
            begin, end = checked_time(bucket.start_time), checked_time(bucket.end_time)
        elif bucket.starting_at is not None and bucket.ending_at is not None:
            provider = "anthropic"
            begin, end = time_of(bucket.starting_at) or 0, time_of(bucket.ending_at) or 0
        else:
            raise Wrong("has neither start_time and end_time nor starting_at and ending_at, as exports have")
        if begin >= end:
            raise Wrong("ends before it begins")
        if results is None:
            raise Wrong("has no results")
    except Wrong as error:
        faults.add(at, str(error))
        return
    told.spans.append((provider, begin, end))
    for place, raw in enumerate(results):
        where = f"{at}.results[{place}]"
        try:
            used = _used(_decode_result(raw), provider, begin, end, told)
            if used is not None:
                used = msgspec.structs.replace(used, written=hash((begin, end, bytes(raw))))
        except Wrong as error:
            faults.add(where, str(error))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            faults.add(where, _reason(error))
        else:
            if used is not None:
                take(used)


def _used(result: _Result, provider: str, begin: int, end: int, told: Told) -> Used | None:
    kind = result.object or ""
    if provider == "anthropic":
        used = _anthropic(result, begin, end)
    elif kind.startswith(_USAGE):
        name = kind.removeprefix(_USAGE).partition(".")[0][:64]
        if name not in _OF_TOKENS:
            told.passed[name] = told.passed.get(name, 0) + 1
            return None
        used = _openai(result, begin, end)
    elif kind == _COSTS:
        used = _openai_cost(result, begin, end)
    else:
        raise Wrong("is no result of usage or costs")
    grouping = _grouping(result)
    return msgspec.structs.replace(
        used,
        key=result.api_key_id,
        project=result.project_id or result.workspace_id,
        batch=bool(result.batch) or result.service_tier == "batch",
        identity=hash((provider, begin, end, result.amount is None, grouping)),
        columns=_COLUMNS,
        grouping=grouping,
    )


def _grouping(result: _Result) -> tuple[str | None, ...]:
    batch = None if result.batch is None else str(result.batch)
    return (
        *(result.object, result.model, result.api_key_id, result.project_id, result.workspace_id, batch),
        *(result.service_tier, result.line_item, result.description),
    )


def _openai(result: _Result, begin: int, end: int) -> Used:
    every, read = checked_count(result.input_tokens), checked_count(result.input_cached_tokens)
    written, output = checked_count(result.input_cache_write_tokens), checked_count(result.output_tokens)
    if not (result.object or "").startswith(_COMPLETIONS):
        # Embeddings and moderations have an input and nothing else.
        read, output = read or 0, output or 0
    counts = openai_counts(every, read, written, output)
    return Used("openai", begin, end, result.model, counts, checked_count(result.num_model_requests))


def openai_counts(every: int | None, read: int | None, written: int | None, output: int | None) -> Counts:
    """Classes of OpenAI's figures, whose input counts the cached tokens too.

    :raises Wrong: more is cached than there is
    """
    if every is None:
        raise Wrong("has no input_tokens")
    uncached = every - (read or 0) - (written or 0)
    if uncached < 0:
        raise Wrong("has more cached tokens than input tokens")
    return uncached, read, written, None, output


def _anthropic(result: _Result, begin: int, end: int) -> Used:
    if result.uncached_input_tokens is None:
        return _anthropic_cost(result, begin, end)
    kept = result.cache_creation or _Written()
    counts = (
        checked_count(result.uncached_input_tokens),
        checked_count(result.cache_read_input_tokens),
        checked_count(kept.ephemeral_5m_input_tokens),
        checked_count(kept.ephemeral_1h_input_tokens),
        checked_count(result.output_tokens),
    )
    return Used("anthropic", begin, end, result.model, counts)


def _anthropic_cost(result: _Result, begin: int, end: int) -> Used:
    if not isinstance(result.amount, str):
        raise Wrong("has neither uncached_input_tokens nor an amount")
    pico, slack = _money(result.amount, _CENT, result.currency)
    of_tokens = result.cost_type in (None, "tokens")
    item = None if of_tokens else result.description or result.cost_type
    return Used("anthropic", begin, end, result.model, NO_COUNTS, cost=pico, cost_slack=slack, item=item)


def _openai_cost(result: _Result, begin: int, end: int) -> Used:
    amount = msgspec.convert(result.amount, _Amount) if result.amount is not None else _Amount()
    if amount.value is None:
        raise Wrong("has no amount")
    pico, slack = _money(str(amount.value), _DOLLAR, amount.currency)
    model = None if result.line_item is None else model_of_item(result.line_item)
    item = result.line_item if model is None else None
    return Used("openai", begin, end, model, NO_COUNTS, cost=pico, cost_slack=slack, item=item)


def _money(text: str, unit: Decimal, currency: str | None) -> tuple[int, int]:
    if currency is not None and currency.lower() != "usd":
        raise Wrong("is not in dollars; prices are known in dollars only")
    found = money_of(plain(text), unit)
    if found is None:
        raise Wrong("has no amount")
    return found


def plain(text: str) -> str:
    """A number without an exponent: JSON writes small amounts as ``6e-05``."""
    if "e" not in text.lower() or len(text) > 40:
        return text
    try:
        value = Decimal(text)
        exponent = value.as_tuple().exponent
        # Only such small ones: a large exponent would make a text as long as it says.
        return f"{value:f}" if isinstance(exponent, int) and -40 <= exponent <= 12 else text
    except ArithmeticError:
        return text


def _reason(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__


def _line(document: bytes, error: Exception) -> int:
    """The line in which a document is broken."""
    number = str(error).rpartition("(byte ")[2].rstrip(")")
    place = int(number) if number.isdecimal() else len(document)
    return document.count(b"\n", 0, place) + 1
