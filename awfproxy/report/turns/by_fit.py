"""Calls that only their counts and times tell from others', in the gaps of streams.

They are calls of which the record says nothing (AWF's own files), or whose conversation began as another one did (two
runs of one prompt).  The calls of a conversation come one after another, and their prompts grow.  So a call belongs
into the gap between two calls of a stream if it began when the first had ended, ended before the second began, and
read as many tokens as the first or more, but no more than the second.  Where two gaps fit nobody can tell: a call
of which nothing is known stays where it is; one whose conversation is known to be in these streams goes where its
prompt is nearest.  Another program's calls seldom fit any.
"""

from __future__ import annotations

import bisect
from operator import itemgetter
from typing import Final

from awfproxy.report.turns.board import EARLY, Board
from awfproxy.report.turns.by_time import StreamTimes
from awfproxy.report.turns.calls import Call
from awfproxy.report.turns.sessions import Stream

#: seconds before the first call of a stream, and after the last, in which another one may be
_BESIDE: Final = 30.0
#: there the prompt may be smaller or larger by this factor
_GROWTH: Final = 1.25


def place_by_fit(board: Board) -> None:
    times = StreamTimes(board, open_only=False)
    placed: list[list[tuple[float, int]]] = [[] for _ in board.streams]
    for place, where in enumerate(board.placed):
        end = board.calls[place].end
        if where is not None and end is not None:
            placed[where.stream].append((end, place))
    shared = [board.streams_of(thread) for thread in range(len(board.threads.members))]
    for place in list(board.unplaced()):
        call, thread = board.calls[place], board.threads.of[place]
        loose = board.threads.loose[thread]
        if not (loose or len(shared[thread]) > 1) or call.begin is None or call.end is None:
            continue
        fits = []
        for stream in times.within(call.begin - _BESIDE, call.end + _BESIDE):
            if not (loose or stream.place in shared[thread]) or not board.may_be_of(call, stream.session):
                continue
            around = _around(placed[stream.place], call.end)
            before, after = (None if each is None else board.calls[each] for each in around)
            if _fits(call, before, after):
                fits.append((_growth(call, before, after), stream.place, stream, around))
        if len(fits) == 1 or (fits and not loose):
            _, _, stream, around = min(fits, key=itemgetter(0, 1))
            _place(board, place, stream, around, sure=len(fits) == 1)


def _place(board: Board, place: int, stream: Stream, around: tuple[int | None, int | None], *, sure: bool) -> None:
    turns = [placed.turn for each in around if each is not None and (placed := board.placed[each]) is not None]
    turn = board.turn_at(board.calls[place], stream.session)
    board.place(place, stream, min(turns) if turn is None else min(max(turn, min(turns)), max(turns)), "fit", sure=sure)


def _around(placed: list[tuple[float, int]], end: float) -> tuple[int | None, int | None]:
    at = bisect.bisect_right(placed, (end, -1))
    return placed[at - 1][1] if at else None, placed[at][1] if at < len(placed) else None


def _growth(call: Call, before: Call | None, after: Call | None) -> int:
    """By how many tokens the prompt differs from the nearest of its neighbours'."""
    near = [other.usage.prompt for other in (before, after) if other is not None and other.usage.prompt is not None]
    return min((abs((call.usage.prompt or 0) - prompt) for prompt in near), default=0)


def _fits(call: Call, before: Call | None, after: Call | None) -> bool:
    assert call.begin is not None
    assert call.end is not None
    if before is None and after is None:
        return False
    prompt = call.usage.prompt if call.source != "estimated" else None
    low, high = 0.0, float("inf")
    for other in (before, after):
        if other is not None and (call.model != other.model or call.port != other.port or call.run != other.run):
            return False
    if before is not None:
        if before.end is None or call.begin < before.end - EARLY:
            return False
        low = before.usage.prompt or 0
        high = low * _GROWTH
        if after is None and call.begin - before.end > _BESIDE:
            return False
    if after is not None:
        if after.begin is None or call.end > after.begin + EARLY:
            return False
        high = after.usage.prompt or 0
        if before is None:
            low = high / _GROWTH
            if after.begin - call.end > _BESIDE:
                return False
    if prompt is None:
        return before is not None and after is not None
    return low <= prompt <= high
