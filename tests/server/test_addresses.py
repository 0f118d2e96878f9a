"""Listening sockets that change places: whose is whose, and who waits when one is closed."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from awfproxy.server.addresses import identity, let_nobody_in, remove_file, same_socket, waiting


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("haproxy:tcp:80", "haproxy:tcp:80", True),
        ("tcp:80", "tcp:80:interface=127.0.0.1", True),
        ("tcp:80", "ssl:80:privateKey=k", True),
        ("ssl:80:privateKey=a", "ssl:80:privateKey=b", True),
        ("tcp:80", "tcp:81", False),
        ("tcp:80", "tcp:80:interface=0.0.0.0", False),
        ("tcp:80", "haproxy:tcp:80", False),
        ("tcp:0", "tcp:0:interface=127.0.0.1", False),
        ("unix:/s", "unix:/s:mode=660", True),
        ("unix:/s", "unix:/t", False),
        ("systemd:domain=INET:name=a", "systemd:domain=INET:name=b", False),
        ("nonsense", "tcp:80", False),
    ],
)
def test_what_is_bound_for_two_strings(one: str, other: str, same: bool) -> None:
    """One socket, if only what is done on it differs."""
    assert same_socket(one, other) is same_socket(other, one) is same


def test_a_socket_is_known_by_any_descriptor() -> None:
    """And two on one address are two."""
    with socket.socket() as one, one.dup() as same, socket.socket() as other:
        assert identity(one.fileno()) == identity(same.fileno()) != identity(other.fileno())


def test_who_waits_is_taken_in_and_nobody_else_comes() -> None:
    """Those whose connection stands are served; who begins one tries again, and comes to the next listener."""
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as late:
        clients = [socket.create_connection(listening.getsockname()) for _ in range(3)]
        let_nobody_in(listening)
        late.setblocking(False)
        with pytest.raises(BlockingIOError):
            late.connect(listening.getsockname())
        clients[0].sendall(b"x")
        accepted = list(waiting(listening))
        assert [each.getpeername() for each in accepted] == [each.getsockname() for each in clients]
        assert accepted[0].recv(1) == b"x", "what stands is not dropped"
        assert list(waiting(listening)) == []
        for each in (*clients, *accepted):
            each.close()


def test_only_a_socket_is_removed(tmp_path: Path) -> None:
    """Somebody may have put a file there; and one that is gone is no fault."""
    precious = tmp_path / "precious"
    precious.write_text("mine")
    remove_file(f"unix:{precious}")
    remove_file(f"unix:{tmp_path / 'gone'}")
    assert precious.read_text() == "mine"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "s"))
        remove_file(f"unix:{tmp_path / 's'}")
    assert not (tmp_path / "s").exists()
