"""Work in the background, told as transcripts: it is counted once, with the answer that first shows its end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from awfproxy.core.decoders import zstd
from tests.server.stage import Stage, Wire
from tests.server.test_call import END, SSE_HEAD, chunk, request, requests, response, usages

USAGE = {"input_tokens": 9, "output_tokens": 12, "total_tokens": 21}


def create(stage: Stage, client: Wire, status: str = "queued", body: bytes = b'{"model":"m","background":true}') -> None:
    """A Response is begun, and its answer has this status."""
    client.receive(request(body, path=b"/v1/responses"))
    stage.turn()
    stage.upstream.receive(response(answer(status)))
    stage.turn()


def ask(stage: Stage, client: Wire, said: bytes, *, path: bytes = b"/v1/responses/resp_1", method: bytes = b"GET") -> None:
    """It is asked for, and the upstream says this."""
    client.receive(request(b"", path=path, method=method))
    stage.turn()
    stage.upstream.receive(said)
    stage.turn()


def answer(status: str, usage: object = None, name: str = "resp_1") -> bytes:
    """A Response."""
    return json.dumps({"id": name, "object": "response", "model": "m-1", "status": status, "usage": usage}).encode()


def counted(stage: Stage) -> list[tuple[str, str]]:
    """Path and source of each usage line."""
    return [(str(line["path"]), str(line["usage_source"])) for line in usages(stage)]


def told(stage: Stage) -> list[tuple[str, str | None]]:
    """Source and reason of each request line."""
    return [(line["usage_source"], line.get("usage_reason")) for line in requests(stage)]


def test_it_is_counted_once_with_the_first_answer_that_shows_its_end() -> None:
    """Polled while it runs: nothing.  Finished: once, however often it is asked for after that."""
    stage = Stage()
    client = stage.client()
    create(stage, client)
    for status in ("queued", "in_progress"):
        ask(stage, client, response(answer(status)))
    assert counted(stage) == []
    for _ in range(3):
        ask(stage, client, response(answer("completed", USAGE)))
    assert counted(stage) == [("/v1/responses/resp_1", "reported")]
    usage = usages(stage)[0]
    assert (usage["input_tokens"], usage["output_tokens"], usage["model"]) == (9, 12, "m-1")
    assert usage["feature"] == "responses"
    assert told(stage) == [
        ("none", "background"), *[("none", "not-a-model-call")] * 2, ("reported", None),
        *[("none", "not-a-model-call")] * 2,
    ]  # fmt: skip
    hashes = [line.get("response_id_hash") for line in requests(stage)]
    assert hashes[0] == hashes[3] is not None
    assert [hashes[at] for at in (1, 2, 4, 5)] == [None] * 4
    assert "resp_1" not in str(hashes)
    assert usage["hints"]["response_id_hash"] == hashes[0], "a crash between the two lines would count it again"


def test_what_was_not_begun_here_is_not_counted() -> None:
    """A stored answer was counted when it was made; one that is of another port is that port's."""
    stage = Stage()
    client = stage.client()
    ask(stage, client, response(answer("completed", USAGE)))
    create(stage, client)
    ask(stage, client, response(answer("completed", USAGE, "resp_2")), path=b"/v1/responses/resp_2")
    assert counted(stage) == []


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_work_that_ends_without_usage(status: str) -> None:
    """Nobody can say what it used: no line, no guess from an empty request."""
    stage = Stage()
    client = stage.client()
    create(stage, client)
    ask(stage, client, response(answer(status)))
    ask(stage, client, response(answer(status, USAGE)))
    assert counted(stage) == []
    assert told(stage)[1:] == [("none", "no-usage-in-answer"), ("none", "not-a-model-call")]


def test_cancelling_may_show_the_end() -> None:
    """The answer to a cancellation is a Response like any other."""
    stage = Stage()
    client = stage.client()
    create(stage, client)
    ask(stage, client, response(answer("cancelled", USAGE)), path=b"/v1/responses/resp_1/cancel", method=b"POST")
    assert counted(stage) == [("/v1/responses/resp_1/cancel", "reported")]


def test_an_answer_that_is_cut_shows_no_end() -> None:
    """The next one does."""
    stage = Stage()
    client = stage.client()
    create(stage, client)
    whole = response(answer("completed", USAGE))
    client.receive(request(b"", path=b"/v1/responses/resp_1", method=b"GET"))
    stage.turn()
    stage.upstream.receive(whole[:-30])
    stage.upstream.end()
    stage.turn()
    assert counted(stage) == []
    ask(stage, stage.client(), whole)
    assert counted(stage) == [("/v1/responses/resp_1", "reported")]


