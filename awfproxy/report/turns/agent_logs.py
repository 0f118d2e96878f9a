"""Reading agents' logs: which files, which format each has, and what was left out.

Rules: the format is told by the first lines, not by the name; nothing is read whole; what cannot be read is counted by
reason and never stops the rest; the order in which files are named does not matter.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import IO, Final

import msgspec
from msgspec import UNSET, UnsetType

from awfproxy.report.lines import STDIN, Lines, called, files_in
from awfproxy.report.turns.agent_events import AgentLog, Event, known_id
from awfproxy.report.turns.claude_log import ClaudeLog
from awfproxy.report.turns.codex_log import CodexLog
from awfproxy.report.turns.copilot_debug import CopilotDebug
from awfproxy.report.turns.copilot_events import CopilotEvents

#: lines of a file in which its format must show; what is printed before an agent starts stands there too
DETECT_LINES: Final = 64
#: prompts and calls of all logs together that are held: a month of agents on one machine, some 600 MB
EVENTS_MAX: Final = 1_000_000

#: how the names of files in folders end that are looked into
_ENDS: Final = (".jsonl", ".log", ".json", ".txt")
_PACKED: Final = (".gz", ".zst")

_CODEX_TYPES: Final = frozenset(("session_meta", "turn_context", "response_item", "event_msg", "token_usage_record"))
_CLAUDE_TYPES: Final = frozenset(("user", "assistant", "summary", "system", "file-history-snapshot", "queue-operation"))
_COPILOT_TYPES: Final = ("session.", "user.message", "assistant.", "tool.", "system.message")


class Log(msgspec.Struct):
    """One file that was read."""

    path: str
    agent: str
    #: turns begun and calls told in it
    events: list[Event]


class AgentLogs(msgspec.Struct):
    """All that was read."""

    logs: list[Log] = msgspec.field(default_factory=list)
    #: lines by what became of them: "unknown" (of a type not known), "broken", "too long"
    left_out: Counter[str] = msgspec.field(default_factory=Counter)
    #: whole sentences about files
    troubles: list[str] = msgspec.field(default_factory=list)

    def remarks(self) -> list[str]:
        """Whole sentences about what was left out."""
        said = list(self.troubles)
        for reason, words in _WORDS.items():
            if count := self.left_out[reason]:
                said.append(f"{count:,} {'line' if count == 1 else 'lines'} of agents' logs {words}.")
        return said


_WORDS: Final = {
    "broken": "skipped: not readable",
    "unknown": "passed over: of types that are not known here",
    "too long": "skipped: too long",
}


class _Start(msgspec.Struct, gc=False):
    type: str | None = None
    payload: msgspec.Raw | UnsetType = UNSET
    data: msgspec.Raw | UnsetType = UNSET
    message: msgspec.Raw | UnsetType = UNSET
    session: str | None = msgspec.field(name="sessionId", default=None)
    session_id: str | None = None


_decode = msgspec.json.Decoder(_Start).decode


def read_agent_logs(paths: Sequence[str], stdin: IO[bytes] | None = None) -> AgentLogs:
    """Reads files, folders (and those within) and "-".  Holds prompts and calls, never what was said."""
    found = AgentLogs()
    events = 0
    for path, named in _files(paths):
        lines = Lines([path], stdin)
        log = _read(lines, path, found.left_out, EVENTS_MAX - events)
        found.left_out["too long"] += lines.too_long
        found.troubles += lines.troubles
        if log is None:
            if named:
                found.troubles.append(f"{called(path)}: no log of an agent that is known here.")
            continue
        events += len(log.events)
        found.logs.append(Log(path, log.agent, log.events))
        if events >= EVENTS_MAX:
            more = f"more than {EVENTS_MAX:,} turns and calls; what follows was not read"
            found.troubles.append(f"{called(path)}: {more}.")
            break
    return found


def _files(paths: Sequence[str]) -> list[tuple[str, bool]]:
    """Each file once, and whether it was named rather than found in a folder."""
    found: dict[str, bool] = {}
    for path in paths:
        if path == STDIN or not os.path.isdir(path):
            found[path] = True
            continue
        for each in files_in(path, _wanted):
            found.setdefault(each, False)
    return list(found.items())


def _wanted(name: str) -> bool:
    return name.removesuffix(_PACKED[0]).removesuffix(_PACKED[1]).endswith(_ENDS)


def _read(lines: Lines, path: str, left_out: Counter[str], most: int) -> AgentLog | None:
    log: AgentLog | None = None
    before: list[tuple[int, bytes]] = []
    for number, line in enumerate(lines, 1):
        if log is None:
            before.append((number, line))
            log = _reader(line, path)
            if log is None:
                if len(before) >= DETECT_LINES:
                    return None
                continue
        else:
            before = [(number, line)]
        for place, waiting in before:
            if not waiting.isspace():
                verdict = log.feed(waiting, place)
                # What stands before the first line that tells the format may be anybody's output.
                if verdict in ("unknown", "broken") and place == number:
                    left_out[verdict] += 1
        if len(log.events) >= most:
            break
    if log is not None:
        log.finish()
    return log


def _reader(line: bytes, path: str) -> AgentLog | None:
    """The reader for a file in which this line stands; None: the line does not tell."""
    start = line.lstrip()[:1]
    if start != b"{":
        return CopilotDebug(_place(os.path.basename(path))) if _is_debug(line) else None
    try:
        said = _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    kind = said.type or ""
    if kind in _CODEX_TYPES and said.payload is not UNSET:
        return CodexLog()
    if kind.startswith(_COPILOT_TYPES) and said.data is not UNSET:
        return CopilotEvents(_place(os.path.basename(os.path.dirname(path)) or os.path.basename(path)))
    if (said.session is not None or said.session_id is not None) and (
        kind in _CLAUDE_TYPES or (not kind and said.message is not UNSET)
    ):
        return ClaudeLog()
    return None


def _is_debug(line: bytes) -> bool:
    # `2026-01-02T03:04:05.678Z [INFO] ...`
    return len(line) > 26 and line[:4].isdigit() and line[10:11] == b"T" and b"Z [" in line[19:40]


def _place(name: str) -> str:
    return known_id(name) or "unnamed"
