"""When a request is sent again, and what it is charged then, told as transcripts."""

from __future__ import annotations

import msgspec
import pytest

from awfproxy.core.budgets import Budget, Scope
from awfproxy.core.secret import Secret
from awfproxy.core.settings import Client
from tests.server.stage import Stage, Wire
from tests.server.test_call import (
    ANSWER,
    CHUNK,
    DONE,
    END,
    LAST,
    SSE_HEAD,
    STREAM,
    chunk,
    request,
    requests,
    response,
    split,
)
from tests.server.test_call_budgets import BODY, BOUND, PORT, USED, call, figures, learned, staged, strict

ASKED_400 = response(b'{"error":"unknown field"}', head=b"HTTP/1.1 400 Bad Request\r\n")


def kept(stage: Stage, data: bytes = request(BODY)) -> tuple[Wire, Wire]:
    """A client and an upstream connection that carried a call, and are used for the next one."""
    client = call(stage)
    upstream = stage.upstream
    upstream.receive(response(ANSWER))
    stage.turn()
    client.take()
    upstream.take()
    client.receive(data)
    stage.turn()
    return client, upstream


# -- a kept connection is lost


def test_what_a_strict_budget_covers_once_is_sent_once() -> None:
    """The provider may have worked on it: 502, and all that was reserved is charged."""
    stage = staged(strict(10_000))
    client, upstream = kept(stage)
    assert upstream.take()
    assert figures(stage) == (USED, BOUND)
    upstream.end(clean=False)
    stage.turn()
    assert client.take().startswith(b"HTTP/1.1 502") and len(stage.wires.dialled) == 1
    assert figures(stage) == (USED + BOUND, 0)
    record = requests(stage)[1]
    assert (record["attempts"], record["outcome"], stage.port.tally.retries) == (1, "upstream_failed", 0)


def test_it_is_not_sent_on_a_connection_that_has_ended() -> None:
    """Whose end has come to this host, and was not read yet: nothing was sent there, so that another is taken."""
    stage = staged(strict(10_000))
    client, first = kept(stage, b"")
    first.speaks = True
    client.receive(request(BODY))
    stage.turn()
    second = stage.upstream
    assert second is not first and first.take() == b"" and first.closed
    second.receive(response(ANSWER))
    stage.turn()
    assert split(client.take())[1] == ANSWER
    assert figures(stage) == (2 * USED, 0)
    assert requests(stage)[1]["attempts"] == 1


@pytest.mark.parametrize("of_port", [learned(10_000), msgspec.structs.replace(strict(10_000), enabled=False)])
def test_else_it_is_sent_again_and_charged_once(of_port: Budget) -> None:
    """As nearly always the first was never read; the record tells of both."""
    stage = staged(of_port)
    client, first = kept(stage)
    first.end(clean=False)
    stage.turn()
    second = stage.upstream
    assert second is not first
    second.receive(response(ANSWER))
    stage.turn()
    assert split(client.take())[1] == ANSWER
    assert figures(stage)[0] == (2 * USED if of_port.enabled else 0)
    assert requests(stage)[1]["attempts"] == 2 and stage.port.tally.retries == 1


def test_a_strict_budget_of_the_user_forbids_it_too() -> None:
    """Whatever the port's is."""
    key = Secret("alice-0123456789abcdef")
    budgets = {PORT: learned(10_000), Scope("main", "user", "alice"): strict(10_000)}
    stage = Stage(budgets=budgets, include_usage="off", clients=(Client(name="alice", key=key, user="alice"),))
    data = request(BODY).replace(b"Host:", b"X-Api-Key: " + key.reveal() + b"\r\nHost:")
    client = stage.client()
    client.receive(data)
    stage.turn()
    upstream = stage.upstream
    upstream.receive(response(ANSWER))
    stage.turn()
    client.take()
    client.receive(data)
    upstream.end(clean=False)
    stage.turn()
    assert client.take().startswith(b"HTTP/1.1 502")
    assert figures(stage, Scope("main", "user", "alice"))[0] == USED + BOUND


def test_what_makes_no_model_work_is_sent_again() -> None:
    """A list of models is in no budget."""
    stage = staged(strict(10_000))
    client, first = kept(stage, request(b"", path=b"/v1/models", method=b"GET"))
    first.end(clean=False)
    stage.turn()
    stage.upstream.receive(response(b"{}"))
    stage.turn()
    assert client.take().startswith(b"HTTP/1.1 200")
    assert requests(stage)[1]["attempts"] == 2


# -- a 400 to the usage that was asked for


def asked(of_port: Budget) -> tuple[Stage, Wire]:
    """A stream whose usage is asked for, and its client."""
    stage = Stage(budgets={PORT: of_port}, include_usage="invisible")
    client = stage.client()
    client.receive(STREAM)
    stage.turn()
    return stage, client


@pytest.mark.parametrize("of_port", [learned(50_000), strict(50_000)])
def test_a_second_connection_that_fails_costs_nothing(of_port: Budget) -> None:
    """The 400 had answered the first sending: nothing was used."""
    stage, client = asked(of_port)
    assert figures(stage)[1] > 0
    stage.wires.refuse = OSError("refused")
    stage.upstream.receive(ASKED_400)
    stage.turn()
    assert client.take().startswith(b"HTTP/1.1 502")
    assert figures(stage) == (0, 0)
    (record,) = requests(stage)
    assert (record["usage_source"], record["usage_reason"]) == ("none", "not-sent")


def test_nor_does_a_client_that_leaves_meanwhile() -> None:
    """While the second connection is made; then there is nobody to send it for, not with `drain` either."""
    stage = Stage(budgets={PORT: strict(50_000)}, on_client_abort="drain", include_usage="invisible")
    client = stage.client()
    client.receive(STREAM)
    stage.turn()
    stage.wires.slow = True
    stage.upstream.receive(ASKED_400)
    stage.turn()
    client.end()
    stage.turn()
    assert figures(stage) == (0, 0)
    assert requests(stage)[0]["outcome"] == "client_left"


def test_the_second_sending_is_charged_as_any_other() -> None:
    """It was answered."""
    stage, client = asked(strict(50_000))
    stage.upstream.receive(ASKED_400)
    stage.turn()
    stage.upstream.receive(SSE_HEAD + chunk(CHUNK + LAST + DONE) + END)
    stage.turn()
    assert client.take()
    assert figures(stage) == (USED, 0)
    assert requests(stage)[0]["attempts"] == 2
