"""The service of a process that serves alone: what starts, in which order, and how it stops.

Start: sockets are bound first (a taken one ends the start), then `state_dir` is locked, then the journal opens its
files, then calls are accepted, once the budgets can be spent (`start_wait`).
Stop: ports and journal as `ports` says; the admin listener goes last, so that a drain can be watched.
"""

from __future__ import annotations

import os
import time
from typing import Any

import txaio
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from awfproxy import __version__
from awfproxy.core.settings import Settings
from awfproxy.core.settings_change import Change
from awfproxy.server.admin import allowed_hosts, open_admin
from awfproxy.server.admin_socket import AdminSocket
from awfproxy.server.alerts import open_alerts
from awfproxy.server.books import Books
from awfproxy.server.controls import Reloaded
from awfproxy.server.exposition import Exposition
from awfproxy.server.health import READY
from awfproxy.server.listening import Listening
from awfproxy.server.mending import REQUESTS_FILE
from awfproxy.server.notify_standing import Standing
from awfproxy.server.ports import Ports, allow_files
from awfproxy.server.reloading import Reloading, Source
from awfproxy.server.service_controls import ServiceControls
from awfproxy.server.shared import Shared
from awfproxy.server.start_wait import StartWait
from awfproxy.server.unfinished import unfinished
from awfproxy.state.installation import installation_id
from awfproxy.state.service_lock import ServiceLock

txaio.use_twisted()
log = txaio.make_logger()


class ProxyService(Service):
    """Ports, journal and admin listener of one process.

    :param source: where the settings are from
    """

    def __init__(self, settings: Settings, source: Source, reactor: Any, shared: Shared) -> None:
        #: those in effect
        self.settings = settings
        self.reactor = reactor
        self._shared = shared
        self._ports = Ports(settings, reactor, shared)
        self._books = Books(settings, reactor, shared.journal)
        self._books.lend = shared.lend
        self._alerts = open_alerts(settings, reactor, time.time)
        self._lock = ServiceLock(settings.service.state_dir)
        self._listening = Listening(reactor, self._ports)
        self._wait = StartWait(self._books.opening, self._accept, self._cannot_accept, reactor)
        self._reloading = Reloading(source, self, reactor, time.time)
        #: 1 if records were lost at the end
        self.exit_status = 0
        self._admin: Service | None = None
        controls = ServiceControls(self, self._books, reactor, self._reloading)
        self._admin_socket = AdminSocket(settings.service.state_dir, controls, reactor, time.time)

    def privilegedStartService(self) -> None:
        """Bind everything, with whatever rights the process was started.

        :raises ListenError: an address cannot be bound
        """
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        shared = self._shared
        self._ports.open()
        self._listening.bind(self.settings.ports)
        exposition = Exposition(
            shared.tallies, shared.journal, ledger=self._books.figures, alerts=self._alerts.results,
            reloads=self._reloading.figures,
        )  # fmt: skip
        self._admin = open_admin(
            self.settings.service.admin, lambda: allowed_hosts(self.settings), self.reactor, shared.health, exposition,
            self._ports.reflect,
        )  # fmt: skip

    def startService(self) -> None:
        """Open the files, and accept calls as soon as may be.

        :raises KeptFileError: another service has ``state_dir``, or a file in it cannot be read or made
        :raises ListenError: an endpoint string that only Twisted knows cannot be listened on, or the admin socket is
            another process's
        :raises OSError: a file of the journal cannot be opened
        """
        super().startService()  # type: ignore[no-untyped-call]
        shared, ports = self._shared, self._ports
        allow_files()
        self._lock.take()
        ports.start()
        self._admin_socket.open()
        self._books.start(keeps=True)
        self._books.price(shared.tariff)
        shared.health.watch("ledger", self._books.condition)
        self._alerts.start(installation_id(self.settings.service.state_dir))
        shared.alert = self._alerts.passed
        self._remember_work()
        if self._admin is not None:
            self._admin.startService()
        self._admin_socket.start()
        self._listening.open()
        shared.health.watch("configuration", self._reloading.condition)
        shared.health.watch("keys", self._reloading.keys.condition)
        self._reloading.start()
        self._wait.start()

    def _accept(self) -> None:
        self._listening.start()
        self._shared.health.state = READY
        announce(self.settings, self._shared.network.name)

    def _cannot_accept(self, failure: Failure) -> None:
        log.failure("awfproxy cannot start", failure=failure)
        self.exit_status = 1
        self.reactor.stop()

    def _remember_work(self) -> None:
        """What went on in the background when the process before this one ended."""
        works = unfinished(os.path.join(self.settings.service.log_dir, REQUESTS_FILE))
        for port in self._ports.ports:
            for name in works.get(port.name, ()):
                port.works.began(name)

    def stopService(self) -> Deferred[None]:
        """Drain, then flush, then close; see the module."""
        return Deferred.fromCoroutine(self._stop())

    def end_drain(self) -> None:
        """Do not wait for running calls any longer, nor for clients that do not read."""
        self._ports.end_drain()

    def reload(self) -> Deferred[Reloaded]:
        """SIGHUP: open the files of the journal again, and read the settings again."""
        return self._reloading.ask()

    def reopen(self) -> None:
        """As `reloading.Owner`."""
        log.info("reopening the files in {log_dir}", log_dir=self.settings.service.log_dir)
        self._ports.reopen()

    def take_over(self, change: Change) -> Deferred[None]:
        """As `reloading.Owner`."""
        return maybeDeferred(self._take_over, change)

    def _take_over(self, change: Change) -> None:
        settings = change.settings
        self._wait.end()  # nobody waits for what other settings may not need; and listeners are exchanged, not begun
        listen, undo = self._listening.prepare(settings.ports)
        try:
            use = self._ports.prepare(settings)
            tell = self._alerts.prepare(settings)
        except BaseException:
            undo()
            raise
        self.settings = settings
        self._shared.take_over(settings)
        self._books.take_over(settings)  # before calls pass the budgets
        tell()
        use()
        listen()

    def standing(self) -> Standing:
        """How it is, for the service manager."""
        health, ports = self._shared.health, self._ports.ports
        calls = sum(len(port.calls) for port in ports)
        return Standing(health.state, tuple(port.name for port in ports if not port.closed), calls, health.reasons())

    async def _stop(self) -> None:
        self._wait.cancel()
        self._reloading.stop()
        self._listening.close()
        unwritten = await self._ports.stop()
        await maybeDeferred(self._admin_socket.stop)
        await self._alerts.stop()
        await self._books.stop()
        if unwritten.records:
            self.exit_status = 1
        if self._admin is not None:
            await maybeDeferred(self._admin.stopService)
        self._lock.release()
        log.info("stopped")
        super().stopService()  # type: ignore[no-untyped-call]


def announce(settings: Settings, transports: str) -> None:
    """Say what runs now, and what is likely not meant."""
    for warning in settings.warnings:
        log.warn("{warning}", warning=warning)
    log.info(
        "awfproxy {version} listens on {network} transports: {ports}; admin at {admin}",
        version=__version__, network=transports, admin=settings.service.admin,
        ports=", ".join(f"{port.name} ({port.provider}) at {port.listen}" for port in settings.ports),
    )  # fmt: skip
