"""Soft caps are told once, whatever the receiver does and however often the service starts; by a clock of the test's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from awfproxy.core.alerts import RETRY_SECONDS, Alert, Reply
from awfproxy.core.budgets import Scope
from awfproxy.core.secret import Secret
from awfproxy.core.settings import PortBudget, Settings
from awfproxy.core.settings_file import from_file
from awfproxy.server.alert_book import ENTRIES_MAX, KEPT_AFTER_END, NAME, AlertBook
from awfproxy.server.alerts import LAST_SECONDS, WAITING_MAX, Alerts
from tests.core.test_alerts import NOW, alert
from tests.server.test_call import ANSWER, response
from tests.server.test_call_budgets import USED, call, staged, strict

SAME = "https://hooks.test/T0?key=sesame"
CONFIG = """
[service]
state_dir = "{folder}"
log_dir = "/l"
[ports.openai]
provider = "openai"
listen = "tcp:1"
[ports.openai.budget]
enabled = true
{webhook}
[ports.anthropic]
provider = "anthropic"
listen = "tcp:2"
[ports.anthropic.budget]
webhook = "{same}"
"""


def settings(folder: Path, webhook: bool = True) -> Settings:
    """Two ports with the same webhook, or one of them with none."""
    text = CONFIG.format(folder=folder, same=SAME, webhook=f'webhook = "{SAME}"' if webhook else "")
    return from_file(
        text, "a.toml", {"HOME": "/h"}, directory="/", file_directory="/", read=lambda kind, name: Secret("k" * 20)
    )


class Receiver:
    """All webhooks of a test."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, object]] = []
        self.waiting: list[Deferred[Reply]] = []
        #: answers at once with this; None: when the test says so
        self.reply: Reply | None = Reply(200)

    def post(self, body: bytes) -> Deferred[Reply]:
        """As the webhook's."""
        self.bodies.append(json.loads(body))
        if self.reply is not None:
            return succeed(self.reply)
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def answer(self, reply: Reply) -> None:
        """To the oldest that waits."""
        self.waiting.pop(0).callback(reply)


class Service:
    """The alerts of one start."""

    def __init__(self, folder: Path, receiver: Receiver, clock: Clock, webhook: bool = True) -> None:
        self.clock = clock
        self.budgets: list[PortBudget] = []

        def made(budget: PortBudget) -> Receiver:
            self.budgets.append(budget)
            return receiver

        def at_once(function: Callable[[], None]) -> Deferred[None]:
            try:
                function()
            except OSError:
                return fail()
            return succeed(None)

        self.alerts = Alerts(settings(folder, webhook), clock, lambda: NOW + clock.seconds(), made, at_once)
        self.alerts.start("0123456789abcdef")

    def stop(self) -> bool:
        """Whether it has stopped at once."""
        stopped = self.alerts.stop()
        return bool(stopped.called)


@pytest.fixture
def receiver() -> Receiver:
    """Takes everything."""
    return Receiver()


def of(number: int) -> Alert:
    """Of one of many users."""
    return alert(scope=Scope("openai", "user", f"user-{number}"))


def test_once_for_each_window_over_workers_and_restarts(tmp_path: Path, receiver: Receiver) -> None:
    """Reported by two workers, again after a restart, and by a worker that takes another one's place."""
    clock = Clock()
    first = Service(tmp_path, receiver, clock)
    first.alerts.passed(alert())
    first.alerts.passed(alert(used=102, at=NOW + 1))
    assert first.stop()
    again = Service(tmp_path, receiver, clock)
    again.alerts.passed(alert(used=400))
    assert [body["used_tokens"] for body in receiver.bodies] == [101]
    again.alerts.passed(alert(window_start=1_768_521_600, window_end=1_768_608_000))
    again.alerts.passed(alert(scope=Scope("anthropic")))
    assert [body["window_start"] for body in receiver.bodies][1:] == [
        "2026-01-16T00:00:00.000Z", "2026-01-15T00:00:00.000Z",
    ]  # fmt: skip
    assert again.alerts.results == {"delivered": 2, "failed": 0, "given_up": 0, "dropped": 0}
    assert not clock.getDelayedCalls()


def test_one_webhook_for_ports_with_the_same_url(tmp_path: Path, receiver: Receiver) -> None:
    """So that one at a time goes there."""
    assert len(Service(tmp_path, receiver, Clock()).budgets) == 1


def test_tried_again_at_the_stated_times(tmp_path: Path, receiver: Receiver) -> None:
    """With the same body; then it is given up, and stays so after a restart."""
    clock = Clock()
    receiver.reply = Reply(None, why="connection refused")
    service = Service(tmp_path, receiver, clock)
    service.alerts.passed(alert())
    for number, seconds in enumerate(RETRY_SECONDS):
        assert len(receiver.bodies) == number + 1
        clock.advance(seconds - 0.02)
        assert len(receiver.bodies) == number + 1
        clock.advance(0.02 + 1e-6)
    assert len(receiver.bodies) == len(RETRY_SECONDS) + 1
    assert all(body == receiver.bodies[0] for body in receiver.bodies)
    assert service.alerts.results == {"delivered": 0, "failed": 5, "given_up": 1, "dropped": 0}
    assert not clock.getDelayedCalls()
    Service(tmp_path, receiver, clock).alerts.passed(alert())
    assert len(receiver.bodies) == len(RETRY_SECONDS) + 1


