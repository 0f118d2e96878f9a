"""What the provider sends on the wire, and what the client gets through the proxy: the same body, and its record.

Each mode of the simulator is asked for twice, directly and through the proxy, both real processes.  What the answer
has of its own (ids, times) is blanked before the bodies are compared.
"""

from __future__ import annotations

import http.client
import itertools
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from awfproxy.simulator.processes import SimulatorProcess
from awfproxy.simulator.routes import DEFAULT_KEYS
from awfproxy.simulator.setting import Setting
from tests.processes import simulated

QUESTION = {"messages": [{"role": "user", "content": "one two three"}]}
MESSAGES: dict[str, Any] = {"model": "claude-simulated", "max_tokens": 50} | QUESTION
CHAT: dict[str, Any] = {"model": "gpt-4o"} | QUESTION
RESPONSES: dict[str, Any] = {"model": "gpt-5-mini", "input": "one two three"}
APIS = {
    "chat": ("openai", "/v1/chat/completions", CHAT),
    "chat stream": (
        "openai",
        "/v1/chat/completions",
        CHAT | {"stream": True, "stream_options": {"include_usage": True}},
    ),
    "responses stream": ("openai", "/v1/responses", RESPONSES | {"stream": True}),
    "messages": ("anthropic", "/v1/messages", MESSAGES),
    "messages stream": ("anthropic", "/v1/messages", MESSAGES | {"stream": True}),
    "gemini stream": (
        "gemini",
        "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        {"contents": [{"role": "user", "parts": [{"text": "one two three"}]}]},
    ),
    "interactions stream": (
        "gemini",
        "/v1beta/interactions",
        {"model": "gemini-2.5-flash", "input": "one two three", "stream": True},
    ),
    "converse stream": (
        "bedrock",
        "/model/amazon.nova-lite-v1%3A0/converse-stream",
        {"messages": [{"role": "user", "content": [{"text": "one two three"}]}]},
    ),
}
#: Modes that change lines of text, which a binary stream does not have.
OF_LINES = ("lines=cr", "lines=crlf", "comments=1")
#: Ways to send a whole answer: the client gets it whole, and the record is exact.
WHOLE = [
    "",
    "pace=2",
    "split=1",
    "split=7",
    "split-wire=3",
    "framing=close",
    "framing=length",
    "framing=chunked",
    "interim=103",
    "trailers=1",
    "idle-close=0",
    "idle-close=5",
    "next=fin",
    "next=rst",
    "lines=cr",
    "lines=crlf",
    "comments=1",
    "content-type=text/plain",
    "read-delay=50",
    "first-byte=50",
    "big-body=2",
    "big-line=2",
]
_OWN = re.compile(rb'sim\d+|("created"|"created_at"):\d+|("created"|"updated"):"[^"]+"')
_serial = itertools.count(1)


class Got(msgspec.Struct):
    """An answer as a client had it."""

    #: None: no answer
    status: int | None
    body: bytes
    #: the body came to its end
    whole: bool
    headers: dict[str, str]


def call(port: int, path: str, body: dict[str, Any], headers: dict[str, str]) -> Got:
    """One call, read as far as it goes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"} | headers)
        response = connection.getresponse()
        told = {name.lower(): value for name, value in response.getheaders()}
        try:
            return Got(response.status, response.read(), True, told)
        except http.client.IncompleteRead as error:
            return Got(response.status, error.partial, False, told)
    except (http.client.HTTPException, OSError):
        return Got(None, b"", False, {})
    finally:
        connection.close()


class Pair:
    """A simulator, and a proxy in front of it."""

    def __init__(self, simulator: SimulatorProcess, setting: Setting) -> None:
        self._simulator = simulator
        self._setting = setting

    def both(self, api: str, mode: str, *, drop: tuple[str, ...] = ()) -> tuple[Got, Got, dict[str, Any]]:
        """The direct answer, the one through the proxy, and the line in requests.jsonl of the latter."""
        provider, path, body = APIS[api]
        body = {name: value for name, value in body.items() if name not in drop}
        modes = {"x-sim-" + name: value for name, _, value in (m.partition("=") for m in mode.split(";") if m)}
        key = DEFAULT_KEYS[provider]
        keys = {"Authorization": f"Bearer {key}", "x-api-key": key, "x-goog-api-key": key}
        # http.client takes an interim answer for the final one.
        plain = {name: value for name, value in modes.items() if name != "x-sim-interim"}
        direct = call(self._simulator.ports[provider], path, body, keys | plain)
        name = f"through-{next(_serial)}"
        got = call(self._setting.ports[provider], path, body, modes | {"X-Request-ID": name})
        return direct, got, self.record(name)

    def record(self, name: str) -> dict[str, Any]:
        """The one line of a call; waits for it where the client did not see the end."""
        deadline = time.monotonic() + 5
        while True:
            found = [line for line in self._setting.records("requests") if line.get("client_request_id") == name]
            if found or time.monotonic() > deadline:
                assert len(found) == 1
                return found[0]
            time.sleep(0.02)


@pytest.fixture(scope="module", params=["uvloop", "epoll"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both processes, for all tests of this module, on each of the reactors."""
    twistd = ("--reactor=epoll",) if request.param == "epoll" else ()
    with simulated(tmp_path_factory.mktemp("through"), twistd) as (simulator, _, setting):
        yield Pair(simulator, setting)


