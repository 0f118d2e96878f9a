"""The rows of token-usage-by-turn.jsonl: one for each turn, and for what no turn could be found.

Rules: each call is in exactly one row, so that the rows' sums are the records' sums; sums leave out what nobody
reported and say of how many calls (`unknown`); running totals are over the session, in the order of the rows.
Only ids, names, counts and times, never what was said; long names are cut (`escaping.short`).  docs/turns.md and
docs/schemas/token-usage-by-turn.v1.json say what each member means.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Final

from awfproxy.core.records import timestamp
from awfproxy.report.escaping import short
from awfproxy.report.turns.calls import Call
from awfproxy.report.turns.placements import Placement, Reason
from awfproxy.report.turns.proxy_turns import Told
from awfproxy.report.turns.sessions import Session, Stream
from awfproxy.report.turns.tally import Tally

SCHEMA: Final = "token-usage-by-turn/v1.0.0"

#: request ids of one row: enough to look any usual turn up; the rest are counted
REQUEST_IDS_MAX: Final = 64
#: names of tools, and of models, of one row, the most used ones
NAMES_MAX: Final = 64
#: digits after the point of dollars, as in all reports: nano-dollars, so that no cost is rounded to 0
COST_DIGITS: Final = 9

#: one line of the file
Row = dict[str, Any]
Key = tuple[str | None, ...]


class _Group:
    """A row that is being made."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.tally = Tally()
        self.begin: float | None = None
        self.end: float | None = None
        self.models: Counter[str] = Counter()
        self.methods: Counter[str] = Counter()
        self.runs: set[str | None] = set()
        self.tools: Counter[str] = Counter()
        self.confidences: list[float] = []
        self.request_ids: list[str] = []
        self.prompts: list[int] = []
        self.cost = 0.0
        self.unpriced = 0
        #: calls without a price, and those of which not all was known, or has a price
        self.not_whole = 0
        self.last: Call | None = None

    def add(self, call: Call, method: str | None = None, confidence: float | None = None) -> None:
        self.tally.add(call)
        self.models[call.model or "unknown"] += 1
        self.runs.add(call.run)
        if method is not None and confidence is not None:
            self.methods[method] += 1
            self.confidences.append(confidence)
        if call.request_id is not None:
            self.request_ids.append(call.request_id)
        if call.usage.prompt is not None:
            self.prompts.append(call.usage.prompt)
        if call.begin is not None and call.end is not None:
            self.begin = call.begin if self.begin is None else min(self.begin, call.begin)
            self.end = call.end if self.end is None else max(self.end, call.end)
        self.not_whole += call.cost is None or call.least or not call.whole
        if call.cost is None:
            self.unpriced += 1
        else:
            self.cost += call.cost

    def finished(self, *, money: bool) -> Row:
        row = self.row
        if len(self.runs) == 1 and (run := next(iter(self.runs))) is not None:
            row["run"] = run
        if self.begin is not None and self.end is not None:
            row["begin"], row["end"] = timestamp(self.begin), timestamp(self.end)
        row |= self.tally.facts()
        row["models"] = dict(self.models.most_common(NAMES_MAX))
        row["sources"] = dict(sorted(self.tally.sources.items()))
        if self.prompts:
            row["context_begin"], row["context_end"] = self.prompts[0], self.prompts[-1]
            row["context_max"] = max(self.prompts)
        if self.tools:
            row["tools"] = dict(sorted(self.tools.most_common(NAMES_MAX), key=_often))
            row["tool_calls"] = self.tools.total()
        if money and self.tally.calls:
            if self.unpriced < self.tally.calls:
                row["cost_usd"] = round(self.cost, COST_DIGITS)
            if self.unpriced:
                row["unpriced_calls"] = self.unpriced
            if self.not_whole:
                row["cost_unknown_calls"] = self.not_whole
        if self.methods:
            row["methods"] = dict(sorted(self.methods.items()))
            row["confidence"] = min(self.confidences)
            row["confidence_mean"] = round(sum(self.confidences) / len(self.confidences), 3)
        row["request_ids"] = self.request_ids[:REQUEST_IDS_MAX]
        if len(self.request_ids) > REQUEST_IDS_MAX:
            row["request_ids_left_out"] = len(self.request_ids) - REQUEST_IDS_MAX
        return {name: _cut(value) for name, value in row.items()}


