"""Server endpoint strings: loopback by omission, clashes seen, mistakes named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.endpoints import serverFromString

from awfproxy.core.endpoints import Endpoint, Listeners, TlsFiles, parse_endpoint


def parsed(text: str, interface: str = "127.0.0.1") -> Endpoint:
    endpoint = parse_endpoint(text, interface)
    assert isinstance(endpoint, Endpoint), endpoint
    return endpoint


@pytest.mark.parametrize("text", ["tcp:10000", "tcp:port=10000", "tcp:10000:backlog=50", "ssl:443:privateKey=k.pem"])
def test_binds_to_loopback_by_omission(text: str) -> None:
    """A listener that names no interface is for this host alone."""
    assert parsed(text).text == f"{text}:interface=127.0.0.1"


@pytest.mark.parametrize(
    ("text", "interface"),
    [
        ("tcp:1:interface=0.0.0.0", "0.0.0.0"),
        (r"tcp:1:interface=\:\:1", "::1"),
        ("tcp:1:interface=10.0.0.1", "10.0.0.1"),
    ],
)
def test_keeps_a_named_interface(text: str, interface: str) -> None:
    """What is said is done."""
    endpoint = parsed(text)
    assert (endpoint.text, endpoint.interface) == (text, interface)


def test_the_interface_of_omission_can_be_ipv6() -> None:
    """Colons of the address are escaped, as Twisted wants them."""
    assert parsed("tcp:1", "::").text == r"tcp:1:interface=\:\:"


@pytest.mark.parametrize("text", ["tcp:10000", r"tcp:0:interface=\:\:1", "unix:/run/x.sock", "unix:/run/x:mode=660"])
def test_twisted_understands_what_comes_out(text: str) -> None:
    """The string that is handed on is one that Twisted takes."""
    assert serverFromString(object(), parsed(text).text) is not None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10000", "write `tcp:10000`"),
        ("tpc:10000", "begins like `tcp:...`"),
        ("unxi:/run/x", "begins like `unix:...`"),
        ("", "no server endpoint string"),
        ("localhost", "no server endpoint string"),
        ("tcp:", "no port number"),
        ("tcp:http", "no port number"),
        ("tcp:65536", "no port number"),
        ("tcp:-1", "no port number"),
        ("tcp:1:interface=localhost", "no IP address"),
        ("tcp:1:127.0.0.1", "write `tcp:1:interface=127.0.0.1`"),
        ("unix:", "names no path"),
        ("systemd:domain=INET:index=0", "name="),
        ("systemd:domain=INET", "name="),
        ("tcp:1:iface=0.0.0.0", "did you mean `interface`?"),
        ("unix:/run/x:perms=660", "unknown part `perms`; valid are `address`"),
        ("unix:/run/x:mode=rw", "no file mode"),
        ("tls:10000", "write `tls:/etc/awfproxy/certificates:port=10000`"),
        ("tls:port=443", "names no folder"),
        ("ssl:443:sslmethod=TLSv1_METHOD", "unknown part `sslmethod`"),
        ("ssl:443:k:c:m", "unnamed part `m`"),
        ("haproxy:tcp", "no port number"),
        ("127.0.0.1:3870", "write `tcp:3870:interface=127.0.0.1`"),
        ("127.0.0.1", "write `tcp:10000:interface=127.0.0.1`"),
        ("0.0.0.0:3870", "write `tcp:3870:interface=0.0.0.0`"),
        ("*:3870", "write `tcp:3870:interface=0.0.0.0`"),
        (":3870", "write `tcp:3870`"),
        ("[::1]:3870", r"write `tcp:3870:interface=\:\:1`"),
        ("::1", r"write `tcp:10000:interface=\:\:1`"),
        ("localhost:http", "write `tcp:10000:interface=127.0.0.1`"),
        ("/run/x.sock", "write `unix:/run/x.sock`"),
        ("localhost:3870", "write `tcp:3870:interface=127.0.0.1`"),
        ("llm.example.org:3870", "write `tcp:3870`"),
        ("http:3870", "write `tcp:3870`"),
        ("http://127.0.0.1:3870/v1", "write `tcp:3870:interface=127.0.0.1`"),
        ("https:443", "write `ssl:443:privateKey=/etc/awfproxy/key.pem:certKey=/etc/awfproxy/chain.pem`"),
        ("HTTPS://localhost", "chain.pem:interface=127.0.0.1`"),
        ("haproxy:127.0.0.1:3870", "write `tcp:3870:interface=127.0.0.1`"),
        ("stdio:", "nobody can connect to"),
    ],
)
def test_names_the_mistake(text: str, words: str) -> None:
    """What cannot be meant is refused, with what would be right."""
    problem = parse_endpoint(text)
    assert isinstance(problem, str)
    assert words in problem


@given(
    st.sampled_from(["", "http:", "http://", "https://"]),
    st.sampled_from(["localhost", "127.0.0.1", "[::1]", "*", "a.example"]) | st.ip_addresses(v=4).map(str),
    st.sampled_from(["", "/", "/v1", ":x"]) | st.integers(0, 65535).map(":{}".format),
)
def test_what_is_to_be_written_for_an_address_is_right(scheme: str, host: str, rest: str) -> None:
    """Who does as told is not told again."""
    problem = parse_endpoint(scheme + host + rest)
    assert isinstance(problem, str)
    endpoint = parsed(problem.split("`")[1])
    assert endpoint.kind == ("ssl" if scheme == "https://" else "tcp")
    assert endpoint.warning is None


def test_other_kinds_pass_with_a_warning() -> None:
    """Endpoint plugins work, only slower; they are Twisted's to judge."""
    assert "fast path" in (parsed("onion:80:controlPort=9051").warning or "")
    assert "fast path" in (parsed("haproxy:tcp:80").warning or "")
    for fast in ("tcp:80", "tcp6:80", "ssl:443", "tls:/certificates:443", "unix:/run/x", "systemd:name=x"):
        assert parsed(fast).warning is None


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("ssl:443", TlsFiles("server.pem", "server.pem")),
        ("ssl:443:privateKey=k", TlsFiles("k", "k")),
        ("ssl:443:k:c", TlsFiles("k", "c")),
        ("ssl:443:privateKey=k:certKey=c:extraCertChain=m:dhParameters=d", TlsFiles("k", "c", "m", "d")),
        ("ssl:port=443:k", TlsFiles("k", "k")),
        ("tls:/folder:443", TlsFiles(folder="/folder")),
        ("tls:path=/folder:port=443", TlsFiles(folder="/folder")),
        ("tcp:80", None),
    ],
)
def test_where_certificates_are(text: str, files: TlsFiles | None) -> None:
    """As Twisted reads the string."""
    assert parsed(text).tls == files


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("tcp6:1", r"tcp6:1:interface=\:\:1"),
        ("haproxy:tcp:1", "haproxy:tcp:1:interface=127.0.0.1"),
        ("tls:/certificates:port=1", "tls:/certificates:port=1:interface=127.0.0.1"),
    ],
)
def test_no_kind_opens_itself_to_the_network_by_omission(text: str, complete: str) -> None:
    """The rule of tcp listeners holds for the others that have an interface."""
    assert parsed(text).text == complete
    assert serverFromString(object(), complete) is not None


