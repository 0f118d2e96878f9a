"""Connections to one upstream: kept alive, pooled, each carrying one call at a time.

A connection goes back to the pool only when the answer was whole, nothing came after it, the request was sent to its
last byte, and reading is not paused: a held connection in the pool would hang the next call.  The pool is last in,
first out, so that surplus connections grow old and are closed; it is bounded by `IDLE_MAX` and `IDLE_SECONDS`, and all
pools of a process by its files (`outbound`).
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

import txaio
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from awfproxy.core.settings import Proxy, Upstream
from awfproxy.server.network import Network, Transport
from awfproxy.server.outbound import Outbound
from awfproxy.server.tls import TlsClient, TlsError
from awfproxy.server.tunnel import Tunnel, TunnelRefused
from awfproxy.wire.faults import Fault
from awfproxy.wire.responses import ResponseReader

if TYPE_CHECKING:
    from awfproxy.server.answer import Answer
    from awfproxy.server.exchange import Exchange

log = txaio.make_logger()

#: idle connections kept for one upstream; more at once only while as many calls run
IDLE_MAX = 512
#: seconds an idle connection is kept: below the 60 s after which common load balancers close theirs
IDLE_SECONDS = 55.0


@implementer(IPushProducer)
class UpstreamConnection(Protocol):
    """One connection to the provider."""

    __slots__ = (
        "_deadline", "_expired", "_pool", "answer", "busy", "connected", "exchange", "paused", "reader", "reused",
        "since", "transport", "up",
    )  # fmt: skip

    transport: Transport  # type: ignore[assignment]

    def __init__(self, pool: UpstreamPool, exchange: Exchange) -> None:
        self.connected = 0
        self._pool = pool
        self._deadline: IDelayedCall | None = None
        self._expired = False
        #: that it is for now
        self.exchange: Exchange | None = exchange
        #: of the same call, from its head on
        self.answer: Answer | None = None
        self.reader = ResponseReader()
        #: counted as busy by the pool
        self.busy = False
        #: connected, TLS and all
        self.up = False
        #: carried an answer before
        self.reused = False
        self.paused = False
        #: monotonic seconds since when it is idle
        self.since = 0.0

    # -- what the exchange asks for

    def send(self, method: bytes, head: bytes, body: bytes) -> None:
        """Send a request and expect its answer."""
        self.reader.expect(method)
        # one write: head and a small body leave in one segment, and a large body is not copied to join them
        if len(body) < 16384:
            self.transport.write(head + body)
        else:
            self.transport.write(head)
            self.transport.write(body)

    def dial(self, attempt: Deferred[None], top: Protocol, clock: IReactorTime, timeout: float) -> None:
        """Being connected: by ``attempt``, through layers of which ``top`` is the lowest, in ``timeout`` seconds."""

        def expire() -> None:
            self._expired = True
            attempt.cancel()
            if top.connected and top.transport is not None:
                top.transport.abortConnection()  # type: ignore[attr-defined]

        self._deadline = clock.callLater(timeout, expire)
        if attempt.called:  # the exchange does not know this connection yet: it is told in the next turn
            clock.callLater(0, attempt.addErrback, self.connectionLost)
        else:
            attempt.addErrback(self.connectionLost)

    def pause(self) -> None:
        """The client does not keep up: read no more."""
        if not self.paused:
            self.paused = True
            self.transport.pauseProducing()

    def resume(self) -> None:
        """The client keeps up again."""
        if self.paused:
            self.paused = False
            self.transport.resumeProducing()

    def abandon(self) -> None:
        """Nothing more is wanted of this connection."""
        self.exchange = self.answer = None
        if self.up:
            self.transport.abortConnection()

    def let_go(self) -> None:
        """It is idle, and is not to be kept any longer."""
        self._pool.forget(self)
        self.transport.loseConnection()

    # -- as a protocol

    def connectionMade(self) -> None:
        """Connected, through tunnel and TLS."""
        self.up = True
        self._end_dial()
        self.transport.registerProducer(self, True)
        exchange = self.exchange
        try:
            self._pool.connected(self)
        except Exception:
            log.failure("a call broke as its connection stood")
            if exchange is not None:
                exchange.broke()

    def dataReceived(self, data: bytes) -> None:
        """One read of the answer."""
        exchange = self.exchange
        if exchange is None:
            if data.strip(b"\r\n"):  # nothing was asked; line ends behind an answer are passed over, as its reader does
                self._pool.lost(self)  # at once: it might be given to a call before its end is told
                self.transport.abortConnection()
            return
        reader = self.reader
        answer = self.answer
        try:
            if answer is not None:
                body = reader.more(data)
                if body is not None:
                    if body:
                        answer.body(body)
                else:
                    self._turn(exchange, reader, reader.fault)
            else:
                self._turn(exchange, reader, reader.feed(data))
        except Exception:
            log.failure("a call broke on its answer")
            exchange.broke()

    def _turn(self, exchange: Exchange, reader: ResponseReader, fault: Fault | None) -> None:
        """A read that holds more than a piece of the body: a head, the end, or a fault."""
        if reader.head is not None:
            head, reader.head = reader.head, None
            exchange.response_head(head)
            if self.exchange is not exchange:
                return  # the call goes another way
        answer = self.answer
        body = reader.body()
        if reader.complete:
            self._settle()
            exchange.response_end(body, reader.trailers)
        elif fault is not None:
            self.abandon()
            if body and answer is not None:
                answer.body(body)
            exchange.upstream_lost(fault.reason, invalid=True)
        elif answer is not None:
            if body:
                answer.body(body)
            else:
                answer.begun()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is no more."""
        was_up, self.up = self.up, False
        self._end_dial()
        exchange, self.exchange = self.exchange, None
        self.answer = None
        self._pool.lost(self)
        whole = bool(reason.check(ConnectionDone)) and self.reader.end_of_stream()
        self.reader.stop()
        if exchange is None:
            return
        if not was_up:
            exchange.connect_failed("timed out" if self._expired else _why(reason), self._expired)
        elif whole:
            exchange.response_end(b"", [])
        else:
            exchange.upstream_lost(_why(reason), retryable=self.reused and not self.reader.started)

    # -- as the producer of its transport: the request is all queued already, nothing can be held back

    def pauseProducing(self) -> None:
        """More of the request is queued than the upstream takes."""

    def resumeProducing(self) -> None:
        """The upstream takes more of the request."""

    def stopProducing(self) -> None:
        """The transport is gone."""

    def _end_dial(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None and deadline.active():
            deadline.cancel()

    def _settle(self) -> None:
        """The answer is whole: into the pool, or away."""
        self.exchange = self.answer = None
        reader = self.reader
        if reader.keep_alive and not reader.surplus and self.transport.unsent() == 0:
            self.resume()
            self._pool.give_back(self)
        elif self.transport.unsent():  # an early answer: closing would wait for what is left of the request
            self.transport.abortConnection()
        else:
            self.transport.loseConnection()


class UpstreamPool:
    """Connections to one upstream.

    :param outbound: those to all of the process
    """

    def __init__(
        self,
        network: Network,
        clock: IReactorTime,
        monotonic: Callable[[], float],
        upstream: Upstream,
        proxy: Proxy | None,
        tls: ssl.SSLContext | None,
        connect_timeout: float,
        outbound: Outbound,
    ) -> None:
        self._network = network
        self._outbound = outbound
        self._clock = clock
        self._monotonic = monotonic
        self._upstream = upstream
        self._proxy = proxy if upstream.scheme == "https" else None
        self._tls = tls
        self._connect_timeout = connect_timeout
        self._idle: dict[UpstreamConnection, None] = {}
        self._busy = 0
        #: nothing is kept any more
        self.closed = False

    @property
    def counts(self) -> dict[str, int]:
        """Connections by state: idle, and busy with a call (or being made)."""
        return {"idle": len(self._idle), "busy": self._busy}

    def attach(self, exchange: Exchange, *, fresh: bool = False, surely_open: bool = False) -> UpstreamConnection:
        """A connection for ``exchange``: ``up``, or being made; then its `connected` or `connect_failed` follows.

        :param fresh: not a kept one
        :param surely_open: not one on which the upstream has spoken since its last answer, be it to close it, as far
            as that has come to this host
        """
        while self._idle and not fresh:
            connection = next(reversed(self._idle))
            self.forget(connection)
            if surely_open and connection.transport.unread():
                connection.transport.loseConnection()
                continue
            connection.exchange = exchange
            connection.reused = True
            break
        else:
            self._outbound.make_room()
            connection = self._dial(exchange)
        connection.busy = True
        self._busy += 1
        self._outbound.busy += 1
        return connection

    def give_back(self, connection: UpstreamConnection) -> None:
        """Keep a connection that has no call."""
        self._count_out(connection)
        if self.closed or len(self._idle) >= IDLE_MAX:
            connection.transport.loseConnection()
            return
        connection.since = self._monotonic()
        self._idle[connection] = None
        self._outbound.idle[connection] = None

    def forget(self, connection: UpstreamConnection) -> None:
        """Do not keep it any longer, if it was kept."""
        self._idle.pop(connection, None)
        self._outbound.idle.pop(connection, None)

    def connected(self, connection: UpstreamConnection) -> None:
        """A connection stands; its call may have gone meanwhile."""
        if connection.exchange is not None:
            connection.exchange.connected()
        else:
            self.give_back(connection)

    def lost(self, connection: UpstreamConnection) -> None:
        """A connection ended, idle or not."""
        self.forget(connection)
        self._count_out(connection)

    def _count_out(self, connection: UpstreamConnection) -> None:
        if connection.busy:
            connection.busy = False
            self._busy -= 1
            self._outbound.busy -= 1

    def sweep(self, now: float) -> None:
        """Close what has been idle too long (oldest first)."""
        for connection in list(self._idle):
            if now - connection.since < IDLE_SECONDS:
                break
            connection.let_go()

    def close(self) -> None:
        """Keep nothing from now on."""
        self.closed = True
        for connection in list(self._idle):
            connection.let_go()

    def _dial(self, exchange: Exchange) -> UpstreamConnection:
        connection = UpstreamConnection(self, exchange)
        upstream, proxy = self._upstream, self._proxy
        top: Protocol = connection
        if self._tls is not None:
            top = TlsClient(connection, self._tls, upstream.host)
        if proxy is None:
            host, port = upstream.host, upstream.port
        else:
            host, port = proxy.host, proxy.port
            authority = f"{_bracketed(upstream.host)}:{upstream.port}".encode("ascii")
            secret = proxy.authorization.reveal() if proxy.authorization is not None else b""
            top = Tunnel(top, authority, secret)
        connection.dial(self._network.connect(host, port, top), top, self._clock, self._connect_timeout)
        return connection


def _bracketed(host: str) -> str:
    """An IPv6 literal as an authority wants it: RFC 3986 section 3.2.2."""
    return f"[{host}]" if ":" in host else host


def _why(reason: Failure) -> str:
    """An error as the record tells it: no addresses, no data."""
    error = reason.value
    if isinstance(error, (TlsError, TunnelRefused)):
        return str(error)
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno) if error.errno > 0 else "name not resolved"
    if reason.check(ConnectionDone):
        return "connection closed"
    return "connection lost" if reason.check(ConnectionLost) else type(error).__name__
