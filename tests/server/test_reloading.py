"""Reloads one after the other: what is read, what is taken over, what is said; with a file and an owner in memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from awfproxy.core.credentials import CredentialKind
from awfproxy.core.secret import Secret
from awfproxy.core.settings import Database, KeyFile, Port, Service, Settings, SettingsError, Upstream
from awfproxy.core.settings_change import Change
from awfproxy.server.controls import Reloaded
from awfproxy.server.key_watch import LOOK_SECONDS
from awfproxy.server.reloading import NO_NEW_VARIABLES, STOPPING, Reloading
from awfproxy.server.sockets import ListenError
from tests.conftest import LoggedFailures

PLACE = ("ports", "p", "credential")
PORT = Port(name="p", listen="tcp:1", provider="openai", upstream=Upstream("http", "u", 1), credential=Secret("key-0"))
SETTINGS = Settings(
    service=Service(log_dir="", state_dir="", admin="", ledger=Database("sqlite:////l")),
    ports=(PORT,), source="f", key_files=(KeyFile(PLACE, "file", "key"),),
)  # fmt: skip


def keyed(key: str) -> Settings:
    """The settings with another key."""
    return msgspec.structs.replace(SETTINGS, ports=(msgspec.structs.replace(PORT, credential=Secret(key)),))


class Around:
    """A source, an owner, and a thread that does its work when it is told to."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.settings = SETTINGS
        #: what is read next: settings, or what is raised
        self.file: Settings | Exception = SETTINGS
        self.key_file = "key-0"
        #: what was done, in order
        self.done: list[str] = []
        self.apply_fault: Exception | None = None
        #: take-overs that wait for workers; None: they do not
        self.workers: list[Deferred[None]] | None = None
        self.waiting: list[tuple[Deferred[Any], Callable[[], Any]]] = []
        self.threads_wait = False
        self.reloading = Reloading(self, self, self.clock, lambda: 1000 + self.clock.seconds(), self.in_thread)
        self.reloading.start()

    # -- as its source

    def read(self) -> Settings:
        self.done.append("read")
        if isinstance(self.file, Exception):
            raise self.file
        return self.file

    def key(self, kind: CredentialKind, name: str) -> Secret | str | None:
        return Secret(self.key_file)

    def identity(self, kind: CredentialKind, name: str) -> Hashable:
        return self.key_file

    # -- as its owner

    def reopen(self) -> None:
        self.done.append("reopen")

    def take_over(self, change: Change) -> Deferred[None]:
        if self.apply_fault is not None:
            return Deferred.fromCoroutine(self._fail(self.apply_fault))
        self.settings = change.settings
        self.done.append("take over")
        if self.workers is None:
            return succeed(None)
        self.workers.append(Deferred())
        return self.workers[-1]

    async def _fail(self, fault: Exception) -> None:
        raise fault

    def in_thread(self, function: Callable[[], Any]) -> Deferred[Any]:
        if not self.threads_wait:
            return Deferred.fromCoroutine(self._run(function))
        waiting: Deferred[Any] = Deferred()
        self.waiting.append((waiting, function))
        return waiting

    async def _run(self, function: Callable[[], Any]) -> Any:
        return function()

    def threads(self) -> None:
        """They do what waits for them now."""
        for waiting, function in self.waiting[:]:
            self.waiting.remove((waiting, function))
            Deferred.fromCoroutine(self._run(function)).chainDeferred(waiting)

    def ask(self) -> list[Reloaded]:
        """Ask; the answer, once it is there."""
        found: list[Reloaded] = []
        self.reloading.ask().addCallback(found.append)
        return found


def test_it_is_read_and_taken_over() -> None:
    """The files of the journal are opened first, whatever comes of the rest."""
    around = Around()
    assert around.reloading.figures.succeeded_at == 1000
    around.file = keyed("key-1")
    around.clock.advance(0.5)
    assert around.ask() == [Reloaded(True, ["Port changed: p."])]
    assert around.done == ["reopen", "read", "take over"]
    assert around.settings.ports == around.file.ports
    figures = around.reloading.figures
    assert (figures.applied, figures.refused, figures.successful, figures.succeeded_at) == (1, 0, True, 1000.5)


def test_what_may_not_be_as_it_is_wanted_is_told(logged: list[str]) -> None:
    """To who asked and in the log, once; of variables also that a running process gets no others."""
    around = Around()
    sources = {"ports.p.credential": "f:4, environment NEW_KEY"}
    unset = msgspec.structs.replace(PORT, credential=None)
    warning = "f:4: NEW_KEY is not set in the environment; the calls of `ports.p` will be refused."
    around.file = msgspec.structs.replace(SETTINGS, ports=(unset,), sources=sources, warnings=(warning,))
    assert around.ask() == [Reloaded(True, ["Port changed: p."], [warning, NO_NEW_VARIABLES])]
    assert logged.count(warning) == logged.count(NO_NEW_VARIABLES) == 1
    assert around.ask() == [Reloaded(True, ["The configuration is what it was."])]
    around.file = msgspec.structs.replace(around.file, warnings=(warning, "f:9: hm."))
    (again,) = around.ask()
    assert again.notes == ["f:9: hm."]


