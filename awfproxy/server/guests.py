"""Client connections: how many a port and a process take, and which makes room for a new one.

Rules:
- A port takes ``max_connections``, a process what its limit of open files allows: a call takes a second file upstream,
  and accepting until there are none would leave none for the journal.
- Where there are more, the one is closed that has been without a call for longest: it is idle, or it has been sending
  the head of a request for long.  So whoever opens connections to hold them makes room for others.  Where the limit
  has become a lower one, as many are closed as there are too many.
- A connection with a call is never closed for another: where all have one, it is the new one that goes.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

import txaio

if TYPE_CHECKING:
    from awfproxy.server.client import ClientConnection

txaio.use_twisted()
log = txaio.make_logger()

#: files of a process beside its connections: 44 for listeners, journal, ledger, locks, and what is opened for a moment;
#: and twice `admin.CONNECTIONS_MAX`, for the admin listener and the admin socket
FILES_KEPT: Final = 44 + 2 * 64
#: seconds between two lines of the log that a port closes connections for others
TELL_EVERY: Final = 60.0


class House:
    """All client connections of a process."""

    def __init__(self) -> None:
        #: connections; none are counted out until the process knows its limit
        self.most = sys.maxsize
        self.count = 0
        #: ports that are no more leave by themselves
        self.ports: WeakSet[Guests] = WeakSet()

    def make_room(self) -> None:
        """One too many: of the port with the most that have no call."""
        fullest = max(self.ports, key=lambda guests: len(guests.without_call))
        fullest.make_room(f"a process with so many open files takes {self.most}")


class Guests:
    """The client connections of one port.

    :param clients: all of them
    :param closed_for_others: counts one
    """

    def __init__(
        self, house: House, port: str, clients: dict[ClientConnection, None], closed_for_others: Callable[[], None]
    ) -> None:
        self._house = house
        self._port = port
        self._clients = clients
        self._closed_for_others = closed_for_others
        #: those that have no call, the longest first
        self.without_call: dict[ClientConnection, None] = {}
        #: that were closed for others and are not gone yet
        self._sent_away: set[ClientConnection] = set()
        self._untold = 0
        self._why = ""
        self._told = -TELL_EVERY
        house.ports.add(self)

    def came(self, client: ClientConnection, most: int) -> None:
        """A client connected.

        :param most: connections that the port takes
        """
        house = self._house
        house.count += 1
        self._clients[client] = None
        self.without_call[client] = None
        if not self.keep_within(most) and house.count > house.most:
            house.make_room()

    def keep_within(self, most: int) -> bool:
        """Close as many as there are beyond that, of those that have no call; whether there were any."""
        beyond = len(self._clients) - len(self._sent_away) - most
        if beyond > 0:
            spare = (client for client in self.without_call if client not in self._sent_away)
            for client in list(islice(spare, beyond)):
                self._send_away(client, f"max_connections = {most}")
        return beyond > 0

    def has_no_call(self, client: ClientConnection) -> None:
        """Its call is over: from now on it has none for the shortest time of all."""
        if client in self._clients:
            self.without_call.pop(client, None)
            self.without_call[client] = None

    def left(self, client: ClientConnection) -> None:
        """It is gone."""
        if client in self._clients:
            del self._clients[client]
            self._house.count -= 1
        self.without_call.pop(client, None)
        self._sent_away.discard(client)

    def make_room(self, why: str) -> None:
        """Close the one that has been without a call for longest, if there is one."""
        for client in self.without_call:
            self._send_away(client, why)
            return

    def _send_away(self, client: ClientConnection, why: str) -> None:
        del self.without_call[client]
        self._sent_away.add(client)
        self._closed_for_others()
        self._untold += 1
        self._why = why
        client.make_room()

    def tell(self, now: float) -> None:
        """A line in the log, now and then, for as long as it happens."""
        if self._untold and now - self._told >= TELL_EVERY:
            log.warn(
                "{port}: {count} connections without a call were closed for new ones ({why})",
                port=self._port, count=self._untold, why=self._why,
            )  # fmt: skip
            self._told, self._untold = now, 0


def connections_for(files: int) -> int:
    """Client connections that a process takes which may open so many files; at least 1."""
    return max(1, (files - FILES_KEPT) // 2)


def connections_allowed() -> int:
    """The same for this process."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else connections_for(soft)
