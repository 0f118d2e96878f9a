"""What the proxy reads of a request's body, and the one change it may make to it.

One pass: msgspec walks the JSON once and keeps the few members of interest as raw slices, of a conversation one slice
for each message too (`Conversation`, what `hints` are made from); nothing else of the body is built: prompts stay
bytes.  A member of a wrong type counts as not said.  No body makes these functions raise.

Names of the limits: OpenAI `max_tokens`, `max_completion_tokens`, `max_output_tokens`; Anthropic and Cohere
`max_tokens`; Gemini `generationConfig.maxOutputTokens`; Bedrock `inferenceConfig.maxTokens`; Ollama
`options.num_predict`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from awfproxy.core.kinds import Kind
from awfproxy.core.loose_json import decoded
from awfproxy.core.undecodable import UNDECODABLE

#: characters of a model's name that are kept: names go into every record and a label of the metrics
MODEL_MAX: Final = 256
#: a limit above this is taken for not said: no model answers with a million million tokens
COUNT_MAX: Final = 10**12
#: bytes of a multipart form's head that are searched for its small fields
FORM_FIELD_MAX: Final = 256
#: a slice for each message costs 60 ns and 70 bytes, so an array of millions of zeros must not be taken apart: of a
#: body longer than this only so many messages are (which takes 20 µs)
ALL_SLICED_TO: Final = 256 * 1024
MESSAGES_MAX: Final = 4096
#: such arrays in one body: there is one, but a member may be repeated, and each costs those 20 µs, in 14 bytes of a
#: hostile body (40 s of CPU in 28 MB)
ARRAYS_MAX: Final = 8


class Peek(msgspec.Struct, frozen=True, kw_only=True):
    """What a request's body says; None: not said."""

    model: str | None = None
    stream: bool | None = None
    #: the largest limit on generated tokens that the body names, for one choice
    max_output_tokens: int | None = None
    #: how many choices are asked for
    n: int | None = None
    #: the client itself asks for usage in the stream (`stream_options.include_usage` is true)
    asks_usage: bool = False
    #: the Responses API's `background`
    background: bool | None = None
    #: the body has `stream_options`, whatever its value
    has_stream_options: bool = False
    #: tools are offered
    has_tools: bool = False
    #: meant as JSON, and not valid JSON
    malformed: bool = False


class _Body(msgspec.Struct):
    model: Raw | UnsetType = UNSET
    stream: Raw | UnsetType = UNSET
    stream_options: Raw | UnsetType = UNSET
    max_tokens: Raw | UnsetType = UNSET
    max_completion_tokens: Raw | UnsetType = UNSET
    max_output_tokens: Raw | UnsetType = UNSET
    generation: Raw | UnsetType = msgspec.field(name="generationConfig", default=UNSET)
    inference: Raw | UnsetType = msgspec.field(name="inferenceConfig", default=UNSET)
    options: Raw | UnsetType = UNSET
    n: Raw | UnsetType = UNSET
    background: Raw | UnsetType = UNSET
    tools: Raw | UnsetType = UNSET
    tool_config: Raw | UnsetType = msgspec.field(name="toolConfig", default=UNSET)


class Members(_Body):
    """The members of a conversation, beside its messages."""

    system: Raw | UnsetType = UNSET
    instructions: Raw | UnsetType = UNSET
    system_instruction: Raw | UnsetType = UNSET
    gemini_system: Raw | UnsetType = msgspec.field(name="systemInstruction", default=UNSET)
    functions: Raw | UnsetType = UNSET
    previous_response_id: Raw | UnsetType = UNSET
    previous_interaction_id: Raw | UnsetType = UNSET
    conversation: Raw | UnsetType = UNSET
    metadata: Raw | UnsetType = UNSET
    client_metadata: Raw | UnsetType = UNSET
    prompt_cache_key: Raw | UnsetType = UNSET


class _Short(Members):
    """Its messages too: OpenAI chat, Anthropic, Bedrock, Ollama, Cohere; Gemini; Responses and interactions."""

    messages: list[Raw] | UnsetType = UNSET
    contents: list[Raw] | UnsetType = UNSET
    input: list[Raw] | str | UnsetType | None = UNSET


