"""The official SDKs, pointed at the proxy's ports by base URL alone, against simulated providers.

Proxy and simulator are real processes.  Each call must succeed without a key, and its record must equal what the
simulator knows it served.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from awfproxy.simulator.setting import Setting
from tests.processes import simulated

PLACEHOLDER = "placeholder-not-a-key"
QUESTION = "How many ships passed the lighthouse last night ?"
#: Seconds a record may take to be seen in the file once the call is over (it is there before; the file is read again
#: only for calls whose end the client does not see, such as aborted ones).
RECORD_WAIT = 5.0
TOOL_SCHEMA = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}


class Front:
    """The proxy's addresses, and the record of the last call."""

    def __init__(self, setting: Setting, calls: Callable[[], list[dict[str, Any]]]) -> None:
        self._setting = setting
        self._calls = calls
        self._seen = 0

    def url(self, provider: str) -> str:
        """What an agent is given as base URL."""
        return self._setting.url(provider)

    def new_records(self) -> list[dict[str, Any]]:
        """The lines of token-usage.jsonl since the last look."""
        records: list[dict[str, Any]] = self._setting.records()
        fresh, self._seen = records[self._seen :], len(records)
        return fresh

    def check(self, count: int = 1) -> dict[str, Any]:
        """The last ``count`` model calls have one exact record each; the last record."""
        deadline = time.monotonic() + RECORD_WAIT
        records = self.new_records()
        while len(records) < count and time.monotonic() < deadline:
            time.sleep(0.02)
            records += self.new_records()
        served = [call for call in self._calls() if call["input"] is not None][-count:]
        assert len(records) == count
        for record, call in zip(records, served, strict=True):
            assert call["key"] == "ok"
            assert record["usage_source"] == "reported"
            assert record["outcome"] == "complete"
            assert record["model"] == call["model"]
            for field in ("input", "output", "cache_read", "cache_write"):
                assert record[f"{field}_tokens"] == call[field], field
        return records[-1]


@pytest.fixture(scope="module", params=["plain", "tls", "epoll"])
def front(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Proxy and simulator, for all tests of this module: plain TCP, TLS between the two, the other reactor."""
    twistd = ("--reactor=epoll",) if request.param == "epoll" else ()
    with simulated(tmp_path_factory.mktemp("sdks"), twistd, tls=request.param == "tls") as (simulator, _, setting):
        yield Front(setting, simulator.calls)


@pytest.fixture(autouse=True)
def nothing_left_over(request: pytest.FixtureRequest) -> None:
    """Each test looks only at its own records."""
    if "front" in request.fixturenames:
        request.getfixturevalue("front").new_records()


@pytest.mark.parametrize("base", ["/v1", ""], ids=["with /v1", "bare"])
def test_openai_chat(front: Front, base: str) -> None:
    """A plain chat call; the base URL may name /v1 or leave it out."""
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=front.url("openai") + base, api_key=PLACEHOLDER) as client:
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": QUESTION}])
    assert answer.choices[0].message.content.startswith("The keeper")
    assert answer.usage.completion_tokens == front.check()["output_tokens"]


@pytest.mark.parametrize("asked", [True, False], ids=["usage asked", "usage not asked"])
def test_openai_chat_stream(front: Front, asked: bool) -> None:
    """A stream has its record whether or not the client asked for usage; only one that asked sees the usage chunk."""
    openai = pytest.importorskip("openai")
    options = {"stream_options": {"include_usage": True}} if asked else {}
    with openai.OpenAI(base_url=front.url("openai") + "/v1", api_key=PLACEHOLDER) as client:
        chunks = list(
            client.chat.completions.create(
                model="gpt-4o-mini", messages=[{"role": "user", "content": QUESTION}], stream=True, **options
            )
        )
    assert any(chunk.usage for chunk in chunks) is asked
    assert all(chunk.choices for chunk in chunks[:-1])
    assert bool(chunks[-1].choices) is not asked
    assert front.check()["streaming"] is True


def test_openai_responses(front: Front) -> None:
    """The Responses API, whole and as a stream whose last event has the usage."""
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=front.url("openai") + "/v1", api_key=PLACEHOLDER) as client:
        answer = client.responses.create(model="gpt-5-mini", input=QUESTION)
        assert answer.output_text.startswith("The keeper")
        events = list(client.responses.create(model="gpt-5-mini", input=QUESTION, stream=True))
    assert events[-1].type == "response.completed"
    assert events[-1].response.usage.output_tokens_details.reasoning_tokens == front.check(2)["reasoning_tokens"]


def test_openai_tools_and_embeddings(front: Front) -> None:
    """A streamed tool call arrives whole; embeddings have a record without output."""
    openai = pytest.importorskip("openai")
    tools = [{"type": "function", "function": {"name": "count_ships", "parameters": TOOL_SCHEMA}}]
    with openai.OpenAI(base_url=front.url("openai") + "/v1", api_key=PLACEHOLDER) as client:
        messages = [{"role": "user", "content": QUESTION}]
        stream = client.chat.completions.create(model="gpt-4o", messages=messages, tools=tools, stream=True)
        parts = [chunk.choices[0].delta.tool_calls for chunk in stream]
        arguments = "".join(part[0].function.arguments for part in parts if part)
        assert json.loads(arguments) == {"place": "lighthouse"}
        vectors = client.embeddings.create(model="text-embedding-3-small", input=[QUESTION, "again"])
    assert len(vectors.data) == 2
    front.check(2)


def test_openai_model_list_and_errors(front: Front) -> None:
    """A list of models uses nothing; the provider's errors reach the SDK as they are."""
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=front.url("openai") + "/v1", api_key=PLACEHOLDER, max_retries=0) as client:
        assert len(list(client.models.list())) > 2
        messages = [{"role": "user", "content": QUESTION}]
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(
                model="gpt-4o", messages=messages, extra_headers={"x-sim-status": "429", "x-sim-retry-after": "3"}
            )
        assert caught.value.response.headers["retry-after"] == "3"
        with pytest.raises(openai.APIError, match="error while processing"):
            list(
                client.chat.completions.create(
                    model="gpt-4o", messages=messages, stream=True, extra_headers={"x-sim-error-event": "3"}
                )
            )
    assert [record for record in front.new_records() if record["usage_source"] == "reported"] == []


