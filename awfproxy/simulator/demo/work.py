"""What agents are to do: runs of a workflow, sessions of agents in them, turns, steps.

A run is written down beforehand and played: the simulated model answers with the steps' calls of tools
(``x-sim-tool``), the tools with the steps' results.  All of it is the same each time, ids included.
"""

from __future__ import annotations

from typing import Any

import msgspec

#: Words of one line of a `page`.
LINE_WORDS = 8


class Step(msgspec.Struct, frozen=True):
    """The model calls a tool, the tool answers."""

    tool: str
    arguments: dict[str, Any]
    result: str
    #: the provider's answer breaks off after so many events, and the agent sends the request again; 0: it does not
    broken_after: int = 0


class Turn(msgspec.Struct, frozen=True):
    """What a person asks, what the agent does about it, and what it says in the end."""

    prompt: str
    steps: tuple[Step, ...] = ()
    #: of the last answer
    words: int = 60
    #: the person has seen enough after so many events of the last answer; 0: it is read to its end
    left_after: int = 0


class Session(msgspec.Struct, frozen=True):
    """One agent at work."""

    #: ``claude-code`` or ``codex``
    agent: str
    #: the id that its log and its requests have
    name: str
    model: str
    feature: str
    instructions: str
    tools: tuple[str, ...]
    turns: tuple[Turn, ...]
    #: the instructions end with the time at which each turn began
    clock: bool = False


class Script(msgspec.Struct, frozen=True):
    """A program that asks a model by itself, and keeps no log."""

    model: str
    feature: str
    instructions: str
    questions: tuple[str, ...]
    words: int
    #: the label of the one conversation that all questions are of; "": each is its own
    conversation: str = ""
    #: it asks for what it sends again to be cached
    cached: bool = False


class Run(msgspec.Struct, frozen=True):
    """One run of the workflow."""

    #: its label (``x-awf-run``)
    name: str
    works: tuple[Session | Script, ...]
    #: what is to be found in it: code and number of cases
    findings: dict[str, int]


def page(title: str, words: int) -> str:
    """A text of about so many words, another one for each title: what a file, a log or an issue has in it."""
    lines = (f"{number} if lamp is lit : count it" for number in range(1, words // LINE_WORDS + 1))
    return "\n".join((f"# {title}", *lines))
