"""CONNECT through an HTTP proxy (RFC 9110 section 9.3.6), before TLS begins."""

from __future__ import annotations

from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from awfproxy.server.network import Transport
from awfproxy.wire.responses import ResponseReader


class TunnelRefused(OSError):
    """The proxy answered CONNECT with something other than 2xx; the text holds its status."""


class Tunnel(Protocol):
    """Asks a proxy for a connection to ``authority``, then steps aside for ``above``.

    ``authorization`` is the value of Proxy-Authorization, or empty.
    """

    def __init__(self, above: Protocol, authority: bytes, authorization: bytes) -> None:
        self._above = above
        self._reader = ResponseReader()
        self._failure: Failure | None = None
        self._request = b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n" % (authority, authority)
        if authorization:
            self._request += b"Proxy-Authorization: %b\r\n" % authorization
        self._request += b"\r\n"

    def connectionMade(self) -> None:
        """Ask."""
        # a 2xx to CONNECT has no body whatever its headers say; reading it as an answer to HEAD gives just that
        self._reader.expect(b"HEAD")
        transport = self.transport
        assert transport is not None
        transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        """The proxy's answer; nothing of the tunnel itself comes before we speak into it."""
        fault = self._reader.feed(data)
        head = self._reader.head
        transport: Transport = self.transport  # type: ignore[assignment]
        if fault is None and head is None:
            return
        if head is not None and not 200 <= head.status < 300:  # with or without a body
            self._failure = Failure(TunnelRefused(f"the upstream proxy answered CONNECT with {head.status}"))
            transport.abortConnection()
        elif fault is not None or head is None or self._reader.surplus:
            self._failure = Failure(TunnelRefused("the upstream proxy did not answer CONNECT in HTTP"))
            transport.abortConnection()
        else:
            transport.switchProtocol(self._above)
            self._above.makeConnection(transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The proxy closed before the tunnel stood."""
        self._above.connectionLost(self._failure or reason)
