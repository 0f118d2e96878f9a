"""The life of a call, told as transcripts of bytes: every way through, and every way out.

Each test reads as: the client sends, the upstream gets, the upstream answers, the client gets, the records say.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import LoggedFailures
from tests.server.stage import Stage, Wire

USAGE = b'{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21}'
ANSWER = b'{"id":"x","model":"gpt-4o-mini","choices":[],"usage":%b}' % USAGE
CHUNK = b'data: {"id":"x","model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":"hi"}}],"usage":null}\n\n'
LAST = b'data: {"id":"x","model":"gpt-4o-mini","choices":[],"usage":%b}\n\n' % USAGE
DONE = b"data: [DONE]\n\n"


def request(
    body: bytes = b'{"model":"gpt-4o-mini","messages":[]}',
    *,
    path: bytes = b"/v1/chat/completions",
    method: bytes = b"POST",
    headers: bytes = b"",
    host: bytes = b"127.0.0.1:10000",
) -> bytes:
    """A request as an SDK sends it."""
    length = b"Content-Length: %d\r\n" % len(body) if body or method == b"POST" else b""
    return b"%b %b HTTP/1.1\r\nHost: %b\r\nContent-Type: application/json\r\nAuthorization: Bearer client\r\n%b%b\r\n%b" % (
        method, path, host, length, headers, body,
    )  # fmt: skip


STREAM = request(b'{"model":"gpt-4o-mini","stream":true,"messages":[]}')


def response(body: bytes, *, head: bytes = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n") -> bytes:
    """An answer with a length."""
    return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


SSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nx-request-id: req_1\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


END = b"0\r\n\r\n"


def split(answer: bytes) -> tuple[bytes, bytes]:
    """Head and body of the first message in ``answer``."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


def dechunk(body: bytes) -> bytes:
    """The body of a whole chunked message."""
    out = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        if int(size, 16) == 0:
            return out
        out += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]


def requests(stage: Stage) -> list[dict[str, Any]]:
    """The request records."""
    return [json.loads(line) for line in stage.journal.request_lines]


def usages(stage: Stage) -> list[dict[str, Any]]:
    """The usage records."""
    return [json.loads(line) for line in stage.journal.usage_lines]


def begin(stage: Stage, data: bytes = STREAM) -> tuple[Wire, Wire]:
    """A client that has sent ``data``, and the upstream connection that got it."""
    client = stage.client()
    client.receive(data)
    stage.turn()
    return client, stage.upstream


# -- the plain way


def test_a_json_call() -> None:
    """Key swapped, base not doubled, answer untouched, one record of each kind."""
    stage = Stage()
    client, upstream = begin(stage, request())
    head, body = split(upstream.take())
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\nHost: up.test\r\n")
    assert b"Bearer sk-real" in head and b"client" not in head
    assert body == b'{"model":"gpt-4o-mini","messages":[]}'
    upstream.receive(response(ANSWER))
    assert client.take() == b"", "the last piece waits for the record"
    stage.turn()
    head, body = split(client.take())
    assert head.startswith(b"HTTP/1.1 200 OK\r\n") and body == ANSWER
    (record,) = requests(stage)
    (usage,) = usages(stage)
    assert record["outcome"] == "complete" and record["attempts"] == 1 and record["framing"] == "content-length"
    assert (usage["input_tokens"], usage["output_tokens"], usage["usage_source"]) == (9, 12, "reported")
    assert usage["request_id"] == record["request_id"]
    assert b"X-Request-ID: " + record["request_id"].encode() in head
    assert not stage.port.calls and not stage.shared.body_memory.lent


def test_connections_are_kept_on_both_sides() -> None:
    """A second call goes over the same two connections."""
    stage = Stage()
    client, upstream = begin(stage, request())
    for _ in range(3):
        upstream.receive(response(ANSWER))
        stage.turn()
        assert split(client.take())[1] == ANSWER
        client.receive(request())
        stage.turn()
    assert len(stage.wires.dialled) == 1
    assert len(requests(stage)) == 3


def test_each_chunk_goes_on_in_its_turn_and_the_terminal_event_waits() -> None:
    """Promise 3, over SSE: everything before ``[DONE]`` at once, that after the record."""
    stage = Stage(include_usage="off")
    client, upstream = begin(stage)
    upstream.receive(SSE_HEAD)
    assert client.take().endswith(b"\r\n\r\n")
    upstream.receive(chunk(CHUNK))
    assert dechunk(client.take() + END) == CHUNK
    upstream.receive(chunk(LAST + DONE))
    assert dechunk(client.take() + END) == LAST
    assert not stage.journal.request_lines
    upstream.receive(END)
    assert client.take() == b""
    stage.turn()
    assert client.take() == chunk(DONE) + END
    assert requests(stage)[0]["response_bytes"] == len(CHUNK + LAST + DONE)
    assert usages(stage)[0]["output_tokens"] == 12


