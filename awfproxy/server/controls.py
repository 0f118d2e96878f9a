"""What the admin socket may have done: the seam between it and whoever owns ledger, ports and workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec
from twisted.internet.defer import Deferred

from awfproxy.core.settings import Settings
from awfproxy.ledger.interface import Ledger

T = TypeVar("T")


class Reloaded(msgspec.Struct, frozen=True):
    """What became of `Controls.reload`."""

    #: the new settings are in effect; else the old ones are
    done: bool
    #: whole sentences: why not, or what needs a restart
    lines: list[str] = []
    #: whole sentences: what is in effect and may not be what is wanted (`Settings.warnings`), of what is new
    notes: list[str] = []


class Controls(Protocol):
    """For the reactor thread only."""

    @property
    def settings(self) -> Settings:
        """Those in effect now."""

    def on_ledger(self, operation: Callable[[Ledger], T]) -> Deferred[T]:
        """Have the ledger's thread do something.

        :returns: fires with its result; fails with `errors.LedgerUnavailable`
        """

    def budgets_changed(self) -> None:
        """Stored settings are others now: have all processes take them over."""

    def reload(self) -> Deferred[Reloaded]:
        """Read the configuration again, as SIGHUP has it done; never fails."""

    def drain(self) -> None:
        """Begin to stop, as SIGTERM has it done, in a later turn: the answer is still to be sent."""
