"""A table of cells, for a terminal, GitHub's markdown, or a spreadsheet.

Rules: every text in a cell may have been chosen by an attacker (a model's name, a label).  Nothing in it can move the
cursor, change what is beside it, mention a person, make a link, or become a formula.
"""

import csv
import io
import unicodedata
from collections.abc import Sequence

import msgspec

#: Unicode categories that do not show, or that change how others show: controls, formats (right-to-left marks among
#: them), surrogates, private use, line and paragraph separators, unassigned.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

#: How a cell begins that a spreadsheet takes for a formula (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

#: Lines under the head and over the foot, and none else; the eight rows are those of `rich.box.Box`.
_LINES = "    \n    \n ── \n    \n    \n ── \n    \n    \n"


class Column(msgspec.Struct, frozen=True):
    title: str
    #: figures stand on the right
    figures: bool = False


class Table(msgspec.Struct, frozen=True):
    """Cells by row; the last row may be a total."""

    columns: tuple[Column, ...]
    rows: Sequence[tuple[str, ...]]
    total: tuple[str, ...] | None = None


def visible(text: str) -> str:
    """The text with everything that does not show written out (`\\x1b`, `\\u202e`)."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(char) if unicodedata.category(char) in _UNSEEN else char for char in text)


def pretty(table: Table) -> str:
    """Aligned columns for a terminal, as wide as they need."""
    # Imported here: the other formats do without, and `awf --help` even more so.
    from rich.box import Box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(box=Box(_LINES), show_footer=table.total is not None, show_edge=False, pad_edge=False)
    totals = table.total or ("",) * len(table.columns)
    for column, total in zip(table.columns, totals, strict=True):
        drawn.add_column(
            Text(column.title),
            footer=Text(visible(total)),
            justify="right" if column.figures else "left",
            no_wrap=True,
        )
    for row in table.rows:
        drawn.add_row(*(Text(visible(cell)) for cell in row))
    out = io.StringIO()
    # Wide enough for anything: a name that was cut could be taken for another.
    unlimited = Console(file=out, width=1_000_000_000, color_system=None, legacy_windows=False)
    unlimited.print(drawn)
    return "\n".join(line.rstrip() for line in out.getvalue().strip("\n").splitlines()) + "\n"


def markdown(table: Table) -> str:
    """A GitHub table; names stand as code, in which nothing is markup, a mention or a link."""
    lines = [
        "| " + " | ".join(column.title for column in table.columns) + " |",
        "|" + "|".join("--:" if column.figures else "---" for column in table.columns) + "|",
    ]
    for row in table.rows:
        cells = (cell if column.figures else _code(cell) for column, cell in zip(table.columns, row, strict=True))
        lines.append("| " + " | ".join(cells) + " |")
    if table.total is not None:
        lines.append("| " + " | ".join(f"**{cell}**" if cell else "" for cell in table.total) + " |")
    return "\n".join(lines) + "\n"


def as_csv(titles: Sequence[str], rows: Sequence[Sequence[str | int | float | None]]) -> str:
    """Comma-separated values; None is an empty cell."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(titles)
    for row in rows:
        writer.writerow(["" if cell is None else _no_formula(cell) if isinstance(cell, str) else cell for cell in row])
    return out.getvalue()


def _escaped(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _code(text: str) -> str:
    # A pipe ends the cell even within code, so GitHub wants it escaped; a backtick would end the code.
    inner = visible(text).replace("`", "'").replace("|", "\\|").strip()
    return f"`{inner}`" if inner else ""


def _no_formula(text: str) -> str:
    text = visible(text)
    return f"'{text}" if text.startswith(_FORMULA) else text
