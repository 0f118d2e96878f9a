"""Calls of conversations whose other calls were placed.

Between two calls of one thread that are in one stream, the calls in between are of that stream too.  Which of its steps
they are is told by their times where the log has steps left there (`alignment`); which turn, by the neighbours where
both are in one, else by time.  A request that is sent again is told by its conversation, messages and
results being those of a neighbour.
"""

from __future__ import annotations

from awfproxy.report.turns.alignment import align
from awfproxy.report.turns.board import REACH, Board
from awfproxy.report.turns.placements import Placement


def place_by_order(board: Board) -> None:
    for number, thread in enumerate(board.threads.members):
        if board.threads.loose[number] or len(board.streams_of(number)) != 1:
            continue  # anybody's calls, or those of several conversations that began alike: `by_fit`
        gap: list[int] = []
        before: int | None = None
        for place in thread:
            if board.placed[place] is None:
                gap.append(place)
            else:
                _fill(board, before, gap, place)
                before, gap = place, []
        if before is not None:
            _fill(board, before, gap, None)


def _fill(board: Board, before: int | None, gap: list[int], after: int | None) -> None:
    if not gap:
        return
    first = None if before is None else board.placed[before]
    last = None if after is None else board.placed[after]
    anchor = first or last
    assert anchor is not None
    _pair(board, gap, first, last, anchor)
    left = [place for place in gap if board.placed[place] is None]
    exact = _is_missing(board, left, first, last)
    for place in left:
        near = [each for each in (before, after) if each is not None]
        _one(board, place, near, first, last, anchor, total=exact)


def _one(
    board: Board,
    place: int,
    near: list[int],
    first: Placement | None,
    last: Placement | None,
    anchor: Placement,
    *,
    total: bool,
) -> None:
    call = board.calls[place]
    stream = board.streams[anchor.stream]
    if not board.may_be_of(call, stream.session):
        return
    for other in near:
        same = board.placed[other]
        if same is not None and call.sent_again(board.calls[other]):
            board.place(place, stream, same.turn, "same-request")
            return
    between = first is not None and last is not None and first.turn == last.turn
    turn: int | None = anchor.turn
    if not between:
        turn = board.turn_at(call, stream.session)
        low = 1 if first is None else first.turn
        high = len(stream.session.turns) if last is None else last.turn
        turn = anchor.turn if turn is None else min(max(turn, low), high)
    board.place(place, stream, turn or anchor.turn, "running-total" if total else "order", sure=between)


def _pair(
    board: Board, gap: list[int], first: Placement | None, last: Placement | None, anchor: Placement
) -> None:
    """Calls of the gap with steps of the gap that the log has at these times."""
    stream = board.streams[anchor.stream]
    low = first.step + 1 if first is not None and first.step is not None else None
    high = last.step if last is not None and last.step is not None else None
    if low is None:
        low = 0 if high is None else max(high - len(gap), 0)
    if high is None:
        high = min(low + len(gap), len(stream.steps))
    free = [number for number in range(low, high) if board.taken[stream.place][number] is None]
    pairs = []
    for row, place in enumerate(gap):
        call = board.calls[place]
        for column, number in enumerate(free):
            step = stream.steps[number]
            if call.exact and step.usage is not None and step.usage.says_something:
                continue  # both have figures, and they are not the same
            apart = board.distance(call, step, stream.session)
            if apart is not None and abs(apart) <= REACH and board.same_model(call, step):
                pairs.append((row, column, 1.0 - abs(apart) / (2 * REACH)))
    for row, column in align(pairs):
        board.pair(gap[row], stream, free[column], "order")


def _is_missing(board: Board, gap: list[int], first: Placement | None, last: Placement | None) -> bool:
    """Whether the calls are what the log's running total has and its lines have not."""
    if first is None or last is None or last.step is None or first.step is None or last.step - first.step != 1:
        return False
    missing = board.streams[last.stream].steps[last.step].missing
    if missing is None:
        return False
    usages = [board.calls[place].usage for place in gap]
    prompts, outputs = [usage.prompt for usage in usages], [usage.output for usage in usages]
    return sum(filter(None, prompts)) == missing.prompt and sum(filter(None, outputs)) == missing.output
