"""The section of how requests went: outcomes, refusals, and how long they took."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, floor, log10
from typing import Final

from awfproxy.report.figures import share, some_of
from awfproxy.report.html.gathering import Gathered
from awfproxy.report.html.markup import Child, Markup, el, joined, name
from awfproxy.report.html.plots import Column, Mark, Series, bar, legend, stacked
from awfproxy.report.html.short_figures import milliseconds, short_count
from awfproxy.report.html.tables import ROWS_MAX, Head, table
from awfproxy.report.html.tables import Cell as C
from awfproxy.report.percentiles import LEAST, Percentiles
from awfproxy.report.reading import many
from awfproxy.report.summary import Tally

#: columns for each time that a duration grows tenfold, and which of them are named; the first that has room
FINE: Final = ((10, (0, 3, 7)), (5, (0,)), (3, (0,)))
#: of what is drawn: from this percentile to that one, so that one call of an hour does not press the others together
ENDS: Final = (0.001, 0.999)
#: columns in one of these plots, at most
COLUMNS_MAX: Final = 40
#: the durations that are drawn, by member of a record, and what they are called
DRAWN: Final = {"duration_ms": "Until the end", "ttfb_ms": "Until the first byte"}
#: all durations that are told
NAMES: Final = {**DRAWN, "queue_ms": "Waiting in the proxy", "connect_ms": "Connecting"}
#: codes of refusals that are named above the table
CODES_MAX: Final = 5
MARKS: Final = (0.5, 0.9, 0.99)


def section(gathered: Gathered) -> Markup:
    """The section."""
    summary = gathered.summary
    if not summary.whole.requests:
        return el(
            "section",
            el("h2", "Requests"),
            el("p", "Nothing is known of outcomes, refusals and times: no requests.jsonl was read.", class_="empty"),
            id="requests",
        )
    plots = [plot for plot in (_durations(summary.durations[member], title) for member, title in DRAWN.items()) if plot]
    tables = [
        _times(summary.durations),
        _tally("Outcomes", "outcome", summary.outcomes),
        _tally("Refused and bad requests", "code", summary.refusals),
    ]
    tables += [
        _tally("What ended the others", "reason", summary.reasons),
        _tally("Statuses", "status", summary.statuses),
    ]
    return el(
        "section",
        el("h2", "Requests"),
        _outcomes(gathered),
        el("div", *plots, class_="pair") if plots else None,
        el("details", el("summary", "The figures"), el("div", tables, class_="pair")),
        id="requests",
    )


def _outcomes(gathered: Gathered) -> Markup:
    summary = gathered.summary
    every = summary.whole
    whole = every.requests
    turned_away = every.refused + every.bad_requests
    parts = [
        ("well", "complete", every.complete),
        ("stopped", "refused and bad requests" if every.bad_requests else "refused", turned_away),
        ("badly", "ended otherwise", whole - every.complete - turned_away),
    ]
    told: list[tuple[str, Child]] = [
        (colour, f"{words} {count:,} ({share(count / whole)})") for colour, words, count in parts if count
    ]
    codes = [joined(name(code), f" {count:,}") for code, count in summary.refusals.largest()]
    shown: list[Child] = [[", " if place else "", code] for place, code in enumerate(codes[:CODES_MAX])]
    if len(codes) > CODES_MAX:
        shown.append(f" and {len(codes) - CODES_MAX:,} more")
    words = some_of([f"{count:,} {words}" for _, words, count in parts if count], 3)
    return el(
        "div",
        el("p", f"{many(whole, 'request')}.", class_="lead"),
        bar([(count / whole, colour) for colour, _, count in parts], f"Of {whole:,} requests: {words}.", high=14),
        legend(told),
        el("p", "Because of: ", *shown, ".", class_="meta") if shown else None,
        class_="went",
    )


def _durations(durations: Percentiles, title: str) -> Markup | None:
    if not durations.count:
        return None
    fine, labelled, first, last = _scale(*(max(durations.at(end) or 0.0, LEAST) for end in ENDS))
    counts = [0] * max(last - first, 1)
    for middle, count in durations.spread():
        place = floor(log10(max(middle, LEAST)) * fine) - first
        counts[min(max(place, 0), len(counts) - 1)] += count
    columns = []
    for place, count in enumerate(counts, first):
        begin, end = (milliseconds(10 ** (each / fine)) for each in (place, place + 1))
        # 10 ** 0.3 and 10 ** 0.7 are 2 and 5 but for a percent
        named = milliseconds(round(10 ** (place % fine / fine)) * 10.0 ** (place // fine))
        label = named if place % fine in labelled else ""
        columns.append(Column(label, [f"{begin} to {end}", many(count, "request")]))
    figures = {share_of: durations.at(share_of) or 0.0 for share_of in MARKS}
    marks = [
        Mark(min(max(log10(max(value, LEAST)) * fine - first, 0.0), float(len(counts))), f"p{round(part * 100)}")
        for part, value in figures.items()
    ]
    said = ", ".join(f"p{round(part * 100)} {milliseconds(value)}" for part, value in figures.items())
    return el(
        "figure",
        el("figcaption", title, " ", el("span", said, class_="soft")),
        stacked(columns, [Series("requests", "plain", counts)], f"{title}: {said}.", short_count, marks=marks),
    )


def _scale(low: float, high: float) -> tuple[int, tuple[int, ...], int, int]:
    """Columns for each power of ten, those of them that are named, and the first and the last column."""
    found = [(fine, labelled, floor(log10(low) * fine), ceil(log10(high) * fine)) for fine, labelled in FINE]
    return next((each for each in found if each[3] - each[2] <= COLUMNS_MAX), found[-1])


def _times(durations: Mapping[str, Percentiles]) -> Markup | None:
    rows = []
    for member, title in NAMES.items():
        found = durations[member]
        values = [*(found.at(share_of) for share_of in MARKS), found.greatest]
        if found.count:
            rows.append([C(title), *(C(milliseconds(value or 0.0), value) for value in values)])
    heads = [Head("time", number=False), *(Head(f"p{round(mark * 100)}") for mark in MARKS), Head("longest", wide=True)]
    return table(heads, rows, caption="Times, without refused and bad requests", sorts=False) if rows else None


def _tally(title: str, first: str, tally: Tally) -> Markup | None:
    counts = tally.largest()
    if not counts:
        return None
    whole = sum(count for _, count in counts)
    rows = [
        [C(name(each)), C(f"{count:,}", count), C(share(count / whole), count)] for each, count in counts[:ROWS_MAX]
    ]
    rest = sum(count for _, count in counts[ROWS_MAX:])
    foot = [[C(f"{len(counts) - ROWS_MAX:,} more"), C(f"{rest:,}", rest), C(share(rest / whole), rest)]] if rest else []
    return table([Head(first, number=False), Head("requests"), Head("share")], rows, caption=title, foot=foot)
