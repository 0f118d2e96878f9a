"""Turns without an agent's log, by what the records alone say.

A conversation is the session that the requests named, or the label that they carry, else a thread (`threads`).  A call
begins a turn of it

- where the requests name their turns: if it names another one;
- where they say who began them (Copilot's ``x-initiator``), and some say "user": if it says so;
- else: if no results of tools stand at its end, so that somebody asked something, and it is not a request sent again.

Within a session, calls that offer no tools begin no turn if others do: agents ask small models for titles and the like.
A thread that runs while the session's own goes on later is a sub-agent's, and belongs to the turn in which it began.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from awfproxy.report.turns.calls import Call
from awfproxy.report.turns.placements import METHODS, Method, Reason
from awfproxy.report.turns.threads import Threads


class Told(msgspec.Struct, frozen=True, gc=False):
    """Where a call belongs, by what the records say."""

    conversation: str
    session: str | None
    subagent: str | None
    turn: int
    method: Method
    confidence: float


class _Conversation(msgspec.Struct):
    name: str
    session: str | None
    #: places of calls, in the order of time
    members: list[int]


def tell_turns(calls: Sequence[Call]) -> list[Told | Reason]:
    """For each of the calls, which are in the order of time, its turn, or why it has none."""
    threads = Threads(calls)
    told: list[Told | Reason] = ["no-conversation"] * len(calls)
    for conversation in _conversations(calls, threads):
        _tell(calls, threads, conversation, told)
    return told


def _conversations(calls: Sequence[Call], threads: Threads) -> list[_Conversation]:
    found: dict[tuple[str | None, ...], _Conversation] = {}
    for place, call in enumerate(calls):
        thread = threads.of[place]
        if threads.loose[thread] and call.initiator is None:
            continue
        name = call.session or call.conversation
        key = (call.run, name) if name is not None else (call.run, None, str(thread))
        conversation = found.get(key)
        if conversation is None:
            # Without any name: what its first call is called, which is the same whatever is read beside it.
            shown = name or call.conversation_hash or call.response or call.port or call.name
            conversation = found[key] = _Conversation(shown, call.session, [])
        conversation.members.append(place)
    return list(found.values())


def _tell(calls: Sequence[Call], threads: Threads, conversation: _Conversation, told: list[Told | Reason]) -> None:
    subagents = _subagents(calls, threads, conversation)
    members = [calls[place] for place in conversation.members]
    initiated = any(call.initiator == "user" for call in members)
    with_tools = any(call.offers_tools for call in members)
    turn, named = 0, None
    before: Call | None = None
    of_subagent: dict[str, int] = {}
    for place in conversation.members:
        call = calls[place]
        subagent = call.subagent or subagents.get(threads.of[place])
        method: Method = "conversation"
        if call.turn is not None:
            method = "turn-id"
        elif initiated and call.initiator is not None:
            method = "initiator"
        if subagent is None:
            if before is None:
                begins = True
            elif method == "turn-id":
                begins = call.turn != named
            elif call.sent_again(before):
                begins = False
            elif method == "initiator":
                begins = call.initiator == "user"
            else:
                begins = not call.answers_tools and (call.offers_tools or not with_tools)
            turn += begins
            named = call.turn or named
            if before is None or call.offers_tools or not with_tools:
                before = call
        # A sub-agent's calls are of the turn in which its first one was.
        number = turn if subagent is None else of_subagent.setdefault(subagent, max(turn, 1))
        surety = METHODS[method]
        sure = conversation.session is not None and call.messages is not None
        told[place] = Told(
            conversation.name,
            conversation.session,
            subagent,
            max(number, 1),
            method,
            surety.sure if sure else surety.chosen,
        )


def _subagents(calls: Sequence[Call], threads: Threads, conversation: _Conversation) -> dict[int, str]:
    """Threads within a session that run beside its own, and what they are called."""
    if conversation.session is None:
        return {}
    spans: dict[int, list[int]] = defaultdict(list)
    for place in conversation.members:
        if calls[place].subagent is None and calls[place].offers_tools:
            spans[threads.of[place]].append(place)
    found: dict[int, str] = {}
    last = -1
    for thread, places in sorted(spans.items(), key=lambda each: each[1][0]):
        if places[0] < last:
            found[thread] = calls[places[0]].conversation_hash or "beside"
        else:
            # The first thread, or one that goes on after the last had ended: the conversation was made shorter.
            last = places[-1]
    return found
