"""The report of token usage, drawn: for a terminal, GitHub's markdown, programs, and spreadsheets.

Rules: all four have the same figures; what a terminal or a summary has no room for is said, and programs get it all.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from awfproxy.report.escaping import markdown_code, terminal
from awfproxy.report.figures import LEGEND, NOT_SAID, count, money, share, some_of, usd
from awfproxy.report.reading import many
from awfproxy.report.rows import COUNTS
from awfproxy.report.sums import SOURCES, Group, Key, Totals
from awfproxy.report.table import Column, Table, as_csv, details, markdown, pretty, sentences
from awfproxy.report.token_usage import Usage, View

SCHEMA: Final = "report-token-usage/v1.0.0"
#: groups in markdown: GitHub takes a summary of 1 MiB, and nobody reads more
MARKDOWN_GROUPS: Final = 200
#: models without a price that are named, the largest; json names `JSON_UNPRICED`
UNPRICED_NAMED: Final = 5
JSON_UNPRICED: Final = 1_000

#: in the order shown: heading, and what is left out first where there is no room
_COUNTS: Final = (
    ("input_tokens", "input", 3),
    ("cache_read_tokens", "cache read", 5),
    ("cache_write_tokens", "cache write", 8),
    ("output_tokens", "output", 4),
    ("reasoning_tokens", "reasoning", 9),
)


class _Picked:
    """The groups that are shown."""

    def __init__(self, report: Usage, sort: str | None, limit: int | None) -> None:
        groups = report.grouped.groups() if sort is None else report.grouped.sorted_by(sort)
        self.groups: list[Group] = groups if limit is None else groups[:limit]
        rest = groups[len(self.groups) :]
        self.left = len(rest)
        #: all others together; None: there are none
        self.others: Totals | None = None
        if rest:
            self.others = Totals()
            for group in rest:
                self.others.merge(group.totals)


def _columns(report: Usage) -> list[tuple[Column, Callable[[Totals], str]]]:
    def counts(name: str) -> Callable[[Totals], str]:
        return lambda totals: count(totals.sums[name])

    columns: list[tuple[Column, Callable[[Totals], str]]] = [
        (Column("calls", True, 2), lambda totals: f"{totals.calls:,}"),
        *((Column(title, True, drop), counts(name)) for name, title, drop in _COUNTS),
        (Column("all tokens", True), lambda totals: count(totals.total)),
        (Column("cache hits", True, 6), lambda totals: share(totals.cache_hit_rate)),
    ]
    if report.costs is not None:
        columns.append((Column("cost", True), lambda totals: money(totals.cost)))
    if report.overall.inexact:
        columns.append((Column("not exact", True, 7), lambda totals: share(totals.inexact_share)))
    return columns


def _table(report: Usage, picked: _Picked, *, total: bool) -> Table:
    columns = _columns(report)
    by = report.grouped.by

    def figures(totals: Totals) -> tuple[str, ...]:
        return tuple(figure(totals) for _, figure in columns)

    rows = [(*(NOT_SAID if part is None else part for part in key), *figures(totals)) for key, totals in picked.groups]
    if picked.others is not None:
        rows.append((*_first(by, f"({picked.left:,} more)"), *figures(picked.others)))
    return Table(
        (*(Column(name) for name in by), *(column for column, _ in columns)),
        rows,
        (*_first(by, "total"), *figures(report.overall)) if total and by else None,
    )


def _first(by: Key, text: str) -> tuple[str, ...]:
    return tuple(text if place == 0 else "" for place in range(len(by)))


def notes(report: Usage, name: Callable[[str], str]) -> list[str]:
    """Whole sentences on what the figures rest on.

    :param name: makes a name from a record harmless
    """
    overall, said = report.overall, []
    span = report.grouped.span()
    if span is not None:
        first, last = (hour[:16].replace("T", " ") for hour in span)
        hours = f"from the hour of {first} to that of {last}" if first != last else f"of the hour of {first}"
        said.append(f"Calls {hours}, UTC.")
    if overall.inexact:
        parts = (f"{overall.sources[source]:,} {source}" for source in (*SOURCES, "other") if overall.sources[source])
        said.append(f"Calls by where their figures are from: {', '.join(parts)}.")
    if overall.total.unknown or any(total.unknown for total in (*overall.sums.values(), overall.cost)):
        said.append(LEGEND)
    if report.costs is not None:
        said += _price_notes(report, name)
    if report.grouped.overflowed:
        said.append(f"There are too many groups: {many(report.grouped.overflowed, 'call')} went to `(others)`.")
    return said


def _price_notes(report: Usage, name: Callable[[str], str]) -> list[str]:
    said: list[str] = []
    overall = report.overall
    if report.costs is None:
        return said
    if overall.cost.calls:
        said.append(f"Prices: {name(report.costs.description)}.")
    unpriced = report.grouped.unpriced()
    if unpriced:
        models = [
            f"{name(model or NOT_SAID)} ({name(provider or NOT_SAID)}, {many(calls, 'call')}, {tokens:,} tokens)"
            for provider, model, calls, tokens in unpriced
        ]
        said.append(f"Without a price, and not in the cost: {some_of(models, UNPRICED_NAMED)}.")
    elif overall.unpriced:
        said.append(f"Without a price, and not in the cost: {many(overall.unpriced, 'call')}.")
    if report.costs.assumed:
        words = [f"{name(word)} ({many(calls, 'call')})" for word, calls in sorted(report.costs.assumed.items())]
        said.append(f"Priced by a rule: {some_of(words, UNPRICED_NAMED)}.")
    return said


def table_of(report: Usage, view: View) -> Table:
    """All groups and the total."""
    return _table(report, _Picked(report, view.sort, view.limit), total=True)


def whole(report: Usage) -> Table:
    """The total alone."""
    columns = _columns(report)
    return Table(tuple(column for column, _ in columns), [tuple(figure(report.overall) for _, figure in columns)])


def _pretty(report: Usage, view: View) -> str:
    return pretty(table_of(report, view), view.width) + sentences(notes(report, terminal), view.width)


def _markdown(report: Usage, view: View) -> str:
    by = report.grouped.by
    parts = ["### Token usage\n", markdown(whole(report))]
    if by:
        picked = _Picked(report, view.sort, MARKDOWN_GROUPS if view.limit is None else view.limit)
        groups = many(len(picked.groups) + picked.left, "group")
        parts.append(details(f"By {', '.join(by)}: {groups}", markdown(_table(report, picked, total=False))))
    parts += [f"{line}\n" for line in notes(report, markdown_code)]
    return "\n".join(parts)


def facts(report: Usage, totals: Totals) -> dict[str, Any]:
    """What is known of these calls, for JSON."""
    found: dict[str, Any] = {
        "calls": totals.calls,
        **{name: total.value for name, total in totals.sums.items()},
        "all_tokens": totals.total.value,
        "cache_hit_rate": None if totals.cache_hit_rate is None else round(totals.cache_hit_rate, 6),
        "sources": dict(sorted(totals.sources.items())),
        #: calls that did not report the figure, by figure
        "unknown": {name: total.unknown for name, total in totals.sums.items() if total.unknown},
    }
    if report.costs is not None:
        found |= {"cost_usd": usd(totals.cost), "cost_unknown_calls": totals.cost.unknown}
    return found


def _json(report: Usage, view: View) -> str:
    by, remarks = report.grouped.by, report.remarks
    picked = _Picked(report, view.sort, view.limit)
    body: dict[str, Any] = {"_schema": SCHEMA, "by": list(by), "filters": report.filters.facts()}
    span = report.grouped.span()
    if span is not None:
        body |= {"first_hour": span[0], "last_hour": span[1]}
    body["groups"] = [
        {"group": dict(zip(by, key, strict=True)), **facts(report, totals)} for key, totals in picked.groups
    ]
    if picked.others is not None:
        body["others"] = {"groups": picked.left, **facts(report, picked.others)}
    body["total"] = facts(report, report.overall)
    if report.costs is not None:
        body["prices"] = {
            "from": report.costs.description,
            "by_rule": dict(sorted(report.costs.assumed.items())),
            "unpriced": [
                {"provider": provider, "model": model, "calls": calls, "all_tokens": tokens}
                for provider, model, calls, tokens in report.grouped.unpriced()[:JSON_UNPRICED]
            ],
        }
    body |= {
        "skipped_lines": remarks.skipped,
        "skipped": remarks.reasons(),
        "duplicates": remarks.duplicates,
        "overflowed_calls": report.grouped.overflowed,
        "troubles": remarks.troubles,
    }
    # ASCII only: what does not show in a terminal is escaped by JSON itself.
    return json.dumps(body, indent=2, ensure_ascii=True) + "\n"


def _csv(report: Usage, view: View) -> str:
    by = report.grouped.by
    priced = report.costs is not None
    titles = (
        *by,
        "calls",
        *COUNTS,
        "all_tokens",
        "cache_hit_rate",
        *(("cost_usd",) if priced else ()),
        *(f"{name}_unknown_calls" for name in COUNTS),
        *(("cost_unknown_calls",) if priced else ()),
        *(f"{name}_calls" for name in SOURCES),
    )
    picked = _Picked(report, view.sort, view.limit)
    groups = picked.groups
    if picked.others is not None:
        groups = [*groups, Group(_first(by, f"({picked.left} more)"), picked.others)]
    rows: list[tuple[str | int | float | None, ...]] = []
    for key, totals in groups:
        sums, rate = totals.sums.values(), totals.cache_hit_rate
        rows.append(
            (
                *key,
                totals.calls,
                *(total.value for total in sums),
                totals.total.value,
                None if rate is None else round(rate, 6),
                *((usd(totals.cost),) if priced else ()),
                *(total.unknown for total in sums),
                *((totals.cost.unknown,) if priced else ()),
                *(totals.sources[name] for name in SOURCES),
            )
        )
    return as_csv(titles, rows)


FORMS: Final[dict[str, Callable[[Usage, View], str]]] = {
    "pretty": _pretty,
    "markdown": _markdown,
    "json": _json,
    "csv": _csv,
}
