"""What an agent's log tells, whatever its format: a person's prompts, and the calls of the model between them.

Rules: of what was said nothing is kept, only times, counts, ids, and names of tools and models.  An id or a name that
does not look like one counts as not said (`known_id`, `tool_name`).  None: not said, never 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, Literal, Protocol

import msgspec
from msgspec import Meta

from awfproxy.core.hint_fields import Agent

#: characters of an id: UUIDs have 36, the providers' ids up to 60
ID_MAX: Final = 128
#: seconds since the epoch: the year 5138; what is later is milliseconds, or no time
TIME_MAX: Final = 1e11
#: characters of a model's name
MODEL_MAX: Final = 128

#: more tokens than any call can use, as in `report.rows`
Count = Annotated[int, Meta(ge=0, le=10**12)]

_is_id = re.compile(rf"[A-Za-z0-9._:@/-]{{1,{ID_MAX}}}").fullmatch
_is_tool = re.compile(r"[A-Za-z0-9_.:/-]{1,64}").fullmatch

#: what became of a line: read; known and of no use here; of a type that this reader does not know; not readable
Verdict = Literal["read", "passed", "unknown", "broken"]


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens of one call; None: the log does not say."""

    #: everything the model read, cached or not
    prompt: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    #: everything generated, reasoning included
    output: int | None = None

    @property
    def says_something(self) -> bool:
        return self.prompt is not None or self.output is not None

    def less(self, other: Usage) -> Usage:
        """The difference of two running totals; a count that shrank (a total begun anew) is not said."""

        def part(more: int | None, few: int | None) -> int | None:
            return None if more is None or few is None or more < few else more - few

        return Usage(
            part(self.prompt, other.prompt),
            part(self.cache_read, other.cache_read),
            part(self.cache_write, other.cache_write),
            part(self.output, other.output),
        )


class Prompt(msgspec.Struct, gc=False):
    """A person (or, for a sub-agent, the agent above it) asked something: a turn begins."""

    session: str
    subagent: str | None
    #: tells the same prompt read twice
    key: str
    time: float | None
    #: the id by which the agent's requests name the turn (Codex, Copilot)
    turn_id: str | None = None
    #: the line in its file
    line: int = 0
    #: its own time, or that of the lines before it where it has none: its place in the session
    at: float = -math.inf


class Step(msgspec.Struct, gc=False):
    """One call of the model, as the agent's log tells it."""

    session: str
    subagent: str | None
    #: tells the same call read twice
    key: str
    begin: float | None
    end: float | None
    #: what the provider and the agent called it: ids of the request and of the response
    ids: tuple[str, ...] = ()
    model: str | None = None
    usage: Usage | None = None
    #: tokens between the step before and this one that the log's running total has and its lines have not
    missing: Usage | None = None
    #: tools that the model called: id of the call (or its place) -> name
    tools: dict[str, str] = msgspec.field(default_factory=dict)
    turn_id: str | None = None
    line: int = 0
    at: float = -math.inf
    #: of the turn, once the session is put together
    turn: int = 0


Event = Prompt | Step


def time_of(event: Event) -> float | None:
    """When it was written, by the agent's clock."""
    if isinstance(event, Prompt):
        return event.time
    return event.begin if event.begin is not None else event.end


class AgentLog(Protocol):
    """A reader of one file of one agent, fed line by line."""

    agent: Agent
    events: list[Event]

    def feed(self, line: bytes, number: int) -> Verdict:
        """Takes the next line.  Never raises, whatever the line."""

    def finish(self) -> None:
        """The file has ended; `events` is whole."""


def known_id(text: str | None) -> str | None:
    """The text, if it looks like an id."""
    return text if text is not None and _is_id(text) else None


def known_ids(*texts: str | None) -> tuple[str, ...]:
    """Those that look like ids, each once."""
    return tuple(dict.fromkeys(text for text in texts if text is not None and _is_id(text) and text != "null"))


def tool_name(text: str | None) -> str:
    """A tool's name; one that is not plain is "?", as in the records' hints."""
    return text if text is not None and _is_tool(text) else "?"


def model_name(text: str | None) -> str | None:
    """A model's name, cut to `MODEL_MAX` characters."""
    return text[:MODEL_MAX] if text else None


def seconds(text: str | float | None) -> float | None:
    """Seconds since the epoch of an ISO 8601 time (UTC where no zone is said) or of a number of seconds.

    None: it is no time, or lies before 1970 or beyond `TIME_MAX`.
    """
    if isinstance(text, str):
        try:
            when = datetime.fromisoformat(text)
            text = (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return None
    return float(text) if text is not None and 0 < text < TIME_MAX else None


def merged(first: Step, again: Step) -> None:
    """Adds to a step what another line says of the same call: the largest counts, all tools, the widest times."""
    first.begin = min((time for time in (first.begin, again.begin) if time is not None), default=None)
    first.end = max((time for time in (first.end, again.end) if time is not None), default=None)
    first.ids = tuple(dict.fromkeys((*first.ids, *again.ids)))
    first.model = first.model or again.model
    first.turn_id = first.turn_id or again.turn_id
    first.tools.update(again.tools)
    first.missing = first.missing or again.missing
    if again.usage is not None:
        first.usage = again.usage if first.usage is None else _larger(first.usage, again.usage)


def _larger(one: Usage, other: Usage) -> Usage:
    # While an answer streams its counts grow; the last line has the most.
    def part(counts: Sequence[int | None]) -> int | None:
        return max((count for count in counts if count is not None), default=None)

    return Usage(
        part((one.prompt, other.prompt)),
        part((one.cache_read, other.cache_read)),
        part((one.cache_write, other.cache_write)),
        part((one.output, other.output)),
    )
