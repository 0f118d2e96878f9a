"""How the streams of each API are recognised, gated and ended.

* A *needle* is text without which an event of that API cannot matter; the gate looks for them with `bytes.find` and
  decodes only events that have one.  Quotes inside JSON strings are escaped, so ``"usage`` with its leading quote
  cannot begin inside one; where a needle may stand in text it costs a decode, never a wrong figure.
* A *terminal* event is the last one of the API, after which its clients stop reading: the call is committed there.
  It is told by the ``type`` at the top of its JSON (or the data ``[DONE]``), never by its text.
* Adding an API is adding a row.
"""

from __future__ import annotations

from typing import NamedTuple

from .outline import Outline, kind_of
from .snapshots import GEMINI_SNAPSHOT, Snapshot

#: Begins every name of a usage object (``usage``, ``usageMetadata``).
USAGE = b'"usage'
#: Sought while the model's name is not known (``model``, ``modelVersion``).
MODEL = b'"model'
#: Names, or is the type of, what went wrong in the middle of an answer.
ERROR = b'"error"'
#: The data of the event that ends OpenAI's streams.
DONE = b"[DONE]"


class Dialect(NamedTuple):
    """One API's stream."""

    name: str
    #: what an event worth decoding holds
    needles: tuple[bytes, ...]
    #: raw ``type`` (or ``event_type``) of its terminal events, beside the data ``[DONE]``
    terminal: frozenset[bytes]
    #: what a terminal event holds from early on, so that an open one is held back
    terminal_needles: tuple[bytes, ...]
    #: looked for in passing: the model has finished (the needle for compact JSON, and for spaced)
    finish: tuple[bytes, bytes] | None = None
    #: where every event carries a snapshot of the usage
    snapshot: Snapshot | None = None


_RESPONSES_ENDS = frozenset(
    (b'"response.completed"', b'"response.incomplete"', b'"response.failed"', b'"response.done"')
)

CHAT = Dialect("chat", (USAGE, DONE), frozenset(), (DONE,), (b'"finish_reason":"', b'"finish_reason": "'))
MESSAGES = Dialect("messages", (USAGE, b"message_stop"), frozenset((b'"message_stop"',)), (b"message_stop",))
# Only created, in_progress, queued and the ends carry the response itself.
RESPONSES = Dialect("responses", (b'"response"', DONE), _RESPONSES_ENDS, (b'"response"', DONE))
GEMINI = Dialect("gemini", (USAGE, DONE, *GEMINI_SNAPSHOT.finish), frozenset(), (DONE,), snapshot=GEMINI_SNAPSHOT)
INTERACTIONS = Dialect(
    # the quote is left open for "interaction.status_update", which alone tells of a status in between
    "interactions", (b'"interaction', DONE), frozenset((b'"interaction.completed"',)), (b'"interaction"', DONE)
)
ASSISTANTS = Dialect("assistants", (USAGE, b'"thread.run"', DONE), frozenset(), (DONE,))
COHERE = Dialect(
    "cohere",
    (b"message-end", b"stream-end", DONE),
    frozenset((b'"message-end"', b'"stream-end"')),
    (b"message-end", b"stream-end", DONE),
)
#: Whatever else: slower, and knows every end.
OTHER = Dialect(
    "other",
    (USAGE, DONE, b'"response"', b"message_stop", b'"interaction"', b'"meta"', b'"amazon-bedrock', b"_count"),
    frozenset().union(*(d.terminal for d in (MESSAGES, RESPONSES, INTERACTIONS, COHERE))),
    (DONE, b'"response"', b"message_stop", b'"interaction"', b"message-end", b"stream-end"),
)
#: The documents inside of AWS's event streams; told by their framing.
AWS = Dialect(
    "aws",
    (USAGE, b'ount"', b'Metrics"', b"message_stop", b'"stopReason"', ERROR),
    frozenset(),
    (),
)
#: Member that Bedrock adds to the last document of a model's stream.
BEDROCK_METRICS = "amazon-bedrock-invocationMetrics"
#: Lines of NDJSON; told by their framing.
LINES = Dialect("lines", (USAGE, b'_count"', b'"meta"', b'TokenCount"', b'"amazon-bedrock'), frozenset(), ())


def recognise(outline: Outline) -> Dialect | None:
    """The dialect that this document of a stream belongs to; None when it does not tell."""
    named = outline.get("object", b"")
    if named.startswith(b'"thread.'):
        return ASSISTANTS
    kind = kind_of(outline)
    if kind is not None:
        if kind.startswith(b'"response.'):
            return RESPONSES
        if kind.startswith((b'"message_', b'"content_block')):
            return MESSAGES
        if kind.startswith(b'"interaction.'):
            return INTERACTIONS
        if kind.startswith((b'"message-', b'"stream-', b'"content-')):
            return COHERE
        return None
    if "choices" in outline or named.startswith(b'"chat.'):
        return CHAT
    if "usageMetadata" in outline or "modelVersion" in outline:
        return GEMINI
    return None
