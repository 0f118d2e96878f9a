"""From the rows of one run to the tables that are read: ratios to nginx of the same run, beside the targets.

    python -m bench.figures ROWS.jsonl

Pure: rows in, text out. A ratio is the median of the rounds' ratios; a row whose calls or events did not all go as
they should is not used (and is named at the end).
"""

import json
import pathlib
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from bench.workloads import CALL, CPU_WORK, LEAST_TIMES_CHEAPER_THAN_NAIVE, LONE, MANY, MEMORY, MOST_KB_PER_STREAM, SLOW

Row = dict[str, Any]

GOOD_SHARE = 0.99  # of a run's calls or streams that must have gone well for its figures to count
BUSY_ALONE = 0.3  # share of all CPUs that 2,000 events a second through nginx may keep busy: alone it is 5 to 15 %
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


def cpu_us(rows: Sequence[Row], peer: str, work: str) -> float | None:
    """Median over the rounds; None: not measured."""
    values = [r["cpu_us"] for r in by_round(rows, peer, work).values()]
    return statistics.median(values) if values else None


def ratio(rows: Sequence[Row], peer: str, base: str, work: str) -> float | None:
    """Median of `peer` / `base` over the rounds that have both; None: there is none."""
    ours, theirs = by_round(rows, peer, work), by_round(rows, base, work)
    values = [ours[r]["cpu_us"] / theirs[r]["cpu_us"] for r in ours.keys() & theirs.keys() if theirs[r]["cpu_us"]]
    return statistics.median(values) if values else None


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


def cpu_table(rows: Sequence[Row], suffix: str) -> str:
    """µs of CPU per call or event over one kind of upstream; `suffix`: "" or "-tls"."""
    lines = []
    for work in CPU_WORK:
        nginx, ours = (cpu_us(rows, p + suffix, work.name) for p in ("nginx", "awfproxy"))
        if nginx is None and ours is None:
            continue
        times = {p: ratio(rows, p + suffix, "nginx" + suffix, work.name) for p in ("awfproxy", "epoll", "naive")}
        limit = work.most_times_nginx
        target = f"<= {limit:g}" if limit else ""
        line = [work.title, number(nginx), number(ours), number(times["awfproxy"], 2), target]
        lines.append([*line, at_most(times["awfproxy"], limit), number(times["epoll"], 2), number(times["naive"], 1)])
    head = ["CPU of the proxy", "nginx us", "awfproxy us", "x nginx", "target", "", "epoll x", "naive x"]
    return table(head, lines) if lines else ""


def naive_line(rows: Sequence[Row]) -> str:
    times = ratio(rows, "naive", "awfproxy", CALL.name)
    if times is None:
        return ""
    least = LEAST_TIMES_CHEAPER_THAN_NAIVE
    verdict = "met" if times >= least else "MISSED"
    return f"A 1 KB call costs the naive proxy {times:.1f} times awfproxy's CPU (target: {least:g} or more): {verdict}."


def memory_table(rows: Sequence[Row]) -> str:
    lines = []
    for r in rows:
        if r["kind"] == "memory" and r["work"] == MEMORY.name:
            limit = MOST_KB_PER_STREAM["tls" if r["peer"].endswith("-tls") else "plain"]
            is_ours = r["peer"].startswith(("awfproxy", "epoll"))
            target, verdict = (f"<= {limit:g}", at_most(r["kb_per_stream"], limit, 1)) if is_ours else ("", "")
            line = [r["peer"], number(r["idle_kb"] / 1024), number(r["peak_kb"] / 1024), number(r["kb_per_stream"])]
            lines.append([*line, target, verdict, str(r["found"]["bad"])])
    head = [MEMORY.title, "idle MB", "peak MB", "KB a stream", "target", "", "failed"]
    return table(head, lines) if lines else ""


def many_lines(rows: Sequence[Row]) -> str:
    out = []
    for r in rows:
        if r["kind"] == "memory" and r["work"] == MANY.name:
            found = r["found"]
            whole = not found["bad"] and found["units"] == found["expected"]
            verdict = "MISSED" if not whole else "met" if r["count"] == MANY.count else "met as far as could be tried"
            fit = "" if r["count"] == MANY.count else f" ({r['count']:,} fit the limit of open files)"
            out.append(
                f"{r['peer']}: {found['peak']:,} slow streams open at once on one process{fit}, {found['bad']} failed:"
                f" {verdict}. {r['kb_per_stream']:.1f} KB a stream, {r['cpu_us']:.0f} us of CPU an event, delay of an"
                f" event {found['p50_us'] / 1000:.2f} ms (p50), {found['p99_us'] / 1000:.1f} ms (p99)."
            )
    return "\n".join(out)


def delay_table(rows: Sequence[Row]) -> str:
    """What a proxy adds to what the load tools see without one, one call at a time and per event. Medians of rounds."""
    order = list(dict.fromkeys(r["peer"] for r in rows if r["kind"] == "cpu"))
    lines = []
    for peer in order:
        cells = [peer]
        for load in (LONE.name, SLOW.name):
            for key in ("p50_us", "p99_us"):
                here = [r["found"][key] for r in by_round(rows, peer, load).values()]
                base = [r["found"][key] for r in by_round(rows, "direct", load).values()]
                if peer == "direct":
                    cells.append(f"({statistics.median(here):,.0f})" if here else UNKNOWN)
                else:
                    cells.append(f"{statistics.median(here) - base[0]:,.0f}" if here and base else UNKNOWN)
        if any(c != UNKNOWN for c in cells[1:]):
            lines.append(cells)
    head = ["added latency, us", "1 KB call p50", "p99", "slow event p50", "p99"]
    return table(head, lines) if lines else ""


def notes(rows: Sequence[Row]) -> str:
    """What would make the figures doubtful, and that the records were really written."""
    out = []
    calls: dict[str, int] = {}
    for r in rows:
        if "found" in r:
            program = r["peer"].removesuffix("-tls")
            calls[program] = calls.get(program, 0) + r["found"].get("ok", r["found"]["units"])
            if not good(r):
                out.append(f"Not used: {r['work']} through {r['peer']}: {r['found']['bad']} went wrong.")
        elif r["kind"] == "exit" and r["status"]:
            out.append(f"{r['program']} ended with status {r['status']} on SIGTERM.")
    for r in rows:
        if r["kind"] == "records":
            enough = "each has its record" if r["lines"] >= calls.get(r["program"], 0) else "RECORDS ARE MISSING"
            counts = f"{calls.get(r['program'], 0):,} calls measured, {r['lines']:,} usage records"
            out.append(f"{r['program']}: {counts} (warm-ups and cut calls included): {enough}.")
    busy = [r["busy"] for r in rows if r["kind"] == "cpu" and r["work"] == SLOW.name and r["peer"].startswith("nginx")]
    if busy and max(busy) > BUSY_ALONE:
        out.append(
            f"OTHERS USED THE MACHINE (CPUs {max(busy):.0%} busy where the load needs little): ratios are rough."
        )
    return "\n".join(out)


def report(rows: Sequence[Row]) -> str:
    parts = [
        ("Plain upstream", cpu_table(rows, "")),
        ("TLS upstream", cpu_table(rows, "-tls")),
        ("Against the naive proxy", naive_line(rows)),
        ("Memory", "\n\n".join(filter(None, (memory_table(rows), many_lines(rows))))),
        ("Latency", delay_table(rows)),
        ("Notes", notes(rows)),
    ]
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in parts if text) + "\n"


if __name__ == "__main__":
    lines = pathlib.Path(sys.argv[1]).read_text().splitlines()
    sys.stdout.write(report([json.loads(line) for line in lines]))
