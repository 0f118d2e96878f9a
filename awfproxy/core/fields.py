"""The one table of what providers report, and where.

Every reader (whole decode, incremental finder; SSE, JSON, NDJSON, JSON array) works from these rows, so a figure cannot
be known on one path and dropped on another.  Adding a provider is adding rows.

* A *path* names a member from the top of one JSON document (an SSE event's data, a body, an NDJSON line, an element of
  a JSON array): ``response.usage``; ``choices[].finish_reason`` is that member of every element.  Only these exact
  positions count: the same names deeper in a document, or inside a string, mean nothing.
* ``USAGE_PLACES`` says where usage objects stand, ``COUNT_PLACES`` where bare counts stand in the document itself, the
  ``*_NAMES`` rows how their members are called.
* Sources: the providers' API references (OpenAI chat and Responses, Anthropic Messages, Google generateContent,
  Cohere v1/v2, Ollama, AWS Bedrock Converse/InvokeModel) and recorded answers of each.
"""

from __future__ import annotations

from typing import NamedTuple

#: A usage object longer than this is not read (the largest recorded one is 2 KB).
USAGE_LIMIT = 16 * 1024
#: Names of models and types: the longest recorded model name has 122 bytes.
NAME_LIMIT = 512
#: Finish reasons of all choices together.
FINISH_LIMIT = 4 * 1024
#: More tokens than this in one call is a mistake of the upstream, not a count (the largest context has 10^7).
COUNT_MAX = 10**12


class Place(NamedTuple):
    """Where a usage object stands in a document."""

    path: str
    #: a place of lower rank never replaces what one of higher rank said (Groq's copy, Bedrock's metrics)
    rank: int
    #: only in documents whose ``type`` is this raw JSON string; None: in any
    when: bytes | None = None
    #: only objects with one of these members; empty: any
    holds: tuple[str, ...] = ()


class Stored(NamedTuple):
    """Where a document names an object that the provider keeps and can be asked for again, and says how far it is."""

    id: str
    status: str
    #: only in documents whose raw ``type`` (or ``event_type``) begins so; None: in those whose ``object`` is one of
    #: `STORED_OBJECTS`
    when: bytes | None


class Name(NamedTuple):
    """A count's name inside a usage object (a dotted path)."""

    path: tuple[str, ...]
    #: do the input tokens under this name include cached ones; None: told by the document's shape
    include_cache: bool | None = None


def _names(*paths: str) -> tuple[Name, ...]:
    return tuple(Name(tuple(path.split("."))) for path in paths)


#: In order of preference within one document.
USAGE_PLACES = (
    Place("usage", 3),
    Place("response.usage", 3),
    Place("message.usage", 3, when=b'"message_start"'),
    Place("usageMetadata", 3),
    Place("response.usageMetadata", 3),  # the Code Assist wrapper of Gemini
    Place("interaction.usage", 3),
    Place("delta.usage", 3, when=b'"message-end"'),  # Cohere v2
    Place("metadata.usage", 2),  # Bedrock Converse stream
    Place("x_groq.usage", 2),
    Place("meta", 2, holds=("tokens", "billed_units")),  # Cohere v1
    Place("response.meta", 2, holds=("tokens", "billed_units")),
    Place("amazon-bedrock-invocationMetrics", 1),
    Place("copilot_usage", 1, holds=("token_details",)),
    Place("response.copilot_usage", 1, holds=("token_details",)),  # inside a Response
)

#: Counts that stand in the document itself: member of the usage we record, path.  Rank 1.
COUNT_PLACES = (
    ("prompt_eval_count", "prompt_eval_count"),  # Ollama, the line with "done": true
    ("eval_count", "eval_count"),
    ("inputTextTokenCount", "inputTextTokenCount"),  # Titan
    ("tokenCount", "results[].tokenCount"),  # Titan: summed
    ("prompt_token_count", "prompt_token_count"),  # Llama on Bedrock
    ("generation_token_count", "generation_token_count"),
)

MODEL_PLACES = (
    "modelVersion",
    "model",
    "message.model",
    "response.modelVersion",
    "response.model",
    "interaction.model",
)

#: The way in which a call was served, where it stands beside the usage and not in it: it decides the price (OpenAI's
#: ``service_tier``; the Gemini API tells it in a header).
TIER_PLACES = ("service_tier", "response.service_tier", "interaction.service_tier")
TIER_HEADER = b"x-gemini-service-tier"
#: Providers' words for the ordinary way, in small letters.
STANDARD_TIERS = frozenset(("", "default", "standard", "standard_only", "auto", "on_demand", "unspecified"))

#: Objects that may be worked on in the background: OpenAI's Responses and Assistants, Gemini's Interactions.
STORED_OBJECTS = frozenset((b'"response"', b'"interaction"', b'"thread.run"'))
#: A part of such work, whose usage is in that of the whole too: a run's is told when it is at its end.
PART_OBJECT = b'"thread.run.step"'
STORED_PLACES = (
    Stored("id", "status", None),
    Stored("response.id", "response.status", b'"response.'),
    Stored("interaction.id", "interaction.status", b'"interaction.'),
    Stored("interaction_id", "status", b'"interaction.'),
)

#: What went wrong in the middle of an answer, as a document that says it: its member, its ``type``.
ERROR_PLACE = "error"
ERROR_KIND = b'"error"'

