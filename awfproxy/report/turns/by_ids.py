"""Calls whose ids are in the log: of the request, or of the turn."""

from __future__ import annotations

from awfproxy.report.turns.board import Board
from awfproxy.report.turns.calls import Call
from awfproxy.report.turns.sessions import Session, Stream, Turn


def place_by_ids(board: Board) -> None:
    steps: dict[str, tuple[Stream, int]] = {}
    turns: dict[str, tuple[Session, Turn]] = {}
    for stream in board.streams:
        for number, step in enumerate(stream.steps):
            for name in step.ids:
                steps.setdefault(name, (stream, number))
    for session in board.sessions:
        for turn in session.turns:
            if turn.turn_id is not None:
                turns.setdefault(turn.turn_id, (session, turn))
    for place, call in enumerate(board.calls):
        told = next((steps[name] for name in call.ids if name in steps), None)
        if told is not None:
            stream, number = told
            # A request that is sent again may keep the id that the client gave it: the last answer is the log's.
            before = board.taken[stream.place][number]
            if before is not None:
                board.place(before, stream, stream.steps[number].turn, "request-id")
            board.pair(place, stream, number, "request-id")
        elif call.turn is not None and call.turn in turns:
            named, turn = turns[call.turn]
            board.place(place, stream_of(named, call), turn.number, "turn-id")


def stream_of(session: Session, call: Call) -> Stream:
    """The stream of the sub-agent that the call named, else the session's own."""
    main = session.streams[0]
    if call.subagent is None:
        return main
    return next((stream for stream in session.streams if stream.subagent == call.subagent), main)