def test_the_record_is_made_at_the_terminal_event_and_not_at_the_end_of_the_connection() -> None:
    """A client may leave on the last event: its call was complete."""
    stage = Stage(include_usage="off")
    client, upstream = begin(stage)
    upstream.receive(SSE_HEAD + chunk(CHUNK) + chunk(LAST) + chunk(DONE))
    stage.turn()
    assert client.take().endswith(chunk(DONE))
    client.end()
    assert [record["outcome"] for record in requests(stage)] == ["complete"]
    upstream.receive(END)
    stage.turn()
    assert len(requests(stage)) == 1
    assert stage.port.pool.counts == {"idle": 1, "busy": 0}, "the upstream connection was read to its end and kept"
    assert not stage.port.calls


def test_a_stalled_journal_holds_the_end_for_record_wait_only() -> None:
    """After ``record_wait`` the end goes without its record, counted; the record follows."""
    stage = Stage(include_usage="off", record_wait=5.0)
    client, upstream = begin(stage)
    stage.journal.stall("no space left")
    upstream.receive(SSE_HEAD + chunk(CHUNK) + chunk(LAST + DONE) + END)
    assert dechunk(split(client.take())[1] + END) == CHUNK + LAST
    stage.wait(4.5)
    assert client.take() == b""
    stage.wait(1.5)
    assert client.take() == chunk(DONE) + END
    assert stage.port.tally.released_unrecorded == 1
    stage.journal.stall(None)
    stage.turn()
    assert len(requests(stage)) == 1


def test_what_follows_the_terminal_event_is_bounded_while_its_record_is_written() -> None:
    """An upstream that goes on and on is paused until the record is there."""
    stage = Stage(include_usage="off")
    client, upstream = begin(stage)
    stage.journal.stall("no space left")
    upstream.receive(SSE_HEAD + chunk(CHUNK) + chunk(DONE))
    upstream.receive(chunk(b": more\n" * 20_000))
    assert upstream.paused
    client.take()
    stage.journal.stall(None)
    stage.turn()
    assert not upstream.paused
    assert b": more" in client.take()


def test_an_error_of_the_provider_is_passed_on_whole() -> None:
    """Status, body and headers; no usage."""
    stage = Stage()
    client, upstream = begin(stage, request())
    upstream.receive(response(b'{"error":{"message":"no"}}', head=b"HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\n"))
    stage.turn()
    head, body = split(client.take())
    assert head.startswith(b"HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\n") and body == b'{"error":{"message":"no"}}'
    (record,) = requests(stage)
    assert (record["outcome"], record["usage_source"], record["status"]) == ("complete", "none", 429)
    assert not usages(stage)


@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
def test_the_body_is_the_same_however_it_is_cut(size: int) -> None:
    """Any split of what the upstream sends gives the client the same bytes and the same record."""
    stage = Stage(include_usage="invisible")
    client, upstream = begin(stage)
    wire = SSE_HEAD + b"".join(chunk(CHUNK) for _ in range(5)) + chunk(LAST) + chunk(DONE) + END
    for at in range(0, len(wire), size):
        upstream.receive(wire[at : at + size])
    stage.turn()
    assert dechunk(split(client.take())[1]) == CHUNK * 5 + DONE, "the usage event is invisible"
    assert usages(stage)[0]["input_tokens"] == 9


# -- framings


def test_head_and_bodiless_answers() -> None:
    """HEAD, 204 and 304 have no body, whatever their headers say, and keep the connection."""
    stage = Stage()
    client, upstream = begin(stage, request(b"", method=b"HEAD", path=b"/v1/models"))
    upstream.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
    stage.turn()
    assert b"Content-Length: 99" in split(client.take())[0]
    for status in (b"204 No Content", b"304 Not Modified"):
        client.receive(request(b"", method=b"GET", path=b"/v1/models"))
        upstream.receive(b"HTTP/1.1 %b\r\nETag: x\r\n\r\n" % status)
        stage.turn()
        head, body = split(client.take())
        assert head.startswith(b"HTTP/1.1 " + status) and body == b""
    assert len(stage.wires.dialled) == 1


def test_an_answer_without_a_length_is_chunked_for_us_and_ends_with_the_upstreams_connection() -> None:
    """Whole and cut look alike there: the record says that the end was the connection's."""
    stage = Stage()
    client, upstream = begin(stage, request())
    upstream.receive(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + ANSWER)
    upstream.end()
    stage.turn()
    head, body = split(client.take())
    assert b"Transfer-Encoding: chunked" in head and dechunk(body) == ANSWER
    assert (requests(stage)[0]["outcome"], requests(stage)[0]["framing"]) == ("complete", "close")


def test_a_reset_of_an_answer_without_a_length_is_a_cut() -> None:
    """Only an orderly end is an end."""
    stage = Stage()
    client, upstream = begin(stage, request())
    upstream.receive(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + ANSWER)
    upstream.end(clean=False)
    stage.turn()
    assert client.closed and not client.take().endswith(END)
    assert requests(stage)[0]["outcome"] == "upstream_cut"


