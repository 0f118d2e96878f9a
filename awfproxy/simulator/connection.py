"""One connection to the simulator: HTTP/1.1 read by httptools, answers written byte for byte as the modes want.

Requests are answered one at a time, in order; pipelined ones wait.  An early answer begins when the head is there;
the connection goes on when both the answer and the body are through.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import httptools
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from awfproxy.simulator.modes import Mode
from awfproxy.simulator.playback import Playback
from awfproxy.simulator.site import Received, Served, Site
from awfproxy.simulator.wire import Stop, script

#: Largest request body taken.
MAX_BODY = 512 << 20


class Connection(Protocol):
    """The simulator's end of one TCP or TLS connection."""

    transport: Any

    def __init__(
        self, site: Site, clock: IReactorTime, number: int, listener: str, closed: Callable[[Connection], None]
    ) -> None:
        #: fires when the connection is gone
        self.gone: Deferred[None] = Deferred()
        self._closed = closed
        self._site = site
        self._clock = clock
        self._number = number
        self._listener = listener
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Received, bool]] = deque()
        self._playing: Playback | None = None
        self._served: Served | None = None
        self._timers: list[IDelayedCall] = []
        #: how the connection is to end when the next request arrives
        self._drop_next: str | None = None
        #: the running request was answered before its body was read
        self._early = False
        self._gone = False
        self._forget_request()

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        if self._drop_next is not None:
            self._end("rst" if self._drop_next == "rst" else "fin")
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # the message was complete; it is answered with a refusal
        except httptools.HttpParserError:
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._gone = True
        if self._playing is not None:
            self._playing.stop()
            self._playing = None
            if self._served is not None and self._served.call is not None and self._served.call.end == "open":
                self._served.call.end = "aborted"
        for timer in self._timers:
            if timer.active():
                timer.cancel()
        self._closed(self)
        self.gone.callback(None)

    # What httptools calls.

    def on_message_begin(self) -> None:
        self._forget_request()

    def on_url(self, url: bytes) -> None:
        self._target.append(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if (b"expect", b"100-continue") in [(name, value.lower()) for name, value in self._headers]:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        mode = self._site.early(self._headers) or Mode()
        if mode.read_delay:
            self.transport.pauseProducing()
            self._later(mode.read_delay / 1000, self.transport.resumeProducing)
        if mode.early is not None:
            self._early = True
            self._waiting.append((self._received(), self._parser.should_keep_alive()))
            self._next()

    def on_body(self, data: bytes) -> None:
        if self._early:
            return
        self._body.append(data)
        self._body_size += len(data)
        if self._body_size > MAX_BODY:
            self.transport.abortConnection()

    def on_message_complete(self) -> None:
        if self._early:
            self._early = False
        else:
            self._waiting.append((self._received(), self._parser.should_keep_alive()))
        self._next()

    # One request after the other.

    def _forget_request(self) -> None:
        self._target: list[bytes] = []
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._body_size = 0

    def _received(self) -> Received:
        return Received(
            method=self._parser.get_method().decode("latin-1"),
            target=b"".join(self._target).decode("latin-1"),
            headers=self._headers,
            body=b"".join(self._body),
            connection=self._number,
            listener=self._listener,
            upgrade=any(name == b"upgrade" for name, _ in self._headers),
        )

    def _next(self) -> None:
        if self._playing is not None or not self._waiting or self._gone:
            return
        received, keep_alive = self._waiting.popleft()
        self._served = served = self._site.serve(received)
        steps = script(served.answer, served.mode, served.encoding, received.method, keep_alive, served.call)
        self._playing = Playback(self.transport, self._clock, steps, self._ended)
        self._playing.start()

    def _ended(self, stop: Stop | None) -> None:
        served, self._playing = self._served, None
        assert served is not None
        if served.call is not None:
            served.call.end = "complete" if stop in (None, Stop.CLOSE) else "cut"
        if stop is not None:
            self._end("rst" if stop is Stop.RST else "fin")
            return
        self._drop_next = served.mode.next
        if served.mode.idle_close is not None:
            self._later(served.mode.idle_close / 1000, self._end, "fin")
        elif not self._early:
            self._next()

    def _end(self, how: str) -> None:
        if how == "rst":
            self.transport.abortConnection()
        else:
            self.transport.loseConnection()

    def _later(self, seconds: float, what: Any, *arguments: Any) -> None:
        self._timers = [timer for timer in self._timers if timer.active()]
        self._timers.append(self._clock.callLater(seconds, what, *arguments))
