"""Listening sockets of several workers."""

import socket
from contextlib import closing
from pathlib import Path

import pytest

from awfproxy.server.sockets import ListenError, open_listening
from awfproxy.server.worker_sockets import open_for_workers

ANY = "tcp:0:interface=127.0.0.1"


@pytest.mark.parametrize("endpoint", [ANY, "tcp:0:interface=\\:\\:1", "tcp6:0"])
def test_a_port_has_a_socket_for_each(endpoint: str) -> None:
    """On one address; connections come to all of them."""
    sockets = open_for_workers(endpoint, 3)
    try:
        assert len({each.fileno() for each in sockets}) == 3
        (address,) = {each.getsockname()[:2] for each in sockets}
        for each in sockets:
            each.setblocking(False)
        callers = [socket.create_connection(address) for _ in range(100)]
        assert sorted(map(bool, map(waiting, sockets))) == [True] * 3
        for caller in callers:
            caller.close()
    finally:
        for each in sockets:
            each.close()


def waiting(listening: socket.socket) -> int:
    """How many connections wait in it."""
    found = 0
    while True:
        try:
            listening.accept()[0].close()
        except BlockingIOError:
            return found
        found += 1


def test_nobody_else_shares_it() -> None:
    """A second proxy is refused, with workers or without."""
    sockets = open_for_workers(ANY, 2)
    taken = f"tcp:{sockets[0].getsockname()[1]}:interface=127.0.0.1"
    try:
        with pytest.raises(ListenError, match="taken by another process"):
            open_for_workers(taken, 2)
        with pytest.raises(ListenError, match="taken by another process"):
            open_listening(taken)
    finally:
        for each in sockets:
            each.close()
    with closing(open_for_workers(taken, 1)[0]):
        pass


def test_a_unix_socket_is_one_for_all(tmp_path: Path) -> None:
    """There is one file."""
    one, other = open_for_workers(f"unix:{tmp_path / 's'}", 2)
    with one:
        assert one is other


def test_what_cannot_be_shared_is_refused() -> None:
    """With the way out."""
    with pytest.raises(ListenError, match="workers = 1"):
        open_for_workers("haproxy:tcp:0", 2)


@pytest.mark.parametrize("workers", [1, 3])
def test_another_interface_of_a_port_that_is_moved(workers: int) -> None:
    """Bound while the old sockets are still there, if they are about to go; nobody else is let in by that."""
    before = open_for_workers(ANY, workers)
    wide = f"tcp:{before[0].getsockname()[1]}:interface=0.0.0.0"
    after: list[socket.socket] = []
    try:
        with pytest.raises(ListenError, match="taken by another process"):
            open_for_workers(wide, workers)
        after = open_for_workers(wide, workers, beside=before)
        assert len({each.fileno() for each in after}) == workers
        for each in before:
            each.close()
        with pytest.raises(ListenError, match="taken by another process"):
            open_for_workers(wide, workers)
        with socket.create_connection(("127.0.0.1", after[0].getsockname()[1])):
            pass
    finally:
        for each in (*before, *after):
            each.close()