def blanked(body: bytes) -> bytes:
    """The body without what is each answer's own."""
    return _OWN.sub(b"-", body)


@pytest.mark.parametrize(
    ("api", "mode"),
    [(api, mode) for api in APIS for mode in WHOLE if not (api == "converse stream" and mode in OF_LINES)],
)
def test_whole_answers(pair: Pair, api: str, mode: str) -> None:
    """However it is sent: byte for byte what was sent, complete, and the usage exact."""
    direct, got, record = pair.both(api, mode)
    assert (got.status, got.whole) == (direct.status, True) == (200, True)
    assert blanked(got.body) == blanked(direct.body)
    assert (record["outcome"], record["usage_source"]) == ("complete", "reported")
    assert record["response_bytes"] <= len(got.body)


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate", "raw-deflate", "gzip, br"])
@pytest.mark.parametrize("api", APIS)
def test_compressed_answers(pair: Pair, api: str, encoding: str) -> None:
    """Passed on as they came, in any coding, and read on the side."""
    _, got, record = pair.both(api, f"encoding={encoding}")
    assert (got.status, got.whole) == (200, True)
    assert got.headers["content-encoding"] == encoding.replace("raw-", "")
    assert (record["outcome"], record["usage_source"]) == ("complete", "reported")


@pytest.mark.parametrize("mode", ["", "pace=2", "split=1", "split=7", "split=300", "lines=crlf", "comments=1"])
def test_the_usage_that_was_not_asked_for(pair: Pair, mode: str) -> None:
    """The one event that the proxy asked for is taken out, whole and alone, however the stream is cut."""
    _, got, record = pair.both("chat stream", mode, drop=("stream_options",))
    text = got.body.replace(b"\r\n", b"\n")
    chunks = [json.loads(line[6:]) for line in text.split(b"\n") if line.startswith(b"data: {")]
    assert [len(chunk["choices"]) for chunk in chunks] == [1] * 14
    assert all(chunk["usage"] is None for chunk in chunks)
    assert text.endswith(b"data: [DONE]\n\n")
    assert b"\n\n\n" not in text
    assert (record["outcome"], record["usage_source"]) == ("complete", "reported")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 500, 529])
@pytest.mark.parametrize("early", ["", ";early=read", ";early=close"])
@pytest.mark.parametrize("api", ["chat stream", "messages"])
def test_the_providers_errors(pair: Pair, api: str, early: str, status: int) -> None:
    """As they came, also where the provider answers before it has read the body; nothing was used."""
    direct, got, record = pair.both(api, f"status={status};retry-after=3{early}")
    assert (got.status, blanked(got.body)) == (status, blanked(direct.body))
    assert got.headers["retry-after"] == "3"
    assert (record["outcome"], record["usage_source"], record["status"]) == ("complete", "none", status)


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("api", [api for api in APIS if api.endswith("stream")])
def test_streams_that_are_cut(pair: Pair, api: str, how: str) -> None:
    """The client gets what came and can tell that it is not all; what was reported so far is kept."""
    direct, got, record = pair.both(api, f"cut=3;cut-how={how}")
    assert (got.status, got.whole) == (200, False)
    if how == "fin":
        assert blanked(got.body) == blanked(direct.body)
    assert record["outcome"] == "upstream_cut"
    assert record["usage_source"] == ("partial" if api in ("messages stream", "gemini stream") else "estimated")


@pytest.mark.parametrize("mode", ["cut=before", "cut=before;cut-how=rst"])
def test_no_answer_at_all(pair: Pair, mode: str) -> None:
    """A new connection that closes without a byte is not tried again: 502 in the provider's shape."""
    _, got, record = pair.both("messages", mode)
    assert got.status == 502
    assert json.loads(got.body)["type"] == "error"
    assert record["outcome"] == "upstream_failed"


def test_a_connection_that_closed_under_us(pair: Pair) -> None:
    """An idle connection that the provider drops as it is used again: one more attempt, and the client sees nothing."""
    pair.both("messages", "next=fin")
    _, got, record = pair.both("messages", "")
    assert got.status == 200
    assert record["attempts"] == 2


@pytest.mark.parametrize("length", ["10", "-10"])
def test_lengths_that_lie(pair: Pair, length: str) -> None:
    """A body that is shorter than it was said to be is not passed off as whole; surplus bytes go nowhere."""
    direct, got, record = pair.both("messages", f"length={length}")
    assert got.whole is (length == "-10")
    assert blanked(got.body)[:300] == blanked(direct.body)[:300]
    assert record["outcome"] == ("complete" if length == "-10" else "upstream_cut")
    _, after, _ = pair.both("messages", "")
    assert after.status == 200
