"""Which request gets which answer.  Pure but for its memory of what was asked: no sockets, no clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from awfproxy.simulator import (
    chat,
    converse,
    encoders,
    errors,
    google,
    interactions,
    invoke,
    messages,
    modes,
    ollama,
    responses,
    small,
)
from awfproxy.simulator.answers import Answer, document
from awfproxy.simulator.asking import Ask, ask
from awfproxy.simulator.caches import REMEMBERING, Caches
from awfproxy.simulator.ledger import SHOWN_VALUES, Call, Ledger
from awfproxy.simulator.modes import Mode
from awfproxy.simulator.routes import DEFAULT_KEYS, Route, credential, route
from awfproxy.simulator.stored import SHAPES, Refusal, Works
from awfproxy.simulator.tokens import Figures

#: Largest decoded request body: a simulator must not fall to the bombs it helps to test.
MAX_DECODED = 256 << 20


class Received(msgspec.Struct):
    """A request, its body whole or (early answers) not read."""

    method: str
    target: str
    #: lower-case names, as received
    headers: list[tuple[bytes, bytes]]
    body: bytes
    connection: int
    listener: str
    upgrade: bool = False


class Served(msgspec.Struct):
    """What to do about a request."""

    answer: Answer
    mode: Mode
    #: None: not a provider's call (``/_sim``)
    call: Call | None
    #: the coding to apply, see `encoders.encoder`
    encoding: str


class Site:
    """The simulated providers' answers, and the ledger of what they served.

    :param keys: the expected credential of each provider; one that is missing here takes any
    :param now: seconds since 1970
    """

    def __init__(self, now: Callable[[], float], keys: Mapping[str, str] = DEFAULT_KEYS) -> None:
        self.ledger = Ledger()
        self._now = now
        self._keys = keys
        self._serial = 0
        self._works = Works()
        self._caches = Caches()

    def early(self, headers: list[tuple[bytes, bytes]]) -> Mode | None:
        """The mode as far as the head alone says it; None where it cannot be read."""
        try:
            return modes.read(headers)
        except modes.ModeError:
            return None

    def serve(self, received: Received) -> Served:
        """The answer to one request."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in received.headers}
        if received.target.startswith("/_sim/"):
            return Served(self._own(received), Mode(), None, "")
        where = route(received.target, headers, received.listener)
        body = self._body(received.body, headers.get("content-encoding", ""))
        model = where.model or str((body or {}).get("model") or "")
        call = self._open(received, where, headers)
        call.model = model
        call.asked_usage = _asks_usage(body)
        try:
            mode = modes.read(received.headers, model)
            encoding = (
                mode.encoding if mode.encoding is not None else encoders.acceptable(headers.get("accept-encoding", ""))
            )
            encoders.encoder(encoding)
        except (modes.ModeError, ValueError) as error:
            answer, mode, encoding = document({"simulator": str(error)}, status=400), Mode(), ""
        else:
            answer = self._answer(received, where, body, mode, call)
        call.status, call.streaming, call.api = answer.status, answer.streaming, where.api
        if answer.figures is not None:
            call.model, call.reported = answer.model, answer.reported and mode.error_event is None
            _note(call, answer.figures)
        answer.headers += _own_headers(where.provider, call.number)
        if mode.content_type is not None:
            answer.content_type = mode.content_type
        return Served(answer, mode, call, encoding)

    def _own(self, received: Received) -> Answer:
        """The simulator's own pages."""
        if received.target == "/_sim/calls" and received.method == "GET":
            return Answer(200, "application/json", (self.ledger.as_json(),))
        if received.target == "/_sim/reset" and received.method == "POST":
            self.ledger.reset()
            return document({"calls": 0})
        if received.target == "/_sim/ready":
            return document({"ready": True})
        return document({"simulator": "no such page; there are calls, reset and ready"}, status=404)

    def _open(self, received: Received, where: Route, headers: Mapping[str, str]) -> Call:
        given, key_in = credential(where.provider, headers, where.query)
        expected = self._keys.get(where.provider)
        verdict = "ok" if expected is None or given == expected else "missing" if given is None else "wrong"
        names = [name.decode("latin-1") for name, _ in received.headers]
        return self.ledger.open(
            connection=received.connection,
            listener=received.listener,
            provider=where.provider,
            method=received.method,
            path=where.path,
            query=list(where.query),
            headers=names,
            values={name: headers[name] for name in names if name in SHOWN_VALUES},
            key=verdict,
            key_in=key_in,
            request_bytes=len(received.body),
        )

    def _body(self, data: bytes, coding: str) -> dict[str, Any] | None:
        """The request's JSON object; None where it is none."""
        try:
            value = msgspec.json.decode(encoders.decode(data, coding, MAX_DECODED) if coding else data)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    def _answer(
        self, received: Received, where: Route, body: dict[str, Any] | None, mode: Mode, call: Call
    ) -> Answer:
        provider = where.provider
        if received.upgrade:
            return document(errors.body(provider, 400, "WebSocket is not spoken here."), status=426)
        if mode.status is not None and mode.status != 200:
            if mode.status < 400:
                return Answer(mode.status, "application/json", () if mode.status in (204, 304) else (b"{}",))
            return errors.answer(provider, mode.status, f"Simulated error {mode.status}.", mode.retry_after)
        if call.key != "ok":
            return errors.wrong_key(provider)
        if where.api == "stored":
            return self._about_stored(received.method, where, call)
        if received.method in ("GET", "HEAD"):
            if where.api == "models":
                return small.models(provider)
            return errors.answer(provider, 404, f"Nothing is served at {where.path}.")
        if not where.api:
            return errors.answer(provider, 404, f"Nothing is served at {where.path}.")
        if body is None and mode.early is None:
            return errors.answer(provider, 400, "The body is not a JSON object.")
        body = body or {}
        if where.api == "count_tokens":
            return small.count_tokens(provider, body)
        if mode.refuse_stream_options and "stream_options" in body:
            return errors.answer(provider, 400, "Unrecognized request argument supplied: stream_options")
        if mode.cache is not None and where.api not in REMEMBERING:
            return errors.answer(provider, 400, f"x-sim-cache: no cache remembers prompts of {where.api}.")
        return self._model_call(where, body, mode, call)

    def _about_stored(self, method: str, where: Route, call: Call) -> Answer:
        answer: Answer | None = None
        try:
            if method in ("GET", "HEAD") and not where.verb:
                answer = self._works.show(where.subject, where.query, call)
            elif method == "POST" and where.verb == "cancel":
                answer = self._works.cancel(where.subject, call)
            elif method == "DELETE" and not where.verb:
                answer = self._works.forget(where.subject)
        except Refusal as refusal:
            return errors.answer(where.provider, 400, str(refusal))
        return answer or errors.answer(where.provider, 404, f"Nothing is stored at {where.path}.")

    def _model_call(self, where: Route, body: dict[str, Any], mode: Mode, call: Call) -> Answer:
        self._serial += 1
        stream = bool(body.get("stream", where.api == "ollama")) or where.streams
        weighed = None if mode.cache is None else self._caches.weigh(where.api, call.model, body)
        asked = ask(where.provider, where.api, call.model, body, stream, mode, self._serial, int(self._now()), weighed)
        if where.api in SHAPES:
            self._works.keep(asked, call)
        if where.api == "generateContent":
            return google.answer(asked, where.query.get("alt") == "sse")
        if where.api not in _SHAPES:
            return errors.answer(where.provider, 404, f"Nothing is served at {where.path}.")
        return _SHAPES[where.api](asked)


