"""The section of what caching did: how much was read from the cache, and what that saved."""

from __future__ import annotations

from awfproxy.report.figures import NOT_SAID, count, dollars, share
from awfproxy.report.html.gathering import Gathered
from awfproxy.report.html.markup import Markup, el, joined, name
from awfproxy.report.html.over_time import CLASS_NAMES, Drawn
from awfproxy.report.html.plots import Column, Series, bar, legend, stacked
from awfproxy.report.html.short_figures import kept
from awfproxy.report.html.tables import ROWS_MAX, Head, table
from awfproxy.report.html.tables import Cell as C
from awfproxy.report.html.timeline import Cell

#: the pieces of what was read, from the bottom
_READ = ("read", "written", "fresh")


def section(gathered: Gathered, drawn: Drawn) -> Markup | None:
    """The section; None: nothing was read."""
    whole = gathered.timeline.overall()
    if not whole.prompt:
        return None
    priced = gathered.priced and bool(whole.cost)
    said = f"{share(whole.hit_rate)} of all tokens read came from the cache"
    if priced and whole.kept > 0:
        said += f", which saved {dollars(whole.kept)} against sending them anew; what was written is taken off"
    elif priced and whole.kept < 0:
        said += f"; writing them cost {dollars(-whole.kept)} more than reading saved"
    return el(
        "section",
        el("h2", "Cache"),
        el("p", f"{said}.", class_="lead"),
        el("div", _plot(drawn), _table(gathered, priced=priced), class_="plots ranked"),
        id="cache",
    )


def _plot(drawn: Drawn) -> Markup | None:
    if len(drawn.begins) < 2:
        return None
    whole = drawn.whole()
    series = [
        Series(CLASS_NAMES[each], each, [getattr(cell, each) / (cell.prompt or 1) for cell in whole])
        for each in _READ
    ]
    told = []
    for begin, label, cell in zip(drawn.begins, drawn.labels(), whole, strict=True):
        parts = [f"{CLASS_NAMES[each]}: {share(getattr(cell, each) / (cell.prompt or 1))}" for each in reversed(_READ)]
        told.append(Column(label, [drawn.step.title(begin), *(parts if cell.prompt else ["nothing was read"])]))
    rates = [cell.hit_rate for cell in whole if cell.hit_rate is not None]
    words = f"What was read, in {len(whole)} columns; from the cache came"
    words += f" {share(min(rates))} to {share(max(rates))}." if rates else " an unknown share."
    return el(
        "figure",
        el("figcaption", "What was read ", el("span", "by where it came from", class_="soft")),
        stacked(told, series, words, lambda value: f"{value:.0%}", most=1.0),
        legend([(each.colour, each.name) for each in series]),
    )


def _table(gathered: Gathered, *, priced: bool) -> Markup:
    models = list(gathered.timeline.models().items())
    rest = Cell()
    for _, cell in models[ROWS_MAX:]:
        rest.merge(cell)
    heads = [Head("model", number=False), Head("cache hits"), Head("read from it", wide=True)]
    heads += [Head("written to it", wide=True), Head("not cached", wide=True), *([Head("saved")] if priced else [])]
    rows = [_row(NOT_SAID if model is None else name(model), cell, priced) for model, cell in models[:ROWS_MAX]]
    foot = [_row(f"{len(models) - ROWS_MAX:,} more", rest, priced)] if rest.calls else []
    return table(heads, rows, caption="Models", foot=foot)


def _row(told: str, cell: Cell, priced: bool) -> list[C]:
    parts = [(getattr(cell, each) / (cell.prompt or 1), each) for each in _READ]
    row = [C(joined(told, bar(parts))), C(share(cell.hit_rate), cell.hit_rate or 0.0)]
    row += [C(count(cell.sum(each)), getattr(cell, each)) for each in _READ]
    if priced:
        row.append(C(kept(cell.kept) if cell.cost else "?", cell.kept))
    return row
