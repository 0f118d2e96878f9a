"""What the service manager is told and when, on a clock that stands still until it is moved."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from awfproxy.server.health import DRAINING, READY, STARTING
from awfproxy.server.notify import NotifySocket
from awfproxy.server.notify_standing import (
    LOOK_SECONDS,
    READY_LOOK,
    STATUS_MAX,
    Standing,
    StandingNotices,
    status_line,
)
from tests.conftest import LoggedFailures

WATCHDOG = 30.0


class Manager:
    """The service manager's end, and a service whose standing the test sets."""

    def __init__(self, address: str, watchdog: float | None) -> None:
        self.listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.listening.setblocking(False)
        self.listening.bind(address)
        self.clock = Clock()
        self.standing = Standing(STARTING, ("openai",), 0)
        self.fails = False
        self.notices = StandingNotices(NotifySocket(address, watchdog), self.clock, self._ask)

    def _ask(self) -> Standing:
        if self.fails:
            raise OSError(24, "Too many open files")
        return self.standing

    def heard(self) -> list[dict[str, str]]:
        """What came since the last time."""
        found: list[dict[str, str]] = []
        while True:
            try:
                data = self.listening.recv(65536)
            except BlockingIOError:
                return found
            found.append(dict(line.split("=", 1) for line in data.decode().split("\n")))


@pytest.fixture(params=[None, WATCHDOG], ids=["no watchdog", "watchdog"])
def manager(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Manager]:
    """With a service that starts."""
    made = Manager(str(tmp_path / "notify"), request.param)
    yield made
    made.notices.stop()
    made.listening.close()


def named(heard: list[dict[str, str]], *names: str) -> list[str]:
    """Which of these were told, in order."""
    return [name for each in heard for name in each if name in names]


def test_ready_is_told_once_and_not_before(manager: Manager) -> None:
    """Soon after it is so."""
    manager.notices.start()
    manager.clock.pump([READY_LOOK] * 10)
    assert named(manager.heard(), "READY") == []
    manager.standing = Standing(READY, ("openai",), 0)
    manager.clock.advance(READY_LOOK)
    heard = manager.heard()
    assert named(heard, "READY", "STATUS") == ["READY", "STATUS"]
    manager.clock.pump([LOOK_SECONDS] * 10)
    assert named(manager.heard(), "READY", "STATUS") == []


def test_a_status_is_told_when_it_changes(manager: Manager) -> None:
    """Calls and reasons; not when nothing has changed."""
    manager.standing = Standing(READY, ("openai", "gemini"), 1)
    manager.notices.start()
    assert manager.heard()[0]["STATUS"] == "ready: openai, gemini; 1 call runs"
    manager.standing = Standing(READY, ("openai",), 2, {"journal": "No space left on device: requests.jsonl"})
    manager.clock.advance(LOOK_SECONDS)
    assert [each["STATUS"] for each in manager.heard()] == [
        "ready: openai; 2 calls run; degraded: journal: No space left on device: requests.jsonl"
    ]


def test_what_was_not_taken_is_told_again(manager: Manager, tmp_path: Path) -> None:
    """The service manager's socket is away when the service gets ready."""
    manager.standing = Standing(READY, ("openai",), 0)
    (tmp_path / "notify").rename(tmp_path / "away")
    manager.notices.start()
    manager.clock.pump([READY_LOOK] * 3)
    assert manager.heard() == []
    (tmp_path / "away").rename(tmp_path / "notify")
    manager.clock.advance(READY_LOOK)
    assert named(manager.heard(), "READY", "STATUS") == ["READY", "STATUS"]


def test_the_watchdog_is_fed_while_all_answer(tmp_path: Path) -> None:
    """At least twice in its time; not while a worker says nothing."""
    manager = Manager(str(tmp_path / "notify"), 1.2)
    with manager.listening:
        manager.standing = Standing(READY, ("openai",), 0)
        manager.notices.start()
        manager.clock.pump([0.6] * 10)
        assert named(manager.heard(), "WATCHDOG") == ["WATCHDOG"] * 11
        manager.standing = Standing(READY, ("openai",), 0, {}, answering=False)
        manager.clock.pump([0.6] * 10)
        assert named(manager.heard(), "WATCHDOG") == []
        manager.standing = Standing(READY, ("openai",), 0)
        manager.clock.advance(0.6)
        assert named(manager.heard(), "WATCHDOG") == ["WATCHDOG"]
        manager.notices.stop()


