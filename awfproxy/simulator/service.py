"""The simulator as a Twisted service: any number of listeners over one site and one ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IProtocolNegotiationFactory
from twisted.internet.protocol import Factory
from zope.interface import implementer

from awfproxy.simulator.connection import Connection
from awfproxy.simulator.ledger import Call
from awfproxy.simulator.routes import DEFAULT_KEYS
from awfproxy.simulator.site import Site

#: What a simulator listens on when not told: any free port of the loopback.
LOOPBACK = "tcp:0:interface=127.0.0.1"


class Simulator(Service):
    """Simulated providers.

    :param listen: listeners by name, as Twisted server endpoint strings (``tcp:``, ``ssl:…:privateKey=…:certKey=…``);
        a listener named after a provider is that provider, any other tells them by the path
    :param keys: see `Site`
    :param now: seconds since 1970, for the time stamps in answers
    """

    def __init__(
        self,
        reactor: Any,
        listen: Mapping[str, str] | None = None,
        keys: Mapping[str, str] = DEFAULT_KEYS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._reactor = reactor
        self._listen = dict(listen or {"any": LOOPBACK})
        self.site = Site(now, keys)
        self._listening: dict[str, Any] = {}
        self._connections: set[Connection] = set()
        self._count = 0

    @property
    def port(self) -> int:
        """The first listener's TCP port."""
        return next(iter(self.ports.values()))

    @property
    def ports(self) -> dict[str, int]:
        """The TCP port of each listener, by name."""
        return {name: port.getHost().port for name, port in self._listening.items()}

    @property
    def calls(self) -> Sequence[Call]:
        """What was served so far."""
        return self.site.ledger.calls

    @property
    def open_connections(self) -> int:
        """Connections open now."""
        return len(self._connections)

    def startService(self) -> None:
        """Listen.  An address that cannot be had raises at once (TCP and TLS endpoints listen synchronously)."""
        super().startService()  # type: ignore[no-untyped-call]
        for name, description in self._listen.items():
            outcome: list[Any] = []
            endpoint = serverFromString(self._reactor, description)
            endpoint.listen(_ConnectionFactory(self, name)).addBoth(outcome.append)
            if not outcome:
                raise RuntimeError(f"{description}: does not listen at once")
            if not hasattr(outcome[0], "getHost"):
                outcome[0].raiseException()
            self._listening[name] = outcome[0]

    def stopService(self) -> Deferred[Any]:
        """Stop listening and cut every open connection; fires when all are gone."""
        super().stopService()  # type: ignore[no-untyped-call]
        waiting: list[Deferred[Any]] = []
        for port in self._listening.values():
            stopped = port.stopListening()
            if stopped is not None:
                waiting.append(stopped)
        for connection in list(self._connections):
            connection.transport.abortConnection()
            waiting.append(connection.gone)
        return DeferredList(waiting)

    def opened(self, listener: str) -> Connection:
        """A connection was accepted."""
        self._count += 1
        connection = Connection(self.site, self._reactor, self._count, listener, self._connections.discard)
        self._connections.add(connection)
        return connection


@implementer(IProtocolNegotiationFactory)
class _ConnectionFactory(Factory):
    noisy = False

    def acceptableProtocols(self) -> list[bytes]:
        """What TLS may agree on (ALPN): without it Twisted's server fails the handshake of a client that offers any."""
        return [b"http/1.1"]

    def __init__(self, simulator: Simulator, listener: str) -> None:
        self._simulator = simulator
        self._listener = listener

    def buildProtocol(self, addr: object) -> Connection:
        return self._simulator.opened(self._listener)
