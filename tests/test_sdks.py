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

from awfproxy.simulator.setting import GENERIC, PROVIDERS, Setting
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
    providers = dict.fromkeys((*PROVIDERS, *GENERIC))
    directory = tmp_path_factory.mktemp("sdks")
    with simulated(directory, twistd, tls=request.param == "tls", providers=providers) as (simulator, _, setting):
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


def test_openai_in_the_background(front: Front) -> None:
    """Polled until it is finished, and once more: one record, made by the first answer that shows the end."""
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=front.url("openai") + "/v1", api_key=PLACEHOLDER) as client:
        begun = client.responses.create(
            model="gpt-5-mini", input=QUESTION, background=True, extra_headers={"x-sim-polls": "2"}
        )
        states = [begun.status]
        while states[-1] in ("queued", "in_progress"):
            assert front.new_records() == []
            response = client.responses.retrieve(begun.id)
            states.append(response.status)
        assert states == ["queued", "in_progress", "in_progress", "completed"]
        assert response.usage.output_tokens == front.check()["output_tokens"]
        assert client.responses.retrieve(begun.id).usage == response.usage
        stopped = client.responses.cancel(client.responses.create(model="gpt-5", input="a", background=True).id)
    assert stopped.status == "cancelled"
    assert front.new_records() == []


def test_openai_background_stream(front: Front) -> None:
    """A stream in the background has its record; streaming it again from an event on makes no other."""
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=front.url("openai") + "/v1", api_key=PLACEHOLDER) as client:
        events = list(client.responses.create(model="gpt-5-mini", input=QUESTION, background=True, stream=True))
        record = front.check()
        again = list(client.responses.retrieve(events[0].response.id, stream=True, starting_after=5))
    assert events[-1].response.usage.input_tokens == record["input_tokens"]
    assert again == events[6:]
    assert front.new_records() == []


def test_google_interactions(front: Front) -> None:
    """At once, streamed, and in the background: one record each."""
    genai = pytest.importorskip("google.genai")
    types = pytest.importorskip("google.genai.types")
    client = genai.Client(api_key=PLACEHOLDER, http_options=types.HttpOptions(base_url=front.url("gemini")))
    try:
        whole = client.interactions.create(model="gemini-2.5-flash", input=QUESTION)
        events = list(client.interactions.create(model="gemini-2.5-flash", input=QUESTION, stream=True))
        record = front.check(2)
        shown = client.interactions.create(model="gemini-2.5-flash", input=QUESTION, background=True)
        assert front.new_records() == []
        while shown.status == "in_progress":
            shown = client.interactions.get(shown.id)
        front.check()
    finally:
        client.close()
    assert whole.usage.total_output_tokens + whole.usage.total_thought_tokens == record["output_tokens"]
    assert any(event.event_type == "interaction.completed" for event in events)
    assert shown.usage.total_tokens == whole.usage.total_tokens


NOVA = "amazon.nova-lite-v1:0"
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
ASK_CLAUDE = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": QUESTION}],
}
ASK_NOVA = {"messages": [{"role": "user", "content": [{"text": QUESTION}]}]}
ASK_MISTRAL = {"prompt": QUESTION}


@pytest.fixture
def bedrock(front: Front, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """AWS's client, pointed at the proxy's port by environment variables alone; it signs with keys that are none."""
    boto3 = pytest.importorskip("boto3")
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", PLACEHOLDER)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", PLACEHOLDER)
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", front.url("bedrock"))
    client = boto3.client("bedrock-runtime", region_name="us-east-1")
    yield client
    client.close()


def test_boto3_converse(front: Front, bedrock: Any) -> None:
    """A cached prompt; the record has the model's whole id, which only the path names."""
    system = [{"text": "The log of the year . " * 50}, {"cachePoint": {"type": "default"}}]
    answer = bedrock.converse(modelId=NOVA, system=system, **ASK_NOVA)
    record = front.check()
    assert answer["output"]["message"]["content"][0]["text"].startswith("The keeper")
    assert answer["usage"]["cacheReadInputTokens"] == record["cache_read_tokens"] > 0
    assert record["input_tokens_include_cache"] is False
    assert (record["model"], record["feature"]) == (NOVA, "converse")


def test_boto3_converse_stream(front: Front, bedrock: Any) -> None:
    """A binary stream, with a guardrail's counts beside the usage."""
    guard = {"guardrailIdentifier": "abcdefgh", "guardrailVersion": "1", "trace": "enabled"}
    answer = bedrock.converse_stream(modelId=NOVA, guardrailConfig=guard, **ASK_NOVA)
    events = list(answer["stream"])
    record = front.check()
    text = "".join(event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event)
    assert text.startswith("The keeper")
    assert events[-1]["metadata"]["usage"]["outputTokens"] == record["output_tokens"]
    assert "trace" in events[-1]["metadata"]
    assert record["streaming"] is True


