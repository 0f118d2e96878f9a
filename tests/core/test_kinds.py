"""What kind of call a path is."""

from __future__ import annotations

import gzip
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.kinds import MODEL_MAX, WORK_ID_MAX, kind, url_model, work_id


class Recorded(msgspec.Struct):
    """What of a record of the corpus matters here."""

    url: str
    method: str
    api: str


@pytest.mark.parametrize(
    ("method", "target", "name", "model_call"),
    [
        (b"POST", b"/v1/chat/completions", "chat", True),
        (b"POST", b"/chat/completions?api-version=1", "chat", True),
        (b"POST", b"/v1/chat/completions/", "chat", True),
        (b"POST", b"/openai/deployments/M/chat/completions", "chat", True),
        (b"POST", b"/v1/completions", "completions", True),
        (b"POST", b"/v1/responses", "responses", True),
        (b"POST", b"/backend-api/codex/responses", "responses", True),
        (b"POST", b"/v1/responses/compact", "responses", True),
        (b"POST", b"/v1/responses/input_tokens", "count_tokens", False),
        (b"GET", b"/v1/responses/resp_1", "stored_response", False),
        (b"GET", b"/v1/responses/resp_1/input_items", "stored_response", False),
        (b"POST", b"/v1/responses/resp_1/cancel", "stored_response", False),
        (b"DELETE", b"/v1/responses/resp_1", "stored_response", False),
        (b"POST", b"/v1/agent", "responses", True),
        (b"POST", b"/v1beta/interactions", "interactions", True),
        (b"GET", b"/v1beta/interactions/v1_abc", "stored_interaction", False),
        (b"POST", b"/v1beta/interactions/v1_abc/cancel", "stored_interaction", False),
        (b"POST", b"/v1beta1/interactions/v1_abc:cancel", "stored_interaction", False),
        (b"DELETE", b"/v1beta/interactions/v1_abc", "stored_interaction", False),
        (b"POST", b"/v1/messages?beta=true", "messages", True),
        (b"POST", b"/v1/messages/count_tokens?beta=true", "count_tokens", False),
        (b"POST", b"/v1/messages/batches", "batches", True),
        (b"POST", b"/v1/messages/batches/b/cancel", "batches", False),
        (b"GET", b"/v1/messages/batches/b/results", "store", False),
        (b"POST", b"/v1/threads/t/messages", "assistants", False),
        (b"POST", b"/v1/threads/t/runs", "assistants", True),
        (b"POST", b"/v1/threads/runs", "assistants", True),
        (b"GET", b"/v1/threads/t/runs/r", "assistants", False),
        (b"POST", b"/v1/threads/t/runs/r/cancel", "assistants", False),
        (b"POST", b"/v1/threads/t/runs/r/submit_tool_outputs", "assistants", True),
        (b"GET", b"/v1/chat/completions", "store", False),
        (b"POST", b"/v1/chat/completions/chatcmpl-1", "store", False),
        (b"PATCH", b"/v1beta/cachedContents/c", "store", False),
        (b"PUT", b"/v1/anything/c", "store", False),
        (b"POST", b"/v1/batches", "batches", True),
        (b"POST", b"/openai/batches?api-version=1", "batches", True),
        (b"POST", b"/v1/batches/batch_1/requests", "batches", True),
        (b"POST", b"/v1/batches/batch_1/cancel", "batches", False),
        (b"POST", b"/v1/batches/batch_1:cancel", "batches", False),
        (b"DELETE", b"/v1beta/batches/b", "batches", False),
        (b"GET", b"/v1/batches", "batches", False),
        (b"POST", b"/v1beta/models/m:batchGenerateContent", "batches", True),
        (b"POST", b"/v1beta/models/m:asyncBatchEmbedContent", "batches", True),
        (b"POST", b"/v1beta/batches/b:cancel", "batches", False),
        (b"POST", b"/v1/projects/p/locations/l/batchPredictionJobs", "batches", True),
        (b"POST", b"/v1/projects/p/locations/l/batchPredictionJobs/j:cancel", "store", False),
        (b"POST", b"/model-invocation-job", "batches", True),
        (b"POST", b"/model-invocation-job/j/stop", "store", False),
        (b"POST", b"/v1/batch/jobs", "batches", True),
        (b"POST", b"/v1/batch/jobs/j/cancel", "store", False),
        (b"GET", b"/v1/batch/jobs/j", "store", False),
        (b"POST", b"/v1/embed-jobs", "batches", True),
        (b"POST", b"/v1/embed-jobs/j/cancel", "store", False),
        (b"GET", b"/v1/chat/completions/chatcmpl-1", "store", False),
        (b"DELETE", b"/v1/files/f", "store", False),
        (b"POST", b"/v1/embeddings", "embeddings", True),
        (b"POST", b"/v1/images/generations", "images", True),
        (b"POST", b"/v1/audio/transcriptions", "audio", True),
        (b"POST", b"/v1/moderations", "moderations", None),
        (b"GET", b"/v1/models", "models", False),
        (b"GET", b"/v1/models/gpt-4o", "models", False),
        (b"HEAD", b"/v1/models", "models", False),
        (b"POST", b"/v1beta/models/gemini-2.0-flash:generateContent", "generateContent", True),
        (b"POST", b"/v1beta/models/gemini-2.0-flash:streamGenerateContent?alt=sse", "generateContent", True),
        (b"POST", b"/v1beta/models/gemini-2.0-flash:countTokens", "count_tokens", False),
        (b"POST", b"/v1beta/models/m:batchEmbedContents", "embeddings", True),
        (b"POST", b"/v1beta/openai/chat/completions", "chat", True),
        (b"POST", b"/v1/projects/p/locations/l/publishers/anthropic/models/m:streamRawPredict", "messages", True),
        (b"POST", b"/v1/x/publishers/anthropic/models/count-tokens:rawPredict", "count_tokens", False),
        (b"POST", b"/model/anthropic.claude-v2%3A1/converse-stream", "converse", True),
        (b"POST", b"/model/anthropic.claude-v2:1/invoke", "invoke", True),
        (b"POST", b"/api/chat", "ollama", True),
        (b"GET", b"/api/tags", "models", False),
        (b"POST", b"/v2/chat", "cohere-chat", True),
    ],
)
def test_kind(method: bytes, target: bytes, name: str, model_call: bool | None) -> None:
    """The table, by real paths: the name, and whether tokens are spent."""
    found = kind(method, target)
    assert found is not None
    assert (found.name, found.model_call) == (name, model_call)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        (b"POST", b"/v1/models"),
        (b"POST", b"/v1/files"),
        (b"PUT", b"/v1/chat/completions"),
        (b"POST", b"/v1/evals/e/runs"),
        (b"POST", b"/"),
        (b"POST", b""),
        (b"POST", b"/v1/x:unknown"),
        (b"POST", b"/v1/x?/v1/chat/completions"),
    ],
)
def test_unknown(method: bytes, target: bytes) -> None:
    """What is not in the table has no kind, and no query can give it one."""
    assert kind(method, target) is None


