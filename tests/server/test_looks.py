"""Looks that break: the others come, and those that follow."""

from __future__ import annotations

from awfproxy.server.looks import Looks
from tests.conftest import LoggedFailures


def test_what_breaks_is_told_once_of_its_kind(logged_failures: LoggedFailures) -> None:
    """And looked at again all the same."""
    came: list[float] = []

    def breaks(now: float) -> None:
        came.append(now)
        raise ValueError("a defect")

    def breaks_too(now: float) -> None:
        raise KeyError("another")

    look = Looks()
    for now in (1.0, 2.0, 3.0):
        look(breaks, now)
        look(breaks_too, now)
        look(came.append, -now)
    assert came == [1.0, -1.0, 2.0, -2.0, 3.0, -3.0]
    assert len(logged_failures.flush(ValueError)) == len(logged_failures.flush(KeyError)) == 1