if TYPE_CHECKING:

    class _Many(msgspec.Struct):
        """An array, as a structure of its first elements: those beyond are skipped, and cost what skipping costs."""
else:
    _slots = [(f"n{n}", Raw | UnsetType, UNSET) for n in range(MESSAGES_MAX)]
    _Many = msgspec.defstruct("_Many", _slots, array_like=True, namespace={"__post_init__": lambda _: _arrays.count()})


class _Arrays:
    """How many arrays of messages the body at hand had so far."""

    __slots__ = ("begun",)

    def __init__(self) -> None:
        self.begun = 0

    def count(self) -> None:
        """One more; msgspec makes of the error one of its own."""
        self.begun += 1
        if self.begun > ARRAYS_MAX:
            raise ValueError("too many arrays")


_arrays = _Arrays()


class _Long(Members):
    messages: _Many | UnsetType = UNSET
    contents: _Many | UnsetType = UNSET
    input: _Many | str | UnsetType | None = UNSET


class Conversation(msgspec.Struct):
    """The parts of a conversation, as slices of the body: they hold it in memory."""

    members: Members
    #: its messages, or the first `MESSAGES_MAX` of a long body; None: it has no array of them
    messages: list[Raw] | None
    #: there are more, so that the newest are not known
    more: bool
    #: the one message that is sent as a text
    text: str | None


class _Limits(msgspec.Struct):
    gemini: Raw | UnsetType = msgspec.field(name="maxOutputTokens", default=UNSET)
    bedrock: Raw | UnsetType = msgspec.field(name="maxTokens", default=UNSET)
    ollama: Raw | UnsetType = msgspec.field(name="num_predict", default=UNSET)
    candidates: Raw | UnsetType = msgspec.field(name="candidateCount", default=UNSET)
    include_usage: Raw | UnsetType = UNSET


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_short = msgspec.json.Decoder(_Short).decode
_decode_arrays = msgspec.json.Decoder(_Long).decode
_decode_limits = msgspec.json.Decoder(_Limits).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_flag = msgspec.json.Decoder(bool).decode
_decode_count = msgspec.json.Decoder(int).decode
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_closes = re.compile(rb"[ \t\r\n]*}").match
# msgspec's own errors, and what deep nesting and broken UTF-8 end in

_NOTHING: Final = Peek()
_MALFORMED: Final = Peek(malformed=True)
_NO_LIMITS: Final = _Limits()
_EMPTY: Final = (b"null", b"[]", b"{}")


def _decode_long(body: bytes) -> _Long:
    _arrays.begun = 0
    return _decode_arrays(body)


def peek(body: bytes, content_type: bytes) -> Peek:
    """What ``body`` says; one that came compressed must be decoded before (`decoders.decode_body`)."""
    return look(body, content_type, conversation=False)[0]


def look(body: bytes, content_type: bytes, *, conversation: bool) -> tuple[Peek, Conversation | None]:
    """What ``body`` says as `peek`, and its parts where it may be a ``conversation`` and has the form of one."""
    if not body:
        return _NOTHING, None
    kind = content_type[:64].lower()
    if kind.startswith((b"multipart/", b"audio/", b"image/", b"video/")):
        return (_form(body) if kind.startswith(b"multipart/form-data") else _NOTHING), None
    if conversation:
        try:
            decode: Callable[[bytes], _Short | _Long] = _decode_short if len(body) <= ALL_SLICED_TO else _decode_long
            parts = decoded(body, decode)
            return _facts(parts), _conversation(parts)
        except UNDECODABLE:
            pass  # what stands there is not a conversation's, or not JSON: without its messages it is told which
    try:
        return _facts(decoded(body, _decode_body)), None
    except msgspec.ValidationError:
        return _NOTHING, None  # JSON, but not an object
    except UNDECODABLE:
        return (_MALFORMED if b"json" in kind else _NOTHING), None