def test_a_client_of_http_1_0() -> None:
    """No chunks: the end of the connection is the end of the body; a cut is a reset."""
    stage = Stage(include_usage="off")
    data = STREAM.replace(b"HTTP/1.1", b"HTTP/1.0")
    client, upstream = begin(stage, data)
    upstream.receive(SSE_HEAD + chunk(CHUNK) + chunk(DONE) + END)
    stage.turn()
    head, body = split(client.take())
    assert body == CHUNK + DONE and b"Connection: close" in head and client.half_closed
    client, upstream = begin(stage, data)
    upstream.receive(SSE_HEAD + chunk(CHUNK))
    upstream.end()
    stage.turn()
    assert client.aborted


def test_trailers_pass_without_those_that_frame() -> None:
    """RFC 9110 section 6.5.1."""
    stage = Stage()
    client, upstream = begin(stage, request())
    upstream.receive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(ANSWER))
    upstream.receive(b"0\r\nX-Sum: 1\r\nSet-Cookie: 3\r\n\r\n")
    stage.turn()
    assert client.take().endswith(b"0\r\nX-Sum: 1\r\n\r\n")


def test_chunked_request_bodies_go_on_with_a_length() -> None:
    """And their trailers and extensions do not go on."""
    stage = Stage()
    _, upstream = begin(
        stage,
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nT: 1\r\n\r\n",
    )
    head, body = split(upstream.take())
    assert b"Content-Length: 11" in head and b"chunked" not in head.lower() and body == b"hello world"


def test_expect_100_continue_is_answered_by_us() -> None:
    """The body follows, and Expect does not go upstream."""
    stage = Stage()
    client, body = stage.client(), b'{"model":"m"}'
    whole = request(body, headers=b"Expect: 100-continue\r\n")
    client.receive(whole[: -len(body)])
    assert client.take() == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.receive(body)
    stage.turn()
    assert b"expect" not in stage.upstream.take().lower()


def test_interim_answers_do_not_reach_the_client() -> None:
    """100 and 103 of the upstream are passed over."""
    stage = Stage()
    client, upstream = begin(stage, request())
    upstream.receive(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + response(ANSWER))
    stage.turn()
    assert split(client.take())[0].startswith(b"HTTP/1.1 200")


# -- several requests


def test_pipelined_requests_are_answered_in_order() -> None:
    """The second is not even sent before the first is answered."""
    stage = Stage()
    client, upstream = begin(stage, request(b'{"a":1}') + request(b'{"b":2}') + request(b"", method=b"GET", path=b"/health"))
    assert upstream.take().endswith(b'{"a":1}')
    upstream.receive(response(b'{"n":1}'))
    stage.turn()
    assert client.take().endswith(b'{"n":1}')
    assert upstream.take().endswith(b'{"b":2}')
    upstream.receive(response(b'{"n":2}'))
    stage.turn()
    assert client.take().endswith(b'{"n":2}local')
    assert len(requests(stage)) == 2


def test_hundreds_of_local_answers_in_one_read() -> None:
    """A loop and not a recursion."""
    stage = Stage()
    client = stage.client()
    client.receive(request(b"", method=b"GET", path=b"/health") * 3000)
    assert client.take() == b"local" * 3000


def test_what_a_client_sends_ahead_is_bounded() -> None:
    """Reading pauses, and goes on when the call is over."""
    stage = Stage()
    client, upstream = begin(stage, request())
    client.receive(request(b"x" * 80_000))
    assert client.paused
    upstream.receive(response(ANSWER))
    stage.turn()
    assert not client.paused


def test_connection_close_is_obeyed() -> None:
    """After its answer the connection is closed on our side, and read on for a moment."""
    stage = Stage()
    client, upstream = begin(stage, request(headers=b"Connection: close\r\n"))
    assert b"Connection" not in upstream.take()
    upstream.receive(response(ANSWER))
    stage.turn()
    assert b"Connection: close" in client.take() and client.half_closed and not client.closed
    stage.wait(3)
    assert client.closed


def test_connection_close_without_a_body() -> None:
    """Also where the head is the whole request."""
    stage = Stage()
    for path in (b"/health", b"/v1/models"):
        client = stage.client()
        client.receive(request(b"", method=b"GET", path=path, headers=b"Connection: close\r\n"))
        stage.turn()
        if stage.wires.dialled:
            stage.upstream.receive(response(b"{}"))
            stage.turn()
        assert client.half_closed


def test_an_offer_of_http_2_is_passed_over() -> None:
    """Java's client makes it with every first request; it is no WebSocket, and the answer is plain HTTP/1.1."""
    stage = Stage()
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAA\r\n"
    client, upstream = begin(stage, request(headers=offer))
    head, body = split(upstream.take())
    assert b"h2c" not in head and b"HTTP2" not in head and body == b'{"model":"gpt-4o-mini","messages":[]}'
    upstream.receive(response(ANSWER))
    stage.turn()
    assert split(client.take())[1] == ANSWER
    client.receive(request())
    stage.turn()
    assert upstream.take()


# -- refusals


def refused(stage: Stage, data: bytes) -> tuple[bytes, dict[str, Any], Wire]:
    """Status line and error of a request that never reaches an upstream."""
    client = stage.client()
    client.receive(data)
    stage.turn()
    assert not stage.wires.dialled
    head, body = split(client.take())
    return head.split(b"\r\n")[0], json.loads(body)["error"], client


