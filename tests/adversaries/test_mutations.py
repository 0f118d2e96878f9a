"""What nobody thought of: cases with bytes put in, taken out and doubled; whatever comes, the proxy's own rules hold.

Of requests: what goes upstream are whole requests of the proxy's own form, which other parsers read alike, as many as
calls let in; each answer is one record's; nothing is raised (the stage fails on what is logged), and nothing is left.
Of answers: the client gets one message or a cut one, which other parsers read alike; one record.
"""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.adversaries import witnesses
from tests.adversaries.corpus import ANSWERS, REQUESTS
from tests.adversaries.playing import Play, pieces
from tests.adversaries.test_answers import answered
from tests.server.test_call import requests

#: what parsers stumble over
SPICES = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b'"', b"0", b"1", b"-", b"+", b"0x", b"\x0b", b"\x85",
    b"\xff", b"chunked", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n", b"Content-Length: 0\r\n",
    b"Host: h\r\n", b"Connection: close\r\n", b"HTTP/1.1", b"HTTP/1.0", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n", b"0\r\n\r\n", b"\r\n\r\n", b"1\r\na\r\n", b"..", b"%2e", b"%", b"#", b"//", b"\\",
]  # fmt: skip

#: long cases are about their length alone
LONGEST = 2000
SHORT_REQUESTS = sorted(name for name, case in REQUESTS.items() if len(case.sent) <= LONGEST)
SHORT_ANSWERS = sorted(name for name, case in ANSWERS.items() if len(case.sent) <= LONGEST)


@st.composite
def mutated(draw: st.DrawFn, originals: dict[str, bytes]) -> bytes:
    """One of these with one to four changes."""
    data = originals[draw(st.sampled_from(sorted(originals)))]
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 8))
        change = draw(st.sampled_from(["in", "out", "double", "flip"]))
        if change == "in":
            data = data[:at] + draw(st.sampled_from(SPICES)) + data[at:]
        elif change == "out":
            data = data[:at] + data[at + length :]
        elif change == "double":
            data = data[: at + length] + data[at:]
        else:
            data = data[:at] + bytes([draw(st.integers(0, 255))]) + data[at + 1 :]
    return data


CUTS = st.lists(st.integers(0, LONGEST), max_size=5)


@settings(max_examples=400)
@given(mutated({name: REQUESTS[name].sent for name in SHORT_REQUESTS}), CUTS)
def test_requests(sent: bytes, cuts: list[int]) -> None:
    """Each yields one outcome, and the upstream sees one well-formed request for each that was let in."""
    one = Play()
    for piece in pieces(sent, cuts):
        one.send(piece)
    seen = one.seen()
    assert not seen.part, "the hospitable upstream gets whole requests only"
    answers = [status for status in seen.answers if status >= 200]
    read = []
    for data in one.upstream.values():
        if data:
            found = witnesses.requests_by_h11(data)
            assert found == witnesses.requests_by_standard_library(data)
            read += found
    assert len(read) == len(seen.upstream) == answers.count(200)
    assert all(target.startswith(b"/base/") for _, target, _, _ in read)
    assert all(each[2][1] == (b"authorization", b"Bearer sk-real") for each in read)
    assert all([name for name, _ in each[2]].count(b"authorization") == 1 for each in read)
    one.leave()
    records = one.seen().records
    left = [record for record in records if record["outcome"] == "client_left"]
    assert len(records) == len(answers) + len(left) and len(left) <= 1
    assert not one.stage.port.calls and not one.stage.journal.places_taken and not one.stage.shared.body_memory.lent


@settings(max_examples=400)
@given(
    mutated({name: ANSWERS[name].sent for name in SHORT_ANSWERS}),
    CUTS,
    st.sampled_from([b"GET", b"HEAD"]),
    st.booleans(),
)
def test_answers(sent: bytes, cuts: list[int], method: bytes, ends: bool) -> None:
    """The client gets one message that all read alike, whole or cut, and nothing behind it."""
    case = msgspec.structs.replace(next(iter(ANSWERS.values())), sent=sent, method=method, ends=ends)
    staged, client, data = answered(case, cuts)
    if not ends and not client.closed and not requests(staged):
        staged.upstream.end(clean=False)
        staged.turn()
        data += client.take()
    (record,) = requests(staged)
    assert record["outcome"] in ("complete", "upstream_cut", "upstream_failed")
    read = witnesses.answer_by_h11(data, method)
    assert read == witnesses.answer_by_standard_library(data, method)
    assert (read is None) is (record["outcome"] == "upstream_cut")
    assert record["outcome"] != "upstream_failed" or (read is not None and read[0] == 502)
    assert not staged.port.calls and not staged.journal.places_taken
