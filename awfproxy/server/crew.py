"""The workers of a supervisor: started, told who serves what, started again when they die, and asked how they are.

A worker has a slot (`slots`); while its slot is without one, another worker serves its sockets (`core.workers`).  One
that hangs is killed, and then is as any that died.  Once all are ready a spare process is kept (`recruits`).
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from typing import Any, Final

import txaio
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from awfproxy.core.alerts import Alert
from awfproxy.core.workers import RESTART_FIRST, restart_delay, serving
from awfproxy.server.control_messages import (
    Ask,
    Configured,
    Drain,
    EndDrain,
    Ended,
    Failed,
    Fence,
    Fenced,
    FromWorker,
    Message,
    Others,
    Passed,
    Serve,
    Serving,
    Started,
    Told,
)
from awfproxy.server.questions import Questions
from awfproxy.server.recruits import Recruits, Start
from awfproxy.server.slots import GONE, READY, STARTING, Slot
from awfproxy.server.totals import Figures

txaio.use_twisted()
log = txaio.make_logger()

#: seconds for which a page of the admin listener waits for what workers count at this moment
ASK_WAIT: Final = 0.25
#: seconds that a worker gets to take other settings over: milliseconds of work, on a host that has no time for it
CONFIGURE_WAIT: Final = 5.0
#: seconds without a word from a worker, which speaks every second, after which it is said to be stuck
SILENCE: Final = 10.0
#: looks in a row, a second each, without a word from one that serves, after which it is killed: looks, not seconds, so
#: that a supervisor or a host that stood still has read what was said meanwhile
SILENT_LOOKS: Final = 15
#: seconds without a word after which nobody is on the way to mend it: even SIGKILL has not ended it
BEYOND_HELP: Final = 20.0


class Crew:
    """All slots.

    :param start: starts a process
    :param assign: what the worker of a slot is to do
    :param told: called with a slot and what its worker counts now
    :param died: called when a worker died that was not asked to end, with its slot; before another one starts
    :param hopeless: called with the reason if a worker cannot do its first start
    :param passed: called with what a worker has to tell people
    """

    def __init__(
        self,
        workers: int,
        reactor: Any,
        start: Start,
        assign: Callable[[int], Message],
        told: Callable[[int, Figures], None],
        died: Callable[[int], None],
        hopeless: Callable[[str], None],
        passed: Callable[[Alert], None],
    ) -> None:
        self.slots = [Slot(number) for number in range(workers)]
        #: workers that died, ever
        self.deaths = 0
        #: records and tokens that workers could not write at their end, and workers whose end told nothing
        self.unwritten_records = 0
        self.unwritten_tokens = 0
        self.unheard = 0
        self._reactor = reactor
        self._assign = assign
        self._told = told
        self._died = died
        self._hopeless = hopeless
        self._passed = passed
        self._stopped: Deferred[None] | None = None
        #: when those are killed that have not ended
        self._late: IDelayedCall | None = None
        self._recruits = Recruits(reactor, start, self._received, self._ended)
        self._questions = Questions(reactor)

    def start(self) -> None:
        """Start all."""
        for slot in self.slots:
            self._begin(slot)

    @property
    def ready(self) -> list[Slot]:
        """Those whose workers can accept calls."""
        return [slot for slot in self.slots if slot.state == READY]

    @property
    def covered(self) -> bool:
        """Whether every socket is served by somebody."""
        served = {number for slot in self.ready for number in slot.serving}
        return len(served) == len(self.slots)

    @property
    def answering(self) -> bool:
        """Whether every worker has said something lately, or another one is on its way in its place, or will be."""
        now = self._reactor.seconds()
        return all(slot.state == GONE or now - slot.heard <= BEYOND_HELP for slot in self.slots)

    def pids(self) -> dict[str, int]:
        """The processes that run, by slot."""
        found = {str(slot.number): slot.process.pid for slot in self.slots if slot.process is not None}
        spare = self._recruits.spare
        return found if spare is None else found | {"spare": spare.pid}

    def reflect(self) -> list[dict[str, Any]]:
        """Each slot, for `/reflect`."""
        return [
            {
                "slot": slot.number,
                "pid": None if slot.process is None else slot.process.pid,
                "state": slot.state,
                "serves": slot.serving,
                "deaths": len(slot.deaths),
            }
            for slot in self.slots
        ]

    def reasons(self) -> str | None:
        """What is not well with the processes themselves."""
        now = self._reactor.seconds()
        found = []
        for slot in self.slots:
            if slot.state == GONE and self._stopped is None:
                found.append(f"worker {slot.number} {slot.why}, and another one is not running yet")
            elif slot.state == GONE and slot.why:
                found.append(f"worker {slot.number} {slot.why}")
            elif slot.state == READY and now - slot.heard > SILENCE:
                found.append(f"worker {slot.number} has said nothing for {now - slot.heard:.0f} s")
        return "; ".join(found) or None

    def look(self) -> None:
        """Once a second: replace workers that hang."""
        for slot in [slot for slot in self.slots if slot.state == READY or slot.retired is not None]:
            slot.silent_looks += 1
            if slot.silent_looks == SILENT_LOOKS and self._stopped is None:
                self._replace(slot, f"has said nothing for {SILENT_LOOKS} s")

    def tell(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Tell every worker."""
        for slot in self.slots:
            if slot.process is not None:
                slot.process.send(message, descriptors)

    def _numbers(self) -> list[int]:
        return [slot.number for slot in self.ready]

    def _tell_ready(self, message: Message) -> None:
        for slot in self.ready:
            if slot.process is not None:
                slot.process.send(message)

    def tell_others(self, reasons: dict[str, str]) -> None:
        """Tell every worker what is not well elsewhere."""
        self.tell(Others(reasons))

    def ask(self) -> Deferred[None]:
        """Have all tell how they stand; fires when they have, or when `ASK_WAIT` is over."""
        return self._questions.put(self._numbers(), lambda number: self._tell_ready(Ask(number)), ASK_WAIT)

    def fence(self) -> Deferred[None]:
        """Fires when all that workers had handed to their journals until now is written, or they have died."""
        return self._questions.put(self._numbers(), lambda number: self._tell_ready(Fence(number)))

    def configure(self, message: Callable[[int], Message], descriptors: Sequence[int]) -> Deferred[None]:
        """Have all take other settings over; one that cannot drains and is replaced, one that is silent is killed.

        What is assigned to processes from now on must have the same settings.  Those that are still starting take them
        over before they serve: they are waited for too, as they have the sockets of before, and are not killed.

        :param message: with the number of the question; the descriptors go with it
        :returns: fires when nobody accepts calls under others; after `CONFIGURE_WAIT` at the latest
        """
        asked = [slot.number for slot in self.slots if slot.process is not None]
        return self._questions.put(
            asked, lambda number: self.tell(message(number), descriptors), CONFIGURE_WAIT, self._too_late
        )

    def renew_spare(self) -> Deferred[None]:
        """As `Recruits.renew_spare`."""
        return self._recruits.renew_spare()

    def stop(self, deadline: float) -> Deferred[None]:
        """Have all drain and end.

        :param deadline: seconds after which they are killed
        """
        self._stopped = Deferred()
        for slot in self.slots:
            if slot.restart is not None:
                slot.restart.cancel()
                slot.restart = None
        self._recruits.stop()
        self.tell(Drain())
        self._late = late = self._reactor.callLater(deadline, self._kill)

        def done(_: None) -> None:
            if late.active():
                late.cancel()

        self._stopped.addCallback(done)
        stopped = self._stopped
        self._look_whether_stopped()
        return stopped

    def end_drain(self, deadline: float) -> None:
        """Have all that drain end at once.

        :param deadline: seconds after which they are killed, where `stop` did not say sooner
        """
        self.tell(EndDrain())
        late = self._late
        if late is not None and late.active() and late.getTime() > self._reactor.seconds() + deadline:
            late.reset(deadline)

    # -- processes

    def _begin(self, slot: Slot) -> None:
        slot.restart, slot.failure, slot.retired = None, "", None
        slot.heard = self._reactor.seconds()
        slot.process = self._recruits.take(slot.number)
        if slot.process is None:
            slot.why = "cannot be started"
            self._again(slot, RESTART_FIRST)
        else:
            slot.process.send(self._assign(slot.number))
            log.info("worker {slot} is process {pid}", slot=slot.number, pid=slot.process.pid)

    def _ended(self, number: int | None, status: int) -> None:
        if number is not None:
            self._died_in(self.slots[number], status)
        self._look_whether_stopped()

    def _died_in(self, slot: Slot, status: int) -> None:
        was, slot.state, slot.process, slot.serving, slot.serves = slot.state, GONE, None, [], []
        if slot.failure:
            slot.why = f"cannot start: {slot.failure}"
        else:
            slot.why = f"was ended by {_signal_name(-status)}" if status < 0 else f"ended with status {status}"
        self._questions.died(slot.number)
        if self._stopped is not None:
            if status:
                self.unheard += 1
                log.error("worker {slot} {why}", slot=slot.number, why=slot.why)
            else:
                slot.why = ""  # it was asked to
            self._died(slot.number)
            return
        self._recruits.no_spare()
        self._share_out()
        self._died(slot.number)
        if was == STARTING:
            self._hopeless(f"worker {slot.number} {slot.why}")
            return
        self._again(slot)

    def _again(self, slot: Slot, at_least: float = 0.0) -> None:
        slot.state = GONE
        self.deaths += 1
        now = self._reactor.seconds()
        slot.deaths.append(now)
        delay = max(at_least, restart_delay(slot.deaths, now))
        log.error("worker {slot} {why}; the next starts in {delay:g} s", slot=slot.number, why=slot.why, delay=delay)
        slot.restart = self._reactor.callLater(delay, self._begin, slot)

    def _too_late(self, number: int) -> None:
        for slot in [self.slots[each] for each in self._questions.missing(number)]:
            why = f"has not taken the configuration over within {CONFIGURE_WAIT:g} s"
            if slot.state == READY:
                self._replace(slot, why)
            else:
                log.warn("worker {slot} {why}: it is still starting, or ending", slot=slot.number, why=why)
                self._questions.answered(slot.number, number)

    def _replace(self, slot: Slot, why: str) -> None:
        """It hangs, or goes on with settings that nobody wants any more: its end answers for it."""
        if slot.process is not None:
            log.error("worker {slot} {why}, and is replaced", slot=slot.number, why=why)
            slot.process.kill()

    def _retire(self, slot: Slot, message: Configured) -> None:
        """It works, and not with these settings: its calls come to their end, and the next one has them."""
        if slot.process is not None:
            why = "cannot take the configuration over"
            log.error("worker {slot} {why}: {reason}; it is replaced", slot=slot.number, why=why, reason=message.why)
            slot.retired = message.number
            slot.process.send(Drain())

    def _is_ending(self, slot: Slot) -> None:
        """It accepts nothing any more, asked or not."""
        slot.state, slot.why = GONE, "is ending"
        self._share_out()
        if slot.retired is not None and slot.process is not None:
            if not self.ready:
                slot.process.send(EndDrain())  # nobody serves until there is another one
            self._questions.answered(slot.number, slot.retired)

    def _kill(self) -> None:
        for slot in self.slots:
            if slot.process is not None:
                log.error("worker {slot} did not end in time and is killed", slot=slot.number)
                slot.process.kill()

    def _look_whether_stopped(self) -> None:
        working = self._recruits.spare is not None or any(slot.process is not None for slot in self.slots)
        if self._stopped is not None and not working:
            stopped, self._stopped = self._stopped, Deferred()  # never again
            stopped.callback(None)

    # -- messages

    def _received(self, number: int, message: FromWorker) -> None:
        slot = self.slots[number]
        slot.heard, slot.silent_looks = self._reactor.seconds(), 0
        if isinstance(message, Told):
            slot.told = message
            self._told(slot.number, message.figures)
            if message.number is not None:
                self._questions.answered(slot.number, message.number)
        elif isinstance(message, Configured) and message.why is not None:
            self._retire(slot, message)
        elif isinstance(message, (Fenced, Configured)):
            self._questions.answered(slot.number, message.number)
        elif isinstance(message, Started):
            slot.state, slot.why = READY, ""
            self._share_out()
            if len(self.ready) == len(self.slots):
                self._recruits.want_spare()
        elif isinstance(message, Serving):
            slot.serving = message.slots
            if not message.slots and self._stopped is None:
                self._is_ending(slot)
        elif isinstance(message, Failed):
            slot.failure = message.why
        elif isinstance(message, Passed):
            self._passed(message.alert)
        elif isinstance(message, Ended):
            self.unwritten_records += message.records
            self.unwritten_tokens += message.tokens

    def _share_out(self) -> None:
        """Tell each worker which sockets are its own now."""
        if self._stopped is not None:
            return
        first_start = {slot.number for slot in self.slots if slot.state == STARTING}
        served = serving(len(self.slots), {slot.number for slot in self.ready}, first_start)
        for slot in self.ready:
            if slot.serves != served[slot.number] and slot.process is not None:
                slot.serves = served[slot.number]
                slot.process.send(Serve(slot.serves))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
