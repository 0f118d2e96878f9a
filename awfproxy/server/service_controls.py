"""`controls.Controls` over the service itself: what the admin socket asks for is done here."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from awfproxy.core.settings import Settings
from awfproxy.ledger.interface import Ledger
from awfproxy.server.books import Books
from awfproxy.server.controls import Reloaded
from awfproxy.server.reloading import Owner, Reloading

T = TypeVar("T")


class ServiceControls:
    """Of one process alone, or of the supervisor.

    :param owner: of the settings
    """

    def __init__(self, owner: Owner, books: Books, reactor: Any, reloading: Reloading) -> None:
        self._owner = owner
        self._books = books
        self._reactor = reactor
        self._reloading = reloading

    @property
    def settings(self) -> Settings:
        return self._owner.settings

    def on_ledger(self, operation: Callable[[Ledger], T]) -> Deferred[T]:
        return self._books.on_ledger(operation)

    def budgets_changed(self) -> None:
        self._books.look()

    def reload(self) -> Deferred[Reloaded]:
        return self._reloading.ask()

    def drain(self) -> None:
        # the signal itself: a second one ends the drain, also one that comes this way
        self._reactor.callLater(0, os.kill, os.getpid(), signal.SIGTERM)
