"""A start waits for the budgets, and no longer than it must."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from awfproxy.server.start_wait import LOOK_SECONDS, START_WAIT, StartWait


class Start:
    """A start, and what came of it."""

    def __init__(self, opening: bool) -> None:
        self.opening = opening
        self.looks = 0
        self.begun: list[float] = []
        self.failures: list[Any] = []
        self.clock = Clock()
        self.fails = False
        self.wait = StartWait(self._opening, self._begin, self.failures.append, self.clock)
        self.wait.start()

    def _opening(self) -> bool:
        self.looks += 1
        return self.opening

    def _begin(self) -> None:
        self.begun.append(self.clock.seconds())
        if self.fails:
            raise OSError("no")

    def pass_(self, seconds: float) -> None:
        self.clock.pump([LOOK_SECONDS] * round(seconds / LOOK_SECONDS))


def test_nothing_to_wait_for() -> None:
    """It begins within `start`: nothing is left to be done by the clock."""
    start = Start(opening=False)
    assert start.begun == [0.0] and not start.clock.getDelayedCalls()


def test_it_begins_as_soon_as_it_can() -> None:
    """Once."""
    start = Start(opening=True)
    start.pass_(1)
    assert not start.begun and start.looks > 10
    start.opening = False
    start.pass_(1)
    assert start.begun == [pytest.approx(1, abs=2 * LOOK_SECONDS)] and not start.clock.getDelayedCalls()


def test_it_does_not_wait_for_ever() -> None:
    """Whatever becomes of the ledger, calls are accepted at last."""
    start = Start(opening=True)
    start.pass_(START_WAIT - 1)
    assert not start.begun
    start.pass_(2)
    assert start.begun == [pytest.approx(START_WAIT, abs=2 * LOOK_SECONDS)]
    assert not start.clock.getDelayedCalls()


def test_it_can_be_ended_and_given_up() -> None:
    """By other settings, which begin it at once, and by a stop, after which it never begins; both once more do nothing."""
    start = Start(opening=True)
    start.wait.end()
    start.wait.end()
    assert start.begun == [0.0]
    start = Start(opening=True)
    start.wait.cancel()
    start.wait.end()
    start.pass_(2 * START_WAIT)
    assert not start.begun and not start.clock.getDelayedCalls()


def test_a_late_failure_is_told() -> None:
    """Where nobody is there any more whom an exception would reach."""
    start = Start(opening=True)
    start.fails, start.opening = True, False
    start.pass_(1)
    (failure,) = start.failures
    assert failure.check(OSError) and len(start.begun) == 1
