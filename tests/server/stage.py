"""A stage for transcripts: the whole byte path in memory, with a client on one side and an upstream on the other.

`Stage` is a port with a network of wires instead of sockets, a journal in memory and clocks that stand still until moved.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from awfproxy.core.budgets import Budget, Scope
from awfproxy.core.secret import Secret
from awfproxy.core.settings import Database, Service, Settings, Upstream
from awfproxy.core.settings import Port as PortSettings
from awfproxy.server.allowance_memory import MemoryAllowances
from awfproxy.server.entrance import Entrance
from awfproxy.server.journal_memory import MemoryJournal
from awfproxy.server.network import Listener
from awfproxy.server.port import Port
from awfproxy.server.shared import Shared

#: the sweep of a staged port, in seconds
SWEEP = 0.5


class Wire:
    """A transport in memory: what was written stands in ``sent``."""

    established = True

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self.sent = b""
        self.paused = False
        self.closed = False
        self.aborted = False
        self.half_closed = False
        self.producer: Any = None
        self.queued = 0
        self.speaks = False

    def write(self, data: bytes) -> None:
        assert isinstance(data, bytes)
        if not self.closed:
            self.sent += data

    def loseConnection(self) -> None:
        self.closed = True

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def abortConnection(self) -> None:
        self.closed = self.aborted = True

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def unsent(self) -> int:
        return self.queued

    def unread(self) -> bool:
        return self.speaks

    def switchProtocol(self, protocol: Protocol) -> None:
        self.protocol = protocol

    # -- what a test does at the far end

    def receive(self, data: bytes) -> None:
        """The far end sent ``data``."""
        self.protocol.dataReceived(data)

    def end(self, clean: bool = True) -> None:
        """The far end, or the transport, closed."""
        self.closed = True
        self.protocol.connectionLost(Failure(ConnectionDone() if clean else ConnectionLost()))

    def take(self) -> bytes:
        """What was written since the last time."""
        sent, self.sent = self.sent, b""
        return sent


class Wires:
    """A network of wires.  ``refuse``: connecting fails with this error; ``slow``: it waits for `finish`."""

    name = "memory"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.dialled: list[Wire] = []
        self.refuse: Exception | None = None
        self.slow = False
        self.waiting: list[tuple[Protocol, Deferred[None]]] = []

    def listen(self, listening: socket.socket, build: Callable[[], Protocol]) -> Listener:
        raise NotImplementedError

    def adopt(self, accepted: socket.socket, build: Callable[[], Protocol]) -> None:
        raise NotImplementedError

    def connect(self, host: str, port: int, protocol: Protocol) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        if self.refuse is not None:
            self._clock.callLater(0, waiting.errback, self.refuse)
            return waiting
        self.waiting.append((protocol, waiting))
        if not self.slow:
            self._clock.callLater(0, self.finish)  # never before `connect` returns
        return waiting

    def finish(self) -> None:
        """The oldest slow connection stands."""
        protocol, waiting = self.waiting.pop(0)
        self._make(protocol)
        waiting.callback(None)

    def _make(self, protocol: Protocol) -> None:
        wire = Wire(protocol)
        self.dialled.append(wire)
        protocol.makeConnection(wire)


#: settings of the service that a stage takes beside the port's
_OF_SERVICE = ("record_wait", "request_memory", "admission_wait")


class _Wall:
    """A clock whose seconds are the epoch's."""

    def __init__(self, clock: Clock, seconds: Callable[[], float]) -> None:
        self.callLater = clock.callLater
        self.seconds = seconds


class Stage:
    """One port with everything around it."""

    def __init__(
        self, *, journal_holds: bool = False, budgets: Mapping[Scope, Budget] | None = None, **settings: Any
    ) -> None:
        self.clock = Clock()
        self.wires = Wires(self.clock)
        self.journal = MemoryJournal(self.clock)
        self.journal.start()
        upstream = settings.pop("upstream", Upstream("http", "up.test", 80, "/v1"))
        service = {name: settings.pop(name) for name in _OF_SERVICE if name in settings}
        values = {
            "name": "main", "listen": "tcp:0", "provider": "openai", "upstream": upstream, "credential": Secret("sk-real"),
        }  # fmt: skip
        port = PortSettings(**(values | settings))
        whole = Settings(
            service=Service(
                log_dir="", state_dir="", admin="", ledger=Database("sqlite:////ledger.db"), **service
            ),
            ports=(port,), source="test"
        )
        self.shared = Shared(
            whole, self.clock, self.wires, self.journal, self.clock.seconds, lambda: 1_800_000_000 + self.clock.seconds()
        )
        #: what the port's calls may spend, without a ledger; its clock is the epoch's
        self.budgets = MemoryAllowances(budgets or {}, _Wall(self.clock, self.shared.wall))  # type: ignore[arg-type]
        self.shared.allowances = self.budgets
        self.entrance = Entrance(
            port, whole.service, self.shared, SWEEP, lambda target: b"local" if target == b"/health" else None
        )

    @property
    def port(self) -> Port:
        """With which calls begin now."""
        return self.entrance.port

    def change(self, **settings: Any) -> None:
        """Other settings of the port are in effect from now on."""
        port = self.entrance.prepare(msgspec.structs.replace(self.port.settings, **settings), self.port.service)
        assert port is not None
        self.entrance.take(port)

    def client(self) -> Wire:
        """A client connects."""
        protocol = self.entrance.accept()
        wire = Wire(protocol)
        protocol.makeConnection(wire)
        return wire

    def turn(self) -> None:
        """The reactor turns: connections that were asked for stand, records are in the kernel."""
        for _ in range(3):
            self.clock.advance(0)

    @property
    def upstream(self) -> Wire:
        """The newest connection upstream."""
        return self.wires.dialled[-1]

    def wait(self, seconds: float) -> None:
        """Time passes, with its sweeps."""
        for _ in range(int(seconds / SWEEP)):
            self.clock.advance(SWEEP)
            self.entrance.sweep(self.clock.seconds())
