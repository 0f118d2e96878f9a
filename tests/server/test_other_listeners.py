"""Listeners of the kinds that only Twisted can open: a start that cannot be is told, never only logged."""

from __future__ import annotations

import socket

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater

from awfproxy.server.reactor_network import listen_slowly
from awfproxy.server.sockets import ListenError


def test_a_taken_port(taken: int) -> None:
    """As for the fast kinds: which, why, and what to do; a listener that is deaf would be worse than none."""
    with pytest.raises(ListenError, match=rf"`haproxy:tcp:{taken}.*taken by another process; stop that one"):
        listen_slowly(reactor, f"haproxy:tcp:{taken}:interface=127.0.0.1", Protocol)


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("onion:80", "Unknown endpoint type"),
        ("ssl:0:privateKey=/nowhere/key.pem", "No such file or directory: /nowhere/key.pem"),
        ("haproxy:tcp:0:colour=red", "colour"),
    ],
)
def test_what_cannot_be_opened(endpoint: str, words: str) -> None:
    """A kind that no plugin brings, a file that is missing, a part that its parser does not know."""
    with pytest.raises(ListenError, match=words):
        listen_slowly(reactor, endpoint, Protocol)


@pytest_twisted.ensureDeferred
async def test_one_that_can() -> None:
    """It listens at once, and its end frees the address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    listener = listen_slowly(reactor, f"haproxy:tcp:{port}:interface=127.0.0.1", Protocol)
    socket.create_connection(("127.0.0.1", port)).close()
    listener.close()
    await deferLater(reactor, 0.05)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
