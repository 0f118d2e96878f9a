"""Processes for workers to be: started when one is needed, or a spare before.

A spare has imported everything and waits for its assignment: a start takes half a second of CPU, and when a worker has
died the others are busy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import txaio
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall

from awfproxy.server.control_messages import FromWorker, Message

txaio.use_twisted()
log = txaio.make_logger()

#: seconds until a spare is started: after the last worker's start, and after the death of the spare before
SPARE_AFTER: Final = 1.0
SPARE_AGAIN: Final = 30.0


class Running(Protocol):
    """A process: `worker_process.WorkerProcess`."""

    @property
    def pid(self) -> int: ...
    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None: ...
    def kill(self) -> None: ...


#: starts a process, which waits for its assignment: who is told its messages, its lines, and its exit status
Start = Callable[[Callable[[FromWorker], None], Callable[[str], None], Callable[[int], None]], Running]


class Recruit:
    """A process, and the number of the slot that it works in; None: it is the spare."""

    def __init__(self) -> None:
        self.slot: int | None = None
        self.process: Running | None = None
        #: fires when it has ended; None: nobody waits for that
        self.ended: Deferred[None] | None = None


class Recruits:
    """Starts processes.

    :param received: told the slot of a process and what it says
    :param ended: told the slot of a process (None: it was the spare) and its exit status
    """

    def __init__(
        self,
        reactor: Any,
        start: Start,
        received: Callable[[int, FromWorker], None],
        ended: Callable[[int | None, int], None],
    ) -> None:
        self._reactor = reactor
        self._start = start
        self._received = received
        self._ended = ended
        self._spare: Recruit | None = None
        self._due: IDelayedCall | None = None
        self._over = False

    @property
    def spare(self) -> Running | None:
        """The spare's process."""
        return None if self._spare is None else self._spare.process

    def take(self, slot: int) -> Running | None:
        """A process for a slot; None: there cannot be one now."""
        recruit, self._spare = self._spare or self._recruit(), None
        if recruit is None:
            return None
        recruit.slot = slot
        return recruit.process

    def want_spare(self, seconds: float = SPARE_AFTER) -> None:
        """Start a spare soon, unless there is one."""
        if self._spare is None and self._due is None and not self._over:
            self._due = self._reactor.callLater(seconds, self._get_spare)

    def renew_spare(self) -> Deferred[None]:
        """The spare has not what processes are started with now: another one takes its place.

        :returns: fires when it has ended, and with it what it had open
        """
        before, self._spare = self._spare, None
        if before is None or before.process is None:
            return succeed(None)
        ended = before.ended = Deferred()
        self.want_spare()
        before.process.kill()
        return ended

    def no_spare(self) -> None:
        """None is started soon: others need the CPU now."""
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def stop(self) -> None:
        """No more processes are needed."""
        self._over = True
        self.no_spare()
        if self.spare is not None:
            self.spare.kill()  # it has nothing to lose

    def _get_spare(self) -> None:
        self._due = None
        self._spare = self._recruit()
        if self._spare is None:
            self.want_spare(SPARE_AGAIN)

    def _recruit(self) -> Recruit | None:
        recruit = Recruit()

        def received(message: FromWorker) -> None:
            assert recruit.slot is not None, "a spare has nothing to say"
            self._received(recruit.slot, message)

        def ended(status: int) -> None:
            if recruit is self._spare:
                self._spare = None
                self.want_spare(SPARE_AGAIN)
            self._ended(recruit.slot, status)
            if recruit.ended is not None:
                recruit.ended.callback(None)

        try:
            recruit.process = self._start(received, lambda line: _log_line(recruit.slot, line), ended)
        except OSError as error:
            log.error("no process can be started: {why}", why=error.strerror or error)
            return None
        return recruit


def _log_line(slot: int | None, line: str) -> None:
    """A line that a worker printed: with its level before it, or whatever the interpreter itself had to say."""
    level, _, text = line.partition(" ")
    write = {"[debug]": log.debug, "[info]": log.info, "[warn]": log.warn}.get(level)
    if write is None:
        write, text = log.error, text if level in ("[error]", "[critical]") else line
    write("worker {slot}: {text}", slot="spare" if slot is None else slot, text=text)
