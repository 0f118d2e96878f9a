"""The report of token usage by turn, from what `awf logs turns` wrote.

Rules:

* Totals are the sums of the file's rows, and so those of the records from which it was made.
* A turn has all of its calls: a group is whole turns, by when they began, and filters leave out whole turns.  By model
  a turn whose calls were of several goes to `SEVERAL`.
* What was spent in a turn's sub-agents is a part of it.  Calls of which no turn was found have neither session nor
  turn.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import islice
from typing import IO, Final

from awfproxy.report.costs import PICO
from awfproxy.report.escaping import short
from awfproxy.report.filters import Filters
from awfproxy.report.lines import Lines, comes_once
from awfproxy.report.reading import many
from awfproxy.report.rows import MISTYPED
from awfproxy.report.sums import ELSEWHERE, OTHERS, SOURCES, Group, Groups, Key, Sum, Totals, named
from awfproxy.report.times import Hours
from awfproxy.report.token_usage import Usage
from awfproxy.report.totals import TIMES
from awfproxy.report.turns.turn_file import Turn, TurnRows, files_of, read_turn
from awfproxy.report.turns.writing import place_of

#: what is asked for, and the two things by which it is told
TURN: Final = "turn"
SESSION: Final = "session"
#: what turns can be grouped by besides
KEYS: Final = (*TIMES, "model", "run")
#: the model of turns that called several
SEVERAL: Final = "(several)"
#: turns that are told apart: about 60 MB
GROUPS_MAX: Final = 32_768
#: lines of a file that are looked at to know whether it is of turns
LOOKED_AT: Final = 1


class _Prices:
    """Where the costs are from."""

    description = "those that the turns were priced with when they were written"

    def __init__(self) -> None:
        self.assumed: dict[str, int] = {}


class TurnGroups(Groups):
    """Totals by turn.

    :param by: `TURN`, and names in `KEYS`
    """

    def __init__(self, by: Sequence[str]) -> None:
        super().__init__(part for name in by for part in ((SESSION, TURN) if name == TURN else (name,)))
        #: whether any row tells what it cost, or that it has no price
        self.priced = False
        self._hours = Hours()
        self._found: dict[Key, Totals] = {}
        #: of each group the place of its session and the number of its turn
        self._places: dict[Key, tuple[int, int]] = {}
        self._sessions: dict[str | None, int] = {}
        self._span: tuple[str, str] | None = None

    def add(self, turn: Turn) -> None:
        """One more row."""
        self.priced = self.priced or turn.cost_usd is not None or turn.unpriced_calls is not None
        key = tuple(self._part(name, turn) for name in self.by)
        if key not in self._found and len(self._found) >= GROUPS_MAX:
            self.overflowed += turn.calls
            key = (OTHERS,) * len(self.by)
        totals = self._found.get(key)
        if totals is None:
            totals = self._found[key] = Totals()
            session = key[self.by.index(SESSION)]
            place = self._sessions.setdefault(session, len(self._sessions))
            self._places[key] = (place, turn.turn or 0)
        totals.merge(totals_of(turn))
        hour = self._hours.hour(turn.begin)
        if hour is not None:
            first, last = self._span or (hour, hour)
            self._span = min(first, hour), max(last, hour)

    def _part(self, name: str, turn: Turn) -> str | None:
        if name == SESSION:
            session = turn.session or turn.conversation
            return None if turn.event != "turn" or session is None else short(session)
        if name == TURN:
            return None if turn.event != "turn" or turn.turn is None else str(turn.turn)
        if name == "model":
            if turn.model is None:
                return SEVERAL if turn.models else None
            return short(turn.model)
        if name == "run":
            return None if turn.run is None else short(turn.run)
        found: Callable[[str | None], str | None] = getattr(self._hours, name)
        return found(turn.begin)

    def groups(self) -> list[Group]:
        """The turns: days and hours in order, sessions as they are met, turns by number, what has none last."""

        def rank(group: Group) -> tuple[object, ...]:
            parts = zip(self.by, group.key, strict=True)
            times = tuple((part is None, part or "") for name, part in parts if name in TIMES)
            none = group.key[self.by.index(TURN)] is None
            return (*times, none, *self._places[group.key], -group.totals.total.known, named(group.key))

        return sorted((Group(key, totals) for key, totals in self._found.items()), key=rank)

    def overall(self) -> Totals:
        """All turns together."""
        totals = Totals()
        for each in self._found.values():
            totals.merge(each)
        return totals

    def unpriced(self) -> list[tuple[str | None, str | None, int, int]]:
        """None: turns do not say which of their calls have no price; their costs are least ones."""
        return []

    def span(self) -> tuple[str, str] | None:
        """The hours in which the first and the last turn began."""
        return self._span


def totals_of(turn: Turn) -> Totals:
    """What a row says, as a sum over its calls."""
    totals = Totals()
    totals.calls = turn.calls
    unknown = turn.unknown or {}
    for name, total in (*totals.sums.items(), ("all_tokens", totals.total)):
        count: int | None = getattr(turn, name)
        missing = min(unknown.get(name, 0 if count is not None else turn.calls), turn.calls)
        # A sum over everything read and written has a part of calls of which the rest is not known.
        known = turn.calls - missing or (turn.calls if count else 0)
        total.add(count or 0, 0 if count is None else known, missing)
    unpriced = min(turn.unpriced_calls or 0, turn.calls)
    cost = Sum()
    if turn.cost_usd is not None:
        # A price for what is known of a call is a part of its cost.
        missing = max(unpriced, totals.total.unknown, min(turn.cost_unknown_calls or 0, turn.calls))
        cost.add(round(turn.cost_usd * PICO), turn.calls - unpriced, missing)
    else:
        cost.add(0, 0, turn.calls)
    totals.cost = cost
    totals.unpriced = unpriced
    whole, output, cached = turn.all_tokens, turn.output_tokens, turn.cache_read_tokens
    told = not unknown.keys() & {"all_tokens", "output_tokens", "cache_read_tokens"}
    if told and whole is not None and output is not None and cached is not None:
        totals.tells_cache(whole - output, cached)
    for source, calls in (turn.sources or {}).items():
        totals.sources[source if source in SOURCES else ELSEWHERE] += calls
    return totals


class ByTurn(Usage):
    """Consumption by turn, and what was left out of it."""

    grouped: TurnGroups

    def __init__(self, by: Sequence[str], money: bool, filters: Filters | None = None) -> None:
        super().__init__(TurnGroups(by), None, filters)
        self._money = money

    def read(self, files: Sequence[str], stdin: IO[bytes] | None, progress: Callable[[int], None] | None) -> None:
        """All rows of the files, "-" among them."""
        lines = Lines(files, stdin, progress)
        rows = TurnRows(lines)
        wants = self.filters.wants
        for turn in rows:
            if wants(turn):
                self.grouped.add(turn)
        for _ in range(rows.skipped):
            self.remarks.count(MISTYPED)
        self.remarks.too_long += lines.too_long
        self.remarks.troubles += rows.troubles
        if rows.repeated:
            self.remarks.troubles.append(f"{many(rows.repeated, 'turn')} met again, counted once.")
        if self._money and self.grouped.priced:
            self.costs = _Prices()


def turn_files(paths: Sequence[str]) -> list[str]:
    """Where turns are: files that are named and have some, those of folders, and the one beside records that are named;
    "-" is standard input."""
    found = []
    for path in paths:
        # What comes only once cannot be looked into first.
        if comes_once(path) or (os.path.isfile(path) and _of_turns(path)):
            found.append(path)
        elif os.path.isdir(path):
            found += files_of([path])
        elif os.path.isfile(beside := place_of([path])):
            found.append(beside)
    return list(dict.fromkeys(found))


def _of_turns(path: str) -> bool:
    return any(read_turn(line) is not None for line in islice(Lines([path]), LOOKED_AT))


def by_turn(
    paths: Sequence[str],
    by: Sequence[str],
    stdin: IO[bytes] | None = None,
    money: bool = True,
    filters: Filters | None = None,
    progress: Callable[[int], None] | None = None,
) -> ByTurn:
    """Reads files of turns in one pass.

    :param paths: as `turn_files` gives them
    :param by: `TURN`, and names in `KEYS`
    :param money: whether to tell costs, where the turns have any
    """
    report = ByTurn(by, money, filters)
    report.read(paths, stdin, progress)
    return report
