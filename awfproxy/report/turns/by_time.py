"""Calls of which nothing but their session or their time is known."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from awfproxy.report.turns.alignment import align
from awfproxy.report.turns.board import REACH, Board
from awfproxy.report.turns.by_ids import stream_of
from awfproxy.report.turns.sessions import Stream

#: share of a thread's calls that must fall on steps of a stream for the thread to be of it
_SHARE: Final = 0.5
#: seconds: closer than `REACH`, because times alone decide
_NEAR: Final = 2.0
#: steps that one call is compared with
_MOST: Final = 16


def place_by_session(board: Board) -> None:
    """Calls whose request named the session: the turn is that of their time."""
    for place in list(board.unplaced()):
        call = board.calls[place]
        session = board.named_session(call)
        if session is None or not board.may_be_of(call, session):
            continue
        turn = board.turn_at(call, session)
        if turn is not None or len(session.turns) == 1:
            board.place(place, stream_of(session, call), turn or 1, "session", sure=len(session.turns) == 1)


def place_by_time(board: Board) -> None:
    """Threads of which nothing was placed, where a stream has steps left at the times of most of their calls."""
    open_streams = StreamTimes(board, open_only=True)
    for number, thread in enumerate(board.threads.members):
        if any(board.placed[place] is not None for place in thread):
            continue
        timed = [place for place in thread if board.calls[place].end is not None]
        if not timed:
            continue
        fits = [
            (len(pairs), -stream.place, stream, pairs)
            for stream in open_streams.within(board.calls[timed[0]].end, board.calls[timed[-1]].end)
            if (pairs := _pairs(board, timed, stream))
        ]
        if not fits:
            continue
        found, _, stream, pairs = max(fits, key=lambda fit: fit[:2])
        if found < _SHARE * len(timed):
            continue
        rivals = sum(1 for fit in fits if fit[0] == found)
        for row, step in pairs:
            board.pair(timed[row], stream, step, "time", sure=rivals == 1 and not board.threads.loose[number])


def _pairs(board: Board, places: Sequence[int], stream: Stream) -> list[tuple[int, int]]:
    free = [
        number
        for number, step in enumerate(stream.steps)
        if step.end is not None and board.taken[stream.place][number] is None
    ]
    skew = board.skew_of(stream.session)
    ends = list(accumulate(((stream.steps[number].end or 0.0) - skew for number in free), max))
    pairs = []
    for row, place in enumerate(places):
        call = board.calls[place]
        if call.end is None or not board.may_be_of(call, stream.session):
            continue
        first = bisect.bisect_left(ends, call.end - _NEAR)
        for column in range(first, min(bisect.bisect_right(ends, call.end + _NEAR), first + _MOST)):
            step = stream.steps[free[column]]
            known = step.usage is not None and step.usage.says_something
            if board.same_model(call, step) and not (known and call.exact):
                pairs.append((row, column, 1.0 - abs(ends[column] - call.end) / (2 * _NEAR)))
    return [(row, free[column]) for row, column in align(pairs)]


class StreamTimes:
    """Streams by the time in which they are: all that have times, or those that have steps left."""

    def __init__(self, board: Board, *, open_only: bool) -> None:
        told = []
        for stream in board.streams:
            if stream.begin is None or stream.end is None:
                continue
            if open_only and None not in board.taken[stream.place]:
                continue
            skew = board.skew_of(stream.session)
            told.append((stream.begin - skew - REACH, stream.end - skew + REACH, stream.place, stream))
        told.sort(key=lambda each: each[:3])
        self._told = told
        self._begins = [begin for begin, _, _, _ in told]
        #: the latest end of all that began up to each
        self._latest = list(accumulate((end for _, end, _, _ in told), max))

    def within(self, begin: float | None, end: float | None) -> list[Stream]:
        """Those that run at some moment between two times of the proxy's clock."""
        if begin is None or end is None:
            return []
        found = []
        for place in range(bisect.bisect_right(self._begins, end) - 1, -1, -1):
            if self._latest[place] < begin:
                break
            if self._told[place][1] >= begin:
                found.append(self._told[place][3])
        return found
