"""`controls.Controls` on a ledger in memory, for tests: notes what it was asked to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred, fail, succeed

from awfproxy.core.settings import Settings
from awfproxy.ledger.errors import LedgerUnavailable
from awfproxy.ledger.interface import Ledger
from awfproxy.ledger.memory import MemoryLedger
from awfproxy.server.controls import Reloaded

T = TypeVar("T")


class MemoryControls:
    """See `controls.Controls`."""

    def __init__(self, settings: Settings, ledger: Ledger | None = None) -> None:
        self.settings = settings
        self.ledger = ledger or MemoryLedger()
        #: why the ledger cannot be used; None: it can
        self.trouble: str | None = None
        #: what the next reload comes to
        self.reloaded = Reloaded(True)
        #: what was called
        self.done: list[str] = []

    def on_ledger(self, operation: Callable[[Ledger], T]) -> Deferred[T]:
        if self.trouble is not None:
            return fail(LedgerUnavailable(self.trouble))
        try:
            return succeed(operation(self.ledger))
        except LedgerUnavailable as error:
            return fail(error)

    def budgets_changed(self) -> None:
        self.done.append("budgets_changed")

    def reload(self) -> Deferred[Reloaded]:
        self.done.append("reload")
        return succeed(self.reloaded)

    def drain(self) -> None:
        self.done.append("drain")
