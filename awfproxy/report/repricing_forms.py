"""The report of calls priced anew, drawn: for a terminal, GitHub's markdown, programs, and spreadsheets.

Rules: the difference is over the calls that have both prices; a sum of which some have none is a least one, and the
models without a price are named.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from awfproxy.report.costs import PICO
from awfproxy.report.escaping import markdown_code, terminal
from awfproxy.report.figures import LEAST, NOT_SAID, UNKNOWN, dollars, some_of
from awfproxy.report.reading import many
from awfproxy.report.repricing import DIGITS, Named, Repriced, Repricing
from awfproxy.report.table import Column, Table, as_csv, details, markdown, pretty, sentences

SCHEMA: Final = "report-reprice/v1.0.0"
#: rows in markdown; models that are named in a sentence
MARKDOWN_ROWS: Final = 200
UNPRICED_NAMED: Final = 5

_FIGURES: Final = (
    Column("calls", True, 2),
    Column("all tokens", True, 1),
    Column("before", True),
    Column("after", True),
    Column("difference", True),
    Column("change", True, 3),
)


def _groups(report: Repricing) -> list[tuple[Named, Repriced]]:
    """The most money first."""

    def rank(group: tuple[Named, Repriced]) -> tuple[object, ...]:
        named, figures = group
        return -max(figures.before, figures.after), -figures.tokens, tuple(part or "" for part in named)

    return sorted(report.groups.items(), key=rank)


def _figures(group: Repriced) -> tuple[str, ...]:
    difference = group.difference
    sign = "+" if difference > 0 else "-" if difference < 0 else ""
    return (
        f"{group.calls:,}",
        f"{group.tokens:,}",
        _sum(group.before, group.calls, group.unpriced_before),
        _sum(group.after, group.calls, group.unpriced_after),
        f"{sign}{dollars(abs(difference))}" if group.both else UNKNOWN,
        f"{difference / group.both_before:{'+' if difference else ''}.1%}" if group.both_before else "",
    )


def _sum(pico: int, calls: int, unpriced: int) -> str:
    if unpriced == calls:
        return UNKNOWN
    return f"{LEAST if unpriced else ''}{dollars(pico)}"


def _table(report: Repricing, limit: int | None = None) -> Table:
    groups = _groups(report)
    renamed = any(named.priced_as for named, _ in groups)
    rows = [
        (
            named.provider or NOT_SAID,
            named.model or NOT_SAID,
            *((named.priced_as or "",) if renamed else ()),
            *_figures(group),
        )
        for named, group in groups[:limit]
    ]
    columns = (Column("provider"), Column("model"), *((Column("priced as"),) if renamed else ()), *_FIGURES)
    return Table(columns, rows, ("total", "", *(("",) if renamed else ()), *_figures(report.total)))


def _notes(report: Repricing, name: Callable[[str], str]) -> list[str]:
    said = [f"Before: {name(report.before.description)}.", f"After: {name(report.after.description)}."]
    for words, figure in (("Before", "unpriced_before"), ("After", "unpriced_after")):
        unpriced = [(named, getattr(group, figure)) for named, group in _groups(report) if getattr(group, figure)]
        if unpriced:
            models = [
                f"{name(_priced_name(named, words) or NOT_SAID)} ({name(named.provider or NOT_SAID)}, "
                f"{many(calls, 'call')})"
                for named, calls in sorted(unpriced, key=lambda each: -each[1])
            ]
            said.append(f"{words} without a price, and in no difference: {some_of(models, UNPRICED_NAMED)}.")
    if report.assumed:
        rules = [f"{name(word)} {calls:,}" for word, calls in sorted(report.assumed.items())]
        said.append(f"Calls priced by a rule after: {some_of(rules, UNPRICED_NAMED)}.")
    return said


def _priced_name(named: Named, when: str) -> str | None:
    return named.priced_as or named.model if when == "After" else named.model


def _pretty(report: Repricing, width: int | None) -> str:
    return pretty(_table(report), width) + sentences(_notes(report, terminal), width)


def _markdown(report: Repricing, width: int | None) -> str:
    del width
    total = Table(_FIGURES, [_figures(report.total)])
    table = _table(report, MARKDOWN_ROWS)
    parts = ["### Calls priced anew\n", markdown(total), details("By model", markdown(table))]
    left = len(report.groups) - MARKDOWN_ROWS
    parts += [f"In the total: {many(left, 'more model')}.\n"] if left > 0 else []
    return "\n".join([*parts, *(f"{note}\n" for note in _notes(report, markdown_code))])


def _usd(pico: int) -> float:
    return round(pico / PICO, DIGITS)


def _facts(group: Repriced) -> dict[str, Any]:
    return {
        "calls": group.calls,
        "all_tokens": group.tokens,
        "before_usd": None if group.unpriced_before == group.calls else _usd(group.before),
        "after_usd": None if group.unpriced_after == group.calls else _usd(group.after),
        "difference_usd": _usd(group.difference) if group.both else None,
        "unpriced_calls_before": group.unpriced_before,
        "unpriced_calls_after": group.unpriced_after,
    }


def _json(report: Repricing, width: int | None) -> str:
    del width
    body = {
        "_schema": SCHEMA,
        "models": [{**named._asdict(), **_facts(group)} for named, group in _groups(report)],
        "total": _facts(report.total),
        "prices_before": report.before.description,
        "prices_after": report.after.description,
        "by_rule": dict(sorted(report.assumed.items())),
        "skipped_lines": report.remarks.skipped,
        "duplicates": report.remarks.duplicates,
    }
    # ASCII only: what does not show in a terminal is escaped by JSON itself.
    return json.dumps(body, indent=2, ensure_ascii=True) + "\n"


def _csv(report: Repricing, width: int | None) -> str:
    del width
    groups = _groups(report)
    titles = [*Named._fields, *_facts(Repriced())]
    return as_csv(titles, [[*named, *_facts(group).values()] for named, group in groups])


FORMS: Final[dict[str, Callable[[Repricing, int | None], str]]] = {
    "pretty": _pretty,
    "markdown": _markdown,
    "json": _json,
    "csv": _csv,
}
