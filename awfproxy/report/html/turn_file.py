"""What `awf logs turns` wrote, as far as the page shows it.

Rules: a row counts once, by its session, turn, run and sub-agent, the first that is met; of many turns the dearest are
kept.  A count that is absent is not known.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from heapq import heappush, heappushpop
from typing import IO, Annotated, Final, Literal

import msgspec
from msgspec import Meta

from awfproxy.report.lines import Lines, find_files
from awfproxy.report.rows import Count

#: how the names of these files begin
TURNS: Final = "token-usage-by-turn"
#: turns that are kept, the dearest: a session of the longest that is drawn has `plots.COLUMNS_MAX`; some 10 MB
TURNS_MAX: Final = 10_000
#: rows that are read: 500,000 calls are the most that `awf logs turns` takes
ROWS_MAX: Final = 500_000

_Usd = Annotated[float, Meta(ge=0, le=1e12)]


class Turn(msgspec.Struct, gc=False):
    """A row of the file."""

    event: Literal["turn", "unmatched"]
    calls: Count
    run: str | None = None
    agent: str | None = None
    session: str | None = None
    conversation: str | None = None
    turn: Count | None = None
    subagent: str | None = None
    reason: str | None = None
    begin: str | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    all_tokens: Count | None = None
    context_max: Count | None = None
    tool_calls: Count | None = None
    tools: dict[str, int] | None = None
    cost_usd: _Usd | None = None
    confidence: float | None = None

    @property
    def name(self) -> str:
        """Of the session, or what stands for it."""
        return self.session or self.conversation or "(no session)"

    @property
    def worth(self) -> tuple[float, int]:
        """For sorting: money first."""
        return self.cost_usd or 0.0, self.all_tokens or 0


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
        lines = Lines(files, stdin)
        met: set[int] = set()
        for number, line in enumerate(lines):
            if number >= ROWS_MAX:
                self.troubles.append(f"More than {ROWS_MAX:,} turns: the others were not read.")
                break
            try:
                turn = _decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                self.skipped += not line.isspace()
                continue
            key = hash((turn.event, turn.run, turn.agent, turn.name, turn.turn, turn.subagent, turn.reason, turn.begin))
            if key not in met:
                met.add(key)
                self._add(turn, number)
        self.troubles += lines.troubles

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


def files_of(paths: Sequence[str]) -> list[str]:
    """The files of turns, told by their names: those named, those in folders and in the folders within."""
    return [path for path in find_files(paths, TURNS, "\0") if os.path.basename(path).startswith(TURNS)]


_decode: Final = msgspec.json.Decoder(Turn).decode
