"""The comparison of reports with what is known: nothing wrong goes by."""

from __future__ import annotations

from typing import Any

from awfproxy.simulator.demo.reports import wrong_findings, wrong_turns
from awfproxy.simulator.demo.sending import COMPLETE, Sent
from awfproxy.simulator.demo.work import Run

RUN = Run("r", (), {"reread-files": 2})


def findings(**cases: int) -> dict[str, Any]:
    return {"findings": [{"code": code.replace("_", "-"), "cases": count} for code, count in cases.items()]}


def test_findings_must_be_those_and_so_many() -> None:
    """One more, one less, one that was not put there, and none at all."""
    assert wrong_findings(RUN, findings(reread_files=2)) == []
    assert wrong_findings(RUN, findings(reread_files=1)) == ["r: 1 cases of reread-files found, but there are 2"]
    assert wrong_findings(RUN, {}) == ["r: 0 cases of reread-files found, but there are 2"]
    both = findings(reread_files=2, paid_retries=1)
    assert wrong_findings(RUN, both) == ["r: 1 cases of paid-retries found, but there are 0"]


def test_every_call_must_be_in_its_turn() -> None:
    """Of another session, of another turn, in none, and of a script that has been put into one."""
    sent = [Sent("a", "one", COMPLETE, "r", "s", 1), Sent("b", "two", COMPLETE, "r"), Sent("c", "tour", COMPLETE)]
    records = [{"client_request_id": name, "request_id": name.upper()} for name in "abc"]

    def told(session: str, turn: int, *ids: str) -> dict[str, Any]:
        return {
            "turns": [{"event": "turn", "session": session, "turn": turn, "request_ids": list(ids)}],
            "unmatched": [{"event": "unmatched", "request_ids": sorted({"B"} - set(ids))}],
        }

    assert wrong_turns(told("s", 1, "A"), sent, records) == []
    for wrong in (told("s", 2, "A"), told("t", 1, "A"), told("s", 1), told("s", 1, "A", "B")):
        assert len(wrong_turns(wrong, sent, records)) == 1
    assert len(wrong_turns({}, sent, records)) == 2
