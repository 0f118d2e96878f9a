"""Responses as an upstream may send them, and as it may not."""

from __future__ import annotations

import gc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.wire.responses import HEAD_MAX, HEADERS_MAX, TRAILERS_MAX, ResponseReader

Told = tuple[tuple[int, str, bool] | None, bytes, bool, bool, list[bytes], str | None]


def read(data: bytes, cuts: list[int], method: bytes = b"GET") -> Told:
    """Head, body, completeness, surplus, trailer names and fault of ``data`` fed in pieces."""
    reader = ResponseReader()
    reader.expect(method)
    head, body, reason = None, b"", None
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, stop in pairwise(edges):
        if start == stop:
            continue
        fault = reader.feed(data[start:stop])
        if reader.head is not None:
            head = (reader.head.status, reader.framing, reader.keep_alive)
            reader.head = None
        body += reader.body()
        if fault is not None:
            reason = fault.reason
            break
    return head, body, reader.complete, reader.surplus, [name for _, name, _ in reader.trailers], reason


GOOD: dict[str, tuple[bytes, bytes, tuple[int, str, bool], bytes, bool, list[bytes]]] = {
    "length": (b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde", (200, "content-length", True), b"abcde", True, []),
    "chunked with trailers": (
        b"POST",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n",
        (200, "chunked", True), b"abcde", True, [b"X-Sum"],
    ),
    "until the end": (b"GET", b"HTTP/1.1 200 OK\r\n\r\nabcde", (200, "close", False), b"abcde", False, []),
    "1.0": (b"GET", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab", (200, "content-length", False), b"ab", True, []),
    "no content": (b"POST", b"HTTP/1.1 204 No Content\r\n\r\n", (204, "none", True), b"", True, []),
    "not modified": (b"GET", b"HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n", (304, "none", True), b"", True, []),
    "to HEAD": (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", (200, "none", True), b"", True, []),
    "chunked to HEAD": (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", (200, "none", True), b"", True, []),
    "empty": (b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", (200, "content-length", True), b"", True, []),
    "closing": (b"GET", b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na", (200, "content-length", False), b"a", True, []),
}  # fmt: skip


@given(st.sampled_from(sorted(GOOD)), st.lists(st.integers(0, 250), max_size=12))
def test_any_split_gives_the_same_answer(name: str, cuts: list[int]) -> None:
    """Every framing, however cut."""
    method, data, head, body, complete, trailers = GOOD[name]
    assert read(data, cuts, method) == (head, body, complete, False, trailers, None)


@pytest.mark.parametrize("name", [name for name in GOOD if name != "until the end"])
def test_bytes_after_the_end_are_surplus(name: str) -> None:
    """The answer is whole, and its connection is not to be used again."""
    method, data, head, body, _, _ = GOOD[name]
    told = read(data + b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", [], method)
    assert (told[0], told[1], told[2], told[3]) == (head, body, True, True)


def test_one_connection_carries_many_answers() -> None:
    """`expect` begins the next, also after an answer to HEAD."""
    reader = ResponseReader()
    for name in ("length", "to HEAD", "chunked with trailers", "no content", "length"):
        method, data, head, body, _, trailers = GOOD[name]
        reader.expect(method)
        assert reader.feed(data) is None
        assert reader.head is not None and (reader.head.status, reader.framing, reader.keep_alive) == head
        assert (reader.body(), reader.complete, [n for _, n, _ in reader.trailers]) == (body, True, trailers)


def test_the_end_of_the_connection_completes_only_what_has_no_length() -> None:
    """Else it is a cut."""
    for name, whole in (("until the end", True), ("length", False), ("chunked with trailers", False)):
        reader = ResponseReader()
        reader.expect(b"GET")
        reader.feed(GOOD[name][1][:-1])
        assert reader.end_of_stream() is whole, name


BAD = {
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "gzip, chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: br\r\n\r\nabc",
    "upgrade": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nabc",
    "folded": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 1\r\n\r\na",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 1\n\na",
    "bare CR": b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 1\r\n\r\na",
    "NUL": b"HTTP/1.1 200 OK\r\nX: a\x00\r\n\r\n",
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 1\r\n\r\na",
    "bad chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "head too large": b"HTTP/1.1 200 OK\r\nX: " + b"y" * HEAD_MAX,
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * (HEADERS_MAX + 1) + b"\r\n",
    "too many trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * (TRAILERS_MAX + 2),
    "status 0 with a body": b"HTTP/1.1 000 \r\nContent-Length:5\r\n\r\nabcdeHTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
    "interim with a body": b"HTTP/1.1 199 \r\nTransfer-Encoding:chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nHTTP/1.1 200 \r\n\r\n",
    "204 with a body": b"HTTP/1.1 204 \r\nTransfer-Encoding:chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "status 99": b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n",
    "status 600": b"HTTP/1.1 600 Odd\r\nContent-Length: 0\r\n\r\n",
    "endless interim": b"HTTP/1.1 102 Processing\r\n\r\n" * 20,
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_forwarded_in_one_meaning_is_a_fault(name: str) -> None:
    """Whole or in small pieces."""
    for step in (len(BAD[name]), 1000, 7):
        told = read(BAD[name], list(range(step, len(BAD[name]), step)))
        assert told[5], name
        assert not told[2], name


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5), st.sampled_from([b"GET", b"HEAD"]))
def test_no_bytes_raise(data: bytes, cuts: list[int], method: bytes) -> None:
    """Whatever an upstream sends, the reader returns."""
    read(data, cuts, method)
    read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + data, cuts, method)
    read(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n" + data, cuts, method)


@pytest.mark.parametrize("head_only", [False, True])
def test_line_ends_after_an_answer_are_no_surplus_whatever_the_split(head_only: bool) -> None:
    """Some servers send one too many; anything else was not asked for."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    for after, surplus in ((b"\r", False), (b"\r\n\r\n", False), (b"\n", False), (b"\r\nx", True), (b"x", True)):
        data = answer + after
        for at in range(1, len(data)):
            reader = ResponseReader()
            reader.expect(b"HEAD" if head_only else b"GET")
            assert reader.feed(data[:at]) is None
            assert reader.feed(data[at:]) is None
            assert (reader.complete, reader.surplus) == (True, surplus), (after, at)


def test_a_reader_that_is_stopped_leaves_nothing_to_the_garbage_collector() -> None:
    """In the middle of an answer, which its parser and it would both keep."""
    gc.collect()
    reader = ResponseReader()
    reader.expect(b"GET")
    assert reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab") is None
    reader.stop()
    del reader
    assert gc.collect() == 0
