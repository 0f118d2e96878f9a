"""Twisted's transports under the byte path, where there is no uvloop: any reactor, any platform.

Stock ``transport.write`` queues the data and sends in the reactor's next write phase: four more system calls a chunk,
and work done after it in the same turn delays the client.  Here a write goes straight to the socket when nothing is
queued.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

import txaio
from twisted.internet import unix
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, serverFromString
from twisted.internet.error import ConnectError, ConnectionDone, DNSLookupError
from twisted.internet.interfaces import IAddress, IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

from awfproxy.server.network import BACKLOG, GONE, WRITE_HIGH, Listener, holds_unread
from awfproxy.server.sockets import ListenError, explain

log = txaio.make_logger()

#: seconds; the caller cancels long before
NO_TIMEOUT = 3600


class ReactorTransport(Protocol):
    """A Twisted protocol below, the byte path's transport above."""

    #: as a transport
    established = True

    def __init__(self, above: Protocol) -> None:
        self._above = above
        self._below: Any = None
        self._socket: Any = None
        self._gone = False
        self.dataReceived = above.dataReceived  # type: ignore[method-assign]

    # -- as the protocol of Twisted's transport

    def connectionMade(self) -> None:
        """Twisted connected us."""
        below: Any = self.transport
        self._below = below
        below.bufferSize = WRITE_HIGH
        # Only a plain socket can be sent to directly.  TLS and other wrappers show the attributes of what they wrap:
        # their socket would take the bytes without encryption.  So the type is asked; those keep Twisted's write.
        if isinstance(below, Connection) and not below.TLS:
            self._socket = below.socket
            if self._socket.family != socket.AF_UNIX:
                below.setTcpNoDelay(True)
        self._above.makeConnection(self)

    def connectionLost(self, reason: Failure = ConnectionDone) -> None:  # type: ignore[assignment]
        """Twisted let go of the socket."""
        self._gone = True
        self._socket = None
        above, self._above = self._above, GONE
        self.dataReceived = GONE.dataReceived  # type: ignore[method-assign]
        above.connectionLost(reason)

    # -- as the byte path's transport

    def write(self, data: bytes) -> None:
        below = self._below
        plain = self._socket
        if plain is not None and not below._tempDataBuffer and len(below.dataBuffer) == below.offset:
            if below.disconnecting or not below.connected:
                return
            try:
                sent = plain.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                below.write(data)  # Twisted meets the same error in its write phase and tells us in its own way
                return
            if sent == len(data):
                return
            data = data[sent:]
        below.write(data)

    def loseConnection(self) -> None:
        if not self._gone:
            self.write = _ended  # type: ignore[method-assign]
            self._below.unregisterProducer()  # Twisted waits for more from a producer that it had paused
            self._below.loseConnection()

    def loseWriteConnection(self) -> None:
        if not self._gone:
            if self._socket is None:  # TLS has no half: closing below it would cut off what is still to be encrypted
                self.loseConnection()
                return
            self.write = _ended  # type: ignore[method-assign]
            self._below.unregisterProducer()
            self._below.loseWriteConnection()

    def abortConnection(self) -> None:
        if not self._gone:
            self._below.abortConnection()

    def pauseProducing(self) -> None:
        if not self._gone:
            self._below.pauseProducing()

    def resumeProducing(self) -> None:
        if not self._gone:
            self._below.resumeProducing()

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        self._below.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        self._below.unregisterProducer()

    def unsent(self) -> int:
        below = self._below
        if self._gone or not hasattr(below, "_tempDataBuffer"):
            return 0
        return int(len(below.dataBuffer) - below.offset + sum(map(len, below._tempDataBuffer)))

    def unread(self) -> bool:
        plain = self._socket
        return self._gone or (plain is not None and holds_unread(plain.fileno()))

    def switchProtocol(self, protocol: Protocol) -> None:
        self._above = protocol
        self.dataReceived = protocol.dataReceived  # type: ignore[method-assign]


def _ended(data: bytes) -> None:
    """In place of `write` once the end was asked for: Twisted would still take more."""


