"""`controls.Controls` over the service itself: what the admin socket asks for is done here."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, succeed

from awfproxy.core.settings import Settings
from awfproxy.ledger.interface import Ledger
from awfproxy.server.books import Books
from awfproxy.server.controls import Reloaded

T = TypeVar("T")

#: what a reload does not do yet, in words
NOT_RELOADED = "The log files were opened anew; the configuration is read at the start only: restart to change it."


class ServiceControls:
    """Of one process alone, or of the supervisor.

    :param reopen: opens the files of the journal anew
    """

    def __init__(self, settings: Settings, books: Books, reactor: Any, reopen: Callable[[], None]) -> None:
        self.settings = settings
        self._books = books
        self._reactor = reactor
        self._reopen = reopen

    def on_ledger(self, operation: Callable[[Ledger], T]) -> Deferred[T]:
        return self._books.on_ledger(operation)

    def budgets_changed(self) -> None:
        self._books.look()

    def reload(self) -> Deferred[Reloaded]:
        self._reopen()
        return succeed(Reloaded(False, [NOT_RELOADED]))

    def drain(self) -> None:
        # the signal itself: a second one ends the drain, also one that comes this way
        self._reactor.callLater(0, os.kill, os.getpid(), signal.SIGTERM)
