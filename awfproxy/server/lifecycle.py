"""A process's way from start to exit: refusals to start, signals, and the exit status.

twistd alone exits 143 on SIGTERM, dies of a SIGHUP that comes early, and ends mid-drain at a second signal; so the
signals are ours (docs/running.md):

- SIGTERM, SIGINT: drain and exit 0, or 1 if records were lost; a second one ends the drain at once
- SIGHUP: reload; never kills
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from types import FrameType
from typing import Any, NoReturn, Protocol

import txaio
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError

from awfproxy.server.notify import NotifySocket
from awfproxy.server.notify_standing import Standing, StandingNotices
from awfproxy.server.sockets import ListenError
from awfproxy.state.kept_file import KeptFileError

log = txaio.make_logger()


class StartFailure(Exception):
    """The service cannot start; the text is for the person who started it."""

    #: twistd's parent shows the first 98 bytes of "module.name: text", and the text is what counts
    __module__ = "builtins"


class Proxy(Protocol):
    """What is started: `service.ProxyService` or `supervisor.Supervisor`."""

    exit_status: int

    def privilegedStartService(self) -> None: ...
    def startService(self) -> None: ...
    def stopService(self) -> Deferred[None]: ...
    def end_drain(self) -> None: ...
    def reload(self) -> Deferred[Any]: ...
    def standing(self) -> Standing: ...


class Lifecycle(Service):
    """Starts a proxy, says clearly when it cannot, answers signals, and stops it.

    :param foreground: standard error is somebody's terminal or journal; else twistd has forked, its log has the reason
        and its parent shows the first 84 bytes
    :param manager: the service manager that wants to know how it goes; None: there is none
    """

    def __init__(
        self, proxy: Proxy, reactor: Any, foreground: bool, manager: NotifySocket | None = None
    ) -> None:
        self._proxy = proxy
        self._reactor = reactor
        self._foreground = foreground
        self._stopping = False
        #: that are under way or wait for their turn
        self._reloads = 0
        self._notices = StandingNotices(manager, reactor, proxy.standing)

    def privilegedStartService(self) -> None:
        """Bind."""
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        try:
            self._proxy.privilegedStartService()
        except ListenError as error:
            self._refuse(str(error))

    def startService(self) -> None:
        """Open the files, accept calls."""
        super().startService()  # type: ignore[no-untyped-call]
        try:
            self._proxy.startService()
        except (ListenError, CannotListenError, KeptFileError) as error:
            self._refuse(str(error))
        except OSError as error:
            self._refuse(f"log_dir cannot be written to: {error.strerror or error}: {error.filename}")
        # Twisted sets its own signal dispositions as the reactor starts, right before this is called
        self._reactor.callWhenRunning(self._take_signals)
        self._reactor.callWhenRunning(self._notices.start)

    def stopService(self) -> Deferred[None]:
        """Drain, flush, close."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._stopping = True
        self._notices.stopping()
        stopping = self._proxy.stopService()
        stopping.addErrback(self._stop_failed)
        stopping.addCallback(self._leave)
        return stopping

    # -- signals

    def _take_signals(self) -> None:
        signal.signal(signal.SIGTERM, self._terminate)
        signal.signal(signal.SIGINT, self._terminate)
        signal.signal(signal.SIGHUP, self._hang_up)

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self._reactor.callFromThread(self._end)

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        self._reactor.callFromThread(self._reload)

    def _end(self) -> None:
        if self._stopping:
            log.warn("a second signal: the drain ends now")
            self._proxy.end_drain()
        else:
            self._stopping = True
            self._reactor.stop()

    def _reload(self) -> None:
        if not self._stopping:
            self._reloads += 1
            self._notices.reloading()
            self._proxy.reload().addBoth(self._reloaded)

    def _reloaded(self, _: object) -> None:
        self._reloads -= 1
        if not self._reloads:
            self._notices.reloaded()

    # -- ends

    def _stop_failed(self, failure: Any) -> None:
        log.failure("stopping failed", failure=failure)
        self._proxy.exit_status = 1

    def _leave(self, _: None) -> None:
        self._notices.stop()
        # a SIGTERM between Twisted's handlers and ours would still make twistd kill itself at the end
        self._reactor._exitSignal = None
        # all is written; the interpreter takes our handlers away as it ends, and a late signal would kill it then
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if self._proxy.exit_status:
            # twistd's own exit status cannot be set; by then its pid file is removed
            atexit.register(_exit_with, self._proxy.exit_status)

    def _refuse(self, why: str) -> NoReturn:
        if self._foreground:
            print(f"awfproxy: {why}", file=sys.__stderr__)  # sys.stderr is Twisted's log by now
            sys.exit(1)
        log.critical("awfproxy cannot start: {why}", why=why)
        raise StartFailure(why) from None  # an exit would leave twistd's parent waiting: it catches Exception only


def _exit_with(status: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