def test_pages_of_other_origins_are_refused() -> None:
    """Host and Origin rules come before anything else, local pages included."""
    stage = Stage()
    for data in (
        request(host=b"evil.example"),
        request(headers=b"Origin: https://evil.example\r\n"),
        request(headers=b"Sec-Fetch-Site: cross-site\r\n"),
        request(b"", method=b"GET", path=b"/health", host=b"evil.example"),
    ):
        line, _, _ = refused(stage, data)
        assert line == b"HTTP/1.1 403 Forbidden"
    assert {record["outcome"] for record in requests(stage)} == {"refused"}
    assert len(requests(stage)) == 4


def test_a_port_without_a_credential() -> None:
    """403 and not to be retried; nothing goes out without a key."""
    stage = Stage(credential=None, credential_variable="MY_KEY")
    line, error, _ = refused(stage, request())
    assert line == b"HTTP/1.1 403 Forbidden" and error["type"] == "provider_not_configured"
    assert "Start with MY_KEY set" in error["message"]
    assert error["retryable"] is False


def test_malformed_requests_are_answered_400_and_closed() -> None:
    """And recorded as what they are."""
    stage = Stage()
    line, _, client = refused(stage, b"POST / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n")
    assert line == b"HTTP/1.1 400 Bad Request" and client.half_closed
    assert requests(stage)[0]["outcome"] == "bad_request"
    line, _, _ = refused(stage, request(b"", method=b"GET", path=b"/v1/../../admin"))
    assert line == b"HTTP/1.1 400 Bad Request"


def test_upgrades_are_answered_426() -> None:
    """Codex falls back on that and only that."""
    line, _, _ = refused(
        Stage(), request(b"", method=b"GET", path=b"/v1/responses", headers=b"Connection: Upgrade\r\nUpgrade: websocket\r\n")
    )
    assert line == b"HTTP/1.1 426 Upgrade Required"


def test_bodies_over_the_limit_are_refused_before_they_are_read() -> None:
    """With a length at once, without one as soon as they are over it; the connection ends with the answer."""
    stage = Stage(max_request_body=1000)
    line, _, client = refused(stage, request(b"x" * 1001)[:300])
    assert line == b"HTTP/1.1 413 Content Too Large" and client.half_closed
    chunked = b"POST /v1/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"x" * 600)
    line, _, client = refused(stage, chunked + chunk(b"y" * 600))
    assert line == b"HTTP/1.1 413 Content Too Large" and client.half_closed
    assert stage.shared.body_memory.lent == 0


def test_while_draining() -> None:
    """503 and close."""
    stage = Stage()
    stage.entrance.drain()
    line, _, client = refused(stage, request())
    assert line == b"HTTP/1.1 503 Service Unavailable" and client.half_closed


def test_no_place_in_the_journal() -> None:
    """A call that could not be recorded is not admitted; one that is over makes room again."""
    stage = Stage()
    stage.journal._places = 1
    first, upstream = begin(stage, request())
    second = stage.client()
    second.receive(request())
    stage.turn()
    assert second.take().startswith(b"HTTP/1.1 503")
    upstream.receive(response(ANSWER))
    stage.turn()
    assert split(first.take())[1] == ANSWER
    second.receive(request())
    stage.turn()
    upstream.receive(response(ANSWER))
    stage.turn()
    assert split(second.take())[1] == ANSWER
    assert stage.journal.places_taken == 0


# -- memory of bodies


def test_bodies_wait_for_memory_before_they_are_read() -> None:
    """Reading pauses, Expect is answered only then, and order is kept."""
    stage = Stage(request_memory=100)
    first, second = stage.client(), stage.client()
    first.receive(request(b"x" * 80)[:-1])
    second.receive(request(b"y" * 60, headers=b"Expect: 100-continue\r\n")[:-60])
    assert second.paused and second.take() == b""
    assert stage.shared.body_memory.waiting == 1
    first.receive(b"x")
    stage.turn()
    stage.upstream.receive(response(ANSWER))
    stage.turn()
    assert not second.paused and second.take() == b"HTTP/1.1 100 Continue\r\n\r\n"
    second.receive(b"y" * 60)
    stage.turn()
    stage.upstream.receive(response(ANSWER))
    stage.turn()
    assert split(second.take())[1] == ANSWER
    assert stage.shared.body_memory.lent == 0
    assert requests(stage)[1]["queue_ms"] >= 0


def test_a_client_that_leaves_while_it_waits_takes_no_memory() -> None:
    """And the next in line gets it."""
    stage = Stage(request_memory=100)
    first, second, third = stage.client(), stage.client(), stage.client()
    first.receive(request(b"x" * 80)[:-1])
    for waiting in (second, third):
        waiting.receive(request(b"y" * 60))
    second.end()
    first.end()
    stage.turn()
    assert stage.shared.body_memory.lent == 60 and not third.paused
    assert [record["outcome"] for record in requests(stage)] == ["client_left", "client_left"]