#: A non-null value here says that the model has finished.
FINISH_PLACES = frozenset(
    (
        "choices[].finish_reason",
        "candidates[].finishReason",
        "promptFeedback.blockReason",
        "response.candidates[].finishReason",  # Code Assist
        "response.promptFeedback.blockReason",
        "delta.stop_reason",
        "stop_reason",
        "done_reason",
        "stopReason",  # Bedrock Converse, and Nova's own stream
        "messageStop.stopReason",
    )
)

INPUT_NAMES = (
    Name(("input_tokens",)),
    Name(("prompt_tokens",), True),
    Name(("promptTokenCount",), True),
    Name(("total_input_tokens",), True),
    Name(("inputTokens",), False),
    Name(("tokens", "input_tokens"), True),
    Name(("billed_units", "input_tokens"), True),
    Name(("inputTokenCount",), False),
    Name(("inputTextTokenCount",), True),
    Name(("prompt_token_count",), True),
    Name(("prompt_eval_count",), True),
)
#: Prompt tokens that are reported beside the input and belong to it (Gemini's tool use).
EXTRA_INPUT_NAMES = _names("toolUsePromptTokenCount", "total_tool_use_tokens")
OUTPUT_NAMES = _names(
    "output_tokens",
    "completion_tokens",
    "candidatesTokenCount",
    "total_output_tokens",
    "outputTokens",
    "tokens.output_tokens",
    "billed_units.output_tokens",
    "outputTokenCount",
    "tokenCount",
    "generation_token_count",
    "eval_count",
)
#: Reasoning that is reported beside the output and belongs to it (Gemini).
EXTRA_OUTPUT_NAMES = _names("thoughtsTokenCount", "total_thought_tokens")
CACHE_READ_NAMES = _names(
    "cache_read_input_tokens",
    "prompt_tokens_details.cached_tokens",
    "input_tokens_details.cached_tokens",
    "cachedContentTokenCount",
    "total_cached_tokens",
    "cacheReadInputTokens",
    "cacheReadInputTokenCount",
    "cached_tokens",
    "prompt_cache_hit_tokens",  # DeepSeek
)
CACHE_WRITE_NAMES = _names(
    "cache_creation_input_tokens",
    "cacheWriteInputTokens",
    "cacheWriteInputTokenCount",
    "prompt_tokens_details.cache_write_tokens",
    "input_tokens_details.cache_write_tokens",
)
REASONING_NAMES = _names(
    "completion_tokens_details.reasoning_tokens",
    "output_tokens_details.reasoning_tokens",
    "output_tokens_details.thinking_tokens",
    "thoughtsTokenCount",
    "total_thought_tokens",
    "reasoning_tokens",
)
TOTAL_NAMES = _names("total_tokens", "totalTokenCount", "totalTokens")

#: Members that are kept when a usage object is too large to be kept whole.
KNOWN_MEMBERS = frozenset(
    name.path[0]
    for names in (
        INPUT_NAMES,
        EXTRA_INPUT_NAMES,
        OUTPUT_NAMES,
        EXTRA_OUTPUT_NAMES,
        CACHE_READ_NAMES,
        CACHE_WRITE_NAMES,
        REASONING_NAMES,
        TOTAL_NAMES,
    )
    for name in names
)

#: Counts in the head of an answer whose body has none of its own (Bedrock InvokeModel writes them for each model):
#: field, member of the usage we record, and whether the count of the same figure in a body leaves room for it.
HEADER_COUNTS = (
    (b"x-amzn-bedrock-input-token-count", "input_tokens", True),
    (b"x-amzn-bedrock-output-token-count", "output_tokens", True),
    (b"x-amzn-bedrock-cache-read-input-token-count", "cache_read_tokens", False),
    (b"x-amzn-bedrock-cache-write-input-token-count", "cache_write_tokens", False),
)

#: Lists of counts by ``token_type`` inside a usage object, nested under ``details`` at will: only what is read from the
#: cache is taken, where nothing else says it (the parser cases of AWF's api-proxy).
TYPED_LISTS = (("prompt_tokens_details", "details"), ("input_tokens_details", "details"))
TYPED_CACHE_READ = "cache_read"

#: ``copilot_usage.token_details[]``: its ``token_type`` in the names of a usage object, for answers with nothing else.
COPILOT_TYPES = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_input_tokens",
    "cache_write": "cache_creation_input_tokens",
}

#: Every position that is read, with the longest value (bytes) that is taken from it.
READ: dict[str, int] = {
    "type": NAME_LIMIT,
    "event_type": NAME_LIMIT,
    "object": NAME_LIMIT,
    "choices": 0,
    "candidates": 0,
    **{place.path: USAGE_LIMIT for place in USAGE_PLACES},
    **{path: NAME_LIMIT for _, path in COUNT_PLACES},
    **dict.fromkeys(MODEL_PLACES, NAME_LIMIT),
    **dict.fromkeys(TIER_PLACES, NAME_LIMIT),
    ERROR_PLACE: USAGE_LIMIT,
    **{path: NAME_LIMIT for place in STORED_PLACES for path in (place.id, place.status)},
    **dict.fromkeys(FINISH_PLACES, FINISH_LIMIT),
}
