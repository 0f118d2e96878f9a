"""The listeners of a process that serves alone, by port: bound at the start, and others in their place while it runs.

Rules:
- A socket is kept beside its listener, so that it can be handed to another port of the same address (a port that was
  renamed): no connection is refused meanwhile.
- `prepare` binds what is new, reads certificates and changes nothing else; what it returns has ports accept there, and
  nowhere else, and cannot fail.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from awfproxy.core.settings import Port as PortSettings
from awfproxy.server.addresses import allow, identity, let_nobody_in, remove_file, same_socket
from awfproxy.server.certificates import Certificates
from awfproxy.server.network import Listener
from awfproxy.server.ports import Ports
from awfproxy.server.reactor_network import listen_slowly
from awfproxy.server.sockets import certificates_of, open_listening


class _Place(msgspec.Struct):
    """Where one port listens."""

    endpoint: str
    #: None: only Twisted knows how
    kept: socket.socket | None
    #: what is shown there
    certificates: Certificates | None = None
    #: None: not yet
    listener: Listener | None = None
    #: it was bound for another port or string
    handed_on: bool = False


class Listening:
    """See the module."""

    def __init__(self, reactor: Any, ports: Ports) -> None:
        self._reactor = reactor
        self._ports = ports
        self._monotonic = ports.shared.monotonic
        self._places: dict[str, _Place] = {}

    def bind(self, ports: Iterable[PortSettings]) -> None:
        """Bind the sockets of all, before calls are accepted.

        :raises ListenError: an address cannot be bound
        """
        for port in ports:
            self._places[port.name] = _Place(port.listen, open_listening(port.listen))

    def open(self) -> None:
        """Open all that `start` needs; where only Twisted knows how to listen, calls are accepted from now on.

        :raises ListenError: an endpoint string that only Twisted knows cannot be listened on, or certificates cannot be
            read any more
        """
        for name, place in self._places.items():
            if place.kept is None:
                place.listener = self._slowly(name, place.endpoint)
                self._ports.add(place.listener)
            place.certificates = certificates_of(place.endpoint, self._monotonic)

    def start(self) -> None:
        """Accept calls."""
        for name, place in self._places.items():
            if place.kept is not None:
                self._accept(name, place)

    def prepare(self, wanted: Sequence[PortSettings]) -> tuple[Callable[[], None], Callable[[], None]]:
        """Bind what other settings need.

        :returns: what has the ports accept there, once they are those of the settings, and what lets go of it instead
        :raises ListenError: an address cannot be bound or its certificates not be read, and nothing has changed
        """
        stay = {port.name for port in wanted if (at := self._places.get(port.name)) and at.endpoint == port.listen}
        leave = {name: place for name, place in self._places.items() if name not in stay}
        fresh: dict[str, _Place] = {}

        def undo() -> None:
            for place in fresh.values():
                if place.listener is not None:
                    place.listener.close()
                if place.kept is not None:
                    place.kept.close()
                if not place.handed_on:
                    remove_file(place.endpoint)

        try:
            for port in wanted:
                if port.name not in stay:
                    fresh[port.name] = self._bound(port, list(leave.values()))
        except BaseException:
            undo()
            raise

        def take() -> None:
            moved = leave.keys() & fresh.keys()
            handed_on = {identity(place.kept.fileno()) for place in fresh.values() if place.kept is not None}
            for name, place in fresh.items():
                if place.handed_on:
                    allow(place.endpoint)
                self._accept(name, place)
            for name, place in leave.items():
                self._leave(place, place.kept is not None and identity(place.kept.fileno()) in handed_on)
                if name in moved:
                    self._ports.named(name).send_on()
                else:
                    del self._places[name]
            self._places.update(fresh)

        return take, undo

    def close(self) -> None:
        """Keep no socket: a connection is refused once the listeners are closed too."""
        for place in self._places.values():
            if place.kept is not None:
                place.kept.close()
        self._places.clear()

    def _bound(self, port: PortSettings, leave: Sequence[_Place]) -> _Place:
        for place in leave:
            if place.kept is not None and same_socket(place.endpoint, port.listen):
                certificates = certificates_of(port.listen, self._monotonic)
                return _Place(port.listen, place.kept.dup(), certificates, handed_on=True)
        beside = [place.kept for place in leave if place.kept is not None]
        certificates = certificates_of(port.listen, self._monotonic)
        opened = open_listening(port.listen, beside=beside)
        slow = self._slowly(port.name, port.listen) if opened is None else None
        return _Place(port.listen, opened, certificates, slow)

    def _slowly(self, name: str, endpoint: str) -> Listener:
        # the port may not be there yet: nobody comes in this turn
        return listen_slowly(self._reactor, endpoint, lambda: self._ports.named(name).accept())

    def _accept(self, name: str, place: _Place) -> None:
        if place.kept is not None:
            place.listener = self._ports.listen(name, place.kept.dup(), place.certificates)
        elif place.listener is not None:
            self._ports.add(place.listener)

    def _leave(self, place: _Place, handed_on: bool) -> None:
        left = None if handed_on else place.kept
        if left is not None:
            remove_file(place.endpoint)
            let_nobody_in(left)
        if place.listener is not None:
            self._ports.leave(place.listener, left)
        if place.kept is not None:
            place.kept.close()
