"""The report of token usage: what was used, by group, from token-usage.jsonl.

Rules: each record counts once, however many files hold it.  A figure is shown as what is known of it: `1,234` whole,
`≥1,234` where some calls did not report it, `?` where none did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import IO, Final, Protocol

import msgspec

from awfproxy.report.costs import Costs, PlainCounted, PlainRow
from awfproxy.report.filters import Filters
from awfproxy.report.lines import Lines, find_files, size_of
from awfproxy.report.reading import USAGE, USAGE_BUT, Remarks, expected, many
from awfproxy.report.rows import COUNTLESS, LABELS, OUTPUT, Counted, Reason, Row, decoded, know_output
from awfproxy.report.seen import Seen
from awfproxy.report.sums import Groups, Totals
from awfproxy.report.totals import Grouped

#: blocks that are read line by line after several that could not be decoded at once
BLOCKS_PASSED_MAX: Final = 63

class View(msgspec.Struct, frozen=True):
    """How a report is drawn."""

    #: of `sums.ORDERS`; None: times in order, all else by size
    sort: str | None = None
    #: groups that are told apart, the others together as one; None: all, in markdown as many as a summary may have
    limit: int | None = None
    #: columns of the terminal; None: as many as it takes
    width: int | None = None


class Priced(Protocol):
    """What a report tells of its costs, beside them."""

    @property
    def description(self) -> str:
        """Where all prices are from."""

    #: calls of which a part of the cost is by a rule, or left out, by the price list's word for it
    assumed: dict[str, int]


class Usage:
    """Consumption by group, and what was left out of it.

    :param costs: None: costs were not asked for
    """

    def __init__(self, grouped: Groups, costs: Priced | None, filters: Filters | None) -> None:
        self.grouped = grouped
        self.costs = costs
        self.filters = filters or Filters()
        self.remarks = Remarks()
        self._overall: Totals | None = None

    @property
    def overall(self) -> Totals:
        """Everything that was counted; looked at when all is read."""
        if self._overall is None:
            self._overall = self.grouped.overall()
        return self._overall

    def render(self, form: str, view: View | None = None) -> str:
        """The report as `pretty`, `markdown`, `json` or `csv`."""
        from awfproxy.report.token_usage_forms import FORMS

        return FORMS[form](self, view or View())

    def inexact(self) -> str:
        """How many calls have figures that are not the provider's final ones, in words."""
        sources = self.overall.sources
        found = [f"{sources[name]:,} {name}" for name in sorted(sources) if name != "reported"]
        return f"of {many(self.overall.calls, 'call')} {', '.join(found)}"

    @property
    def found(self) -> bool:
        """Whether there is anything to tell."""
        return self.overall.calls > 0


