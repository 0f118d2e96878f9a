"""What a record says of its answer, told by the answer itself."""

from __future__ import annotations

import pytest

from tests.server.stage import Stage
from tests.server.test_call import ANSWER, DONE, END, LAST, SSE_HEAD, STREAM, chunk, request, requests, response, usages

ASKED = b'{"model":"m","stream":true,"messages":[]}'
NOT_ASKED = b'{"model":"m","messages":[]}'
LINES = b'{"model":"m","done":false}\n{"model":"m","done":true,"prompt_eval_count":3,"eval_count":4}\n'


@pytest.mark.parametrize(
    ("path", "sent", "answer", "stream"),
    [
        (b"/v1/chat/completions", ASKED, SSE_HEAD + chunk(LAST) + chunk(DONE) + END, True),
        (b"/v1/chat/completions", NOT_ASKED, SSE_HEAD + chunk(LAST) + chunk(DONE) + END, True),
        (b"/v1/chat/completions", ASKED, response(ANSWER), False),
        (b"/v1/chat/completions", NOT_ASKED, response(ANSWER), False),
        (b"/api/chat", NOT_ASKED, response(LINES), True),  # Ollama streams unless it is told not to
        (b"/v1beta/models/m:streamGenerateContent", b"{}", response(b"[%b]" % ANSWER), True),
        (b"/v1/embeddings", b'{"model":"m","input":"a"}', response(b"[[0.5]]"), False),
    ],
)
def test_whether_it_was_a_stream(path: bytes, sent: bytes, answer: bytes, stream: bool) -> None:
    """The answer's framing tells, whatever was asked for; of an array only the request can."""
    stage = Stage()
    client = stage.client()
    client.receive(request(sent, path=path))
    stage.turn()
    stage.upstream.receive(answer)
    stage.turn()
    lines = [*requests(stage), *usages(stage)]
    assert lines
    assert {line["streaming"] for line in lines} == {stream}


def test_a_stream_of_which_nothing_came() -> None:
    """Then the record has what was asked for."""
    stage = Stage()
    client = stage.client()
    client.receive(STREAM)
    stage.turn()
    stage.upstream.receive(SSE_HEAD)
    stage.upstream.end(clean=False)
    stage.turn()
    (line,) = requests(stage)
    assert line["outcome"] == "upstream_cut"
    assert line["streaming"] is True