def test_what_is_wrong_is_refused_whole() -> None:
    """All of it is told; `/health` says how much until it is right again, and nothing of what."""
    around = Around()
    around.file = SettingsError(["f:1: this.", "f:2: that."])
    assert around.ask() == [Reloaded(False, ["f:1: this.", "f:2: that."])]
    assert around.settings is SETTINGS
    said = around.reloading.condition()
    assert said is not None and "2 faults" in said and "this" not in said
    figures = around.reloading.figures
    assert (figures.applied, figures.refused, figures.successful, figures.succeeded_at) == (0, 1, False, 1000)
    around.file = SETTINGS
    assert around.ask() == [Reloaded(True, ["The configuration is what it was."])]
    assert around.reloading.condition() is None and around.reloading.figures.successful


def test_an_address_that_cannot_be_had(logged_failures: LoggedFailures) -> None:
    """Is a fault as any other; a defect is one too, and is logged as one."""
    around = Around()
    around.apply_fault = ListenError("`tcp:2`: taken")
    assert around.ask() == [Reloaded(False, ["`tcp:2`: taken."])]
    around.apply_fault = ZeroDivisionError()
    (reloaded,) = around.ask()
    assert not reloaded.done and "defect" in reloaded.lines[0]
    assert len(logged_failures.flush(ZeroDivisionError)) == 1
    around.apply_fault = None
    assert around.ask()[0].done


def test_those_who_ask_meanwhile_get_one_more() -> None:
    """All together, after it: however many they are."""
    around = Around()
    around.threads_wait = True
    first = around.ask()
    later = [around.ask() for _ in range(200)]
    around.threads()
    assert first == [Reloaded(True, ["The configuration is what it was."])] and not any(later)
    around.file = keyed("key-1")
    around.threads()
    assert all(each == [Reloaded(True, ["Port changed: p."])] for each in later)
    assert around.done.count("read") == 2 and not around.waiting


def test_it_is_answered_when_all_processes_have_it() -> None:
    """Not before."""
    around = Around()
    around.workers = []
    around.file = keyed("key-1")
    answer = around.ask()
    assert not answer
    around.workers[0].callback(None)
    assert answer


def test_at_the_end_nothing_is_taken_over() -> None:
    """What was read meanwhile neither."""
    around = Around()
    around.threads_wait = True
    around.file = keyed("key-1")
    under_way = around.ask()
    around.reloading.stop()
    around.threads()
    assert under_way == around.ask() == [Reloaded(False, [STOPPING])]
    assert around.settings is SETTINGS and around.reloading.figures.refused == 0


def test_a_file_of_a_key_is_a_change_as_any_other() -> None:
    """Nothing else is read, and it is no reload."""
    around = Around()
    around.clock.advance(LOOK_SECONDS)
    around.clock.advance(LOOK_SECONDS)
    around.key_file = "key-1"
    around.clock.advance(LOOK_SECONDS)
    around.clock.advance(LOOK_SECONDS)
    assert around.settings.ports == keyed("key-1").ports
    assert around.done == ["take over"] and around.reloading.figures.applied == 0


def test_a_key_that_was_found_before_a_reload_is_not_used_after_it() -> None:
    """The reload has read what is there now."""
    around = Around()
    around.workers = []
    around.file = keyed("key-1")
    answer = around.ask()
    around.key_file = "key-old"
    for _ in range(3):
        around.clock.advance(LOOK_SECONDS)
    around.key_file = "key-1"
    around.workers[0].callback(None)
    assert answer and around.done.count("take over") == 1
    for _ in range(3):
        around.clock.advance(LOOK_SECONDS)
    assert around.settings.ports == keyed("key-1").ports and around.done.count("take over") == 1


def test_keys_that_cannot_be_taken_over(logged_failures: LoggedFailures) -> None:
    """A defect is logged once, and looks go on."""
    around = Around()
    around.apply_fault = ZeroDivisionError()
    around.key_file = "key-1"
    for _ in range(5):
        around.clock.advance(LOOK_SECONDS)
    assert len(logged_failures.flush(ZeroDivisionError)) == 1
    around.apply_fault = None
    around.key_file = "key-2"
    for _ in range(3):
        around.clock.advance(LOOK_SECONDS)
    assert around.settings.ports == keyed("key-2").ports
