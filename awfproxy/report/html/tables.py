"""Tables of the page.

Rules: the first cell of a row is its heading; figures are at the right; what a phone has no room for has the class
``wide`` and stands in the others' details.  Rows beyond a table's length are added up by the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from awfproxy.report.html.markup import Child, Markup, el

#: rows of a table; what is beyond is added up in one
ROWS_MAX = 12


class Head(NamedTuple):
    """A column's heading."""

    text: str
    number: bool = True
    #: left out where there is no room
    wide: bool = False


class Cell(NamedTuple):
    """A cell with what it is sorted by."""

    text: Child
    value: float | None = None


def table(
    heads: Sequence[Head],
    rows: Sequence[Sequence[Cell]],
    *,
    caption: str | None = None,
    foot: Sequence[Sequence[Cell]] = (),
    sorts: bool = True,
) -> Markup:
    """A table.

    :param foot: rows that stay at the end
    :param sorts: whether a reader may sort it
    """
    head = el("tr", *(el("th", each.text, scope="col", class_=_class(each)) for each in heads))
    return el(
        "div",
        el(
            "table",
            None if caption is None else el("caption", caption),
            el("thead", head),
            el("tbody", *(_row(heads, row) for row in rows)),
            el("tfoot", *(_row(heads, row) for row in foot)) if foot else None,
            class_="sorts" if sorts and len(rows) > 2 else None,
        ),
        class_="scroll",
    )


def behind(summary: str, content: Child) -> Markup:
    """What is shown when somebody asks for it."""
    return el("details", el("summary", summary), content)


def _row(heads: Sequence[Head], row: Sequence[Cell]) -> Markup:
    cells = []
    for place, (head, cell) in enumerate(zip(heads, row, strict=True)):
        value = None if cell.value is None else f"{cell.value:.9g}"
        if place == 0:
            cells.append(el("th", cell.text, scope="row", data_v=value))
        else:
            cells.append(el("td", cell.text, class_=_class(head), data_v=value))
    return el("tr", *cells)


def _class(head: Head) -> str | None:
    return " ".join(word for word, wanted in (("n", head.number), ("wide", head.wide)) if wanted) or None
