"""Listening sockets of several workers."""

import socket
from contextlib import closing
from pathlib import Path

import pytest

from awfproxy.server.sockets import ListenError, open_listening
from awfproxy.server.worker_sockets import open_for_workers

ANY = "tcp:0:interface=127.0.0.1"


@pytest.mark.parametrize("endpoint", [ANY, "tcp:0:interface=\\:\\:1"])
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
        open_for_workers("tcp6:0", 2)
