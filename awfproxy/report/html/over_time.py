"""The section of what was used when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from awfproxy.report.figures import NOT_SAID, count, dollars, share
from awfproxy.report.html.gathering import Gathered
from awfproxy.report.html.markup import Child, Markup, el, name, shown
from awfproxy.report.html.palette import MODELS
from awfproxy.report.html.plots import Column, Series, legend, stacked
from awfproxy.report.html.short_figures import axis_dollars, least, short_count
from awfproxy.report.html.tables import Cell as C
from awfproxy.report.html.tables import Head, behind, table
from awfproxy.report.html.time_axis import Step, begin_of, columns, labels, step_of
from awfproxy.report.html.timeline import LENGTHS, Cell
from awfproxy.report.times import moment

#: what the classes are called
CLASS_NAMES: Final = {
    "output": "generated",
    "fresh": "read, not cached",
    "written": "written to the cache",
    "read": "read from the cache",
}
#: the cost of calls that is not split, and why
OTHER_NAME: Final = "at special rates"
OTHER_WORDS: Final = "long prompts, other ways of serving, sound, pictures, searches"
#: the order in which they are drawn, from the bottom; the dear ones first
DRAWN: Final = ("output", "fresh", "written", "read")


class Drawn:
    """The timeline in columns of equal length.

    :param gathered: what was read
    """

    def __init__(self, gathered: Gathered) -> None:
        timeline = gathered.timeline
        self.models = list(timeline.models())
        first, last = moment(timeline.first), moment(timeline.last)
        self.step = Step(60)
        self.begins: list[datetime] = []
        self.by_model: list[dict[str | None, Cell]] = []
        if first is None or last is None:
            return
        # 0: so many months, or so many models, that times were not told apart any more
        length = min((len(cut) for cut, _ in timeline.cells() if cut is not None), default=LENGTHS[0])
        if not length:
            return
        self.step = step_of(first, last, length)
        self.begins = columns(first, last, self.step)
        places = {begin: place for place, begin in enumerate(self.begins)}
        self.by_model = [{} for _ in self.begins]
        for (cut, model), cell in timeline.cells().items():
            begin = None if cut is None else begin_of(cut)
            if begin is None:
                continue
            # A cut of a month may begin before the first call.
            place = places.get(self.step.begin(max(begin, self.begins[0])))
            if place is not None:
                self.by_model[place].setdefault(model, Cell()).merge(cell)

    def whole(self) -> list[Cell]:
        """All models of each column together."""
        found = []
        for cells in self.by_model:
            whole = Cell()
            for cell in cells.values():
                whole.merge(cell)
            found.append(whole)
        return found

    def labels(self) -> list[str]:
        """What is written under each column."""
        return labels(self.begins, self.step)


def section(gathered: Gathered, drawn: Drawn) -> Markup | None:
    """The section; None: nothing has a time."""
    if not drawn.begins:
        return None
    priced = gathered.priced and any(cell.cost for cell in drawn.whole())
    figures: list[Child] = [_by_class(drawn)]
    figures.insert(
        0, _by_model(drawn, (lambda cell: cell.cost) if priced else (lambda cell: cell.tokens), money=priced)
    )
    return el(
        "section",
        el("h2", "Over time"),
        el("p", f"A column is {drawn.step.words}; times are UTC.", class_="lead"),
        el("div", *figures, class_="plots"),
        behind("The figures", _table(drawn, money=priced)),
        id="time",
    )


def _by_model(drawn: Drawn, worth: Callable[[Cell], int], *, money: bool) -> Markup:
    models, others = drawn.models[: len(MODELS)], drawn.models[len(MODELS) :]
    empty = Cell()
    series = [
        Series(_model(model), f"m{place}", [worth(cells.get(model, empty)) for cells in drawn.by_model])
        for place, model in enumerate(models)
    ]
    if others:
        rest = [sum(worth(cells[model]) for model in others if model in cells) for cells in drawn.by_model]
        series.append(Series(f"{len(others):,} more", "other", rest))
    return _plot("Cost" if money else "Tokens", "by model", drawn, series, dollars if money else _full,
                 axis_dollars if money else short_count)  # fmt: skip


def _by_class(drawn: Drawn) -> Markup:
    whole = drawn.whole()
    series = [Series(CLASS_NAMES[each], each, [getattr(cell, each) for cell in whole]) for each in DRAWN]
    return _plot("Tokens", "by what they were for", drawn, series, _full, short_count)


def _plot(
    what: str,
    by: str,
    drawn: Drawn,
    series: Sequence[Series],
    full: Callable[[int], str],
    short: Callable[[float], str],
) -> Markup:
    told = []
    for place, (begin, label) in enumerate(zip(drawn.begins, drawn.labels(), strict=True)):
        values = [(each.name, int(each.values[place])) for each in series if each.values[place]]
        heading = f"{drawn.step.title(begin)}: {full(sum(value for _, value in values))}"
        told.append(Column(label, [heading, *(f"{named}: {full(value)}" for named, value in reversed(values))]))
    sums = [sum(column) for column in zip(*(each.values for each in series), strict=True)]
    most = max(range(len(sums)), key=sums.__getitem__)
    words = (
        f"{what} {by}, {len(sums)} columns from {drawn.step.title(drawn.begins[0])}. "
        f"The most, {full(int(sums[most]))}, was at {drawn.step.title(drawn.begins[most])}."
    )
    return el(
        "figure",
        el("figcaption", what, " ", el("span", by, class_="soft")),
        stacked(told, series, words, short),
        legend([(each.colour, name(each.name)) for each in series]),
    )


def _table(drawn: Drawn, *, money: bool) -> Markup:
    heads = [Head("time", number=False), *([Head("cost")] if money else []), Head("calls"), Head("tokens")]
    heads += [Head(CLASS_NAMES[each], wide=True) for each in DRAWN] + [Head("cache hits", wide=True)]
    rows = []
    for begin, cell in zip(drawn.begins, drawn.whole(), strict=True):
        if not cell.calls:
            continue
        row = [C(drawn.step.title(begin))]
        if money:
            row.append(C(least(dollars(cell.cost), cell.unpriced + cell.unknown + cell.least), cell.cost))
        row += [C(f"{cell.calls:,}", cell.calls), C(least(f"{cell.tokens:,}", cell.unknown), cell.tokens)]
        row += [C(count(cell.sum(each)), getattr(cell, each)) for each in DRAWN]
        row.append(C(share(cell.hit_rate), cell.hit_rate or 0.0))
        rows.append(row)
    return table(heads, rows)


def _model(model: str | None) -> str:
    return NOT_SAID if model is None else shown(model)


def _full(tokens: int) -> str:
    return f"{tokens:,} tokens"
