"""What was used when, and by which model, in memory that does not grow with the records.

Rules: a cell is a model in a piece of time; tokens and money in it are split by what they were for (`CLASSES`).  A
time is cut to a minute, and once there are too many cells to ten minutes, an hour, a day, a month: all of them are
beginnings of the text that the proxy writes.  What a call cost is what `report.costs` says: the sum over all cells is
the total of `awf logs token-usage`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from awfproxy.report.escaping import short
from awfproxy.report.rows import Counted
from awfproxy.report.sums import OTHERS, Sum
from awfproxy.report.times import TEN_MINUTES, comparable

if TYPE_CHECKING:
    from awfproxy.report.costs import Costs, Rates

#: characters of a time up to the minute, ten minutes, the hour, the day, the month; then nothing is told apart
LENGTHS: Final = (16, 15, 13, 10, 7, 0)
#: cells beyond which times are cut shorter, some 6 MB; models that are told apart at most, so that a cut is enough
CELLS_MAX: Final = 16_384
MODELS_MAX: Final = 1_024

#: what tokens and money are for: read and not from the cache, read from it, written to it, generated; and the count of
#: a record that each goes by
_COUNTS: Final = {
    "fresh": "input_tokens",
    "read": "cache_read_tokens",
    "written": "cache_write_tokens",
    "output": "output_tokens",
}
CLASSES: Final = tuple(_COUNTS)
_FIGURES: Final = (
    *("calls", "unpriced", "told", "told_read", *CLASSES, *(f"{each}_unknown" for each in CLASSES), "unknown", "least"),
    *("fresh_cost", "read_cost", "written_cost", "output_cost", "other_cost", "kept"),
)


class Cell:
    """Calls of one model in one piece of time.  Money is in pico-dollars."""

    __slots__ = (*_FIGURES, "provider", "rates", "slot")

    def __init__(self) -> None:
        #: of the call before: its ten minutes and its provider, and the rates that hold for such calls
        self.slot: str | None = ""
        self.provider: str | None = None
        self.rates: Rates | None = None
        self.calls = 0
        #: calls whose model has no price
        self.unpriced = 0
        #: calls of which what they read, or generated, is not known; the other counts as it is
        self.unknown = 0
        #: others of which not all has a price
        self.least = 0
        #: what was read by calls that say how much of it came from the cache
        self.told = 0
        #: and what of it was read from there
        self.told_read = 0
        self.fresh = 0
        self.read = 0
        self.written = 0
        self.output = 0
        #: calls that did not report it
        self.fresh_unknown = 0
        self.read_unknown = 0
        self.written_unknown = 0
        self.output_unknown = 0
        self.fresh_cost = 0
        self.read_cost = 0
        self.written_cost = 0
        self.output_cost = 0
        #: of calls that are not priced by these four alone: other ways of serving, sound, long prompts
        self.other_cost = 0
        #: what the cache saved: less for reading, more for writing; below 0 if it cost more than it saved
        self.kept = 0

    def merge(self, other: Cell) -> None:
        """The calls of another one."""
        for figure in _FIGURES:
            setattr(self, figure, getattr(self, figure) + getattr(other, figure))

    def sum(self, each: str) -> Sum:
        """One of `CLASSES`, with what is not known of it."""
        unknown = getattr(self, f"{each}_unknown")
        return Sum(getattr(self, each), self.calls - unknown, unknown)

    @property
    def tokens(self) -> int:
        """Everything read and written, as far as it is known."""
        return self.fresh + self.read + self.written + self.output

    @property
    def prompt(self) -> int:
        """Everything read."""
        return self.fresh + self.read + self.written

    @property
    def cost(self) -> int:
        return self.fresh_cost + self.read_cost + self.written_cost + self.output_cost + self.other_cost

    @property
    def hit_rate(self) -> float | None:
        """The share of what was read that came from the cache, over the calls that say so, as in `Totals`; None: none
        does."""
        return min(self.told_read / self.told, 1.0) if self.told else None


class Timeline:
    """Cells by time and model.

    :param costs: how calls are priced; None: not at all
    """

    def __init__(self, costs: Costs | None) -> None:
        self._costs = costs
        self._cells: dict[tuple[str | None, str | None], Cell] = {}
        self._models: set[str | None] = set()
        self._cut = 0
        self._length = LENGTHS[0]
        #: canonical times of the first and the last call
        self.first: str | None = None
        self.last: str | None = None

    def count(self, row: Counted, *, special: bool) -> None:
        """One more call whose four counts are there.

        :param special: its price is not by these counts alone; if it has one, `price` tells it
        """
        cell = self._cell_of(row)
        cell.calls += 1
        fresh, output = row.input_tokens or 0, row.output_tokens or 0
        read, written = row.cache_read_tokens or 0, row.cache_write_tokens or 0
        thought = row.reasoning_tokens or 0
        included = row.includes_cache
        unknown = row.unknown
        if unknown:
            read = self._less(cell, "read", unknown, read)
            written = self._less(cell, "written", unknown, written)
            output = self._less(cell, "output", unknown, output)
            thought = thought if output else 0
        everything = fresh if included else fresh + read + written
        if included:
            fresh = fresh - read - written if fresh > read + written else 0
        if unknown:
            fresh = self._less(cell, "fresh", unknown, fresh)
            cell.unknown += not row.whole
        if not unknown or ("input_tokens" not in unknown and "cache_read_tokens" not in unknown):
            cell.told += everything
            cell.told_read += read
        cell.fresh += fresh
        cell.read += read
        cell.written += written
        cell.output += output
        rates = cell.rates
        if rates is None:
            cell.unpriced += self._costs is not None
        elif not special:
            hour = _kept_an_hour(row) if written else 0
            of_read = read * rates.cache_read
            of_written = (written - hour) * rates.cache_write + hour * rates.cache_write_1h
            cell.fresh_cost += fresh * rates.input
            cell.read_cost += of_read
            cell.written_cost += of_written
            cell.output_cost += (output - thought) * rates.output + thought * rates.reasoning
            cell.other_cost += rates.call
            cell.kept += (read + written) * rates.input - of_read - of_written

    def price(self, row: Counted, pico: int, least: int = 0) -> None:
        """What a special call cost that `count` was told of.

        :param least: 1: not all of it has a price
        """
        cell = self._cell_of(row)
        cell.other_cost += pico
        cell.least += least

    @staticmethod
    def _less(cell: Cell, each: str, unknown: tuple[str, ...], count: int) -> int:
        """The count; 0 if it is not known, which is counted."""
        if _COUNTS[each] not in unknown:
            return count
        name = f"{each}_unknown"
        setattr(cell, name, getattr(cell, name) + 1)
        return 0

    def _cell_of(self, row: Counted) -> Cell:
        """The cell of a call, with the rates that hold for it."""
        when = comparable(row.admitted_at or row.timestamp)
        slot = None if when is None else when[:TEN_MINUTES]
        cell = self._cells.get((when and when[: self._length], row.model)) or self._cell(when, row.model)
        if cell.slot != slot or cell.provider != row.provider:
            cell.slot, cell.provider = slot, row.provider
            cell.rates = None if self._costs is None else self._costs.rates(row)
        if when is not None:
            if self.first is None or when < self.first:
                self.first = when
            if self.last is None or when > self.last:
                self.last = when
        return cell

    def _cell(self, when: str | None, model: str | None) -> Cell:
        model = None if model is None else short(model)
        if model not in self._models:
            if len(self._models) >= MODELS_MAX:
                model = OTHERS
            self._models.add(model)
        key = (when and when[: self._length], model)
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = Cell()
            if len(self._cells) > CELLS_MAX and self._length:
                while len(self._cells) > CELLS_MAX and self._length:
                    self._coarsen()
                return self._cell(when, model)
        return cell

    def _coarsen(self) -> None:
        self._cut += 1
        self._length = LENGTHS[self._cut]
        cells: dict[tuple[str | None, str | None], Cell] = {}
        for (time, model), cell in self._cells.items():
            key = (time and time[: self._length], model)
            into = cells.setdefault(key, cell)
            if into is not cell:
                into.merge(cell)
        self._cells = cells

    def cells(self) -> dict[tuple[str | None, str | None], Cell]:
        """By beginning of the time (None: not known) and model."""
        return self._cells

    def models(self) -> dict[str | None, Cell]:
        """By model, the dearest first; where nothing has a price, the largest."""
        found: dict[str | None, Cell] = {}
        for (_, model), cell in self._cells.items():
            found.setdefault(model, Cell()).merge(cell)
        return dict(sorted(found.items(), key=lambda each: (-each[1].cost, -each[1].tokens, each[0] or "")))

    def overall(self) -> Cell:
        """All calls."""
        whole = Cell()
        for cell in self._cells.values():
            whole.merge(cell)
        return whole


def _kept_an_hour(row: Counted) -> int:
    """Tokens written to the cache for an hour (Anthropic), of a row that has a plain `usage`."""
    usage = row.usage  # type: ignore[attr-defined]
    kept = None if usage is None else usage.cache_creation
    return 0 if kept is None else kept.ephemeral_1h_input_tokens or 0