def test_an_error_instead_of_an_answer_shows_no_end() -> None:
    """A 404 or a 500 in between changes nothing."""
    stage = Stage()
    client = stage.client()
    create(stage, client)
    ask(stage, client, response(answer("completed", USAGE), head=b"HTTP/1.1 500 Oh\r\n"))
    assert counted(stage) == []
    ask(stage, client, response(answer("completed", USAGE)))
    assert counted(stage) == [("/v1/responses/resp_1", "reported")]


def event(kind: str, status: str, usage: object = None) -> bytes:
    """An event with the Response in it."""
    data = {"type": kind, "response": {"id": "resp_1", "status": status, "model": "m-1", "usage": usage}}
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps(data).encode())


STREAM = b'{"model":"m","background":true,"stream":true}'


def test_a_stream_that_is_left_goes_on_and_is_counted_when_it_is_taken_up_again() -> None:
    """Begun with a stream, left, and resumed with ``GET ?stream=true``: the terminal event counts, and is held."""
    stage = Stage()
    client = stage.client()
    client.receive(request(STREAM, path=b"/v1/responses"))
    stage.turn()
    stage.upstream.receive(SSE_HEAD + chunk(event("response.created", "queued")))
    client.end()
    stage.turn()
    assert told(stage) == [("none", "background")]
    client = stage.client()
    client.receive(request(b"", path=b"/v1/responses/resp_1?stream=true&starting_after=1", method=b"GET"))
    stage.turn()
    assert b"Accept-Encoding: identity" in stage.upstream.take().replace(b"accept-encoding", b"Accept-Encoding")
    stage.upstream.receive(SSE_HEAD + chunk(event("response.in_progress", "in_progress")))
    stage.upstream.receive(chunk(event("response.completed", "completed", USAGE)))
    stage.turn()
    assert counted(stage) == [("/v1/responses/resp_1", "reported")]
    usage = usages(stage)[0]
    assert usage["streaming"] is True
    stage.upstream.receive(END)


def test_a_stream_that_comes_to_its_end_is_counted_there() -> None:
    """And not again when it is asked for."""
    stage = Stage()
    client = stage.client()
    client.receive(request(STREAM, path=b"/v1/responses"))
    stage.turn()
    created = event("response.created", "queued")
    stage.upstream.receive(SSE_HEAD + chunk(created) + chunk(event("response.completed", "completed", USAGE)) + END)
    stage.turn()
    ask(stage, client, response(answer("completed", USAGE)))
    assert counted(stage) == [("/v1/responses", "reported")]


def test_a_stream_in_the_foreground_that_is_left_is_estimated() -> None:
    """Providers cancel it: there is nothing to come back to."""
    stage = Stage()
    client = stage.client()
    client.receive(request(b'{"model":"m","stream":true}', path=b"/v1/responses"))
    stage.turn()
    stage.upstream.receive(SSE_HEAD + chunk(event("response.created", "in_progress")))
    client.end()
    stage.turn()
    assert counted(stage) == [("/v1/responses", "estimated")]
    ask(stage, stage.client(), response(answer("completed", USAGE)))
    assert len(counted(stage)) == 1


def test_background_is_no_way_around_being_counted() -> None:
    """On other APIs the word means nothing."""
    stage = Stage()
    client = stage.client()
    client.receive(request(b'{"model":"m","background":true,"messages":[]}'))
    stage.turn()
    stage.upstream.receive(response(b'{"id":"x","object":"response","status":"queued","choices":[]}'))
    stage.turn()
    assert counted(stage) == [("/v1/chat/completions", "estimated")]


