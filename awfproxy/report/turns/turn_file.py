"""Reading what `awf logs turns` wrote.

Rules: a row counts once, by its session, turn, run and sub-agent, the first that is met.  A count that is absent is not
known.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from awfproxy.report.lines import Lines, find_files
from awfproxy.report.rows import Count

#: how the names of these files begin
TURNS: Final = "token-usage-by-turn"
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
    reasoning_tokens: Count | None = None
    all_tokens: Count | None = None
    #: of how many calls each figure is not known
    unknown: dict[str, Count] | None = None
    #: calls by model, the most used ones
    models: dict[str, Count] | None = None
    #: calls by where their figures are from
    sources: dict[str, Count] | None = None
    context_max: Count | None = None
    tool_calls: Count | None = None
    tools: dict[str, int] | None = None
    cost_usd: _Usd | None = None
    unpriced_calls: Count | None = None
    #: of the calls those whose cost is not known, or not all of it
    cost_unknown_calls: Count | None = None
    confidence: float | None = None

    @property
    def when(self) -> str | None:
        """The time that it belongs to: when its first call began."""
        return self.begin

    @property
    def model(self) -> str | None:
        """The model of all its calls; None: there are several, or none was named."""
        return next(iter(self.models)) if self.models is not None and len(self.models) == 1 else None

    @property
    def name(self) -> str:
        """Of the session, or what stands for it."""
        return self.session or self.conversation or "(no session)"

    @property
    def worth(self) -> tuple[float, int]:
        """For sorting: money first."""
        return self.cost_usd or 0.0, self.all_tokens or 0


class TurnRows:
    """All rows of these lines, one pass; afterwards the counts say what was left out."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        #: lines that are no rows
        self.skipped = 0
        #: rows that were met before
        self.repeated = 0
        #: whole sentences, those about the files among them
        self.troubles: list[str] = []

    def __iter__(self) -> Iterator[Turn]:
        met: set[int] = set()
        for number, line in enumerate(self._lines):
            if number >= ROWS_MAX:
                self.troubles.append(f"More than {ROWS_MAX:,} turns: the others were not read.")
                break
            turn = read_turn(line)
            if turn is None:
                self.skipped += not line.isspace()
                continue
            key = hash((turn.event, turn.run, turn.agent, turn.name, turn.turn, turn.subagent, turn.reason, turn.begin))
            if key in met:
                self.repeated += 1
                continue
            met.add(key)
            yield turn
        self.troubles += self._lines.troubles


def read_turn(line: bytes) -> Turn | None:
    """The row of a line; None: it is none."""
    try:
        return _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def files_of(paths: Sequence[str]) -> list[str]:
    """The files of turns, told by their names: those named, those in folders and in the folders within."""
    return [path for path in find_files(paths, TURNS, "\0") if os.path.basename(path).startswith(TURNS)]


_decode: Final = msgspec.json.Decoder(Turn).decode
