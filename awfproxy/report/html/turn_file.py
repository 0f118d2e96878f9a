"""What `awf logs turns` wrote, as far as the page shows it.

Rules: of many turns the dearest are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappush, heappushpop
from typing import IO, Final

from awfproxy.report.lines import Lines
from awfproxy.report.turns.turn_file import Turn, TurnRows

#: turns that are kept, the dearest: a session of the longest that is drawn has `plots.COLUMNS_MAX`; some 10 MB
TURNS_MAX: Final = 10_000


class TurnFile:
    """All turns of all files."""

    def __init__(self) -> None:
        #: turns and calls that were read
        self.turns = 0
        self.calls = 0
        #: calls of which no turn was found
        self.unmatched = 0
        self.cost = 0.0
        self.tokens = 0
        #: lines that are no rows
        self.skipped = 0
        self.troubles: list[str] = []
        self._kept: list[tuple[tuple[float, int], int, Turn]] = []

    def read(self, files: Sequence[str], stdin: IO[bytes] | None = None) -> None:
        """Every row of the files."""
        rows = TurnRows(Lines(files, stdin))
        for number, turn in enumerate(rows):
            self._add(turn, number)
        self.skipped += rows.skipped
        self.troubles += rows.troubles

    def _add(self, turn: Turn, number: int) -> None:
        self.calls += turn.calls
        self.cost += turn.cost_usd or 0.0
        self.tokens += turn.all_tokens or 0
        if turn.event == "unmatched":
            self.unmatched += turn.calls
            return
        self.turns += 1
        entry = (turn.worth, -number, turn)
        if len(self._kept) < TURNS_MAX:
            heappush(self._kept, entry)
        else:
            heappushpop(self._kept, entry)

    def dearest(self) -> list[Turn]:
        """Those that are kept, the dearest first."""
        return [turn for _, _, turn in sorted(self._kept, key=lambda entry: entry[:2], reverse=True)]

    def sessions(self) -> list[tuple[str, list[Turn]]]:
        """Those that are kept by session, the dearest session first, its turns in order."""
        found: dict[str, list[Turn]] = {}
        for turn in self.dearest():
            found.setdefault(turn.name, []).append(turn)
        for turns in found.values():
            turns.sort(
                key=lambda turn: (turn.turn or 0, turn.subagent is not None, turn.begin or "", turn.subagent or "")
            )

        def worth(turns: list[Turn]) -> tuple[float, int]:
            return -sum(turn.cost_usd or 0.0 for turn in turns), -sum(turn.all_tokens or 0 for turn in turns)

        return sorted(found.items(), key=lambda each: (*worth(each[1]), each[0]))