#: What makes the answer, by the API.
_SHAPES: Mapping[str, Callable[[Ask], Answer]] = {
    "chat": chat.answer,
    "completions": chat.answer,
    "messages": messages.answer,
    "responses": responses.answer,
    "interactions": interactions.answer,
    "converse": converse.answer,
    "invoke": invoke.answer,
    "ollama": ollama.answer,
    "embeddings": small.embeddings,
}


def _own_headers(provider: str, number: int) -> tuple[tuple[str, str], ...]:
    """What each provider adds to every answer: its own id of the request, and what is left of the rates."""
    name = f"req_sim{number:06d}"
    if provider == "anthropic":
        return (
            ("request-id", name),
            ("anthropic-ratelimit-requests-remaining", "999"),
            ("Set-Cookie", "_cf=1; Path=/"),
        )
    if provider == "copilot":
        return (("x-request-id", name), ("x-github-request-id", name), ("x-quota-snapshot-chat", "ent=-1&rem=100.0"))
    if provider == "bedrock":
        return (("x-amzn-RequestId", name),)
    if provider in ("gemini", "vertex"):
        return (("x-request-id", name), ("Alt-Svc", 'h3=":443"; ma=2592000'), ("Server-Timing", "gfet4t7; dur=1"))
    return (
        ("x-request-id", name),
        ("openai-processing-ms", "1"),
        ("openai-version", "2020-10-01"),
        ("x-ratelimit-remaining-requests", "9999"),
        ("Alt-Svc", 'h3=":443"; ma=86400'),
        ("Set-Cookie", "__cf_bm=simulated; path=/; HttpOnly"),
    )


def _asks_usage(body: dict[str, Any] | None) -> bool:
    options = (body or {}).get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def _note(call: Call, figures: Figures) -> None:
    call.input, call.output, call.reasoning = figures.input, figures.output, figures.reasoning
    call.cache_read, call.cache_write = figures.cache_read, figures.cache_write
