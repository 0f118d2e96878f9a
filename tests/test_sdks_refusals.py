"""Refusals of limits, budgets and clients' keys, as the official SDKs take them.

A budget's is raised at once, a rate's waited for as long as it says.  Proxy and simulator are real processes.  What the
SDKs did is counted in the proxy's records, one for each request.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from awfproxy.simulator.setting import Setting
from tests.processes import simulated

KEY = "client-key-0123456789"
QUESTION = "How many ships passed the lighthouse last night ?"
PROVIDERS = ("openai", "anthropic")
SPENT_UP = 'budget = { enabled = true, period = "month", mode = "strict", soft_cap_tokens = 1, hard_cap_tokens = 10 }'
#: of limits the only one whose time to wait is short
BUSY = "limits = { concurrent_requests = 1 }"
#: times to wait of at most a minute, and of more
A_MINUTE = "limits = { requests_per_minute = 1 }"
AN_HOUR = "limits = { requests_per_hour = 1 }"
#: fits what two calls use, and not what two calls reserve at once
NARROW = 'budget = { enabled = true, period = "month", mode = "strict", soft_cap_tokens = 1000, hard_cap_tokens = 1000 }'
CLIENTS = 'clients = { ci = { key = { file = "DIRECTORY/client.key" } } }'
#: seconds that the simulator takes over an answer; less than the second after which a call may come again
SLOW = 0.6


@pytest.fixture
def setting(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Setting]:
    """A proxy whose ports have the options of the test's parameter."""
    key = tmp_path / "client.key"
    key.write_text(KEY)
    key.chmod(0o600)
    options = request.param.replace("DIRECTORY", str(tmp_path))
    impatient = "admission_wait = 0"
    with simulated(tmp_path, providers=PROVIDERS, service=impatient, port_options=options) as (_, _, setting):
        yield setting


def ask(setting: Setting, provider: str, key: str = KEY) -> str:
    """One call of a provider's SDK, which by itself tries up to three times."""
    sdk = pytest.importorskip(provider)
    messages = [{"role": "user", "content": QUESTION}]
    if provider == "openai":
        with sdk.OpenAI(base_url=setting.url(provider) + "/v1", api_key=key) as client:
            answer = client.chat.completions.create(model="gpt-4o-mini", max_tokens=50, messages=messages)
        return str(answer.choices[0].message.content)
    with sdk.Anthropic(base_url=setting.url(provider), api_key=key) as client:
        answer = client.messages.create(model="claude-simulated", max_tokens=50, messages=messages)
    return str(answer.content[0].text)


class Sleeps:
    """An SDK's `time`, which notes how long it would have slept, and does not."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@contextmanager
def running(setting: Setting, provider: str) -> Iterator[None]:
    """A call runs, for `SLOW` seconds."""
    slow = http.client.HTTPConnection("127.0.0.1", setting.ports[provider], timeout=10)
    events = 12
    body = {"model": "gpt-4o-mini", "stream": True, "max_tokens": 50, "messages": [{"role": "user", "content": QUESTION}]}
    path = "/v1/chat/completions" if provider == "openai" else "/v1/messages"
    headers = {"x-sim-pace": str(int(SLOW / events * 1000)), "x-sim-events": str(events)}
    slow.request("POST", path, json.dumps(body), {"Content-Type": "application/json"} | headers)
    answer = slow.getresponse()
    assert answer.status == 200
    answer.read1(1)
    yield
    answer.read()
    slow.close()


def requests(setting: Setting) -> list[tuple[Any, Any]]:
    """Status and code of each request that the proxy saw."""
    return [(line["status"], line.get("refusal_code")) for line in setting.records("requests")]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("setting", [SPENT_UP], indirect=True, ids=["spent up"])
def test_a_budget_refusal_is_raised_at_once(setting: Setting, provider: str) -> None:
    """One request, and the error says what it is."""
    sdk = pytest.importorskip(provider)
    with pytest.raises(sdk.RateLimitError) as raised:
        ask(setting, provider)
    assert requests(setting) == [(429, "estimated-exceeds-cap")]
    error = raised.value.response.json()["error"]
    assert (error["type"], error["cap_tokens"], error["used_tokens"]) == ("budget_exceeded", 10, 0)
    assert "token budget of this port" in str(raised.value)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("setting", "code"), [(BUSY, "concurrent_requests"), (NARROW, "cap-reserved")], indirect=["setting"], ids=["busy", "reserved"]
)
def test_what_will_pass_soon_is_waited_for(setting: Setting, provider: str, code: str) -> None:
    """As long as it says; then the call goes through."""
    with running(setting, provider):
        began = time.monotonic()
        assert ask(setting, provider).startswith("The keeper")
        assert 1.0 <= time.monotonic() - began < 10
    assert sorted(requests(setting), key=str) == [(200, None), (200, None), (429, code)]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("setting", [A_MINUTE], indirect=True, ids=["a minute"])
def test_a_minute_is_waited_for(setting: Setting, provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time as long as the refusal says, which is never more than the 60 seconds that SDKs take."""
    sdk = pytest.importorskip(provider)
    ask(setting, provider)
    monkeypatch.setattr(sdk._base_client, "time", sleeps := Sleeps())
    with pytest.raises(sdk.RateLimitError) as raised:
        ask(setting, provider)
    assert requests(setting) == [(200, None)] + [(429, "requests_per_minute")] * 3
    told = float(raised.value.response.headers["retry-after"])
    assert len(sleeps.seconds) == 2
    assert all(told <= seconds <= 60 for seconds in sleeps.seconds)
    assert told > 50


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("setting", [AN_HOUR], indirect=True, ids=["an hour"])
def test_an_hour_is_not_waited_for(setting: Setting, provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is the call repeated blindly: one request, and its error tells when to come again."""
    sdk = pytest.importorskip(provider)
    ask(setting, provider)
    monkeypatch.setattr(sdk._base_client, "time", sleeps := Sleeps())
    with pytest.raises(sdk.RateLimitError) as raised:
        ask(setting, provider)
    assert requests(setting) == [(200, None), (429, "requests_per_hour")]
    assert sleeps.seconds == []
    assert 60 < float(raised.value.response.headers["retry-after"]) <= 3600


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("setting", [CLIENTS], indirect=True, ids=["clients"])
def test_clients_keys(setting: Setting, provider: str) -> None:
    """The SDK presents its key in its own way; a wrong one is an authentication error, and not tried again."""
    sdk = pytest.importorskip(provider)
    assert ask(setting, provider).startswith("The keeper")
    with pytest.raises(sdk.AuthenticationError):
        ask(setting, provider, "another-key-0123456789")
    assert requests(setting) == [(200, None), (401, "client_key_unknown")]
    assert [record["user"] for record in setting.records()] == ["ci"]
