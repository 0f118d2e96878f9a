"""A call that is over is gone at once, and one whose record waits for the disk keeps nothing else."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from awfproxy.server.call import Call
from tests.server.stage import Stage, Wire

RECORD_WAIT = 2.0
BODY = b'{"model":"gpt-4o","stream":true}'
REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """What goes, goes by itself."""
    gc.disable()
    yield
    gc.enable()


def begin(stage: Stage) -> tuple[Wire, weakref.ref[Call]]:
    """A call whose answer has begun."""
    client = stage.client()
    client.receive(REQUEST)
    stage.turn()
    (call,) = stage.entrance.calls
    stage.upstream.receive(ANSWER)
    return client, weakref.ref(call)


def go(how: str, stage: Stage, client: Wire) -> None:
    """The call ends."""
    if how == "whole":
        stage.upstream.receive(b"0\r\n\r\n")
    elif how == "cut":
        stage.upstream.end(clean=False)
        stage.wait(1)
        if client.closed:
            client.end()  # the transport has closed it
    elif how == "client left":
        client.end()
    stage.wait(1)
    stage.turn()


@pytest.mark.parametrize("how", ["whole", "cut", "client left"])
def test_a_call_that_is_over_is_gone(how: str) -> None:
    """Without the garbage collector, however it ended: at a thousand a second it would be late."""
    stage = Stage()
    client, call = begin(stage)
    go(how, stage, client)
    assert not stage.entrance.calls
    assert call() is None


@pytest.mark.parametrize("how", ["whole", "cut", "client left"])
def test_a_record_that_waits_keeps_no_more_of_its_call_than_it_must(how: str) -> None:
    """Tens of thousands may wait for a disk that stalls."""
    stage = Stage(record_wait=RECORD_WAIT)
    stage.journal.stall("stalled")
    client, call = begin(stage)
    go(how, stage, client)
    stage.wait(RECORD_WAIT + 1)
    if client.closed and how == "cut":
        client.end()
    assert not stage.entrance.calls
    kept = call()
    assert kept is not None
    assert (kept.answer, kept.exchange, kept.client) == (None, None, None)
    assert not hasattr(kept, "request")
    stage.journal.stall(None)
    stage.turn()
    del kept
    assert call() is None
    assert len(stage.journal.request_lines) == 1
