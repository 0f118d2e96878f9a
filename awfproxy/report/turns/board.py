"""What all stages of the matching look at and write to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from awfproxy.report.turns.agent_events import Step
from awfproxy.report.turns.calls import Call
from awfproxy.report.turns.placements import METHODS, Method, Placement
from awfproxy.report.turns.sessions import Session, Stream
from awfproxy.report.turns.threads import Threads

#: seconds by which the end of a call and its line in the log may lie apart, once the clocks' difference is known: the
#: line is written when the agent has taken the answer in
REACH: Final = 5.0
#: seconds within which a turn's prompt and the call that it set off may seem to come the wrong way round
EARLY: Final = 0.25

#: what stands before and after a model's name proper: the maker's name, the date of a snapshot
_model_name = re.compile(r"(?:.*/)?(.*?)(?:[-@]?\d{8}|-\d{4}-\d\d-\d\d|-latest)?(?:-v\d(?::\d)?)?").fullmatch


class Board:
    def __init__(self, calls: Sequence[Call], sessions: Sequence[Session]) -> None:
        self.calls = calls
        self.sessions = sessions
        self.streams: list[Stream] = [stream for session in sessions for stream in session.streams]
        self.threads = Threads(calls)
        self.placed: list[Placement | None] = [None] * len(calls)
        #: seconds by which each session's clock is ahead of the proxy's
        self.skew: dict[int, float] = {}
        #: for each step of each stream the call that it is
        self.taken: list[list[int | None]] = [[None] * len(stream.steps) for stream in self.streams]
        self._named: dict[str, Session] = {}
        for session in sessions:
            self._named.setdefault(session.id, session)
        self._models: dict[str, str] = {}

    def unplaced(self) -> Iterator[int]:
        return (place for place, placed in enumerate(self.placed) if placed is None)

    def streams_of(self, thread: int) -> set[int]:
        """Places of the streams in which calls of the thread were placed."""
        return {placed.stream for place in self.threads.members[thread] if (placed := self.placed[place]) is not None}

    def named_session(self, call: Call) -> Session | None:
        """The session that the call's request named, if its log was read."""
        return self._named.get(call.session or "") or self._named.get(call.conversation or "")

    def may_be_of(self, call: Call, session: Session) -> bool:
        """Whether what the request said of itself allows that it is of this session."""
        if call.agent is not None and call.agent != session.agent:
            return False
        named = self.named_session(call)
        return named is session or (named is None and call.session is None)

    def same_model(self, call: Call, step: Step) -> bool:
        """Whether both may mean the same model; unknown names may."""
        if call.model is None or step.model is None or call.model == "unknown":
            return True
        one, other = self._model(call.model), self._model(step.model)
        return one.startswith(other) or other.startswith(one)

    def skew_of(self, session: Session) -> float:
        return self.skew.get(id(session), 0.0)

    def distance(self, call: Call, step: Step, session: Session) -> float | None:
        """Seconds from the call's end to the step's, on one clock; None: one has no time."""
        if call.end is None or step.end is None:
            return None
        return step.end - self.skew_of(session) - call.end

    def turn_at(self, call: Call, session: Session) -> int | None:
        """The turn in whose time the call began."""
        begin = call.begin if call.begin is not None else call.end
        return None if begin is None else session.turn_at(begin + self.skew_of(session) + EARLY)

    def place(
        self, place: int, stream: Stream, turn: int, method: Method, *, sure: bool = True, step: int | None = None
    ) -> None:
        surety = METHODS[method]
        self.placed[place] = Placement(stream.place, turn, method, surety.sure if sure else surety.chosen, step)
        if step is not None:
            self.taken[stream.place][step] = place

    def pair(self, place: int, stream: Stream, step: int, method: Method, *, sure: bool = True) -> None:
        """The call is this step of the log."""
        self.place(place, stream, stream.steps[step].turn, method, sure=sure, step=step)

    def found(self, place: int, step: int) -> None:
        """The placed call is this step of its stream; how it was placed stays."""
        placed = self.placed[place]
        assert placed is not None
        self.placed[place] = msgspec.structs.replace(placed, step=step)
        self.taken[placed.stream][step] = place

    def _model(self, name: str) -> str:
        known = self._models.get(name)
        if known is None:
            found = _model_name(name.lower())
            known = self._models[name] = found[1] if found is not None else name.lower()
        return known
