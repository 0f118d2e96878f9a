"""Threads: calls that go on one from another, by what the records alone say.

A thread is what has the same run, session, sub-agent, label and conversation hash; where a request goes on from a
stored answer, what that answer belongs to.  A record that says nothing of the kind (AWF's own) is of the one loose
thread of its run, port and model.
"""

from __future__ import annotations

from collections.abc import Sequence

from awfproxy.report.turns.calls import Call

Key = tuple[str | None, ...]


class Threads:
    """The threads of calls that are in the order of time."""

    def __init__(self, calls: Sequence[Call]) -> None:
        #: places of calls, by thread
        self.members: list[list[int]] = []
        #: the thread of each call
        self.of: list[int] = []
        #: whether nothing but the port holds a thread together
        self.loose: list[bool] = []
        known: dict[Key, int] = {}
        answers: dict[str, int] = {}
        for place, call in enumerate(calls):
            thread = answers.get(call.previous_response or "")
            if thread is None:
                key = _key(call)
                thread = known.get(key)
                if thread is None:
                    thread = known[key] = len(self.members)
                    self.members.append([])
                    self.loose.append(key[0] == "loose")
            if call.response is not None:
                answers[call.response] = thread
            self.members[thread].append(place)
            self.of.append(thread)


def _key(call: Call) -> Key:
    if call.conversation_hash is None and call.session is None and call.conversation is None:
        if call.response is not None:  # the first of a chain of stored answers
            return "response", call.run, call.response
        return "loose", call.run, call.port, call.model
    return "thread", call.run, call.session, call.subagent, call.conversation, call.conversation_hash
