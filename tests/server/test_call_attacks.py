"""What breaks calls elsewhere: turns inside turns, clients that do not read, memory that is waited for, floods.

Transcripts as in `test_call`; each is a case that once hung, grew, or told a thing twice.
"""

from __future__ import annotations

import gzip
import json
import time
import tracemalloc

import pytest

from awfproxy.server import client as client_module
from awfproxy.server.network import WRITE_HIGH
from awfproxy.wire.requests import RequestReader
from tests.conftest import LoggedFailures
from tests.server.stage import Stage, Wire
from tests.server.test_call import (
    ANSWER,
    CHUNK,
    DONE,
    END,
    LAST,
    SSE_HEAD,
    STREAM,
    begin,
    chunk,
    dechunk,
    request,
    requests,
    response,
    split,
    usages,
)

HEALTH = request(b"", method=b"GET", path=b"/health")
MODELS = request(b"", method=b"GET", path=b"/v1/models")


# -- several requests in one read


@pytest.mark.parametrize("behind", [MODELS, request()])
def test_a_request_behind_a_local_answer_is_sent_once(behind: bytes) -> None:
    """The second is begun within the turn of the first: it must not be told as whole twice."""
    stage = Stage()
    client, upstream = begin(stage, HEALTH + behind)
    assert client.take() == b"local"
    assert len(stage.wires.dialled) == 1 and upstream.take().count(b"HTTP/1.1\r\n") == 1
    assert stage.journal.places_taken == 1
    upstream.receive(response(ANSWER))
    stage.turn()
    assert split(client.take())[1] == ANSWER
    assert len(requests(stage)) == 1 and requests(stage)[0]["attempts"] == 1
    assert stage.journal.places_taken == 0 and not stage.port.calls


@pytest.mark.parametrize("cut", range(0, len(HEALTH + request()) + 1, 7))
def test_any_split_of_requests_that_are_answered_here_and_there(cut: int) -> None:
    """Wherever the reads end, each is answered once."""
    stage = Stage()
    client = stage.client()
    whole = HEALTH + request() + HEALTH
    for piece in (whole[:cut], whole[cut:]):
        if piece:
            client.receive(piece)
    stage.turn()
    assert len(stage.wires.dialled) == 1
    stage.upstream.receive(response(ANSWER))
    stage.turn()
    assert client.take().count(b"local") == 2 and len(requests(stage)) == 1


def test_a_client_that_asks_and_does_not_read() -> None:
    """Answers of our own are not queued without bound: it is not read on until it takes what it got."""
    stage = Stage()
    client = stage.client()

    def take_no_more(data: bytes) -> None:
        client.sent += data
        client.queued = len(client.sent)
        if client.queued > WRITE_HIGH:
            client.producer.pauseProducing()

    client.write = take_no_more  # type: ignore[method-assign]
    for _ in range(100):
        if not client.paused:
            client.receive(HEALTH * 1000)
    assert client.paused and len(client.sent) < 2 * WRITE_HIGH
    answered = 0
    while client.sent:
        answered += client.take().count(b"local")
        client.queued = 0
        client.producer.resumeProducing()
    assert answered % 1000 == 0 and not client.paused, "and then all of it is answered"


# -- memory of bodies


def test_a_body_that_came_whole_while_memory_was_waited_for() -> None:
    """It is there already: it goes on, is counted while it is kept, and the connection is read on."""
    stage = Stage(request_memory=100)
    first, second = stage.client(), stage.client()
    first.receive(request(b"x" * 80)[:-1])
    second.receive(request(b"y" * 60))
    stage.turn()
    assert not second.paused and stage.shared.body_memory.lent == 140
    stage.upstream.receive(response(ANSWER))
    stage.turn()
    assert split(second.take())[1] == ANSWER
    assert stage.shared.body_memory.lent == 80
    first.receive(b"x")
    stage.turn()
    stage.upstream.receive(response(ANSWER))
    stage.turn()
    assert split(first.take())[1] == ANSWER
    assert stage.shared.body_memory.lent == 0 and stage.shared.body_memory.waiting == 0
    second.receive(request(b"z" * 60))
    stage.turn()
    stage.upstream.receive(response(ANSWER))
    stage.turn()
    assert split(second.take())[1] == ANSWER


