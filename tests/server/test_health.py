"""Health in words."""

from typing import Any

import pytest
from twisted.internet.task import Clock

from awfproxy.server.health import READY, STARTING, Health, journal_condition
from awfproxy.server.journal_memory import MemoryJournal


def make(**more: Any) -> Health:
    """Health in second 100, with no record yet."""
    return Health(**({"now": lambda: 100.0, "last_record": lambda: None} | more))


def test_a_new_process_is_well_and_not_ready() -> None:
    """Live comes before ready."""
    health = make()
    assert not health.ready
    report = health.report()
    assert report.pop("version")
    assert report == {"status": "ok", "reasons": {}, "state": STARTING, "last_record": None, "uptime_seconds": 0.0}
    health.state = READY
    assert health.ready


def test_reasons_make_it_degraded_and_go_again() -> None:
    """Asked each time; what is well is not listed."""
    health = make()
    trouble = ["disk full"]
    health.watch("journal", lambda: trouble[0] if trouble else None)
    health.watch("scanner", lambda: None)
    assert health.report()["status"] == "degraded"
    assert health.report()["reasons"] == {"journal": "disk full"}
    trouble.clear()
    assert health.report()["status"] == "ok"
    assert not health.degraded()


def test_a_condition_that_breaks_is_not_well() -> None:
    """And does not break the page; its message stays inside."""
    health = make()

    def broken() -> str | None:
        raise ZeroDivisionError("secret")

    health.watch("x", broken)
    assert health.reasons() == {"x": "cannot be told (ZeroDivisionError)"}


def test_two_conditions_of_one_name_are_a_mistake() -> None:
    """One would hide the other."""
    health = make()
    health.watch("x", lambda: None)
    with pytest.raises(ValueError, match="x is watched already"):
        health.watch("x", lambda: None)


def test_it_says_when_the_last_record_was_written() -> None:
    """A proxy that records nothing must be seen."""
    assert make(last_record=lambda: 1.5).report()["last_record"] == "1970-01-01T00:00:01.500Z"


def test_the_journal_is_well_until_records_wait_too_long() -> None:
    """A write that hangs raises no error: its age tells."""
    clock = Clock()
    journal = MemoryJournal(clock)
    condition = journal_condition(journal, 5.0)
    assert condition() is None
    journal.reserve()
    journal.append(None, b"{}\n", lambda: None)
    clock.advance(5.0)
    assert condition() is None
    clock.advance(1.0)
    assert condition() == "1 records wait, the oldest for 6 s"
    journal.stall("requests.jsonl: No space left on device")
    assert condition() == "requests.jsonl: No space left on device; 1 records wait, the oldest for 6 s"
    journal.stall(None)
    journal.start()
    clock.advance(0)
    assert condition() is None


def test_that_calls_are_refused_is_told() -> None:
    """While it lasts."""
    journal = MemoryJournal(Clock(), places=1)
    condition = journal_condition(journal, 5.0)
    journal.reserve()
    assert condition() == "calls are refused"
    journal.release()
    assert condition() is None


def test_errors_and_lost_records_of_the_journal_are_told() -> None:
    """A record that is gone stays a reason for as long as the process lives."""
    journal = MemoryJournal(Clock())
    condition = journal_condition(journal, 5.0)
    journal.stall("No space left on device")
    assert condition() == "No space left on device"
    journal.stall(None)
    assert condition() is None
    journal.drop()
    assert condition() == "1 records were dropped"
