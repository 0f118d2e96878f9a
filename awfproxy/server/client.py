"""One client connection: requests in, one after the other, answers out in the same order.

While a call runs the connection is read on, so that a client that leaves is noticed; what it sends ahead is kept up to
`AHEAD_MAX` bytes, then reading pauses.  A connection that is closed after a refusal lingers: closing with unread bytes
would reset it, and the refusal would be lost on its way (RFC 9112 section 9.6).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import txaio
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from awfproxy.core.message import RequestHead
from awfproxy.server.call import Call
from awfproxy.server.network import Transport
from awfproxy.wire.faults import Fault
from awfproxy.wire.requests import RequestReader

if TYPE_CHECKING:
    from awfproxy.server.entrance import Entrance

log = txaio.make_logger()

#: bytes of later requests kept while a call runs
AHEAD_MAX = 64 * 1024
#: seconds an idle connection is kept; longer than what SDKs keep theirs (httpx 5 s, undici 4 s, Go 90 s)
KEEP_ALIVE = 120.0
#: seconds for a head to arrive once it began, and for a TLS handshake; nginx's client_header_timeout
HEAD_TIMEOUT = 60.0
#: seconds that a closed connection still reads, to let its last answer arrive
LINGER = 2.0
#: bytes read meanwhile
LINGER_BYTES = 1024 * 1024


@implementer(IPushProducer)
class ClientConnection(Protocol):
    """One client."""

    __slots__ = (
        "_ahead", "_entrance", "_going", "_lingered", "_reader", "_since", "call", "closing", "connected", "held",
        "leaving", "transport",
    )  # fmt: skip

    transport: Transport  # type: ignore[assignment]

    def __init__(self, entrance: Entrance) -> None:
        self.connected = 0
        self._entrance = entrance
        self._reader = RequestReader(self)
        #: the call that runs
        self.call: Call | None = None
        #: the last answer has been given: what comes is thrown away
        self.closing = False
        #: the client does not take what it is sent
        self.held = False
        self._ahead = False
        self._going = False
        self._lingered = 0
        #: the next answer is the last one on this connection
        self.leaving = False
        self._since = entrance.shared.monotonic()

    # -- as a protocol

    def connectionMade(self) -> None:
        """A client connected."""
        self.transport.registerProducer(self, True)
        self._entrance.guests.came(self, self._entrance.port.settings.max_connections)

    def dataReceived(self, data: bytes) -> None:
        """Bytes of a request, or of those that follow it."""
        if self.closing:
            self._lingered += len(data)
            if self._lingered > LINGER_BYTES:
                self.transport.abortConnection()
            return
        reader = self._reader
        if reader.between and data.strip(b"\r\n"):  # line ends alone begin no request, and keep no connection
            self._since = self._entrance.shared.monotonic()
        try:
            fault = reader.feed(data)
        except Exception:
            log.failure("a call broke on its request")
            self._broke()
            return
        if fault is not None:
            if not self.closing:
                self._malformed(fault)
        elif reader.waiting > AHEAD_MAX:
            self._ahead = True
            self.transport.pauseProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client is gone."""
        self._reader.stop()
        self._entrance.guests.left(self)
        call, self.call = self.call, None
        if call is not None:
            call.client_left()

    # -- as the producer of its transport: the answer comes from the upstream

    def pauseProducing(self) -> None:
        """The client takes no more for now."""
        self.held = True
        if self.call is not None:
            self.call.hold_upstream()

    def resumeProducing(self) -> None:
        """The client takes more."""
        self.held = False
        if self.call is not None:
            self.call.let_upstream_go_on()
        else:
            self._go_on()

    def stopProducing(self) -> None:
        """The transport is gone: `connectionLost` tells."""

    # -- as the sink of its reader

    def request_head(self, head: RequestHead) -> None:
        """A request begins."""
        self._entrance.guests.without_call.pop(self, None)
        self.call = call = Call(self._entrance.port, self, head)
        call.request.begin(head)

    def request_body(self, piece: bytes) -> None:
        """A piece of its body."""
        if self.call is not None:
            self.call.request.body_piece(piece)

    def request_complete(self) -> None:
        """It is whole."""
        if self.call is not None:
            self.call.request.complete()

    @property
    def flushing(self) -> bool:
        """The last answer has been given, and the kernel has not yet taken all of it."""
        return self.closing and self.transport.unsent() > 0

    # -- what calls ask for

    def stop_reading_requests(self) -> None:
        """The rest of this connection's requests is not wanted: it will be closed."""
        self._reader.stop()

    def pause(self) -> None:
        """No more of the body for now."""
        self.transport.pauseProducing()

    def resume(self) -> None:
        """Go on with the body."""
        if not self.closing:
            self.transport.resumeProducing()

    def call_over(self, close: bool) -> None:
        """The call's answer is written: on to the next, or close."""
        self.call = None
        self._entrance.guests.has_no_call(self)
        if close or self._entrance.draining:
            self.close()
            return
        self._since = self._entrance.shared.monotonic()
        if not self.held:
            self._go_on()

    def _go_on(self) -> None:
        """Read on, and take up what was sent ahead, while the client takes its answers."""
        if self._ahead:
            self._ahead = False
            self.transport.resumeProducing()
        if self._going:
            return
        self._going = True  # a loop, not a recursion: a client may have sent hundreds of requests ahead
        try:
            while self.call is None and not self.closing and not self.held and not self._reader.hungry:
                fault = self._reader.proceed()
                if fault is not None:
                    self._malformed(fault)
        except Exception:
            log.failure("a call broke on its request")
            self._broke()
        finally:
            self._going = False

    def close(self) -> None:
        """Close after what is written has gone; read on for a moment."""
        self.closing = True
        self._reader.stop()
        self._since = self._entrance.shared.monotonic()
        self.transport.loseWriteConnection()
        self.transport.resumeProducing()

    def cut(self, reset: bool) -> None:
        """Close so that the client can tell that the answer is not whole."""
        self.closing = True
        self._reader.stop()
        self._since = self._entrance.shared.monotonic()
        self._entrance.guests.has_no_call(self)  # what is still queued for it keeps no place
        if reset:
            self.transport.abortConnection()
        else:
            self.transport.loseConnection()

    def _malformed(self, fault: Fault) -> None:
        self._entrance.guests.without_call.pop(self, None)  # its refusal is a call
        self._entrance.port.malformed(self, fault)

    def _broke(self) -> None:
        self._reader.stop()
        if self.call is not None:
            self.call.broke()
        else:
            self.transport.abortConnection()

    def sweep(self, now: float) -> None:
        """Time has passed."""
        if self.call is not None:
            return  # swept as a call
        if self.closing or self.held:
            if now - self._since > self._entrance.port.settings.idle_timeout:
                self.transport.abortConnection()  # it does not take what it was sent, and closing would wait for that
            elif self.closing and not self.flushing and now - self._since > LINGER:
                self.transport.loseConnection()  # in order: the kernel delivers what it has
        elif self._reader.between and self.transport.established:
            if now - self._since > KEEP_ALIVE:
                self.cut(reset=False)  # the end of its last answer may still be queued
        elif now - self._since > HEAD_TIMEOUT:
            self.transport.abortConnection()

    def broke(self, now: float) -> None:
        """A look at it failed: it is cut, for its time limits do not hold."""
        self.transport.abortConnection()

    def make_room(self) -> None:
        """Another connection is to have its place."""
        if self.closing or self.transport.unsent():
            self.transport.abortConnection()  # who does not take its answers must not keep the place by that
        else:
            self.cut(reset=False)

    def leave(self) -> None:
        """The process ends: what the kernel has is still delivered, the rest is cut so that the client can tell."""
        if self.flushing:
            self.transport.abortConnection()
        else:
            self.transport.loseConnection()

    def drain(self) -> None:
        """The service stops: a connection without a call is closed."""
        if self.call is None and not self.closing:
            self.cut(reset=False)  # its last answer may still be on its way