def test_memory_is_given_back_when_it_came_late() -> None:
    """Granted while the answer streams: nobody would give it back any more."""
    stage = Stage(request_memory=100, include_usage="off")
    first = stage.client()
    first.receive(request(b"x" * 80)[:-1])
    second, upstream = begin(stage, request(b"y" * 60))
    upstream.receive(SSE_HEAD + chunk(CHUNK))
    first.end()
    stage.turn()
    assert stage.shared.body_memory.lent == 0
    upstream.receive(chunk(LAST + DONE) + END)
    stage.turn()
    assert second.take().endswith(END) and stage.shared.body_memory.lent == 0


def test_a_body_that_was_decoded_to_be_changed_counts_as_what_it_became() -> None:
    """Bodies grow by hundreds when they are unpacked; where that does not fit, one goes on as it came."""
    body = json.dumps({"model": "m", "stream": True, "messages": list(range(15_000))}).encode()
    packed = gzip.compress(body)
    sent = request(packed, headers=b"Content-Encoding: gzip\r\n")
    stage = Stage(include_usage="invisible", request_memory=len(body) + 3 * len(packed))
    _, one = begin(stage, sent)
    assert b"include_usage" in one.take()
    assert stage.shared.body_memory.lent >= len(body)
    _, two = begin(stage, sent)
    assert one is not two and split(two.take())[1] == packed
    for upstream in (one, two):
        upstream.receive(SSE_HEAD)
    assert stage.shared.body_memory.lent == 0


