"""From the rows of one run to the tables that are read: ratios to nginx of the same run, beside the targets.

    python -m bench.figures ROWS.jsonl

Pure: rows in, text out. A row whose calls or events did not all go as they should is not used, and named at the end.
"""

import json
import pathlib
import statistics
import sys
from collections.abc import Sequence

from bench.budget_figures import budget_table
from bench.rows import UNKNOWN, Row, at_most, by_round, cpu_us, good, number, others_share, ratio, table
from bench.worker_figures import worker_table
from bench.workloads import CALL, CPU_WORK, LEAST_TIMES_CHEAPER_THAN_NAIVE, LONE, MANY, MEMORY, MOST_KB_PER_STREAM, SLOW

OTHERS_ALONE = 0.15  # share of all CPUs that is neither proxy nor load tool nor upstream: what the kernel adds, alone
BUSY_ALONE = 0.3  # share of all CPUs that 2,000 events a second through nginx may keep busy: alone it is 5 to 15 %


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
    if paces := [r for r in rows if r["kind"] == "pace"]:
        turns = " and ".join(f"{ns:.0f}" for ns in (paces[0]["ns"], paces[-1]["ns"]))
        out.append(f"An empty turn of a loop took {paces[0]['interpreter']} {turns} ns, before and after.")
    busy = [r["busy"] for r in rows if r["kind"] == "cpu" and r["work"] == SLOW.name and r["peer"].startswith("nginx")]
    if busy and max(busy) > BUSY_ALONE:
        out.append(
            f"OTHERS USED THE MACHINE (CPUs {max(busy):.0%} busy where the load needs little): ratios are rough."
        )
    others = [share for r in rows if r["kind"] == "cpu" and (share := others_share(r)) is not None]
    if others and statistics.median(others) > OTHERS_ALONE:
        out.append(
            f"OTHERS USED THE MACHINE ({statistics.median(others):.0%} of its CPU time while calls were measured):"
            " calls a second, and their shares, say little."
        )
    return "\n".join(out)


def report(rows: Sequence[Row]) -> str:
    parts = [
        ("Plain upstream", cpu_table(rows, "")),
        ("TLS upstream", cpu_table(rows, "-tls")),
        ("Against the naive proxy", naive_line(rows)),
        ("Budgets", budget_table(rows)),
        ("Two workers", worker_table(rows)),
        ("Memory", "\n\n".join(filter(None, (memory_table(rows), many_lines(rows))))),
        ("Latency", delay_table(rows)),
        ("Notes", notes(rows)),
    ]
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in parts if text) + "\n"


if __name__ == "__main__":
    lines = pathlib.Path(sys.argv[1]).read_text().splitlines()
    sys.stdout.write(report([json.loads(line) for line in lines]))
