"""Where the windows of this process are held: its file (`holdings_file`), made when the first budget needs it.

A budget for whose window there is no place (the file is full, or the disk) cannot be spent; the others can.  `trouble`
says it as long as somebody lacks one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

import txaio

from awfproxy.core.holdings import Holding
from awfproxy.ledger.facts import Holder, Window
from awfproxy.server.holdings_file import HoldingsFile, HoldingsFull

txaio.use_twisted()
log = txaio.make_logger()


class Places:
    """See the module.

    :param instance: this installation's id
    :param open_file: makes the file
    """

    def __init__(self, instance: str, open_file: Callable[[], HoldingsFile]) -> None:
        #: this process, as the ledger knows it, once there is a file
        self.holder = Holder(instance, 0)
        self._open_file = open_file
        self._file: HoldingsFile | None = None
        #: who lacks a place, and why
        self._without: dict[Hashable, str] = {}

    @property
    def trouble(self) -> str | None:
        """Why somebody cannot spend; None: everybody can."""
        why = next(iter(self._without.values()), None)
        return None if why is None else f"budgets cannot be spent: {why}"

    def take(self, window: Window, whose: Hashable) -> Holding | None:
        """A new holding; None: there is no place for one, which is said until ``whose`` gets one."""
        try:
            if self._file is None:
                self._file = self._open_file()
                self.holder = Holder(self.holder.instance, self._file.number)
            holding = self._file.holding(window)
        except (OSError, HoldingsFull) as error:
            before = self.trouble
            self._without[whose] = str(getattr(error, "strerror", None) or error)
            if before is None:
                log.error("{trouble}", trouble=self.trouble)
            return None
        self.content(whose)
        return holding

    def content(self, whose: Hashable) -> None:
        """They lack nothing."""
        self._without.pop(whose, None)

    def leave(self, holding: Holding) -> None:
        """Its place is free again; see `HoldingsFile.close_holding`."""
        if self._file is not None:
            self._file.close_holding(holding)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