class _Build(Factory):
    noisy = False

    def __init__(self, build: Callable[[], Protocol]) -> None:
        self._build = build

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        try:
            return ReactorTransport(self._build())
        except Exception:  # Twisted would log it too, and keep the connection open with the traceback
            log.failure("a connection was accepted, and could not be served")
            return None


class ReactorNetwork:
    """Connections of any Twisted reactor."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.name = "twisted"

    def listen(self, listening: socket.socket, build: Callable[[], Protocol]) -> Listener:
        """See `network.Network.listen`."""
        listening.setblocking(False)
        if listening.family == socket.AF_UNIX:
            port = adopt_unix(self._reactor, listening, _Build(build))
        else:
            port = self._reactor.adoptStreamPort(listening.fileno(), listening.family, _Build(build))
        listening.close()  # adopted by a duplicate
        return _ReactorListener(port)

    def adopt(self, accepted: socket.socket, build: Callable[[], Protocol]) -> None:
        """See `network.Network.adopt`."""
        accepted.setblocking(False)
        self._reactor.adoptStreamConnection(accepted.fileno(), accepted.family, _Build(build))
        accepted.close()  # adopted by a duplicate

    def connect(self, host: str, port: int, protocol: Protocol) -> Deferred[None]:
        """See `network.Network.connect`."""
        endpoint = HostnameEndpoint(self._reactor, host, port, timeout=NO_TIMEOUT)
        connecting: Deferred[Any] = endpoint.connect(_Build(lambda: protocol))
        connecting.addCallbacks(lambda connected: None, _as_os_error)
        return connecting


def listen_slowly(reactor: Any, description: str, build: Callable[[], Protocol]) -> Listener:
    """Listen on an endpoint string that only Twisted knows (``haproxy:``, plugins), on its own transports.

    :raises ListenError: the string is not one, or its address or files cannot be had.  Only plugins that take their
        time (onion services, say) may still fail later, and the log tells.
    """
    listener = _ReactorListener(None)

    def listening(port: Any) -> None:
        listener.port = port

    try:
        opening = serverFromString(reactor, description).listen(_Build(build))
    except Exception as error:  # whatever a parser makes of parts it does not like
        raise ListenError(explain(description, error)) from error
    opening.addCallback(listening)
    refused = opening.result if opening.called else None
    if isinstance(refused, Failure):
        opening.addErrback(lambda _: None)
        raise ListenError(explain(description, refused.value)) from refused.value
    opening.addErrback(lambda late: log.failure("not listening on {endpoint}", failure=late, endpoint=description))
    return listener


def adopt_unix(reactor: Any, listening: socket.socket, factory: Factory) -> Any:
    """A listening Unix socket, as `adoptStreamPort` takes it, but as one that others made and have too.

    Twisted would let everybody connect (chmod 0666), and at the end remove the file and shut the socket down for
    systemd and other workers as well.  It leaves those files alone whose name begins with a zero byte: they are none
    (unix(7), abstract sockets).
    """
    port = unix.Port._fromListeningDescriptor(reactor, listening.fileno(), factory)
    path = port._bindPath.decode("utf-8", "backslashreplace")
    port._bindPath = b"\0" + port._bindPath
    # and would write that byte into the log
    port._logConnectionLostMsg = lambda: log.info("(UNIX Port {path} Closed)", path=path)
    port._shouldShutdown = False
    port.backlog = BACKLOG
    port.startListening()
    return port


def _as_os_error(failure: Failure) -> None:
    """Twisted's connection errors, told as Python's: the edge where foreign exceptions become ours."""
    error = failure.value
    if isinstance(error, DNSLookupError):
        raise socket.gaierror(socket.EAI_NONAME, str(error)) from error
    if isinstance(error, ConnectError):
        raise OSError(error.osError or errno.ECONNABORTED, str(error)) from error
    failure.raiseException()


class _ReactorListener:
    def __init__(self, port: Any) -> None:
        self.port = port

    def close(self) -> None:
        if self.port is not None:
            self.port.stopListening()
