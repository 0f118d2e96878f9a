"""The process that was started, where others serve: it binds, starts, watches and stops them, and tells how they are.

Start: sockets and the admin listener are bound first (a taken one ends the start), then `state_dir` is locked and the
files are mended, while nobody writes to them, then the workers start.  No call passes here.  Stop: all workers drain at
the same time; the admin listener goes last.

After a worker was killed, the request lines that it left unwritten are added as at a start (`completion`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Final

import txaio
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.task import LoopingCall

from awfproxy import __version__
from awfproxy.core.settings import Settings
from awfproxy.core.settings_change import Change
from awfproxy.server.admin import allowed_hosts, open_admin
from awfproxy.server.admin_socket import AdminSocket
from awfproxy.server.alerts import open_alerts
from awfproxy.server.bookkeeper import LedgerFigures
from awfproxy.server.books import Books
from awfproxy.server.common import on_uvloop
from awfproxy.server.completion import Completion
from awfproxy.server.control_messages import Assignment, Budgets, FromWorker, Reopen
from awfproxy.server.controls import Reloaded
from awfproxy.server.crew import Crew
from awfproxy.server.exposition import Exposition
from awfproxy.server.handover import Handover
from awfproxy.server.health import DRAINING, READY, STARTING, Health
from awfproxy.server.hint_key import hint_key
from awfproxy.server.logfile import LogFile
from awfproxy.server.mending import REQUESTS_FILE, USAGE_FILE, mend
from awfproxy.server.notify_standing import Standing
from awfproxy.server.ports import FLUSH_SECONDS, HURRY_SECONDS, allow_files
from awfproxy.server.process_metrics import processes
from awfproxy.server.reflection import all_reasons, together
from awfproxy.server.reloading import Reloading, Source
from awfproxy.server.service import announce
from awfproxy.server.service_controls import ServiceControls
from awfproxy.server.sockets import ListenError
from awfproxy.server.totals import Totals
from awfproxy.server.unfinished import unfinished
from awfproxy.server.worker_process import WorkerProcess, worker_command
from awfproxy.state.installation import installation_id
from awfproxy.state.service_lock import ServiceLock

txaio.use_twisted()
log = txaio.make_logger()

#: seconds between two looks at how the workers are, and between two tellings of it to the others
LOOK_SECONDS: Final = 1.0
#: seconds beyond `drain_timeout` and `ports.FLUSH_SECONDS`, or `ports.HURRY_SECONDS` after a second signal, after which
#: a worker that has not ended is killed
STOP_MARGIN: Final = 5.0


class Supervisor(Service):
    """Listeners and workers; to who starts it as `service.ProxyService`.

    :param source: where the settings are from
    :param transports: the name of the network that workers will have
    """

    def __init__(self, settings: Settings, source: Source, reactor: Any, transports: str) -> None:
        #: those in effect
        self.settings = settings
        self.reactor = reactor
        self._transports = transports
        self._workers = settings.service.workers
        self._handover = Handover(self._workers)
        self._reloading = Reloading(source, self, reactor, time.time)
        self._totals = Totals()
        self._alerts = open_alerts(settings, reactor, time.time)
        self._crew = Crew(
            self._workers, reactor, self._start_worker, self._assignment, self._totals.told, self._died,
            self._hopeless, self._alerts.passed,
        )  # fmt: skip
        self._health = Health(time.time, lambda: self._totals.journal.last_write)
        self._health.watch("workers", self._crew.reasons)
        self._completion = Completion(*self._paths(), self._workers, self._crew.fence, reactor.callFromThread)
        self._health.watch("recovery", self._completion.condition)
        self._admin: Service | None = None
        self._lock = ServiceLock(settings.service.state_dir)
        self._books: Books | None = None
        self._admin_socket: AdminSocket | None = None
        self._told_others: dict[str, str] = {}
        self._looking = LoopingCall(self._look)
        self._looking.clock = reactor
        self._stopping = False
        self._hurried = False
        #: 1 if records were lost at the end, or workers could not start
        self.exit_status = 0

    def privilegedStartService(self) -> None:
        """Bind everything, with whatever rights the process was started.

        :raises ListenError: an address cannot be bound
        """
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        if not hasattr(os, "memfd_create"):
            raise ListenError("workers need Linux; take workers = 1")
        self._handover.bind(self.settings.ports)
        exposition = Exposition(
            self._totals, self._totals.journal,
            processes(self._crew.pids), lambda: (len(self._crew.ready), self._crew.deaths), self._ledger_figures,
            self._alerts.results, self._reloading.figures,
        )  # fmt: skip
        self._admin = open_admin(
            self.settings.service.admin, lambda: allowed_hosts(self.settings), self.reactor, self._health, exposition,
            self._reflect, self._fresh,
        )  # fmt: skip

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
        self._handover.start(self.settings, unfinished(self._paths()[1]))
        self._books = Books(self.settings, self.reactor, None, self._handover.mark)
        self._books.changed = lambda budgets: self._crew.tell(Budgets(list(budgets.items())))
        controls = ServiceControls(self, self._books, self.reactor, self._reloading)
        self._admin_socket = AdminSocket(service.state_dir, controls, self.reactor, time.time)
        self._admin_socket.open()
        self._books.start(keeps=True)
        self._health.watch("ledger", self._books.condition)
        self._alerts.start(installation_id(service.state_dir))
        if self._admin is not None:
            self._admin.startService()
        self._admin_socket.start()
        self._crew.start()
        self._health.watch("configuration", self._reloading.condition)
        self._health.watch("keys", self._reloading.keys.condition)
        self._reloading.start()
        self._looking.start(LOOK_SECONDS, now=False)
        announce(self.settings, self._transports)

    def stopService(self) -> Deferred[None]:
        """Have all drain and end, then close."""
        return Deferred.fromCoroutine(self._stop())

    def end_drain(self) -> None:
        """Do not wait for running calls any longer."""
        self._hurried = True
        self._crew.end_drain(HURRY_SECONDS + STOP_MARGIN)

    def reload(self) -> Deferred[Reloaded]:
        """SIGHUP: have all open the files of the journal again, and read the settings again."""
        return self._reloading.ask()

    def reopen(self) -> None:
        """As `reloading.Owner`."""
        log.info("reopening the files in {log_dir}", log_dir=self.settings.service.log_dir)
        self._crew.tell(Reopen())

    def take_over(self, change: Change) -> Deferred[None]:
        """As `reloading.Owner`."""
        return Deferred.fromCoroutine(self._take_over(change))

    async def _take_over(self, change: Change) -> None:
        settings, books = change.settings, self._books
        assert books is not None
        fresh = self._handover.prepare(settings.ports)
        try:
            tell = self._alerts.prepare(settings)
        except BaseException:
            self._handover.undo(fresh)
            raise
        self.settings = settings
        books.take_over(settings)
        tell()
        message, descriptors = self._handover.take(fresh, settings, books.budgets, books.known)
        # the spare has inherited other sockets: no worker's place must be taken by it now
        renewed = succeed(None) if fresh.nothing else self._crew.renew_spare()
        await self._crew.configure(message, descriptors)
        for each in fresh.left:
            each.close()
        await renewed

    def standing(self) -> Standing:
        """How it and its workers are, for the service manager: as of the last look, once it is ready."""
        if self._health.state == STARTING:
            self._sum()
        calls = sum(port.in_flight for port in self._totals.ports.values())
        names = tuple(port.name for port in self.settings.ports)
        return Standing(self._health.state, names, calls, self._health.reasons(), self._crew.answering)

    # -- workers

    def _start_worker(
        self, received: Callable[[FromWorker], None], line: Callable[[str], None], ended: Callable[[int], None]
    ) -> WorkerProcess:
        command, inherited = worker_command(reactor_name(self.reactor)), self._handover.descriptors
        return WorkerProcess(command, inherited, self.reactor, received, line, ended)

    def _assignment(self, slot: int) -> Assignment:
        books = self._books
        assert books is not None
        return self._handover.assignment(slot, self.settings, books.budgets, books.known)

    def _died(self, slot: int) -> None:
        self._totals.gone(slot)
        self._handover.died(slot)
        if self._stopping:
            return  # the files are mended when all have ended
        self._completion.worker_died()

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
        self._crew.look()
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

    # -- the end

    async def _stop(self) -> None:
        self._stopping = True
        self._health.state = DRAINING
        self._reloading.stop()
        self._handover.close_sockets()
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
        completed = self._completion.stop()
        incomplete = crew.unheard or self._completion.pending
        # a disk that takes no records would hold this up too; the next start does it as well
        if incomplete and completed and not crew.unwritten_records and not self._hurried:
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
        self._handover.close()
        self._lock.release()
        log.info("stopped")
        super().stopService()  # type: ignore[no-untyped-call]


def reactor_name(reactor: Any) -> str:
    """What workers need to run on the same reactor: "uvloop", or the module that installs it."""
    return "uvloop" if on_uvloop(reactor) else type(reactor).__module__
