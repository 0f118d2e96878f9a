"""The members of a request's body that bound its tokens, as raw slices, and the limits it sets for its answers.

Names of the limits: OpenAI `max_tokens`, `max_completion_tokens`, `max_output_tokens`; Anthropic and Cohere
`max_tokens`; Gemini `generationConfig.maxOutputTokens`, which Google's servers take in snake case too; Bedrock
`inferenceConfig.maxTokens`; Ollama `options.num_predict`.  Each API's own are taken and no others: a server passes over
what it does not know, and a limit that nobody keeps bounds nothing.

* Where several names of one API are given, the largest number counts: which of them a server prefers is its own choice.
* A number that is given twice under one name forbids a bound: some readers of JSON take the first, most the last, some
  refuse (RFC 8259 section 4: unpredictable).  So does a configuration that is given twice.  `null` gives nothing.
* Of an API that many servers imitate, one that nobody knows (``any_server``) is trusted with the oldest name alone,
  `max_tokens` of chat, completions and messages: older servers pass over `max_completion_tokens`, and what stands
  behind a Responses or Gemini API may be a gateway that translates a part of it.  Bedrock's, Ollama's and Cohere's are
  served by their makers.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from awfproxy.core.loose_json import decoded
from awfproxy.core.request import ALL_SLICED_TO, COUNT_MAX, MESSAGES_MAX

Slot = Raw | UnsetType

#: numbers and configurations that are read of one body.  There are 15 names for them, so that more are repeated ones,
#: and each costs a microsecond, in six bytes of a hostile body
GIVEN_MAX: Final = 32

#: first bytes of values in JSON
ARRAY: Final = ord("[")
OBJECT: Final = ord("{")
TEXT: Final = ord('"')


class Unbounded(Exception):
    """Found: something that forbids a bound; its text says what."""


class _Given:
    """How many numbers and configurations the body at hand has had so far, repeated ones too."""

    __slots__ = ("seen",)

    def __init__(self) -> None:
        self.seen = 0

    def count(self) -> None:
        """One more; msgspec makes of the error one of its own."""
        self.seen += 1
        if self.seen > GIVEN_MAX:
            raise ValueError("too many limits")


_given = _Given()

if TYPE_CHECKING:
    Number = int
else:

    class Number(enum.IntEnum):
        """A number that is counted each time it is given, while a structure keeps the last of a name: of an enumeration
        msgspec asks for each value that is none of its members, and takes no other types for it."""

        NONE = -(2**63)

        @classmethod
        def _missing_(cls, value: object) -> Number:
            _given.count()
            return int.__new__(cls, value)


Given = Number | UnsetType | None


class Limits(msgspec.Struct):
    """A configuration: the numbers that some APIs keep in an object of their own."""

    gemini: Given = msgspec.field(name="maxOutputTokens", default=UNSET)
    gemini_snake: Given = msgspec.field(name="max_output_tokens", default=UNSET)
    bedrock: Given = msgspec.field(name="maxTokens", default=UNSET)
    ollama: Given = msgspec.field(name="num_predict", default=UNSET)
    candidates: Given = msgspec.field(name="candidateCount", default=UNSET)
    candidates_snake: Given = msgspec.field(name="candidate_count", default=UNSET)
    modalities: Slot = msgspec.field(name="responseModalities", default=UNSET)
    modalities_snake: Slot = msgspec.field(name="response_modalities", default=UNSET)

    def __post_init__(self) -> None:
        _given.count()

    def numbers(self) -> tuple[Given, ...]:
        """What is counted of it beside itself."""
        return self.gemini, self.gemini_snake, self.bedrock, self.ollama, self.candidates, self.candidates_snake


Configuration = Limits | UnsetType | None


class Part(msgspec.Struct):
    """A message, an item or a part: what of them can forbid a bound."""

    type: Slot = UNSET
    role: Slot = UNSET
    content: Slot = UNSET
    parts: Slot = UNSET
    output: Slot = UNSET
    audio: Slot = UNSET
    images: Slot = UNSET
    encrypted: Slot = msgspec.field(name="encrypted_content", default=UNSET)
    image_url: Slot = UNSET
    source: Slot = UNSET


class Members(msgspec.Struct):
    """The members of a request of any API, but for its messages."""

    # what forbids a bound, whatever its value: the members up to `system`
    previous_response_id: Slot = UNSET
    previous_interaction_id: Slot = UNSET
    conversation: Slot = UNSET
    conversation_id: Slot = UNSET
    background: Slot = UNSET
    context_management: Slot = UNSET
    mcp_servers: Slot = UNSET
    container: Slot = UNSET
    web_search_options: Slot = UNSET
    search_parameters: Slot = UNSET
    plugins: Slot = UNSET
    data_sources: Slot = UNSET
    connectors: Slot = UNSET
    audio: Slot = UNSET
    file_ids: Slot = UNSET
    attachments: Slot = UNSET
    cached_content: Slot = UNSET
    gemini_cached: Slot = msgspec.field(name="cachedContent", default=UNSET)
    prompt_variables: Slot = msgspec.field(name="promptVariables", default=UNSET)
    images: Slot = UNSET
    image: Slot = UNSET
    # and what is looked into
    system: Slot = UNSET
    # embeddings: Cohere, Gemini alone and in numbers
    inputs: Slot = UNSET
    content: Slot = UNSET
    requests: Slot = UNSET
    instructions: Slot = UNSET
    prompt: Slot = UNSET
    system_instruction: Slot = UNSET
    gemini_system: Slot = msgspec.field(name="systemInstruction", default=UNSET)
    tools: Slot = UNSET
    tool_config: Slot = msgspec.field(name="toolConfig", default=UNSET)
    max_tokens: Given = UNSET
    max_completion_tokens: Given = UNSET
    max_output_tokens: Given = UNSET
    generation: Configuration = msgspec.field(name="generationConfig", default=UNSET)
    generation_snake: Configuration = msgspec.field(name="generation_config", default=UNSET)
    inference: Configuration = msgspec.field(name="inferenceConfig", default=UNSET)
    options: Configuration = UNSET
    n: Given = UNSET
    best_of: Given = UNSET
    reasoning: Slot = UNSET
    modalities: Slot = UNSET

    def given(self) -> int:
        """Numbers and configurations that it has, each once."""
        count = 0
        for number in (self.max_tokens, self.max_completion_tokens, self.max_output_tokens, self.n, self.best_of):
            if number is not UNSET and number is not None:
                count += 1
        for each in (self.generation, self.generation_snake, self.inference, self.options):
            if each is not UNSET and each is not None:
                count += 1
                for number in each.numbers():
                    if number is not UNSET and number is not None:
                        count += 1
        return count

    def forbidding(self) -> str | None:
        """The name on the wire of a member that forbids a bound; None: there is none."""
        slots = msgspec.structs.astuple(self)[: len(_FORBIDDING)]
        if slots == _NONE_OF_THEM:  # nearly always
            return None
        return next((name for name, slot in zip(_FORBIDDING, slots, strict=True) if said(slot)), None)


class Body(Members):
    """A request of any API."""

    messages: Slot = UNSET
    contents: Slot = UNSET
    input: Slot = UNSET


class Conversation(Members):
    """A request whose messages are objects, as those of conversations are: they are taken apart in the same pass."""

    messages: list[Part] | UnsetType = UNSET
    contents: list[Part] | UnsetType = UNSET
    input: list[Part] | UnsetType = UNSET


_MEMBER_NAMES: Final = tuple(each.encode_name for each in msgspec.structs.fields(Members))
#: names on the wire of the members that forbid a bound
_FORBIDDING: Final = _MEMBER_NAMES[: _MEMBER_NAMES.index("system")]
_NONE_OF_THEM: Final = (UNSET,) * len(_FORBIDDING)
_NOTHING: Final = (b"null", b"false", b"[]", b"{}", b'""')
NOTHING_MAX: Final = 5


_body = msgspec.json.Decoder(Body).decode
_conversation = msgspec.json.Decoder(Conversation).decode
_list = msgspec.json.Decoder(list[Raw]).decode
# a long array as a structure of its first elements: those beyond are skipped, however many there are
_many = msgspec.json.Decoder(
    msgspec.defstruct("_Many", [(f"n{n}", Slot, UNSET) for n in range(MESSAGES_MAX + 1)], array_like=True)
).decode
_text = msgspec.json.Decoder(str).decode


def members(body: bytes) -> Body | Conversation:
    """The members of a body.

    :raises Unbounded: a number or configuration is given twice
    :raises msgspec.MsgspecError: it is not an object in JSON, or a number is none
    """
    found: Body | Conversation
    if len(body) > ALL_SLICED_TO:
        found = decoded(body, _counted)
    else:
        try:
            found = decoded(body, _counted_conversation)
        except msgspec.ValidationError:  # texts or numbers are among its messages, or something else is wrong
            found = decoded(body, _counted)
    if _given.seen != found.given():
        raise Unbounded("a limit given twice")
    return found


def _counted(body: bytes) -> Body:
    _given.seen = 0
    return _body(body)


def _counted_conversation(body: bytes) -> Conversation:
    _given.seen = 0
    return _conversation(body)


def limit(body: Members, kind: str, any_server: bool = False) -> int | None:
    """The largest limit on the tokens of one answer; None: the body sets none that is sure to be kept.

    :param kind: `Kind.name`
    :param any_server: it is not known which server answers
    """
    given: list[Given]
    if kind == "generateContent":
        given = [] if any_server else [
            number
            for config in (body.generation, body.generation_snake)
            if isinstance(config, Limits)
            for number in (config.gemini, config.gemini_snake)
        ]  # fmt: skip
    elif kind == "responses":
        given = [] if any_server else [body.max_output_tokens]
    elif kind == "converse":
        given = [body.inference.bedrock] if isinstance(body.inference, Limits) else []
    elif kind == "ollama":
        given = [body.options.ollama] if isinstance(body.options, Limits) else []
    elif kind == "chat" and not (any_server and _number(body.max_tokens) is None):
        given = [body.max_tokens, body.max_completion_tokens]
    else:
        given = [body.max_tokens]
    largest: int | None = None
    for each in given:
        number = _number(each)
        if number is not None and (largest is None or number > largest):
            largest = number
    return largest


def speaks_or_draws(body: Members) -> bool:
    """Whether answers other than text are asked for, whose tokens no limit is known to bound."""
    if body.modalities is body.generation is body.generation_snake is UNSET:
        return False
    slots = [body.modalities]
    for config in (body.generation, body.generation_snake):
        if isinstance(config, Limits):
            slots += (config.modalities, config.modalities_snake)
    return any(said(slot) and [_text(each).upper() for each in elements(slot)] != ["TEXT"] for slot in slots)


def answers(body: Members, kind: str) -> int:
    """How many answers are generated: choices, candidates, some for each prompt."""
    if kind == "generateContent":
        counts = [
            _number(each) or 1
            for config in (body.generation, body.generation_snake)
            if isinstance(config, Limits)
            for each in (config.candidates, config.candidates_snake)
        ]
        return max(counts, default=1)
    each = 1 if body.n is body.best_of is UNSET else max(_number(body.n) or 1, _number(body.best_of) or 1)
    if kind == "completions" and first_byte(body.prompt) == ARRAY:
        prompts = elements(raw_of(body.prompt))
        # of texts or of arrays of numbers; numbers alone are one prompt
        each *= max(1, sum(first_byte(prompt) in (ARRAY, TEXT) for prompt in prompts))
    return each


def _number(given: Given) -> int | None:
    if given is UNSET or given is None:
        return None
    number = int(given)
    return number if 0 <= number <= COUNT_MAX else None


def said(slot: Slot) -> bool:
    """Whether a member is there and not empty."""
    return isinstance(slot, Raw) and (memoryview(slot).nbytes > NOTHING_MAX or bytes(slot) not in _NOTHING)


def first_byte(slot: Slot) -> int:
    """The first byte of a value, which tells its type; 0: it is not there."""
    return memoryview(slot)[0] if isinstance(slot, Raw) else 0


def raw_of(slot: Slot) -> Raw:
    """A value that must be there."""
    if not isinstance(slot, Raw):
        raise Unbounded("not understood")
    return slot


def elements(slot: Slot) -> list[Raw]:
    """The elements of an array; a long one has no bound if there are more than `MESSAGES_MAX`."""
    raw = raw_of(slot)
    if memoryview(raw).nbytes <= ALL_SLICED_TO:
        return _list(raw)
    some = [each for each in msgspec.structs.astuple(_many(raw)) if each is not UNSET]
    if len(some) > MESSAGES_MAX:
        raise Unbounded("length")
    return some
