"""The ports of one process at work: its calls, its journal, and the order in which they start and stop.

`service` is a process that serves alone, `worker` one of several.  Start: the journal opens its files, then calls are
accepted.  Stop, each step waiting for the one before: no more connections; running calls end, the rest are cut at the
deadline, which hands their records to the journal; the journal writes what waits.
"""

from __future__ import annotations

import ctypes
import gc
import resource
import socket
from collections.abc import Callable
from typing import Any

import txaio
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.task import LoopingCall, deferLater

from awfproxy import __version__
from awfproxy.core.hints import Hinter
from awfproxy.core.settings import Port as PortSettings
from awfproxy.core.settings import Settings
from awfproxy.core.sources import RECORD_FAILED, SCANNER_FAILED
from awfproxy.server.addresses import waiting
from awfproxy.server.certificates import Certificates
from awfproxy.server.entrance import Entrance
from awfproxy.server.guests import connections_allowed, connections_for
from awfproxy.server.health import DRAINING, journal_condition
from awfproxy.server.hint_key import hint_key
from awfproxy.server.intake import Unwritten
from awfproxy.server.journal_watch import JournalWatch
from awfproxy.server.looks import Looks
from awfproxy.server.network import Listener
from awfproxy.server.port import Port, json_answer
from awfproxy.server.shared import Shared
from awfproxy.server.sockets import certificates_of, encrypted

txaio.use_twisted()
log = txaio.make_logger()

#: seconds between two looks at everything that waits for something: what timeouts are precise to
SWEEP_SECONDS = 0.5
#: seconds that the journal gets after the drain
FLUSH_SECONDS = 10.0
#: likewise once a second signal came: a disk that works needs milliseconds, and who is in a hurry waits no longer
HURRY_SECONDS = 1.0
#: files a process should be allowed to open; each call takes two
FILES_WANTED = 65_536
#: seconds between the end of accepting and the drain, where there are connections without a call: one that was accepted
#: in the last moment brings its request, and is not closed with that on its way
LAST_REQUESTS = 0.2
#: free bytes at the end of the heap that are kept, and the size from which a block is mapped by itself: the largest
#: request body and its parts
KEPT_BYTES = 64 * 1024 * 1024
#: malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
#: allocations between two collections of the youngest generation, and of these before the next two: calls and
#: connections let go of each other when they end and leave almost no cycles, and collecting the thousands of objects of
#: open streams over and over would show as pauses
GC_THRESHOLDS = 50_000, 20, 50


