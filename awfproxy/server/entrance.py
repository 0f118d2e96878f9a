"""Where a port's clients come in: what a port keeps while its settings become others.

The settings of a port are one value, and so is what is made of them (`port.Port`); `prepare` makes another one, and
`take` has the calls use it that begin from then on, on connections that stand too.  Running calls end with the port
that they began with.  Clients, calls, counters and work in the background are the entrance's, and so stay.

An entrance is closed when its port is no longer wanted: connections end with the call that runs on them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import txaio

from awfproxy.core.settings import Port as PortSettings
from awfproxy.core.settings import Service
from awfproxy.server.client import ClientConnection
from awfproxy.server.guests import Guests
from awfproxy.server.looks import Looks
from awfproxy.server.port import Port
from awfproxy.server.shared import Shared
from awfproxy.server.upstream import UpstreamPool

if TYPE_CHECKING:
    from awfproxy.server.call import Call

log = txaio.make_logger()


class Entrance:
    """Of one port, by its name.

    :param service: the settings of the process
    :param local: what is answered without any provider: a path's whole answer, or None
    """

    def __init__(
        self,
        settings: PortSettings,
        service: Service,
        shared: Shared,
        sweep_seconds: float,
        local: Callable[[bytes], bytes | None],
    ) -> None:
        self.name = settings.name
        self.shared = shared
        self.sweep_seconds = sweep_seconds
        self.local = local
        self.clients: dict[ClientConnection, None] = {}
        self.guests = Guests(shared.house, settings.name, self.clients, self._closed_for_others)
        self.calls: dict[Call, None] = {}
        self.works = shared.works(settings.name)
        self.closed = False
        #: no new call is taken: it is closed, or the service stops
        self.draining = False
        #: with which calls begin
        self.port = Port(settings, service, self)
        self.port.admission.take_effect()
        #: pools that new calls do not use, while there are connections that are busy
        self._left: list[UpstreamPool] = []
        self._look = Looks()

    def accept(self) -> ClientConnection:
        """A client connects."""
        return ClientConnection(self)

    def accept_leaving(self) -> ClientConnection:
        """A client that waited where nobody listens any more: its next answer is its last one there."""
        client = self.accept()
        client.leaving = True
        return client

    def _closed_for_others(self) -> None:
        self.port.tally.closed_for_others += 1

    @property
    def over(self) -> bool:
        """It is closed, and nothing is left of it."""
        return self.closed and not self.clients and not self.calls and not self._left

    # -- other settings

    def prepare(self, settings: PortSettings, service: Service) -> Port | None:
        """The port under other settings, for `take`; None: they are the same.  Changes nothing that is seen."""
        if not self.closed and (self.port.settings, self.port.service) == (settings, service):
            return None
        return Port(settings, service, self, before=self.port)

    def take(self, port: Port) -> None:
        """New calls begin with this; a closed entrance is open again."""
        self.closed = self.draining = False
        before, self.port = self.port, port
        port.admission.take_effect()
        self.guests.keep_within(port.settings.max_connections)
        if port.pool is not before.pool:
            before.pool.close()
            self._left.append(before.pool)
        if port.tally is not before.tally:
            _still(before)

    def send_on(self) -> None:
        """Whoever is connected now came where nobody listens any more: their next answer is their last one there."""
        for client in self.clients:
            client.leaving = True

    def close(self) -> None:
        """Its port is not wanted any longer: connections without a call are closed, the others after it."""
        self.closed = True
        self.port.pool.close()
        self._left.append(self.port.pool)
        self.drain()

    # -- the service

    def reflect(self) -> dict[str, Any]:
        """For `/reflect`."""
        return self.port.reflect()

    def sweep(self, now: float) -> None:
        """Look at everything that waits for something."""
        for call in list(self.calls):
            try:
                call.sweep(now)
            except Exception:  # the others must not lose their time limits
                log.failure("a call broke on a look at it")
                call.broke()
        for client in list(self.clients):
            try:
                client.sweep(now)
            except Exception:
                self._look.broke(client.sweep)
                self._look(client.broke, now)
        self._look(self.guests.tell, now)
        port = self.port
        self._look(port.pool.sweep, now)
        self._left = [pool for pool in self._left if pool.counts["busy"]]
        if self.closed:
            _still(port)
        else:
            port.tally.budgets, port.tally.budgets_usd = port.admission.standings.look()
        counts = [pool.counts for pool in dict.fromkeys((port.pool, *self._left))]
        port.tally.connections_busy = sum(each["busy"] for each in counts)
        port.tally.connections_idle = sum(each["idle"] for each in counts)

    @property
    def flushing(self) -> int:
        """Clients that have not been sent the whole of their last answer."""
        return sum(client.flushing for client in self.clients)

    def drain(self) -> None:
        """Take no more calls; connections without one are closed."""
        self.draining = True
        for client in list(self.clients):
            client.drain()

    def end(self) -> None:
        """Close what is left."""
        for client in list(self.clients):
            client.leave()
        self.port.pool.close()


def _still(port: Port) -> None:
    """What its counters tell of this moment is nothing any more; the rest of them stays."""
    tally = port.tally
    tally.budgets, tally.budgets_usd = {}, {}
    tally.connections_busy = tally.connections_idle = 0
