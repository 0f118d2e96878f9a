"""The service manager's socket: what is read of the environment, and what arrives."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.server.notify import NotifySocket, one_line, take_notify_socket

PID = 77


@pytest.mark.parametrize("abstract", [False, True])
def test_a_datagram_arrives_whole(tmp_path: Path, abstract: bool) -> None:
    """At a path and in the abstract namespace; names and values as given, one a line."""
    address = f"@awfproxy-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + address[1:] if abstract else address)
        notifier = NotifySocket(address).open()
        assert notifier.send({"READY": "1", "STATUS": "two\nlines"})
        notifier.close()
        assert listening.recv(4096) == b"READY=1\nSTATUS=two lines"


def test_nobody_there_is_no_error(tmp_path: Path) -> None:
    """The service manager may be gone, or restart itself."""
    notifier = NotifySocket(str(tmp_path / "nobody")).open()
    assert not notifier.send({"READY": "1"})
    notifier.close()


def test_no_descriptor_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its socket already; where it could not get one, it tries again with each datagram."""

    def none(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address)
        early = NotifySocket(address).open()
        with monkeypatch.context() as full:
            full.setattr(socket, "socket", none)
            late = NotifySocket(address).open()
            assert (early.send({"WATCHDOG": "1"}), late.send({"WATCHDOG": "1"})) == (True, False)
        assert late.send({"WATCHDOG": "1"})
        early.close()
        late.close()


def test_a_full_queue_does_not_wait(tmp_path: Path) -> None:
    """Nobody reads: sooner or later a datagram is not taken, and that is said at once."""
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address)
        notifier = NotifySocket(address).open()
        taken = [notifier.send({"WATCHDOG": "1"}) for _ in range(10_000)]
        notifier.close()
        assert taken[0]
        assert not taken[-1]


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, None),
        ({"NOTIFY_SOCKET": ""}, None),
        ({"NOTIFY_SOCKET": "@"}, None),
        ({"NOTIFY_SOCKET": "vsock:2:1"}, None),
        ({"NOTIFY_SOCKET": "/run/n"}, NotifySocket("/run/n")),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "1500000"}, NotifySocket("@n", 1.5)),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "77"}, NotifySocket("@n", 1.5)),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "78"}, NotifySocket("@n")),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "0"}, NotifySocket("@n")),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "-1"}, NotifySocket("@n")),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "²"}, NotifySocket("@n")),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "77"}, None),
    ],
)
def test_the_environment_is_read_once(environment: dict[str, str], found: NotifySocket | None) -> None:
    """As sd_notify(3) and sd_watchdog_enabled(3) have it; and children find nothing of it."""
    environ = environment | {"PATH": "/bin"}
    assert take_notify_socket(environ, PID) == found
    assert environ == {"PATH": "/bin"}


@given(st.text())
def test_a_value_stays_one_line(text: str) -> None:
    """Whatever is in it: of a reason's text no second assignment can be made."""
    line = one_line(text)
    assert len(line) == len(text)
    assert not line or len(line.splitlines()) == 1
    assert all(new == old or new == " " for new, old in zip(line, text, strict=True))