def test_a_standing_that_cannot_be_told_ends_nothing(manager: Manager, logged_failures: LoggedFailures) -> None:
    """It is told as soon as it can be, said once in the log, and neither a reload nor the end is held up by it."""
    manager.fails = True
    manager.notices.start()
    manager.clock.pump([READY_LOOK] * 3)
    manager.notices.reloading()
    assert manager.heard() == []
    manager.fails = False
    manager.standing = Standing(READY, ("openai",), 0)
    manager.clock.advance(READY_LOOK)
    assert named(manager.heard(), "READY") == ["READY"]
    assert len(logged_failures.flush(OSError)) == 1
    manager.fails = True
    manager.notices.stopping()
    manager.fails = False
    manager.clock.advance(LOOK_SECONDS)
    assert named(manager.heard(), "STOPPING") == ["STOPPING"]
    assert len(logged_failures.flush(OSError)) == 1, "it was well meanwhile"


def test_a_reload_is_told_with_its_time(manager: Manager) -> None:
    """And its end; in the order in which systemd wants them."""
    manager.standing = Standing(READY, ("openai",), 0)
    manager.notices.start()
    manager.heard()
    manager.notices.reloading()
    (told,) = manager.heard()
    assert told["RELOADING"] == "1"
    assert int(told["MONOTONIC_USEC"]) > 0
    manager.notices.reloaded()
    assert named(manager.heard(), "RELOADING", "READY") == ["READY"]


def test_a_reload_before_it_is_ready_is_part_of_the_start(manager: Manager) -> None:
    """READY=1 would say that calls are accepted."""
    manager.notices.start()
    manager.notices.reloading()
    manager.notices.reloaded()
    assert named(manager.heard(), "RELOADING", "READY") == []
    manager.standing = Standing(READY, ("openai",), 0)
    manager.clock.advance(READY_LOOK)
    assert named(manager.heard(), "RELOADING", "READY") == ["READY"]


def test_a_drain_asks_for_time_as_long_as_it_takes(manager: Manager) -> None:
    """STOPPING=1 once, EXTEND_TIMEOUT_USEC always; a reload that ends meanwhile does not make it ready again."""
    manager.standing = Standing(READY, ("openai",), 0)
    manager.notices.start()
    manager.notices.reloading()
    manager.heard()
    manager.standing = Standing(DRAINING, ("openai",), 3)
    manager.notices.stopping()
    manager.notices.reloaded()
    manager.clock.pump([LOOK_SECONDS] * 5)
    heard = manager.heard()
    assert named(heard, "STOPPING", "READY") == ["STOPPING"]
    assert all(int(each["EXTEND_TIMEOUT_USEC"]) > 2 * LOOK_SECONDS * 1_000_000 for each in heard)
    assert len(heard) == 6
    assert heard[0]["STATUS"] == "stopping: openai; 3 calls run"


def test_where_nobody_listens_nothing_is_done() -> None:
    """Not even a timer is set."""
    clock = Clock()
    notices = StandingNotices(None, clock, lambda: Standing(READY, (), 0))
    notices.start()
    notices.reloading()
    notices.reloaded()
    notices.stopping()
    notices.stop()
    assert clock.getDelayedCalls() == []


@given(st.lists(st.text()), st.dictionaries(st.text(), st.text(min_size=300)), st.integers(0, 10**6))
def test_a_status_is_one_short_line(ports: list[str], reasons: dict[str, str], calls: int) -> None:
    """Whatever the reasons say."""
    line = status_line("ready", Standing(READY, tuple(ports), calls, reasons))
    assert len(line.encode()) <= STATUS_MAX
    assert len(line.splitlines()) == 1
