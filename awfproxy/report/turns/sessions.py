"""Putting agents' sessions together: from the events of all files to turns, and the calls in each.

Rules, none of which depends on the order in which files were read:

- The same call told twice is one call.  Sessions that were forked or resumed, and sub-agents' files, begin with copies
  of another's lines: the call stays with the main conversation, and there with the session that began first.
- A turn is from one prompt of the person to the next.  Calls before the first prompt are a turn of their own, begun by
  the agent.  Turns are numbered from 1 within the session.
- What a sub-agent does belongs to the turn in which it was asked: the one of the tool's call that started it, else the
  one in whose time the sub-agent's own prompt falls.
- Lines without a time keep their places in the file.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections import defaultdict
from collections.abc import Iterable

import msgspec

from awfproxy.report.turns.agent_events import Event, Prompt, Step, merged, time_of
from awfproxy.report.turns.agent_logs import Log


class Turn(msgspec.Struct, gc=False):
    """One turn of a session; times are of the agent's clock."""

    number: int
    #: None: neither its prompt nor any of its calls has a time
    begin: float | None
    #: who began it: a prompt of the person, or the agent itself (the log has no prompt for it)
    kind: str
    #: the id by which requests name it
    turn_id: str | None = None


class Stream(msgspec.Struct):
    """The calls of one conversation: the session's own, or one of its sub-agents'."""

    #: its place among all streams
    place: int
    session: Session
    subagent: str | None
    #: in their order
    steps: list[Step]
    begin: float | None
    end: float | None

    @property
    def models(self) -> set[str]:
        return {step.model for step in self.steps if step.model is not None}


class Session(msgspec.Struct):
    agent: str
    id: str
    turns: list[Turn]
    streams: list[Stream] = msgspec.field(default_factory=list)
    #: when each turn began; never falling, so that it can be searched
    _begins: list[float] = msgspec.field(default_factory=list)

    def turn_at(self, time: float) -> int:
        """The number of the turn that runs at this time of the agent's clock; the first for what is before it."""
        if len(self._begins) != len(self.turns):
            told = (-math.inf if turn.begin is None else turn.begin for turn in self.turns)
            self._begins = list(itertools.accumulate(told, max))
        return self.turns[max(bisect.bisect_right(self._begins, time) - 1, 0)].number


def put_together(logs: Iterable[Log]) -> list[Session]:
    """The sessions of all logs, in the order in which they began; streams are numbered through all of them."""
    events: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for log in logs:
        at = -math.inf
        for event in log.events:
            time = time_of(event)
            event.at = at = at if time is None else time
            events[log.agent, event.session].append(event)
    for told in events.values():
        told.sort(key=_order)
    begins = {key: _begin(told) for key, told in events.items()}
    in_order = sorted(events, key=lambda key: (begins[key], key))
    sessions = []
    known: dict[tuple[str, str], Event] = {}
    for key in in_order:
        # Main conversations first: a sub-agent's copy of a call gives way.
        for event in sorted(events[key], key=_is_subagents):
            _keep(event, (key[0], event.key), known)
    kept = {id(event) for event in known.values()}
    place = 0
    for key in in_order:
        own = [event for event in events[key] if id(event) in kept]
        if own:
            session = _session(*key, own, place)
            place += len(session.streams)
            sessions.append(session)
    return sessions


def _keep(event: Event, key: tuple[str, str], known: dict[tuple[str, str], Event]) -> None:
    before = known.setdefault(key, event)
    if before is event:
        return
    if isinstance(event, Step) and isinstance(before, Step):
        if before.subagent is not None and event.subagent is None:
            merged(event, before)
            known[key] = event
        else:
            merged(before, event)
    elif isinstance(event, Prompt) and isinstance(before, Prompt):
        before.turn_id = before.turn_id or event.turn_id


def _session(agent: str, name: str, events: list[Event], place: int) -> Session:
    turns: list[Turn] = []
    steps: dict[str | None, list[Step]] = defaultdict(list)
    #: turn of each tool's call: a sub-agent is named by the one that started it
    calls: dict[str, int] = {}
    for event in events:
        if event.subagent is not None:
            continue
        if isinstance(event, Prompt):
            turns.append(Turn(len(turns) + 1, event.time, "user", event.turn_id))
            continue
        if not turns:
            turns.append(Turn(1, event.begin, "agent", event.turn_id))
        event.turn = turns[-1].number
        turns[-1].turn_id = turns[-1].turn_id or event.turn_id
        if turns[-1].begin is None:
            turns[-1].begin = event.begin
        steps[None].append(event)
        calls.update(dict.fromkeys(event.tools, event.turn))
    if not turns:
        turns.append(Turn(1, time_of(events[0]), "agent"))
    session = Session(agent, name, turns)
    asked: dict[str, int] = {}
    for event in events:
        if event.subagent is None:
            continue
        if isinstance(event, Prompt) or event.subagent not in asked:
            asked[event.subagent] = calls.get(event.subagent) or session.turn_at(event.at)
        if isinstance(event, Step):
            event.turn = asked[event.subagent]
            steps[event.subagent].append(event)
            calls.update(dict.fromkeys(event.tools, event.turn))
    # The session's own stream is the first, also where the log has only its sub-agents' calls.
    for subagent in (None, *sorted(name for name in steps if name is not None)):
        own = steps[subagent]
        times = [time for step in own for time in (step.begin, step.end) if time is not None]
        begin, end = min(times, default=None), max(times, default=None)
        session.streams.append(Stream(place + len(session.streams), session, subagent, own, begin, end))
    return session


def _order(event: Event) -> tuple[float, int, str]:
    return event.at, event.line, event.key


def _is_subagents(event: Event) -> bool:
    return event.subagent is not None


def _begin(events: list[Event]) -> float:
    return min((time for event in events if (time := time_of(event)) is not None), default=math.inf)
