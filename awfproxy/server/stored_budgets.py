"""What was last seen stored of budgets (`awf budget set`), for a start without the ledger: ``state_dir/budgets.json``.

Rules:
- The file is written whole, by the ledger's thread, each time that something else was seen.
- Where there is none, nothing was ever seen: this installation has not met a ledger yet.
- What is in it is read as what somebody kept (`budgets.stored`): a field that is wrong has its default.  A file that
  cannot be read as a list of settings tells nothing, and nobody knows what was stored.
"""

from __future__ import annotations

import os
from typing import Final

import msgspec

from awfproxy.ledger.facts import Setting
from awfproxy.server.kept_file import found, replace

NAME: Final = "budgets.json"
#: bytes of the file: tens of thousands of budgets
FILE_MAX: Final = 16 * 1024 * 1024


class StoredBudgets:
    """The file of one installation."""

    def __init__(self, state_dir: str) -> None:
        self._path = os.path.join(state_dir, NAME)
        self._content: bytes | None = None
        #: why what is seen cannot be kept; None: it can
        self.trouble: str | None = None

    def read(self) -> list[Setting] | None:
        """What was last seen; None: nobody knows."""
        try:
            content = found(self._path, FILE_MAX)
            settings = [] if content is None else msgspec.json.decode(content, type=list[Setting])
        except (OSError, msgspec.MsgspecError, RecursionError):
            return None
        self._content = content
        return settings

    def keep(self, settings: list[Setting]) -> list[Setting]:
        """They are what was seen last; returns them.  Blocks."""
        content = msgspec.json.encode(settings)
        if content != self._content:
            try:
                replace(self._path, content)
            except OSError as error:
                self.trouble = f"state_dir: {NAME} cannot be written: {error.strerror or error}"
                return settings
            self._content = content
        self.trouble = None
        return settings