def test_anthropic_messages(front: Front) -> None:
    """A plain call, a cached prompt, counting tokens (which uses none)."""
    anthropic = pytest.importorskip("anthropic")
    system = [{"type": "text", "text": "The log of the year . " * 50, "cache_control": {"type": "ephemeral"}}]
    messages = [{"role": "user", "content": QUESTION}]
    with anthropic.Anthropic(base_url=front.url("anthropic"), api_key=PLACEHOLDER) as client:
        answer = client.messages.create(model="claude-simulated", max_tokens=100, messages=messages, system=system)
        assert client.messages.count_tokens(model="claude-simulated", messages=messages).input_tokens == 9
    record = front.check()
    assert answer.usage.cache_read_input_tokens == record["cache_read_tokens"] > 0
    assert record["input_tokens_include_cache"] is False


def test_anthropic_stream(front: Front) -> None:
    """The SDK's own stream helper accumulates the whole message."""
    anthropic = pytest.importorskip("anthropic")
    with (
        anthropic.Anthropic(base_url=front.url("anthropic"), api_key=PLACEHOLDER) as client,
        client.messages.stream(
            model="claude-simulated",
            max_tokens=2000,
            messages=[{"role": "user", "content": QUESTION}],
            thinking={"type": "enabled", "budget_tokens": 1024},
        ) as stream,
    ):
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text.startswith("The keeper")
    assert final.usage.output_tokens == front.check()["output_tokens"]


def test_anthropic_errors(front: Front) -> None:
    """Overload is the SDK's own exception; an error event ends a stream as one."""
    anthropic = pytest.importorskip("anthropic")
    ask: dict[str, Any] = {
        "model": "claude-simulated",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": QUESTION}],
    }
    with anthropic.Anthropic(base_url=front.url("anthropic"), api_key=PLACEHOLDER, max_retries=0) as client:
        with pytest.raises(anthropic.APIStatusError) as caught:
            client.messages.create(**ask, extra_headers={"x-sim-status": "529"})
        assert caught.value.status_code == 529
        with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
            list(client.messages.create(**ask, stream=True, extra_headers={"x-sim-error-event": "3"}))


@pytest.mark.parametrize("provider", ["gemini", "vertex"])
def test_google_genai(front: Front, provider: str) -> None:
    """Whole, streamed and counted, on the Gemini API and on Vertex with an API key."""
    genai = pytest.importorskip("google.genai")
    types = pytest.importorskip("google.genai.types")
    client = genai.Client(
        vertexai=provider == "vertex",
        api_key=PLACEHOLDER,
        http_options=types.HttpOptions(base_url=front.url(provider)),
    )
    try:
        answer = client.models.generate_content(model="gemini-2.5-flash", contents=QUESTION)
        assert answer.text.startswith("The keeper")
        chunks = list(client.models.generate_content_stream(model="gemini-2.5-flash", contents=QUESTION))
        assert "".join(chunk.text or "" for chunk in chunks).startswith("The keeper")
        assert client.models.count_tokens(model="gemini-2.5-flash", contents=QUESTION).total_tokens == 9
    finally:
        client.close()
    record = front.check(2)
    told = chunks[-1].usage_metadata
    assert told.candidates_token_count + told.thoughts_token_count == record["output_tokens"]


def test_openai_sdk_on_copilot(front: Front) -> None:
    """Copilot speaks the OpenAI SDK's language, streaming and not; its port adds what Copilot wants."""
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=front.url("copilot"), api_key=PLACEHOLDER) as client:
        messages = [{"role": "user", "content": QUESTION}]
        client.chat.completions.create(model="gpt-4o", messages=messages)
        chunks = list(client.chat.completions.create(model="gpt-4o", messages=messages, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices).startswith("The keeper")
    front.check(2)
