"""Performs a script on a transport: writes, waits, cuts, and stands still while the other side does not read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from zope.interface import implementer

from awfproxy.simulator.wire import Pause, Step, Stop


@implementer(IPushProducer)
class Playback:
    """One answer on its way.  ``ended`` is called once: with None when the script ran out, else with how it stopped.

    It is not called after `stop` (the connection is gone).
    """

    def __init__(
        self, transport: Any, clock: IReactorTime, steps: Iterator[Step], ended: Callable[[Stop | None], None]
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._steps = steps
        self._ended = ended
        self._paused = False
        self._running = False
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        """Begin; the transport pauses and resumes it from now on."""
        self._transport.registerProducer(self, True)
        self._run()

    def stop(self) -> None:
        """The connection is gone: write no more, wait for nothing."""
        self._paused = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        self._steps = iter(())

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        if self._timer is None and not self._running:
            self._run()

    def stopProducing(self) -> None:
        self.stop()

    def _run(self) -> None:
        self._timer = None
        self._running = True
        try:
            while not self._paused:
                step = next(self._steps, None)
                if isinstance(step, bytes):
                    self._transport.write(step)
                elif isinstance(step, Pause):
                    self._timer = self._clock.callLater(step.seconds, self._run)
                    return
                elif step is Stop.STALL:
                    return
                else:
                    self._transport.unregisterProducer()
                    self._ended(step)
                    return
        finally:
            self._running = False
