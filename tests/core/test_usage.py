"""How the documents of one answer add up to one reading."""

from __future__ import annotations

import json
from typing import Any

from awfproxy.core.document import read
from awfproxy.core.usage import TERMINAL, USAGE_ONLY, Reading

from .parsers import chunk


def take(reading: Reading, document: dict[str, Any]) -> int:
    """Read one document."""
    outline = read(json.dumps(document).encode())
    assert outline is not None
    return reading.take(outline)


def test_anthropic_deltas_are_laid_over_the_start() -> None:
    """Cumulative, last wins per field, nulls say nothing, nothing is added up."""
    reading = Reading()
    reading.framing = "sse"
    start = {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1, "service_tier": "standard"}
    take(reading, {"type": "message_start", "message": {"model": "claude", "usage": start}})
    assert not reading.final
    assert reading.usage is not None
    assert reading.usage.output_tokens == 1
    take(reading, {"type": "message_delta", "usage": {"output_tokens": 7, "cache_read_input_tokens": None}})
    take(
        reading,
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 9, "input_tokens": 12},
        },
    )
    assert reading.final
    assert reading.finish_seen
    assert reading.usage.raw == start | {"output_tokens": 9, "input_tokens": 12}
    assert not reading.usage.input_tokens_include_cache
    assert take(reading, {"type": "message_stop"}) == TERMINAL


def test_snapshots_replace_as_a_whole() -> None:
    """A field of an earlier chunk that the last one lacks is not kept."""
    reading = Reading()
    take(reading, {"usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 3}})
    take(reading, {"usageMetadata": {"promptTokenCount": 4, "thoughtsTokenCount": 2}})
    assert reading.usage is not None
    assert reading.usage.raw == {"promptTokenCount": 4, "thoughtsTokenCount": 2}


def test_what_says_nothing_replaces_nothing() -> None:
    """Null, an empty object, one without numbers, and decoys after the usage."""
    reading = Reading()
    take(reading, {"usage": {"prompt_tokens": 5}})
    nothing: object
    for nothing in (None, {}, {"trafficType": "ON_DEMAND"}, "text", 7, []):
        take(reading, {"usage": nothing})
    take(reading, {"x_groq": {"usage": {"prompt_tokens": 1}}, "copilot_usage": {"token_details": []}})
    assert reading.usage is not None
    assert reading.usage.input_tokens == 5


def test_groqs_own_place_counts_when_it_is_the_only_one() -> None:
    """And gives way to the usual one."""
    reading = Reading()
    take(reading, chunk(x_groq={"usage": {"prompt_tokens": 3}}))
    assert reading.usage is not None
    assert reading.usage.input_tokens == 3
    take(reading, chunk(usage={"prompt_tokens": 4}, x_groq={"usage": {"prompt_tokens": 3}}))
    assert reading.usage is not None
    assert reading.usage.input_tokens == 4


def test_a_usage_only_chunk_is_told_from_others() -> None:
    """Empty choices and a usage; Azure's first chunk has empty choices too, others' last has choices."""
    reading = Reading()
    assert take(reading, chunk(usage={"prompt_tokens": 4})) == USAGE_ONLY
    assert take(reading, chunk("a", usage={"prompt_tokens": 4})) == 0
    assert take(reading, chunk(usage=None, prompt_filter_results=[])) == 0
    assert take(reading, chunk(usage={})) == 0
    assert take(reading, {"usage": {"prompt_tokens": 4}}) == 0


def test_usage_in_each_chunk_is_final_with_the_last() -> None:
    """Perplexity and vLLM repeat it: before the finish reason it is partial."""
    reading = Reading()
    take(reading, chunk("a", usage={"prompt_tokens": 4, "completion_tokens": 1}))
    assert not reading.final
    take(reading, chunk("b", "stop", usage={"prompt_tokens": 4, "completion_tokens": 2}))
    assert reading.final
    other = Reading()
    take(other, chunk("a", usage={"prompt_tokens": 4}))
    other.end()
    assert other.final


def test_responses_are_final_with_their_terminal_event() -> None:
    """And with the failed one too, with or without usage."""
    for kind in ("completed", "incomplete", "failed", "done"):
        reading = Reading()
        assert take(reading, {"type": "response.created", "response": {"model": "g", "usage": None}}) == 0
        assert take(reading, {"type": f"response.{kind}", "response": {"usage": {"input_tokens": 1}}}) == TERMINAL
        assert reading.final
    reading = Reading()
    assert take(reading, {"type": "response.failed", "response": {"usage": None}}) == TERMINAL
    assert not reading.final
    assert reading.usage is None


def test_the_first_model_that_is_not_empty_counts() -> None:
    """Azure and Copilot begin with an empty name."""
    reading = Reading()
    for name in ("", None, 5, "gpt", "other"):
        take(reading, {"model": name})
    assert reading.model == "gpt"


def test_a_cut_document_gives_figures_that_are_not_final() -> None:
    """Its usage was reported, its end was not."""
    reading = Reading()
    reading.framing = "json"
    reading.take({"usage": b'{"input_tokens":3}'}, whole=False)
    assert reading.usage is not None
    assert not reading.final


def test_rejected_counts_are_counted_once_a_value() -> None:
    """Reading the figures twice is not two errors."""
    reading = Reading()
    take(reading, {"usage": {"prompt_tokens": -1, "completion_tokens": "x"}})
    assert reading.usage is None
    assert reading.usage is None
    assert reading.errors == {"bad-count": 2}