def _facts(found: _Body) -> Peek:
    stream_options = _limits(found.stream_options)
    generation = _limits(found.generation)
    limits = [
        limit
        for raw in (
            found.max_tokens,
            found.max_completion_tokens,
            found.max_output_tokens,
            generation.gemini,
            _limits(found.inference).bedrock,
            _limits(found.options).ollama,
        )
        if (limit := _count(raw)) is not None
    ]
    return Peek(
        model=_model(found.model),
        stream=_flag(found.stream),
        max_output_tokens=max(limits, default=None),
        n=_count(found.n if found.n is not UNSET else generation.candidates),
        asks_usage=_flag(stream_options.include_usage) is True,
        background=_flag(found.background),
        has_stream_options=found.stream_options is not UNSET,
        has_tools=_some(found.tools) or _some(found.tool_config),
    )


def _conversation(found: _Short | _Long) -> Conversation:
    messages: list[Raw] | None = None
    more = False
    text = None
    for value in (found.messages, found.contents, found.input):
        if isinstance(value, str):
            text = value
        elif isinstance(value, list):
            messages = value
        elif value is not UNSET and value is not None:
            some = msgspec.structs.astuple(value)
            more = some[-1] is not UNSET
            messages = list(some if more else some[: some.index(UNSET)])
        else:
            continue
        break
    return Conversation(found, messages, more, text)


def _limits(raw: Raw | UnsetType) -> _Limits:
    if raw is UNSET:
        return _NO_LIMITS
    try:
        return _decode_limits(raw)
    except UNDECODABLE:
        return _NO_LIMITS


def _model(raw: Raw | UnsetType) -> str | None:
    if raw is UNSET:
        return None
    try:
        return _decode_text(raw)[:MODEL_MAX] or None
    except UNDECODABLE:
        return None


def _some(raw: Raw | UnsetType) -> bool:
    return raw is not UNSET and bytes(memoryview(raw)[:4]) not in _EMPTY


def _flag(raw: Raw | UnsetType) -> bool | None:
    if raw is UNSET:
        return None
    try:
        return _decode_flag(raw)
    except UNDECODABLE:
        return None


def _count(raw: Raw | UnsetType) -> int | None:
    if raw is UNSET:
        return None
    try:
        count = _decode_count(raw)
    except UNDECODABLE:
        return None
    return count if 0 <= count <= COUNT_MAX else None


def _form(body: bytes) -> Peek:
    """The small fields of a form (audio, image edits): the file beside them is skipped by one search."""
    stream = _form_field(body, b"stream")
    return Peek(model=_form_field(body, b"model"), stream=None if stream is None else stream.lower() == "true")


def _form_field(body: bytes, name: bytes) -> str | None:
    at = body.find(b'name="%b"\r\n' % name)
    if at < 0:
        return None
    start = body.find(b"\r\n\r\n", at, at + FORM_FIELD_MAX)
    end = body.find(b"\r\n", start + 4, start + 4 + FORM_FIELD_MAX)
    if start < 0 or end < 0:
        return None
    return body[start + 4 : end].decode("utf-8", "replace") or None


def may_ask(kind: Kind | None) -> bool:
    """Whether usage may be asked for on this kind of call: streaming chat, on the paths that are known to take it."""
    return kind is not None and kind.may_ask_usage


def ask_for_usage(body: bytes, seen: Peek) -> bytes | None:
    """``body`` with `stream_options.include_usage` true; None: it cannot be asked for there.

    Members keep their bytes.  Without `stream_options` the member is put in front and every other byte stays; with it,
    the object is built anew around the members' own bytes (white space between them is lost, a repeated member is sent
    once).

    :param seen: what `peek` said of this body
    """
    if seen.malformed:
        return None
    if not seen.has_stream_options:
        at = body.find(b"{") + 1
        if at == 0:
            return None
        comma = b"" if _closes(body, at) else b","
        return b'%b"stream_options":{"include_usage":true}%b%b' % (body[:at], comma, body[at:])
    try:
        members: dict[str, Any] = _decode_object(body)
        options = members["stream_options"]
        kept: dict[str, Any] = {} if bytes(options) == b"null" else _decode_object(options)
        kept["include_usage"] = True
        members["stream_options"] = kept
        return msgspec.json.encode(members)
    except (*UNDECODABLE, KeyError):
        return None
