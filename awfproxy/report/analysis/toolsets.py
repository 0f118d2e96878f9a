"""Tools that are offered in call after call, and which of them nobody calls."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import msgspec

from awfproxy.report.analysis.amounts import Claim
from awfproxy.report.analysis.board import Board
from awfproxy.report.analysis.codes import UNUSED_TOOL_SCHEMAS
from awfproxy.report.analysis.groups import Group
from awfproxy.report.analysis.steps import Hints, Step
from awfproxy.report.analysis.thresholds import Thresholds

#: sets of tools, by run, that are followed at the same time: agents have a handful, so these are some hundred runs
TOOLSETS_MAX: Final = 2_048
#: names of unused tools that are shown
SHOWN: Final = 8
#: percent, with a label of the run and without
SURE: Final = (70, 50)


class _Toolset(Group):
    """One set of tools of one run."""

    __slots__ = ("blind", "called", "count", "few", "offered", "size", "tokens")

    def __init__(self, hints: Hints, limits: Thresholds) -> None:
        super().__init__(UNUSED_TOOL_SCHEMAS)
        self.offered = tuple(dict.fromkeys(_names(hints.tools_offered)))
        #: how many there are, where not all names are told
        self.count = max(hints.tools or 0, len(self.offered))
        self.size = hints.tools_bytes or 0
        self.tokens = int(self.size / limits.tool_bytes_a_token)
        self.few = self.count < limits.tools_offered
        self.called: set[str] = set()
        #: what was called stays with the provider: nobody can say what was not
        self.blind = False


class Toolsets:
    """All sets of tools of all runs."""

    def __init__(self, limits: Thresholds, board: Board) -> None:
        self._limits = limits
        self._board = board
        #: those that were offered last stand at the end
        self._sets: OrderedDict[tuple[str | None, str], _Toolset] = OrderedDict()

    def offered(self, step: Step, hints: Hints) -> None:
        """What a request offers and what was called of it."""
        if hints.tools_hash is None:
            return
        key = (step.place[0], hints.tools_hash)
        found = self._sets.get(key)
        if found is None:
            found = self._sets[key] = _Toolset(hints, self._limits)
            if len(self._sets) > TOOLSETS_MAX:
                self._conclude(*self._sets.popitem(last=False))
        else:
            self._sets.move_to_end(key)
        if found.few:
            return
        if hints.tools_called:
            found.called.update(hints.tools_called)
        if hints.previous_response_id_hash is not None:
            found.blind = True
        tokens = min(found.tokens, step.tokens)
        money = 0
        if step.rates is not None:
            if (step.read or 0) >= tokens:
                money = tokens * step.rates.cache_read
            elif (step.written or 0) >= tokens:
                money = tokens * step.rates.cache_write
            else:
                money = tokens * step.rates.input
            money = min(money, step.cost)
        found.claim(step, Claim(tokens, money, tokens, money))

    def conclude(self) -> None:
        """All calls have come: which tools were not called?"""
        while self._sets:
            self._conclude(*self._sets.popitem(last=False))

    def _conclude(self, key: tuple[str | None, str], found: _Toolset) -> None:
        limits = self._limits
        unused = [name for name in found.offered if name not in found.called]
        if (
            found.few
            or found.blind
            or found.amounts.calls < limits.tools_calls
            or not unused
            or len(unused) < limits.tools_unused * len(found.offered)
        ):
            return
        rest = len(unused) - SHOWN
        self._board.conclude(
            found,
            SURE[key[0] is None],
            (len(unused), len(found.offered)),
            offered=found.count,
            never_called=len(unused),
            bytes=found.size,
            tools=", ".join(unused[:SHOWN]) + (f" and {rest} more" if rest > 0 else ""),
        )


def _names(raw: msgspec.Raw) -> list[str]:
    """The names that a record has; none, where it has something else there."""
    try:
        return _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


_decode: Final = msgspec.json.Decoder(list[str]).decode
