"""What a supervisor keeps and its workers have: sockets, shared memory, and whose place in that is which.

A process that is started inherits the descriptors.  Those of sockets that are opened later are sent to the processes
that run, with the settings that want them (`control_messages.Configure`).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from awfproxy.core.budgets import Budget, Scope
from awfproxy.core.identifiers import request_ids
from awfproxy.core.settings import Port, Settings
from awfproxy.server.addresses import allow, let_nobody_in, remove_file, same_socket
from awfproxy.server.books import MARK, MARK_BYTES
from awfproxy.server.control_messages import Assignment, Configure, Terms
from awfproxy.server.shared_memory import Area
from awfproxy.server.shared_rates import RATES, Party, forget_worker, parties, rates_bytes
from awfproxy.server.shared_works import TABLE, WORKS, SharedWorks
from awfproxy.server.sockets import certificates_of
from awfproxy.server.worker_sockets import open_for_workers


class _Place(msgspec.Struct, frozen=True):
    """Where one port listens."""

    endpoint: str
    #: by slot
    sockets: list[socket.socket]


class Fresh(msgspec.Struct, frozen=True):
    """What was opened for other settings, and not taken yet."""

    places: dict[str, _Place]
    #: of those that no port of these settings has
    left: list[socket.socket]
    #: names in ``places`` of those that were bound before, for another port or string
    handed_on: set[str]

    @property
    def nothing(self) -> bool:
        return not self.places and not self.left


class Handover:
    """See the module.

    :param workers: their number
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._places: dict[str, _Place] = {}
        self._areas: dict[str, Area] = {}
        self._works: list[str] = []
        self._parties: list[Party] = []
        self._interaction_ids: dict[str, str] = {}
        self._new_id = request_ids(time.time, os.urandom)

    def bind(self, ports: Iterable[Port]) -> None:
        """Bind the sockets of all.

        :raises ListenError: an address cannot be bound
        """
        for port in ports:
            self._places[port.name] = _Place(port.listen, open_for_workers(port.listen, self._workers))

    def start(self, settings: Settings, works: Mapping[str, Iterable[str]]) -> None:
        """Make the memory.

        :param works: by port, what goes on in the background
        """
        self._areas[MARK] = Area(MARK, MARK_BYTES)
        self._works = [port.name for port in settings.ports]
        self._parties = parties(settings)
        self._areas[WORKS] = Area(WORKS, TABLE * len(self._works))
        self._areas[RATES] = Area(RATES, rates_bytes(len(self._parties), self._workers))
        self._interaction_ids = {port.name: self._new_id() for port in settings.ports}
        for index, port in enumerate(self._works):
            table = SharedWorks(self._areas[WORKS], index)
            for name in works.get(port, ()):
                table.began(name)

    @property
    def mark(self) -> memoryview:
        """Memory for `TailMark`."""
        return memoryview(self._areas[MARK].bytes)

    @property
    def descriptors(self) -> list[int]:
        """All that a process inherits."""
        return sorted({each.fileno() for each in self._sockets()} | {area.fd for area in self._areas.values()})

    def assignment(self, slot: int, settings: Settings, budgets: Mapping[Scope, Budget], known: bool) -> Assignment:
        """For a process that was started after all that was taken until now."""
        return Assignment(
            self._terms(settings, budgets, known), slot,
            [
                {name: place.sockets[each].fileno() for name, place in self._places.items()}
                for each in range(self._workers)
            ],
            {name: area.fd for name, area in self._areas.items()},
        )  # fmt: skip

    def died(self, slot: int) -> None:
        """The worker in this slot has."""
        forget_worker(self._areas[RATES], len(self._parties), self._workers, slot)

    def close_sockets(self) -> None:
        """Accept nothing more here."""
        for each in self._sockets():
            each.close()

    def close(self) -> None:
        """Let go of everything."""
        self.close_sockets()
        for area in self._areas.values():
            area.close()

    # -- other settings

    def prepare(self, wanted: Sequence[Port]) -> Fresh:
        """Bind what other settings need.

        :raises ListenError: an address cannot be bound or its certificates not be read, and nothing has changed
        """
        stay = {port.name for port in wanted if (at := self._places.get(port.name)) and at.endpoint == port.listen}
        leave = [place for name, place in self._places.items() if name not in stay]
        places: dict[str, _Place] = {}
        fresh = Fresh(places, [each for place in leave for each in place.sockets], set())
        try:
            for port in wanted:
                if port.name not in stay:
                    places[port.name] = self._bound(port, leave, fresh)
        except BaseException:
            self.undo(fresh)
            raise
        return fresh

    def undo(self, fresh: Fresh) -> None:
        """It is not wanted after all."""
        for name, place in fresh.places.items():
            if name not in fresh.handed_on:
                remove_file(place.endpoint)
                for each in place.sockets:
                    each.close()

    def take(
        self, fresh: Fresh, settings: Settings, budgets: Mapping[Scope, Budget], known: bool
    ) -> tuple[Callable[[int], Configure], list[int]]:
        """These settings are in effect; what is left is to be closed once no worker has it any more.

        :returns: what workers are told, by the question's number, and the descriptors that go with it
        """
        for place in self._places.values():
            if any(each in fresh.left for each in place.sockets):
                remove_file(place.endpoint)
        for each in fresh.left:
            let_nobody_in(each)  # who waits is taken in by the workers before the last of them lets go
        for name in fresh.handed_on:
            allow(fresh.places[name].endpoint)
        stay = {port.name for port in settings.ports} - fresh.places.keys()
        self._places = {name: self._places[name] for name in stay} | fresh.places
        self._works += [port.name for port in settings.ports if port.name not in self._works]
        self._parties = parties(settings, self._parties)
        self._areas[WORKS].grow(TABLE * len(self._works))
        self._areas[RATES].grow(rates_bytes(len(self._parties), self._workers))
        for port in settings.ports:
            if port.name not in self._interaction_ids:
                self._interaction_ids[port.name] = self._new_id()
        handed = sorted({each.fileno() for place in fresh.places.values() for each in place.sockets})
        listening = [
            {
                name: handed.index(place.sockets[slot].fileno()) if name in fresh.places else None
                for name, place in self._places.items()
            }
            for slot in range(self._workers)
        ]
        terms = self._terms(settings, budgets, known)
        return lambda number: Configure(number, terms, listening, len(handed)), handed

    def _bound(self, port: Port, leave: Sequence[_Place], fresh: Fresh) -> _Place:
        for place in leave:
            if same_socket(place.endpoint, port.listen):
                certificates_of(port.listen, time.monotonic)  # the workers read them too, when it is too late to refuse
                fresh.left[:] = [each for each in fresh.left if each not in place.sockets]
                fresh.handed_on.add(port.name)
                return _Place(port.listen, place.sockets)
        return _Place(port.listen, open_for_workers(port.listen, self._workers, fresh.left))

    def _terms(self, settings: Settings, budgets: Mapping[Scope, Budget], known: bool) -> Terms:
        ids = self._interaction_ids
        return Terms(settings, self._works, self._parties, ids, list(budgets.items()), known)

    def _sockets(self) -> Iterator[socket.socket]:
        return (each for place in self._places.values() for each in place.sockets)