class Ports:
    """All ports of a process.  `open`, `start`, `listen` as often as there are sockets, `stop`."""

    def __init__(self, settings: Settings, reactor: Any, shared: Shared) -> None:
        self.settings = settings
        self.reactor = reactor
        self.shared = shared
        #: where their clients come in, of those that are closed too while something is left of them
        self.ports: list[Entrance] = []
        #: with what makes the protocols of those who are taken in at their end; None: only Twisted knows who waits
        self._listeners: dict[Listener, Callable[[], Protocol] | None] = {}
        self._sweeping = LoopingCall(self._sweep)
        self._sweeping.clock = reactor
        self._emptied: Deferred[None] | None = None
        self._draining = False
        self._patient = True
        self._hurried = False
        self._look = Looks()
        self._watch = JournalWatch(shared.journal, settings.service.record_wait, self._released_unrecorded)

    def open(self) -> None:
        """Make the ports; nothing is listened on yet."""
        self.ports = [self._entrance(each, self.settings) for each in self.settings.ports]

    def prepare(self, settings: Settings) -> Callable[[], None]:
        """Make what calls use that begin under other settings.

        :returns: has them use it, and closes the ports that are not wanted any longer; cannot fail
        """
        known = {port.name: port for port in self.ports}
        others: list[tuple[Entrance, Port]] = []
        new: list[Entrance] = []
        for each in settings.ports:
            if each.name not in known:
                new.append(self._entrance(each, settings))
            elif (port := known[each.name].prepare(each, settings.service)) is not None:
                others.append((known[each.name], port))
        wanted = {each.name for each in settings.ports}

        def take() -> None:
            self.settings = settings
            for entrance, port in others:
                entrance.take(port)
            for entrance in self.ports:
                if entrance.name not in wanted and not entrance.closed:
                    entrance.close()
            self.ports += new

        return take

    def named(self, name: str) -> Entrance:
        """That of a port."""
        return next(port for port in self.ports if port.name == name)

    def _entrance(self, port: PortSettings, settings: Settings) -> Entrance:
        return Entrance(port, settings.service, self.shared, SWEEP_SECONDS, self._local_answer)

    def start(self) -> None:
        """Open the files.

        :raises HintKeyError: the key in ``state_dir`` cannot be read or made
        :raises OSError: a file of the journal cannot be opened
        """
        _keep_memory()
        shared = self.shared
        shared.hinter = Hinter(hint_key(self.settings.service.state_dir))
        shared.journal.start()
        shared.house.most = shared.outbound.most = connections_allowed()
        shared.health.watch("journal", journal_condition(shared.journal, self.settings.service.record_wait))
        shared.health.watch("scanner", self._scanner_condition)
        self._sweeping.start(SWEEP_SECONDS, now=False)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)

    def certificates(self, name: str) -> Certificates | None:
        """What a port shows its clients; None: it is not encrypted.

        :raises ListenError: they cannot be read
        """
        return certificates_of(self.named(name).port.settings.listen, self.shared.monotonic)

    def listen(self, name: str, listening: socket.socket, certificates: Certificates | None) -> Listener:
        """Accept a port's calls on a socket, which then belongs to the listener."""
        entrance = self.named(name)
        listener = self.shared.network.listen(listening, encrypted(certificates, entrance.accept))
        self._listeners[listener] = encrypted(certificates, entrance.accept_leaving)
        return listener

    def add(self, listener: Listener) -> None:
        """Something accepts calls: it is closed when they end."""
        self._listeners[listener] = None

    def leave(self, listener: Listener, left: socket.socket | None = None) -> None:
        """Accept nothing more from there; calls that run go on.

        :param left: its socket, where it is about to be closed: who waits there has one answer more
        """
        build = self._listeners.pop(listener)
        listener.close()
        if left is not None and build is not None:
            for accepted in waiting(left):
                self.shared.network.adopt(accepted, build)

    def reflect(self) -> dict[str, Any]:
        """What there is, for `/reflect`: no secrets."""
        return {
            "version": __version__,
            "transports": self.shared.network.name,
            "draining": self._draining,
            "ports": {port.name: port.reflect() for port in self.ports if not port.closed},
        }

    def reopen(self) -> None:
        """Open the files of the journal again."""
        self.shared.journal.reopen()

    def end_drain(self) -> None:
        """A second signal: cut what runs, and have the journal write what waits at once or not at all."""
        self._hurried = True
        self._cut()
        self.shared.journal.hurry(HURRY_SECONDS)

    def _cut(self) -> None:
        """Do not wait for running calls any longer, nor for clients that do not read."""
        self._patient = False
        for port in self.ports:
            for call in list(port.calls):
                call.drained()
            for client in list(port.clients):
                client.drain()
        # All records were handed over; to wait for them is the journal's.
        self._drained()

    def _drained(self) -> None:
        if self._emptied is not None:
            emptied, self._emptied = self._emptied, None
            emptied.callback(None)

    async def stop(self) -> Unwritten:
        """Drain, then flush, then close; what could not be written."""
        shared = self.shared
        shared.health.state = DRAINING
        for listener in self._listeners:
            listener.close()
        if any(client.call is None and not client.closing for port in self.ports for client in port.clients):
            await deferLater(self.reactor, LAST_REQUESTS, lambda: None)
        self._draining = True
        for port in self.ports:
            port.drain()
        running = self._running()  # clients that are still being sent an answer among them
        seconds = self.settings.service.drain_timeout
        log.info("stopping: {count} calls run, {seconds:g} seconds for them", count=running, seconds=seconds)
        if running:
            self._emptied = Deferred()
            deadline = self.reactor.callLater(seconds, self._cut)
            await self._emptied
            if deadline.active():
                deadline.cancel()
        unwritten = await shared.journal.stop(HURRY_SECONDS if self._hurried else FLUSH_SECONDS)
        if unwritten.records:
            log.error(
                "{records} records with {tokens} tokens could not be written",
                records=unwritten.records, tokens=unwritten.tokens,
            )  # fmt: skip
        if self._sweeping.running:
            self._sweeping.stop()
        for port in self.ports:
            port.end()
        return unwritten

    def _local_answer(self, path: bytes) -> bytes | None:
        """What every port answers itself."""
        if path == b"/health":
            return json_answer(200, self.shared.health.report())
        if path == b"/reflect":
            return json_answer(200, self.reflect())
        return None

    def _scanner_condition(self) -> str | None:
        """Whether answers went by unread: accounting that breaks is loud until somebody has looked and started anew."""
        failed = sum(
            tally.scan_errors.get(reason, 0)
            for tally in self.shared.tallies.ports.values()
            for reason in (SCANNER_FAILED, RECORD_FAILED)
        )
        return f"usage could not be read or recorded of {failed} answers: see the log" if failed else None

    def _released_unrecorded(self) -> int:
        return sum(tally.released_unrecorded for tally in self.shared.tallies.ports.values())

    def _running(self) -> int:
        return sum(len(port.calls) + (port.flushing if self._patient else 0) for port in self.ports)

    def _sweep(self) -> None:
        now = self.shared.monotonic()
        for port in self.ports:
            self._look(port.sweep, now)
        self.ports = [port for port in self.ports if not port.over]
        self._look(self._watch.look, now)
        if not self._running():
            self._drained()


def _keep_memory() -> None:
    """Let the C library keep the memory of large bodies and use it again.

    By default glibc maps blocks of over 128 KB anew each time, and the page faults of a fresh 1 MB cost more than all
    else that is done with it (measured: 940 us against 95).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return  # not glibc
    mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def allow_files() -> None:
    """Raise the limit of open files as far as is allowed; say so where it is low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if wanted < FILES_WANTED:
        log.warn(
            "this process may open {wanted} files: at most about {calls} calls at once (LimitNOFILE= in the unit)",
            wanted=wanted, calls=connections_for(wanted),
        )  # fmt: skip
