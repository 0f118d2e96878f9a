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
    assert not reading.final, "without a reason to stop, more may come"
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


def test_how_a_call_was_served_is_part_of_its_usage() -> None:
    """It decides the price.  OpenAI's stands beside the usage, Gemini's in the head; the ordinary way is left out."""
    usage = {"prompt_tokens": 4, "completion_tokens": 1}
    for document, told in (
        (chunk(usage=usage, service_tier="flex"), "flex"),
        (chunk(usage=usage, service_tier="default"), None),
        (chunk(usage=usage, service_tier=None), None),
        (chunk(usage=usage, service_tier={"text": "x"}), None),
        (chunk(usage=usage, service_tier="not a word"), None),
        (chunk(usage=usage | {"service_tier": "batch"}, service_tier="flex"), "batch"),
        ({"type": "response.completed", "response": {"usage": usage, "service_tier": "priority"}}, "priority"),
    ):
        reading = Reading()
        take(reading, document)
        assert reading.usage is not None
        assert reading.usage.raw.get("service_tier") == told
        assert (reading.usage.input_tokens, reading.usage.output_tokens) == (4, 1)
    for head, told in ((b"priority", "priority"), (b"standard", None), (b"\xff", None)):
        reading = Reading()
        take(reading, {"usageMetadata": {"promptTokenCount": 5}})
        reading.take_headers({b"x-gemini-service-tier": head})
        assert reading.usage is not None
        assert reading.usage.raw.get("service_tier") == told


def test_code_assist_wraps_geminis_documents() -> None:
    """Its finish reasons are in the wrapper too: with them the figures are the last ones."""
    for end in ({"candidates": [{"finishReason": "STOP"}]}, {"promptFeedback": {"blockReason": "SAFETY"}}):
        reading = Reading()
        take(reading, {"response": {"candidates": [{}], "usageMetadata": {"promptTokenCount": 5}}})
        assert not reading.final
        take(reading, {"response": end | {"usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 7}}})
        assert reading.final
        assert reading.usage is not None
        assert reading.usage.output_tokens == 7


def test_copilots_details_inside_a_response() -> None:
    """They count there as they do at the top, when there is nothing else."""
    details = {"token_details": [{"token_type": "input", "token_count": 7}]}
    for document in ({"copilot_usage": details}, {"response": {"copilot_usage": details}}):
        reading = Reading()
        take(reading, document)
        assert reading.usage is not None
        assert reading.usage.input_tokens == 7


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


def test_the_stored_object_is_named() -> None:
    """Its first id, its last status: of Responses, Interactions and runs, wherever they stand."""
    streams: list[tuple[list[dict[str, Any]], tuple[str, str]]] = [
        ([{"object": "response", "id": "resp_1", "status": "queued", "usage": None}], ("resp_1", "queued")),
        ([{"object": "interaction", "id": "v1_a", "status": "in_progress"}], ("v1_a", "in_progress")),
        ([{"object": "thread.run", "id": "run_1", "status": "completed"}], ("run_1", "completed")),
        (
            [
                {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}},
                {"type": "response.output_item.added", "id": "msg_1", "status": "none", "item": {"id": "x"}},
                {"type": "response.completed", "response": {"id": "resp_2", "status": "completed"}},
            ],
            ("resp_1", "completed"),
        ),
        (
            [
                {"event_type": "interaction.created", "interaction": {"id": "", "status": "in_progress"}},
                {"event_type": "interaction.status_update", "interaction_id": "v1_a", "status": "requires_action"},
                {"event_type": "step.start", "interaction_id": "v1_b", "status": "no"},
            ],
            ("v1_a", "requires_action"),
        ),
        (
            [
                {"object": "thread.run", "id": "run_1", "status": "queued"},
                {"object": "thread.message", "id": "msg_1", "status": "completed"},
                {"object": "thread.run.step", "id": "step_1", "status": "completed"},
            ],
            ("run_1", "queued"),
        ),
    ]
    for documents, named in streams:
        reading = Reading()
        for document in documents:
            take(reading, document)
        assert (reading.object_id, reading.object_status) == named


def test_what_names_no_stored_object_is_left_alone() -> None:
    """Ids of other documents, and what does not look like an id."""
    document: dict[str, Any]
    for document in (
        {"object": "chat.completion", "id": "chatcmpl-1", "status": "completed"},
        {"type": "message", "id": "msg_1", "status": "completed"},
        {"id": "x", "status": "completed"},
        {"object": "response", "id": 7, "status": None},
        {"object": "response", "id": "a b", "status": {"a": 1}},
        {"object": "response", "id": "x" * 129, "status": ["done"]},
        {"type": "response.completed", "response": "resp_1"},
    ):
        reading = Reading()
        take(reading, document)
        assert (reading.object_id, reading.object_status) == (None, None)


def test_usage_of_a_step_is_not_that_of_its_run() -> None:
    """A stream of an Assistants run tells each step's usage before its own."""
    reading = Reading()
    reading.framing = "sse"
    take(reading, {"object": "thread.run.step", "type": "tool_calls", "usage": {"prompt_tokens": 5}})
    assert reading.usage is not None
    assert not reading.final
    take(reading, {"object": "thread.run", "id": "run_1", "status": "completed", "usage": {"prompt_tokens": 9}})
    assert reading.usage is not None
    assert reading.final
    assert reading.usage.input_tokens == 9


HEADS = {
    b"content-type": b"application/json",
    b"x-amzn-bedrock-input-token-count": b"5",
    b"x-amzn-bedrock-output-token-count": b"7",
    b"x-amzn-bedrock-cache-read-input-token-count": b"3",
    b"x-amzn-bedrock-cache-write-input-token-count": b"0",
}


def test_counts_in_the_head_stand_in_for_a_body_without_any() -> None:
    """All of them, under the provider's names, final also when the body is cut."""
    reading = Reading()
    reading.take_headers(HEADS)
    usage = reading.usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens) == (5, 7, 3, 0)
    assert usage.reasoning_tokens is None
    assert not usage.input_tokens_include_cache
    assert usage.raw == {name.decode(): int(value) for name, value in HEADS.items() if name != b"content-type"}
    assert reading.final
    assert reading.errors == {}


def test_the_body_goes_before_the_head() -> None:
    """What it says stays; input and output that it leaves out are filled in, counts of the cache are not."""
    for first in (True, False):
        reading = Reading()
        reading.framing = "json"
        if first:
            reading.take_headers(HEADS)
        assert (reading.usage is not None) == first
        take(reading, {"usage": {"input_tokens": 9}})
        if not first:
            reading.take_headers(HEADS)
        usage = reading.usage
        assert usage is not None
        assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens) == (9, 7, None)
        assert usage.raw == {"input_tokens": 9, "x-amzn-bedrock-output-token-count": 7}
        assert reading.final