# -- the upstream fails


def test_an_upstream_that_cannot_be_reached() -> None:
    """502 in the provider's shape; the cause is in the record only."""
    stage = Stage()
    stage.wires.refuse = ConnectionRefusedError(111, "secret address refused")
    client = stage.client()
    client.receive(request())
    stage.turn()
    head, body = split(client.take())
    assert head.startswith(b"HTTP/1.1 502") and b"secret" not in body
    (record,) = requests(stage)
    assert record["outcome"] == "upstream_failed" and record["reason"] == "connect: Connection refused"
    assert record["attempts"] == 0
    assert stage.port.pool.counts == {"idle": 0, "busy": 0}


def test_connecting_too_slowly() -> None:
    """504, and the late connection is not wasted."""
    stage = Stage(connect_timeout=2.0)
    stage.wires.slow = True
    client = stage.client()
    client.receive(request())
    stage.wait(2.5)
    stage.turn()
    assert client.take().startswith(b"HTTP/1.1 504")
    assert requests(stage)[0]["outcome"] == "timed_out"


def test_a_kept_connection_that_closed_under_us_is_tried_once_more() -> None:
    """Only a reused one, only once, only while nothing came back; the record counts the attempts."""
    stage = Stage()
    client, upstream = begin(stage, request())
    upstream.receive(response(ANSWER))
    stage.turn()
    client.take()
    client.receive(request())
    assert upstream.take()
    upstream.end(clean=False)
    stage.turn()
    again = stage.upstream
    assert again is not upstream and again.take().endswith(b'"messages":[]}')
    again.receive(response(ANSWER))
    stage.turn()
    assert split(client.take())[1] == ANSWER
    assert requests(stage)[1]["attempts"] == 2 and stage.port.tally.retries == 1
    client.receive(request())
    again.receive(b"HTTP/1.1 2")
    again.end(clean=False)
    stage.turn()
    assert client.take().startswith(b"HTTP/1.1 502"), "something had come back: not tried again"


def test_a_fresh_connection_that_closes_is_not_tried_again() -> None:
    """The request may have been acted on."""
    stage = Stage()
    client, upstream = begin(stage, request())
    upstream.end()
    stage.turn()
    assert client.take().startswith(b"HTTP/1.1 502") and len(stage.wires.dialled) == 1
    (usage,) = usages(stage)
    assert usage["usage_source"] == "estimated" and usage["unknown"]


def test_an_answer_that_is_not_http() -> None:
    """502, and the connection is not used again."""
    stage = Stage()
    client, upstream = begin(stage, request())
    upstream.receive(b"SSH-2.0-OpenSSH\r\n")
    stage.turn()
    head, body = split(client.take())
    assert head.startswith(b"HTTP/1.1 502") and upstream.closed
    assert json.loads(body)["error"]["code"] == "upstream_invalid"


def test_a_cut_in_the_middle_is_shown_as_one() -> None:
    """The client's connection ends without the end of the body; what came of the usage is partial or estimated."""
    stage = Stage(include_usage="off")
    client, upstream = begin(stage)
    upstream.receive(SSE_HEAD + chunk(CHUNK))
    upstream.end()
    stage.turn()
    assert client.closed and dechunk(split(client.take())[1] + END) == CHUNK
    assert requests(stage)[0]["outcome"] == "upstream_cut"
    assert usages(stage)[0]["usage_source"] == "estimated"


def test_a_bad_chunk_in_the_middle_is_a_cut() -> None:
    """What came before it goes on."""
    stage = Stage(include_usage="off")
    client, upstream = begin(stage)
    upstream.receive(SSE_HEAD + chunk(CHUNK) + b"zz\r\n")
    stage.turn()
    assert client.closed and upstream.closed
    assert requests(stage)[0]["reason"] == "malformed response"


def test_a_short_answer_is_a_cut() -> None:
    """Fewer bytes than its length."""
    stage = Stage()
    client, upstream = begin(stage, request())
    upstream.receive(response(ANSWER)[:-5])
    upstream.end()
    stage.turn()
    assert client.closed and requests(stage)[0]["outcome"] == "upstream_cut"