def test_usage_is_asked_for_on_chat_alone() -> None:
    """The allow-list of asking for usage: never on Responses, Messages or anything else."""
    paths = (
        b"/v1/chat/completions /chat/completions /v1/completions /v1/responses /v1/messages /v1/agents/completions "
        b"/api/chat /v2/chat /models/m/completions /v1/embeddings /v1/chat/completions/x"
    ).split()
    asked = [path for path in paths if (found := kind(b"POST", path)) is not None and found.may_ask_usage]
    assert asked == [b"/v1/chat/completions", b"/chat/completions"]


@pytest.mark.parametrize(
    ("target", "streams"),
    [
        (b"/v1beta/models/m:streamGenerateContent", True),
        (b"/v1beta/models/m:generateContent", False),
        (b"/model/m/converse-stream", True),
        (b"/model/m/invoke-with-response-stream", True),
        (b"/x/models/m:streamRawPredict", True),
        (b"/v1/chat/completions", False),
    ],
)
def test_streams(target: bytes, streams: bool) -> None:
    """Where the path alone says that the answer is a stream."""
    found = kind(b"POST", target)
    assert found is not None
    assert found.streams is streams


@pytest.mark.parametrize(
    ("target", "model"),
    [
        (b"/v1beta/models/gemini-2.0-flash:generateContent?alt=sse", "gemini-2.0-flash"),
        (b"/v1beta1/projects/p/locations/l/publishers/google/models/gemini-1.5:streamGenerateContent", "gemini-1.5"),
        (b"/openai/deployments/gpt-4o/chat/completions?api-version=2024", "gpt-4o"),
        (b"/model/anthropic.claude-3-5-sonnet-v2%3A0/converse", "anthropic.claude-3-5-sonnet-v2:0"),
        (b"/model/anthropic.claude-3-5-sonnet-v2:0/invoke", "anthropic.claude-3-5-sonnet-v2:0"),
        (b"/v1/models/gpt-4o", "gpt-4o"),
        (b"/v1/models", None),
        (b"/v1/chat/completions", None),
        (b"/v1/chat?x=/models/evil", None),
        (b"/models//x", None),
    ],
)
def test_url_model(target: bytes, model: str | None) -> None:
    """The model in the paths of Gemini, Vertex, Azure and Bedrock."""
    assert url_model(target) == model


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (b"/v1/responses/resp_1?stream=true", "resp_1"),
        (b"/v1/responses/resp_1/cancel", "resp_1"),
        (b"/responses/resp_1/input_items", "resp_1"),
        (b"/v1beta/interactions/v1_a%2Bb:cancel", "v1_a+b"),
        (b"/v1/threads/thread_1/runs/run_1", "run_1"),
        (b"/v1/threads/thread_1/runs/run_1/steps", "run_1"),
        (b"/v1/threads/thread_1/runs", None),
        (b"/v1/responses", None),
        (b"/v1/responses/" + b"x" * 300, None),
        (b"/v1/models/responses", None),
        (b"", None),
    ],
)
def test_work_id(target: bytes, name: str | None) -> None:
    """The id of work that goes on, in the paths that ask for it."""
    assert work_id(target) == name


