"""Which soft caps were said to be passed, and which of that is still to be told: ``state_dir/alerts.json``.

So each budget's soft cap is told once a window, by however many processes and over restarts.

Rules:
- What is noted is written whole, at each change, by whoever has the service's lock.  What was lost with a disk is noted
  again, and told again.
- Windows that ended more than `KEPT_AFTER_END` ago go; of more than `ENTRIES_MAX` those that end first.
- A file that cannot be read as what was written is as none.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from awfproxy.core.alerts import Alert
from awfproxy.core.budgets import Scope
from awfproxy.core.undecodable import UNDECODABLE
from awfproxy.core.windows import Period

NAME: Final = "alerts.json"
#: seconds after a window's end for which its alert is worth telling, by a service that was stopped meanwhile
KEPT_AFTER_END: Final = 86_400.0
#: windows whose soft cap was passed: of some hundred budgets, in the period that ends and the one that begins
ENTRIES_MAX: Final = 1024
#: bytes of the file: names have 256 bytes each, six times that escaped
FILE_MAX: Final = ENTRIES_MAX * 4096

#: it was logged, and there was nobody else to tell; it is to be told; it was told, or given up
State = Literal["said", "pending", "over"]
Key = tuple[Scope, Period, int]


class Entry(msgspec.Struct):
    """One alert, and what became of it."""

    alert: Alert
    state: State


class AlertBook:
    """What is noted.

    :param text: what the file holds; None: there is none
    :param now: seconds since the epoch
    """

    def __init__(self, text: bytes | None, now: float) -> None:
        #: the file's content could not be read
        self.damaged = False
        self._entries: dict[Key, Entry] = {}
        try:
            entries = [] if text is None else msgspec.json.decode(text, type=list[Entry])
        except UNDECODABLE:
            self.damaged, entries = True, []
        for entry in entries:
            self._entries[entry.alert.window] = entry
        self._tidy(now)

    def of(self, alert: Alert) -> Entry | None:
        """What was noted of an alert's window."""
        return self._entries.get(alert.window)

    def note(self, alert: Alert, state: State) -> Entry:
        """Note one that is not there yet."""
        entry = self._entries[alert.window] = Entry(alert, state)
        self._tidy(alert.at)
        return entry

    @property
    def pending(self) -> list[Entry]:
        """What is still to be told."""
        return [entry for entry in self._entries.values() if entry.state == "pending"]

    def encode(self) -> bytes:
        """The file's content."""
        return msgspec.json.encode(list(self._entries.values()))

    def _tidy(self, now: float) -> None:
        over = [key for key, entry in self._entries.items() if entry.alert.window_end + KEPT_AFTER_END < now]
        for key in over:
            del self._entries[key]
        if len(self._entries) > ENTRIES_MAX:
            by_end = sorted(self._entries, key=lambda key: self._entries[key].alert.window_end)
            for key in by_end[: len(by_end) - ENTRIES_MAX]:
                del self._entries[key]