def test_bytes_after_the_answer_end_the_upstream_connection() -> None:
    """Nobody asked for them, nobody gets them."""
    stage = Stage()
    client, upstream = begin(stage, request())
    upstream.receive(response(ANSWER) + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    stage.turn()
    assert split(client.take())[1] == ANSWER and upstream.closed
    client.receive(request())
    stage.turn()
    assert stage.upstream is not upstream


def test_bytes_on_an_idle_upstream_connection_end_it() -> None:
    """As above, a moment later."""
    stage = Stage()
    client, upstream = begin(stage, request())
    upstream.receive(response(ANSWER))
    stage.turn()
    upstream.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    assert upstream.closed
    upstream.end()
    client.take()
    client.receive(request())
    stage.turn()
    assert stage.upstream is not upstream and client.take() == b""


def test_idle_upstream_connections_grow_old() -> None:
    """Closed before the other side would."""
    stage = Stage()
    _, upstream = begin(stage, request())
    upstream.receive(response(ANSWER))
    stage.turn()
    assert stage.port.pool.counts["idle"] == 1
    stage.wait(60)
    assert upstream.closed and stage.port.pool.counts["idle"] == 0


def test_an_answer_that_comes_before_the_body_was_sent_out() -> None:
    """It is passed on, and that connection is not used again."""
    stage = Stage()
    client, upstream = begin(stage, request(b"x" * 100_000))
    upstream.queued = 50_000
    upstream.receive(response(b"{}", head=b"HTTP/1.1 413 Too Large\r\n"))
    stage.turn()
    assert client.take().startswith(b"HTTP/1.1 413") and upstream.closed


# -- time


def test_no_first_byte() -> None:
    """504, estimated because the provider had the whole request."""
    stage = Stage(first_byte_timeout=30.0)
    client, upstream = begin(stage, request())
    stage.wait(29)
    assert client.take() == b""
    stage.wait(2)
    stage.turn()
    assert client.take().startswith(b"HTTP/1.1 504") and upstream.closed
    assert requests(stage)[0]["outcome"] == "timed_out"


def test_silence_within_an_answer() -> None:
    """Each byte begins the wait anew; then the client is cut."""
    stage = Stage(idle_timeout=10.0, include_usage="off")
    client, upstream = begin(stage)
    upstream.receive(SSE_HEAD)
    for _ in range(5):
        stage.wait(8)
        upstream.receive(chunk(CHUNK))
    assert not client.closed
    stage.wait(11)
    stage.turn()
    assert client.closed and upstream.closed
    assert requests(stage)[0]["outcome"] == "timed_out"


def test_a_body_that_stops_coming() -> None:
    """408, and the memory is given back."""
    stage = Stage()
    client = stage.client()
    client.receive(request(b"x" * 100)[:-1])
    stage.wait(62)
    stage.turn()
    assert client.take().startswith(b"HTTP/1.1 408")
    assert stage.shared.body_memory.lent == 0


def test_a_body_that_trickles() -> None:
    """It holds memory that others wait for: a little now and then is not enough, a slow line is."""
    stage = Stage()
    trickling, slow = stage.client(), stage.client()
    trickling.receive(request(b"x" * 1000)[:-1000])
    slow.receive(request(b"x" * 4_000_000)[:-4_000_000])
    for _ in range(70):
        trickling.receive(b"x")
        slow.receive(b"x" * 20_000)
        stage.wait(1)
    stage.turn()
    assert trickling.take().startswith(b"HTTP/1.1 408")
    assert slow.take() == b""


def test_clients_that_say_nothing_are_let_go() -> None:
    """An idle connection, and a head that never ends."""
    stage = Stage()
    idle, slow = stage.client(), stage.client()
    slow.receive(b"GET / HT")
    stage.wait(61)
    assert slow.closed and not idle.closed
    stage.wait(60)
    assert idle.closed


# -- the client leaves, or does not read


def test_a_client_that_leaves_cancels_its_call() -> None:
    """The upstream is cut off at once, the record says who left, and what was delivered is estimated."""
    stage = Stage()
    client, upstream = begin(stage)
    upstream.receive(SSE_HEAD + chunk(CHUNK))
    client.end(clean=False)
    stage.turn()
    assert upstream.aborted
    assert requests(stage)[0]["outcome"] == "client_left"
    assert usages(stage)[0]["usage_source"] == "estimated"
    assert not stage.port.calls


def test_or_it_is_read_to_its_end_by_setting() -> None:
    """``drain``: the usage is exact, the outcome still says that the client left."""
    stage = Stage(on_client_abort="drain")
    client, upstream = begin(stage)
    upstream.receive(SSE_HEAD + chunk(CHUNK))
    client.end()
    upstream.receive(chunk(CHUNK) + chunk(LAST) + chunk(DONE) + END)
    stage.turn()
    assert requests(stage)[0]["outcome"] == "client_left"
    assert usages(stage)[0]["usage_source"] == "reported"
    assert stage.port.pool.counts == {"idle": 1, "busy": 0} and not stage.port.calls


def test_a_client_that_leaves_before_the_upstream_is_there() -> None:
    """The connection that was being made is kept for the next call."""
    stage = Stage()
    stage.wires.slow = True
    client = stage.client()
    client.receive(request())
    client.end()
    stage.turn()
    assert requests(stage)[0]["outcome"] == "client_left" and not usages(stage)
    stage.wires.finish()
    assert stage.port.pool.counts == {"idle": 1, "busy": 0}


def test_a_client_that_does_not_read_stops_the_upstream() -> None:
    """And a paused connection is resumed before it goes back to the pool."""
    stage = Stage(include_usage="off")
    client, upstream = begin(stage)
    upstream.receive(SSE_HEAD + chunk(CHUNK))
    client.producer.pauseProducing()
    assert upstream.paused
    client.producer.resumeProducing()
    assert not upstream.paused
    client.producer.pauseProducing()
    upstream.receive(chunk(LAST + DONE) + END)
    stage.turn()
    assert not upstream.paused and stage.port.pool.counts["idle"] == 1


def test_a_client_that_left_is_not_waited_for() -> None:
    """A paused upstream goes on when its client is gone (drain), else it would stay forever."""
    stage = Stage(on_client_abort="drain")
    client, upstream = begin(stage)
    upstream.receive(SSE_HEAD + chunk(CHUNK))
    client.producer.pauseProducing()
    client.end()
    assert not upstream.paused


# -- include_usage


def test_usage_is_asked_for_and_its_event_taken_out() -> None:
    """``invisible``: upstream is asked, the client sees every byte but the one event."""
    stage = Stage(include_usage="invisible")
    client, upstream = begin(stage)
    body = split(upstream.take())[1]
    assert json.loads(body)["stream_options"] == {"include_usage": True}
    upstream.receive(SSE_HEAD + chunk(CHUNK) + chunk(LAST[:30]))
    upstream.receive(chunk(LAST[30:]) + chunk(DONE) + END)
    stage.turn()
    assert dechunk(split(client.take())[1]) == CHUNK + DONE
    assert usages(stage)[0]["usage_source"] == "reported"


def test_usage_is_asked_for_and_left_in() -> None:
    """``visible``."""
    stage = Stage(include_usage="visible")
    client, upstream = begin(stage)
    assert b"include_usage" in upstream.take()
    upstream.receive(SSE_HEAD + chunk(CHUNK + LAST + DONE) + END)
    stage.turn()
    assert dechunk(split(client.take())[1]) == CHUNK + LAST + DONE


def test_usage_that_the_client_asked_for_is_left_in() -> None:
    """Its body goes on byte for byte."""
    stage = Stage(include_usage="invisible")
    body = b'{"model":"m","stream":true,"stream_options":{"include_usage": true}}'
    client, upstream = begin(stage, request(body))
    assert split(upstream.take())[1] == body
    upstream.receive(SSE_HEAD + chunk(CHUNK + LAST + DONE) + END)
    stage.turn()
    assert dechunk(split(client.take())[1]) == CHUNK + LAST + DONE


def test_usage_is_never_asked_for_elsewhere() -> None:
    """Responses, Messages, and chat that is not streamed."""
    body = b'{"model":"m","stream":true}'
    for data in (request(body, path=b"/v1/responses"), request(body, path=b"/v1/messages"), request(b'{"model":"m"}')):
        _, upstream = begin(Stage(), data)
        assert b"stream_options" not in upstream.take()


def test_an_upstream_that_does_not_take_stream_options() -> None:
    """400 is asked again without, and remembered; the client sees only the second answer."""
    stage = Stage(include_usage="invisible")
    client, upstream = begin(stage)
    upstream.receive(response(b'{"error":"unknown field"}', head=b"HTTP/1.1 400 Bad Request\r\n"))
    stage.turn()
    again = stage.upstream
    sent = again.take()
    assert again is not upstream and b"stream_options" not in sent
    again.receive(SSE_HEAD + chunk(CHUNK + DONE) + END)
    stage.turn()
    assert dechunk(split(client.take())[1]) == CHUNK + DONE
    assert requests(stage)[0]["attempts"] == 2 and stage.port.tally.retries == 0
    client.receive(STREAM)
    stage.turn()
    assert b"stream_options" not in again.take()


def test_a_400_for_another_reason_is_passed_on() -> None:
    """Asked again, the upstream says the same: the client hears it, and nothing is remembered."""
    stage = Stage(include_usage="invisible")
    client, upstream = begin(stage)
    bad = response(b'{"error":"bad model"}', head=b"HTTP/1.1 400 Bad Request\r\n")
    upstream.receive(bad)
    stage.turn()
    stage.upstream.receive(bad)
    stage.turn()
    assert client.take().startswith(b"HTTP/1.1 400")
    client.receive(STREAM)
    stage.turn()
    assert b"stream_options" in stage.upstream.take()


def test_a_json_answer_to_a_stream_keeps_its_length() -> None:
    """There is no event to take out of it."""
    stage = Stage(include_usage="invisible")
    client, upstream = begin(stage)
    upstream.receive(response(ANSWER))
    stage.turn()
    head, body = split(client.take())
    assert b"Content-Length: %d" % len(ANSWER) in head and body == ANSWER


# -- what is counted


def test_upstream_connections_are_gauged() -> None:
    """By state, at each sweep."""
    stage = Stage()
    _, upstream = begin(stage, request())
    stage.wait(0.5)
    assert (stage.port.tally.connections_busy, stage.port.tally.connections_idle) == (1, 0)
    upstream.receive(response(ANSWER))
    stage.wait(0.5)
    assert (stage.port.tally.connections_busy, stage.port.tally.connections_idle) == (0, 1)


def test_a_defect_before_the_answer_is_told_as_one(
    monkeypatch: pytest.MonkeyPatch, logged_failures: LoggedFailures
) -> None:
    """500 without a word of what broke, and the connection ends."""
    stage = Stage()

    def broken(*arguments: object, **more: object) -> None:
        raise RuntimeError("a secret of ours")

    monkeypatch.setattr(stage.port, "response_head", broken)
    client, upstream = begin(stage, request())
    upstream.receive(response(ANSWER))
    stage.turn()
    head, body = split(client.take())
    assert head.startswith(b"HTTP/1.1 500") and b"secret" not in body and client.half_closed and upstream.closed
    assert requests(stage)[0]["outcome"] == "proxy_error" and stage.port.tally.in_flight == 0
    assert [str(each) for each in logged_failures.flush(RuntimeError)] == ["a secret of ours"]


def test_aborts_are_counted_also_when_the_record_is_made() -> None:
    """A client that leaves before the end of its answer, whatever its record says."""
    stage = Stage(include_usage="off")
    client, upstream = begin(stage)
    upstream.receive(SSE_HEAD + chunk(CHUNK) + chunk(LAST) + chunk(DONE))
    stage.turn()
    client.end()
    assert requests(stage)[0]["outcome"] == "complete" and stage.port.tally.client_aborts == 1
    upstream.receive(END)
    stage.turn()
    assert stage.port.tally.client_aborts == 1 and stage.port.tally.in_flight == 0


def test_a_response_in_the_background_is_not_guessed_at() -> None:
    """Its usage comes with a later GET: nothing is known yet, and the reason says why."""
    stage = Stage()
    _, upstream = begin(stage, request(b'{"model":"m","background":true}', path=b"/v1/responses"))
    upstream.receive(response(b'{"id":"r","status":"queued","usage":null,"model":"m"}'))
    stage.turn()
    assert (requests(stage)[0]["usage_source"], requests(stage)[0]["usage_reason"]) == ("none", "background")
    assert not usages(stage)


def test_estimates_are_of_decoded_bytes() -> None:
    """A compressed body says as much as the same one plain."""
    import gzip

    body = b'{"model":"m","messages":[{"role":"user","content":"' + b"word " * 2000 + b'"}]}'
    answer = b'{"model":"m","choices":[{"message":{"content":"' + b"word " * 2000 + b'"}}]}'
    found = []
    for coded in (False, True):
        stage = Stage()
        coding = b"Content-Encoding: gzip\r\n" if coded else b""
        _, upstream = begin(stage, request(gzip.compress(body) if coded else body, headers=coding))
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + coding
        upstream.receive(response(gzip.compress(answer) if coded else answer, head=head))
        stage.turn()
        (usage,) = usages(stage)
        assert usage["usage_source"] == "estimated"
        found.append((usage["input_tokens"], usage["output_tokens"]))
    assert found[0] == found[1]


# -- the service ends


def test_calls_that_are_cut_at_the_end_of_a_drain() -> None:
    """Truthfully: the connection is cut, the record says ``drained``."""
    stage = Stage(include_usage="off")
    client, upstream = begin(stage)
    upstream.receive(SSE_HEAD + chunk(CHUNK))
    waiting, _ = begin(stage, request())
    for call in list(stage.port.calls):
        call.drained()
    stage.turn()
    assert client.closed and waiting.closed and not client.take().endswith(END)
    assert [record["outcome"] for record in requests(stage)] == ["drained", "drained"]
    assert not stage.port.calls


def test_a_record_that_cannot_be_made_leaves_a_bare_one(
    monkeypatch: pytest.MonkeyPatch, logged_failures: LoggedFailures
) -> None:
    """The client has its answer, the call its one line, and nothing stays taken."""
    from awfproxy.server import accounting

    def broken(*arguments: object, **more: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(accounting, "judge", broken)
    stage = Stage()
    client, upstream = begin(stage, request())
    upstream.receive(response(ANSWER))
    stage.turn()
    assert split(client.take())[1] == ANSWER
    (record,) = requests(stage)
    assert (record["outcome"], record["usage_reason"], record["status"]) == ("proxy_error", "record-failed", 200)
    assert stage.port.tally.in_flight == 0 and stage.journal.places_taken == 0 and not stage.port.calls
    assert [str(each) for each in logged_failures.flush(RuntimeError)] == ["a defect"]


def test_a_broken_scanner_is_unplugged_and_the_bytes_flow_on(
    monkeypatch: pytest.MonkeyPatch, logged_failures: LoggedFailures
) -> None:
    """Accounting that breaks is loud, and never the client's problem."""
    from awfproxy.core import scanner

    def broken(self: object, data: bytes) -> bool:
        raise RuntimeError("a defect")

    monkeypatch.setattr(scanner.Scanner, "_begin", broken)
    stage = Stage(include_usage="off")
    client, upstream = begin(stage)
    upstream.receive(SSE_HEAD + chunk(CHUNK) + chunk(LAST + DONE) + END)
    stage.turn()
    assert dechunk(split(client.take())[1]) == CHUNK + LAST + DONE
    assert requests(stage)[0]["usage_reason"] == "scanner-failed"
    assert stage.port.tally.scan_errors == {"scanner-failed": 1}
    assert [str(each) for each in logged_failures.flush(RuntimeError)] == ["a defect"]
