"""Listening sockets: opened as the endpoint says, or refused in words that help."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from awfproxy.server.sockets import ListenError, open_listening

LOOPBACK = "tcp:{}:interface=127.0.0.1"


def opened(endpoint: str) -> socket.socket:
    """The socket of an endpoint that we open ourselves."""
    listening = open_listening(endpoint)
    assert listening is not None
    return listening


def test_a_tcp_port() -> None:
    """Bound and listening, on the interface that was named, without Nagle's delay on what it accepts."""
    with opened(LOOPBACK.format(0)) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"
        with socket.create_connection(listening.getsockname()):
            accepted, _ = listening.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_no_interface_is_the_loopback() -> None:
    """A port that nobody restricted must not be open to the network."""
    with opened("tcp:0") as listening:
        assert listening.getsockname()[0] == "127.0.0.1"


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_ipv6() -> None:
    """An address with colons, escaped as endpoint strings have it."""
    try:
        socket.socket(socket.AF_INET6).close()
        listening = opened(r"tcp:0:interface=\:\:1")
    except (OSError, ListenError):
        pytest.skip("no IPv6 loopback here")
    with listening:
        assert listening.family == socket.AF_INET6


def test_a_port_that_was_left_a_moment_ago(taken: int) -> None:
    """Connections in TIME_WAIT do not stand in the way of a restart."""
    with opened(LOOPBACK.format(0)) as listening:
        address = listening.getsockname()
        client = socket.create_connection(address)
        accepted, _ = listening.accept()
        accepted.close()
        client.close()
    opened(LOOPBACK.format(address[1])).close()


def test_a_taken_port(taken: int) -> None:
    """Which, why, and what to do."""
    with pytest.raises(ListenError, match=rf"`tcp:{taken}:.*taken by another process; stop that one or choose"):
        open_listening(LOOPBACK.format(taken))


def test_an_address_of_another_host() -> None:
    """TEST-NET-1 of RFC 5737 is nobody's."""
    with pytest.raises(ListenError, match="this host has no such address"):
        open_listening("tcp:0:interface=192.0.2.1")


def test_nonsense() -> None:
    """What is no endpoint is refused, not guessed."""
    with pytest.raises(ListenError, match="`tcq:80`"):
        open_listening("tcq:80")


def test_a_socket_in_the_file_system(tmp_path: Path) -> None:
    """Made where it was asked for."""
    path = tmp_path / "s"
    with opened(f"unix:{path}"):
        assert stat.S_ISSOCK(path.stat().st_mode)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_permissions_of_a_socket_in_the_file_system(tmp_path: Path) -> None:
    """As they were asked for, whatever the umask."""
    path = tmp_path / "s"
    with opened(f"unix:{path}:mode=666"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o666


def test_a_socket_that_was_left_behind(tmp_path: Path) -> None:
    """By a process that was killed: nobody answers, so it is replaced."""
    path = tmp_path / "s"
    opened(f"unix:{path}").close()
    assert path.exists()
    opened(f"unix:{path}").close()


def test_a_socket_that_is_in_use(tmp_path: Path) -> None:
    """Somebody answers: taken."""
    path = tmp_path / "s"
    with opened(f"unix:{path}"), pytest.raises(ListenError, match="taken by another process"):
        open_listening(f"unix:{path}")
    assert path.exists()


def test_a_file_in_the_way(tmp_path: Path) -> None:
    """It is somebody's, and stays."""
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(ListenError, match="taken"):
        open_listening(f"unix:{path}")
    assert path.read_text() == "precious"


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    """In the system's words."""
    with pytest.raises(ListenError, match="No such file or directory"):
        open_listening(f"unix:{tmp_path / 'no' / 's'}")


def test_kinds_that_only_twisted_knows() -> None:
    """None: they are Twisted's to open."""
    assert open_listening("haproxy:tcp:0") is None


def test_certificates_that_are_not_there() -> None:
    """Before anything is bound, in words that name the file."""
    with pytest.raises(ListenError, match=r"No such file or directory: /nowhere/k\.pem"):
        open_listening("ssl:0:privateKey=/nowhere/k.pem:certKey=/nowhere/c.pem")


def test_a_socket_that_systemd_did_not_pass() -> None:
    """The unit's line that is missing."""
    with pytest.raises(ListenError, match="FileDescriptorName=openai"):
        open_listening("systemd:domain=INET:name=openai")


def test_no_descriptor_is_lost_on_a_refusal(taken: int, tmp_path: Path) -> None:
    """A start that is tried again and again must not run out of them."""
    (tmp_path / "file").touch()
    before = len(os.listdir("/proc/self/fd"))
    for endpoint in (LOOPBACK.format(taken), f"unix:{tmp_path / 'file'}", "tcp:0:interface=192.0.2.1"):
        with pytest.raises(ListenError):
            open_listening(endpoint)
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_is_about_to_be_closed_gives_way() -> None:
    """To a socket that overlaps it; one on another interface of the same port never needed that."""
    with opened(LOOPBACK.format(0)) as ours:
        number = ours.getsockname()[1]
        with pytest.raises(ListenError, match="taken"):
            open_listening(f"tcp:{number}:interface=0.0.0.0")
        wide = open_listening(f"tcp:{number}:interface=0.0.0.0", beside=[ours])
        assert wide is not None
        wide.close()


def test_another_service_does_not_give_way() -> None:
    """One with workers would share its address with whoever asks to."""
    other = open_listening("tcp:0:interface=127.0.0.2", several=True)
    assert other is not None
    number = other.getsockname()[1]
    with other, opened(LOOPBACK.format(number)) as ours, pytest.raises(ListenError, match="taken"):
        open_listening(f"tcp:{number}:interface=127.0.0.2", beside=[ours])
