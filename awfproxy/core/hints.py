"""What a request says of its conversation, without its content: numbers, names and keyed hashes (docs/records.md).

A `Hinter` has the key and remembers what came in the last requests.  No body makes it raise; its time is linear in the
body and short, because only both ends of the messages are looked into (`conversation`), and what all requests of an
agent have in common, tools and system prompt, is worked out once (`keyed.Remembered`).

Hashes are of at most 64 KB of a request: each content has its share, and of a longer one both ends and the length are
read.  They are of the JSON as the client wrote it: the same client writes the same content the same way.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, Raw

from awfproxy.core import tools
from awfproxy.core.agents import speaker
from awfproxy.core.conversation import (
    HEAD_MAX,
    MODEL,
    OBJECT,
    SYSTEM,
    Slot,
    Turn,
    body_of,
    content,
    decoded,
    newest_turn,
    side,
)  # fmt: skip
from awfproxy.core.hint_fields import Hints
from awfproxy.core.keyed import KeyedHash, Purpose, Remembered
from awfproxy.core.kinds import Kind
from awfproxy.core.request import Conversation, Members
from awfproxy.core.undecodable import UNDECODABLE

#: bytes that are hashed of a request, shared out so that nothing's hash depends on what stands beside it; together
#: 64 KB: system prompts (Codex and some others send two), tools, the first messages, calls and results
SYSTEM_SHARE: Final = 16 * 1024
SYSTEMS_MAX: Final = 2
TOOLS_SHARE: Final = 12 * 1024
HEAD_SHARE: Final = 4 * 1024
TURN_SHARE: Final = 16 * 1024
#: bytes hashed of one call, of one result: of a long one both ends and its length tell it apart
CALL_SHARE: Final = 1024
RESULT_SHARE: Final = 1024
#: bytes of a message from which looking it up costs less than reading it
LOOKED_UP: Final = 1024
#: written for a tool whose name is not a plain one, so that names and hashes of calls stay side by side
UNNAMED: Final = "?"
#: kinds of calls whose requests are conversations
CONVERSATIONS: Final = frozenset(
    {
        *("chat", "responses", "messages", "generateContent", "interactions", "ollama", "cohere-chat"),
        *("converse", "invoke", "predict"),
    }
)


#: first byte of a null
NULL: Final = ord("n")
_NOTHING: Final = Hints()
_decode_text = msgspec.json.Decoder(str).decode


class _Offer(msgspec.Struct, gc=False):
    """Tools as a record tells of them."""

    count: int
    names: list[str]
    hashed: str


def conversational(kind: Kind | None) -> bool:
    """Whether a request of this kind, or of an unknown one, may be a conversation's."""
    return kind is None or kind.name in CONVERSATIONS