CASES: list[tuple[bytes, bytes, dict[str, Any], dict[str, Any]]] = [
    (
        b"/v1beta/interactions",
        b"/v1beta/interactions/v1_x",
        {"id": "v1_x", "object": "interaction", "status": "in_progress"},
        {"id": "v1_x", "object": "interaction", "status": "completed",
         "usage": {"total_input_tokens": 9, "total_output_tokens": 12}},
    ),
    (
        b"/v1/threads/t/runs",
        b"/v1/threads/t/runs/run_1",
        {"id": "run_1", "object": "thread.run", "status": "queued", "usage": None},
        {"id": "run_1", "object": "thread.run", "status": "completed",
         "usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("path", "later", "begun", "done"), CASES)
def test_other_apis(path: bytes, later: bytes, begun: dict[str, Any], done: dict[str, Any]) -> None:
    """Gemini's interactions, and runs of the Assistants API, which are always in the background."""
    stage = Stage()
    client = stage.client()
    client.receive(request(b'{"model":"m","background":true}', path=path))
    stage.turn()
    stage.upstream.receive(response(json.dumps(begun).encode()))
    stage.turn()
    for said in (begun, done, done):
        ask(stage, client, response(json.dumps(said).encode()), path=later)
    assert counted(stage) == [(later.decode(), "reported")]
    usage = usages(stage)[0]
    assert (usage["input_tokens"], usage["output_tokens"]) == (9, 12)


def test_a_coded_answer_shows_the_end_too() -> None:
    """Whatever the provider compresses."""
    stage = Stage()
    client = stage.client()
    create(stage, client)
    body = zstd.compress(answer("completed", USAGE))
    ask(stage, client, response(body, head=b"HTTP/1.1 200 OK\r\nContent-Encoding: zstd\r\n"))
    assert counted(stage) == [("/v1/responses/resp_1", "reported")]


def test_stored_answers_are_not_read_when_nothing_goes_on() -> None:
    """What cannot be counted costs no scan."""
    stage = Stage()
    client = stage.client()
    client.receive(request(b"", path=b"/v1/responses/resp_1", method=b"GET"))
    stage.turn()
    stage.upstream.receive(response(answer("completed", USAGE))[:-5])
    call = next(iter(stage.port.calls))
    assert call.answer is not None
    assert call.answer.scanner is None
    create_on = stage.client()
    create(stage, create_on)
    create_on.receive(request(b"", path=b"/v1/responses/resp_1", method=b"GET"))
    stage.turn()
    stage.upstream.receive(response(answer("completed", USAGE))[:-5])
    last = list(stage.port.calls)[-1]
    assert last.answer is not None
    assert last.answer.scanner is not None


RUN_USAGE = {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}
STEP_USAGE = {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}


def run(status: str, usage: object = None) -> bytes:
    """A run of the Assistants API."""
    return json.dumps({"id": "run_1", "object": "thread.run", "status": status, "model": "m", "usage": usage}).encode()


def step(usage: object = None) -> bytes:
    """One of its steps."""
    return json.dumps({"id": "step_1", "object": "thread.run.step", "run_id": "run_1", "usage": usage}).encode()


def streamed(*documents: bytes) -> bytes:
    """A whole answer of these and the end mark."""
    return SSE_HEAD + b"".join(chunk(b"event: x\ndata: %b\n\n" % each) for each in (*documents, b"[DONE]")) + END


RUNS = b"/v1/threads/t/runs"
OUTPUTS = b"/v1/threads/t/runs/run_1/submit_tool_outputs"
WAITING = streamed(run("queued"), step(), run("requires_action"))
WAITING_AFTER_A_STEP = streamed(run("queued"), step(STEP_USAGE), run("requires_action"))
FINISHED = streamed(run("queued"), step(STEP_USAGE), run("completed", RUN_USAGE))


@pytest.mark.parametrize("first", [response(run("queued")), WAITING, WAITING_AFTER_A_STEP])
@pytest.mark.parametrize("asked_before", [False, True])
def test_a_run_that_waits_for_its_tools_is_counted_once(first: bytes, asked_before: bool) -> None:
    """Its last figures are of all its steps: not an estimate before them, nor the same again when it is asked for."""
    stage = Stage()
    client = stage.client()
    ask(stage, client, first, path=RUNS, method=b"POST")
    assert told(stage) == [("none", "background")]
    if asked_before:
        ask(stage, client, response(run("requires_action")), path=RUNS + b"/run_1")
    ask(stage, client, FINISHED, path=OUTPUTS, method=b"POST")
    for _ in range(2):
        ask(stage, client, response(run("completed", RUN_USAGE)), path=RUNS + b"/run_1")
    assert counted(stage) == [(OUTPUTS.decode(), "reported")]
    usage = usages(stage)[0]
    assert (usage["input_tokens"], usage["output_tokens"], usage["feature"]) == (9, 12, "assistants")
    hashes = [line["response_id_hash"] for line in requests(stage) if "response_id_hash" in line]
    assert len(hashes) == 2, "a restart reads that it ended"
    assert len(set(hashes)) == 1


def test_a_run_whose_stream_is_cut_has_what_its_steps_told() -> None:
    """Not the last word: partial."""
    stage = Stage()
    client = stage.client()
    client.receive(request(b"{}", path=RUNS))
    stage.turn()
    stage.upstream.receive(WAITING_AFTER_A_STEP[:-120])
    stage.upstream.end()
    stage.turn()
    assert counted(stage) == [(RUNS.decode(), "partial")]
