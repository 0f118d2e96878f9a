"""The listeners of a process that serves alone: those that only Twisted knows are given to whoever closes them all."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.testing import MemoryReactorClock

from awfproxy.core.secret import Secret
from awfproxy.core.settings_file import from_file
from awfproxy.server.listening import Listening
from awfproxy.server.network import Listener
from awfproxy.server.ports import Ports

CONFIG = """
[service]
state_dir = "/s"
log_dir = "/l"
[ports.plain]
provider = "openai"
listen = "tcp:0:interface=127.0.0.1"
[ports.slow]
provider = "openai"
listen = "haproxy:tcp:port=8080:interface=127.0.0.1"
"""


class Kept:
    """Stands for the ports: keeps what it is to close, and which of them are to accept calls."""

    def __init__(self) -> None:
        self.shared = SimpleNamespace(monotonic=lambda: 0.0)
        self.listeners: list[Listener] = []
        self.opened: list[str] = []

    def add(self, listener: Listener) -> None:
        self.listeners.append(listener)

    def listen(self, name: str, opened: Any, certificates: Any) -> Listener:
        opened.close()
        self.opened.append(name)
        return cast("Listener", SimpleNamespace(close=lambda: None))


def test_a_stop_before_the_start_closes_them_all() -> None:
    """Calls are accepted at once where only Twisted knows how to listen: a stop while the start waits finds it open,
    and closes it.  The others do not accept until the start, and need nothing but to let go of their sockets."""
    settings = from_file(
        CONFIG, "a.toml", {"HOME": "/h"}, directory="/", file_directory="/", read=lambda kind, name: Secret("k" * 20)
    )
    reactor, kept = MemoryReactorClock(), Kept()
    listening = Listening(reactor, cast("Ports", kept))
    listening.bind(settings.ports)
    listening.open()
    assert len(kept.listeners) == 1 and not kept.opened
    (listens,) = reactor.tcpServers
    assert listens[0] == 8080
    closed = []
    kept.listeners[0].port = SimpleNamespace(stopListening=lambda: closed.append(8080))  # type: ignore[attr-defined]
    kept.listeners[0].close()
    listening.close()
    assert closed == [8080]
