"""Readers for the tests: an answer's body as the events or documents in it."""

from __future__ import annotations

import json
from typing import Any

from awfproxy.simulator.answers import Answer
from awfproxy.simulator.routes import DEFAULT_KEYS
from awfproxy.simulator.site import Received, Served, Site

KEY_HEADERS = {
    "openai": (b"authorization", b"Bearer sim-openai-key"),
    "copilot": (b"authorization", b"token sim-copilot-key"),
    "anthropic": (b"x-api-key", b"sim-anthropic-key"),
    "gemini": (b"x-goog-api-key", b"sim-gemini-key"),
    "vertex": (b"x-goog-api-key", b"sim-vertex-key"),
    "bedrock": (b"authorization", b"Bearer sim-bedrock-key"),
    "groq": (b"authorization", b"Bearer sim-groq-key"),
    "mistral": (b"authorization", b"Bearer sim-mistral-key"),
    "ollama": (b"accept", b"*/*"),
}
assert set(KEY_HEADERS) >= set(DEFAULT_KEYS)


def serve(
    provider: str,
    path: str,
    body: dict[str, Any] | None,
    headers: dict[str, str] | None = None,
    site: Site | None = None,
    method: str | None = None,
) -> Served:
    """What the site answers to one request with the right key; by default a POST if there is a body, else a GET."""
    fields = [KEY_HEADERS[provider]] + [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    return (site or Site(lambda: 1_700_000_000.0)).serve(
        Received(
            method=method or ("GET" if body is None else "POST"),
            target=path,
            headers=fields,
            body=b"" if body is None else json.dumps(body).encode(),
            connection=1,
            listener=provider,
        )
    )


def whole(answer: Answer) -> bytes:
    """The whole body."""
    return b"".join(answer.pieces)


def events(body: bytes) -> list[dict[str, Any]]:
    """The JSON of the events of a stream, [DONE] left out; independent of line ends."""
    text = body.decode().replace("\r\n", "\n").replace("\r", "\n")
    found = []
    for event in text.split("\n\n"):
        data = [line[6:] for line in event.split("\n") if line.startswith("data: ")]
        if data and data != ["[DONE]"]:
            found.append(json.loads("\n".join(data)))
    return found
