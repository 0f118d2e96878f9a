"""Files of keys that become others: what is noticed, when, and what is said."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from awfproxy.core.credentials import CredentialKind
from awfproxy.core.key_files import with_keys
from awfproxy.core.secret import Secret
from awfproxy.core.settings import Client, Database, KeyFile, Port, Service, Settings, Upstream
from awfproxy.core.toml_lines import Path
from awfproxy.server.key_watch import LOOK_SECONDS, KeyWatch, key_at

PORT = ("ports", "p", "credential")
CLIENT = ("ports", "p", "clients", "c", "key")
FILES = (KeyFile(PORT, "file", "port"), KeyFile(CLIENT, "systemd", "client"))


class Files:
    """What the files are; a write makes each another one."""

    def __init__(self) -> None:
        self.content: dict[str, Secret | str | None] = {}
        self.version: dict[str, int] = {}
        self.reads = 0
        #: done as a file is read
        self.meanwhile: Callable[[], None] = lambda: None

    def write(self, name: str, content: Secret | str | None) -> None:
        """A key, what is wrong with it, or no file."""
        self.content[name] = content
        self.version[name] = self.version.get(name, 0) + 1

    def key(self, kind: CredentialKind, name: str) -> Secret | str | None:
        self.reads += 1
        self.meanwhile()
        return self.content[name] or "names a file that is not there"

    def identity(self, kind: CredentialKind, name: str) -> Hashable:
        return None if self.content[name] is None else self.version[name]


class Around:
    """A watch, with settings that take keys over as the service does."""

    def __init__(self) -> None:
        self.files, self.clock = Files(), Clock()
        self.files.write("port", Secret("port-key-0"))
        self.files.write("client", Secret("client-key-0123456789"))
        client = Client(name="c", key=Secret("client-key-0123456789"), user="c")
        port = Port(
            name="p", listen="tcp:1", provider="openai", upstream=Upstream("http", "u", 1),
            credential=Secret("port-key-0"), clients=(client,),
        )  # fmt: skip
        service = Service(log_dir="", state_dir="", admin="", ledger=Database("sqlite:////l"))
        self.settings = Settings(service=service, ports=(port,), source="test", key_files=FILES)
        self.changes = 0
        #: a look that has not come back
        self.held: list[tuple[Deferred[Any], Any]] | None = None
        self.watch = KeyWatch(self.files, lambda: self.settings, self.changed, self.in_thread, self.clock)
        self.watch.start()

    def in_thread(self, function: Callable[[], Any]) -> Deferred[Any]:
        if self.held is None:
            return succeed(function())
        waiting: Deferred[Any] = Deferred()
        self.held.append((waiting, function()))
        return waiting

    def changed(self, found: dict[Path, Secret]) -> None:
        self.changes += 1
        self.settings, problems = with_keys(self.settings, found)
        self.watch.taken(found, problems)

    def looks(self, count: int = 2) -> None:
        """Time for so many."""
        for _ in range(count):
            self.clock.advance(LOOK_SECONDS)

    @property
    def keys(self) -> tuple[Secret | None, Secret | None]:
        """In use."""
        return key_at(self.settings, PORT), key_at(self.settings, CLIENT)


def test_another_key_is_used_once_its_file_stays_the_same() -> None:
    """Two looks; not before, as somebody may still write; and files are not read again for nothing."""
    around = Around()
    around.looks(5)
    assert around.changes == 0 and around.files.reads == 2, "each once, to begin with"
    around.files.write("port", Secret("port-key-1"))
    around.looks(1)
    around.files.write("port", Secret("port-key-2"))
    around.looks(1)
    assert around.changes == 0
    around.looks(1)
    assert around.keys[0] == Secret("port-key-2") and around.changes == 1
    around.looks(5)
    assert around.files.reads == 3 and around.watch.condition() is None


def test_that_another_key_is_in_use_is_told(logged: list[str]) -> None:
    """Once for each, with its place and never the key; also after trouble, and not where it is the same again."""
    around = Around()
    around.looks()
    around.files.write("port", Secret("port-key-1"))
    around.looks(5)
    assert logged == ["`ports.p.credential`: the key in its file is another one, and is in use"]
    around.files.write("port", None)
    around.looks(3)
    around.files.write("port", Secret("port-key-2"))
    around.looks(3)
    assert logged[2:] == ["`ports.p.credential` is well again, with another key"]
    around.files.write("port", None)
    around.looks(3)
    around.files.write("port", Secret("port-key-2"))
    around.looks(3)
    assert logged[4:] == ["`ports.p.credential` is well again"]


def test_a_key_that_is_written_while_it_is_read_is_not_used() -> None:
    """It was another file before and after."""
    around = Around()
    around.looks()
    around.files.write("port", Secret("half"))
    around.looks(1)
    around.files.meanwhile = lambda: around.files.write("port", Secret("port-key-1"))
    around.looks(1)
    assert around.keys[0] == Secret("port-key-0")
    around.files.meanwhile = lambda: None
    around.looks(3)
    assert around.keys[0] == Secret("port-key-1")


@pytest.mark.parametrize("wrong", [None, "is not usable: the credential is empty", Secret("too-short")])
def test_a_wrong_key_leaves_the_one_before(wrong: Secret | str | None) -> None:
    """It is said as long as it is so, with the place and nothing else."""
    around = Around()
    around.looks()
    around.files.write("client", wrong)
    around.looks(3)
    assert around.keys[1] == Secret("client-key-0123456789")
    said = around.watch.condition()
    assert said is not None and "ports.p.clients.c.key" in said and "too-short" not in said
    around.looks(3)
    around.files.write("client", Secret("client-key-9876543210"))
    around.looks(3)
    assert around.keys[1] == Secret("client-key-9876543210") and around.watch.condition() is None


def test_the_key_of_somebody_else_is_used_once_it_is_free() -> None:
    """It is tried again without another change of its own file."""
    around = Around()
    around.looks()
    taken = Secret("port-key-which-is-long")
    around.files.write("port", taken)
    around.looks(3)
    around.files.write("client", taken)
    around.looks(3)
    assert around.keys == (taken, Secret("client-key-0123456789")) and around.watch.condition() is not None
    around.files.write("port", Secret("port-key-2"))
    around.looks(4)
    assert around.keys == (Secret("port-key-2"), taken) and around.watch.condition() is None


def test_what_comes_back_to_what_is_in_use() -> None:
    """A file that was gone and is there again with the same key: well, and nothing to take over."""
    around = Around()
    around.looks()
    around.files.write("port", None)
    around.looks(3)
    assert around.watch.condition() is not None
    around.files.write("port", Secret("port-key-0"))
    around.looks(3)
    assert around.watch.condition() is None and around.changes == 0


def test_a_look_from_before_a_reload_counts_for_nothing() -> None:
    """All was read anew meanwhile: what it saw may be older."""
    around = Around()
    around.looks()
    around.files.write("port", Secret("port-key-1"))
    around.looks(1)
    around.held = []
    around.looks(3)
    assert len(around.held) == 1, "one at a time"
    around.watch.forget()
    ((waiting, seen),), around.held = around.held, None
    waiting.callback(seen)
    assert around.changes == 0
    around.looks(3)
    assert around.keys[0] == Secret("port-key-1")


def test_a_file_that_could_never_be_read_is_not_looked_after() -> None:
    """Its key was read with other rights, and is right; from a reload on, which reads it, it is."""
    around = Around()
    around.files.write("port", "names a file that cannot be read: permission denied")
    around.looks(5)
    assert around.watch.condition() is None and around.keys[0] == Secret("port-key-0")
    around.watch.forget()
    around.looks(3)
    assert around.watch.condition() is not None


def test_no_files_are_no_work() -> None:
    """And places that there are not have no key."""
    around = Around()
    around.settings = Settings(service=around.settings.service, ports=(), source="test")
    around.looks(3)
    assert around.files.reads == 0
    assert key_at(around.settings, PORT) is None and key_at(around.settings, CLIENT) is None
    around.watch.stop()
    around.watch.stop()
