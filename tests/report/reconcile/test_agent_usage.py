"""Agents' logs against our records, on made traffic whose calls are known."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from awfproxy.report.reconcile.report import Reconciliation, reconcile_logs
from tests.report.turns.traffic import MODELS, Setting, log_files, make

#: a world in which nothing is lost, on either side
WHOLE = Setting(skew=0.0, retries=0.0, unlogged=0.0, unrecorded=0.0, others=0.0)


def compare(setting: Setting, folder: Path, seed: int = 3, keep: int = 0) -> Reconciliation:
    world = make(setting, seed)
    for name, content in log_files(world):
        path = folder / "logs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    own = folder / "token-usage.jsonl"
    own.write_text("".join(json.dumps(record) + "\n" for record in world.records[keep:]))
    return reconcile_logs([str(own)], [str(folder / "logs")], ("model",))


@pytest.mark.parametrize("agent", MODELS)
def test_the_same_calls_agree(agent: str, tmp_path: Path) -> None:
    """As many calls and tokens; classes that a log does not tell are within others."""
    report = compare(msgspec.structs.replace(WHOLE, agent=agent), tmp_path)
    assert report.tokens is not None
    (total,) = report.tokens.totals.values()
    assert total.calls == total.requests and total.calls > 20
    # Claude Code writes the output of an answer's beginning; that is told, and counts against nobody.
    assert total.ours[:4] == total.theirs[:4] and total.ours[4] >= total.theirs[4] and report.agrees
    codes = {cause.code for line in report.tokens.lines.values() for cause in line.causes}
    assert codes == ({"partial-there"} if agent == "claude-code" else set())


@pytest.mark.parametrize("agent", MODELS)
def test_calls_that_were_not_recorded(agent: str, tmp_path: Path) -> None:
    """Just as many as are missing."""
    report = compare(msgspec.structs.replace(WHOLE, agent=agent), tmp_path, keep=2)
    assert report.tokens is not None and not report.agrees
    causes = [cause for line in report.tokens.lines.values() for cause in line.causes]
    assert {cause.code for cause in causes} - {"partial-there"} == {"missing-here"}
    assert sum(cause.calls or 0 for cause in causes) == -2


def test_other_programs_do_not_count(tmp_path: Path) -> None:
    """Calls that say they were of another session, or of a model that the log has not, are left out and counted."""
    report = compare(msgspec.structs.replace(WHOLE, others=1.0), tmp_path)
    assert report.tokens is not None
    (total,) = report.tokens.totals.values()
    assert total.requests is not None and total.calls >= total.requests
    codes = {cause.code for line in report.tokens.lines.values() for cause in line.causes}
    assert codes <= {"missing-there"}


def test_nothing_to_compare(tmp_path: Path) -> None:
    """A file that is no log is told, and nothing is found."""
    (tmp_path / "a.log").write_text("nothing\n")
    (tmp_path / "token-usage.jsonl").write_text("")
    report = reconcile_logs([str(tmp_path / "token-usage.jsonl")], [str(tmp_path / "a.log")])
    told = f"{tmp_path}/a.log: no log of an agent that is known here."
    assert not report.found and report.notes == [told, "There are no calls in the agents' logs."]
    (tmp_path / "token-usage.jsonl").write_text('{"input_tokens": 1, "output_tokens": 1}\n')
    assert reconcile_logs([str(tmp_path / "token-usage.jsonl")], [str(tmp_path / "a.log")]).calls == 1