def test_what_a_receiver_refuses_is_given_up_at_once(tmp_path: Path, receiver: Receiver) -> None:
    """410 and the like; a 429 with its time is waited for."""
    clock = Clock()
    receiver.reply = Reply(410)
    service = Service(tmp_path, receiver, clock)
    service.alerts.passed(of(1))
    assert service.alerts.results["given_up"] == 1
    receiver.reply = Reply(429, "45")
    service.alerts.passed(of(2))
    receiver.reply = Reply(204)
    clock.advance(44.9)
    assert len(receiver.bodies) == 2
    clock.advance(0.2)
    assert [body["name"] for body in receiver.bodies] == ["user-1", "user-2", "user-2"]
    assert service.alerts.results["delivered"] == 1


def test_one_at_a_time_and_none_holds_up_the_others(tmp_path: Path, receiver: Receiver) -> None:
    """What is not taken waits for its own time; the next goes as soon as an answer is there."""
    clock = Clock()
    receiver.reply = None
    service = Service(tmp_path, receiver, clock)
    for number in range(3):
        service.alerts.passed(of(number))
    assert [body["name"] for body in receiver.bodies] == ["user-0"]
    receiver.answer(Reply(500))
    receiver.answer(Reply(200))
    receiver.answer(Reply(200))
    assert [body["name"] for body in receiver.bodies] == ["user-0", "user-1", "user-2"]
    clock.advance(1.0)
    assert receiver.bodies[-1]["name"] == "user-0"


def test_the_queue_is_bounded(tmp_path: Path, receiver: Receiver) -> None:
    """What is too much is dropped, counted, and not told later."""
    receiver.reply = None
    service = Service(tmp_path, receiver, Clock())
    for number in range(WAITING_MAX + 3):
        service.alerts.passed(of(number))
    assert service.alerts.results["dropped"] == 3
    receiver.reply = Reply(200)
    receiver.answer(Reply(200))
    assert len(receiver.bodies) == WAITING_MAX
    assert service.alerts.results["delivered"] == WAITING_MAX


def test_the_log_names_the_budget(tmp_path: Path, receiver: Receiver, logged: list[str]) -> None:
    """A port's own, its users' and its features' may all be over at once."""
    clock = Clock()
    service = Service(tmp_path, receiver, clock)
    receiver.reply = Reply(503)
    service.alerts.passed(alert())
    receiver.reply = Reply(200)
    clock.advance(RETRY_SECONDS[0])
    receiver.reply = Reply(404)
    service.alerts.passed(alert(scope=Scope("openai"), period="week"))
    assert [line for line in logged if "soft cap" in line] == [
        "the soft cap of openai user ci is passed: 101 tokens used today, soft cap 100",
        "hooks.test could not be told of the soft cap of openai user ci: it answered 503; again in 1 s",
        "hooks.test was told that the soft cap of openai user ci is passed",
        "the soft cap of openai is passed: 101 tokens used this week, soft cap 100",
        "hooks.test is not told of the soft cap of openai: it answered 404",
    ]


def test_at_the_end_what_waits_is_tried_once_more(tmp_path: Path, receiver: Receiver) -> None:
    """Also what was to wait for minutes; what is not taken then is told after the next start."""
    clock = Clock()
    receiver.reply = Reply(503, "3000")
    service = Service(tmp_path, receiver, clock)
    service.alerts.passed(of(1))
    service.alerts.passed(of(2))
    assert len(receiver.bodies) == 2
    assert service.stop()
    assert len(receiver.bodies) == 4
    assert not clock.getDelayedCalls()
    receiver.reply = Reply(200)
    Service(tmp_path, receiver, clock)
    assert sorted(str(body["name"]) for body in receiver.bodies[4:]) == ["user-1", "user-2"]
    Service(tmp_path, receiver, clock)
    assert len(receiver.bodies) == 6


def test_the_end_waits_a_second_for_an_answer(tmp_path: Path, receiver: Receiver) -> None:
    """Then the attempt is given up, and the alert kept."""
    clock = Clock()
    receiver.reply = None
    service = Service(tmp_path, receiver, clock)
    service.alerts.passed(of(1))
    service.alerts.passed(of(2))
    stopped = service.alerts.stop()
    clock.advance(LAST_SECONDS - 0.1)
    assert not stopped.called
    clock.advance(0.1)
    assert stopped.called
    assert len(receiver.bodies) == 1
    receiver.reply = Reply(200)
    Service(tmp_path, receiver, clock)
    assert len(receiver.bodies) == 3