@pytest.mark.parametrize(
    ("model", "ask"),
    [(CLAUDE, ASK_CLAUDE), (NOVA, ASK_NOVA), ("mistral.mistral-large-2402-v1:0", ASK_MISTRAL)],
    ids=["anthropic", "nova", "mistral"],
)
def test_boto3_invoke(front: Front, bedrock: Any, model: str, ask: dict[str, Any]) -> None:
    """Each maker's own body; of Mistral's only the headers have the counts."""
    answer = bedrock.invoke_model(modelId=model, body=json.dumps(ask))
    assert "The keeper" in answer["body"].read().decode()
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amzn-bedrock-output-token-count"] == str(front.check()["output_tokens"])


@pytest.mark.parametrize(("model", "ask"), [(CLAUDE, ASK_CLAUDE), (NOVA, ASK_NOVA)], ids=["anthropic", "nova"])
def test_boto3_invoke_stream(front: Front, bedrock: Any, model: str, ask: dict[str, Any]) -> None:
    """Each maker's own events, wrapped in Bedrock's chunks."""
    answer = bedrock.invoke_model_with_response_stream(modelId=model, body=json.dumps(ask))
    chunks = [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]
    metrics = chunks[-1]["amazon-bedrock-invocationMetrics"]
    assert metrics["outputTokenCount"] == front.check()["output_tokens"] == 12


def test_boto3_errors(front: Front, bedrock: Any) -> None:
    """Bedrock's errors are the SDK's own exceptions, before an answer and inside a stream."""
    with pytest.raises(bedrock.exceptions.ValidationException):
        bedrock.converse(modelId="amazon.nova+sim-status=400", **ASK_NOVA)
    stream = bedrock.converse_stream(modelId="amazon.nova+sim-error-event=3", **ASK_NOVA)["stream"]
    with pytest.raises(pytest.importorskip("botocore.exceptions").EventStreamError, match="modelStreamErrorException"):
        list(stream)
    assert [record for record in front.new_records() if record["usage_source"] == "reported"] == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_anthropic_on_bedrock(front: Front, stream: bool) -> None:
    """Anthropic's own client for Bedrock, whose messages come as JSON or in Bedrock's chunks."""
    pytest.importorskip("boto3")
    anthropic = pytest.importorskip("anthropic")
    ask = {"model": CLAUDE, "max_tokens": 100, "messages": ASK_CLAUDE["messages"], "stream": stream}
    with anthropic.AnthropicBedrock(
        base_url=front.url("bedrock"),
        aws_access_key=PLACEHOLDER,
        aws_secret_key=PLACEHOLDER,
        aws_region="us-east-1",
    ) as client:
        answer = client.messages.create(**ask)
        usage = [event.usage for event in answer if event.type == "message_delta"][-1] if stream else answer.usage
    assert usage.output_tokens == front.check()["output_tokens"]


def test_groq(front: Front) -> None:
    """Groq's path and its usage in ``x_groq``, unasked."""
    groq = pytest.importorskip("groq")
    messages = [{"role": "user", "content": QUESTION}]
    with groq.Groq(base_url=front.url("groq"), api_key=PLACEHOLDER) as client:
        client.chat.completions.create(model="llama-3.3-70b-versatile", messages=messages)
        chunks = list(client.chat.completions.create(model="llama-3.3-70b-versatile", messages=messages, stream=True))
    assert chunks[-1].x_groq.usage.completion_tokens == front.check(2)["output_tokens"]


def test_mistral(front: Front) -> None:
    """Mistral's usage in the chunk that ends the text."""
    mistral = pytest.importorskip("mistralai.client")
    messages = [{"role": "user", "content": QUESTION}]
    with mistral.Mistral(server_url=front.url("mistral"), api_key=PLACEHOLDER) as client:
        client.chat.complete(model="mistral-small-latest", messages=messages)
        chunks = list(client.chat.stream(model="mistral-small-latest", messages=messages))
    assert chunks[-1].data.usage.completion_tokens == front.check(2)["output_tokens"]


def test_ollama(front: Front) -> None:
    """Ollama's lines of JSON, and a port without a credential."""
    ollama = pytest.importorskip("ollama")
    messages = [{"role": "user", "content": QUESTION}]
    client = ollama.Client(host=front.url("ollama"))
    client.chat(model="llama3.2", messages=messages)
    lines = list(client.chat(model="llama3.2", messages=messages, stream=True))
    assert lines[-1].eval_count == front.check(2)["output_tokens"]
