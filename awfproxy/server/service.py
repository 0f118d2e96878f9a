"""The service: what starts, in which order, and how it stops.

Start: sockets are bound first (a taken one ends the start), then the journal opens its files, then calls are accepted.
Stop, each step waiting for the one before: no more connections; running calls end, the rest are cut at the deadline;
the journal writes what waits; the admin listener goes last, so that a drain can be watched.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import socket
from typing import Any

import txaio
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool

from awfproxy import __version__
from awfproxy.core.hints import Hinter
from awfproxy.core.origin import foreign
from awfproxy.core.settings import Settings
from awfproxy.core.sources import RECORD_FAILED, SCANNER_FAILED
from awfproxy.server.admin import AdminPages, AdminSite, admin_service
from awfproxy.server.exposition import Exposition
from awfproxy.server.health import DRAINING, READY, journal_condition
from awfproxy.server.hint_key import hint_key
from awfproxy.server.journal import REQUESTS_FILE
from awfproxy.server.network import Listener
from awfproxy.server.port import Port, json_answer
from awfproxy.server.reactor_network import listen_slowly
from awfproxy.server.shared import Shared
from awfproxy.server.sockets import ListenError, explain, open_listening
from awfproxy.server.unfinished import unfinished

txaio.use_twisted()
log = txaio.make_logger()

#: seconds between two looks at everything that waits for something: what timeouts are precise to
SWEEP_SECONDS = 0.5
#: seconds that the journal gets after the drain
FLUSH_SECONDS = 10.0
#: files a process should be allowed to open; each call takes two
FILES_WANTED = 65_536
#: free bytes at the end of the heap that are kept, and the size from which a block is mapped by itself: the largest
#: request body and its parts
KEPT_BYTES = 64 * 1024 * 1024
#: malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
#: allocations between two collections of the youngest generation: a call leaves almost no cycles, and collecting the
#: thousands of objects of open streams over and over would show as pauses
GC_THRESHOLD = 50_000


class ProxyService(Service):
    """Ports, journal and admin listener of one process."""

    def __init__(self, settings: Settings, reactor: Any, shared: Shared) -> None:
        self.settings = settings
        self.reactor = reactor
        self._shared = shared
        self._bound: list[tuple[Port, socket.socket | None]] = []
        self._listeners: list[Listener] = []
        self._sweeping = LoopingCall(self._sweep)
        self._sweeping.clock = reactor
        self._emptied: Deferred[None] | None = None
        self._patient = True
        self.ports: list[Port] = []
        #: 1 if records were lost at the end
        self.exit_status = 0
        self._admin: Service | None = None
        # a scraper on another container calls the admin listener by the names by which the ports may be called
        hosts = frozenset(host.encode("ascii") for port in settings.ports for host in port.allowed_hosts)
        self._admin_site = AdminSite(
            AdminPages(
                shared.health,
                Exposition(shared.tallies, shared.journal),
                self.reflect,
                lambda head: foreign(head, hosts, frozenset()),
                lambda render: deferToThreadPool(reactor, reactor.getThreadPool(), render),
            ),
            reactor,
        )

    def privilegedStartService(self) -> None:
        """Bind everything, with whatever rights the process was started.

        :raises ListenError: an address cannot be bound
        """
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        shared = self._shared
        for each in self.settings.ports:
            port = Port(each, shared, SWEEP_SECONDS, self._local_answer)
            self.ports.append(port)
            self._bound.append((port, open_listening(each.listen)))
        admin = self.settings.service.admin
        try:
            self._admin = admin_service(admin, self._admin_site, self.reactor)
            self._admin.privilegedStartService()
        except Exception as error:  # taken, or whatever a parser makes of parts it does not like
            raise ListenError(explain(admin, error)) from error

    def startService(self) -> None:
        """Open the files and accept calls.

        :raises HintKeyError: the key in ``state_dir`` cannot be read or made
        :raises OSError: a file of the journal cannot be opened
        """
        super().startService()  # type: ignore[no-untyped-call]
        _allow_files()
        _keep_memory()
        shared = self._shared
        shared.hinter = Hinter(hint_key(self.settings.service.state_dir))
        shared.journal.start()
        self._remember_work()
        shared.health.watch("journal", journal_condition(shared.journal, self.settings.service.record_wait))
        shared.health.watch("scanner", self._scanner_condition)
        if self._admin is not None:
            self._admin.startService()
        for port, listening in self._bound:
            if listening is not None:
                self._listeners.append(shared.network.listen(listening, port.accept))
            else:
                self._listeners.append(listen_slowly(self.reactor, port.settings.listen, port.accept))
        self._bound.clear()
        self._sweeping.start(SWEEP_SECONDS, now=False)
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD, 20, 50)
        shared.health.state = READY
        for warning in self.settings.warnings:
            log.warn("{warning}", warning=warning)
        log.info(
            "awfproxy {version} listens on {network} transports: {ports}; admin at {admin}",
            version=__version__, network=shared.network.name, admin=self.settings.service.admin,
            ports=", ".join(f"{p.name} ({p.provider.name}) at {p.settings.listen}" for p in self.ports),
        )  # fmt: skip

    def _remember_work(self) -> None:
        """What went on in the background when the process before this one ended."""
        works = unfinished(os.path.join(self.settings.service.log_dir, REQUESTS_FILE))
        for port in self.ports:
            for name in works.get(port.name, ()):
                port.works.began(name)

    def _scanner_condition(self) -> str | None:
        """Whether answers went by unread: accounting that breaks is loud until somebody has looked and started anew."""
        failed = sum(
            port.tally.scan_errors.get(reason, 0) for port in self.ports for reason in (SCANNER_FAILED, RECORD_FAILED)
        )
        return f"usage could not be read or recorded of {failed} answers: see the log" if failed else None

    def reflect(self) -> dict[str, Any]:
        """What there is, for `/reflect`: no secrets."""
        return {
            "version": __version__,
            "transports": self._shared.network.name,
            "draining": self._shared.draining,
            "ports": {port.name: port.reflect() for port in self.ports},
        }

    def _local_answer(self, path: bytes) -> bytes | None:
        """What every port answers itself."""
        if path == b"/health":
            return json_answer(200, self._shared.health.report())
        if path == b"/reflect":
            return json_answer(200, self.reflect())
        return None

    def stopService(self) -> Deferred[None]:
        """Drain, then flush, then close; see the module."""
        return Deferred.fromCoroutine(self._stop())

    def end_drain(self) -> None:
        """Do not wait for running calls any longer, nor for clients that do not read."""
        self._patient = False
        for port in self.ports:
            for call in list(port.calls):
                call.drained()
            for client in list(port.clients):
                client.drain()

    def reload(self) -> None:
        """SIGHUP: open the files of the journal again."""
        log.info("reopening the files in {log_dir}", log_dir=self.settings.service.log_dir)
        self._shared.journal.reopen()

    async def _stop(self) -> None:
        shared = self._shared
        shared.draining = True
        shared.health.state = DRAINING
        for listener in self._listeners:
            listener.close()
        for port in self.ports:
            port.drain()
        running = self._running()  # clients that are still being sent an answer among them
        seconds = self.settings.service.drain_timeout
        log.info("stopping: {count} calls run, {seconds:g} seconds for them", count=running, seconds=seconds)
        if running:
            self._emptied = Deferred()
            deadline = self.reactor.callLater(seconds, self.end_drain)
            await self._emptied
            if deadline.active():
                deadline.cancel()
        unwritten = await shared.journal.stop(FLUSH_SECONDS)
        if unwritten.records:
            self.exit_status = 1
            log.error(
                "{records} records with {tokens} tokens could not be written",
                records=unwritten.records, tokens=unwritten.tokens,
            )  # fmt: skip
        if self._sweeping.running:
            self._sweeping.stop()
        for port in self.ports:
            port.close()
        if self._admin is not None:
            await maybeDeferred(self._admin.stopService)
        log.info("stopped")
        super().stopService()  # type: ignore[no-untyped-call]

    def _running(self) -> int:
        return sum(len(port.calls) + (port.flushing if self._patient else 0) for port in self.ports)

    def _sweep(self) -> None:
        now = self._shared.monotonic()
        for port in self.ports:
            port.sweep(now)
        if self._emptied is not None and not self._running():
            emptied, self._emptied = self._emptied, None
            emptied.callback(None)


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


def _allow_files() -> None:
    """Raise the limit of open files as far as is allowed; say so where it is low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if wanted < FILES_WANTED:
        log.warn(
            "this process may open {wanted} files: at most about {calls} calls at once (LimitNOFILE= in the unit)",
            wanted=wanted, calls=wanted // 2 - 50,
        )  # fmt: skip
