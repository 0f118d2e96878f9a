"""The event loop's own transports (uvloop) under Twisted protocols: the fast way.

asyncio calls a protocol's ``data_received``; here that attribute *is* the Twisted protocol's ``dataReceived``, and
``write`` *is* the loop transport's: no step is added per chunk in either direction.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

import aiohappyeyeballs
import txaio
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from awfproxy.server.network import BACKLOG, GONE, WRITE_HIGH, WRITE_LOW, Listener, holds_unread

txaio.use_twisted()
log = txaio.make_logger()

#: made once: a Failure per closed connection costs more than the close
CLOSED = Failure(ConnectionDone())
LOST = Failure(ConnectionLost())
#: struct linger: on, no seconds
NO_LINGER = struct.pack("ii", 1, 0)
#: seconds between attempts on a name's addresses: RFC 8305 section 5 recommends 250 ms
HEAD_START = 0.25


class LoopTransport(asyncio.Protocol):
    """An asyncio protocol on one side, a Twisted transport on the other."""

    __slots__ = ("_loop_transport", "_producer", "data_received", "protocol", "write")

    #: as a transport of Twisted's protocols
    established = True

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self._producer: IPushProducer | None = None
        self._loop_transport: Any = None
        self.data_received = protocol.dataReceived  # type: ignore[method-assign]
        self.write: Callable[[bytes], None] = _unconnected

    # -- as asyncio's protocol

    def connection_made(self, transport: Any) -> None:
        """The loop connected us."""
        self._loop_transport = transport
        self.write = transport.write
        transport.set_write_buffer_limits(WRITE_HIGH, WRITE_LOW)
        self.protocol.makeConnection(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The loop let go of the socket."""
        self.write = _unconnected
        self._producer = None
        protocol, self.protocol = self.protocol, GONE
        self.data_received = GONE.dataReceived  # type: ignore[method-assign]
        protocol.connectionLost(CLOSED if exc is None else LOST)

    def pause_writing(self) -> None:
        """Too much is queued."""
        if self._producer is not None:
            self._producer.pauseProducing()

    def resume_writing(self) -> None:
        """The queue has drained."""
        if self._producer is not None:
            self._producer.resumeProducing()

    # -- as Twisted's transport

    def loseConnection(self) -> None:
        self.write = _unconnected  # the loop would still take more
        self._loop_transport.close()

    def loseWriteConnection(self) -> None:
        self.write = _unconnected  # the loop would raise
        if self._loop_transport.can_write_eof() and not self._loop_transport.is_closing():
            self._loop_transport.write_eof()

    def abortConnection(self) -> None:
        _reset_at_close(self._loop_transport)
        self._loop_transport.abort()

    def pauseProducing(self) -> None:
        if not self._loop_transport.is_closing():
            self._loop_transport.pause_reading()

    def resumeProducing(self) -> None:
        if not self._loop_transport.is_closing():
            self._loop_transport.resume_reading()

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None

    def unsent(self) -> int:
        return int(self._loop_transport.get_write_buffer_size())

    def unread(self) -> bool:
        raw = self._loop_transport.get_extra_info("socket")
        return raw is None or raw.fileno() < 0 or holds_unread(raw.fileno())

    def switchProtocol(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self.data_received = protocol.dataReceived  # type: ignore[method-assign]
        self._loop_transport.set_protocol(self)  # the loop keeps the bound method: have it look again


def _reset_at_close(loop_transport: Any) -> None:
    """Closing with bytes in flight is in order to the kernel; without lingering it is a reset (socket(7))."""
    raw = loop_transport.get_extra_info("socket")
    if raw is None or raw.fileno() < 0:
        return  # closed already
    twin = socket.socket(fileno=raw.fileno())  # the loop's own cannot be told; a duplicate might not be had
    try:
        twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    finally:
        twin.detach()


def _unconnected(data: bytes) -> None:
    """Writing to a closed connection is not an error: its protocol is being told."""


class LoopNetwork:
    """Connections of an asyncio loop on which Twisted's reactor runs."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.name = type(loop).__module__.partition(".")[0]
        #: the loop itself holds tasks weakly
        self._adopting: set[asyncio.Task[None]] = set()

    def listen(self, listening: socket.socket, build: Callable[[], Protocol]) -> Listener:
        """See `network.Network.listen`."""
        return _LoopListener(self._loop, listening, build)

    def adopt(self, accepted: socket.socket, build: Callable[[], Protocol]) -> None:
        """See `network.Network.adopt`."""
        adopting = self._loop.create_task(self._adopt(accepted, build))
        self._adopting.add(adopting)
        adopting.add_done_callback(self._adopting.discard)

    async def _adopt(self, accepted: socket.socket, build: Callable[[], Protocol]) -> None:
        accepted.setblocking(False)
        try:
            await self._loop.connect_accepted_socket(lambda: _accepted(build), accepted)
        except OSError:
            accepted.close()  # its client has gone

    def connect(self, host: str, port: int, protocol: Protocol) -> Deferred[None]:
        """See `network.Network.connect`."""
        return Deferred.fromFuture(self._loop.create_task(self._connect(host, port, protocol)))

    async def _connect(self, host: str, port: int, protocol: Protocol) -> None:
        loop = self._loop
        addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        connected = await aiohappyeyeballs.start_connection(
            addresses, happy_eyeballs_delay=HEAD_START, interleave=1, loop=loop
        )
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.create_connection(lambda: LoopTransport(protocol), sock=connected)


class _Unbuilt(Protocol):
    """In place of one that could not be made: the connection is cut."""

    def connectionMade(self) -> None:
        self.transport.abortConnection()  # type: ignore[union-attr]


def _accepted(build: Callable[[], Protocol]) -> LoopTransport:
    """What an accepted connection gets; no exception may reach the loop, which would never accept there again."""
    try:
        return LoopTransport(build())
    except Exception:
        log.failure("a connection was accepted, and could not be served")
        return LoopTransport(_Unbuilt())


class _LoopListener:
    """A server of the loop, made as soon as the loop runs."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, listening: socket.socket, build: Callable[[], Protocol]
    ) -> None:
        self._server: asyncio.AbstractServer | None = None
        self._closed = False
        self._listening = listening
        self._task = loop.create_task(self._serve(loop, build))

    async def _serve(self, loop: asyncio.AbstractEventLoop, build: Callable[[], Protocol]) -> None:
        server: asyncio.AbstractServer
        if self._listening.family == socket.AF_UNIX:
            server = await loop.create_unix_server(lambda: _accepted(build), sock=self._listening, backlog=BACKLOG)
        else:
            server = await loop.create_server(lambda: _accepted(build), sock=self._listening, backlog=BACKLOG)
        if self._closed:
            server.close()
        self._server = server

    def close(self) -> None:
        self._closed = True
        if self._server is not None:
            self._server.close()
        else:
            self._listening.close()
