"""The workers of a supervisor, with processes that only write down what they are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from twisted.internet.task import Clock

from awfproxy.core.alerts import Alert
from awfproxy.core.workers import RESTART_FIRST, RESTARTS_AT_ONCE
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
from awfproxy.server.crew import ASK_WAIT, BEYOND_HELP, CONFIGURE_WAIT, SILENCE, SILENT_LOOKS, Crew
from awfproxy.server.recruits import SPARE_AFTER, SPARE_AGAIN
from awfproxy.server.totals import Figures
from tests.core.test_alerts import alert


class Fake:
    """A process."""

    def __init__(self, pid: int, received: Callable[[FromWorker], None], ended: Callable[[int], None]) -> None:
        self.pid = pid
        self.says = received
        self.ends = ended
        self.heard: list[Message] = []

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        self.heard.append(message)

    def kill(self) -> None:
        self.ends(-9)

    def serves(self) -> list[int]:
        """The last it was told."""
        return next((message.slots for message in reversed(self.heard) if isinstance(message, Serve)), [])


class Around:
    """A crew, and what it did."""

    def __init__(self, workers: int = 2) -> None:
        self.clock = Clock()
        self.started: list[Fake] = []
        self.told: list[tuple[int, Figures]] = []
        self.died: list[int] = []
        self.hopeless: list[str] = []
        self.passed: list[Alert] = []
        self.fails = 0
        assigned: Any = lambda slot: Others({"slot": str(slot)})  # noqa: E731 - stands for an assignment
        self.crew = Crew(
            workers, self.clock, self._start, assigned, lambda slot, figures: self.told.append((slot, figures)),
            self.died.append, self.hopeless.append, self.passed.append,
        )  # fmt: skip

    def _start(self, received: Any, line: Any, ended: Any) -> Fake:
        if self.fails:
            self.fails -= 1
            raise OSError(11, "Resource temporarily unavailable")
        process = Fake(len(self.started), received, ended)
        self.started.append(process)
        return process

    def process(self, slot: int) -> Fake:
        """The one in a slot."""
        process = self.crew.slots[slot].process
        assert isinstance(process, Fake)
        return process

    def start(self) -> Around:
        """All start, say so, and serve what they are told."""
        self.crew.start()
        for slot in range(len(self.crew.slots)):
            self.begins(slot)
        return self

    def begins(self, slot: int) -> None:
        """A worker has started."""
        self.process(slot).says(Started())
        self.obey()

    def obey(self) -> None:
        """All say what they serve."""
        for slot in self.crew.ready:
            process = self.process(slot.number)
            if process.serves() != slot.serving:
                process.says(Serving(process.serves()))


def test_all_start_and_serve_their_own() -> None:
    """Each gets its assignment first; nobody serves for one that is in its first start."""
    around = Around()
    around.crew.start()
    assert [process.heard for process in around.started] == [[Others({"slot": "0"})], [Others({"slot": "1"})]]
    around.begins(0)
    assert around.process(0).serves() == [0]
    assert not around.crew.covered
    around.begins(1)
    assert around.process(1).serves() == [1]
    assert around.crew.covered
    assert around.crew.reasons() is None


def test_a_dead_one_is_served_for_and_replaced() -> None:
    """At once by the other one; the new one gets its own sockets back."""
    around = Around().start()
    around.process(0).ends(-9)
    assert around.process(1).serves() == [0, 1]
    around.obey()
    assert around.crew.covered
    assert around.crew.reasons() == "worker 0 was ended by SIGKILL, and another one is not running yet"
    assert around.died == [0]
    around.clock.advance(0)
    around.begins(0)
    assert (around.process(0).serves(), around.process(1).serves()) == ([0], [1])
    assert around.crew.reasons() is None
    assert around.crew.deaths == 1
    assert around.hopeless == []


def test_what_a_worker_has_to_tell_people_is_passed_on() -> None:
    """At the end too: calls that are drained count."""
    around = Around().start()
    around.process(0).says(Passed(alert()))
    around.crew.stop(10)
    around.process(1).says(Passed(alert(used=102)))
    assert around.passed == [alert(), alert(used=102)]


def test_all_dead_is_not_covered() -> None:
    """Then nobody accepts."""
    around = Around().start()
    around.process(0).ends(-9)
    around.process(1).ends(1)
    assert not around.crew.covered
    assert "worker 1 ended with status 1" in str(around.crew.reasons())


def test_one_that_ends_by_itself_is_served_for_while_it_drains() -> None:
    """It says that it accepts nothing any more; it is replaced when it has gone."""
    around = Around().start()
    around.process(0).says(Serving([]))
    assert around.process(1).serves() == [0, 1]
    assert len(around.started) == 2
    around.process(0).ends(0)
    around.clock.advance(0)
    assert len(around.started) == 3


def test_restarts_wait_if_it_dies_again_and_again() -> None:
    """A few at once, then later and later."""
    around = Around().start()
    for _ in range(RESTARTS_AT_ONCE):
        around.process(0).ends(1)
        around.clock.advance(0)
    around.process(0).ends(1)
    around.clock.advance(0.9)
    assert around.crew.slots[0].process is None
    around.clock.advance(0.2)
    around.begins(0)


def test_a_process_that_cannot_be_made_is_tried_again() -> None:
    """No more processes allowed, or no memory."""
    around = Around().start()
    around.fails = 1
    around.process(0).ends(-9)
    around.clock.advance(0)
    assert around.crew.slots[0].process is None
    around.clock.advance(RESTART_FIRST)
    around.begins(0)


@pytest.mark.parametrize(("last", "words"), [(Failed("no"), "worker 1 cannot start: no"), (None, "worker 1 ended with status 3")])
def test_a_first_start_that_fails_is_the_end(last: FromWorker | None, words: str) -> None:
    """As one process alone would not have started."""
    around = Around()
    around.crew.start()
    if last is not None:
        around.process(1).says(last)
    around.process(1).ends(3)
    assert around.hopeless == [words]


def test_a_spare_is_kept_and_taken() -> None:
    """It is started once all are ready, gets its assignment when one has died, and another one follows it."""
    around = Around().start()
    around.clock.advance(SPARE_AFTER)
    spare = around.started[2]
    assert spare.heard == []
    assert around.crew.pids() == {"0": 0, "1": 1, "spare": 2}
    around.process(1).ends(-9)
    around.clock.advance(0)
    assert around.process(1) is spare
    assert spare.heard == [Others({"slot": "1"})]
    assert len(around.started) == 3
    around.begins(1)
    around.clock.advance(SPARE_AFTER)
    assert len(around.started) == 4


def test_a_spare_that_dies_is_replaced_later() -> None:
    """And nothing else happens."""
    around = Around().start()
    around.clock.advance(SPARE_AFTER)
    around.started[2].ends(1)
    assert around.died == []
    around.clock.advance(SPARE_AGAIN)
    assert len(around.started) == 4


def test_asking_waits_for_all_but_not_for_long() -> None:
    """Also for one that dies meanwhile; a late answer counts all the same."""
    around = Around().start()
    asked = around.crew.ask()
    question = around.process(0).heard[-1]
    assert isinstance(question, Ask)
    around.process(0).says(Told(Figures(), {}, {}, question.number))
    assert not asked.called
    around.process(1).ends(-9)
    assert asked.called
    asked = around.crew.ask()
    around.clock.advance(ASK_WAIT)
    assert asked.called
    around.process(0).says(Told(Figures(), {}, {}, question.number + 1))
    assert len(around.told) == 2


def test_nobody_to_ask() -> None:
    """Answers at once."""
    assert Around().crew.ask().called


def test_a_fence_waits_for_the_living() -> None:
    """However long; who dies is not waited for."""
    around = Around(3).start()
    fence = around.crew.fence()
    message = around.process(0).heard[-1]
    assert isinstance(message, Fence)
    around.clock.advance(100)
    around.process(0).says(Fenced(message.number))
    around.process(1).ends(-9)
    assert not fence.called
    around.process(2).says(Fenced(message.number))
    assert fence.called


def test_silence_is_told() -> None:
    """A worker speaks every second."""
    around = Around().start()
    around.clock.advance(SILENCE + 1)
    around.process(0).says(Told(Figures(), {}, {}))
    assert around.crew.reasons() == "worker 1 has said nothing for 11 s"


def looks(around: Around, count: int, speaking: int = 0) -> None:
    """So many looks, a second each; one worker speaks before each of them."""
    for _ in range(count):
        around.clock.advance(1)
        around.process(speaking).says(Told(Figures(), {}, {}))
        around.crew.look()


def test_one_that_hangs_is_replaced(logged: list[str]) -> None:
    """It is killed, once, and is then as any that died; the one that speaks stays; the watchdog is fed all the while."""
    around = Around().start()
    kills: list[int] = []
    ends, around.process(1).ends = around.process(1).ends, kills.append
    looks(around, SILENT_LOOKS - 1)
    assert kills == [] and around.crew.answering
    looks(around, 3)
    assert kills == [-9] and around.crew.answering
    assert len([line for line in logged if f"worker 1 has said nothing for {SILENT_LOOKS} s, and is replaced" in line]) == 1
    ends(-9)
    assert around.crew.deaths == 1 and around.died == [1]
    assert around.crew.reasons() == "worker 1 was ended by SIGKILL, and another one is not running yet"
    around.obey()
    assert around.crew.covered
    around.clock.advance(0)
    around.begins(1)
    assert around.crew.reasons() is None
    looks(around, SILENT_LOOKS - 1)
    assert around.crew.deaths == 1


def test_a_supervisor_that_stood_still_takes_nobody_for_hung() -> None:
    """Its clock went on; what was said meanwhile is read before so many looks are over."""
    around = Around().start()
    around.clock.advance(1000)
    around.crew.look()
    assert around.crew.deaths == 0 and around.died == []
    around.process(1).says(Told(Figures(), {}, {}))
    looks(around, SILENT_LOOKS - 1)
    assert around.died == []


def test_nobody_is_replaced_while_all_end() -> None:
    """The drain has a deadline of its own."""
    around = Around().start()
    around.crew.stop(100)
    looks(around, SILENT_LOOKS + 1)
    assert around.died == []
    around.process(0).ends(0)
    around.process(1).ends(0)


def test_stopping() -> None:
    """All are told; it is over when all have ended, the spare too; what was lost is added up."""
    around = Around().start()
    around.clock.advance(SPARE_AFTER)
    stopped = around.crew.stop(10)
    assert around.process(0).heard[-1] == around.process(1).heard[-1] == Drain()
    around.process(0).says(Serving([]))
    around.process(0).says(Ended(2, 30))
    around.process(0).ends(1)
    assert not stopped.called
    around.process(1).says(Ended(0, 0))
    around.process(1).ends(0)
    assert stopped.called
    assert (around.crew.unwritten_records, around.crew.unwritten_tokens, around.crew.unheard) == (2, 30, 1)
    around.clock.advance(100)
    assert len(around.started) == 3
    assert around.clock.getDelayedCalls() == []


def test_who_ends_as_asked_is_well() -> None:
    """While all end nobody waits for a worker; one that did not end by itself is told of."""
    around = Around().start()
    around.crew.stop(10)
    around.process(1).ends(0)
    assert around.crew.reasons() is None
    around.process(0).ends(-9)
    assert around.crew.reasons() == "worker 0 was ended by SIGKILL"
    around.clock.advance(100)


def test_stopping_while_one_is_to_be_restarted() -> None:
    """It is not."""
    around = Around().start()
    around.process(0).ends(-9)
    stopped = around.crew.stop(10)
    around.process(1).ends(0)
    assert stopped.called
    around.clock.advance(100)
    assert len(around.started) == 2


def test_who_does_not_end_in_time_is_killed() -> None:
    """And that is told by the exit status."""
    around = Around().start()
    stopped = around.crew.stop(10)
    around.process(0).ends(0)
    around.clock.advance(10)
    assert stopped.called
    assert around.crew.unheard == 1


def test_who_does_not_end_at_once_when_all_are_in_a_hurry_is_killed_sooner() -> None:
    """A second signal: all are told, and the deadline is brought forward, never put off."""
    around = Around().start()
    around.crew.end_drain(1)
    stopped = around.crew.stop(40)
    around.process(0).ends(0)
    around.crew.end_drain(60)
    around.clock.advance(5)
    around.crew.end_drain(6)
    assert around.process(1).heard[-1] == EndDrain()
    around.clock.advance(5)
    assert not stopped.called
    around.clock.advance(1)
    assert stopped.called
    around.crew.end_drain(6)


def configured(around: Around) -> list[None]:
    """All are told of other settings; filled when that has been done."""
    done: list[None] = []
    message: Any = lambda number: Ask(number)  # noqa: E731 - stands for the settings
    around.crew.configure(message, [7]).addCallback(done.append)
    return done


def number_of(process: Fake) -> int:
    """Of the question that it was asked last."""
    return next(message.number for message in reversed(process.heard) if isinstance(message, Ask))


def test_other_settings_are_taken_over_by_all() -> None:
    """It is done when each has said so; one that starts meanwhile hears of it before it serves, and has the sockets of
    before until then."""
    around = Around().start()
    around.process(0).ends(-9)
    around.clock.advance(0)
    done = configured(around)
    assert [type(message) for message in around.process(0).heard] == [Others, Ask]
    number = number_of(around.process(1))
    around.process(1).says(Configured(number))
    assert not done
    around.begins(0)
    around.process(0).says(Configured(number_of(around.process(0))))
    assert done == [None]
    around.clock.advance(CONFIGURE_WAIT)
    assert around.crew.deaths == 1


def test_a_worker_that_is_silent_about_them_is_killed() -> None:
    """When its time is over; then no process has the old ones."""
    around = Around().start()
    done = configured(around)
    before = around.process(0)
    around.process(1).says(Configured(number_of(around.process(1))))
    assert not done
    around.clock.advance(CONFIGURE_WAIT)
    assert done == [None] and around.crew.deaths == 1
    around.clock.advance(0)
    assert around.process(0) is not before


def test_a_slow_start_outlasts_other_settings() -> None:
    """Nobody waits any longer, and nobody is killed: it takes them over before it serves."""
    around = Around()
    around.crew.start()
    done = configured(around)
    assert not done
    around.clock.advance(CONFIGURE_WAIT)
    assert done == [None] and around.hopeless == [] and around.crew.deaths == 0
    around.begins(0)
    assert around.process(0).serves() == [0]


def test_a_worker_that_cannot_take_them_over_ends_after_its_calls() -> None:
    """Another one serves its sockets meanwhile, and the next one follows; it is waited for until it accepts nothing."""
    around = Around().start()
    done = configured(around)
    before = around.process(0)
    around.process(1).says(Configured(number_of(around.process(1))))
    before.says(Configured(number_of(before), "ZeroDivisionError"))
    assert before.heard[-1] == Drain() and not done
    before.says(Serving([]))
    assert done == [None] and around.process(1).serves() == [0, 1] and before.heard[-1] == Drain()
    around.clock.advance(CONFIGURE_WAIT)
    assert around.process(0) is before, "its calls are not at their end"
    before.says(Ended(0, 0))
    before.ends(0)
    around.clock.advance(0)
    around.begins(0)
    assert around.process(0) is not before and around.process(0).serves() == [0]
    assert around.hopeless == [] and around.crew.reasons() is None


def test_the_last_that_serves_does_not_wait_for_its_calls() -> None:
    """Where none can take them over: new calls would wait for all that run."""
    around = Around().start()
    done = configured(around)
    for slot in (0, 1):
        process = around.process(slot)
        process.says(Configured(number_of(process), "ZeroDivisionError"))
        process.says(Serving([]))
    assert done == [None]
    assert EndDrain() not in around.process(0).heard and around.process(1).heard[-1] == EndDrain()


def test_one_that_ends_for_another_and_hangs_is_killed() -> None:
    """It speaks every second until its end."""
    around = Around().start()
    configured(around)
    before = around.process(0)
    before.says(Configured(number_of(before), "ZeroDivisionError"))
    before.says(Serving([]))
    for _ in range(SILENT_LOOKS):
        around.process(1).says(Told(Figures(), {}, {}))
        around.crew.look()
    around.clock.advance(0)
    assert around.process(0) is not before and around.crew.deaths == 1


def test_a_worker_that_dies_over_them_is_waited_for_no_longer() -> None:
    """The next one has them."""
    around = Around().start()
    done = configured(around)
    for slot in (0, 1):
        around.process(slot).ends(1)
    assert done == [None]


def test_nobody_to_tell() -> None:
    """Before the first has started."""
    assert configured(Around()) == [None]


def test_the_spare_is_renewed() -> None:
    """It has inherited what is no longer wanted: it has ended before another one is started."""
    around = Around().start()
    assert around.crew.renew_spare().called, "there is none yet"
    around.clock.advance(SPARE_AFTER)
    spare = around.started[-1]
    ended: list[None] = []
    around.crew.renew_spare().addCallback(ended.append)
    assert ended == [None] and "spare" not in around.crew.pids()
    around.clock.advance(SPARE_AFTER)
    assert around.started[-1] is not spare and "spare" in around.crew.pids()


def test_a_crew_answers_while_each_worker_does_or_is_replaced() -> None:
    """What the service manager's watchdog is told by."""
    around = Around().start()
    assert around.crew.answering
    around.clock.advance(BEYOND_HELP - 1)
    around.process(0).says(Told(Figures(), {}, {}))
    assert around.crew.answering, "the second has said nothing, and is going to be killed"
    around.clock.advance(2)
    assert not around.crew.answering, "that was of no use"
    around.process(1).ends(-9)
    assert around.crew.answering, "another one is on its way in its place"
