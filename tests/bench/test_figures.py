"""The tables of the bench: a ratio, a verdict, what is left out. The measuring itself is not tested here."""

from typing import Any

import pytest

from bench import figures
from bench import rows as rows_
from bench.workloads import CALL, MANY, MEMORY, SLOW


def cpu_row(
    peer: str, us: float, *, work: str = CALL.name, round_: int = 0, bad: int = 0, busy: float = 0.1
) -> dict[str, Any]:
    found = {"units": 1000, "bad": bad, "p50_us": 10 * us, "p99_us": 20 * us}
    return {"kind": "cpu", "peer": peer, "work": work, "round": round_, "cpu_us": us, "busy": busy, "found": found}


def memory_row(peer: str, work: str, kb: float, *, count: int, failed: int = 0) -> dict[str, Any]:
    found = {"units": count - failed, "expected": count, "bad": failed, "peak": count, "p50_us": 1, "p99_us": 2}
    row = {"kind": "memory", "peer": peer, "work": work, "count": count, "idle_kb": 50_000, "peak_kb": 60_000}
    return {**row, "kb_per_stream": kb, "cpu_us": 20.0, "found": found}


def line_with(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


def test_ratio_is_the_median_of_the_rounds() -> None:
    """A round in which the machine was slow counts by its own nginx, and one outlier does not decide."""
    rows = [cpu_row("nginx", us, round_=i) for i, us in enumerate((20, 40, 20))]
    rows += [cpu_row("awfproxy", us, round_=i) for i, us in enumerate((60, 120, 400))]
    assert rows_.ratio(rows, "awfproxy", "nginx", CALL.name) == 3.0


def test_ratio_needs_both_in_one_round() -> None:
    """Figures of different rounds are never divided by each other."""
    rows = [cpu_row("nginx", 20, round_=0), cpu_row("awfproxy", 60, round_=1)]
    assert rows_.ratio(rows, "awfproxy", "nginx", CALL.name) is None


def test_failed_runs_are_not_figures() -> None:
    """A proxy that answers errors is cheap: such a row is named, and left out of the table."""
    rows = [cpu_row("nginx", 20), cpu_row("awfproxy", 5, bad=900)]
    assert rows_.cpu_us(rows, "awfproxy", CALL.name) is None
    assert "Not used: call-1k through awfproxy: 900 went wrong." in figures.report(rows)


@pytest.mark.parametrize(("us", "verdict"), [(90.0, "met"), (90.01, "met"), (92.0, "MISSED")])
def test_verdict_is_of_the_printed_figure(us: float, verdict: str) -> None:
    """4.50 is within 4.5, whatever the digits that are not shown; 4.60 is not."""
    text = figures.report([cpu_row("nginx", 20), cpu_row("awfproxy", us)])
    assert verdict in line_with(text, "| 1 KB call ")


def test_tls_is_compared_with_tls() -> None:
    """The TLS table divides by nginx over TLS, not by nginx over plain TCP."""
    rows = [cpu_row("nginx", 10), cpu_row("nginx-tls", 40), cpu_row("awfproxy-tls", 80)]
    tls = figures.report(rows).split("## TLS upstream")[1]
    assert "2.00" in line_with(tls, "| 1 KB call ")


def test_naive_must_cost_eight_times_as_much() -> None:
    """The one target that is a lower bound."""
    ours = cpu_row("awfproxy", 50)
    assert "8.0 times" in (text := figures.naive_line([ours, cpu_row("naive", 400)]))
    assert text.endswith(": met.")
    assert figures.naive_line([ours, cpu_row("naive", 390)]).endswith(": MISSED.")


def test_memory_has_its_own_limit_over_tls() -> None:
    """12 KB a stream is too much over plain TCP and fine over TLS; nginx has no target."""
    rows = [memory_row(peer, MEMORY.name, 12.0, count=1000) for peer in ("nginx", "awfproxy", "awfproxy-tls")]
    text = figures.memory_table(rows)
    assert "MISSED" in line_with(text, "| awfproxy ")
    assert "met" in line_with(text, "| awfproxy-tls ")
    assert "<=" not in line_with(text, "| nginx ")


@pytest.mark.parametrize(
    ("count", "failed", "verdict"),
    [(MANY.count, 0, ": met."), (9000, 0, "met as far as could be tried"), (MANY.count, 1, "MISSED")],
)
def test_many_streams_says_how_many_fit(count: int, failed: int, verdict: str) -> None:
    """Fewer than 10,000 for want of descriptors is not called met."""
    assert verdict in figures.many_lines([memory_row("awfproxy", MANY.name, 6.0, count=count, failed=failed)])


def test_added_latency_is_above_direct() -> None:
    """What the load tools see without a proxy is taken off."""
    rows = [cpu_row(peer, us, work=SLOW.name) for peer, us in (("direct", 3), ("nginx", 8))]
    cells = [c.strip() for c in line_with(figures.delay_table(rows), "| nginx ").split("|")]
    assert cells[4:6] == ["50", "100"]


def test_missing_records_are_said() -> None:
    """Fewer usage records than calls measured is a fault of the proxy, and stands in the notes."""
    rows = [cpu_row("awfproxy", 50), {"kind": "records", "program": "awfproxy", "lines": 999}]
    assert "RECORDS ARE MISSING" in figures.notes(rows)
    rows[1] = {"kind": "records", "program": "awfproxy", "lines": 1000}
    assert "each has its record" in figures.notes(rows)


def test_a_shared_machine_is_said() -> None:
    """Slow streams through nginx need little: CPUs that are busy then are busy with something else."""
    assert "OTHERS USED" in figures.notes([cpu_row("nginx", 30, work=SLOW.name, busy=0.8)])
    assert "OTHERS USED" not in figures.notes([cpu_row("nginx", 30, work=SLOW.name, busy=0.1)])
    assert "OTHERS USED" not in figures.notes([cpu_row("nginx", 30, busy=0.9)])


def test_how_fast_python_was_is_told() -> None:
    """Ratios of a Python process to nginx move with it."""
    rows = [{"kind": "pace", "interpreter": "CPython 3.11.2", "ns": ns} for ns in (17.9, 45.2)]
    assert "took CPython 3.11.2 18 and 45 ns" in figures.report([cpu_row("nginx", 20), *rows])
