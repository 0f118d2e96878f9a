"""Which turn of the agents' logs each call belongs to.

Stages, the surest first; each sees only calls that no stage before it has placed:

1. ids: of the request, or of the turn, in both;
2. equal counts: a call of the log with exactly the same figures at that time (`by_usage`), the clocks' difference being
   estimated for each session (`skew`);
3. order: calls of a conversation whose other calls were placed (`by_order`), or, where records say nothing of their
   conversation, that fit in between (`by_fit`);
4. the session that the request named, and the time;
5. time: conversations of which nothing was placed, where the log has calls at the same times (`by_time`).

Every call ends up with a placement, or a reason why it has none.
"""

from __future__ import annotations

from collections.abc import Sequence

from awfproxy.report.turns.board import Board
from awfproxy.report.turns.by_fit import place_by_fit
from awfproxy.report.turns.by_ids import place_by_ids
from awfproxy.report.turns.by_order import place_by_order
from awfproxy.report.turns.by_time import StreamTimes, place_by_session, place_by_time
from awfproxy.report.turns.by_usage import find_steps, place_by_usage
from awfproxy.report.turns.calls import Call
from awfproxy.report.turns.placements import Placement, Reason
from awfproxy.report.turns.sessions import Session
from awfproxy.report.turns.skew import estimate_skew


def match(calls: Sequence[Call], sessions: Sequence[Session]) -> list[Placement | Reason]:
    """
    :param calls: in the order of time, as `read_calls` gives them.
    :param sessions: as `put_together` gives them.
    :return: for each call its placement, or why it has none.
    """
    board = Board(calls, sessions)
    if board.streams:
        place_by_ids(board)
        find_steps(board)
        estimate_skew(board)
        place_by_usage(board)
        place_by_order(board)
        place_by_fit(board)
        place_by_session(board)
        place_by_time(board)
        place_by_order(board)
    times = StreamTimes(board, open_only=False)
    return [
        _why_not(board, times, call) if placed is None else placed
        for call, placed in zip(calls, board.placed, strict=True)
    ]


def _why_not(board: Board, times: StreamTimes, call: Call) -> Reason:
    if call.session is not None and board.named_session(call) is None:
        return "other-session"
    if call.end is None:
        return "no-time"
    return "unlike" if times.within(call.end, call.end) else "no-log"
