"""Transports with TLS of Twisted's own (``haproxy:ssl:`` endpoints, plugins): what is written goes encrypted, whole."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.protocol import Protocol
from twisted.internet.threads import deferToThread

from awfproxy.server.network import Transport
from awfproxy.server.reactor_network import listen_slowly
from tests.certificates import Certificates, make_certificates

#: more than is written to a socket at once
BODY = b"0123456789abcdef" * 20_000


class Answering(Protocol):
    """Writes a head and a body, and then does what it is told to."""

    def __init__(self, end: str) -> None:
        self._end = end

    def dataReceived(self, data: bytes) -> None:
        wire: Transport = self.transport  # type: ignore[assignment]
        wire.write(b"head\n")
        wire.write(BODY)
        if self._end:
            getattr(wire, self._end)()


def ask(certificates: Certificates, port: int, whole: bool) -> bytes:
    """What a client of the standard library gets: until the end, or until it has all."""
    context = ssl.create_default_context(cafile=str(certificates.authority))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as encrypted,
    ):
        encrypted.sendall(b"?")
        got = b""
        while whole or len(got) < len(BODY) + 5:
            piece = encrypted.recv(65536)
            if not piece:
                break
            got += piece
        return got


@pytest.mark.parametrize("end", ["", "loseWriteConnection", "loseConnection"])
@pytest_twisted.ensureDeferred
async def test_what_is_written_is_encrypted_and_ends_in_order(tmp_path: Path, end: str) -> None:
    """Wrappers show the socket of what they wrap: sending to it directly would send the answer in the clear."""
    certificates = make_certificates(tmp_path)
    listener: Any = listen_slowly(reactor, certificates.endpoint(), lambda: Answering(end))
    try:
        got = await deferToThread(ask, certificates, listener.port.getHost().port, bool(end))
    finally:
        await listener.port.stopListening()
    assert got == b"head\n" + BODY
