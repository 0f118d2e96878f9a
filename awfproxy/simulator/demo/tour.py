"""One call of each kind: headers and bodies as the providers' own SDKs send them, the keys left out.

An agent behind the proxy holds no key, but its SDK insists on one: it sends a placeholder, which the proxy removes.
"""

from __future__ import annotations

from typing import Any

import msgspec

#: What an SDK is given where it insists on a key.
PLACEHOLDER = "placeholder-not-a-key"
#: Bytes of an answer that are read before it is given up, where a call is to be aborted.
ABORT_AFTER = 600

_STAINLESS = {
    "X-Stainless-Lang": "python",
    "X-Stainless-OS": "Linux",
    "X-Stainless-Arch": "x64",
    "X-Stainless-Runtime": "CPython",
    "X-Stainless-Async": "false",
    "x-stainless-retry-count": "0",
    "x-stainless-read-timeout": "600",
}
_COMMON = {"Accept": "application/json", "Accept-Encoding": "gzip, deflate", "Content-Type": "application/json"}
_HEADERS: dict[str, dict[str, str]] = {
    "openai": {"User-Agent": "OpenAI/Python 2.0.0", "Authorization": f"Bearer {PLACEHOLDER}"} | _STAINLESS,
    "anthropic": {
        "User-Agent": "Anthropic/Python 0.70.0",
        "X-Api-Key": PLACEHOLDER,
        "anthropic-version": "2023-06-01",
    }
    | _STAINLESS,
    "copilot": {
        "User-Agent": "GitHubCopilotChat/0.30.0",
        "Authorization": f"Bearer {PLACEHOLDER}",
        "Editor-Version": "vscode/1.103.0",
    },
    "gemini": {
        "User-Agent": "google-genai-sdk/1.40.0 gl-python/3.11.0",
        "x-goog-api-client": "google-genai-sdk/1.40.0 gl-python/3.11.0",
        "x-goog-api-key": PLACEHOLDER,
    },
}
_HEADERS["vertex"] = _HEADERS["gemini"]
_HEADERS["bedrock"] = {"User-Agent": "Boto3/1.40.0 md/Botocore#1.40.0", "Authorization": f"Bearer {PLACEHOLDER}"}

_QUESTION = "How many ships passed the lighthouse last night ?"
#: What is asked where the answer is given up: nothing else asks it, or that would be the same request sent again.
_GIVEN_UP = "Read me the whole book , {provider} ."
_SYSTEM = "You keep the book of a lighthouse and answer in one sentence ."
#: A prompt long enough for the providers' caches.
_LONG = "The log of the year . " * 300
_SCHEMA = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}


class TourCall(msgspec.Struct, frozen=True):
    """One call."""

    provider: str
    title: str
    path: str
    #: None: a GET
    body: dict[str, Any] | None
    headers: dict[str, str]
    #: give up after `ABORT_AFTER` bytes of the answer
    abort: bool = False
    #: about the answer before it, whose id follows the path
    about_last: bool = False


def _call(provider: str, title: str, path: str, body: dict[str, Any] | None, **more: Any) -> TourCall:
    headers = _COMMON | _HEADERS[provider] | more.pop("headers", {})
    if more.get("abort"):
        headers |= {"x-sim-endless": "1", "x-sim-pace": "2"}
    return TourCall(provider, title, path, body, headers, **more)


def _chat(**members: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _QUESTION}]
    return {"model": "gpt-4o-mini", "messages": messages} | members


def _chat_calls(provider: str, base: str) -> list[TourCall]:
    path = f"{base}/chat/completions"
    tools = [{"type": "function", "function": {"name": "count_ships", "parameters": _SCHEMA}}]
    long = [{"role": "system", "content": _LONG}, {"role": "user", "content": _QUESTION}]
    given_up = [{"role": "user", "content": _GIVEN_UP.format(provider=provider)}]
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    return [
        _call(provider, "chat", path, _chat()),
        _call(provider, "chat, two choices", path, _chat(n=2)),
        _call(provider, "chat, cached prompt", path, _chat(messages=long)),
        _call(provider, "chat, reasoning", path, _chat(model="gpt-5-mini", max_completion_tokens=200)),
        _call(provider, "chat, streaming", path, _chat(stream=True)),
        _call(provider, "chat, streaming, usage asked for", path, _chat(**asked)),
        _call(provider, "chat, streaming, tool call", path, _chat(tools=tools, **asked)),
        _call(provider, "chat, streaming, slow", path, _chat(**asked), headers={"x-sim-pace": "5"}),
        _call(provider, "chat, aborted", path, _chat(stream=True, messages=given_up), abort=True),
    ]


