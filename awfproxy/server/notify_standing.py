"""What the service manager is told of the service, and when.

- ready: once, when calls are accepted; reloading and ready again around a reload; stopping, and from then on that it
  takes longer, as long as the reactor turns
- a line of status, when it has changed
- the watchdog: at every look, if all processes that serve have answered lately.  The looks are the reactor's, so one
  that hangs tells nothing

What was not taken is told at the next look, and so is what could not be asked for: whatever happens at one, the next
one comes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import txaio
from twisted.internet.interfaces import IDelayedCall

from awfproxy.server.health import READY
from awfproxy.server.notify import MICROSECONDS, Notifier, NotifySocket, one_line

txaio.use_twisted()
log = txaio.make_logger()

#: seconds between two looks; half of the watchdog's time where that is shorter
LOOK_SECONDS: Final = 1.0
#: seconds between two looks until it is ready: what a start waits that comes after it
READY_LOOK: Final = 0.05
#: seconds that the service manager is asked for while calls drain, again at every look: the drain has its own deadline
EXTEND_SECONDS: Final = 15.0
#: bytes of the line of status: a terminal's few lines
STATUS_MAX: Final = 1024

_STARTING: Final = "starting"
_READY: Final = "ready"
_RELOADING: Final = "reloading"
_STOPPING: Final = "stopping"


class Standing(msgspec.Struct, frozen=True):
    """How a service is at this moment.

    :param state: `health.STARTING`, `READY` or `DRAINING`
    :param ports: names of those that are open
    :param calls: calls that run
    :param reasons: what is not well, by name
    :param answering: every process that serves has answered lately, or is being replaced
    """

    state: str
    ports: tuple[str, ...]
    calls: int
    reasons: Mapping[str, str] = {}
    answering: bool = True


class StandingNotices:
    """Tells it, from `start` to `stop`.

    :param manager: None: nobody listens
    :param standing: asked at each look
    """

    def __init__(self, manager: NotifySocket | None, reactor: Any, standing: Callable[[], Standing]) -> None:
        self._manager = manager
        self._notifier: Notifier | None = None
        self._reactor = reactor
        self._standing = standing
        self._phase = _STARTING
        self._told_phase = _STARTING
        self._told_status = ""
        self._next: IDelayedCall | None = None
        #: the log has it that it cannot be told how the service is
        self._lost = False

    def start(self) -> None:
        """Look from now on; in the reactor's thread, as everything here."""
        if self._manager is not None and self._next is None:
            self._notifier = self._manager.open()
            self._look()

    def reloading(self) -> None:
        """The settings are being read anew."""
        self._turn_to(_RELOADING)

    def reloaded(self) -> None:
        """They are in effect, or refused: the service goes on."""
        if self._phase == _RELOADING:
            self._turn_to(_READY)

    def stopping(self) -> None:
        """It accepts no more calls, and ends those that run."""
        self._turn_to(_STOPPING)

    def stop(self) -> None:
        """It is over."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if self._notifier is not None:
            self._notifier.close()
            self._notifier = None

    def _turn_to(self, phase: str) -> None:
        # before it was ready, a reload is part of the start; and once it stops, nothing else matters
        if self._phase != _STOPPING and (phase == _STOPPING or self._phase != _STARTING):
            self._phase = phase
            if self._next is not None:
                self._tell()

    def _look(self) -> None:
        self._tell()
        self._next = self._reactor.callLater(self._interval(), self._look)

    def _interval(self) -> float:
        seconds = READY_LOOK if self._told_phase == _STARTING else LOOK_SECONDS
        watchdog = None if self._manager is None else self._manager.watchdog
        return seconds if watchdog is None else min(seconds, watchdog / 2)

    def _tell(self) -> None:
        """Never fails: who stops or reloads must not be held up by it, and the looks go on."""
        try:
            self._say()
        except Exception:
            if not self._lost:
                self._lost = True
                log.failure("the service manager cannot be told how the service is")
        else:
            self._lost = False

    def _say(self) -> None:
        standing = self._standing()
        if self._phase == _STARTING and standing.state == READY:
            self._phase = _READY
        told: dict[str, str] = {}
        if self._phase != self._told_phase:
            told |= _PHASES[self._phase]()
        if self._phase == _STOPPING:
            told["EXTEND_TIMEOUT_USEC"] = str(int(EXTEND_SECONDS * MICROSECONDS))
        status = status_line(self._phase, standing)
        if status != self._told_status:
            told["STATUS"] = status
        if self._manager is None or self._notifier is None:
            return
        if self._manager.watchdog is not None and standing.answering:
            told["WATCHDOG"] = "1"
        if told and self._notifier.send(told):
            self._told_phase, self._told_status = self._phase, status


_PHASES: Final[dict[str, Callable[[], dict[str, str]]]] = {
    _READY: lambda: {"READY": "1"},
    # systemd.service(5): only a reload that began after it was asked for counts as the answer
    _RELOADING: lambda: {"RELOADING": "1", "MONOTONIC_USEC": str(time.monotonic_ns() // 1000)},
    _STOPPING: lambda: {"STOPPING": "1"},
}


def status_line(phase: str, standing: Standing) -> str:
    """How the service is, for `systemctl status`: `STATUS_MAX` bytes at most.

    :param phase: what it is doing
    """
    calls = "1 call runs" if standing.calls == 1 else f"{standing.calls} calls run"
    parts = [f"{phase}: {', '.join(standing.ports) or 'no ports'}", calls]
    parts += [f"degraded: {name}: {reason}" for name, reason in standing.reasons.items()]
    return one_line("; ".join(parts)).encode()[:STATUS_MAX].decode(errors="ignore")
