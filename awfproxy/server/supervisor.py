"""The process that was started, where others serve: it binds, starts, watches and stops them, and tells how they are.

Start: sockets and the admin listener are bound first (a taken one ends the start), then `state_dir` is locked and the
files are mended, while nobody writes to them, then the workers start.  No call passes here.  Stop: all workers drain at
the same time; the admin listener goes last.

After a worker was killed, the request lines that it left unwritten are added as at a start (`recovery`), once all that
the others had begun is in the files.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import txaio
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import LoopingCall

from awfproxy import __version__
from awfproxy.core.identifiers import request_ids
from awfproxy.core.settings import Settings
from awfproxy.server import recovery
from awfproxy.server.admin import open_admin
from awfproxy.server.admin_socket import AdminSocket
from awfproxy.server.alerts import open_alerts
from awfproxy.server.bookkeeper import LedgerFigures
from awfproxy.server.books import MARK, MARK_BYTES, Books
from awfproxy.server.common import on_uvloop
from awfproxy.server.control_messages import Assignment, Budgets, EndDrain, FromWorker, Reload
from awfproxy.server.crew import Crew
from awfproxy.server.exposition import Exposition
from awfproxy.server.health import DRAINING, READY, STARTING, Health
from awfproxy.server.hint_key import hint_key
from awfproxy.server.logfile import LogFile
from awfproxy.server.mending import REQUESTS_FILE, USAGE_FILE, add_lines, mend
from awfproxy.server.ports import FLUSH_SECONDS, allow_files
from awfproxy.server.process_metrics import processes
from awfproxy.server.reflection import all_reasons, together
from awfproxy.server.service import announce
from awfproxy.server.service_controls import ServiceControls
from awfproxy.server.shared_logfile import SharedLogFile
from awfproxy.server.shared_memory import Area
from awfproxy.server.shared_rates import RATES, forget_worker, rates_bytes
from awfproxy.server.shared_works import TABLE, WORKS, SharedWorks
from awfproxy.server.sockets import ListenError
from awfproxy.server.totals import Totals
from awfproxy.server.unfinished import unfinished
from awfproxy.server.worker_process import WorkerProcess, worker_command
from awfproxy.server.worker_sockets import open_for_workers
from awfproxy.state.installation import installation_id
from awfproxy.state.service_lock import ServiceLock

txaio.use_twisted()
log = txaio.make_logger()

#: seconds between two looks at how the workers are, and between two tellings of it to the others
LOOK_SECONDS: Final = 1.0
#: seconds beyond `drain_timeout` and `ports.FLUSH_SECONDS` after which a worker that has not ended is killed
STOP_MARGIN: Final = 5.0


class Supervisor(Service):
    """Listeners and workers; to who starts it as `service.ProxyService`.

    :param transports: the name of the network that workers will have
    """

    def __init__(self, settings: Settings, reactor: Any, transports: str) -> None:
        self.settings = settings
        self.reactor = reactor
        self._transports = transports
        self._workers = settings.service.workers
        #: by slot, a socket for each port
        self._listening: list[list[socket.socket]] = []
        self._totals = Totals()
        self._alerts = open_alerts(settings, reactor, time.time)
        self._crew = Crew(
            self._workers, reactor, self._start_worker, self._assignment, self._totals.told, self._died,
            self._hopeless, self._alerts.passed,
        )  # fmt: skip
        self._health = Health(time.time, lambda: self._totals.journal.last_write)
        self._health.watch("workers", self._crew.reasons)
        self._admin: Service | None = None
        self._lock = ServiceLock(settings.service.state_dir)
        self._areas: dict[str, Area] = {}
        self._books: Books | None = None
        self._admin_socket: AdminSocket | None = None
        self._interaction_ids: dict[str, str] = {}
        self._told_others: dict[str, str] = {}
        self._looking = LoopingCall(self._look)
        self._looking.clock = reactor
        self._stopping = False
        #: 1 if records were lost at the end, or workers could not start
        self.exit_status = 0

    def privilegedStartService(self) -> None:
        """Bind everything, with whatever rights the process was started.

        :raises ListenError: an address cannot be bound
        """
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        if not hasattr(os, "memfd_create"):
            raise ListenError("workers need Linux; take workers = 1")
        by_port = [open_for_workers(port.listen, self._workers) for port in self.settings.ports]
        self._listening = [[sockets[slot] for sockets in by_port] for slot in range(self._workers)]
        exposition = Exposition(
            self._totals, self._totals.journal,
            processes(self._crew.pids), lambda: (len(self._crew.ready), self._crew.deaths), self._ledger_figures,
            self._alerts.results,
        )  # fmt: skip
        self._admin = open_admin(self.settings, self.reactor, self._health, exposition, self._reflect, self._fresh)

    def startService(self) -> None:
        """Mend the files and start the workers.

        :raises KeptFileError: another service has ``state_dir``, or a file in it cannot be read or made
        :raises ListenError: the admin socket is another process's
        :raises OSError: a file of the journal cannot be opened
        """
        super().startService()  # type: ignore[no-untyped-call]
        allow_files()
        self._lock.take()
        service = self.settings.service
        hint_key(service.state_dir)
        self._mend()
        self._areas[WORKS] = Area(WORKS, TABLE * len(self.settings.ports))
        self._areas[RATES] = Area(RATES, rates_bytes(self.settings))
        self._areas[MARK] = Area(MARK, MARK_BYTES)
        self._books = Books(self.settings, self.reactor, None, memoryview(self._areas[MARK].bytes))
        self._books.changed = lambda budgets: self._crew.tell(Budgets(list(budgets.items())))
        self._admin_socket = AdminSocket(
            service.state_dir, ServiceControls(self.settings, self._books, self.reactor, self.reload), self.reactor,
            time.time,
        )  # fmt: skip
        self._admin_socket.open()
        self._books.start(keeps=True)
        self._health.watch("ledger", self._books.condition)
        self._alerts.start(installation_id(service.state_dir))
        self._remember_work()
        new_id = request_ids(time.time, os.urandom)
        self._interaction_ids = {port.name: new_id() for port in self.settings.ports}
        if self._admin is not None:
            self._admin.startService()
        self._admin_socket.start()
        self._crew.start()
        self._looking.start(LOOK_SECONDS, now=False)
        announce(self.settings, self._transports)

    def stopService(self) -> Deferred[None]:
        """Have all drain and end, then close."""
        return Deferred.fromCoroutine(self._stop())

    def end_drain(self) -> None:
        """Do not wait for running calls any longer."""
        self._crew.tell(EndDrain())

    def reload(self) -> None:
        """SIGHUP: have all open the files of the journal again."""
        log.info("reopening the files in {log_dir}", log_dir=self.settings.service.log_dir)
        self._crew.tell(Reload())

    # -- workers

    def _start_worker(
        self, received: Callable[[FromWorker], None], line: Callable[[str], None], ended: Callable[[int], None]
    ) -> WorkerProcess:
        inherited = {each.fileno() for each in self._all_sockets()} | {area.fd for area in self._areas.values()}
        return WorkerProcess(
            worker_command(reactor_name(self.reactor)), sorted(inherited), self.reactor, received, line, ended
        )

    def _assignment(self, slot: int) -> Assignment:
        listening = [[each.fileno() for each in sockets] for sockets in self._listening]
        memory = {name: area.fd for name, area in self._areas.items()}
        books = self._books
        assert books is not None
        budgets = list(books.budgets.items())
        return Assignment(self.settings, slot, listening, memory, self._interaction_ids, budgets, books.known)

    def _died(self, slot: int) -> None:
        self._totals.gone(slot)
        forget_worker(self._areas[RATES], self.settings, slot)
        if self._stopping:
            return  # the files are mended when all have ended
        usage, requests = self._paths()
        try:
            begun = recovery.last_batches(usage, self._workers)
        except OSError as error:
            log.error("journal: {why}: {file}", why=error.strerror, file=error.filename)
            return

        def complete(_: None) -> None:
            found = recovery.lacking(begun, requests, self._workers)
            file = SharedLogFile(requests)
            file.open()
            try:
                add_lines(file, found)
            finally:
                file.close()

        waiting = self._crew.fence().addCallback(complete)
        waiting.addErrback(lambda failure: log.failure("request lines may be missing", failure=failure))

    def _hopeless(self, why: str) -> None:
        log.critical("awfproxy cannot start: {why}", why=why)
        self.exit_status = 1
        if not self._stopping:
            self._stopping = True
            self.reactor.stop()

    # -- how they are

    def _fresh(self) -> Deferred[None]:
        return self._crew.ask().addCallback(lambda _: self._sum())

    def _sum(self) -> None:
        self._totals.add_up()
        self._health.others = all_reasons(
            {slot.number: slot.told.reasons for slot in self._crew.slots if slot.process and slot.told},
            self._workers,
        )  # fmt: skip
        if not self._stopping:
            self._health.state = READY if self._crew.covered else STARTING

    def _look(self) -> None:
        self._sum()
        reasons = self._health.reasons()
        if reasons != self._told_others:
            self._told_others = reasons
            self._crew.tell_others(reasons)

    def _reflect(self) -> dict[str, Any]:
        told = [slot.told.reflected for slot in self._crew.slots if slot.process and slot.told]
        return {
            "version": __version__,
            "transports": self._transports,
            "draining": self._stopping,
            "ports": together([each["ports"] for each in told]),
            "workers": self._crew.reflect(),
        }

    def _ledger_figures(self) -> LedgerFigures:
        return LedgerFigures() if self._books is None else self._books.figures()

    # -- files

    def _paths(self) -> tuple[str, str]:
        log_dir = self.settings.service.log_dir
        return os.path.join(log_dir, USAGE_FILE), os.path.join(log_dir, REQUESTS_FILE)

    def _mend(self) -> None:
        """Complete what was left incomplete, while nobody writes."""
        usage, requests = (LogFile(path) for path in self._paths())
        try:
            mend(usage, requests, self._workers)
        finally:
            usage.close()
            requests.close()

    def _remember_work(self) -> None:
        works = unfinished(self._paths()[1])
        for index, port in enumerate(self.settings.ports):
            table = SharedWorks(self._areas[WORKS], index)
            for name in works.get(port.name, ()):
                table.began(name)

    # -- the end

    async def _stop(self) -> None:
        self._stopping = True
        self._health.state = DRAINING
        for each in self._all_sockets():
            each.close()
        crew = self._crew
        await crew.stop(self.settings.service.drain_timeout + FLUSH_SECONDS + STOP_MARGIN)
        if self._looking.running:
            self._looking.stop()
        if crew.unwritten_records:
            self.exit_status = 1
            log.error(
                "{records} records with {tokens} tokens could not be written",
                records=crew.unwritten_records, tokens=crew.unwritten_tokens,
            )  # fmt: skip
        if crew.unheard:
            self.exit_status = 1
            try:
                self._mend()
            except OSError as error:
                log.error("journal: {why}: {file}", why=error.strerror, file=error.filename)
        if self._admin_socket is not None:
            await maybeDeferred(self._admin_socket.stop)
        await self._alerts.stop()
        if self._books is not None:
            await self._books.stop()
        if self._admin is not None:
            await maybeDeferred(self._admin.stopService)
        for area in self._areas.values():
            area.close()
        self._lock.release()
        log.info("stopped")
        super().stopService()  # type: ignore[no-untyped-call]

    def _all_sockets(self) -> Iterator[socket.socket]:
        return (each for sockets in self._listening for each in sockets)


def reactor_name(reactor: Any) -> str:
    """What workers need to run on the same reactor: "uvloop", or the module that installs it."""
    return "uvloop" if on_uvloop(reactor) else type(reactor).__module__
