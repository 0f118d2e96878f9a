"""Other settings of a port while calls run, as transcripts: who goes by what."""

from __future__ import annotations

from awfproxy.core.rates import RateLimits
from awfproxy.core.secret import Secret
from awfproxy.core.settings import Client, Upstream
from tests.server.stage import Stage, Wire
from tests.server.test_call import ANSWER as MESSAGE
from tests.server.test_call import begin, request, requests, response, split
from tests.server.test_call_budgets import BODY, BOUND, USED, allowance, call, staged, strict

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}'
OTHER = Upstream("http", "other.test", 80, "/v1")


def ask(client: Wire, headers: bytes = b"") -> None:
    """One request on a connection."""
    client.receive(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n%b\r\n" % headers)


def key_in(upstream: Wire) -> bytes:
    """The key of the request that the upstream got last."""
    return upstream.sent.rpartition(b"Authorization: Bearer ")[2].split(b"\r\n")[0]


def test_running_calls_keep_their_settings_and_new_ones_have_others() -> None:
    """On the same connection of the client too; the way upstream is the same, so its connections are."""
    stage = Stage()
    first, kept = stage.client(), stage.client()
    ask(kept)
    stage.turn()
    stage.upstream.receive(ANSWER)
    stage.turn()
    assert kept.take().endswith(b"{}")
    ask(first)
    stage.turn()
    running = stage.upstream
    assert key_in(running) == b"sk-real" and len(stage.wires.dialled) == 1
    stage.change(credential=Secret("sk-new"))
    ask(kept)
    stage.turn()
    assert len(stage.wires.dialled) == 2 and key_in(stage.upstream) == b"sk-new"
    stage.upstream.receive(ANSWER)
    running.receive(ANSWER)
    stage.turn()
    assert first.take().endswith(b"{}") and kept.take().endswith(b"{}")
    assert stage.port.pool.counts == {"idle": 2, "busy": 0} and not stage.port.calls
    assert [record["outcome"] for record in requests(stage)] == ["complete"] * 3


def test_another_upstream_has_connections_of_its_own() -> None:
    """What is idle on the way to the old one is closed, what is busy after its call; both are in the figures."""
    stage = Stage()
    idle, busy = stage.client(), stage.client()
    ask(idle)
    ask(busy)
    stage.turn()
    old, running = stage.wires.dialled
    old.receive(ANSWER)
    stage.turn()
    stage.change(upstream=OTHER)
    assert old.closed and not running.closed
    ask(idle)
    stage.turn()
    assert len(stage.wires.dialled) == 3 and b"Host: other.test" in stage.upstream.sent
    stage.entrance.sweep(stage.clock.seconds())
    assert stage.port.tally.connections_busy == 2
    running.receive(ANSWER)
    stage.turn()
    assert running.closed and busy.take().endswith(b"{}")
    old.end()
    running.end()
    stage.entrance.sweep(stage.clock.seconds())
    assert stage.port.tally.connections_busy == 1
    stage.upstream.receive(ANSWER)
    stage.turn()
    assert idle.sent.endswith(b"{}")


def test_what_was_counted_stays() -> None:
    """Under another figure; a limit that is new begins at 0; calls at a time too, whoever let them in."""
    stage = Stage(limits=RateLimits(requests_per_minute=10, concurrent_requests=2))
    clients = [stage.client() for _ in range(3)]
    ask(clients[0])
    ask(clients[1])
    stage.turn()
    stage.change(limits=RateLimits(requests_per_minute=3, concurrent_requests=2, requests_per_hour=50))
    ask(clients[2])
    stage.turn()
    assert b" 429 " in clients[2].take(), "two run"
    stage.wires.dialled[0].receive(ANSWER)
    stage.turn()
    ask(clients[2])
    stage.turn()
    stage.wires.dialled[0].receive(ANSWER)
    stage.turn()
    assert b" 200 " in clients[2].take()
    ask(clients[2])
    stage.turn()
    refused = clients[2].take()
    assert b" 429 " in refused and b"requests_per_minute" in refused
    stage.change(limits=RateLimits())
    ask(clients[2])
    stage.turn()
    assert not clients[2].take(), "it is on its way"


def test_other_clients() -> None:
    """A key that is taken away is none from the next request on, also on a connection that stands."""
    one = Client(name="a", key=Secret("key-of-a-0123456789"), user="a")
    stage = Stage(clients=(one,))
    client = stage.client()
    ask(client, b"X-Api-Key: key-of-a-0123456789\r\n")
    stage.turn()
    stage.change(clients=(Client(name="b", key=Secret("key-of-b-0123456789"), user="b"),))
    stage.upstream.receive(ANSWER)
    stage.turn()
    assert b" 200 " in client.take()
    ask(client, b"X-Api-Key: key-of-a-0123456789\r\n")
    stage.turn()
    assert b" 401 " in client.take()
    ask(client, b"X-Api-Key: key-of-b-0123456789\r\n")
    stage.turn()
    stage.upstream.receive(ANSWER)
    stage.turn()
    assert b" 200 " in client.take()


def test_the_same_settings_are_no_others() -> None:
    """Nothing is made."""
    stage = Stage()
    assert stage.entrance.prepare(stage.port.settings, stage.port.service) is None


def test_a_closed_entrance() -> None:
    """Connections without a call are closed; the running call ends well and its connection with it; then nothing is
    left."""
    stage = Stage()
    idle, busy, late = stage.client(), stage.client(), stage.client()
    ask(busy)
    late.receive(b"GET /v1/mod")
    stage.turn()
    stage.entrance.close()
    assert idle.closed
    stage.upstream.receive(ANSWER)
    stage.turn()
    answer = busy.take()
    assert b" 200 " in answer and b"Connection: close" in answer and busy.half_closed
    assert late.closed, "no head was whole"
    assert stage.upstream.closed, "no connection is kept"
    assert not stage.entrance.over
    for wire in (idle, busy, late, stage.upstream):
        wire.end()
    stage.entrance.sweep(stage.clock.seconds())
    assert stage.entrance.over
    assert stage.port.tally.models, "what was counted stays"
    assert not stage.port.tally.budgets


def test_a_closed_entrance_may_be_opened_again() -> None:
    """Also while something of it is left: with connections of its own."""
    stage = Stage()
    busy = stage.client()
    ask(busy)
    stage.turn()
    stage.entrance.close()
    port = stage.entrance.prepare(stage.port.settings, stage.port.service)
    assert port is not None
    stage.entrance.take(port)
    fresh = stage.client()
    ask(fresh)
    stage.turn()
    stage.upstream.receive(ANSWER)
    stage.turn()
    answer = fresh.take()
    assert b" 200 " in answer and b"Connection: close" not in answer
    assert stage.port.pool.counts == {"idle": 1, "busy": 0}


def test_who_came_where_nobody_listens_any_more() -> None:
    """One more answer, with which the connection ends; one that runs goes by what its head said."""
    stage = Stage()
    idle, busy = stage.client(), stage.client()
    ask(busy)
    stage.turn()
    stage.upstream.receive(ANSWER[:-1])
    stage.turn()
    stage.entrance.send_on()
    assert not idle.closed
    stage.upstream.receive(ANSWER[-1:])
    stage.turn()
    assert b"Connection: close" not in busy.take() and not busy.half_closed
    for client in (idle, busy):
        ask(client)
        stage.turn()
        stage.upstream.receive(ANSWER)
        stage.turn()
        answer = client.take()
        assert b" 200 " in answer and b"Connection: close" in answer and client.half_closed
    fresh = stage.client()
    ask(fresh)
    stage.turn()
    stage.upstream.receive(ANSWER)
    stage.turn()
    assert b"Connection: close" not in fresh.take()


def test_another_provider_has_counters_of_its_own() -> None:
    """Those of the one before stay, with nothing that tells of now."""
    stage = Stage()
    client = stage.client()
    ask(client)
    stage.turn()
    before = stage.port.tally
    stage.change(provider="anthropic")
    assert stage.port.tally is not before and stage.port.tally.provider == "anthropic"
    assert before.in_flight == 1 and before.connections_busy == 0
    stage.upstream.receive(ANSWER)
    stage.turn()
    assert before.in_flight == 0 and sum(sum(model.requests.values()) for model in before.models.values()) == 1
    stage.change(provider="openai")
    assert stage.port.tally is before


def test_a_request_that_comes_to_a_closed_entrance() -> None:
    """Sent ahead before it was closed: refused so that it is repeated elsewhere."""
    stage = Stage()
    client = stage.client()
    client.receive(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{")
    stage.turn()
    late = stage.client()
    stage.entrance.close()
    late.receive(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
    stage.turn()
    assert not late.sent, "it was closed before"
    client.receive(b"}")
    stage.turn()
    stage.upstream.receive(ANSWER)
    stage.turn()
    answer = client.take()
    assert b" 200 " in answer and b"Connection: close" in answer, "a call that had begun"
    fresh = stage.client()
    ask(fresh)
    stage.turn()
    refused = fresh.take()
    assert b" 503 " in refused and b"Connection: close" in refused


def test_who_waits_for_a_budget_goes_on_waiting() -> None:
    """In the line in which those stand that come under other settings; room that one makes is there for both."""
    stage = staged(strict(BOUND + 2 * USED))
    _, upstream = begin(stage, request(BODY))
    before = call(stage)
    stage.change(idle_timeout=7.0)
    after = call(stage)
    assert not before.take() and not after.take() and len(stage.port.admission.line(allowance(stage))) == 2
    for _ in range(3):
        upstream.receive(response(MESSAGE))
        stage.turn()
    assert split(before.take())[1] == split(after.take())[1] == MESSAGE
    assert [record["outcome"] for record in requests(stage)] == ["complete"] * 3


def test_who_waited_at_a_port_that_is_gone_is_told_so() -> None:
    """One answer, in order, and no more: whoever waited to be accepted did nothing wrong."""
    stage = Stage()
    stage.entrance.close()
    protocol = stage.entrance.accept_leaving()
    wire = Wire(protocol)
    protocol.makeConnection(wire)
    ask(wire)
    stage.turn()
    assert wire.sent.startswith(b"HTTP/1.1 503 ") and b"Connection: close" in wire.sent
    assert protocol.closing


def test_who_waited_where_a_port_was_before_has_one_answer() -> None:
    """From it, under the settings of now."""
    stage = Stage()
    protocol = stage.entrance.accept_leaving()
    wire = Wire(protocol)
    protocol.makeConnection(wire)
    ask(wire)
    stage.turn()
    stage.upstream.receive(ANSWER)
    stage.turn()
    assert wire.sent.startswith(b"HTTP/1.1 200 ") and b"Connection: close" in wire.sent and protocol.closing
