"""The summary, drawn: for a terminal, GitHub's markdown, programs, and spreadsheets.

Rules: all four have the same figures; a table with nothing in it is left out.  Comma-separated values are in long form:
a table's name, the row's, the figure's, and the value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from awfproxy.report.escaping import markdown_code, terminal
from awfproxy.report.figures import NOT_SAID, UNKNOWN, share
from awfproxy.report.percentiles import ERROR, Percentiles
from awfproxy.report.reading import many
from awfproxy.report.summary import Port, Summary, Tally
from awfproxy.report.table import Column, Table, as_csv, details, markdown, pretty, sentences
from awfproxy.report.token_usage import View
from awfproxy.report.token_usage_forms import facts, notes, table_of
from awfproxy.report.token_usage_forms import whole as whole_of

SCHEMA: Final = "report-summary/v1.0.0"
#: rows of a table for people
ROWS_MAX: Final = 20
PERCENTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99}

_DURATIONS: Final = {
    "duration_ms": "whole call",
    "ttfb_ms": "first byte",
    "queue_ms": "wait in the proxy",
    "connect_ms": "connecting",
}
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


class _Section(NamedTuple):
    title: str
    table: Table


def milliseconds(value: float | None) -> str:
    """``0.42 ms``, ``38 ms``, ``1.2 s``, ``3.4 min``."""
    if value is None:
        return UNKNOWN
    if value < 9.95:
        return f"{value:.2f} ms"
    if value < 999.5:
        return f"{value:.0f} ms"
    return f"{value / 1000:.1f} s" if value < 99_950 else f"{value / 60_000:,.1f} min"


def size(count: int) -> str:
    """``512 B``, ``1.5 MiB``."""
    value, unit = float(count), 0
    while value >= 1023.95 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:,.1f} {_UNITS[unit]}" if unit else f"{count} B"


def _sections(report: Summary) -> Iterator[_Section]:
    whole = report.whole.requests
    if not whole:
        return
    for title, heading, tally in (
        ("Outcomes", "outcome", report.outcomes),
        ("Refused and bad requests", "code", report.refusals),
        ("Statuses", "status", report.statuses),
        ("What ended calls", "reason", report.reasons),
        ("Where figures are from", "source", report.sources),
        ("Why figures are not the provider's", "reason", report.usage_reasons),
    ):
        if tally.largest():
            yield _Section(title, _tallied(heading, tally, whole))
    measured = [(name, each) for name, each in report.durations.items() if each.count]
    if measured:
        columns = (Column("time"), Column("calls", True, 2), *(Column(name, True) for name in PERCENTILES))
        rows = [
            (_DURATIONS[name], f"{each.count:,}", *(milliseconds(each.at(part)) for part in PERCENTILES.values()),
             milliseconds(each.greatest))
            for name, each in measured
        ]  # fmt: skip
        yield _Section("Times, without refused and bad requests", Table((*columns, Column("longest", True, 1)), rows))
    yield _Section("Ports", _ports(report))


def _tallied(heading: str, tally: Tally, whole: int) -> Table:
    largest = tally.largest()
    shown, rest = largest[:ROWS_MAX], largest[ROWS_MAX:]
    rows = [(name, f"{count:,}", share(count / whole)) for name, count in shown]
    if rest:
        left = sum(count for _, count in rest)
        rows.append((f"({len(rest):,} more)", f"{left:,}", share(left / whole)))
    return Table((Column(heading), Column("requests", True), Column("share", True, 1)), rows)


def _ports(report: Summary) -> Table:
    def row(name: str, port: Port) -> tuple[str, ...]:
        return (
            name,
            f"{port.requests:,}",
            share(port.complete / port.requests),
            f"{port.refused:,}",
            f"{port.bad_requests:,}",
            *(milliseconds(port.duration.at(part)) for part in PERCENTILES.values()),
            size(port.request_bytes),
            size(port.response_bytes),
        )

    ports = sorted(report.ports.items(), key=lambda each: (-each[1].requests, each[0] or ""))
    columns = (
        Column("port"),
        Column("requests", True),
        Column("complete", True, 1),
        Column("refused", True, 2),
        Column("bad requests", True, 7),
        *(Column(name, True, 5 if name == "p90" else 3) for name in PERCENTILES),
        Column("received", True, 6),
        Column("answered", True, 4),
    )
    return Table(
        columns,
        [row(NOT_SAID if name is None else name, port) for name, port in ports],
        row("total", report.whole),
    )


def _remarks(report: Summary) -> list[str]:
    if not report.whole.requests:
        return ["There are no records of requests there: only tokens are told."]
    said = [f"Percentiles are right to {ERROR:.0%}."]
    return said if report.usage.found else [*said, "No request used tokens."]


def _head(report: Summary) -> str:
    whole = report.whole
    return (
        f"{many(whole.requests, 'request')}, {share(whole.complete / whole.requests)} complete, "
        f"{size(whole.request_bytes)} received, {size(whole.response_bytes)} answered"
    )


def _pretty(report: Summary, view: View) -> str:
    parts = [sentences([f"{_head(report)}."], view.width)] if report.whole.requests else []
    parts += [f"{section.title}\n\n{pretty(section.table, view.width)}" for section in _sections(report)]
    if report.usage.found:
        parts.append(f"Tokens\n\n{pretty(table_of(report.usage, view), view.width)}")
    last = [*_remarks(report), *(notes(report.usage, terminal) if report.usage.found else ())]
    return "\n".join([*parts, sentences(last, view.width)])


def _markdown(report: Summary, view: View) -> str:
    parts = ["### Requests\n"]
    if report.whole.requests:
        parts.append(f"**{_head(report)}**\n")
    parts += [details(section.title, markdown(section.table)) for section in _sections(report)]
    if report.usage.found:
        parts += ["### Tokens\n", markdown(whole_of(report.usage))]
        parts.append(details("By port", markdown(table_of(report.usage, view))))
    parts += [f"{line}\n" for line in _remarks(report)]
    if report.usage.found:
        parts += [f"{line}\n" for line in notes(report.usage, markdown_code)]
    return "\n".join(parts)


def _times(each: Percentiles) -> dict[str, float | int | None]:
    found: dict[str, float | int | None] = {"count": each.count}
    for name, part in PERCENTILES.items():
        value = each.at(part)
        found[name] = None if value is None else round(value, 3)
    return found | {"max": round(each.greatest, 3) if each.count else None}


def _port(port: Port) -> dict[str, Any]:
    return {
        "requests": port.requests,
        "complete": port.complete,
        "refused": port.refused,
        "bad_requests": port.bad_requests,
        "request_bytes": port.request_bytes,
        "response_bytes": port.response_bytes,
        "duration_ms": _times(port.duration),
    }


def _body(report: Summary) -> dict[str, Any]:
    remarks = report.remarks
    return {
        "_schema": SCHEMA,
        "filters": report.filters.facts(),
        "total": _port(report.whole),
        "ports": [
            {"port": name, **_port(port)}
            for name, port in sorted(report.ports.items(), key=lambda each: (-each[1].requests, each[0] or ""))
        ],
        "outcomes": dict(report.outcomes.largest()),
        "statuses": dict(report.statuses.largest()),
        "refusals": dict(report.refusals.largest()),
        "reasons": dict(report.reasons.largest()),
        "usage_sources": dict(report.sources.largest()),
        "usage_reasons": dict(report.usage_reasons.largest()),
        "times": {name: _times(each) for name, each in report.durations.items()},
        "tokens": facts(report.usage, report.usage.overall) if report.usage.found else None,
        "skipped_lines": remarks.skipped,
        "skipped": remarks.reasons(),
        "duplicates": remarks.duplicates,
        "troubles": remarks.troubles,
    }


def _json(report: Summary, view: View) -> str:
    return json.dumps(_body(report), indent=2, ensure_ascii=True) + "\n"


def _csv(report: Summary, view: View) -> str:
    body = _body(report)
    rows: list[tuple[str, str, str, Any]] = []

    def flat(table: str, row: str, name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, member in value.items():
                flat(table, row, f"{name}.{key}" if name else key, member)
        else:
            rows.append((table, row, name, value))

    flat("total", "", "", body["total"])
    for port in body["ports"]:
        flat("ports", port.pop("port") or "", "", port)
    for table in ("outcomes", "statuses", "refusals", "reasons", "usage_sources", "usage_reasons"):
        rows += [(table, name, "requests", count) for name, count in body[table].items()]
    for name, times in body["times"].items():
        flat("times", name, "", times)
    flat("tokens", "", "", body["tokens"] or {})
    return as_csv(("table", "row", "figure", "value"), rows)


FORMS: Final[dict[str, Callable[[Summary, View], str]]] = {
    "pretty": _pretty,
    "markdown": _markdown,
    "json": _json,
    "csv": _csv,
}
