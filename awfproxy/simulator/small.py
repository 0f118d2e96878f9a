"""The small APIs: embeddings, token counting, lists of models.  Of these only embeddings use tokens."""

from __future__ import annotations

import base64
import struct
from typing import Any

from awfproxy.simulator.answers import Answer, as_json, document
from awfproxy.simulator.asking import Ask
from awfproxy.simulator.tokens import prompt_tokens

#: Numbers in a simulated embedding, unless the request asks for more or less.
DIMENSIONS = 8

MODELS = {
    "openai": ("gpt-4o-mini", "gpt-4o", "gpt-5-mini", "text-embedding-3-small"),
    "copilot": ("gpt-4o", "gpt-5-mini", "claude-sonnet-4"),
    "anthropic": ("claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001"),
    "gemini": ("gemini-2.5-flash", "gemini-2.0-flash"),
    "vertex": ("gemini-2.5-flash",),
    "bedrock": ("amazon.nova-lite-v1:0", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    "ollama": ("llama3.2",),
}


def embeddings(ask: Ask) -> Answer:
    """One vector for each input; usage has only a prompt (platform.openai.com/docs/api-reference/embeddings)."""
    asked = ask.body.get("input")
    count = len(asked) if isinstance(asked, list) and asked and not isinstance(asked[0], int) else 1
    size = ask.body.get("dimensions")
    vector = [0.125] * (size if isinstance(size, int) and 0 < size <= 4096 else DIMENSIONS)
    shown: Any = vector
    if ask.body.get("encoding_format") == "base64":
        shown = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    value: dict[str, Any] = {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": shown} for index in range(count)],
        "model": ask.model,
    }
    if ask.says_usage:
        value["usage"] = {"prompt_tokens": ask.figures.input, "total_tokens": ask.figures.input}
    return Answer(
        200,
        "application/json",
        (as_json(value, 2),),
        api=ask.api,
        model=ask.model,
        figures=ask.figures,
        reported=ask.says_usage,
    )


def count_tokens(provider: str, body: dict[str, Any]) -> Answer:
    """How many tokens a prompt would have: a figure that was not spent."""
    count = prompt_tokens(body)
    if provider == "anthropic":
        return document({"input_tokens": count})
    return document(
        {"totalTokens": count, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": count}]}, indent=2
    )


def models(provider: str) -> Answer:
    """The list of models, in the provider's shape."""
    names = MODELS.get(provider, MODELS["openai"])
    if provider == "anthropic":
        listed = [
            {"type": "model", "id": name, "display_name": name, "created_at": "2025-09-29T00:00:00Z"} for name in names
        ]
        return document({"data": listed, "has_more": False, "first_id": names[0], "last_id": names[-1]})
    if provider in ("gemini", "vertex"):
        methods = ["generateContent", "countTokens"]
        return document(
            {"models": [{"name": f"models/{name}", "supportedGenerationMethods": methods} for name in names]}, indent=2
        )
    if provider == "ollama":
        return document({"models": [{"name": name, "model": name} for name in names]})
    plain = [{"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "system"} for name in names]
    return document({"object": "list", "data": plain}, indent=2)
