"""What agents' logs tell of their calls, as rows to compare with ours.

Rules: the logs are read by `report.turns`; a call told twice is one.  Only the times in which a log tells of calls are
compared, with ten minutes around, and only its models: what else goes through the same port is not its business.
Calls are taken from the log's lines, not from its running totals, which go up and down where sub-agents share them.
Logs do not tell writes for an hour apart, and some not the input at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO

import msgspec
from msgspec import field

from awfproxy.report.reading import many
from awfproxy.report.reconcile.calendar import EDGE
from awfproxy.report.reconcile.used import Counts, Used
from awfproxy.report.turns.agent_events import Usage
from awfproxy.report.turns.agent_logs import read_agent_logs
from awfproxy.report.turns.sessions import put_together


class AgentUsage(msgspec.Struct):
    """All that was read."""

    rows: list[Used] = field(default_factory=list)
    #: times in which a log tells of calls
    times: list[tuple[int, int]] = field(default_factory=list)
    #: by agent the sessions of which there are logs
    agents: dict[str, set[str]] = field(default_factory=dict)
    #: whole sentences
    remarks: list[str] = field(default_factory=list)


def read_agent_usage(paths: Sequence[str], stdin: IO[bytes] | None = None) -> AgentUsage:
    """Reads files, folders and "-"."""
    found = AgentUsage()
    logs = read_agent_logs(paths, stdin)
    found.remarks += logs.remarks()
    timeless = silent = 0
    for session in put_together(logs.logs):
        found.agents.setdefault(session.agent, set()).add(session.id)
        times = []
        for step in (step for stream in session.streams for step in stream.steps):
            begin = step.begin if step.begin is not None else step.end
            if begin is None:
                timeless += 1
                continue
            times.append(int(begin))
            if step.usage is None or not step.usage.says_something:
                silent += 1
                continue
            found.rows.append(_used(int(begin), step.model, step.usage))
        if times:
            found.times.append((min(times) - EDGE, max(times) + EDGE))
    if timeless:
        found.remarks.append(f"Left out, as there is no time: {many(timeless, 'call')} of the logs.")
    if silent:
        found.remarks.append(f"Missing there, as there are no counts: {many(silent, 'call')} of the logs.")
    return found


def _used(begin: int, model: str | None, usage: Usage) -> Used:
    prompt, read, written = usage.prompt, usage.cache_read, usage.cache_write
    uncached = None if prompt is None else max(0, prompt - (read or 0) - (written or 0))
    counts: Counts = (uncached, read, written, None, usage.output)
    return Used("", begin, begin + 1, model, counts, 1)
