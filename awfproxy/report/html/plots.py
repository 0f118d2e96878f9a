"""Plots, as SVG in the page.

Rules: lengths across are shares of the width and lengths down are pixels, so that a plot is as sharp and its letters as
large on a phone as on a wall.  A plot is an image with a sentence for those who do not see it; its figures stand in a
table beside it, which is the caller's.  Colours are classes (`palette`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from awfproxy.report.html.markup import Child, Markup, el, joined, lines, percent

#: pixels: of the drawn part of a plot, above it for the topmost line's words, below it for what is under the columns
HEIGHT: Final = 180
ABOVE: Final = 18
BELOW: Final = 22
#: of a column's place, how much it takes
WIDE: Final = 0.82
#: least pixels of what is not 0
LEAST: Final = 1.0
#: words under the columns, at most; on a phone every other one is left out
TICKS: Final = 8
#: a column is no wider than if there were so many
COLUMNS_LEAST: Final = 12
#: characters of words that may stand in the middle under an outermost column
SHORT: Final = 3
#: lines across
LINES: Final = 4

_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
#: by which a line may be above the highest column
_ROUND: Final = 1e-9


class Series(NamedTuple):
    """One colour of a plot."""

    name: str
    #: class of its colour, of `palette.COLOURS`
    colour: str
    values: Sequence[float]


class Column(NamedTuple):
    """One place along a plot."""

    #: under it; "": nothing
    label: str
    #: what is told of it: the first line is its heading
    told: Sequence[str]


class Mark(NamedTuple):
    """A line down, between columns."""

    #: columns from the left
    at: float
    label: str


def stacked(
    columns: Sequence[Column],
    series: Sequence[Series],
    words: str,
    figure: Callable[[float], str],
    *,
    most: float | None = None,
    marks: Sequence[Mark] = (),
) -> Markup:
    """Columns of stacked pieces, the first series at the bottom.

    :param words: what the plot shows, in a sentence
    :param figure: how a height is written
    :param most: the height of the plot; None: what the columns need
    """
    highest = max((sum(each.values[at] for each in series) for at in range(len(columns))), default=0)
    top, heights = _scale(highest if most is None else most)
    base = ABOVE + HEIGHT
    parts: list[Child] = [_line(value / top) for value in heights]
    wide = 1 / max(len(columns), COLUMNS_LEAST)
    for at, column in enumerate(columns):
        pieces: list[Child] = []
        below = 0.0
        for each in series:
            high = each.values[at] / top * HEIGHT
            if high > 0:
                high = max(high, LEAST)
                pieces.append(_box(at, wide, base - below - high, high, each.colour))
                below += high
        title = el("title", lines(*column.told))
        hit = el("rect", class_="hit", x=percent(at * wide), y=ABOVE, width=percent(wide), height=HEIGHT)
        parts.append(el("g", title, pieces, hit, class_="column"))
    parts.append(el("line", class_="base", x1="0", x2="100%", y1=base, y2=base))
    parts += [_value(value / top, figure(value)) for value in heights]
    parts += [_mark(mark.at * wide, mark.label) for mark in marks]
    parts += _ticks(columns, wide, base + 15)
    return el("svg", *parts, class_="plot", role="img", aria_label=words, width="100%", height=ABOVE + HEIGHT + BELOW)


def bar(parts: Sequence[tuple[float, str]], words: str | None = None, *, high: int = 8) -> Markup:
    """A bar from left to right.

    :param parts: shares of the whole width, and their colours
    :param words: what it shows; None: what stands beside it says the same
    """
    boxes: list[Child] = []
    begin = 0.0
    for share, colour in parts:
        if share > 0:
            boxes.append(el("rect", class_=colour, x=percent(begin), y=0, width=percent(share), height=high))
            begin += share
    hidden = {"aria_hidden": "true"} if words is None else {"role": "img", "aria_label": words}
    return el("svg", *boxes, class_="bar", width="100%", height=high, **hidden)


def legend(entries: Sequence[tuple[str, Child]]) -> Markup:
    """Colours and their names."""
    return el("ul", *(el("li", swatch(colour), " ", text) for colour, text in entries), class_="legend")


def swatch(colour: str) -> Markup:
    """A spot of a colour."""
    box = el("rect", class_=colour, width=10, height=10, rx=2)
    return el("svg", box, class_="swatch", width=10, height=10, aria_hidden="true")


def _box(at: int, wide: float, y: float, high: float, colour: str) -> Markup:
    begin = (at + (1 - WIDE) / 2) * wide
    return el("rect", class_=colour, x=percent(begin), y=y, width=percent(wide * WIDE), height=high)


def _line(share: float) -> Markup:
    y = ABOVE + HEIGHT * (1 - share)
    return el("line", class_="grid", x1="0", x2="100%", y1=y, y2=y)


def _value(share: float, text: str) -> Markup:
    return el("text", text, class_="value", x=-6, y=ABOVE + HEIGHT * (1 - share) + 4, text_anchor="end")


def _mark(at: float, label: str) -> Markup:
    side, beside = ("end", -4) if at > 0.8 else ("start", 4)
    return joined(
        el("line", class_="mark", x1=percent(at), x2=percent(at), y1=4, y2=ABOVE + HEIGHT),
        el("text", label, class_="marked", x=percent(at), y=12, text_anchor=side, dx=beside),
    )


def _ticks(columns: Sequence[Column], wide: float, y: int) -> list[Child]:
    labelled = [at for at, column in enumerate(columns) if column.label]
    every = -(-len(labelled) // TICKS) or 1
    found: list[Child] = []
    for number, at in enumerate(labelled[::every]):
        middle = (at + 0.5) * wide
        long = len(columns[at].label) > SHORT
        side = "start" if long and middle < 0.08 else "end" if long and middle > 0.92 else "middle"
        x = at * wide if side == "start" else 1.0 if side == "end" else middle
        kind = "tick minor" if number % 2 else "tick"
        found.append(el("text", columns[at].label, class_=kind, x=percent(x), y=y, text_anchor=side))
    return found


def _scale(highest: float) -> tuple[float, list[float]]:
    """The height of a plot, and where its lines are."""
    if highest <= 0:
        return 1.0, []
    unit = 10.0 ** _digits(highest / LINES)
    step = next(unit * factor for factor in _STEPS if unit * factor * LINES >= highest)
    return highest, [step * number for number in range(1, LINES + 1) if step * number <= highest * (1 + _ROUND)]


def _digits(value: float) -> int:
    """The exponent of the power of ten that is not above it."""
    digits = 0
    while value >= 10:
        value, digits = value / 10, digits + 1
    while 0 < value < 1:
        value, digits = value * 10, digits - 1
    return digits
