"""Rows of one run: which count, medians over their rounds, and tables of them.

A ratio is the median of the rounds' ratios; a row whose calls or events did not all go as they should is not used.
"""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

Row = dict[str, Any]

GOOD_SHARE = 0.99  # of a run's calls or streams that must have gone well for its figures to count
UNKNOWN = "-"


def good(row: Row) -> bool:
    found = row["found"]
    if not found["units"]:
        return False
    if found["bad"] > (1 - GOOD_SHARE) * found.get("n", found["units"]):
        return False
    return bool(found["units"] >= GOOD_SHARE * found.get("expected", 0))


def by_round(rows: Sequence[Row], peer: str, work: str) -> dict[int, Row]:
    usable = (r for r in rows if r["kind"] == "cpu" and r["peer"] == peer and r["work"] == work and good(r))
    return {r["round"]: r for r in usable}


def cpu_of(row: Row) -> float:
    """µs of CPU of the proxy for one call or event."""
    return float(row["cpu_us"])


def middle(rows: Sequence[Row], peer: str, work: str, figure: Callable[[Row], float]) -> float | None:
    """Median over the rounds; None: not measured."""
    values = [figure(r) for r in by_round(rows, peer, work).values()]
    return statistics.median(values) if values else None


def cpu_us(rows: Sequence[Row], peer: str, work: str) -> float | None:
    """µs of CPU of the proxy for one call or event, median over the rounds; None: not measured."""
    return middle(rows, peer, work, cpu_of)


def ratio(
    rows: Sequence[Row], peer: str, base: str, work: str, figure: Callable[[Row], float] = cpu_of
) -> float | None:
    """Median of `peer` / `base` over the rounds that have both; None: there is none."""
    ours, theirs = by_round(rows, peer, work), by_round(rows, base, work)
    values = [figure(ours[r]) / figure(theirs[r]) for r in ours.keys() & theirs.keys() if figure(theirs[r])]
    return statistics.median(values) if values else None


def others_share(row: Row) -> float | None:
    """Share of all CPUs' time that neither proxy nor load tool nor upstream took; None: not known of this row."""
    length = row["found"].get("duration_us")
    if not length or row.get("load_us") is None:
        return None
    own = (row["cpu_us"] + row["load_us"] + row["upstream_us"]) * row["found"]["units"]
    return float(row["busy"] - own / (length * row["cpus"]))


def number(value: float | None, digits: int = 1) -> str:
    return UNKNOWN if value is None else f"{value:,.{digits}f}"


def at_most(value: float | None, limit: float | None, digits: int = 2) -> str:
    """The verdict on a figure that must not pass a limit. Compared as printed: 1.504 meets 1.5."""
    if value is None or limit is None:
        return ""
    return "met" if round(value, digits) <= limit else "MISSED"


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table that also reads well on a terminal; columns but the first are aligned right."""
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]

    def one(cells: Sequence[str]) -> str:
        padded = [c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join(("-" * (w + 1) + ":") if i else "-" * (w + 2) for i, w in enumerate(widths)) + "|"
    return "\n".join([one(head), rule, *map(one, lines)])
