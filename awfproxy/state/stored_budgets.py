"""What was last seen stored of budgets (`awf budget set`), for a start without the ledger, and for a ledger that was
lost: ``state_dir/budgets.json``.

Rules:
- The file is written whole, each time that something else was seen: by the ledger's thread, or by a command that
  changes budgets of a stopped service.
- What was seen before and is not in the ledger now was lost with it, as an unset budget leaves its row: it is stored
  there again, before anything else is made of what the ledger says.
- Where there is none, nothing was ever seen: this installation has not met a ledger yet.
- What is in it is read as what somebody kept (`budgets.stored`): a field that is wrong has its default.  A file that
  cannot be read as a list of settings tells nothing, and nobody knows what was stored.
"""

from __future__ import annotations

import os
from typing import Final, NamedTuple

import msgspec

from awfproxy.core.undecodable import UNDECODABLE
from awfproxy.ledger.facts import Setting
from awfproxy.ledger.interface import Ledger
from awfproxy.state.kept_file import found, replace

NAME: Final = "budgets.json"
#: bytes of the file: tens of thousands of budgets
FILE_MAX: Final = 16 * 1024 * 1024


class Look(NamedTuple):
    """What a look at the ledger found."""

    #: all that is stored
    settings: list[Setting]
    #: those of them that the ledger had lost, and has again
    restored: list[Setting]


class StoredBudgets:
    """The file of one installation."""

    def __init__(self, state_dir: str) -> None:
        self._path = os.path.join(state_dir, NAME)
        self._content: bytes | None = None
        self._seen: list[Setting] = []
        #: why what is seen cannot be kept; None: it can
        self.trouble: str | None = None

    def read(self) -> list[Setting] | None:
        """What was last seen; None: nobody knows."""
        try:
            content = found(self._path, FILE_MAX)
            settings = [] if content is None else msgspec.json.decode(content, type=list[Setting])
        except (OSError, *UNDECODABLE):
            return None
        self._content = content
        self._seen = settings
        return settings

    def look(self, ledger: Ledger) -> Look:
        """What the ledger has, once it has again what it lost; keeps that.  Blocks.

        :raises LedgerUnavailable: as the ledger does; what was seen before stays
        """
        settings = ledger.settings()
        scopes = {setting.scope for setting in settings}
        lost = [setting for setting in self._seen if setting.scope not in scopes]
        restored = ledger.restore_settings(lost) if lost else []
        if lost:  # another host may have restored some of them meanwhile
            settings = ledger.settings()
        self.keep(settings)
        return Look(settings, restored)

    def keep(self, settings: list[Setting]) -> None:
        """They are what was seen last.  Blocks."""
        self._seen = settings
        content = msgspec.json.encode(settings)
        if content != self._content:
            try:
                replace(self._path, content)
            except OSError as error:
                self.trouble = f"state_dir: {NAME} cannot be written: {error.strerror or error}"
                return
            self._content = content
        self.trouble = None
