"""Scripts: the bytes of an answer and where it stops, without a socket."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.simulator import modes
from awfproxy.simulator.answers import Answer
from awfproxy.simulator.wire import Pause, Step, Stop, script

PIECES = (b"data: one\n\n", b"data: two\n\n", b"data: three\n\n")
BODY = b"".join(PIECES)


class Reader:
    """A response as llhttp reads it."""

    def __init__(self, data: bytes) -> None:
        self.body = b""
        self.headers: dict[bytes, bytes] = {}
        self.complete = False
        self._parser = httptools.HttpResponseParser(self)
        self._parser.feed_data(data)
        self.status = self._parser.get_status_code()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete = True


def steps(
    streaming: bool = True, status: int = 200, method: str = "POST", keep_alive: bool = True, **wishes: str
) -> list[Step]:
    """The script of a small answer under the modes given (``cut_how="rst"`` is ``x-sim-cut-how: rst``)."""
    headers = [(b"x-sim-" + name.replace("_", "-").encode(), value.encode()) for name, value in wishes.items()]
    mode = modes.read(headers)
    answer = Answer(status, "text/event-stream", PIECES if streaming else (BODY,), streaming=streaming)
    return list(script(answer, mode, mode.encoding or "", method, keep_alive, None))


def sent(script_steps: Iterable[Step]) -> bytes:
    """All bytes of a script."""
    return b"".join(step for step in script_steps if isinstance(step, bytes))


def test_a_stream_is_chunked_and_goes_at_once() -> None:
    """Every event a chunk, all of them in one write."""
    answer = steps()
    assert len(answer) == 1
    read = Reader(sent(answer))
    assert (read.status, read.body, read.complete) == (200, BODY, True)
    assert sent(answer).count(b"\r\n\r\n") >= 1
    assert b"b\r\ndata: one\n\n\r\n" in sent(answer)


def test_a_document_has_its_length() -> None:
    """And keeps the connection."""
    read = Reader(sent(steps(streaming=False)))
    assert read.headers[b"content-length"] == str(len(BODY)).encode()
    assert read.complete


@given(split=st.integers(1, 40), raw=st.booleans(), streaming=st.booleans())
def test_splits_change_no_byte_of_the_body(split: int, raw: bool, streaming: bool) -> None:
    """Pieces of any size, each in a turn of its own; with split-wire even the head comes in pieces."""
    mode: dict[str, Any] = {"split_wire" if raw else "split": str(split)}
    answer = steps(streaming, **mode)
    assert Reader(sent(answer)).body == BODY
    writes = [step for step in answer if isinstance(step, bytes)]
    if raw:
        assert max(map(len, writes)) <= split
    assert answer.count(Pause(0)) >= len(BODY) // split - 1


def test_pace() -> None:
    """A pause between events, none before the first or after the last."""
    assert [step for step in steps(pace="250") if isinstance(step, Pause)] == [Pause(0.25)] * 2


def test_first_byte() -> None:
    """Nothing is sent before the wait is over."""
    assert steps(first_byte="1500")[0] == Pause(1.5)


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("count", [0, 1, 3, 9])
def test_cut(count: int, how: str) -> None:
    """After so many events, the stream's end never sent, whatever the count."""
    answer = steps(cut=str(count), cut_how=how)
    read = Reader(sent(answer))
    assert read.body == b"".join(PIECES[:count])
    assert not read.complete
    assert answer[-1] is Stop(how)


def test_nothing_at_all() -> None:
    """Cut or silent before a byte of the answer."""
    assert sent(steps(cut="before")) == b""
    assert steps(cut="before", cut_how="rst")[-1] is Stop.RST
    assert steps(stall="before") == [Stop.STALL]


def test_stall() -> None:
    """Some events, then silence without an end."""
    answer = steps(stall="2")
    assert Reader(sent(answer)).body == b"".join(PIECES[:2])
    assert answer[-1] is Stop.STALL


def test_lengths_that_lie() -> None:
    """Longer: the missing bytes never come. Shorter: there are bytes behind the end."""
    longer = steps(streaming=False, length="10")
    assert not Reader(sent(longer)).complete
    assert longer[-1] is Stop.FIN
    head, _, body = sent(steps(streaming=False, length="-10")).partition(b"\r\n\r\n")
    assert b"Content-Length: %d\r\n" % (len(BODY) - 10) in head + b"\r\n"
    assert body == BODY


def test_framings() -> None:
    """A stream with a length, a document in chunks, a body that ends with the connection."""
    assert b"content-length" in Reader(sent(steps(framing="length"))).headers
    assert b"transfer-encoding" in Reader(sent(steps(streaming=False, framing="chunked"))).headers
    closing = steps(framing="close")
    assert {b"content-length", b"transfer-encoding"}.isdisjoint(Reader(sent(closing)).headers)
    assert closing[-1] is Stop.CLOSE
    assert steps(keep_alive=False)[-1] is Stop.CLOSE


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "gzip, br"])
def test_encodings(encoding: str) -> None:
    """The body is compressed, each event by itself readable; the header can be kept back."""
    from awfproxy.simulator import encoders

    read = Reader(sent(steps(encoding=encoding)))
    assert read.headers[b"content-encoding"].decode() == encoding
    assert encoders.decode(read.body, encoding, 1000) == BODY
    hidden = Reader(sent(steps(encoding=encoding, hide_encoding="1")))
    assert b"content-encoding" not in hidden.headers
    assert hidden.body != BODY


@pytest.mark.parametrize(("status", "method"), [(204, "POST"), (304, "GET"), (200, "HEAD")])
def test_answers_without_a_body(status: int, method: str) -> None:
    """Not a byte behind the head."""
    assert sent(steps(streaming=False, status=status, method=method)).endswith(b"\r\n\r\n")


def test_interim_answers_and_trailers() -> None:
    """Before the head and behind the last chunk."""
    data = sent(steps(interim="100, 103", trailers="1"))
    assert data.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: ")
    assert data.endswith(b"0\r\nX-Sim-Trailer: end\r\n\r\n")


def test_529_has_a_reason() -> None:
    """A status that no standard knows."""
    assert sent(steps(streaming=False, status=529)).startswith(b"HTTP/1.1 529 Overloaded\r\n")
