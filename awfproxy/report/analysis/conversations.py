"""Which conversation a call belongs to, and what is remembered of it.

Rules: a conversation is what has the same run, session, sub-agent, label and hash; where a request goes on from a
stored answer, what that answer belongs to (as in `report.turns.threads`).  A call that says nothing of the kind belongs
to none.  A conversation whose messages become fewer is begun anew: it was rewound, or another one began alike.  At most
`CONVERSATIONS_MAX` are remembered, and of them together `HASHES_MAX` hashes of tools' calls; those without a call for
longest are done with first, and counted.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec

from awfproxy.report.analysis.groups import Group
from awfproxy.report.analysis.steps import Step

#: conversations that go on at the same time: 10 MB of the last call of each
CONVERSATIONS_MAX: Final = 2_048
#: calls of tools with their results in all of them: 20 MB
HASHES_MAX: Final = 150_000
#: hashes that one conversation may have: 128 turns of as many calls as a record names
HASHES_OF_ONE_MAX: Final = 4_096
#: stored answers of one conversation from which it may go on
ANSWERS_MAX: Final = 4
#: models of one conversation whose caches are followed
CACHES_MAX: Final = 4

Key = tuple[str | None, ...]


class Cached(msgspec.Struct, frozen=True):
    """What a provider's cache has of a conversation, by its last call with one model."""

    #: the call, which is not kept itself
    end: Step
    tokens: int


class Conversation:
    """One conversation, between its calls."""

    __slots__ = (
        "answers", "caches", "called", "calls", "fetching", "first_prompt", "growth", "key", "largest_prompt", "last",
        "messages", "number", "retrieval", "uncached", "uncached_calls",
    )  # fmt: skip

    def __init__(self, key: Key, number: int) -> None:
        self.key = key
        #: different for each
        self.number = number
        #: the last call; nothing has been decided of it for good yet
        self.last: Step | None = None
        #: that the last request had, but where it went on from a stored answer; None: not said
        self.messages: int | None = None
        self.calls = 0
        self.first_prompt: int | None = None
        #: tokens, by the provider's final figures; 0: none had any
        self.largest_prompt = 0
        #: by call and result (64 bits of a hash of both), how often it was made
        self.called: dict[int, int] | None = None
        #: by model
        self.caches: dict[str | None, Cached] = {}
        self.answers: tuple[str, ...] = ()
        self.growth: Group | None = None
        self.uncached: Group | None = None
        self.uncached_calls = 0
        #: calls at its beginning that only fetch; None: it has done something else since
        self.fetching: int | None = 0
        self.retrieval: Group | None = None


class Conversations:
    """All conversations that may go on.

    :param done: what is called with one that will not
    """

    def __init__(self, done: Callable[[Conversation], None]) -> None:
        self._done = done
        self._open: OrderedDict[Key, Conversation] = OrderedDict()
        self._answers: dict[str, Conversation] = {}
        self._hashes = 0
        self._count = 0
        #: conversations that were done with for want of memory
        self.forgotten = 0

    def of(self, step: Step) -> Conversation | None:
        """The conversation of the call; None: it says nothing of any."""
        hints, row = step.hints, step.row
        if hints is None:
            return None if row.conversation is None else self._get((row.run, None, None, row.conversation, None))
        if hints.previous_response_id_hash is not None:
            known = self._answers.get(hints.previous_response_id_hash)
            if known is not None:
                self._open.move_to_end(known.key)
                return known
        if hints.conversation_hash is None and hints.session is None and row.conversation is None:
            if hints.response_id_hash is None:
                return None
            return self._get((row.run, "answer", hints.response_id_hash))
        key = (row.run, hints.session, hints.subagent, row.conversation, hints.conversation_hash)
        conversation = self._get(key)
        before = conversation.messages
        if before is not None and hints.messages is not None and hints.messages < before:
            self._drop(conversation)
            conversation = self._get(key)
        conversation.messages = hints.messages if hints.previous_response_id_hash is None else None
        return conversation

    def _get(self, key: Key) -> Conversation:
        found = self._open.get(key)
        if found is None:
            found = self._open[key] = Conversation(key, self._count)
            self._count += 1
            while len(self._open) > CONVERSATIONS_MAX:
                self._forget()
        else:
            self._open.move_to_end(key)
        return found

    def answered(self, conversation: Conversation, answer: str) -> None:
        """The conversation may go on from this stored answer."""
        if len(conversation.answers) == ANSWERS_MAX:
            self._answers.pop(conversation.answers[0], None)
        conversation.answers = (*conversation.answers, answer)[-ANSWERS_MAX:]
        self._answers[answer] = conversation

    def called(self, conversation: Conversation, call: str, result: str) -> int:
        """How often this call has had this result in the conversation, now included."""
        if conversation.called is None:
            conversation.called = {}
        called = conversation.called
        pair = hash((call, result))
        count = called.get(pair, 0) + 1
        if count == 1:
            if len(called) >= HASHES_OF_ONE_MAX:
                return 1
            self._hashes += 1
            while self._hashes > HASHES_MAX and len(self._open) > 1:
                self._forget()
        called[pair] = count
        return count

    def close(self) -> None:
        """No more calls come."""
        while self._open:
            self._drop(next(iter(self._open.values())))
        self._done = _nobody  # it has us, so we let it go

    def _forget(self) -> None:
        self.forgotten += 1
        self._drop(next(iter(self._open.values())))

    def _drop(self, conversation: Conversation) -> None:
        del self._open[conversation.key]
        self._hashes -= len(conversation.called or ())
        for answer in conversation.answers:
            if self._answers.get(answer) is conversation:
                del self._answers[answer]
        self._done(conversation)


def _nobody(conversation: Conversation) -> None:
    raise AssertionError("no conversation is begun after the end")
