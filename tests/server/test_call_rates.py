"""Rate limits over the life of a call, told as transcripts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from awfproxy.core.budgets import Budget, Scope
from awfproxy.core.rates import RateLimits
from awfproxy.core.secret import Secret
from awfproxy.core.settings import Client
from tests.server.stage import Stage, Wire
from tests.server.test_call import ANSWER, begin, request, requests, response, split

BODY = b'{"model":"gpt-4o-mini","max_tokens":100,"messages":[]}'
#: what `ANSWER` says it used
USED = 21


def limited(**limits: int) -> Stage:
    """A port with these limits."""
    return Stage(limits=RateLimits(**limits))


def call(stage: Stage, *, answered: bool = True, body: bytes = BODY, **options: Any) -> Wire:
    """A client that sends one call."""
    client = stage.client()
    client.receive(request(body, **options))
    stage.turn()
    if answered and client.sent == b"":
        stage.upstream.receive(response(ANSWER))
        stage.turn()
    return client


def status(client: Wire) -> int:
    """Of what the client got."""
    return int(client.sent.split(b" ", 2)[1])


def error(client: Wire) -> dict[str, Any]:
    """What it was refused with."""
    found: dict[str, Any] = json.loads(split(client.sent)[1])["error"]
    return found


@pytest.mark.parametrize(("name", "seconds"), [("requests_per_minute", 61), ("requests_per_hour", 3_660)])
def test_so_many_requests_and_no_more(name: str, seconds: int) -> None:
    """Refused with the time to wait; let in again when that has passed."""
    stage = limited(**{name: 3})
    assert [status(call(stage)) for _ in range(4)] == [200, 200, 200, 429]
    refused = call(stage)
    head, _ = split(refused.sent)
    told = error(refused)
    assert (told["type"], told["code"], told["limit"]) == ("rate_limit_error", name, 3)
    assert b"X-RateLimit-Limit: 3\r\n" in head
    assert b"X-RateLimit-Remaining: 0\r\n" in head
    assert b"X-RateLimit-Reset: %d\r\n" % (1_800_000_000 + seconds) in head + b"\r\n"
    assert (b"x-should-retry: false" in head) is (seconds > 61)
    wait = told["retry_after"]
    stage.clock.advance(wait - 1.5)
    early = call(stage)
    assert status(early) == 429
    stage.clock.advance(1.5)
    stage.clock.advance(seconds / 61)
    assert status(call(stage)) == 200
    assert stage.port.tally.rate_limited == {("port", name): 3}
    assert [record["refusal_code"] for record in requests(stage) if record["outcome"] == "refused"] == [name] * 3


def test_bytes_of_bodies() -> None:
    """As they came; a body that is more than the whole limit is not to be sent again."""
    stage = limited(bytes_per_minute=2 * len(BODY))
    assert [status(call(stage)) for _ in range(3)] == [200, 200, 429]
    large = call(stage, body=BODY + b" " * 2 * len(BODY))
    assert b"x-should-retry: false" in large.sent
    assert error(large)["window"] == "per_minute_bytes"


def test_tokens_are_estimated_and_put_right() -> None:
    """The estimate counts while the call runs, and what it used when it has ended."""
    stage = limited(tokens_per_minute=300)
    call(stage, answered=False)
    assert status(call(stage)) == 429, "two may use 172 each"
    stage.upstream.receive(response(ANSWER))
    stage.turn()
    served = 1
    while status(call(stage)) == 200:
        served += 1
    assert served > 3, "by their estimates there would be one"
    assert served * USED <= 300


def test_a_call_that_used_nothing_gives_its_tokens_back() -> None:
    """The provider refused it."""
    stage = limited(tokens_per_minute=250)
    for _ in range(5):
        call(stage, answered=False)
        stage.upstream.receive(response(b"{}", head=b"HTTP/1.1 400 Bad\r\n"))
        stage.turn()
    assert [record["status"] for record in requests(stage)] == [400] * 5


def test_calls_at_a_time() -> None:
    """One that ends, however, makes room."""
    stage = limited(concurrent_requests=2)
    _, upstream = begin(stage, request(BODY))
    leaving = call(stage, answered=False)
    refused = call(stage)
    assert (status(refused), error(refused)["window"]) == (429, "concurrent")
    assert b"Retry-After: 1\r\n" in refused.sent
    for room in (lambda: upstream.receive(response(ANSWER)), leaving.end):
        room()
        stage.turn()
        assert call(stage, answered=False).sent == b""
        assert status(call(stage)) == 429


def test_what_is_no_model_call_counts_too() -> None:
    """As a request, and not in tokens."""
    stage = limited(requests_per_minute=2, tokens_per_minute=1)
    for expected in (200, 200, 429):
        client = call(stage, body=b"", path=b"/v1/models", method=b"GET")
        assert status(client) == expected


def test_a_refused_call_counts_nowhere() -> None:
    """Neither in the limit that refused it nor in the others."""
    stage = limited(requests_per_minute=100, bytes_per_minute=len(BODY))
    for _ in range(150):
        call(stage)
    stage.clock.advance(61.5)
    assert status(call(stage)) == 200


def test_a_users_limits_stand_beside_the_ports() -> None:
    """A call must pass both; another user is not held up."""
    clients = (
        Client(name="a", key=Secret("alice-key-0123456789"), user="alice", limits=RateLimits(requests_per_minute=1)),
        Client(name="b", key=Secret("bob-key-0123456789ab"), user="bob"),
    )
    stage = Stage(limits=RateLimits(requests_per_minute=3), clients=clients)
    alice: dict[str, Any] = {"headers": b"x-api-key: alice-key-0123456789\r\n"}
    bob: dict[str, Any] = {"headers": b"x-api-key: bob-key-0123456789ab\r\n"}
    assert status(call(stage, **alice)) == 200
    refused = call(stage, **alice)
    assert (status(refused), error(refused)["scope"]) == (429, "user")
    assert [status(call(stage, **bob)) for _ in range(3)] == [200, 200, 429]
    assert stage.port.tally.rate_limited == {("user", "requests_per_minute"): 1, ("port", "requests_per_minute"): 1}


def test_two_clients_of_one_user_share_its_limits() -> None:
    """They are the user's."""
    limits = RateLimits(requests_per_minute=1)
    clients = tuple(
        Client(name=name, key=Secret(f"{name}-key-0123456789ab"), user="alice", limits=limits) for name in ("one", "two")
    )
    stage = Stage(clients=clients)
    assert status(call(stage, headers=b"x-api-key: one-key-0123456789ab\r\n")) == 200
    assert status(call(stage, headers=b"x-api-key: two-key-0123456789ab\r\n")) == 429


@pytest.mark.parametrize("name", ["requests_per_minute", "tokens_per_minute"])
def test_rates_are_looked_at_before_upper_bounds(name: str) -> None:
    """A call without a bound is told of the rate first; refused for either, it counts in none."""
    limits = RateLimits(requests_per_minute=1) if name == "requests_per_minute" else RateLimits(tokens_per_minute=USED)
    strict = Budget(enabled=True, mode="strict", soft_cap_tokens=0, hard_cap_tokens=100_000)
    stage = Stage(limits=limits, budgets={Scope("main"): strict}, include_usage="off")
    unbounded = b'{"model":"llama9","messages":[]}'
    if name == "requests_per_minute":
        assert error(call(stage, body=unbounded))["code"] == "estimate-unbounded"
        assert status(call(stage)) == 200
    before = dict(stage.port.tally.budget_decisions)
    assert error(call(stage, body=unbounded))["code"] == name
    assert stage.port.tally.budget_decisions == before
