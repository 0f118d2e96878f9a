"""Which provider and API a request's path belongs to, and whether it brought the right key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote

import msgspec

PROVIDERS = ("openai", "anthropic", "copilot", "gemini", "vertex", "bedrock", "groq", "mistral", "ollama")

#: The keys that the simulator expects when none are given.  They are no secrets.
DEFAULT_KEYS: Mapping[str, str] = {name: f"sim-{name}-key" for name in PROVIDERS if name != "ollama"}

_GOOGLE = re.compile(r"/models/(?P<model>[^/:]+):(?P<method>\w+)$")
_STORED = re.compile(r"/(?:responses|interactions)/(?P<id>[^/]+)(?:/(?P<verb>cancel))?$")
_BEDROCK = re.compile(r"/model/(?P<model>[^/]+)/(?P<verb>(?P<api>converse|invoke)(-stream|-with-response-stream)?)$")
_VERTEX = re.compile(r"^/v1(beta1)?/(projects|publishers)/")
#: path endings of the APIs that are told by their path alone
_ENDINGS = (
    ("/chat/completions", "chat"),
    ("/completions", "completions"),
    ("/responses", "responses"),
    ("/interactions", "interactions"),
    ("/messages/count_tokens", "count_tokens"),
    ("/messages", "messages"),
    ("/embeddings", "embeddings"),
    ("/api/chat", "ollama"),
    ("/api/generate", "ollama"),
    ("/api/tags", "models"),
    ("/models", "models"),
)


class Route(msgspec.Struct, frozen=True):
    """Where a request leads.  ``api`` is "" where nothing is served."""

    provider: str
    api: str
    #: without the query
    path: str
    query: dict[str, str]
    #: the id of a stored answer, for ``api`` "stored"
    subject: str = ""
    #: the model, where the path names it
    model: str = ""
    #: what is to be done with it, e.g. ``streamGenerateContent``, ``converse-stream``, ``cancel``
    verb: str = ""

    @property
    def streams(self) -> bool:
        """The path itself asks for a stream."""
        return self.verb.startswith("stream") or self.verb.endswith("-stream")


def route(target: str, headers: Mapping[str, str], listener: str) -> Route:
    """The route of a request target.

    :param headers: by lower-case name
    :param listener: the listener's name; a provider's name settles the provider, else the path does
    """
    path, _, query_text = target.partition("?")
    query = dict(parse_qsl(query_text, keep_blank_values=True))
    provider = listener if listener in PROVIDERS else _provider(path, headers)
    found = _GOOGLE.search(unquote(path))
    if found:
        verb = found["method"]
        api = {"generateContent": "generateContent", "streamGenerateContent": "generateContent"}.get(verb, "")
        api = "count_tokens" if verb == "countTokens" else api
        return Route(provider, api, path, query, model=found["model"], verb=verb)
    found = _BEDROCK.search(path)
    if found:
        return Route(provider, found["api"], path, query, model=unquote(found["model"]), verb=found["verb"])
    stored = _STORED.search(path)
    if stored:
        return Route(provider, "stored", path, query, stored["id"], verb=stored["verb"] or "")
    for ending, api in _ENDINGS:
        if path.endswith(ending):
            return Route(provider, api, path, query)
    return Route(provider, "", path, query)


def _provider(path: str, headers: Mapping[str, str]) -> str:
    if path.startswith("/api/"):
        return "ollama"
    if path.startswith("/model/"):
        return "bedrock"
    if _VERTEX.match(path):
        return "vertex"
    if path.startswith("/v1beta/"):
        return "gemini"
    if "/messages" in path or "x-api-key" in headers or "anthropic-version" in headers:
        return "anthropic"
    return "openai" if path.startswith("/v1/") else "copilot"


def credential(provider: str, headers: Mapping[str, str], query: Mapping[str, str]) -> tuple[str | None, str | None]:
    """The credential as the provider would look for it, and where it stood (a header's name, or ``query``)."""
    if provider == "anthropic" and "x-api-key" in headers:
        return headers["x-api-key"], "x-api-key"
    if provider in ("gemini", "vertex"):
        if "x-goog-api-key" in headers:
            return headers["x-goog-api-key"], "x-goog-api-key"
        if "key" in query:
            return query["key"], "query"
    for name in ("authorization", "api-key"):
        if name in headers:
            scheme, _, value = headers[name].partition(" ")
            return (value if scheme.lower() in ("bearer", "token") else headers[name]), name
    return None, None
