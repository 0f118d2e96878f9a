"""Calls and steps with equal counts.

The counts of an agent's calls are nearly unique: prompts grow with each, and have thousands of tokens.  They are
compared level by level, the fullest first, because logs differ in what they have: Claude Code's lines may have the
output of an answer's beginning, Copilot's have the output alone.  Among calls and steps with the same counts those
within `REACH` are paired in their order so that times fit best (`alignment`).
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Final

from awfproxy.report.turns.agent_events import Step, Usage
from awfproxy.report.turns.alignment import align
from awfproxy.report.turns.board import REACH, Board
from awfproxy.report.turns.calls import Call
from awfproxy.report.turns.sessions import Stream

#: steps that are looked at for each call among those with equal counts: more are within seconds of each other only
#: where counts are all alike, and then their order decides
_MOST: Final = 16

Key = tuple[int, ...]
Level = Callable[[Usage], Key | None]
#: a step: when it ended on the proxy's clock (-1: unknown), its stream, its place there
Place = tuple[float, Stream, int]


def _all(usage: Usage) -> Key | None:
    if usage.prompt is None or usage.output is None:
        return None
    return usage.prompt, usage.cache_read or 0, usage.output


def _ends(usage: Usage) -> Key | None:
    return None if usage.prompt is None or usage.output is None else (usage.prompt, usage.output)


def _prompt(usage: Usage) -> Key | None:
    return None if usage.prompt is None else (usage.prompt, usage.cache_read or 0)


def _output(usage: Usage) -> Key | None:
    return None if usage.output is None else (usage.output,)


def _only_output(usage: Usage) -> Key | None:
    # Where the log has a prompt, another one is another call.
    return None if usage.prompt is not None else _output(usage)


#: what is compared of calls, and of steps, and whether that is enough to be sure of a pair that nothing else fits
_LEVELS: Final[tuple[tuple[Level, Level, bool], ...]] = (
    (_all, _all, True),
    (_ends, _ends, True),
    (_prompt, _prompt, False),
    (_output, _only_output, False),
)


def unique_pairs(board: Board) -> Iterator[tuple[int, Stream, int]]:
    """Calls not yet placed, with the only step that has all their counts, where they are its only call too."""
    steps = _steps(board, _all)
    calls = _calls(board, _all)
    for key, places in calls.items():
        if len(places) == 1 and len(steps.get(key, ())) == 1 and key[0] and key[2]:
            _, stream, number = steps[key][0]
            call = board.calls[places[0]]
            if board.may_be_of(call, stream.session) and board.same_model(call, stream.steps[number]):
                yield places[0], stream, number


def place_by_usage(board: Board) -> None:
    for of_calls, of_steps, enough in _LEVELS:
        steps = _steps(board, of_steps)
        for key, places in _calls(board, of_calls).items():
            if key in steps:
                _place(board, places, steps[key], enough)


def find_steps(board: Board) -> None:
    """Calls that were placed without their line of the log: a line of the same turn with the same counts is theirs."""
    lines: dict[tuple[int, int, Key], list[int]] = defaultdict(list)
    for stream in board.streams:
        for number, step in enumerate(stream.steps):
            key = None if step.usage is None else _all(step.usage)
            if key is not None and board.taken[stream.place][number] is None:
                lines[stream.place, step.turn, key].append(number)
    for place, (call, placed) in enumerate(zip(board.calls, board.placed, strict=True)):
        if placed is None or placed.step is not None or not call.exact:
            continue
        key = _all(call.usage)
        found = None if key is None else lines.get((placed.stream, placed.turn, key))
        if found:
            board.found(place, found.pop(0))


def _place(board: Board, places: list[int], steps: list[Place], enough: bool) -> None:
    pairs = []
    rivals: dict[int, int] = defaultdict(int)
    ends = [end for end, _, _ in steps]
    for row, place in enumerate(places):
        call = board.calls[place]
        for column in _near(ends, call.end):
            _, stream, number = steps[column]
            step = stream.steps[number]
            if not board.may_be_of(call, stream.session) or not board.same_model(call, step) or _grew(call, step):
                continue
            apart = board.distance(call, step, stream.session)
            if apart is None or abs(apart) <= REACH:
                pairs.append((row, column, 1.0 - (REACH if apart is None else abs(apart)) / (2 * REACH)))
                rivals[column] += 1
    of_row: dict[int, int] = defaultdict(int)
    for row, _, _ in pairs:
        of_row[row] += 1
    for row, column in align(pairs):
        _, stream, number = steps[column]
        alone = of_row[row] == 1 and rivals[column] == 1
        board.pair(places[row], stream, number, "usage", sure=enough and alone)


def _grew(call: Call, step: Step) -> bool:
    """Whether the log's output is more than the provider's final one: no beginning of this answer."""
    logged, final = None if step.usage is None else step.usage.output, call.usage.output
    return call.exact and logged is not None and final is not None and logged > final


def _near(ends: list[float], end: float | None) -> range:
    """The steps within reach of a time, and those without one, which stand first; the nearest if there are many."""
    timeless = bisect.bisect_left(ends, 0.0)
    if end is None:
        return range(min(len(ends), _MOST))
    first, last = bisect.bisect_left(ends, end - REACH, timeless), bisect.bisect_right(ends, end + REACH, timeless)
    if last - first > _MOST:
        middle = bisect.bisect_left(ends, end, timeless)
        first, last = max(first, middle - _MOST // 2), min(last, middle + _MOST // 2)
    return range(first, last) if last > first else range(min(timeless, _MOST))


def _steps(board: Board, level: Level) -> dict[Key, list[Place]]:
    found: dict[Key, list[Place]] = defaultdict(list)
    for stream in board.streams:
        skew, taken = board.skew_of(stream.session), board.taken[stream.place]
        for number, step in enumerate(stream.steps):
            if taken[number] is None and step.usage is not None:
                key = level(step.usage)
                if key is not None:
                    found[key].append((-1.0 if step.end is None else step.end - skew, stream, number))
    for places in found.values():
        places.sort(key=_order)
    return found


def _order(place: Place) -> tuple[float, int, int]:
    return place[0], place[1].place, place[2]


def _calls(board: Board, level: Level) -> dict[Key, list[int]]:
    found: dict[Key, list[int]] = defaultdict(list)
    for place in board.unplaced():
        call = board.calls[place]
        if call.source == "estimated" or (not call.exact and level is not _prompt):
            continue  # of a partial record only the prompt is the provider's last word
        key = level(call.usage)
        if key is not None:
            found[key].append(place)
    return found
