"""Exports as CSV: what the providers' dashboards save.

Rules: the columns tell what it is, not the file's name; commas, semicolons, tabs and bars are known as delimiters; a
cell or a line that is too long, or broken quoting, is a fault with its line and column.  Nothing is held but one row.
No cell is ever evaluated.

* OpenAI's dashboard: the members of the interface's results as columns, times as ``start_time`` and ``end_time`` (in
  seconds) and the same in ISO 8601; counts written ``59200.0``; a row without figures for an empty bucket; costs as
  ``amount_value`` in ``amount_currency``, with ``line_item``.
* Anthropic's console: ``usage_date_utc`` (a day, or an hour), ``model_version`` and ``usage_..._tokens_...``; costs as
  ``cost_usd`` by ``token_type``, with the names of models as people write them.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import IO, Final

from awfproxy.report.escaping import short, visible
from awfproxy.report.reconcile.cells import Wrong, count_of, is_day, money_of, time_of
from awfproxy.report.reconcile.export_json import Told, openai_counts, plain
from awfproxy.report.reconcile.names import model_of_item
from awfproxy.report.reconcile.used import DAY, NO_COUNTS, Counts, Faults, Used

#: characters of a line, and of a cell; names and ids have some hundred, notes some thousand
LINE_MAX: Final = 1024 * 1024
CELL_MAX: Final = 128 * 1024
#: columns of a table; the widest export has 24
COLUMNS_MAX: Final = 256
#: lines before the head: notes that a person or a program has put there
BEFORE_MAX: Final = 8
_DELIMITERS: Final = ",;\t|"

Cells = Mapping[str, str]
_DOLLAR: Final = Decimal(1)

#: columns that tell two rows of the same time apart
_IDENTITY: Final = (
    *("model", "model_version", "api_key", "api_key_id", "project_id", "workspace", "workspace_id", "user_id", "batch"),
    *("service_tier", "line_item", "token_type", "usage_type", "context_window", "cost_type", "inference_geo", "speed"),
)


class _Cell(Exception):
    """A cell that is wrong: its column, and why."""

    def __init__(self, column: str, why: str) -> None:
        super().__init__(why)
        self.column = column


def read_csv(text: IO[str], path: str, faults: Faults, take: Callable[[Used], None]) -> Told:
    """Gives every row of a table to `take`."""
    told = Told()
    lines = _Lines(text, path, faults)
    head = _head(lines)
    if head is None:
        faults.add(path, "is no export that is known here: neither JSON nor a table with the columns of one")
        return told
    delimiter, columns, read = head
    limit = csv.field_size_limit(CELL_MAX)
    try:
        rows = csv.reader(lines, delimiter=delimiter, strict=True)
        while True:
            try:
                cells = next(rows)
            except StopIteration:
                break
            except csv.Error as error:
                faults.add(f"{path}:{lines.number}", f"is no line of a table: {error}")
                continue
            if not any(cell.strip() for cell in cells):
                continue
            at = f"{path}:{lines.number}"
            if len(cells) > len(columns):
                faults.add(at, f"has {len(cells):,} cells under {len(columns)} columns")
                continue
            _row(dict(zip(columns, cells, strict=False)), read, at, faults, take, told)
    finally:
        csv.field_size_limit(limit)
    return told


class _Lines:
    """Lines of a text, each at most `LINE_MAX` long."""

    def __init__(self, text: IO[str], path: str, faults: Faults) -> None:
        self._text = text
        self._path = path
        self._faults = faults
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while line := self._text.readline(LINE_MAX + 1):
            self.number += 1
            if len(line) <= LINE_MAX:
                return line
            self._faults.add(f"{self._path}:{self.number}", "is longer than any line of an export")
            while line and not line.endswith(("\n", "\r")):
                line = self._text.readline(LINE_MAX)
        raise StopIteration


Reader = Callable[[Cells, int, int], Used | None]


def _head(lines: _Lines) -> tuple[str, list[str], Reader] | None:
    """Delimiter and columns by the first line that is a head, and what reads the rows under it."""
    for line in lines:
        for delimiter in _DELIMITERS:
            names = [cell.strip().strip('"').strip().lower() for cell in line.strip().split(delimiter)[:COLUMNS_MAX]]
            for needed, read in _SHAPES:
                if needed.issubset(names):
                    return delimiter, names, read
        if lines.number >= BEFORE_MAX:
            return None
    return None


def _row(cells: Cells, read: Reader, at: str, faults: Faults, take: Callable[[Used], None], told: Told) -> None:
    try:
        begin, end = _times(cells)
        used = read(cells, begin, end)
    except _Cell as wrong:
        faults.add(f"{at}: column {wrong.column}", str(wrong))
        return
    except Wrong as error:
        faults.add(at, str(error))
        return
    told.spans.append((_provider(cells), begin, end))
    if len(told.spans) > 1 and told.spans[-2] == told.spans[-1]:
        told.spans.pop()
    if used is not None:
        take(used)


def _provider(cells: Cells) -> str:
    return "anthropic" if "usage_date_utc" in cells else "openai"


def _times(cells: Cells) -> tuple[int, int]:
    if "usage_date_utc" in cells:
        begin = _time(cells, "usage_date_utc")
        if begin is None:
            raise _Cell("usage_date_utc", "is empty")
        # Of an hour it is only known that it is in one.
        return begin, begin + (DAY if is_day(cells["usage_date_utc"]) else 1)
    found: list[int] = []
    for names in (("start_time", "start_time_iso"), ("end_time", "end_time_iso")):
        times = [time for name in names if (time := _time(cells, name)) is not None]
        if not times:
            raise _Cell(names[0], "is empty")
        found.append(times[0])
    if found[0] >= found[1]:
        raise _Cell("end_time", "is not after start_time")
    return found[0], found[1]


def _time(cells: Cells, name: str) -> int | None:
    try:
        return time_of(cells.get(name, ""))
    except Wrong as error:
        raise _Cell(name, str(error)) from None


def _count(cells: Cells, name: str) -> int | None:
    try:
        return count_of(cells.get(name, ""))
    except Wrong as error:
        raise _Cell(name, str(error)) from None


def _money(cells: Cells, name: str) -> tuple[int, int] | None:
    try:
        return money_of(plain(cells.get(name, "").strip()), _DOLLAR)
    except Wrong as error:
        raise _Cell(name, str(error)) from None


def _text(cells: Cells, *names: str) -> str | None:
    for name in names:
        text = cells.get(name, "").strip()
        if text:
            return short(text)
    return None


def _common(used: Used, cells: Cells) -> Used:
    """The row with what all shapes have alike."""
    batch = (_text(cells, "batch") or "").lower() == "true" or "batch" in (
        _text(cells, "service_tier"),
        _text(cells, "usage_type"),
    )
    grouping = tuple(cells.get(name, "") for name in _IDENTITY)
    return Used(
        *(used.provider, used.begin, used.end, used.model, used.counts, used.requests, used.cost, used.item),
        _text(cells, "api_key_id", "api_key"),
        _text(cells, "project_id", "workspace_id", "workspace"),
        batch,
        used.token_slack,
        used.cost_slack,
        hash((used.provider, used.begin, used.cost is None, *grouping)),
        hash(tuple(cells.items())),
        _IDENTITY,
        grouping,
    )


def _openai(cells: Cells, begin: int, end: int) -> Used | None:
    every = _count(cells, "input_tokens")
    output, requests = _count(cells, "output_tokens"), _count(cells, "num_model_requests")
    if every is None and output is None and requests is None:
        return None  # a bucket in which nothing was used
    if every is None:
        raise _Cell("input_tokens", "is empty, and the row has other figures")
    read, written = _count(cells, "input_cached_tokens"), _count(cells, "input_cache_write_tokens")
    try:
        counts = openai_counts(every, read, written, output)
    except Wrong as error:
        raise _Cell("input_cached_tokens", str(error)) from None
    return _common(Used("openai", begin, end, _text(cells, "model"), counts, requests), cells)


def _openai_cost(cells: Cells, begin: int, end: int) -> Used | None:
    found = _money(cells, "amount_value")
    if found is None:
        return None
    currency = _text(cells, "amount_currency")
    if currency is not None and currency.lower() != "usd":
        raise _Cell("amount_currency", f"“{visible(currency)}” is not usd; prices are known in dollars only")
    line = _text(cells, "line_item")
    model = None if line is None else model_of_item(line)
    item = line if model is None else None
    used = Used("openai", begin, end, model, NO_COUNTS, cost=found[0], cost_slack=found[1], item=item)
    return _common(used, cells)


def _anthropic(cells: Cells, begin: int, end: int) -> Used:
    # Before there were writes for an hour, all writes had one column.
    written = _count(cells, "usage_input_tokens_cache_write_5m")
    if written is None:
        written = _count(cells, "usage_input_tokens_cache_write")
    counts: Counts = (
        _count(cells, "usage_input_tokens_no_cache"),
        _count(cells, "usage_input_tokens_cache_read"),
        written,
        _count(cells, "usage_input_tokens_cache_write_1h"),
        _count(cells, "usage_output_tokens"),
    )
    if counts[0] is None:
        raise _Cell("usage_input_tokens_no_cache", "is empty")
    return _common(Used("anthropic", begin, end, _text(cells, "model_version", "model"), counts), cells)


def _anthropic_cost(cells: Cells, begin: int, end: int) -> Used | None:
    found = _money(cells, "cost_usd")
    if found is None:
        return None
    kind = _text(cells, "cost_type")
    item = None if kind in (None, "token", "tokens") else _text(cells, "token_type", "cost_type")
    model = _text(cells, "model")
    used = Used("anthropic", begin, end, model, NO_COUNTS, cost=found[0], cost_slack=found[1], item=item)
    return _common(used, cells)


#: the columns that tell a shape; the first shape counts of which all are there
_SHAPES: Final[tuple[tuple[frozenset[str], Reader], ...]] = (
    (frozenset(("usage_date_utc", "usage_input_tokens_no_cache", "usage_output_tokens")), _anthropic),
    (frozenset(("usage_date_utc", "cost_usd")), _anthropic_cost),
    (frozenset(("start_time", "end_time", "input_tokens", "num_model_requests")), _openai),
    (frozenset(("start_time_iso", "end_time_iso", "input_tokens", "num_model_requests")), _openai),
    (frozenset(("start_time", "end_time", "amount_value")), _openai_cost),
    (frozenset(("start_time_iso", "end_time_iso", "amount_value")), _openai_cost),
)
