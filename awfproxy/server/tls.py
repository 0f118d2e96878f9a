"""TLS between a transport and the protocol above it, to an upstream or a client: the standard library's `ssl`.

One layer serves both networks, so trust (system CAs, ``SSL_CERT_FILE``), names and errors are the same on each; it
costs about half of what pyOpenSSL does.  Above it looks like a transport (`network.Transport`), below like a protocol.
"""

from __future__ import annotations

import contextlib
import ssl

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from awfproxy.server.network import Transport

#: most plaintext of one TLS record: RFC 8446 section 5.1
RECORD = 16 * 1024
#: the peer closed the connection without a closing alert: what came may not be all
TRUNCATED = Failure(ConnectionLost("the TLS connection ended without close_notify"))


class TlsError(OSError):
    """The peer's TLS was not acceptable; the text is OpenSSL's reason, without data."""


def client_context() -> ssl.SSLContext:
    """Verification on, TLS 1.2 or newer, HTTP/1.1: for all upstreams of a process.

    Trust is the system's; OpenSSL reads ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` from the environment itself.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Python 3.13 demands extensions by default that certificates of private authorities often lack (RFC 5280 section
    # 4.2.1); the proxy behaves the same on every Python.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["http/1.1"])
    return context


class TlsLayer(Protocol):
    """One TLS connection, of either side."""

    def __init__(self, above: Protocol, context: ssl.SSLContext, host: str | None) -> None:
        self._above = above
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=host is None, server_hostname=host)
        self._below: Transport | None = None
        self._open = False
        self._closed_by_peer = False
        self._failure: Failure | None = None

    @property
    def established(self) -> bool:
        """The handshake is over."""
        return self._open

    # -- as the protocol of the transport below

    def connectionMade(self) -> None:
        """The handshake may begin."""
        self._below = self.transport  # type: ignore[assignment]

    def dataReceived(self, data: bytes) -> None:
        """Decrypt, and tell the protocol above."""
        if self._failure is not None:
            return  # the first reason counts
        incoming = self._incoming
        incoming.write(data)
        if not self._open:
            self._handshake()
            if not self._open:
                return
        tls = self._tls
        pieces = []
        try:
            # asking again when nothing is left costs an exception: the two counters say so beforehand
            while incoming.pending or tls.pending():
                piece = tls.read(RECORD)
                if not piece:
                    self._closed_by_peer = True
                    break
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._closed_by_peer = True
        except ssl.SSLError as error:
            self._fail(error)
        if self._outgoing.pending:  # key updates
            self._flush()
        if pieces:
            self._above.dataReceived(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if self._closed_by_peer and self._below is not None:
            self._below.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the protocol above why: in order only if the peer said that it would close."""
        self._below = None
        if self._failure is not None:
            reason = self._failure
        elif self._open and not self._closed_by_peer and reason.check(ConnectionDone):
            reason = TRUNCATED
        self._above.connectionLost(reason)

    # -- as the transport of the protocol above

    def write(self, data: bytes) -> None:
        below = self._below
        if below is None or not self._open:
            return
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            self._fail(error)
            return
        below.write(self._outgoing.read())

    def loseConnection(self) -> None:
        if self._below is None:
            return
        if self._open:
            with contextlib.suppress(ssl.SSLError):  # the peer's closing alert is not waited for: RFC 8446 section 6.1
                self._tls.unwrap()
            self._flush()
        self._below.loseConnection()

    def loseWriteConnection(self) -> None:
        self.loseConnection()

    def abortConnection(self) -> None:
        if self._below is not None:
            self._below.abortConnection()

    def pauseProducing(self) -> None:
        if self._below is not None:
            self._below.pauseProducing()

    def resumeProducing(self) -> None:
        if self._below is not None:
            self._below.resumeProducing()

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        if self._below is not None:
            self._below.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """Nobody unregisters on this path: a connection keeps its producer for life."""

    def unsent(self) -> int:
        return self._below.unsent() if self._below is not None else 0

    def unread(self) -> bool:
        return self._below is None or self._below.unread()

    def switchProtocol(self, protocol: Protocol) -> None:
        self._above = protocol

    # -- parts

    def _handshake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError as error:
            self._flush()  # the alert tells the peer why
            self._fail(error)
            return
        self._open = True
        self._flush()
        self._established()

    def _established(self) -> None:
        """The peer is who it should be."""

    def _flush(self) -> None:
        if self._below is not None and self._outgoing.pending:
            self._below.write(self._outgoing.read())

    def _fail(self, error: ssl.SSLError) -> None:
        if isinstance(error, ssl.SSLCertVerificationError):
            text = f"certificate not accepted: {error.verify_message}"
        else:
            text = f"TLS failed: {error.reason or 'unknown reason'}"
        self._failure = Failure(TlsError(text))
        self._open = False
        if self._below is not None:
            self._below.loseConnection()  # not abort: the alert that tells the peer why may still be queued


class TlsClient(TlsLayer):
    """The client's side: the protocol above is connected once the peer has shown who it is."""

    def __init__(self, above: Protocol, context: ssl.SSLContext, host: str) -> None:
        super().__init__(above, context, host)

    def connectionMade(self) -> None:
        """Begin the handshake."""
        super().connectionMade()
        self._handshake()

    def _established(self) -> None:
        self._above.makeConnection(self)


class TlsServer(TlsLayer):
    """The server's side: the protocol above is connected at once, so that its limits are those of the handshake too."""

    _ended = False

    def __init__(self, above: Protocol, context: ssl.SSLContext) -> None:
        super().__init__(above, context, None)

    def connectionMade(self) -> None:
        """A client connected; it speaks first."""
        super().connectionMade()
        self._above.makeConnection(self)

    def dataReceived(self, data: bytes) -> None:
        """Decrypt, and tell the protocol above.

        After our own end it is told the bytes as they came: it throws them away, and counts them.
        """
        if self._ended:
            self._above.dataReceived(data)
        else:
            super().dataReceived(data)

    def loseWriteConnection(self) -> None:
        """Send our closing alert, and half of the connection's end: what the client still sends must not reset it."""
        below = self._below
        if below is not None and not self._ended:
            self._ended = True
            if self._open:
                with contextlib.suppress(ssl.SSLError):
                    self._tls.unwrap()
                self._flush()
                self._open = False
            below.loseWriteConnection()
