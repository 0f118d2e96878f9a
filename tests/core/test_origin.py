"""Who may call: the rule against web pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.message import RequestHead
from awfproxy.core.origin import foreign

NONE: frozenset[bytes] = frozenset()


def head(*headers: tuple[bytes, bytes]) -> RequestHead:
    """A request with these headers."""
    triples = [(name.lower(), name, value) for name, value in headers]
    fields = {name: value for name, _, value in triples}
    return RequestHead(b"POST", b"/v1/chat/completions", 1, triples, fields, 0, False, True, False)


@pytest.mark.parametrize(
    "host",
    [
        b"127.0.0.1",
        b"127.0.0.1:10000",
        b"192.168.1.20:10000",
        b"0.0.0.0:1",
        b"[::1]",
        b"[::1]:10000",
        b"[fe80::1%eth0]:1",
        b"[::ffff:127.0.0.1]",
        b"localhost",
        b"LocalHost:10000",
        b"api-proxy:10000",
        b"agent_1",
        b"host.docker.internal",
        b"Host.Docker.Internal:10000",
    ],
)
def test_local_hosts(host: bytes) -> None:
    """Names and addresses that no stranger can own, with and without port, in any case."""
    assert foreign(head((b"Host", host)), NONE, NONE) is None


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"evil.example",
        b"evil.example:10000",
        b"127.0.0.1.evil.example",
        b"127.0.0.1.nip.io:10000",
        b"localhost.evil.example",
        b"localhost.",
        b"foo.localhost",
        b"docker.internal",
        b"x.host.docker.internal",
        b"127.1",
        b"999.0.0.1",
        b"[evil.example]",
        b"[::1",
        b"[::1]x",
        b"[zz::1]",
        b"localhost@evil.example",
        b"evil.example@localhost",
        b"localhost,evil.example",
        b"localhost evil.example",
        b"localhost:port",
        b"localhost:1:2",
        b"http://localhost",
        b"localhost/",
        b"a" * 300,
        "löcalhost".encode(),
    ],
)
def test_foreign_hosts(host: bytes) -> None:
    """Names in the public DNS, and everything that is not one host."""
    refusal = foreign(head((b"Host", host)), NONE, NONE)
    assert refusal is not None
    assert (refusal.status, refusal.code, refusal.retryable) == (403, "foreign_host", False)


def test_no_host_is_foreign() -> None:
    """HTTP/1.0 without Host says nothing of whom it meant."""
    assert foreign(head(), NONE, NONE) is not None


def test_allowed_hosts() -> None:
    """`allowed_hosts` are names without port, in any case; they allow themselves only."""
    allowed = frozenset((b"proxy.corp.example",))
    assert foreign(head((b"Host", b"Proxy.Corp.example:10000")), allowed, NONE) is None
    assert foreign(head((b"Host", b"x.proxy.corp.example")), allowed, NONE) is not None


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        # fetch() and forms of a page of any site; a page of file: or a sandboxed frame
        ([(b"Origin", b"https://evil.example"), (b"Sec-Fetch-Site", b"cross-site")], False),
        ([(b"Origin", b"http://localhost:3000"), (b"Sec-Fetch-Site", b"same-site")], False),
        ([(b"Origin", b"http://127.0.0.1:10000"), (b"Sec-Fetch-Site", b"same-origin")], False),
        ([(b"Origin", b"null")], False),
        ([(b"Origin", b"")], False),
        # pictures, scripts, links and prerendering: no Origin
        ([(b"Sec-Fetch-Site", b"cross-site"), (b"Sec-Fetch-Mode", b"no-cors")], False),
        ([(b"Sec-Fetch-Site", b"same-site"), (b"Sec-Fetch-Mode", b"no-cors")], False),
        ([(b"sec-fetch-site", b"Cross-Site")], False),
        ([(b"Sec-Fetch-Site", b"something-new")], False),
        # several of them: none may be foreign, whichever comes last
        ([(b"Sec-Fetch-Site", b"cross-site"), (b"Sec-Fetch-Site", b"none")], False),
        ([(b"Origin", b"https://evil.example"), (b"Origin", b"https://ours.example")], False),
        # typed in by a person; Node's fetch; an SDK
        ([(b"Sec-Fetch-Site", b"none"), (b"Sec-Fetch-Mode", b"navigate")], True),
        ([(b"Sec-Fetch-Site", b"same-origin")], True),
        ([(b"sec-fetch-mode", b"cors"), (b"user-agent", b"node")], True),
        ([(b"Authorization", b"Bearer x"), (b"User-Agent", b"OpenAI/Python")], True),
        # allowed by the settings
        ([(b"Origin", b"https://ours.example"), (b"Sec-Fetch-Site", b"cross-site")], True),
        ([(b"Origin", b"https://OURS.example")], True),
        ([(b"Origin", b"https://ours.example.evil.example")], False),
        ([(b"Origin", b"http://ours.example")], False),
    ],
)
def test_origins(headers: list[tuple[bytes, bytes]], passes: bool) -> None:
    """What browsers send for each way of making a request, and what else may come."""
    refusal = foreign(head((b"Host", b"127.0.0.1:10000"), *headers), NONE, frozenset((b"https://ours.example",)))
    assert (refusal is None) is passes
    if refusal is not None:
        assert (refusal.status, refusal.code) == (403, "foreign_origin")


def test_only_what_can_be_allowed_is_called_so() -> None:
    """The admin listener has no setting for origins; it has the hosts of the ports."""
    request = head((b"Host", b"localhost"), (b"Origin", b"https://ours.example"))
    of_port, of_admin = foreign(request, NONE, NONE), foreign(request, NONE, None)
    assert of_port is not None and of_admin is not None
    assert "`allowed_origins`" in of_port.message
    assert of_admin.message == "Requests of this web page are not allowed here."
    host = foreign(head((b"Host", b"evil.example")), NONE, None)
    assert host is not None and "the `allowed_hosts` of a port" in host.message


def test_an_allowed_origin_does_not_allow_a_foreign_host() -> None:
    """Both rules hold: a rebound name is not one of ours because the page's origin is."""
    request = head((b"Host", b"evil.example"), (b"Origin", b"https://ours.example"))
    refusal = foreign(request, NONE, frozenset((b"https://ours.example",)))
    assert refusal is not None
    assert refusal.code == "foreign_host"


@given(st.from_regex(r"[a-z0-9-]{1,20}(\.[a-z0-9-]{1,20}){1,4}\.?", fullmatch=True), st.sampled_from(["", ":80"]))
def test_no_dotted_name_passes(name: str, port: str) -> None:
    """Law: a name with a dot passes only as an address or as the one exception."""
    octets = name.split(".")
    address = len(octets) == 4 and all(
        octet.isdigit() and str(int(octet)) == octet and int(octet) <= 255 for octet in octets
    )
    refusal = foreign(head((b"Host", (name + port).encode())), NONE, NONE)
    assert (refusal is None) is (address or name == "host.docker.internal")


@given(st.binary(max_size=40))
def test_any_host_has_an_answer(host: bytes) -> None:
    """Law: no bytes raise."""
    foreign(head((b"Host", host)), NONE, NONE)