def _in_background(provider: str, title: str, path: str, ask: dict[str, Any]) -> list[TourCall]:
    """Work that goes on after its answer: it is counted with the first answer that shows it finished."""
    polls = ("not finished", "finished", "finished, asked for again")
    begun = _call(provider, f"{title} in the background", path, ask | {"background": True})
    return [begun, *(_call(provider, f"{title}, {state}", path, None, about_last=True) for state in polls)]


def _openai() -> list[TourCall]:
    ask = {"model": "gpt-5-mini", "instructions": _SYSTEM, "input": _QUESTION}
    return [
        *_chat_calls("openai", "/v1"),
        _call("openai", "responses", "/v1/responses", ask),
        _call("openai", "responses, streaming", "/v1/responses", ask | {"stream": True}),
        _call("openai", "responses, cut short", "/v1/responses", ask | {"stream": True, "max_output_tokens": 12}),
        *_in_background("openai", "response", "/v1/responses", ask),
        _call("openai", "completions", "/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": _QUESTION}),
        _call("openai", "embeddings", "/v1/embeddings", {"model": "text-embedding-3-small", "input": [_QUESTION]}),
        _call("openai", "list of models", "/v1/models", None),
    ]


def _copilot() -> list[TourCall]:
    ask = {"model": "gpt-5-mini", "instructions": _SYSTEM, "input": _QUESTION, "store": False}
    return [
        *_chat_calls("copilot", ""),
        _call("copilot", "responses", "/responses", ask),
        _call("copilot", "responses, streaming", "/responses", ask | {"stream": True}),
        _call("copilot", "list of models", "/models", None),
    ]


def _anthropic() -> list[TourCall]:
    path = "/v1/messages"
    cached = [{"type": "text", "text": _LONG, "cache_control": {"type": "ephemeral"}}]
    tools = [{"name": "count_ships", "description": "Counts ships", "input_schema": _SCHEMA}]

    def body(**members: Any) -> dict[str, Any]:
        messages = [{"role": "user", "content": _QUESTION}]
        return {"model": "claude-sonnet-4-5", "max_tokens": 1024, "system": _SYSTEM, "messages": messages} | members

    given_up = [{"role": "user", "content": _GIVEN_UP.format(provider="anthropic")}]
    count = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": _QUESTION}]}
    thinking = {"type": "enabled", "budget_tokens": 1024}
    return [
        _call("anthropic", "messages", path, body()),
        _call("anthropic", "messages, cached prompt", path, body(system=cached)),
        _call("anthropic", "messages, tool call", path, body(tools=tools)),
        _call("anthropic", "messages, thinking", path, body(thinking=thinking, max_tokens=2048)),
        _call("anthropic", "messages, cut short", path, body(max_tokens=4)),
        _call("anthropic", "messages, streaming", path, body(stream=True)),
        _call("anthropic", "messages, streaming, cached prompt", path, body(stream=True, system=cached)),
        _call("anthropic", "messages, streaming, tool call", path, body(stream=True, tools=tools)),
        _call("anthropic", "messages, streaming, thinking", path, body(stream=True, thinking=thinking)),
        _call("anthropic", "messages, streaming, slow", path, body(stream=True), headers={"x-sim-pace": "5"}),
        _call("anthropic", "messages, aborted", path, body(stream=True, messages=given_up), abort=True),
        _call("anthropic", "token counting", "/v1/messages/count_tokens", count),
        _call("anthropic", "list of models", "/v1/models", None),
    ]


