"""The turns for people (`pretty`, `markdown`) and programs (`json`, `csv`).

Rules: markdown has the totals first and the turns folded, at most `MARKDOWN_ROWS` of them, the others together as one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from awfproxy.report.costs import PICO
from awfproxy.report.figures import money
from awfproxy.report.reading import many
from awfproxy.report.rows import COUNTS
from awfproxy.report.sums import Sum
from awfproxy.report.table import Column, Table, as_csv, details, markdown, pretty, sentences
from awfproxy.report.turns.placements import METHODS, REASONS
from awfproxy.report.turns.turn_rows import Row

#: turns in markdown: GitHub takes a summary of 1 MiB of a step, and nobody reads more
MARKDOWN_ROWS: Final = 200

#: what the figures' columns are called; those with a number are left out first where a terminal is narrow
_FIGURES: Final = (
    ("input_tokens", "input", 0),
    ("cache_read_tokens", "cache read", 3),
    ("cache_write_tokens", "cache write", 5),
    ("output_tokens", "output", 0),
    ("all_tokens", "all tokens", 0),
)
#: columns of which there is a sum
_SUMMED: Final = frozenset({"calls", "cost", *(title for _, title, _ in _FIGURES)})


def shown(rows: Sequence[Row], form: str, width: int | None = None) -> str:
    """
    :param form: one of `FORMS`
    :param width: columns of the terminal; None: as wide as needed
    """
    return _FORMS[form](rows, width)


def footnotes(rows: Sequence[Row]) -> list[str]:
    """Sentences about how the calls were placed, and why some were not."""
    calls = sum(row["calls"] for row in rows)
    methods: dict[str, int] = {}
    for row in rows:
        for method, count in row.get("methods", {}).items():
            methods[method] = methods.get(method, 0) + count
    placed = sum(methods.values())
    turns = sum(1 for row in rows if row["event"] == "turn")
    said = [f"{placed:,} of {many(calls, 'call')} placed in {many(turns, 'turn')}."]
    for method, surety in METHODS.items():
        if method in methods:
            said.append(f"{methods[method]:,} by {method}: {surety.words}.")
    reasons: dict[str, int] = {}
    for row in rows:
        if row["event"] == "unmatched":
            reasons[row["reason"]] = reasons.get(row["reason"], 0) + row["calls"]
    for reason, words in REASONS.items():
        if reason in reasons:
            said.append(f"{reasons[reason]:,} unmatched ({reason}): {words}.")
    if missing := sum(row.get("steps_not_recorded", 0) for row in rows):
        said.append(f"Not found in the records: {many(missing, 'call')} of the agents' logs.")
    return said


def _table(rows: Sequence[Row], most: int | None = None, *, total: bool = True) -> Table:
    """
    :param most: rows that are told apart; None: all
    """
    priced = any("cost_usd" in row or "unpriced_calls" in row for row in rows)
    subagents = any("subagent" in row for row in rows)
    columns = [Column("session"), Column("turn", figures=True)]
    columns += [Column("sub-agent")] if subagents else []
    columns += [Column("began", drop=4), Column("calls", figures=True)]
    columns += [Column(title, figures=True, drop=drop) for _, title, drop in _FIGURES]
    columns += [Column("context", figures=True, drop=2)]
    columns += [Column("cost", figures=True)] if priced else []
    columns += [Column("tools", drop=6), Column("sure", figures=True, drop=1)]
    cells = []
    for row in rows[:most]:
        turn = row["event"] == "turn"
        name = row.get("session") or row.get("conversation") or "" if turn else f"unmatched: {row['reason']}"
        line = [name, str(row["turn"]) if turn else ""]
        line += [row.get("subagent", "")] if subagents else []
        line += [row.get("begin", "")[:19].replace("T", " "), f"{row['calls']:,}"]
        line += [_figure(row, name) for name, _, _ in _FIGURES]
        line += [f"{row['context_max']:,}" if "context_max" in row else "?" if row["calls"] else ""]
        line += [_cost([row]) if row["calls"] else ""] if priced else []
        line += [_tools(row), f"{row['confidence']:.0%}" if "confidence" in row else ""]
        cells.append(tuple(line))

    def together(name: str, several: Sequence[Row]) -> tuple[str, ...]:
        line = [name, "", *([""] if subagents else []), "", f"{sum(row['calls'] for row in several):,}"]
        line += [_sum(several, name) for name, _, _ in _FIGURES]
        return (*line, "", *([_cost(several)] if priced else []), "", "")

    if rest := rows[len(cells) :]:
        cells.append(together(f"({len(rest):,} more)", rest))
    return Table(tuple(columns), cells, together("total", rows) if total else None)


def _whole(rows: Sequence[Row]) -> Table:
    """The totals alone."""
    table = _table(rows, 0)
    kept = [place for place, column in enumerate(table.columns) if column.title in _SUMMED]
    totals = table.total or ()
    return Table(tuple(table.columns[place] for place in kept), [tuple(totals[place] for place in kept)])


def _figure(row: Row, name: str) -> str:
    if not row["calls"]:
        return ""
    if name not in row:
        return "?"
    return f"≥{row[name]:,}" if row.get("unknown", {}).get(name) else f"{row[name]:,}"


def _sum(rows: Sequence[Row], name: str) -> str:
    known = [row[name] for row in rows if name in row]
    if not known:
        return "?"
    missing = any(row["calls"] and (name not in row or row.get("unknown", {}).get(name)) for row in rows)
    return f"≥{sum(known):,}" if missing else f"{sum(known):,}"


def _cost(rows: Sequence[Row]) -> str:
    """As `totals` counts it: known in part where a call has no price, or not all of it has or was reported."""
    total = Sum()
    for row in rows:
        pico = round(row.get("cost_usd", 0.0) * PICO)
        missing = max(row.get(name, 0) for name in ("cost_unknown_calls", "unpriced_calls"))
        total.add(pico, row["calls"] if pico else row["calls"] - missing, missing)
    return money(total)


def _tools(row: Row) -> str:
    tools = list(row.get("tools", {}).items())
    text = ", ".join(f"{name} {count}" for name, count in tools[:4])
    return text + (f", {len(tools) - 4} more" if len(tools) > 4 else "")


def _pretty(rows: Sequence[Row], width: int | None) -> str:
    return pretty(_table(rows), width) + sentences(footnotes(rows), width)


def _markdown(rows: Sequence[Row], width: int | None) -> str:
    del width
    turns = many(sum(1 for row in rows if row["event"] == "turn"), "turn")
    parts = ["### Token usage by turn\n", markdown(_whole(rows))]
    parts.append(details(turns, markdown(_table(rows, MARKDOWN_ROWS, total=False))))
    return "\n".join([*parts, "".join(f"- {line}\n" for line in footnotes(rows))])


def _json(rows: Sequence[Row], width: int | None) -> str:
    del width
    body = {
        "turns": [row for row in rows if row["event"] == "turn"],
        "unmatched": [row for row in rows if row["event"] == "unmatched"],
    }
    # ASCII only: what does not show in a terminal is escaped by JSON itself.
    return json.dumps(body, indent=2, ensure_ascii=True) + "\n"


_CSV: Final = (
    *("event", "run", "agent", "session", "conversation", "turn", "subagent", "kind", "reason", "begin", "end"),
    "calls",
    *COUNTS,
    *("all_tokens", "context_begin", "context_end", "context_max", "tool_calls"),
    *("cost_usd", "unpriced_calls", "cost_unknown_calls"),
    *("steps", "steps_not_recorded", "confidence", "confidence_mean"),
)


def _csv(rows: Sequence[Row], width: int | None) -> str:
    del width
    return as_csv(_CSV, [[row.get(name) for name in _CSV] for row in rows])


_FORMS: Final[dict[str, Callable[[Sequence[Any], int | None], str]]] = {
    "pretty": _pretty,
    "markdown": _markdown,
    "json": _json,
    "csv": _csv,
}
#: the names of the forms
FORMS: Final = tuple(_FORMS)