def test_permissions_of_a_socket_in_the_file_system() -> None:
    """Octal, as everywhere; what is not said is left to the umask."""
    assert parsed("unix:/run/x:mode=660").mode == 0o660
    assert parsed("unix:/run/x").mode is None


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("tcp:10000", "tcp:10000", True),
        ("tcp:10000", "tcp:10001", False),
        ("tcp:10000", "tcp:10000:interface=0.0.0.0", True),
        ("tcp:10000", "tcp:10000:interface=127.0.0.2", False),
        ("tcp:10000", "ssl:10000", True),
        ("tcp:0", "tcp:0", False),
        ("unix:/a", "unix:/a", True),
        ("unix:/a", "unix:/b", False),
        ("unix:/a", "tcp:1", False),
        ("systemd:domain=INET:name=a", "systemd:domain=INET:name=a", True),
        ("systemd:domain=INET:name=a", "systemd:domain=INET:name=b", False),
        ("systemd:domain=INET:name=a", "tcp:1", False),
    ],
)
def test_two_listeners_in_one_place_are_refused(one: str, other: str, clash: bool) -> None:
    """Whichever comes first, the second is told who is there."""
    for first, second in ((one, other), (other, one)):
        listeners = Listeners()
        assert isinstance(listeners.add(first, "`ports.a`"), Endpoint)
        answer = listeners.add(second, "`ports.b`")
        assert isinstance(answer, str) == clash
        if isinstance(answer, str):
            assert "`ports.a` listens already" in answer


@given(st.text())
def test_any_text_has_an_answer(text: str) -> None:
    """Nothing raises; what is understood stays understood when read again."""
    endpoint = parse_endpoint(text)
    if isinstance(endpoint, Endpoint):
        assert parse_endpoint(endpoint.text, "10.9.8.7") == endpoint
