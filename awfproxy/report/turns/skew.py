"""By how much an agent's clock is ahead of the proxy's.

For each session, the first of these that there is:

1. the median of the differences between calls and steps that surely belong together: by ids, or because nothing else
   has the same counts;
2. the difference that most pairs of calls and steps have which could belong together: those of equal output, where the
   log has no more than that, or else those near each other;
3. the median of the agent's other sessions: they are mostly of one machine.
"""

from __future__ import annotations

import bisect
from collections import Counter, defaultdict
from typing import Final

from awfproxy.report.turns.agent_events import Step
from awfproxy.report.turns.board import Board
from awfproxy.report.turns.by_usage import unique_pairs
from awfproxy.report.turns.sessions import Session

#: seconds: a difference of clocks beyond a day is none of clocks
SKEW_MAX: Final = 26 * 3600.0
#: seconds looked at around each step where there are no counts to go by
_NEAR: Final = 10.0
#: width, in seconds, of the steps in which differences are counted there
_BIN: Final = 0.25
#: such differences are believed where this many pairs have them, and this share of the session's steps
_ENOUGH: Final = 3
_SHARE: Final = 0.25
#: calls of one output that are looked at
_ALIKE_MAX: Final = 64


def estimate_skew(board: Board) -> None:
    differences: dict[int, list[float]] = defaultdict(list)
    sure = [
        (place, board.streams[placed.stream], placed.step)
        for place, placed in enumerate(board.placed)
        if placed is not None and placed.step is not None
    ]
    for place, stream, number in (*sure, *unique_pairs(board)):
        end, told = board.calls[place].end, stream.steps[number].end
        if end is not None and told is not None and abs(told - end) <= SKEW_MAX:
            differences[id(stream.session)].append(told - end)
    agents: dict[str, list[float]] = defaultdict(list)
    pairs = _Pairs(board)
    for session in board.sessions:
        found = differences.get(id(session)) or pairs.commonest(session)
        if found:
            board.skew[id(session)] = _middle(found)
            agents[session.agent].append(board.skew[id(session)])
    for session in board.sessions:
        others = agents.get(session.agent)
        if id(session) not in board.skew and others:
            board.skew[id(session)] = _middle(others)


class _Pairs:
    """Calls by time and by output."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._ends = [call.end for call in board.calls if call.end is not None]
        self._outputs: dict[int, list[float]] = defaultdict(list)
        for call in board.calls:
            output = call.usage.output
            if call.exact and call.end is not None and output is not None and len(self._outputs[output]) < _ALIKE_MAX:
                self._outputs[output].append(call.end)

    def commonest(self, session: Session) -> list[float]:
        """The differences around the one that most pairs have; none where too few have it."""
        differences = [
            step.end - end
            for stream in session.streams
            for step in stream.steps
            if step.end is not None
            for end in self._alike(step)
        ]
        counted = Counter(round(difference / _BIN) for difference in differences)
        if not counted:
            return []
        # Neighbours count half: the true difference may lie on the edge between two.
        weights = {place: 2 * counted[place] + counted[place - 1] + counted[place + 1] for place in counted}
        best = max(weights, key=lambda place: (weights[place], -abs(place)))
        near = [difference for difference in differences if abs(difference - best * _BIN) <= 2 * _BIN]
        steps = sum(len(stream.steps) for stream in session.streams)
        return near if len(near) >= max(_ENOUGH, _SHARE * steps) else []

    def _alike(self, step: Step) -> list[float]:
        output = None if step.usage is None else step.usage.output
        assert step.end is not None
        if output is not None:
            return [end for end in self._outputs.get(output, ()) if abs(step.end - end) <= SKEW_MAX]
        ends = self._ends
        return ends[bisect.bisect_left(ends, step.end - _NEAR) : bisect.bisect_right(ends, step.end + _NEAR)]


def _middle(values: list[float]) -> float:
    # The upper of two middle ones: `statistics` takes longer to import than all of this.
    return sorted(values)[len(values) // 2]
