"""What the simulator served, call by call, for tests and the demo to compare records with."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

#: Calls kept; older ones are forgotten (a load test makes more than anyone reads).
KEPT_CALLS = 20_000

#: Request headers whose values are kept too.  None of them is secret; of all others only the name is.
SHOWN_VALUES = frozenset(
    {
        "accept",
        "accept-encoding",
        "anthropic-beta",
        "anthropic-version",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "copilot-integration-id",
        "editor-version",
        "expect",
        "host",
        "openai-organization",
        "transfer-encoding",
        "user-agent",
        "x-goog-api-client",
        "x-initiator",
        "x-interaction-id",
        "x-request-id",
    }
)


class Call(msgspec.Struct):
    """One request as the simulator saw it.  Counts are the true ones, whether or not the answer told them."""

    #: number since the start (or the last reset), from 1
    number: int
    #: number of the connection it came on, from 1; the same number twice means it was kept alive
    connection: int
    #: the listener's name, e.g. ``openai``
    listener: str
    provider: str
    method: str
    #: without the query
    path: str
    #: names of the query parameters
    query: list[str]
    #: names, lower case, in order
    headers: list[str]
    #: values of those in `SHOWN_VALUES`
    values: dict[str, str]
    #: "ok", "wrong" or "missing": the credential compared with the expected one
    key: str
    #: the header (or ``query``) the credential came in
    key_in: str | None
    request_bytes: int = 0
    #: the request's JSON had ``stream_options.include_usage`` true
    asked_usage: bool = False
    api: str = ""
    model: str = ""
    status: int = 0
    streaming: bool = False
    #: None: not a call of a model (model lists, errors)
    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    #: the answer, read to its end, tells these counts
    reported: bool = False
    #: events (or pieces of a document) handed to the connection
    sent_events: int = 0
    #: body bytes handed to the connection, as transferred but without chunk framing
    sent_bytes: int = 0
    #: "open", "complete", "cut" (by a mode) or "aborted" (the other side went away first)
    end: str = "open"


class Ledger:
    """The calls served, oldest first."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=KEPT_CALLS)
        self._count = 0

    def open(self, **known: Any) -> Call:
        """A new call; what is not known yet is filled in on what is returned."""
        self._count += 1
        call = Call(number=self._count, **known)
        self._calls.append(call)
        return call

    def reset(self) -> None:
        """Forget all calls; numbers begin at 1 again."""
        self._calls.clear()
        self._count = 0

    @property
    def calls(self) -> list[Call]:
        """The calls kept."""
        return list(self._calls)

    def as_json(self) -> bytes:
        """The calls kept, as a JSON list."""
        return msgspec.json.encode(list(self._calls))