def test_an_answer_within_that_second_ends_it(tmp_path: Path, receiver: Receiver) -> None:
    """And is kept."""
    clock = Clock()
    receiver.reply = None
    service = Service(tmp_path, receiver, clock)
    service.alerts.passed(of(1))
    stopped = service.alerts.stop()
    receiver.answer(Reply(200))
    assert stopped.called
    assert not clock.getDelayedCalls()
    Service(tmp_path, receiver, clock)
    assert len(receiver.bodies) == 1


def test_without_a_webhook_it_is_said_once_and_told_when_there_is_one(tmp_path: Path, receiver: Receiver) -> None:
    """A webhook that is new learns of what is passed still, when it is noticed again."""
    clock = Clock()
    Service(tmp_path, receiver, clock, webhook=False).alerts.passed(alert())
    service = Service(tmp_path, receiver, clock)
    assert receiver.bodies == []
    service.alerts.passed(alert())
    service.alerts.passed(alert())
    assert len(receiver.bodies) == 1


def test_what_ended_long_ago_is_not_told(tmp_path: Path, receiver: Receiver) -> None:
    """A day after its window the alert goes."""
    clock = Clock()
    receiver.reply = Reply(500)
    service = Service(tmp_path, receiver, clock)
    service.alerts.passed(alert())
    service.stop()
    attempts = len(receiver.bodies)
    clock.advance(alert().window_end + KEPT_AFTER_END - NOW + 1)
    assert not Service(tmp_path, receiver, clock).alerts._book.pending
    assert len(receiver.bodies) == attempts


def test_a_port_tells_what_it_notices() -> None:
    """By a look at its budgets, with what is needed to tell it."""
    stage = staged(strict(10_000, soft_cap_tokens=USED))
    told: list[Alert] = []
    stage.port.shared.alert = told.append
    for _ in range(3):
        call(stage)
        stage.upstream.receive(response(ANSWER))
        stage.turn()
        stage.entrance.sweep(stage.clock.seconds())
    (found,) = told
    assert (found.scope, found.period, found.used, found.soft_cap, found.hard_cap) == (
        Scope(stage.port.name), "day", 2 * USED, USED, 10_000
    )  # fmt: skip
    assert found.window_start <= found.at < found.window_end == found.window_start + 86_400


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"[" * 100_000, b'[{"alert":{},"state":"pending"}]', b"\xff"])
def test_a_damaged_file_is_as_none(tmp_path: Path, receiver: Receiver, content: bytes) -> None:
    """The alert is told once more, and the file written anew."""
    (tmp_path / NAME).write_bytes(content)
    service = Service(tmp_path, receiver, Clock())
    service.alerts.passed(alert())
    assert len(receiver.bodies) == 1
    assert not AlertBook((tmp_path / NAME).read_bytes(), NOW).damaged


def test_a_file_that_cannot_be_written_stops_nothing(tmp_path: Path, receiver: Receiver) -> None:
    """The receiver is told all the same."""
    (tmp_path / NAME).mkdir()
    service = Service(tmp_path, receiver, Clock())
    service.alerts.passed(alert())
    assert len(receiver.bodies) == 1
    assert service.stop()


def test_the_file_is_bounded() -> None:
    """Those go first whose windows end first."""
    book = AlertBook(None, NOW)
    for number in range(ENTRIES_MAX + 5):
        book.note(alert(window_end=int(NOW) + number, scope=Scope("p", "user", str(number))), "pending")
    assert len(book.pending) == ENTRIES_MAX
    assert len(AlertBook(book.encode(), NOW).pending) == ENTRIES_MAX
    assert book.of(alert(scope=Scope("p", "user", "4"))) is None
    assert book.of(alert(scope=Scope("p", "user", "5"))) is not None


def test_other_settings(tmp_path: Path, receiver: Receiver) -> None:
    """A webhook that is new is told of what comes; one that is gone of nothing more; what waits goes to the new one."""
    clock = Clock()
    service = Service(tmp_path, receiver, clock, webhook=False)
    alerts = service.alerts
    alerts.passed(of(1))
    assert not receiver.bodies
    alerts.prepare(settings(tmp_path, True))()
    alerts.passed(of(2))
    assert len(receiver.bodies) == 1 and len(service.budgets) == 1
    alerts.prepare(settings(tmp_path, True))()
    assert len(service.budgets) == 1, "the same webhook goes on"
    receiver.reply = None
    alerts.passed(of(3))
    assert len(receiver.bodies) == 2
    other = settings(tmp_path, True)
    new = Secret("http://new.test/x")
    ports = [msgspec.structs.replace(each, budget=msgspec.structs.replace(each.budget, webhook=new)) for each in other.ports]
    other = msgspec.structs.replace(other, ports=tuple(ports))
    take = alerts.prepare(other)
    assert len(receiver.bodies) == 2, "nothing yet"
    take()
    assert len(receiver.bodies) == 3, "it is told again, there"
    receiver.waiting[-1].callback(Reply(200))
    assert alerts.results["delivered"] == 2
    alerts.prepare(settings(tmp_path, False))()
    alerts.passed(of(4))
    assert len(receiver.bodies) == 3
    assert service.stop()
