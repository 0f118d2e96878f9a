"""The report of token usage: what was used, by group, from token-usage.jsonl.

Rules: each record counts once, however many files hold it.  A figure is shown as what is known of it: `1,234` whole,
`≥1,234` where some calls did not report it, `?` where none did.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import IO, Any

from awfproxy.report.lines import Lines, find_files
from awfproxy.report.rows import BROKEN, COUNTS, OTHER, read_row
from awfproxy.report.table import Column, Table, as_csv, markdown, pretty
from awfproxy.report.totals import SOURCES, Grouped, Sum, Totals

#: How our files' names begin, rotated ones too, and how those begin that are made from them.
_PREFIX, _BUT = "token-usage", "token-usage-by-turn"

_TITLES = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_tokens": "cache read",
    "cache_write_tokens": "cache write",
    "reasoning_tokens": "reasoning",
}


class TokenUsage:
    """Consumption by group, and what was left out of it."""

    def __init__(self, by: Sequence[str]) -> None:
        self.grouped = Grouped(by)
        #: lines that are no records; records seen before
        self.skipped = 0
        self.duplicates = 0
        #: records of other kinds (requests.jsonl)
        self.others = 0
        self.troubles: list[str] = []

    @property
    def found(self) -> bool:
        return self.grouped.overall.calls > 0

    def remarks(self) -> list[str]:
        """Whole sentences about what was left out."""
        said = list(self.troubles)
        if self.skipped:
            said.append(f"{_many(self.skipped, 'line')} skipped: not readable as usage records.")
        if self.others:
            said.append(f"{_many(self.others, 'line')} left out: records of another kind.")
        if self.duplicates:
            said.append(f"{_many(self.duplicates, 'record')} met again under the same request_id, counted once.")
        return said

    def render(self, form: str) -> str:
        """The report as `pretty`, `markdown`, `json` or `csv`."""
        return _FORMS[form](self)


def token_usage(
    paths: Sequence[str], by: Sequence[str] = ("provider", "model"), stdin: IO[bytes] | None = None
) -> TokenUsage:
    """Reads files, folders and "-" in one pass.

    Holds the groups and the request ids seen in memory, nothing else.

    :param by: names in `totals.KEYS`.
    :param stdin: what "-" means; the process's own standard input if None.
    """
    report = TokenUsage(by)
    lines = Lines(find_files(paths, _PREFIX, _BUT), stdin)
    _count(lines, report)
    report.skipped += lines.too_long
    report.troubles += lines.troubles
    return report


def _count(lines: Iterable[bytes], report: TokenUsage) -> None:
    seen: set[str] = set()
    for line in lines:
        if line.isspace():
            continue
        row = read_row(line)
        if row == BROKEN:
            report.skipped += 1
        elif row == OTHER:
            report.others += 1
        elif not isinstance(row, str):
            if row.request_id is not None:
                if row.request_id in seen:
                    report.duplicates += 1
                    continue
                seen.add(row.request_id)
            report.grouped.add(row)


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _figure(total: Sum) -> str:
    if total.value is None:
        return "?"
    return f"≥{total.value:,}" if total.unknown else f"{total.value:,}"


def _table(report: TokenUsage) -> Table:
    by = report.grouped.by

    def figures(totals: Totals) -> tuple[str, ...]:
        rate = totals.cache_hit_rate
        counts = (_figure(totals.sums[name]) for name in COUNTS)
        return (f"{totals.calls:,}", *counts, _figure(totals.total), "?" if rate is None else f"{rate:.1%}")

    titles = ("calls", *(_TITLES[name] for name in COUNTS), "all tokens", "cache hits")
    return Table(
        columns=(*(Column(name) for name in by), *(Column(title, figures=True) for title in titles)),
        rows=[
            (*("(not said)" if part is None else part for part in key), *figures(totals))
            for key, totals in report.grouped.groups()
        ],
        total=(*("total" if place == 0 else "" for place in range(len(by))), *figures(report.grouped.overall))
        if by
        else None,
    )


def _footnote(report: TokenUsage) -> str:
    """One line for what the figures rest on, where that is not the providers' own word for all of them."""
    overall = report.grouped.overall
    said = []
    if overall.sources["reported"] != overall.calls:
        parts = (f"{count:,} {name}" for name, count in sorted(overall.sources.items()))
        said.append(f"Figures by source: {', '.join(parts)}.")
    if overall.total.unknown or any(total.unknown for total in overall.sums.values()):
        said.append("≥: some calls did not report this figure; ?: none did.")
    return " ".join(said)


def _pretty(report: TokenUsage) -> str:
    note = _footnote(report)
    return pretty(_table(report)) + (f"{note}\n" if note else "")


def _markdown(report: TokenUsage) -> str:
    note = _footnote(report)
    return markdown(_table(report)) + (f"\n{note}\n" if note else "")


def _facts(totals: Totals) -> dict[str, Any]:
    return {
        "calls": totals.calls,
        **{name: total.value for name, total in totals.sums.items()},
        "all_tokens": totals.total.value,
        "cache_hit_rate": None if totals.cache_hit_rate is None else round(totals.cache_hit_rate, 6),
        "sources": dict(sorted(totals.sources.items())),
        #: calls that did not report the figure, by figure
        "unknown": {name: total.unknown for name, total in totals.sums.items() if total.unknown},
    }


def _json(report: TokenUsage) -> str:
    by = report.grouped.by
    body = {
        "by": list(by),
        "groups": [
            {"group": dict(zip(by, key, strict=True)), **_facts(totals)} for key, totals in report.grouped.groups()
        ],
        "total": _facts(report.grouped.overall),
        "skipped_lines": report.skipped,
        "duplicates": report.duplicates,
    }
    # ASCII only: what does not show in a terminal is escaped by JSON itself.
    return json.dumps(body, indent=2, ensure_ascii=True) + "\n"


def _csv(report: TokenUsage) -> str:
    by = report.grouped.by
    unknown = tuple(f"{name}_unknown_calls" for name in COUNTS)
    titles = (*by, "calls", *COUNTS, "all_tokens", *unknown, *(f"{name}_calls" for name in SOURCES))
    rows: list[tuple[str | int | None, ...]] = []
    for key, totals in report.grouped.groups():
        sums = totals.sums.values()
        rows.append(
            (
                *key,
                totals.calls,
                *(total.value for total in sums),
                totals.total.value,
                *(total.unknown for total in sums),
                *(totals.sources[name] for name in SOURCES),
            )
        )
    return as_csv(titles, rows)


_FORMS: dict[str, Callable[[TokenUsage], str]] = {
    "pretty": _pretty,
    "markdown": _markdown,
    "json": _json,
    "csv": _csv,
}

#: The names of the forms a report comes in.
FORMS = tuple(_FORMS)
