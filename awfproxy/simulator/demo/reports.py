"""Prints what there is to see of the demonstration's records, and holds it against what is known.

Rules: every report is made by the command that a person would give, in a process of its own, and its command line is
printed above it.  What is known of turns and findings is compared with the same commands' JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from awfproxy.simulator.demo.sending import Sent
from awfproxy.simulator.demo.work import Run

#: Seconds that one report may take.
TIMEOUT = 60.0
#: Cases of a finding that are printed.
EVIDENCE = 1


class Reports:
    """The reports.

    :param log_dir: where the records are
    :param agents: where the agents' logs are
    """

    def __init__(self, log_dir: Path, agents: Path) -> None:
        self._logs = str(log_dir)
        self._agents = str(agents)

    def show(self, runs: Sequence[Run], sent: Sequence[Sent], records: list[dict[str, Any]]) -> list[str]:
        """Prints them; what is wrong in them, as sentences."""
        first, second = (run.name for run in runs)
        wrong = self._print("What all calls used", "logs", "token-usage", self._logs, "--by", "provider,model")
        wrong += self._print("What the runs cost", "logs", "token-usage", self._logs, "--by", "run,model", *_of(runs))
        wrong += self._print("On which turns", "logs", "turns", self._logs, "--agent-log", self._agents, *_of(runs))
        turns = self._told("logs", "turns", self._logs, "--agent-log", self._agents, *_of(runs), "--no-output")
        wrong += wrong_turns(turns, sent, records)
        wrong += self._print(
            "What to do about it", "logs", "analyze", self._logs, "--run", first, "--evidence", str(EVIDENCE)
        )
        wrong += self._print(
            "What came of it", "logs", "analyze", self._logs, "--run", second, "--compare-run", first, "--evidence", "0"
        )
        for run in runs:
            wrong += wrong_findings(run, self._told("logs", "analyze", self._logs, "--run", run.name))
        return wrong

    def unfounded(self, feature: str) -> list[str]:
        """Findings in calls in which there is nothing to be found, as sentences."""
        told = self._told("logs", "analyze", self._logs, "--feature", feature)
        return wrong_findings(Run(feature, (), {}), told) if told else [f"{feature}: not analysed"]

    def page(self, report: Path) -> list[str]:
        """Writes the page of HTML; what went wrong, as sentences."""
        report.parent.mkdir(parents=True, exist_ok=True)
        wrong = self._print("As a page", "report", self._logs, "--html", str(report), "--title", "The demonstration")
        if not wrong:
            print(f"The report is in {report.resolve()}.")
        return wrong

    def _print(self, heading: str, *arguments: str) -> list[str]:
        print(f"\n=== {heading}\n$ awf {' '.join(arguments)}\n", flush=True)
        status = subprocess.run([*awf_command(), *arguments], timeout=TIMEOUT, check=False).returncode
        return [] if status == 0 else [f"awf {' '.join(arguments)} ended with status {status}"]

    def _told(self, *arguments: str) -> dict[str, Any]:
        """The same as JSON; {} if the command failed."""
        command = [*awf_command(), *arguments, "--format", "json"]
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=False)
        return dict(json.loads(done.stdout)) if done.returncode == 0 else {}


def awf_command() -> list[str]:
    """How to run awf with this interpreter."""
    script = Path(sys.executable).parent / "awf"
    return [str(script)] if script.exists() else [sys.executable, "-c", "from awfproxy.cli import main; main()"]


def _of(runs: Sequence[Run]) -> list[str]:
    return [word for run in runs for word in ("--run", run.name)]


def wrong_turns(told: dict[str, Any], sent: Sequence[Sent], records: list[dict[str, Any]]) -> list[str]:
    """Calls that are not in the turn for which they were made, as sentences.

    :param told: what ``awf logs turns --format json`` says
    :param records: of token-usage.jsonl, which has the callers' ids and ours
    """
    places: dict[str, tuple[str, int]] = {}
    for row in (*told.get("turns", ()), *told.get("unmatched", ())):
        place: tuple[str, int] = (row.get("session", ""), row["turn"]) if row["event"] == "turn" else ("", 0)
        places |= dict.fromkeys(row.get("request_ids", ()), place)
    ours = {record.get("client_request_id"): record["request_id"] for record in records}
    wrong = []
    for call in sent:
        if call.run and call.name in ours:
            found = places.get(ours[call.name])
            if found != (call.session, call.turn):
                wrong.append(f"{call.run}, {call.title}: told to be in {found}, but is of {(call.session, call.turn)}")
    return wrong


def wrong_findings(run: Run, told: dict[str, Any]) -> list[str]:
    """Where the findings of a run are not those that were put there, as sentences.

    :param told: what ``awf logs analyze --format json`` says
    """
    found = {finding["code"]: finding["cases"] for finding in told.get("findings", ())}
    return [
        f"{run.name}: {found.get(code, 0)} cases of {code} found, but there are {run.findings.get(code, 0)}"
        for code in sorted(found.keys() | run.findings.keys())
        if found.get(code) != run.findings.get(code)
    ]