class Hinter:
    """Makes hints with one key."""

    __slots__ = ("_hash", "_offers", "_systems")

    def __init__(self, key: bytes) -> None:
        self._hash = KeyedHash(key)
        self._offers: Remembered[_Offer] = Remembered()
        self._systems: Remembered[str] = Remembered()

    def hints(self, fields: dict[bytes, bytes], conversation: Conversation | None) -> Hints | None:
        """The hints of one request; None: nothing to say.

        :param fields: its headers by lower-case name
        :param conversation: its body, where that is one
        """
        who = speaker(fields, None if conversation is None else conversation.members)
        hints = Hints(who.agent, who.session, who.subagent, who.turn)
        if conversation is not None:
            self._conversation(hints, conversation)
            self._offer(hints, conversation.members)
        return None if hints == _NOTHING else hints

    def response_id(self, identifier: str) -> str:
        """The hash of an answer's id; the next request may name it (`previous_response_id_hash`)."""
        return self._of("response", identifier.encode("utf-8", "replace"))

    def _conversation(self, hints: Hints, conversation: Conversation) -> None:
        members, items, text = conversation.members, conversation.messages or [], conversation.text
        if conversation.messages is not None and not conversation.more:
            hints.messages = len(items)
        previous = members.previous_response_id
        if previous is UNSET:
            previous = members.previous_interaction_id
        named = _text(previous)
        if named is not None:
            hints.previous_response_id_hash = self.response_id(named)
        systems = [
            self._system(raw, raw)
            for raw in (members.system, members.instructions, members.gemini_system, members.system_instruction)
            if raw is not UNSET and memoryview(raw)[0] != NULL
        ][:SYSTEMS_MAX]
        began, answered = self._head(items, systems)
        if text:
            hints.messages = 1
            began.append(_ends(text))
        goes_on = named is not None or members.conversation is not UNSET  # from what the provider has stored
        if began and not goes_on:
            hints.conversation_hash = self._of("conversation", b"\0".join(began), HEAD_SHARE)
        if systems:
            hints.system_hash = systems[0] if len(systems) == 1 else self._of("system", "".join(systems).encode())
        if not conversation.more and (answered or goes_on):
            self._turn(hints, newest_turn(items))

    def _head(self, items: list[Raw], systems: list[str]) -> tuple[list[bytes | memoryview], bool]:
        """What the client said before the model's first answer, and whether there may be one; hashes of system prompts
        among it go to ``systems``."""
        began: list[bytes | memoryview] = []
        for raw in items[:HEAD_MAX]:
            view = memoryview(raw)
            known = self._systems.get(view) if len(view) > LOOKED_UP else None
            if known is None:
                item = decoded(raw)
                if item is None:
                    began.append(view[:HEAD_SHARE])
                    continue
                whose = side(item)
                if whose is MODEL:
                    return began, True
                if whose is not SYSTEM:
                    began.append(content(body_of(item)))
                    continue
                known = self._system(raw, body_of(item))
            if len(systems) < SYSTEMS_MAX:
                systems.append(known)
        return began, len(items) > HEAD_MAX

    def _system(self, raw: Raw, said: Slot) -> str:
        """The hash of a system prompt: of what ``raw`` says; it is looked up by its bytes."""
        view = memoryview(raw)
        known = self._systems.get(view)
        if known is None:
            parts = said
            if said is raw and view[0] == OBJECT:  # Gemini's has the form of a message
                item = decoded(raw)
                parts = raw if item is None else body_of(item)
            known = self._of("system", content(parts), SYSTEM_SHARE)
            self._systems.put(view, known)
        return known

    def _offer(self, hints: Hints, members: Members) -> None:
        for raw in (members.tools, members.functions, members.tool_config):
            if raw is UNSET:
                continue
            view = memoryview(raw)
            offer = self._offers.get(view)
            if offer is None:
                count, names = tools.offered(raw)
                offer = _Offer(count, names, self._of("tools", view, TOOLS_SHARE))
                self._offers.put(view, offer)
            if offer.names or offer.count:
                hints.tools_hash = offer.hashed
                hints.tools_bytes = len(view)
                hints.tools_offered = offer.names
                if offer.count > len(offer.names):
                    hints.tools = offer.count
                return

    def _turn(self, hints: Hints, turn: Turn) -> None:
        left = TURN_SHARE
        if turn.calls:
            hints.tools_called = [tools.plain_name(name) or UNNAMED for name, _ in turn.calls]
            hints.tool_call_hashes = []
            for name, arguments in turn.calls:
                call = b"%b\0%b" % (name, arguments)
                left -= min(len(call), CALL_SHARE)
                if left < 0:
                    break
                hints.tool_call_hashes.append(self._of("call", call, CALL_SHARE))
        if turn.results:
            hints.tool_result_hashes = []
            for raw in turn.results:
                result = content(raw)
                left -= min(len(result), RESULT_SHARE)
                if left < 0:
                    break
                hints.tool_result_hashes.append(self._of("result", result, RESULT_SHARE))

    def _of(self, purpose: Purpose, data: bytes | memoryview, limit: int = CALL_SHARE) -> str:
        return self._hash.of(purpose, data, limit)


def _text(raw: Slot) -> str | None:
    """A text that is not empty."""
    if raw is UNSET:
        return None
    try:
        return _decode_text(raw) or None
    except UNDECODABLE:
        return None


def _ends(text: str) -> bytes:
    """A text as it would stand in the JSON; of a long one both ends and the length."""
    if len(text) > HEAD_SHARE:
        text = f"{text[: HEAD_SHARE // 2]}\0{len(text)}\0{text[-HEAD_SHARE // 2 :]}"
    return msgspec.json.encode(text)
