"""What budgets cost: awfproxy with each kind of them, against awfproxy without, in the same run. Rows in, text out."""

from collections.abc import Sequence

from bench.rows import UNKNOWN, Row, by_round, cpu_us, middle, number, ratio, table
from bench.workloads import CALL, LEAST_SHARE_OF_OFF

OFF = "awfproxy"  # the peer without a budget
TITLES = {
    OFF: "off",
    "learned": "learned",
    "strict": "strict",
    "dollars": "learned, and a cap in dollars",
}


def calls_a_second(row: Row) -> float:
    """By the clock, of all clients together."""
    return float(row["found"]["units"]) / float(row["found"]["duration_us"]) * 1e6


def budget_table(rows: Sequence[Row]) -> str:
    """Calls a second and CPU of a call; empty where no budget was measured."""
    if not any(by_round(rows, peer, CALL.name) for peer in TITLES if peer != OFF):
        return ""
    lines = []
    for peer, title in TITLES.items():
        seconds = middle(rows, peer, CALL.name, calls_a_second)
        if seconds is None:
            continue
        share = ratio(rows, peer, OFF, CALL.name, calls_a_second)
        least, verdict = "", ""
        if peer != OFF:
            least = f">= {LEAST_SHARE_OF_OFF:.0%}"
            if share is not None:
                verdict = "met" if round(share, 3) >= LEAST_SHARE_OF_OFF else "MISSED"
        times = ratio(rows, peer, OFF, CALL.name)
        line = [title, number(seconds, 0), UNKNOWN if share is None else f"{share:.1%}", least, verdict]
        lines.append([*line, number(cpu_us(rows, peer, CALL.name)), number(times, 2)])
    head = [f"budget ({CALL.title})", "calls/s", "of off", "target", "", "CPU us", "x off"]
    return table(head, lines)
