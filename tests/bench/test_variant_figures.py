"""The tables of awfproxy with budgets and with workers."""

from __future__ import annotations

from typing import Any

import pytest

from bench import figures
from bench.budget_figures import budget_table
from bench.worker_figures import borne, worker_table
from bench.workloads import CALL


def run_row(peer: str, us: float, *, calls: int = 4000, round_: int = 0, each: list[float] | None = None) -> dict[str, Any]:
    """Two seconds of calls."""
    found = {"units": calls, "bad": 0, "p50_us": 1, "p99_us": 2, "duration_us": 2_000_000}
    parts = {"busy": 0.9, "cpus": 2, "each_us": each or [us], "workers": 2 if peer == "workers" else 1, "load_us": us / 10, "upstream_us": us / 5}
    return {"kind": "cpu", "peer": peer, "work": CALL.name, "round": round_, "cpu_us": us, "found": found} | parts


@pytest.mark.parametrize(("calls", "share", "verdict"), [(3600, "90.0%", "met"), (3590, "89.8%", "MISSED")])
def test_calls_a_second_with_a_budget(calls: int, share: str, verdict: str) -> None:
    """Compared with those without one, in the same round."""
    text = budget_table([run_row("awfproxy", 200), run_row("strict", 250, calls=calls)])
    line = [cell.strip() for cell in text.splitlines()[-1].split("|")]
    assert line[1:-1] == ["strict", f"{calls / 2:,.0f}", share, ">= 90%", verdict, "250.0", "1.25"]


def test_a_round_counts_by_itself() -> None:
    """One in which the machine was slow for both is no loss."""
    rows = [run_row("awfproxy", 200, calls=4000), run_row("learned", 200, calls=4000)]
    rows += [run_row("awfproxy", 400, calls=2000, round_=1), run_row("learned", 400, calls=2000, round_=1)]
    assert "100.0%" in budget_table(rows)


def test_no_table_without_budgets() -> None:
    """A run of other peers has none."""
    assert budget_table([run_row("awfproxy", 200)]) == ""
    assert worker_table([run_row("awfproxy", 200)]) == ""


def test_two_workers_do_what_two_cores_can() -> None:
    """Whatever the clock shows, and with their supervisor's part in it."""
    row = run_row("workers", 250, each=[10, 130, 110], calls=3000)
    assert borne(row) == pytest.approx(2 / 250e-6)


def test_one_process_may_use_more_than_a_core() -> None:
    """Threads run beside each other: then what was seen counts, and not what one core would do."""
    assert borne(run_row("awfproxy", 250, calls=9000)) == 4500
    assert borne(run_row("awfproxy", 250, calls=100)) == 4000


@pytest.mark.parametrize(("us", "said"), [(222.2, "1.80 times"), (240, "1.67 times")])
def test_the_verdict_on_two_workers(us: float, said: str) -> None:
    """1.8 is enough."""
    text = worker_table([run_row("awfproxy", 200), run_row("workers", us, each=[us / 2, us / 2])])
    assert said in text
    assert ("MISSED" in text) == (us == 240)
    assert "10% and 20%" in text


@pytest.mark.parametrize(("calls", "said"), [(4000, True), (8000, False)])
def test_what_others_took_is_said(calls: int, said: bool) -> None:
    """CPUs busy for 90 % of their time: with 8,000 calls of 390 us of proxy, load tool and upstream, 78 % were ours."""
    assert ("OTHERS USED" in figures.notes([run_row("awfproxy", 300, calls=calls)])) == said