def rows_of_logs(
    calls: Sequence[Call],
    sessions: Sequence[Session],
    placed: Sequence[Placement | Reason],
    *,
    money: bool = False,
) -> list[Row]:
    """The rows where agents' logs were read: also turns of which no call was recorded."""
    streams = [stream for session in sessions for stream in session.streams]
    groups: dict[Key, _Group] = {}
    unmatched: dict[Key, _Group] = {}
    for stream in streams:
        for step in stream.steps:
            group = _group(groups, stream, step.turn)
            group.row["steps"] = group.row.get("steps", 0) + 1
            group.tools.update(step.tools.values())
    recorded: dict[Key, int] = defaultdict(int)
    for call, place in zip(calls, placed, strict=True):
        if not isinstance(place, Placement):
            _unmatched(unmatched, call, place)
            continue
        stream = streams[place.stream]
        group = _group(groups, stream, place.turn)
        group.add(call, place.method, place.confidence)
        recorded[_key(stream, place.turn)] += place.step is not None
    for key, group in groups.items():
        if missing := group.row.get("steps", 0) - recorded[key]:
            group.row["steps_not_recorded"] = missing
    places = {(stream.session.agent, stream.session.id, stream.subagent): stream.place for stream in streams}
    firsts = {(session.agent, session.id): session.streams[0].place for session in sessions}

    def order(key: Key) -> tuple[int, int, int]:
        return firsts[key[0] or "", key[1] or ""], int(key[3] or 0), places[key[0] or "", key[1] or "", key[2]]

    return _finished([groups[key] for key in sorted(groups, key=order)], unmatched, money=money)


def rows_of_records(calls: Sequence[Call], told: Sequence[Told | Reason], *, money: bool = False) -> list[Row]:
    """The rows where no log was read."""
    groups: dict[Key, _Group] = {}
    unmatched: dict[Key, _Group] = {}
    begun: dict[Key, int] = {}
    for place, (call, where) in enumerate(zip(calls, told, strict=True)):
        if not isinstance(where, Told):
            _unmatched(unmatched, call, where)
            continue
        conversation: Key = (call.run, where.session, where.conversation)
        begun.setdefault(conversation, place)
        key = (*conversation, str(where.turn), where.subagent)
        group = groups.get(key)
        if group is None:
            row: Row = {"_schema": SCHEMA, "event": "turn"}
            if call.agent is not None:
                row["agent"] = call.agent
            if where.session is not None:
                row["session"] = where.session
            else:
                row["conversation"] = where.conversation
            row["turn"] = where.turn
            if where.subagent is not None:
                row["subagent"] = where.subagent
            row["kind"] = "user" if where.subagent is None else "agent"
            group = groups[key] = _Group(row)
        if group.last is None or not call.sent_again(group.last):
            # The tools of a request are those that the answer before it called.
            group.tools.update(call.tools)
        group.last = call
        group.add(call, where.method, where.confidence)

    def order(key: Key) -> tuple[int, int, str]:
        return begun[key[:3]], int(key[3] or 0), key[4] or ""

    return _finished([groups[key] for key in sorted(groups, key=order)], unmatched, money=money)


def _finished(groups: Sequence[_Group], unmatched: dict[Key, _Group], *, money: bool) -> list[Row]:
    rows = []
    running: dict[Key, Tally] = defaultdict(Tally)
    for group in groups:
        row = group.row
        total = running[row.get("agent"), row.get("session"), row.get("conversation")]
        total.include(group.tally)
        finished = group.finished(money=money)
        finished["running"] = total.facts()
        rows.append(finished)
    rows.extend(unmatched[key].finished(money=money) for key in sorted(unmatched, key=str))
    return rows


def _group(groups: dict[Key, _Group], stream: Stream, number: int) -> _Group:
    key = _key(stream, number)
    group = groups.get(key)
    if group is None:
        session = stream.session
        turn = session.turns[number - 1]
        row: Row = {"_schema": SCHEMA, "event": "turn", "agent": session.agent, "session": session.id, "turn": number}
        if turn.turn_id is not None:
            row["turn_id"] = turn.turn_id
        if stream.subagent is not None:
            row["subagent"] = stream.subagent
        row["kind"] = turn.kind if stream.subagent is None else "agent"
        group = groups[key] = _Group(row)
    return group


def _unmatched(unmatched: dict[Key, _Group], call: Call, reason: Reason) -> None:
    group = unmatched.get((call.run, reason))
    if group is None:
        group = unmatched[call.run, reason] = _Group({"_schema": SCHEMA, "event": "unmatched", "reason": reason})
    group.add(call)


def _key(stream: Stream, number: int) -> Key:
    return stream.session.agent, stream.session.id, stream.subagent, str(number)


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return short(value)
    if isinstance(value, dict):
        return {short(name): inner for name, inner in value.items()}
    return [short(each) for each in value] if isinstance(value, list) else value


def _often(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]
