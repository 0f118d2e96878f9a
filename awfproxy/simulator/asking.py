"""One request as the simulated models understand it: which API, which model, how much to write, what it will cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from awfproxy.simulator import tokens
from awfproxy.simulator.caches import Weighed
from awfproxy.simulator.modes import NO_TOOL, Mode, tool_call
from awfproxy.simulator.tokens import Figures

#: Words of an answer when neither the request nor a mode says how many.
USUAL_WORDS = 12
#: Tokens that a model which thinks first spends on it.
USUAL_REASONING = 8
#: Bytes of a tool call's arguments in one event; each such piece is one token.
ARGUMENT_PIECE = 4
#: Choices that one request may ask for (OpenAI: n ≤ 128).
MOST_CHOICES = 128

#: APIs (Anthropic's and Bedrock's) that count cached and newly cached tokens apart from the input.
CACHE_APART = ("messages", "converse", "invoke")

#: How the names of models begin that think before they write.
THINKERS = ("o1", "o3", "o4", "gpt-5", "gemini-2.5", "gemini-3", "deepseek-reasoner")


class ToolCall(msgspec.Struct, frozen=True):
    """A call of a tool that the model answers with, instead of a text."""

    name: str
    arguments: str

    def pieces(self) -> list[str]:
        """The arguments as streamed; one token each."""
        text = self.arguments
        return [text[start : start + ARGUMENT_PIECE] for start in range(0, len(text), ARGUMENT_PIECE)]


class Ask(msgspec.Struct, frozen=True):
    """What is asked, with everything decided that the shape of an answer needs."""

    provider: str
    api: str
    model: str
    body: dict[str, Any]
    stream: bool
    mode: Mode
    #: number of this call since the simulator started; ids are made of it
    serial: int
    #: the answer's time stamp, in seconds since 1970
    now: int
    #: words each choice writes
    words: int
    choices: int
    #: the request's own limit ended the text
    limited: bool
    tool: ToolCall | None
    figures: Figures

    @property
    def says_usage(self) -> bool:
        """The usage is told at all."""
        return self.mode.usage != "absent" and not self.mode.fails

    @property
    def background(self) -> bool:
        """The model works after the answer; whoever asks for the answer again gets more."""
        return self.body.get("background") is True


def ask(
    provider: str,
    api: str,
    model: str,
    body: dict[str, Any],
    stream: bool,
    mode: Mode,
    serial: int,
    now: int,
    weighed: Weighed | None = None,
) -> Ask:
    """Decide what the answer will be.

    :param weighed: the prompt, where a cache remembers it; None: by the plain rules
    """
    limit = _limit(body)
    reasoning = _reasoning(provider, model, body, mode)
    if limit is not None:
        reasoning = min(reasoning, limit)
    tool = _tool_call(body, mode)
    wanted = mode.events if mode.events is not None else USUAL_WORDS
    words = wanted if limit is None or tool else min(wanted, limit - reasoning)
    if mode.big_line or mode.big_body:
        words = 1
    choices = _whole(body.get("n"), 1, MOST_CHOICES) or 1
    visible = len(tool.pieces()) if tool else words
    if api == "embeddings":
        visible = reasoning = 0
    return Ask(
        provider=provider,
        api=api,
        model=model,
        body=body,
        stream=stream,
        mode=mode,
        serial=serial,
        now=now,
        words=words,
        choices=choices,
        limited=words < wanted and tool is None and not (mode.big_line or mode.big_body),
        tool=tool,
        figures=_figures(api, body, mode, weighed, output=visible * choices + reasoning, reasoning=reasoning),
    )


def _figures(
    api: str, body: dict[str, Any], mode: Mode, weighed: Weighed | None, output: int, reasoning: int
) -> Figures:
    if weighed is not None:
        apart = weighed.read + weighed.written if api in CACHE_APART else 0
        return Figures(max(1, weighed.prompt - apart), output, weighed.read, weighed.written, reasoning)
    prompt = tokens.prompt_tokens(body)
    if api in CACHE_APART:
        marked = tokens.marked_tokens(body)
        read = mode.cached if mode.cached is not None else marked // 2
        written = mode.cache_written if mode.cache_written is not None else marked - marked // 2
        return Figures(max(1, prompt - marked), output, read, written, reasoning)
    read = mode.cached if mode.cached is not None else tokens.cached_tokens(prompt)
    if api in ("embeddings", "ollama", "completions"):
        read = 0
    return Figures(prompt, output, min(read, prompt), mode.cache_written or 0, reasoning)


def _limit(body: Mapping[str, Any]) -> int | None:
    """The request's own bound on what is generated, by whichever name its API has for it."""
    config = body.get("generationConfig")
    options = body.get("options")
    for holder, name in (
        (body, "max_completion_tokens"),
        (body, "max_tokens"),
        (body, "max_output_tokens"),
        (config, "maxOutputTokens"),
        (body.get("generation_config"), "max_output_tokens"),
        (body.get("inferenceConfig"), "maxTokens"),
        (body.get("inferenceConfig"), "max_new_tokens"),
        (options, "num_predict"),
    ):
        if isinstance(holder, Mapping):
            limit = _whole(holder.get(name), 1, 1 << 31)
            if limit is not None:
                return limit
    return None


def _reasoning(provider: str, model: str, body: Mapping[str, Any], mode: Mode) -> int:
    if mode.reasoning is not None:
        return mode.reasoning
    thinking = body.get("thinking")
    asked = isinstance(thinking, Mapping) and thinking.get("type") == "enabled"
    return USUAL_REASONING if asked or (provider != "anthropic" and model.startswith(THINKERS)) else 0


def _tool_call(body: Mapping[str, Any], mode: Mode) -> ToolCall | None:
    """The call that the mode names, else one of the first tool offered, unless the conversation already ends with a
    tool's result."""
    if mode.tool is not None:
        if mode.tool == NO_TOOL:
            return None
        name, given = tool_call(mode.tool)
        return ToolCall(name, msgspec.json.encode(given).decode())
    tools = body.get("tools")
    config = body.get("toolConfig")
    if isinstance(config, Mapping):
        tools = config.get("tools")
    if not isinstance(tools, list) or not tools or body.get("tool_choice") == "none" or _ends_with_result(body):
        return None
    first: Any = tools[0]
    if isinstance(first, Mapping):
        declared = first.get("functionDeclarations") or first.get("function_declarations")
        wrapped = first.get("function") or first.get("toolSpec") or first
        first = declared[0] if isinstance(declared, list) and declared else wrapped
    if not isinstance(first, Mapping) or not isinstance(first.get("name"), str):
        return None
    schema = first.get("parameters") or first.get("input_schema") or first.get("parametersJsonSchema") or {}
    if isinstance(first.get("inputSchema"), Mapping):
        schema = first["inputSchema"].get("json")
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    arguments = dict.fromkeys(properties, "lighthouse") if isinstance(properties, Mapping) else {}
    return ToolCall(first["name"], msgspec.json.encode(arguments).decode())


def _ends_with_result(body: Mapping[str, Any]) -> bool:
    turns = body.get("messages") or body.get("input") or body.get("contents")
    if not isinstance(turns, list) or not turns or not isinstance(turns[-1], Mapping):
        return False
    last = turns[-1]
    if last.get("role") == "tool" or last.get("type") == "function_call_output":
        return True
    parts = last.get("content") or last.get("parts")
    return isinstance(parts, list) and any(
        isinstance(part, Mapping)
        and (part.get("type") == "tool_result" or "functionResponse" in part or "toolResult" in part)
        for part in parts
    )


def _whole(value: object, least: int, most: int) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most else None