@given(
    st.sampled_from([b"GET", b"POST", b"DELETE", b"X"]),
    st.binary(max_size=80) | st.text("/:%models", max_size=40).map(str.encode),
)
def test_any_target_has_an_answer(method: bytes, target: bytes) -> None:
    """Law: no target raises, and a model's name is bounded, encodable text."""
    kind(method, target)
    model = url_model(b"/models/" + target)
    assert model is None or 0 < len(model.encode()) <= 4 * MODEL_MAX
    work = work_id(b"/runs/" + target)
    assert work is None or 0 < len(work) <= WORK_ID_MAX


@given(
    st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE"]),
    st.sampled_from([b"/v1/messages", b"/v1/chat/completions", b"/v1/responses", b"/v1/threads/t/runs", b"/v1/runs", b"/x"]),
    st.sampled_from([b"/threads/", b"/v1/models", b"/responses/resp_1", b"x=/models/m:generateContent"]) | st.binary(max_size=20),
)
def test_a_query_changes_nothing(method: bytes, path: bytes, query: bytes) -> None:
    """Law: nobody can make a call another kind, or the work of another id, by what stands behind the path."""
    assert kind(method, path + b"?" + query) == kind(method, path)
    assert url_model(path + b"?" + query) == url_model(path)
    assert work_id(path + b"?" + query) == work_id(path)


#: the corpus names these kinds otherwise, or its record is of another kind than its path
CORPUS_NAMES = {
    ("completions", "chat"),  # /models/M/completions and /v1/agents/completions are chat-shaped
    ("rerank", "cohere-chat"),  # /v1/generate
    ("embeddings", "predict"),  # Vertex's :predict serves embeddings and images
    ("responses", "stored_response"),
}


def test_the_recorded_paths(corpus: Path) -> None:
    """Every recorded call of a known API is told by its path as what the corpus says it is."""
    decode = msgspec.json.Decoder(Recorded).decode
    wrong = set()
    seen = 0
    for file in sorted(corpus.glob("*.jsonl.gz")):
        with gzip.open(file) as lines:
            for line in lines:
                record = decode(line)
                path = urlsplit(record.url).path
                found = kind(record.method.encode(), path.encode())
                name = found.name if found is not None else None
                if name != record.api and (record.api, name) not in CORPUS_NAMES:
                    wrong.add((record.api, name, record.method, path))
                seen += 1
    assert seen > 3000
    assert not wrong