def test_a_body_in_tiny_chunks_takes_about_its_own_size() -> None:
    """Each piece of two bytes is an object of fifty."""
    stage = Stage()
    client = stage.client()
    client.receive(b"POST /v1/files HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    piece = chunk(b"xy") * 20_000
    client.receive(piece)
    tracemalloc.start()
    try:
        for _ in range(10):
            client.receive(piece)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 4 * 400_000
    client.receive(END)
    stage.turn()
    assert split(stage.upstream.take())[1] == b"xy" * 220_000


# -- linear time


def test_empty_lines_before_a_request_cost_what_they_are() -> None:
    """A read of nothing but line ends is passed over at once."""

    class Nobody:
        def request_head(self, head: object) -> None: ...
        def request_body(self, piece: bytes) -> None: ...
        def request_complete(self) -> None: ...

    reader = RequestReader(Nobody())
    began = time.process_time()
    for _ in range(4):
        assert reader.feed(b"\r\n" * 131_072) is None
    assert time.process_time() - began < 2  # seconds, when the rest is copied for each


# -- clients that do not take their answer


def test_an_idle_connection_whose_client_never_reads_is_ended() -> None:
    """Closing waits for what is queued: for one who never takes it, forever."""
    stage = Stage(idle_timeout=30.0)
    client, upstream = begin(stage, request())
    upstream.receive(response(ANSWER))
    stage.turn()
    client.queued = 1000
    client.producer.pauseProducing()
    stage.wait(client_module.KEEP_ALIVE + 60)
    assert client.aborted


def test_a_client_that_reads_slowly_keeps_its_connection() -> None:
    """The tail of an answer may take its time; the next request is then read."""
    stage = Stage()
    client, upstream = begin(stage, request())
    client.producer.pauseProducing()
    upstream.receive(response(ANSWER))
    stage.turn()
    stage.wait(90)
    assert not client.closed
    client.take()
    client.receive(request())
    client.producer.resumeProducing()
    stage.turn()
    stage.upstream.receive(response(ANSWER))
    stage.turn()
    assert split(client.take())[1] == ANSWER


# -- the upstream


def test_an_early_answer_leaves_no_connection_that_waits_to_send_the_rest() -> None:
    """An upstream that answers and neither reads nor closes would keep the body and the socket."""
    stage = Stage()
    client, upstream = begin(stage, request(b"x" * 100_000))
    upstream.queued = 50_000
    upstream.receive(response(b"{}", head=b"HTTP/1.1 413 Too Large\r\n"))
    stage.turn()
    assert client.take().startswith(b"HTTP/1.1 413") and upstream.aborted


def test_nothing_is_sent_for_a_client_that_has_left() -> None:
    """``drain`` reads an answer to its end; it does not begin one, nor ask again."""
    stage = Stage(on_client_abort="drain")
    stage.wires.slow = True
    client = stage.client()
    client.receive(request())
    client.end()
    stage.wires.finish()
    stage.turn()
    assert stage.upstream.take() == b""
    assert [record["outcome"] for record in requests(stage)] == ["client_left"]
    assert stage.port.pool.counts == {"idle": 1, "busy": 0} and not stage.port.calls


def test_no_second_attempt_for_a_client_that_has_left() -> None:
    """Neither after a kept connection closed, nor without stream_options."""
    stage = Stage(on_client_abort="drain", include_usage="off")
    first, upstream = begin(stage, request())
    upstream.receive(response(ANSWER))
    stage.turn()
    first.receive(request())
    first.end()
    upstream.end()
    stage.turn()
    assert len(stage.wires.dialled) == 1
    assert requests(stage)[1]["outcome"] == "client_left" and not stage.port.calls
    stage = Stage(on_client_abort="drain", include_usage="invisible")
    client, upstream = begin(stage)
    client.end()
    upstream.receive(response(b"{}", head=b"HTTP/1.1 400 Bad Request\r\n"))
    stage.turn()
    assert len(stage.wires.dialled) == 1
    assert requests(stage)[0]["outcome"] == "client_left" and not stage.port.calls


def test_asking_again_without_stream_options_waits_anew() -> None:
    """The second attempt has its own connect time, and is not tried on a connection that may be stale."""
    stage = Stage(include_usage="invisible", first_byte_timeout=30.0)
    client, upstream = begin(stage)
    stage.wait(20)
    upstream.receive(response(b"{}", head=b"HTTP/1.1 400 Bad Request\r\n"))
    stage.turn()
    assert stage.upstream is not upstream
    stage.wait(20)
    assert client.take() == b""
    stage.upstream.receive(SSE_HEAD + chunk(CHUNK + DONE) + END)
    stage.turn()
    assert dechunk(split(client.take())[1]) == CHUNK + DONE
    assert requests(stage)[0]["connect_ms"] < 1000


# -- defects of our own


def test_a_call_that_breaks_as_its_connection_stands_ends(
    monkeypatch: pytest.MonkeyPatch, logged_failures: LoggedFailures
) -> None:
    """No time limit would have met it: neither connecting nor sent."""
    stage = Stage()

    def broken(*_: object, **__: object) -> bytes:
        raise RuntimeError("a defect")

    monkeypatch.setattr(stage.port, "request_head", broken)
    client = stage.client()
    client.receive(request())
    stage.turn()
    assert client.take().startswith(b"HTTP/1.1 500") and client.half_closed and not stage.port.calls
    assert requests(stage)[0]["outcome"] == "proxy_error"
    assert [str(each) for each in logged_failures.flush(RuntimeError)] == ["a defect"]


def test_a_request_ahead_that_breaks_ends(monkeypatch: pytest.MonkeyPatch, logged_failures: LoggedFailures) -> None:
    """It is begun from the acknowledgement of the call before, not from a read."""
    stage = Stage()
    client, upstream = begin(stage, request() + request())

    def broken(*_: object, **__: object) -> bytes:
        raise RuntimeError("a defect")

    monkeypatch.setattr(stage.port, "peek", broken)
    upstream.receive(response(ANSWER))
    stage.turn()
    assert b"HTTP/1.1 500" in client.take() and client.half_closed and not stage.port.calls
    assert [record["outcome"] for record in requests(stage)] == ["complete", "proxy_error"]
    assert logged_failures.flush(RuntimeError)


def test_a_look_that_fails_is_not_the_last_one(
    monkeypatch: pytest.MonkeyPatch, logged_failures: LoggedFailures
) -> None:
    """One call that breaks in the sweep ends as a defect; the others still have their time limits."""
    stage = Stage(first_byte_timeout=10.0)
    broken, _ = begin(stage, request())
    other, _ = begin(stage, request())

    def breaks(now: float) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(next(iter(stage.port.calls)), "sweep", breaks)
    stage.wait(11)
    stage.turn()
    assert broken.closed and other.take().startswith(b"HTTP/1.1 504")
    assert {record["outcome"] for record in requests(stage)} == {"proxy_error", "timed_out"}
    assert logged_failures.flush(RuntimeError)


# -- the journal


def test_a_flood_of_refusals_on_a_full_disk_is_answered_once_each() -> None:
    """Without a place the refusal is over within its own turn."""
    stage = Stage()
    stage.journal._places = stage.journal._refusal_places = 0
    client = stage.client()
    bad = request(b"", method=b"GET", path=b"/v1/models", host=b"evil.example")
    client.receive(bad * 50)
    stage.turn()
    assert client.take().count(b"HTTP/1.1 403") == 50
    assert stage.journal.dropped == 50 and not stage.port.calls
    assert stage.port.tally.in_flight == 0


def test_a_late_acknowledgement_changes_nothing() -> None:
    """After ``record_wait`` the call is over; its record may still come, once."""
    stage = Stage(include_usage="off", record_wait=2.0)
    client, upstream = begin(stage)
    stage.journal.stall("no space left")
    upstream.receive(SSE_HEAD + chunk(CHUNK + LAST + DONE) + END)
    stage.wait(3)
    assert client.take().endswith(END) and not stage.port.calls
    client.receive(STREAM)
    stage.turn()
    stage.journal.stall(None)
    stage.turn()
    assert len(requests(stage)) == 1 and len(usages(stage)) == 1
    assert len(stage.port.calls) == 1 and stage.journal.places_taken == 1


@pytest.mark.parametrize("leaves", ["before the wait is over", "after"])
def test_a_client_that_leaves_while_the_journal_stalls(leaves: str) -> None:
    """The call was complete; nothing of it stays."""
    stage = Stage(include_usage="off", record_wait=2.0)
    client, upstream = begin(stage)
    stage.journal.stall("no space left")
    upstream.receive(SSE_HEAD + chunk(CHUNK + LAST + DONE) + END)
    stage.wait(1 if leaves != "after" else 3)
    client.end()
    stage.wait(3)
    stage.journal.stall(None)
    stage.turn()
    assert [record["outcome"] for record in requests(stage)] == ["complete"]
    assert not stage.port.calls and stage.journal.places_taken == 0 and stage.port.tally.in_flight == 0


# -- the end, in every state


def states() -> list[str]:
    """Where a call may be."""
    return ["body", "memory", "dialling", "sent", "head", "streaming", "held", "ended", "stalled", "refused"]


def bring_to(stage: Stage, state: str) -> Wire:
    """A client whose call is there."""
    if state == "memory":
        stage.client().receive(request(b"x" * 5_000)[:-1])
        client = stage.client()
        client.receive(request(b"y" * 5_000)[:-1])
        return client
    if state == "body":
        client = stage.client()
        client.receive(request(b"x" * 50)[:-1])
        return client
    stage.wires.slow = state == "dialling"
    if state == "refused":
        stage.journal.stall("full")
    client = stage.client()
    client.receive(request(host=b"evil.example") if state == "refused" else STREAM)
    stage.turn()
    if state in ("dialling", "sent", "refused"):
        return client
    upstream = stage.upstream
    upstream.receive(SSE_HEAD)
    if state == "stalled":
        stage.journal.stall("full")
    if state != "head":
        upstream.receive(chunk(CHUNK))
    if state == "held":
        client.producer.pauseProducing()
    if state in ("ended", "stalled"):
        upstream.receive(chunk(LAST + DONE))
        stage.turn()
    return client


@pytest.mark.parametrize("way", ["drained", "client left", "upstream lost", "time"])
@pytest.mark.parametrize("state", states())
def test_every_way_out_of_every_state(state: str, way: str) -> None:
    """Whatever ends a call, wherever it is: one record, every place and byte given back, nothing left in flight."""
    stage = Stage(include_usage="off", request_memory=6_000, record_wait=2.0, idle_timeout=20.0, connect_timeout=5.0)
    client = bring_to(stage, state)
    begun = len(stage.port.calls)
    if way == "drained":
        for call in list(stage.port.calls):
            call.drained()
    elif way == "client left":
        for each in list(stage.port.clients):
            each.transport.end()  # type: ignore[attr-defined]
    elif way == "upstream lost" and stage.wires.dialled:
        stage.upstream.end(clean=False)
    stage.turn()
    stage.wait(1500)
    stage.journal.stall(None)
    stage.turn()
    if stage.wires.waiting:
        stage.wires.finish()
    assert not stage.port.calls
    assert len(requests(stage)) == begun
    assert stage.journal.places_taken == 0 and stage.shared.body_memory.lent == 0
    for wire in stage.wires.dialled:
        if wire.aborted:
            wire.end(clean=False)
    assert stage.port.tally.in_flight == 0 and stage.port.pool.counts["busy"] == 0
    assert client.closed or way != "drained"
