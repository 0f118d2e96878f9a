"""The members of a request's body that bound its tokens, as raw slices, and the limits it sets for its answers.

Names of the limits: OpenAI `max_tokens`, `max_completion_tokens`, `max_output_tokens`; Anthropic and Cohere
`max_tokens`; Gemini `generationConfig.maxOutputTokens`, which Google's servers take in snake case too; Bedrock
`inferenceConfig.maxTokens`; Ollama `options.num_predict`.  Each API's own are taken and no others: a server passes over
what it does not know, and a limit that nobody keeps bounds nothing.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from awfproxy.core.request import ALL_SLICED_TO, COUNT_MAX, MESSAGES_MAX

Slot = Raw | UnsetType

#: first bytes of values in JSON
ARRAY: Final = ord("[")
OBJECT: Final = ord("{")
TEXT: Final = ord('"')


class Unbounded(Exception):
    """Found: something that forbids a bound; its text says what."""


class Body(msgspec.Struct):
    """A request of any API."""

    # what forbids a bound, whatever its value: the members up to `messages`
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
    messages: Slot = UNSET
    system: Slot = UNSET
    input: Slot = UNSET
    # embeddings: Cohere, Gemini alone and in numbers
    inputs: Slot = UNSET
    content: Slot = UNSET
    requests: Slot = UNSET
    instructions: Slot = UNSET
    prompt: Slot = UNSET
    contents: Slot = UNSET
    system_instruction: Slot = UNSET
    gemini_system: Slot = msgspec.field(name="systemInstruction", default=UNSET)
    tools: Slot = UNSET
    tool_config: Slot = msgspec.field(name="toolConfig", default=UNSET)
    max_tokens: Slot = UNSET
    max_completion_tokens: Slot = UNSET
    max_output_tokens: Slot = UNSET
    generation: Slot = msgspec.field(name="generationConfig", default=UNSET)
    generation_snake: Slot = msgspec.field(name="generation_config", default=UNSET)
    inference: Slot = msgspec.field(name="inferenceConfig", default=UNSET)
    options: Slot = UNSET
    n: Slot = UNSET
    best_of: Slot = UNSET
    reasoning: Slot = UNSET
    modalities: Slot = UNSET


_MEMBER_NAMES: Final = tuple(each.encode_name for each in msgspec.structs.fields(Body))
#: names on the wire of the members of `Body` that forbid a bound
FORBIDDING: Final = _MEMBER_NAMES[: _MEMBER_NAMES.index("messages")]
_NOTHING: Final = (b"null", b"false", b"[]", b"{}", b'""')
NOTHING_MAX: Final = 5


class _Limits(msgspec.Struct):
    gemini: Slot = msgspec.field(name="maxOutputTokens", default=UNSET)
    gemini_snake: Slot = msgspec.field(name="max_output_tokens", default=UNSET)
    bedrock: Slot = msgspec.field(name="maxTokens", default=UNSET)
    ollama: Slot = msgspec.field(name="num_predict", default=UNSET)
    candidates: Slot = msgspec.field(name="candidateCount", default=UNSET)
    candidates_snake: Slot = msgspec.field(name="candidate_count", default=UNSET)
    modalities: Slot = msgspec.field(name="responseModalities", default=UNSET)
    modalities_snake: Slot = msgspec.field(name="response_modalities", default=UNSET)


_limits = msgspec.json.Decoder(_Limits).decode
_list = msgspec.json.Decoder(list[Raw]).decode
# a long array as a structure of its first elements: those beyond are skipped, however many there are
_many = msgspec.json.Decoder(
    msgspec.defstruct("_Many", [(f"n{n}", Slot, UNSET) for n in range(MESSAGES_MAX + 1)], array_like=True)
).decode
_count = msgspec.json.Decoder(int).decode
_text = msgspec.json.Decoder(str).decode


def limit(body: Body, kind: str) -> int | None:
    """The largest limit on the tokens of one answer; None: the body sets none that this API keeps."""
    slots: tuple[Slot, ...]
    if kind == "generateContent":
        slots = ()
        for config in (body.generation, body.generation_snake):
            if said(config):
                limits = _limits(raw_of(config))
                slots += (limits.gemini, limits.gemini_snake)
    elif kind == "converse":
        slots = (_limits(raw_of(body.inference)).bedrock,) if said(body.inference) else ()
    elif kind == "ollama":
        slots = (_limits(raw_of(body.options)).ollama,) if said(body.options) else ()
    elif kind == "responses":
        slots = (body.max_output_tokens,)
    elif kind == "chat":
        slots = (body.max_tokens, body.max_completion_tokens)
    else:
        slots = (body.max_tokens,)
    return max((number for slot in slots if (number := _number(slot)) is not None), default=None)


def speaks_or_draws(body: Body) -> bool:
    """Whether answers other than text are asked for, whose tokens no limit is known to bound."""
    slots = [body.modalities]
    for config in (body.generation, body.generation_snake):
        if said(config):
            limits = _limits(raw_of(config))
            slots += (limits.modalities, limits.modalities_snake)
    return any(said(slot) and [_text(each).upper() for each in elements(slot)] != ["TEXT"] for slot in slots)


def answers(body: Body, kind: str) -> int:
    """How many answers are generated: choices, candidates, some for each prompt."""
    if kind == "generateContent":
        counts = [
            _number(slot) or 1
            for config in (body.generation, body.generation_snake)
            if said(config)
            for slot in (_limits(raw_of(config)).candidates, _limits(raw_of(config)).candidates_snake)
        ]
        return max(counts, default=1)
    each = max(_number(body.n) or 1, _number(body.best_of) or 1)
    if kind == "completions" and first_byte(body.prompt) == ARRAY:
        prompts = elements(raw_of(body.prompt))
        # of texts or of arrays of numbers; numbers alone are one prompt
        each *= max(1, sum(first_byte(prompt) in (ARRAY, TEXT) for prompt in prompts))
    return each


def _number(slot: Slot) -> int | None:
    if not said(slot):
        return None
    count = _count(raw_of(slot))
    return count if 0 <= count <= COUNT_MAX else None


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
