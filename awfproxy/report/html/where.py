"""The section of who used what: models, runs, users, features, ports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from awfproxy.report.figures import NOT_SAID, count, dollars, money, share
from awfproxy.report.html.gathering import LABELS, Gathered, worth
from awfproxy.report.html.markup import Child, Markup, el, joined, name
from awfproxy.report.html.over_time import CLASS_NAMES, DRAWN, OTHER_NAME
from awfproxy.report.html.plots import bar, legend
from awfproxy.report.html.short_figures import least
from awfproxy.report.html.tables import ROWS_MAX, Head, table
from awfproxy.report.html.tables import Cell as C
from awfproxy.report.html.timeline import Cell
from awfproxy.report.sums import Totals

#: headings of the tables, by label
_TITLES: Final = {"run": "Runs", "user": "Users", "feature": "Features", "port": "Ports"}


def section(gathered: Gathered) -> Markup:
    """The section."""
    priced = gathered.priced and gathered.usage.overall.cost.value is not None
    tables = [_models(gathered.timeline.models(), priced=priced)]
    for label in LABELS:
        totals = gathered.by(label)
        if len(totals) > 1:
            tables.append(_table(label, totals, priced=priced))
    colours: list[tuple[str, Child]] = [(each, CLASS_NAMES[each]) for each in DRAWN]
    if priced and gathered.timeline.overall().other_cost:
        colours.append(("other", OTHER_NAME))
    return el(
        "section",
        el("h2", "Where"),
        el("p", f"By {'cost' if priced else 'tokens'}, the largest first. Model bars are split by what it was for:",
           legend(colours), class_="lead"),
        el("div", *tables, class_="plots ranked"),
        id="where",
    )  # fmt: skip


def _heads(first: str, priced: bool) -> list[Head]:
    return [
        Head(first, number=False),
        *([Head("cost")] if priced else []),
        Head("share"),
        Head("calls", wide=True),
        Head("tokens", wide=priced),
        Head("cache hits", wide=True),
    ]


def _models(models: dict[str | None, Cell], *, priced: bool) -> Markup:
    def size(cell: Cell) -> int:
        return cell.cost if priced else cell.tokens

    shown, rest = list(models.items())[:ROWS_MAX], list(models.values())[ROWS_MAX:]
    rows: list[tuple[Child, Cell, bool]] = [(_said(model), cell, False) for model, cell in shown]
    if rest:
        others = Cell()
        for cell in rest:
            others.merge(cell)
        rows.append((f"{len(rest):,} more", others, True))
    whole = sum(map(size, models.values())) or 1
    most = max((size(cell) for _, cell in shown), default=0) or 1
    cells = []
    for told, cell, _ in rows:
        classes = [(each, getattr(cell, f"{each}_cost" if priced else each)) for each in DRAWN]
        if priced:
            classes.append(("other", cell.other_cost))
        row = [C(joined(told, bar([(value / max(most, size(cell)), colour) for colour, value in classes])))]
        if priced:
            known = cell.calls > cell.unpriced
            missing = cell.unpriced + cell.unknown + cell.least
            row.append(C(least(dollars(cell.cost), missing) if known else "?", cell.cost))
        row += [
            C(share(size(cell) / whole), size(cell)),
            C(f"{cell.calls:,}", cell.calls),
            C(least(f"{cell.tokens:,}", cell.unknown), cell.tokens),
            C(share(cell.hit_rate), cell.hit_rate or 0.0),
        ]
        cells.append(row)
    body, foot = (cells[:-1], cells[-1:]) if rest else (cells, [])
    return table(_heads("model", priced), body, caption="Models", foot=foot)


def _table(label: str, groups: Sequence[tuple[str | None, Totals]], *, priced: bool) -> Markup:
    def size(totals: Totals) -> int:
        return -worth(totals)[0 if priced else 1]

    rest = Totals()
    for _, totals in groups[ROWS_MAX:]:
        rest.merge(totals)
    shown: list[tuple[Child, Totals]] = [(_said(each), totals) for each, totals in groups[:ROWS_MAX]]
    if rest.calls:
        shown.append((f"{len(groups) - ROWS_MAX:,} more", rest))
    whole = sum(size(totals) for _, totals in groups) or 1
    most = max(size(totals) for _, totals in groups) or 1
    cells = []
    for told, totals in shown:
        row = [C(joined(told, bar([(min(size(totals) / most, 1.0), "plain")])))]
        if priced:
            row.append(C(money(totals.cost), totals.cost.known))
        row += [
            C(share(size(totals) / whole), size(totals)),
            C(f"{totals.calls:,}", totals.calls),
            C(count(totals.total), totals.total.known),
            C(share(totals.cache_hit_rate), totals.cache_hit_rate or 0.0),
        ]
        cells.append(row)
    body, foot = (cells[:-1], cells[-1:]) if rest.calls else (cells, [])
    return table(_heads(label, priced), body, caption=_TITLES[label], foot=foot)


def _said(text: str | None) -> Child:
    return NOT_SAID if text is None else name(text)
