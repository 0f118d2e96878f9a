"""A worker: the ports of one process among several, told by its supervisor what to do (`control_messages`).

It opens no listener of its own: it has inherited all sockets, and accepts on those that it is told to serve.  When its
supervisor is gone it drains and ends, as it does on SIGTERM.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
import txaio
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from awfproxy.core.settings import Settings
from awfproxy.server.addresses import identity
from awfproxy.server.books import MARK, MARK_BYTES, Books
from awfproxy.server.common import shared_of
from awfproxy.server.control_channel import ControlChannel, adopt
from awfproxy.server.control_messages import (
    Ask,
    Assignment,
    Budgets,
    Configure,
    Configured,
    Drain,
    EndDrain,
    Ended,
    Failed,
    Fence,
    Fenced,
    FromSupervisor,
    Others,
    Passed,
    Reopen,
    Serve,
    Serving,
    Started,
    Terms,
    Told,
)
from awfproxy.server.counted_rates import RatesOf
from awfproxy.server.health import READY
from awfproxy.server.network import Listener
from awfproxy.server.ports import Ports
from awfproxy.server.shared_memory import Area
from awfproxy.server.shared_rates import RATES, rates_bytes, shared_rates
from awfproxy.server.shared_works import TABLE, WORKS, SharedWorks
from awfproxy.server.sockets import ListenError
from awfproxy.server.start_wait import StartWait
from awfproxy.server.totals import Figures, journal_figures
from awfproxy.state.kept_file import KeptFileError

txaio.use_twisted()
log = txaio.make_logger()

#: seconds between two tellings without being asked: what a killed worker counted since then is not in the metrics
TELL_EVERY: Final = 1.0
#: seconds between two looks whether the journal has come to a fence
FENCE_LOOK: Final = 0.02


class Worker:
    """One worker, from `start` until `stopped` has fired.

    :param assignment: what it is to do
    :param channel: to its supervisor
    :param descriptors: that came with the assignment, for messages behind it
    """

    def __init__(
        self, assignment: Assignment, channel: socket.socket, descriptors: Sequence[int], reactor: Any
    ) -> None:
        self._slot = assignment.slot
        self._reactor = reactor
        self._socket = channel
        self._listening = assignment.listening
        terms = assignment.terms
        settings = _part_of(terms.settings)
        workers = settings.service.workers
        self._works = Area(WORKS, TABLE * len(terms.works), assignment.memory[WORKS])
        self._rates = Area(RATES, rates_bytes(len(terms.parties), workers), assignment.memory[RATES])
        self._shared = shared_of(
            settings, reactor, shared_journal=True, works=self._works_of(terms),
            interaction_ids=terms.interaction_ids, rates=self._rates_of(terms),
        )  # fmt: skip
        self._ports = Ports(settings, reactor, self._shared)
        mark = Area(MARK, MARK_BYTES, assignment.memory[MARK])
        self._books = Books(settings, reactor, self._shared.journal, memoryview(mark.bytes))
        self._books.budgets, self._books.known = dict(terms.budgets), terms.known
        self._books.lend = self._shared.lend
        self._channel = ControlChannel(True, self._received, self._lost, descriptors)  # type: ignore[arg-type]
        #: by slot and port
        self._served: dict[int, dict[str, Listener]] = {}
        #: ports that are not listened on though they should be, and why
        self._deaf: dict[str, str] = {}
        self._wait = StartWait(self._books.opening, self._started, self._stop_failed, reactor)
        self._telling = LoopingCall(self._each_second)
        self._telling.clock = reactor
        self._stopping = False
        self._leaving = False
        #: fires when all is closed
        self.stopped: Deferred[None] = Deferred()
        #: 1 if it could not start or records were lost
        self.exit_status = 0

    def start(self) -> None:
        """Open the files, and say so once the budgets can be spent."""
        adopt(self._reactor, self._socket, self._channel)
        try:
            self._ports.open()
            self._ports.start()
            self._books.start(keeps=False)
            self._books.price(self._shared.tariff)
            self._shared.health.watch("ledger", self._books.condition)
            self._shared.health.watch("listeners", self._listeners_condition)
            self._shared.alert = lambda alert: self._channel.send(Passed(alert))
        except (KeptFileError, OSError) as error:
            self._stopping, self.exit_status = True, 1
            self._channel.send(Failed(str(error)))
            self._leave()
            return
        self._wait.start()

    def _started(self) -> None:
        self._telling.start(TELL_EVERY, now=False)
        self._channel.send(Started())

    def stop(self) -> None:
        """Drain and end; once."""
        if not self._stopping:
            self._stopping = True
            self._wait.cancel()
            self._channel.send(Serving([]))
            self._close_inherited()
            Deferred.fromCoroutine(self._stop()).addErrback(self._stop_failed)

    # -- what the supervisor says

    def _received(self, message: FromSupervisor) -> None:
        if isinstance(message, Serve):
            self._serve(message.slots)
        elif isinstance(message, Ask):
            self._tell(message.number)
        elif isinstance(message, Fence):
            journal = self._shared.journal
            self._fence(message.number, journal.written + journal.queue_records)
        elif isinstance(message, Others):
            self._shared.health.others = message.reasons
        elif isinstance(message, Reopen):
            self._ports.reopen()
        elif isinstance(message, Configure):
            self._configure(message)
        elif isinstance(message, Budgets):
            self._books.take(dict(message.budgets))
        elif isinstance(message, Drain):
            self.stop()
        elif isinstance(message, EndDrain):
            self._ports.end_drain()

    def _serve(self, slots: list[int]) -> None:
        if self._stopping:
            return
        for slot in [slot for slot in self._served if slot not in slots]:
            for listener in self._served.pop(slot).values():
                self._ports.leave(listener)
        for slot in slots:
            self._served.setdefault(slot, {})
        self._listen()
        self._shared.health.state = READY
        self._channel.send(Serving(slots))

    def _listen(self) -> None:
        """Accept on all that it serves and does not accept on yet.

        Whose certificates cannot be read waits until they can be: the other ports are served.
        """
        deaf: dict[str, str] = {}
        taken = {self._listening[slot][name] for slot, listeners in self._served.items() for name in listeners}
        for slot, listeners in self._served.items():
            for name, fd in self._listening[slot].items():
                if name in deaf or name in listeners or fd in taken:  # one that all share is accepted on once
                    continue
                try:
                    certificates = self._ports.certificates(name)
                except ListenError as error:
                    deaf[name] = str(error)
                    continue
                taken.add(fd)
                listeners[name] = self._ports.listen(name, socket.socket(fileno=os.dup(fd)), certificates)
        for name, why in deaf.items():
            if self._deaf.get(name) != why:
                log.error("{name} is not listened on: {why}", name=name, why=why)
        for name in self._deaf.keys() - deaf.keys():
            log.info("{name} is listened on again, or is no port any more", name=name)
        self._deaf = deaf

    def _listeners_condition(self) -> str | None:
        names = ", ".join(sorted(self._deaf))
        return f"not listened on, for their certificates: {names}; see the log" if names else None

    # -- other settings

    def _configure(self, message: Configure) -> None:
        came = self._channel.take(message.descriptors)
        before, why = self._listening, None
        try:
            if self._stopping:
                _close(came)
            else:
                self._take_over(message, came)
        except Exception as error:
            log.failure("other settings could not be taken over")
            why = type(error).__name__
            if self._listening is before:
                _close(came)
        self._channel.send(Configured(message.number, why))

    def _take_over(self, message: Configure, came: list[int]) -> None:
        terms = message.terms
        settings = _part_of(terms.settings)
        self._works.grow(TABLE * len(terms.works))
        self._rates.grow(rates_bytes(len(terms.parties), settings.service.workers))
        shared = self._shared
        shared.make_works, shared.rates.make = self._works_of(terms), self._rates_of(terms)
        take = self._ports.prepare(settings)
        shared.take_over(settings, terms.interaction_ids)
        self._books.take_over(settings, dict(terms.budgets))
        if terms.known:
            self._books.take(dict(terms.budgets))
        take()
        before = self._listening
        self._listening = [
            {name: before[slot][name] if number is None else came[number] for name, number in numbers.items()}
            for slot, numbers in enumerate(message.listening)
        ]
        self._leave_others(before)
        self._listen()

    def _leave_others(self, before: list[dict[str, int]]) -> None:
        """Accept nothing more on sockets that are no longer a port's; who waits where nobody listens is taken in."""
        handed_on = {identity(fd) for fd in _descriptors(self._listening)}
        for slot, listeners in self._served.items():
            for name in [name for name in listeners if self._listening[slot].get(name) != before[slot][name]]:
                with socket.socket(fileno=os.dup(before[slot][name])) as left:
                    last = None if identity(left.fileno()) in handed_on else left
                    self._ports.leave(listeners.pop(name), last)
        for name in {name for slot in self._listening for name in slot}:
            if any(name in was and was[name] != now[name] for was, now in zip(before, self._listening, strict=True)):
                self._ports.named(name).send_on()
        _close(_descriptors(before) - _descriptors(self._listening))

    def _works_of(self, terms: Terms) -> Callable[[str], SharedWorks]:
        index = {name: number for number, name in enumerate(terms.works)}
        return lambda port: SharedWorks(self._works, index[port])

    def _rates_of(self, terms: Terms) -> RatesOf:
        return shared_rates(self._rates, terms.parties, terms.settings.service.workers, self._slot)

    def _each_second(self) -> None:
        if self._deaf and not self._stopping:
            self._listen()
        self._tell()

    def _tell(self, number: int | None = None) -> None:
        figures = Figures(self._shared.tallies.ports, journal_figures(self._shared.journal))
        told = Told(figures, self._shared.health.own_reasons(), self._ports.reflect(), number)
        self._channel.send(told)

    def _fence(self, number: int, written: int) -> None:
        if self._shared.journal.written >= written:
            self._channel.send(Fenced(number))
        elif not self.stopped.called:
            self._reactor.callLater(FENCE_LOOK, self._fence, number, written)

    # -- the end

    def _close_inherited(self) -> None:
        """A socket refuses connections only when nobody has it open any more."""
        _close(_descriptors(self._listening))
        self._listening = []

    async def _stop(self) -> None:
        unwritten = await self._ports.stop()
        await self._books.stop()
        if unwritten.records:
            self.exit_status = 1
        self._tell()
        self._channel.send(Ended(unwritten.records, unwritten.tokens))
        self._leave()

    def _stop_failed(self, failure: Any) -> None:
        log.failure("stopping failed", failure=failure)
        self.exit_status = 1
        self._leave()

    def _leave(self) -> None:
        if self._telling.running:
            self._telling.stop()
        self._leaving = True
        if not self._channel.close():
            self.stopped.callback(None)

    def _lost(self) -> None:
        if self._leaving:
            self.stopped.callback(None)
        else:
            log.warn("the supervisor has gone: this worker ends")
            self.stop()


def _descriptors(listening: list[dict[str, int]]) -> set[int]:
    return {fd for by_port in listening for fd in by_port.values()}


def _close(descriptors: Iterable[int]) -> None:
    for fd in descriptors:
        os.close(fd)


def _part_of(settings: Settings) -> Settings:
    """The settings of one worker: its share of the memory for request bodies, which is bounded for all together."""
    service = settings.service
    share = max(1, service.request_memory // service.workers)
    return msgspec.structs.replace(settings, service=msgspec.structs.replace(service, request_memory=share))
