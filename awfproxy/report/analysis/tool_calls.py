"""What tools were called for: again for the same, and for what could have been fetched before.

Rules: calls and results are known by keyed hashes; a pair of them counts only where a record has one result for each
call.  What a tool does is told by its name: one that nobody can tell does neither read files nor fetch.  A shell is
such a one.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from awfproxy.report.analysis.board import Board
from awfproxy.report.analysis.codes import DETERMINISTIC_RETRIEVAL, REPEATED_TOOL_CALLS, REREAD_FILES
from awfproxy.report.analysis.conversations import Conversation, Conversations
from awfproxy.report.analysis.groups import Group
from awfproxy.report.analysis.steps import Hints, Step
from awfproxy.report.analysis.thresholds import Thresholds

#: percent
SURE_REPEATED: Final = 90
SURE_RECURRING: Final = 80
SURE_FIRST: Final = 50
#: calls of tools that are known from earlier conversations: 15 MB
RECURRING_MAX: Final = 50_000

#: names of tools whose meaning is remembered
NAMES_MAX: Final = 4_096
#: the words that names of tools are made of: ``mcp__github__list_issues``, ``github-get_me``, ``WebFetch``
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
#: names of tools that read files of the machine: Claude Code's, Copilot CLI's, Gemini CLI's, the filesystem server's
_READERS: Final = frozenset({"read", "view", "cat", "open"})
_OF_FILES: Final = frozenset({"file", "files", "text", "many", "multiple", "media", "range", "lines", "notebook"})
#: words with which names of tools begin that only look something up
_FETCH: Final = frozenset({"fetch", "get", "list", "search", "find", "query", "lookup", "download", "describe"})
#: words of names that look on the machine or into the agent itself, and not in another system
_LOCAL: Final = frozenset(
    {
        *("glob", "grep", "ls", "dir", "directory", "directories", "files", "workspace", "codebase", "notebook"),
        *("bash", "shell", "output", "task", "tasks", "todo", "todos", "agent", "agents", "tool", "tools"),
    }
)


def called_again(
    board: Board,
    conversations: Conversations,
    conversation: Conversation,
    step: Step,
    hints: Hints,
    limits: Thresholds,
) -> None:
    """Looks for calls whose result was in the conversation already."""
    last = conversation.last
    tools, calls, results = hints.tools_called, hints.tool_call_hashes, hints.tool_result_hashes
    if not tools or not calls or not results or len(calls) != len(tools) or len(results) != len(tools):
        return
    again: dict[str, list[tuple[str, int]]] = {}
    for tool, call, result in zip(tools, calls, results, strict=True):
        count = conversations.called(conversation, call, result)
        code, least = (
            (REREAD_FILES, limits.reread_calls) if reads_files(tool) else (REPEATED_TOOL_CALLS, limits.repeated_calls)
        )
        if count >= least:
            again.setdefault(code, []).append((tool, count))
    if not again:
        return
    added = max((step.prompt or 0) - (last.prompt or 0), 0) if last is not None else 0
    all_of_them = sum(map(len, again.values())) == len(tools)
    for code, made in again.items():
        if all_of_them:
            tokens = (step.prompt or 0) * len(made) // len(tools)
            money = _prompt_money(step) * len(made) // len(tools)
        else:
            tokens = added * len(made) // len(tools)
            money = step.newest(tokens)
        tool, count = max(made, key=lambda each: (each[1], each[0]))
        claim = step.claim(tokens, money, tokens, money)
        board.claim(code, step, claim, SURE_REPEATED, tool=tool, times=count, calls_of_turn=len(tools))


def _prompt_money(step: Step) -> int:
    """What the prompt cost."""
    return step.cheapest(step.read or 0) + step.newest((step.prompt or 0) - (step.read or 0))


class Retrieval:
    """Looks for calls that do nothing but fetch."""

    def __init__(self) -> None:
        #: by hash of a call, the conversations that made it, as many as are asked for
        self._known: OrderedDict[str, tuple[str | int, ...]] = OrderedDict()

    def only_fetched(self, conversation: Conversation, step: Step, hints: Hints, limits: Thresholds) -> None:
        """The tools of this request are what the call before it asked for; that is the one that could be saved."""
        asking = conversation.last
        tools = hints.tools_called
        mine = hints.session or conversation.number
        recurring = self._recurring(mine, hints.tool_call_hashes or (), limits.retrieval_conversations)
        if asking is None or not tools:
            if asking is not None:
                conversation.fetching = None
            return
        fetched = (
            all(map(fetches, tools))
            and asking.prompt is not None
            and asking.prompt >= limits.retrieval_input
            and asking.output is not None
            and asking.output <= limits.retrieval_output
            and not asking.reasoning
            and asking.exact
            and asking.whole
        )
        first = conversation.fetching is not None and fetched and all(map(elsewhere, tools))
        conversation.fetching = (conversation.fetching or 0) + 1 if first else None
        if first or (fetched and recurring):
            if conversation.retrieval is None:
                conversation.retrieval = Retrieved()
            assert isinstance(conversation.retrieval, Retrieved)
            conversation.retrieval.fetched(asking, step, tools[0], recurring=recurring)

    def _recurring(self, mine: str | int, calls: Sequence[str], least: int) -> bool:
        """Whether each of these calls was made in so many conversations, with this one; they are known from now on."""
        known = self._known
        found = bool(calls)
        for call in calls:
            whose = known.get(call, ())
            if mine not in whose and len(whose) < least:
                whose = known[call] = (*whose, mine)
                known.move_to_end(call)
            found = found and len(whose) >= least
        while len(known) > RECURRING_MAX:
            known.popitem(last=False)
        return found


class Retrieved(Group):
    """The calls of one conversation that only fetch."""

    __slots__ = ("first", "recurring", "tool")

    def __init__(self) -> None:
        super().__init__(DETERMINISTIC_RETRIEVAL)
        self.first = 0
        self.recurring = 0
        self.tool = ""

    def fetched(self, asking: Step, step: Step, tool: str, *, recurring: bool) -> None:
        """One more."""
        self.tool = self.tool or tool
        self.recurring += recurring
        self.first += not recurring
        saved = asking.cost - step.more_without(asking)
        self.claim(asking, asking.claim(asking.tokens, asking.cost, asking.tokens, saved))


def conversation_done(board: Board, conversation: Conversation, limits: Thresholds) -> None:
    """Whether it fetched often enough."""
    group = conversation.retrieval
    if isinstance(group, Retrieved) and (group.recurring or group.first >= limits.retrieval_turns):
        sure = SURE_RECURRING if group.recurring else SURE_FIRST
        board.conclude(group, sure, tool=group.tool, known_from_before=group.recurring)


def words_of(tool: str) -> tuple[str, ...]:
    """The words of a tool's own name, in small letters; without the server's that it is of."""
    own = re.split(r"__|[./:]", tool)[-1]
    return tuple(word.lower() for word in _WORD.findall(own))


@lru_cache(NAMES_MAX)
def reads_files(tool: str) -> bool:
    """Whether it reads a file of the machine, as far as its name tells."""
    words = words_of(tool)
    return bool(words) and words[0] in _READERS and all(word in _OF_FILES for word in words[1:])


@lru_cache(NAMES_MAX)
def fetches(tool: str) -> bool:
    """Whether all it does is to look something up, as far as its name tells."""
    return reads_files(tool) or _looks_up(words_of(tool)) or words_of(tool) in (("glob",), ("grep",), ("ls",))


@lru_cache(NAMES_MAX)
def elsewhere(tool: str) -> bool:
    """Whether it looks something up in another system."""
    words = words_of(tool)
    return _looks_up(words) and not _LOCAL.intersection(words)


def _looks_up(words: tuple[str, ...]) -> bool:
    # ``github-list_issues`` begins with its server's name, ``web_fetch`` and ``issue_read`` end with what they do.
    if any(first in _FETCH for first in words[:2]):
        return True
    return bool(words) and words[-1] in (*_FETCH, "read") and not reads_files(" ".join(words))
