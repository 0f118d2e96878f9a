"""The whole corpus through a real proxy, on both kinds of transports."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.adversaries.cases import ANSWER, BAD_GATEWAY, Answer, Request, up
from tests.adversaries.corpus import ANSWERS, REQUESTS
from tests.adversaries.playing import AFTER, read_answer, statuses
from tests.adversaries.through_sockets import Proxied, cuts, proxied, read_statuses, send
from tests.processes import once

pytestmark = [once, pytest.mark.untidy("one far end for all tests of the module")]


@pytest.fixture(scope="module", params=[(), ("--reactor=epoll",)], ids=["uvloop", "epoll"])
def at_work(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """One proxy for all cases: what one does must not harm the next."""
    with proxied(tmp_path_factory.mktemp("adversaries"), request.param, list(ANSWERS.values())) as one:
        yield one


def ask(proxied: Proxied, case: Request, in_pieces: bool) -> None:
    """All that a case promises of a client."""
    with proxied.connect("requests") as client:
        send(client, case.sent, cuts(case.sent) if in_pieces else [])
        if not case.waits:
            assert read_statuses(client, len(case.answers), not case.open) == list(case.answers), case.name
        if case.open:
            client.sendall(AFTER)
            assert read_statuses(client, 1, False) == [200], case.name
    upstream = [*case.upstream, up(b"GET /after")] if case.open else list(case.upstream)
    assert len(proxied.fresh_records(case.records + case.open)) == case.records + case.open, case.name
    assert proxied.upstream.take() == upstream, case.name


def answer(proxied: Proxied, number: int, case: Answer) -> None:
    """All that a case promises of an upstream."""
    with proxied.connect("answers") as client:
        client.sendall(case.method + b" /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number)
        data, closed, whole = b"", False, False
        while not (whole or closed):
            try:
                piece = client.recv(65536)
            except ConnectionResetError:
                piece = b""
            data, closed = data + piece, not piece
            whole = b"\r\n\r\n" in data and not closed and _whole(data, case.method)
        assert closed is case.cut, case.name
        if case.got == BAD_GATEWAY:
            assert statuses(data) == [502], case.name
        else:
            assert read_answer(data, case.method, closed).got == case.got, case.name
        if not case.cut:
            client.sendall(AFTER)
            after = b""
            while not after.endswith(ANSWER):
                piece = client.recv(65536)
                assert piece, case.name
                after += piece
            assert statuses(after) == [200] and b"stolen" not in after, case.name
    assert proxied.fresh_records(2 - case.cut)[0] == case.outcome, case.name
    proxied.cases.take()


def _whole(data: bytes, method: bytes) -> bool:
    """Whether the answer is whole as yet; a chunk may be there in part."""
    try:
        return read_answer(data, method, False).whole
    except (AssertionError, ValueError):
        return False


@pytest.mark.parametrize("in_pieces", [False, True], ids=["whole", "in pieces"])
def test_hostile_clients(at_work: Proxied, in_pieces: bool) -> None:
    """Refused, forwarded as these bytes, or waited for; and the next request on the connection is its own."""
    for case in REQUESTS.values():
        ask(at_work, case, in_pieces)


@pytest.mark.parametrize("in_pieces", [False, True], ids=["whole", "in pieces"])
def test_hostile_upstreams(at_work: Proxied, in_pieces: bool) -> None:
    """Passed, cut, or told as 502; and the next answer is the next request's."""
    at_work.cases.in_pieces = in_pieces
    for number, case in enumerate(ANSWERS.values()):
        answer(at_work, number, case)