class TokenUsage(Usage):
    """The same from the records of calls."""

    grouped: Grouped
    costs: Costs | None

    def __init__(self, by: Sequence[str], costs: Costs | None = None, filters: Filters | None = None) -> None:
        super().__init__(Grouped(by, costs), costs, filters)

    def read(self, files: Sequence[str], stdin: IO[bytes] | None, progress: Callable[[int], None] | None) -> None:
        """All records of the files, "-" among them, in one pass."""
        lines = Lines(files, stdin, progress)
        seen = Seen(expected(size_of(files), files))
        take, take_all = self.taker(seen), self._block_taker(seen)
        # Where a block has a line that is not plain, the next ones likely have too: they are read line by line.
        left = patience = 0
        for block in lines.blocks():
            if left:
                left -= 1
            elif take_all(block):
                patience = 0
                continue
            else:
                left = patience = min(2 * patience + 1, BLOCKS_PASSED_MAX)
            for line in block:
                reason = take(line)
                if reason is not None and not line.isspace():
                    self.remarks.count(reason)
        self.remarks.too_long += lines.too_long
        self.remarks.troubles += lines.troubles
        self.grouped.settle()

    def _block_taker(self, seen: Seen) -> Callable[[list[bytes]], bool]:
        """What takes many lines at once, as `taker` does each; it answers whether it did, and does nothing if not.

        Each step is done for all of them before the next one, which takes four fifths of the time.
        """
        repeated, count, remarks = seen.repeated, self.grouped.count, self.remarks
        wanted = self.filters.wants if self.filters else None
        decode = _decoder(self._types()[0])

        def take(lines: list[bytes]) -> bool:
            try:
                rows = list(map(decode, lines))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return False
            for place in [place for place, row in enumerate(rows) if row.unknown and OUTPUT in row.unknown]:
                know_output(rows[place], lines[place])
            left = rows
            if None in [row.input_tokens for row in rows]:
                left = [row for row in rows if row.input_tokens is not None or row.output_tokens is not None]
                for _ in range(len(rows) - len(left)):
                    remarks.count(COUNTLESS)
            if wanted is not None:
                left = [row for row in left if wanted(row)]
            # Each as `Counted.mark`, and twice as fast.
            marks = [
                hash((row.model, row.input_tokens, row.output_tokens, row.cache_read_tokens, row.cache_write_tokens))
                for row in left
            ]
            again = repeated([row.request_id for row in left], marks)
            if again:
                remarks.duplicates += len(again)
                remarks.differing = seen.differing
                met = set(again)
                left = [row for place, row in enumerate(left) if place not in met]
            apart = count(left, True)
            if apart:
                line_of = {id(row): line for row, line in zip(rows, lines, strict=True)}
                for bucket, row in apart:
                    self.grouped.price(bucket, row, line_of[id(row)])
            return True

        return take

    def taker(self, seen: Seen) -> Callable[[bytes], Reason | None]:
        """What takes lines, one after the other; it answers why one is no record of token usage.

        Call `grouped.settle` after the last one.

        :param seen: the ids that have been met
        """
        new, add, remarks = seen.add, self.grouped.add, self.remarks
        wanted = self.filters.wants if self.filters else None
        types = self._types()
        first, then = _decoder(types[0]), _decoder(types[1])

        def take(line: bytes) -> Reason | None:
            plain = True
            try:
                row = first(line)
                if row.unknown is not None and OUTPUT in row.unknown:
                    know_output(row, line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                # Either no record, or one whose price takes a longer look.
                plain = False
                found = decoded(line, then)
                if isinstance(found, str):
                    return found
                row = found
            if row.input_tokens is None and row.output_tokens is None:
                return COUNTLESS
            if wanted is not None and not wanted(row):
                return None
            if row.request_id is not None and not new(row.request_id, row.mark):
                remarks.duplicates += 1
                remarks.differing = seen.differing
                return None
            add(row, line, plain)
            return None

        return take

    def _types(self) -> tuple[type[Counted], type[Counted]]:
        """What plain lines are decoded as, and all others."""
        if (set(self.grouped.by) | set(self.filters.members)) & LABELS:
            return (Row if self.costs is None else PlainRow), Row
        return (Counted if self.costs is None else PlainCounted), Counted


def _decoder(kind: type[Counted]) -> Callable[[bytes], Counted]:
    return msgspec.json.Decoder(kind).decode


def files_of(paths: Sequence[str]) -> list[str]:
    """The files in which token usage is: of a folder token-usage*.jsonl*, and those in the folders within."""
    return find_files(paths, USAGE, USAGE_BUT)


def token_usage(
    paths: Sequence[str],
    by: Sequence[str] = ("provider", "model"),
    stdin: IO[bytes] | None = None,
    costs: Costs | None = None,
    filters: Filters | None = None,
    progress: Callable[[int], None] | None = None,
) -> TokenUsage:
    """Reads files, folders and "-" in one pass.

    Holds the groups and the request ids seen in memory, nothing else.

    :param by: names in `totals.KEYS`.
    :param stdin: what "-" means; the process's own standard input if None.
    :param costs: how to price; None: not at all
    :param progress: as `Lines` has it
    """
    report = TokenUsage(by, costs, filters)
    report.read(files_of(paths), stdin, progress)
    return report
