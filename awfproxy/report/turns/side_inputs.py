"""What else happened in each turn, by time: requests that the firewall let through or denied, calls of MCP tools, safe
outputs.

Rules: only counts, and names of tools and kinds.  A line belongs to the turn in whose time it falls, from the turn's
first call to the next turn's in the same session; where turns of two sessions run, nobody can tell, and it is of none.
What is of none, or has no time, is counted and told.

- Squid's access log, AWF's format: ``<seconds since the epoch> <client> <host> ... <DECISION>:<hierarchy> ...``; and
  its ``audit.jsonl``: ``ts`` or ``timestamp``, ``decision`` (github.com/github/gh-aw-firewall, its audit schema).
- the MCP gateway's ``gateway.jsonl`` (``timestamp``, ``method``, ``server_name``, ``tool_name``) and
  ``rpc-messages.jsonl`` (``timestamp``, ``type``, ``server_id``, ``payload.method``, ``payload.params.name``)
  (github.com/github/gh-aw).
- safe outputs: ``type``, and ``timestamp`` where there is one (github.com/github/gh-aw).
"""

from __future__ import annotations

import bisect
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from awfproxy.report.turns.agent_events import seconds, tool_name
from awfproxy.report.turns.turn_rows import NAMES_MAX, Row

#: seconds after the last call of a session in which what happens is still of its last turn: its tools run
AFTER: Final = 60.0

_access = re.compile(rb"(\d{9,11}\.\d{1,6}) .*? (TCP_[A-Z_]+|NONE[A-Z_]*|UDP_[A-Z_]+|TAG_NONE)[:/]").match


class _Line(msgspec.Struct, gc=False):
    ts: float | str | None = None
    timestamp: float | str | None = None
    decision: str | None = None
    type: str | None = None
    event: str | None = None
    method: str | None = None
    server_name: str | None = None
    server_id: str | None = None
    tool_name: str | None = None
    payload: Any = None


_decode = msgspec.json.Decoder(_Line).decode

#: (time, what happened); no time: the line has none
Happened = tuple[float | None, str]


def firewall_line(line: bytes) -> Happened | None:
    """Of Squid's access log or its audit.jsonl."""
    if not line.lstrip().startswith(b"{"):
        found = _access(line)
        return None if found is None else (seconds(float(found[1])), _decided(found[2].decode("ascii")))
    said = _decoded(line)
    if said is None or said.decision is None:
        return None
    return seconds(said.timestamp if said.timestamp is not None else said.ts), _decided(said.decision)


def mcp_line(line: bytes) -> Happened | None:
    """Of the MCP gateway: the call of a tool, not its answer."""
    said = _decoded(line)
    if said is None or said.type == "RESPONSE":
        return None
    name, method = said.tool_name, said.method
    if isinstance(said.payload, dict):
        method = said.payload.get("method")
        params = said.payload.get("params")
        name = params.get("name") if isinstance(params, dict) else None
    if not isinstance(name, str) or method not in (None, "tools/call"):
        return None
    server = said.server_name or said.server_id
    return seconds(said.timestamp), tool_name(f"{server}/{name}" if server else name)


def safe_output_line(line: bytes) -> Happened | None:
    """Of the safe outputs."""
    said = _decoded(line)
    return None if said is None or said.type is None else (seconds(said.timestamp), tool_name(said.type))


class SideInputs:
    """Counts what happened, by turn."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows
        self._counts: dict[int, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
        #: for each session the beginnings of its turns, where they are, and its end
        self._sessions: list[tuple[list[float], list[int], float]] = []
        by_session: dict[tuple[Any, ...], list[tuple[float, int]]] = defaultdict(list)
        ends: dict[tuple[Any, ...], float] = {}
        for place, row in enumerate(rows):
            begin, end = seconds(row.get("begin")), seconds(row.get("end"))
            if row["event"] == "turn" and begin is not None and end is not None:
                key = (row.get("agent"), row.get("session"), row.get("conversation"), row.get("run"))
                ends[key] = max(ends.get(key, end), end)
                if "subagent" not in row:
                    by_session[key].append((begin, place))
        for key, turns in by_session.items():
            turns.sort()
            self._sessions.append(([begin for begin, _ in turns], [place for _, place in turns], ends[key] + AFTER))
        #: lines that were not understood; that have no time; that are of no turn, or of two
        self.left_out: Counter[str] = Counter()

    def add(self, kind: str, happened: Iterable[Happened | None]) -> None:
        """Counts all lines of one kind of log."""
        for each in happened:
            if each is None:
                continue
            time, name = each
            turns = [] if time is None else self._turns_at(time)
            if len(turns) == 1:
                self._counts[turns[0]][kind][name] += 1
            else:
                self.left_out["without a time" if time is None else "in several turns" if turns else "in no turn"] += 1

    def write(self) -> None:
        """Puts the counts into the rows, as `beside`."""
        for place, kinds in self._counts.items():
            beside = {kind: dict(sorted(names.most_common(NAMES_MAX))) for kind, names in sorted(kinds.items())}
            self._rows[place]["beside"] = beside

    def remarks(self) -> list[str]:
        """Whole sentences about what was left out."""
        return [
            f"{count:,} {'line' if count == 1 else 'lines'} of other logs left out: {words}."
            for words, count in sorted(self.left_out.items())
        ]

    def _turns_at(self, time: float) -> list[int]:
        found = []
        for begins, places, end in self._sessions:
            at = bisect.bisect_right(begins, time)
            if at and time <= end:
                found.append(places[at - 1])
        return found


def _decoded(line: bytes) -> _Line | None:
    try:
        return _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _decided(decision: str) -> str:
    return "denied" if "DENIED" in decision else "allowed"
