"""A table of cells, for a terminal, GitHub's markdown, or a spreadsheet.

Rules: every text in a cell may have been chosen by an attacker and goes through `escaping`.  On a terminal a table is
never wider than it: columns are left out in the order of their `drop`, and that is said; names are folded, not cut,
because a cut one could be taken for another.
"""

import csv
import io
import textwrap
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from awfproxy.report.escaping import csv_cell, markdown_code, short, terminal

#: Lines under the head and over the foot, and none else; the eight rows are those of `rich.box.Box`.
_LINES: Final = "    \n    \n ── \n    \n    \n ── \n    \n    \n"
#: columns of a terminal between two columns of a table
_GAP: Final = 2
#: wide enough for everything
_UNLIMITED: Final = 1_000_000_000
#: columns of a terminal down to which names are folded before a column is left out
_NAME_READABLE: Final = 20
#: below which a folded name could not be read any more; the table is wider than the terminal then
_NAME_LEAST: Final = 8


class Column(msgspec.Struct, frozen=True):
    title: str
    #: figures stand on the right
    figures: bool = False
    #: what is left out first where the terminal is too narrow: the greatest; 0 never is
    drop: int = 0


class Table(msgspec.Struct, frozen=True):
    """Cells by row; the last row may be a total."""

    columns: tuple[Column, ...]
    rows: Sequence[tuple[str, ...]]
    total: tuple[str, ...] | None = None

    def without(self, place: int) -> "Table":
        """The table without one of its columns."""

        def rest(row: tuple[str, ...]) -> tuple[str, ...]:
            return row[:place] + row[place + 1 :]

        columns = self.columns[:place] + self.columns[place + 1 :]
        return Table(columns, [rest(row) for row in self.rows], None if self.total is None else rest(self.total))


def pretty(table: Table, width: int | None = None) -> str:
    """Aligned columns for a terminal.

    :param width: columns that the terminal has; None: as wide as the table needs
    """
    # Imported here: the other formats do without, and `awf --help` even more so.
    from rich.box import Box
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = Table(
        table.columns,
        [tuple(terminal(short(cell)) for cell in row) for row in table.rows],
        None if table.total is None else tuple(terminal(short(cell)) for cell in table.total),
    )

    def natural(table: Table) -> list[int]:
        rows = [tuple(column.title for column in table.columns), *table.rows, *([table.total] if table.total else [])]
        return [max(map(cell_len, cells)) for cells in zip(*rows, strict=True)]

    titles = [column.title for column in shown.columns]
    widths = natural(shown)
    while width is not None and _least(shown.columns, widths) > width:
        drop, place = max(((column.drop, place) for place, column in enumerate(shown.columns)), default=(0, 0))
        if drop == 0:
            break
        shown = shown.without(place)
        del widths[place]
    if width is not None:
        widths = _folded(shown.columns, widths, width)

    drawn = RichTable(
        box=Box(_LINES), show_footer=shown.total is not None, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0)
    )
    totals = shown.total or ("",) * len(shown.columns)
    for column, total, wide in zip(shown.columns, totals, widths, strict=True):
        drawn.add_column(
            Text(column.title),
            footer=Text(total),
            justify="right" if column.figures else "left",
            no_wrap=column.figures,
            overflow="fold",
            width=wide,
        )
    for row in shown.rows:
        drawn.add_row(*(Text(cell) for cell in row))
    out = io.StringIO()
    Console(file=out, width=_UNLIMITED, color_system=None, legacy_windows=False).print(drawn)
    text = "\n".join(line.rstrip() for line in out.getvalue().strip("\n").splitlines()) + "\n"
    kept = {column.title for column in shown.columns}
    dropped = [title for title in titles if title not in kept]
    return text + sentences([f"Not shown, for want of room: {', '.join(dropped)}."] if dropped else [], width)


def sentences(lines: Iterable[str], width: int | None = None) -> str:
    """Sentences below a table, each from a new line on and folded between words.

    :param lines: harmless in a terminal
    :param width: columns that the terminal has; None: a line for each
    """
    if width is None:
        return "".join(f"{line}\n" for line in lines)
    # A name stays in one piece, or it could be taken for two.
    return "".join(
        f"{textwrap.fill(line, max(width, 1), break_long_words=False, break_on_hyphens=False)}\n" for line in lines
    )


def _least(columns: Sequence[Column], widths: Sequence[int]) -> int:
    """How wide the table is with its names folded as far as they stay readable."""
    least = (
        wide if column.figures else min(wide, _NAME_READABLE) for column, wide in zip(columns, widths, strict=True)
    )
    return sum(least) + _GAP * (len(widths) - 1)


def _folded(columns: Sequence[Column], widths: list[int], width: int) -> list[int]:
    """Widths with which the table fits, names folded from the longest on; figures keep theirs."""
    widths = list(widths)
    over = sum(widths) + _GAP * (len(widths) - 1) - width
    while over > 0:
        wide, place = max(
            ((wide, place) for place, wide in enumerate(widths) if not columns[place].figures), default=(0, 0)
        )
        if wide <= _NAME_LEAST:
            break
        widths[place] -= 1
        over -= 1
    return widths


def markdown(table: Table) -> str:
    """A GitHub table; names stand as code, in which nothing is markup, a mention or a link.  Titles, figures and totals
    are ours and stand as they are."""
    lines = [
        "| " + " | ".join(column.title for column in table.columns) + " |",
        "|" + "|".join("--:" if column.figures else "---" for column in table.columns) + "|",
    ]
    for row in table.rows:
        cells = (
            cell if column.figures else markdown_code(short(cell))
            for column, cell in zip(table.columns, row, strict=True)
        )
        lines.append("| " + " | ".join(cells) + " |")
    if table.total is not None:
        lines.append("| " + " | ".join(f"**{cell}**" if cell else "" for cell in table.total) + " |")
    return "\n".join(lines) + "\n"


def details(summary: str, body: str) -> str:
    """Markdown that GitHub shows folded.

    :param summary: one line of markdown text, with every name in it escaped
    """
    return f"<details>\n<summary>{summary}</summary>\n\n{body.rstrip()}\n\n</details>\n"


def as_csv(titles: Sequence[str], rows: Sequence[Sequence[str | int | float | None]]) -> str:
    """Comma-separated values by RFC 4180; None is an empty cell, numbers are numbers."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([csv_cell(title) for title in titles])
    for row in rows:
        writer.writerow(["" if cell is None else csv_cell(cell) if isinstance(cell, str) else cell for cell in row])
    return out.getvalue()