def test_counts_in_the_head_that_are_none() -> None:
    """They are counted as errors; an answer without any is not touched."""
    for value in (b"", b"-5", b"1.5", b"\xb2", b"9" * 16, b"9" * 5000, b"5, 5"):
        reading = Reading()
        reading.take_headers({b"x-amzn-bedrock-input-token-count": value})
        assert reading.usage is None
        assert reading.errors == {"bad-count": 1}
        assert not reading.final
    reading = Reading()
    reading.take_headers({b"content-type": b"application/json"})
    assert reading.usage is None
    assert reading.errors == {}


def test_an_error_where_usage_was_to_come() -> None:
    """A top-level error of any shape, an error event; not one that is null, empty or deeper."""
    seen: list[dict[str, Any]] = [
        {"error": {"message": "x"}}, {"error": "x"}, {"error": ["x"]}, {"type": "error"}, {"event_type": "error"},
        {"object": "response", "status": "failed", "error": {"code": "server_error"}},
    ]  # fmt: skip
    unseen: list[dict[str, Any]] = [
        {"error": None}, {"error": {}}, {"error": ""}, {"error": False}, {"choices": [{"error": "x"}]}, {"type": "x"},
        {"type": "response.failed", "response": {"error": {"code": "x"}}},
    ]  # fmt: skip
    for expected, documents in ((True, seen), (False, unseen)):
        for document in documents:
            reading = Reading()
            take(reading, document)
            assert reading.error_seen == expected, document


def test_counts_of_one_stream_are_laid_over_each_other() -> None:
    """Llama on Bedrock: the prompt's count is in the first chunk alone; metrics take the place of both."""
    reading = Reading()
    reading.framing = "eventstream"
    take(reading, {"prompt_token_count": 5, "generation_token_count": 1})
    take(reading, {"prompt_token_count": None, "generation_token_count": 4})
    assert reading.usage is not None
    assert reading.usage.raw == {"prompt_token_count": 5, "generation_token_count": 4}
    assert not reading.final
    take(reading, {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 5, "outputTokenCount": 6}})
    assert reading.usage.raw == {"inputTokenCount": 5, "outputTokenCount": 6}
