"""What becomes of request targets."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.targets import RECORD_PATH_MAX, join, record_path, strip_keys

#: what an agent could put into a target, dangerous pieces more often than chance would
pieces = st.sampled_from(
    [
        *b"/ // .. . %2e %2E %252e %2f %5c \\ ; %3b v1 /v1 chat ? key=x & # @ : http:// \x00 \xff % %00".split(),
        *(b"\r\n", b" "),
    ]
)
targets = st.one_of(
    st.lists(pieces, max_size=12).map(b"".join).map(lambda rest: b"/" + rest),
    st.lists(pieces, max_size=12).map(b"".join),
    st.binary(max_size=64),
)
bases = st.sampled_from([b"", b"/v1", b"/openai/v1", b"/api", b"/a/b"])


@pytest.mark.parametrize(
    ("base", "target", "joined"),
    [
        # OpenAI's SDK, its base URL with and without the version
        (b"/v1", b"/v1/chat/completions", b"/v1/chat/completions"),
        (b"/v1", b"/chat/completions", b"/v1/chat/completions"),
        (b"/v1", b"/v1/v1/chat/completions", b"/v1/chat/completions"),
        (b"", b"/v1/v1/messages?beta=true", b"/v1/messages?beta=true"),
        (b"/v1", b"/v1", b"/v1"),
        (b"/v1", b"/v1?x=/v1/v1/", b"/v1?x=/v1/v1/"),
        # a name that only begins like the base is another one
        (b"/v1", b"/v1beta/models", b"/v1/v1beta/models"),
        (b"/api", b"/apis/chat", b"/api/apis/chat"),
        (b"/openai/v1", b"/openai/v1/chat/completions", b"/openai/v1/chat/completions"),
        (b"/openai/v1", b"/v1/chat/completions", b"/openai/v1/chat/completions"),
        (b"/openai/v1", b"/chat/completions", b"/openai/v1/chat/completions"),
        # only a version is shared, other names may be meant twice
        (b"/gateway/api", b"/api/x", b"/gateway/api/api/x"),
        (b"/anthropic", b"/v1/messages?stream=true", b"/anthropic/v1/messages?stream=true"),
        (b"", b"/v1beta/models/gemini-2.0-flash:generateContent?alt=sse", None),
        (b"", b"/model/arn%3Aaws%3Abedrock%2Fx%3A0/converse", None),
        (b"", b"/v1/files/a..b/...", None),
        (b"", b"/v1/files/a%20b%C3%A9%25/100%25%2520", None),
        # what a name becomes when it is decoded twice is nobody's letter
        (b"", b"/v1/files/5%25effective", None),
        (b"", b"/v1/files/10%25fee/100%25ae", None),
        (b"", b"/v1/x?q=%&r=%zz&s=%0d%0a&t=%c0%ae", None),
        (b"", b"/v1/x?q=../..&r=%2e%2e&s=\\", None),
        (b"", b"//openai/deployments/M/chat/completions", b"/openai/deployments/M/chat/completions"),
        (b"/v1", b"///evil.example/x", b"/v1/evil.example/x"),
        (b"", b"/", None),
    ],
)
def test_join(base: bytes, target: bytes, joined: bytes | None) -> None:
    """Cases of real clients; None in the table: unchanged."""
    assert join(base, target) == (target if joined is None else joined)


@pytest.mark.parametrize(
    "target",
    [
        b"",
        b"*",
        b"v1/models",
        b"http://evil.example/v1/models",
        b"https://api.openai.com/v1/models",
        b"evil.example:443",
        b"/v1/../admin",
        b"/..",
        b"/v1/.",
        b"/v1/./models",
        b"/v1/%2e%2E/admin",
        b"/v1/.%2e/admin",
        b"/v1/%252e%252e/admin",
        b"/v1/%25252e./admin",
        b"/v1/..%2fadmin",
        b"/v1/x%2f..%2f..%2fadmin",
        b"/v1/..;a=b/admin",
        b"/v1/..%3ba/admin",
        b"/v1\\..\\admin",
        b"/v1/..%5cadmin",
        b"/v1/%25%32%65%25%32%65/admin",
        b"/v1/%25%32%35%32%65./admin",
        b"/v1/%c0%ae%c0%ae/admin",
        b"/v1/%25c0%25ae./admin",
        b"/v1/%2525c0%2525ae./admin",
        b"/v1/%25e0%2580%25ae./admin",
        b"/v1/..%25c0%25afadmin",
        b"/v1/%25f0%2580%2580%25ae./admin",
        b"/v1/100%25ae/%2e./admin",
        b"/v1/%e9/100%25",
        b"/v1/%e9",
        b"/v1/%u002e%u002e/admin",
        b"/v1/%2",
        b"/v1/%",
        b"/v1/%0d%0aX:1",
        b"/v1/%250d%250aX:1",
        b"/v1/%00",
        b"/v1/%7f",
        b"/v1/models#x",
        b"/v1/models?a#b",
        b"/v1/mo dels",
        b"/v1/mo\tdels",
        b"/v1/models\r\nHost: evil.example",
        b"/v1/models?x=\r\n",
        b"/v1/models\x00",
        b"/v1/\x7f",
        "/v1/é".encode(),
    ],
)
@pytest.mark.parametrize("base", [b"", b"/v1"])
def test_refused(base: bytes, target: bytes) -> None:
    """Other forms than the origin form, ways out of the base, and what two parsers could read in two ways."""
    assert join(base, target) is None


@pytest.mark.parametrize("times", range(1, 8))
def test_dots_that_are_escaped_over_and_over(times: int) -> None:
    """Each character of each escape, as often as somebody likes: seen through, or refused as more than anybody needs."""
    dots = b".."
    for _ in range(times):
        dots = b"".join(b"%%%02x" % octet for octet in dots)
    assert join(b"/v1", b"/v1/" + dots + b"/admin") is None


@given(bases, targets)
def test_what_passes_stays_under_the_base(base: bytes, target: bytes) -> None:
    """Law: however often a server decodes, no segment leads up, and the path stands under the base."""
    joined = join(base, target)
    if joined is None:
        return
    assert joined == base or joined.startswith(base + b"/") or joined.startswith(base + b"?")
    assert not joined.startswith(b"//")
    assert joined.isascii()
    assert not any(octet <= 0x20 or octet == 0x7F for octet in joined)
    path = joined.partition(b"?")[0].decode("ascii")
    for _ in range(10):
        segments = path.replace("\\", "/").split("/")
        assert not any(segment.partition(";")[0] in (".", "..") for segment in segments)
        path = unquote(path)


@given(bases, targets)
def test_joining_twice_is_joining_once(base: bytes, target: bytes) -> None:
    """Law: a target that went through once (a chain of proxies) is not changed again, doubled versions aside."""
    joined = join(base, target)
    if joined is not None and b"/v1/v1" not in joined:
        assert join(base, joined) == joined


@given(bases, targets)
def test_the_query_is_kept(base: bytes, target: bytes) -> None:
    """Law: what stands after the first question mark goes on byte for byte."""
    joined = join(base, target)
    if joined is not None:
        assert joined.partition(b"?")[1:] == target.partition(b"?")[1:]


@pytest.mark.parametrize(
    ("target", "stripped"),
    [
        (b"/v1beta/models", b"/v1beta/models"),
        (b"/v1beta/models?alt=sse", b"/v1beta/models?alt=sse"),
        (b"/v1beta/models?key=abc", b"/v1beta/models"),
        (b"/v1beta/models?alt=sse&key=abc", b"/v1beta/models?alt=sse"),
        (b"/v1beta/models?key=abc&alt=sse&KEY=d&apiKey=e", b"/v1beta/models?alt=sse"),
        (b"/v1beta/models?%6bey=abc&a=%20b", b"/v1beta/models?a=%20b"),
        (b"/v1beta/models?$key=x&access_token=y&%24httpHeaders=authorization%3Az", b"/v1beta/models"),
        (b"/v1beta/models?+key=abc&key", b"/v1beta/models"),
        (b"/v1beta/models?monkey=1&keys=2&pageToken=3", b"/v1beta/models?monkey=1&keys=2&pageToken=3"),
        (b"/v1beta/models?a=key=b&&c", b"/v1beta/models?a=key=b&&c"),
        (b"/v1beta/key=abc", b"/v1beta/key=abc"),
    ],
)
def test_strip_keys(target: bytes, stripped: bytes) -> None:
    """Keys in any spelling go, everything else stays as it was."""
    assert strip_keys(target) == stripped


@given(targets)
def test_strip_keys_takes_away_whole_parameters_only(target: bytes) -> None:
    """Law: the path stays, the parameters that stay keep their order, and doing it twice does nothing more."""
    stripped = strip_keys(target)
    assert stripped.partition(b"?")[0] == target.partition(b"?")[0]
    left = iter(target.partition(b"?")[2].split(b"&"))
    assert all(any(pair == other for other in left) for pair in stripped.partition(b"?")[2].split(b"&") if pair)
    assert strip_keys(stripped) == stripped


def test_record_path() -> None:
    """No query, no fragment, no authority of an absolute form, 512 bytes, whole characters."""
    assert record_path(b"/v1/chat/completions?key=secret") == "/v1/chat/completions"
    assert record_path(b"http://user:secret@host/v1/x?y") == "/v1/x"
    assert record_path(b"/v1#secret") == "/v1"
    assert record_path(b"*") == "*"
    assert record_path(b"/" + b"a" * 5000) == "/" + "a" * 511
    assert record_path(("/" + "é" * 300).encode()) == "/" + "é" * 255
    assert record_path(b"/\xff") == "/\N{REPLACEMENT CHARACTER}"


@given(st.one_of(targets, st.binary(max_size=1200)))
def test_record_path_always_fits(target: bytes) -> None:
    """Law: any bytes become at most 512 bytes of valid UTF-8, and nothing of the query."""
    path = record_path(target)
    assert len(path.encode()) <= RECORD_PATH_MAX
    assert "?" not in path
