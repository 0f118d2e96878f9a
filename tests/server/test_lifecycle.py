"""Signals, refusals to start and the exit status, with a service and a reactor that only write down what is asked."""

from __future__ import annotations

import atexit
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError

from awfproxy.server.hint_key import HintKeyError
from awfproxy.server.lifecycle import Lifecycle, StartFailure
from awfproxy.server.notify_standing import Standing
from awfproxy.server.sockets import ListenError
from tests.conftest import LoggedFailures


class DummyProxy:
    """The service."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.stopping: Deferred[None] = Deferred()
        self.exit_status = 0
        self.bind_fault: Exception | None = None
        self.start_fault: Exception | None = None

    def privilegedStartService(self) -> None:
        self.asked.append("bind")
        if self.bind_fault:
            raise self.bind_fault

    def startService(self) -> None:
        self.asked.append("start")
        if self.start_fault:
            raise self.start_fault

    def stopService(self) -> Deferred[None]:
        self.asked.append("stop")
        return self.stopping

    def end_drain(self) -> None:
        self.asked.append("end drain")

    def reload(self) -> Deferred[None]:
        self.asked.append("reload")
        return succeed(None)

    def standing(self) -> Standing:
        return Standing("starting", (), 0)


class DummyReactor:
    """The reactor: what it is asked for happens at once; `stop` as Twisted has it, by stopping the service."""

    _exitSignal: int | None = signal.SIGTERM

    def __init__(self) -> None:
        self.on_stop: Callable[[], object] = lambda: None
        self.stops = 0

    def callWhenRunning(self, what: Callable[[], object]) -> None:
        what()

    def callFromThread(self, what: Callable[[], object]) -> None:
        what()

    def stop(self) -> None:
        self.stops += 1
        self.on_stop()


class Around:
    """A life and those around it."""

    def __init__(self, foreground: bool = True) -> None:
        self.proxy, self.reactor = DummyProxy(), DummyReactor()
        self.life = Lifecycle(self.proxy, self.reactor, foreground)
        self.reactor.on_stop = self.life.stopService

    def start(self) -> None:
        """As twistd does."""
        self.life.privilegedStartService()
        self.life.startService()


@pytest.fixture(autouse=True)
def at_exit(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What is registered for the interpreter's end; the test's own signals come back after it."""
    registered: list[Any] = []
    monkeypatch.setattr(atexit, "register", lambda *what: registered.append(what))
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield registered
    for number, kept in before.items():
        signal.signal(number, kept)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_stops_and_the_second_ends_the_drain(number: int, at_exit: list[Any]) -> None:
    """And twistd is kept from killing itself with the signal: the exit status stays 0."""
    around = Around()
    around.start()
    signal.raise_signal(number)
    assert around.proxy.asked == ["bind", "start", "stop"]
    signal.raise_signal(number)
    signal.raise_signal(signal.SIGTERM)
    assert around.proxy.asked[3:] == ["end drain", "end drain"]
    assert around.reactor.stops == 1
    around.proxy.stopping.callback(None)
    assert around.reactor._exitSignal is None
    assert at_exit == []


def test_a_hangup_reloads_until_the_end_begins() -> None:
    """During a drain it does nothing, and it never kills."""
    around = Around()
    around.start()
    signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGHUP)
    assert around.proxy.asked[2:] == ["reload", "reload"]
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGHUP)
    assert around.proxy.asked[2:] == ["reload", "reload", "stop"]


def test_signals_after_the_end_do_nothing() -> None:
    """The interpreter takes handlers away as it ends; what is ignored stays ignored."""
    around = Around()
    around.start()
    signal.raise_signal(signal.SIGTERM)
    around.proxy.stopping.callback(None)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        assert signal.getsignal(number) is signal.SIG_IGN


def test_records_that_were_lost_are_told_by_the_exit_status(at_exit: list[Any]) -> None:
    """1, as late as possible, so that twistd has tidied up."""
    around = Around()
    around.start()
    signal.raise_signal(signal.SIGTERM)
    around.proxy.exit_status = 1
    around.proxy.stopping.callback(None)
    assert [arguments for _, *arguments in at_exit] == [[1]]


def test_a_stop_that_fails(at_exit: list[Any], logged_failures: LoggedFailures) -> None:
    """It is logged, and the exit status says so; the process ends all the same."""
    around = Around()
    around.start()
    signal.raise_signal(signal.SIGTERM)
    around.proxy.stopping.errback(ZeroDivisionError())
    assert [arguments for _, *arguments in at_exit] == [[1]]
    assert len(logged_failures.flush(ZeroDivisionError)) == 1


@pytest.mark.parametrize(
    ("when", "fault", "words"),
    [
        ("bind", ListenError("`tcp:80`: taken"), "`tcp:80`: taken"),
        ("start", PermissionError(13, "Permission denied", "/x/y"), "log_dir cannot be written to: Permission denied: /x/y"),
        ("start", HintKeyError("state_dir cannot be used: it"), "state_dir cannot be used: it"),
        ("start", CannotListenError("127.0.0.1", 80, OSError(98, "in use")), "Couldn't listen on 127.0.0.1:80"),
    ],
)
def test_a_start_that_cannot_be(when: str, fault: Exception, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    """In the foreground one line and status 1; daemonised an exception whose first bytes twistd's parent shows."""
    around = Around()
    setattr(around.proxy, f"{when}_fault", fault)
    with pytest.raises(SystemExit) as ended:
        around.start()
    assert ended.value.code == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"awfproxy: {words}")
    around = Around(foreground=False)
    setattr(around.proxy, f"{when}_fault", fault)
    with pytest.raises(StartFailure) as refused:
        around.start()
    assert str(refused.value).startswith(words)


def test_a_defect_is_not_told_as_a_refusal() -> None:
    """It keeps its traceback."""
    around = Around()
    around.proxy.start_fault = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        around.start()
