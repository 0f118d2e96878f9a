"""The whole demonstration, by the command: what it prints, what it leaves, and what is to be found in it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from awfproxy.simulator.demo import demonstration
from awfproxy.simulator.demo.runs import FIRST, RUNS, SECOND
from awfproxy.simulator.demo.work import Run, Session
from tests.demonstrated import Demonstrated

#: Seconds that it may take on a slow machine that does other things too.
SECONDS = 60
#: Calls of one Claude session of the first run: its steps, its answers, and one that was sent again.
FIRST_CALLS = 17

#: By code, what stands in the evidence of the first run's cases, the one that is worth most first.
EVIDENCE: dict[str, list[dict[str, Any]]] = {
    # The instructions end with the time, which is another one in each of the turns 2 and 3.
    "cache-prefix-break": [{"cause": "system", "read_from_cache": 0}, {"cause": "system", "read_from_cache": 0}],
    "paid-retries": [{"outcome": "upstream_cut", "status": 200}],
    "unused-tool-schemas": [{"offered": 38, "never_called": 29, "calls": FIRST_CALLS}],
    "reread-files": [{"tool": "Read", "times": 2, "calls_of_turn": 1}],
    "no-prompt-caching": [{"calls": 4}],
    "context-growth": [{"first_prompt": 8_671, "calls": 5}],
    "repeated-tool-calls": [
        {"tool": "mcp__github__get_workflow_run", "times": 3},
        {"tool": "mcp__github__get_workflow_run", "times": 2},
    ],
    "deterministic-retrieval": [{"tool": "mcp__github__list_issues", "calls": 3, "known_from_before": 0}],
    "aborted-but-billed": [{"outcome": "client_left"}],
    "model-downgrade": [{"calls": 12, "smaller_model": "claude-haiku-4-5"}],
}


def test_all_of_it_is_right_and_quick(demonstrated: Demonstrated) -> None:
    """Status 0: every figure, turn and finding was compared; every report was printed below its command."""
    assert demonstrated.status == 0, demonstrated.printed
    assert "Every figure equals what the simulated providers served" in demonstrated.printed
    assert "WRONG" not in demonstrated.printed
    for command in ("logs token-usage", "logs turns", "logs analyze", "report"):
        assert f"$ awf {command} " in demonstrated.printed
    assert demonstrated.seconds < SECONDS


def test_the_page_is_where_it_says(demonstrated: Demonstrated) -> None:
    """And has both runs in it."""
    assert f"The report is in {demonstrated.page.resolve()}." in demonstrated.printed
    page = demonstrated.page.read_text()
    assert page.startswith("<!DOCTYPE html>") or page.startswith("<!doctype html>")
    assert all(run.name in page for run in RUNS)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_what_was_put_there_is_found_and_nothing_else(demonstrated: Demonstrated, run: Run) -> None:
    """Codes and cases; and no finding is without evidence."""
    found = demonstrated.told("logs", "analyze", str(demonstrated.logs), "--run", run.name)["findings"]
    assert {finding["code"]: finding["cases"] for finding in found} == run.findings
    assert all(len(finding["evidence"]) == finding["cases"] for finding in found)


def test_nothing_is_found_where_nothing_is(demonstrated: Demonstrated) -> None:
    """In one call of each kind; and all records together have the findings of both runs and no others."""
    tour = demonstrated.told("logs", "analyze", str(demonstrated.logs), "--feature", demonstration.TOUR)
    assert tour["findings"] == []
    found = demonstrated.told("logs", "analyze", str(demonstrated.logs))["findings"]
    assert {finding["code"] for finding in found} == {code for run in RUNS for code in run.findings}


def test_the_evidence_is_what_was_put_there(demonstrated: Demonstrated) -> None:
    """Figure by figure, in the order of what they are worth."""
    found = demonstrated.told("logs", "analyze", str(demonstrated.logs), "--run", FIRST.name)["findings"]
    for finding in found:
        expected = EVIDENCE[finding["code"]]
        told = [
            {name: case["figures"].get(name) for name in figures}
            for case, figures in zip(finding["evidence"], expected, strict=True)
        ]
        assert told == expected, finding["code"]
    assert {finding["code"] for finding in found} == set(EVIDENCE)
    assert len(EVIDENCE) >= 6


def test_the_second_run_is_cleaner() -> None:
    """It has a part of the first one's findings, and fewer cases of none more."""
    assert SECOND.findings.items() <= FIRST.findings.items()
    assert 0 < len(SECOND.findings) < len(FIRST.findings) / 2


def test_every_call_of_an_agent_is_in_its_turn(demonstrated: Demonstrated) -> None:
    """The agents' logs, which they wrote themselves, have each call; those of scripts are in no turn."""
    arguments = [word for run in RUNS for word in ("--run", run.name)]
    told = demonstrated.told(
        "logs", "turns", str(demonstrated.logs), "--agent-log", str(demonstrated.folder / "agents"), "--no-output",
        *arguments,
    )  # fmt: skip
    planned = {
        (work.name, number): len(turn.steps) + 1 + sum(1 for step in turn.steps if step.broken_after)
        for run in RUNS
        for work in run.works
        if isinstance(work, Session)
        for number, turn in enumerate(work.turns, 1)
    }
    assert {(row["session"], row["turn"]): row["calls"] for row in told["turns"]} == planned
    assert not any("steps_not_recorded" in row for row in told["turns"])
    assert sum(row["calls"] for row in told["unmatched"]) == 2 * 16


def test_the_same_each_time(demonstrated: Demonstrated) -> None:
    """Bounds that no speed of the machine moves: what was given up and cut off has the figures of its events."""
    records = [json.loads(line) for line in (demonstrated.logs / "token-usage.jsonl").read_text().splitlines()]
    ended = {
        (record["run"], record["outcome"]): (record["output_tokens"], record["usage_source"])
        for record in records
        if record.get("run") and record["outcome"] != "complete"
    }
    assert ended.keys() == {(FIRST.name, "upstream_cut"), (FIRST.name, "client_left")}
    assert ended[FIRST.name, "upstream_cut"][1] == "partial"
    assert ended[FIRST.name, "client_left"][1] == "estimated"
    assert Counter(record["run"] for record in records if record.get("run")) == {FIRST.name: 39, SECOND.name: 30}


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One with something in it is refused, and a file too."""
    (tmp_path / "kept").write_text("mine")
    assert demonstration.main(tmp_path) == 1
    assert demonstration.main(tmp_path / "kept") == 1
    assert "is there already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