def _google(provider: str, prefix: str) -> list[TourCall]:
    flash, plain = f"{prefix}/models/gemini-2.5-flash", f"{prefix}/models/gemini-2.0-flash"
    tools = [{"functionDeclarations": [{"name": "count_ships", "parameters": _SCHEMA}]}]

    def body(**members: Any) -> dict[str, Any]:
        contents = [{"role": "user", "parts": [{"text": _QUESTION}]}]
        return {"contents": contents, "systemInstruction": {"parts": [{"text": _SYSTEM}]}} | members

    def sse(model: str) -> str:
        return f"{model}:streamGenerateContent?alt=sse"

    long = {"parts": [{"text": _LONG}]}
    given_up = [{"role": "user", "parts": [{"text": _GIVEN_UP.format(provider=provider)}]}]
    return [
        _call(provider, "generateContent", f"{plain}:generateContent", body()),
        _call(provider, "generateContent, thinking", f"{flash}:generateContent", body()),
        _call(provider, "generateContent, tool call", f"{plain}:generateContent", body(tools=tools)),
        _call(provider, "generateContent, cached prompt", f"{plain}:generateContent", body(systemInstruction=long)),
        _call(provider, "streaming", sse(plain), body()),
        _call(provider, "streaming, thinking", sse(flash), body()),
        _call(provider, "streaming, tool call", sse(plain), body(tools=tools)),
        _call(provider, "streaming, cut short", sse(plain), body(generationConfig={"maxOutputTokens": 3})),
        _call(provider, "streaming, slow", sse(plain), body(), headers={"x-sim-pace": "5"}),
        _call(provider, "streaming as a JSON array", f"{plain}:streamGenerateContent", body()),
        _call(provider, "aborted", sse(flash), body(contents=given_up), abort=True),
        _call(provider, "token counting", f"{plain}:countTokens", {"contents": body()["contents"]}),
    ]


def _bedrock() -> list[TourCall]:
    nova, claude = "/model/amazon.nova-lite-v1%3A0", "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0"
    tools = {"tools": [{"toolSpec": {"name": "count_ships", "inputSchema": {"json": _SCHEMA}}}]}
    cached = [{"text": _LONG}, {"cachePoint": {"type": "default"}}]
    guard = {"guardrailIdentifier": "demo", "guardrailVersion": "1", "trace": "enabled"}
    messages = [{"role": "user", "content": _QUESTION}]
    given_up = [{"role": "user", "content": [{"text": _GIVEN_UP.format(provider="bedrock")}]}]
    ask = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 1024, "messages": messages}

    def call(title: str, path: str, body: dict[str, Any] | None = None, **more: Any) -> TourCall:
        return _call("bedrock", title, path, body or converse(), **more)

    def converse(**members: Any) -> dict[str, Any]:
        said = [{"role": "user", "content": [{"text": _QUESTION}]}]
        return {"messages": said, "system": [{"text": _SYSTEM}]} | members

    return [
        call("converse", f"{nova}/converse"),
        call("converse, tool call", f"{nova}/converse", converse(toolConfig=tools)),
        call("converse, cached prompt", f"{nova}/converse", converse(system=cached)),
        call("converse, streaming", f"{nova}/converse-stream"),
        call("converse, streaming, tool call", f"{nova}/converse-stream", converse(toolConfig=tools)),
        call("converse, streaming, guardrail", f"{nova}/converse-stream", converse(guardrailConfig=guard)),
        call("converse, streaming, cut short", f"{nova}/converse-stream", converse(inferenceConfig={"maxTokens": 3})),
        call("converse, streaming, slow", f"{nova}/converse-stream", headers={"x-sim-pace": "5"}),
        call("converse, aborted", f"{nova}/converse-stream", converse(messages=given_up), abort=True),
        call("invoke", f"{claude}/invoke", ask),
        call("invoke, streaming", f"{claude}/invoke-with-response-stream", ask),
        call("invoke, another maker, streaming", f"{nova}/invoke-with-response-stream"),
        call("invoke, counts in headers", "/model/mistral.mistral-large-2402-v1%3A0/invoke", {"prompt": _QUESTION}),
    ]


def tour_calls() -> list[TourCall]:
    """All calls, provider by provider."""
    vertex = "/v1beta1/projects/demo/locations/global/publishers/google"
    interaction = {"model": "gemini-2.5-flash", "input": _QUESTION}
    return [
        *_openai(),
        *_anthropic(),
        *_copilot(),
        *_google("gemini", "/v1beta"),
        *_in_background("gemini", "interaction", "/v1beta/interactions", interaction),
        *_google("vertex", vertex),
        *_bedrock(),
    ]
