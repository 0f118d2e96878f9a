"""What a second worker gives: calls a second that two cores bear, reckoned from CPU time. Rows in, text out.

Load tool, upstream and proxies share the machine, so that what the clock shows are the calls a second that all of them
do together: on two cores they cannot double. CPU time tells what would be if the cores were the proxies' alone:

- One process does what one core can do, or a little more, as its threads for journal and ledger may run beside it: the
  greater of 1 / (its CPU a call) and of what was seen.
- Two workers and their supervisor do 2 / (the CPU of all of them a call). That all processes find work is taken for
  granted: which worker the kernel gives more of a few connections is no property of the proxy.
"""

import statistics
from collections.abc import Sequence

from bench.budget_figures import calls_a_second
from bench.rows import Row, by_round, cpu_of, middle, number, ratio, table
from bench.workloads import CALL, LEAST_TIMES_ONE_WORKER

WORKERS = 2  # of the program of that name, on as many cores
TITLES = {"awfproxy": "one process", "workers": "two workers and their supervisor"}


def workers_us(row: Row) -> float:
    """CPU of the processes that take calls, for one call."""
    return float(sum(sorted(row["each_us"])[-row["workers"] :]))


def borne(row: Row) -> float:
    """Calls a second on as many cores as there are workers, if nothing else ran on them."""
    reckoned: float = row["workers"] * 1e6 / cpu_of(row)
    return max(reckoned, calls_a_second(row))


def worker_table(rows: Sequence[Row]) -> str:
    """One process beside two workers; empty where they were not both measured."""
    ours = by_round(rows, "workers", CALL.name)
    times = ratio(rows, "workers", "awfproxy", CALL.name, borne)
    if times is None:
        return ""
    lines = []
    for peer, title in TITLES.items():
        seen, bears = (middle(rows, peer, CALL.name, figure) for figure in (calls_a_second, borne))
        taking = middle(rows, peer, CALL.name, workers_us)
        other = middle(rows, peer, CALL.name, lambda row: cpu_of(row) - workers_us(row))
        lines.append([title, number(seen, 0), number(taking), number(other), number(bears, 0)])
    head = [CALL.title, "calls/s seen", "CPU us of workers", "of the supervisor", "calls/s with the cores to itself"]
    verdict = "met" if round(times, 2) >= LEAST_TIMES_ONE_WORKER else "MISSED"
    beside = [(row["load_us"] / cpu_of(row), row["upstream_us"] / cpu_of(row)) for row in ours.values()]
    load, upstream = (statistics.median(shares) for shares in zip(*beside, strict=True))
    return (
        f"{table(head, lines)}\n\n"
        f"Two workers on {WORKERS} cores of their own do {times:.2f} times the calls of one process (target:"
        f" {LEAST_TIMES_ONE_WORKER:g} or more): {verdict}.\n"
        f"The cores were not their own: load tool and upstream took {load:.0%} and {upstream:.0%} of the CPU time that"
        " the proxies took."
    )
