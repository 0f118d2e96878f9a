"""Upstreams, proxies and host names: read in one way or refused."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.secret import SECRET_MAX, Secret
from awfproxy.core.settings import Proxy, Upstream
from awfproxy.core.urls import (
    goes_direct,
    parse_allowed_host,
    parse_allowed_origin,
    parse_proxy,
    parse_target,
    parse_upstream,
    parse_webhook,
    webhook_origin,
)


@pytest.mark.parametrize(
    ("text", "upstream", "origin"),
    [
        ("https://api.openai.com/v1", Upstream("https", "api.openai.com", 443, "/v1"), "api.openai.com"),
        ("https://api.openai.com/v1/", Upstream("https", "api.openai.com", 443, "/v1"), "api.openai.com"),
        ("http://127.0.0.1:8000", Upstream("http", "127.0.0.1", 8000, ""), "127.0.0.1:8000"),
        ("http://127.0.0.1:8000///", Upstream("http", "127.0.0.1", 8000, ""), "127.0.0.1:8000"),
        ("HTTP://vLLM:80/", Upstream("http", "vllm", 80, ""), "vllm"),
        ("https://[::1]:8443/a/b", Upstream("https", "::1", 8443, "/a/b"), "[::1]:8443"),
        ("https://h:80", Upstream("https", "h", 80, ""), "h:80"),
    ],
)
def test_reads_an_upstream(text: str, upstream: Upstream, origin: str) -> None:
    """Scheme, host, port and base path; the Host header leaves the default port out."""
    found = parse_upstream(text)
    assert isinstance(found, Upstream)
    assert (found, found.origin) == (upstream, origin)
    assert parse_upstream(found.url) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("api.openai.com", "write `https://api.openai.com`"),
        ("ftp://h", "only http and https"),
        ("https://", "names no host"),
        ("https://key@h", "credential"),
        ("https://u:sesame@h", "credential"),
        ("https://h?x=1", "query"),
        ("https://h/#f", "fragment"),
        ("https://h:0", "port"),
        ("https://h:", "port"),
        ("https://h:99999", "port"),
        ("https://[::1", "brackets"),
        ("https://h/../x", "`..`"),
        ("https://h/%2e%2E/x", "`..`"),
        ("https://h//x", "empty"),
        ("https://h/a b", "characters"),
        ("https://h\\x", "characters"),
        ("https://h\r\nX: y", "characters"),
        ("https://bücher.example", "punycode"),
    ],
)
def test_refuses_what_could_be_read_in_two_ways(text: str, words: str) -> None:
    """Each refusal says why, and none repeats a password."""
    problem = parse_upstream(text)
    assert isinstance(problem, str)
    assert words in problem
    assert "sesame" not in problem


@pytest.mark.parametrize(
    "text",
    [
        "https://hooks.example/T0/sesame", "http://127.0.0.1:9/", "https://[::1]/x?key=sesame&b=%20",
        "http://my_hook:9/", "https://hooks.example./", "https://xn--bcher-kva.example/", "https://a--b.example/",
    ],
)  # fmt: skip
def test_a_webhook_is_a_secret(text: str) -> None:
    """Path and query are whatever the receiver wants."""
    assert parse_webhook(text) == Secret(text)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://hooks.example/T0", Upstream("https", "hooks.example", 443)),
        ("http://127.0.0.1:9/", Upstream("http", "127.0.0.1", 9)),
        ("http://[::1]", Upstream("http", "::1", 80)),
    ],
)
def test_where_a_webhook_is(text: str, origin: Upstream) -> None:
    """Scheme, host and port, and nothing of the path."""
    assert webhook_origin(Secret(text)) == origin


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hooks.example/sesame", "write `https://"),
        ("ftp://hooks.example/sesame", "write `https://"),
        ("https:///sesame", "write `https://"),
        ("https://h:0/sesame", "write `https://"),
        ("https://a_b.example/sesame", "write `https://"),
        ("https://-a.example/sesame", "write `https://"),
        ("https://a..example/sesame", "write `https://"),
        ("https://ab--c.example/sesame", "write `https://"),
        ("https://h:sesame/", "write `https://"),
        ("https://h/ses ame", "write `https://"),
        ("https://h/sesam\u00e9", "write `https://"),
        ("https://h/sesame\n", "write `https://"),
        ("https://u:sesame@h/", "user information"),
        ("https://h/#sesame", "fragment"),
        ("https://h/" + "x" * SECRET_MAX, "too long"),
    ],
)
def test_a_webhook_that_could_not_be_called_is_refused(text: str, words: str) -> None:
    """And nothing of it repeated."""
    problem = parse_webhook(text)
    assert isinstance(problem, str)
    assert words in problem
    assert "ses" not in problem


@given(st.text())
def test_any_text_has_an_answer(text: str) -> None:
    """Nothing raises, and what is accepted reads the same when written out."""
    found = parse_upstream(text)
    if isinstance(found, Upstream):
        assert parse_upstream(found.url) == found
    assert isinstance(parse_proxy(text), Proxy | str)
    assert isinstance(parse_target(text, "https://x/v1"), Upstream | str)
    assert isinstance(parse_webhook(text), Secret | str)


@pytest.mark.parametrize(
    ("text", "upstream"),
    [
        ("gw.example", Upstream("https", "gw.example", 443, "/v1")),
        ("gw.example:8443", Upstream("https", "gw.example", 8443, "/v1")),
        ("gw.example/openai", Upstream("https", "gw.example", 443, "/openai")),
        ("gw.example/", Upstream("https", "gw.example", 443, "")),
        ("https://gw.example", Upstream("https", "gw.example", 443, "")),
        ("http://gw.example:1/x", Upstream("http", "gw.example", 1, "/x")),
    ],
)
def test_a_target_is_a_host_or_a_url(text: str, upstream: Upstream) -> None:
    """AWF's bare host keeps the provider's base path; a URL is taken at its word."""
    assert parse_target(text, "https://api.openai.com/v1") == upstream


def test_reads_a_proxy_with_its_password() -> None:
    """User and password are percent-decoded and become a Basic header that no repr shows."""
    proxy = parse_proxy("http://me:p%40ss@squid:3128")
    assert isinstance(proxy, Proxy)
    assert (proxy.host, proxy.port) == ("squid", 3128)
    assert proxy.authorization is not None
    assert proxy.authorization.reveal() == b"Basic " + base64.b64encode(b"me:p@ss")
    assert "p@ss" not in repr(proxy)


@pytest.mark.parametrize("text", ["squid:3128", "http://squid:3128", "http://squid:3128/"])
def test_reads_a_proxy_without_password(text: str) -> None:
    """The scheme may be left out, as with curl."""
    assert parse_proxy(text) == Proxy("squid", 3128)


@pytest.mark.parametrize(
    "text", ["socks5://u:sesame@h:1", "https://u:sesame@h:1", "http://u:sesame@", "http://u:sesame@h:x"]
)
def test_refuses_a_proxy_without_repeating_it(text: str) -> None:
    """Other kinds of proxy are refused, and the password stays unsaid."""
    problem = parse_proxy(text)
    assert isinstance(problem, str)
    assert "sesame" not in problem


@pytest.mark.parametrize(
    ("url", "no_proxy", "direct"),
    [
        ("https://api.openai.com", "", False),
        ("https://api.openai.com", "*", True),
        ("https://api.openai.com", "openai.com", True),
        ("https://api.openai.com", ".openai.com", True),
        ("https://openai.com", ".openai.com", False),
        ("https://openai.com", "openai.com", True),
        ("https://notopenai.com", "openai.com", False),
        ("https://api.openai.com", "x, API.OPENAI.COM ,y", True),
        ("https://api.openai.com", "*.openai.com", True),
        ("https://api.openai.com:8443", "api.openai.com:443", False),
        ("https://api.openai.com:8443", "api.openai.com:8443", True),
        ("https://10.1.2.3", "10.0.0.0/8", True),
        ("https://11.1.2.3", "10.0.0.0/8", False),
        ("https://10.1.2.3", "10.1.2.3", True),
        ("https://[fd00::1]", "fd00::1", True),
        ("https://[fd00::1]:9", "[fd00::1]:9", True),
        ("https://[fd00::1]:9", "[fd00::1]:8", False),
        ("https://[fd00::1]", "fd00::/8", True),
        ("https://localhost:9", "", True),
        ("https://127.0.0.2:9", "", True),
        ("https://[::1]:9", "", True),
        ("https://h", "10.0.0.0/99,,", False),
    ],
)
def test_no_proxy(url: str, no_proxy: str, direct: bool) -> None:
    """As Go's net/http reads it."""
    upstream = parse_upstream(url)
    assert isinstance(upstream, Upstream)
    assert goes_direct(upstream, no_proxy) is direct


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("Proxy.Example", "proxy.example"),
        ("a.b.", "a.b"),
        ("http://a.b", None),
        ("a.b:80", None),
        ("*", None),
        ("", None),
    ],
)
def test_allowed_hosts(text: str, host: str | None) -> None:
    """Names alone, in lower case."""
    assert parse_allowed_host(text) == host


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://App.example:8443/", "https://app.example:8443"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("vscode-webview://abc", "vscode-webview://abc"),
        ("null", None),
        ("*", None),
        ("https://a.example/x", None),
        ("app.example", None),
    ],
)
def test_allowed_origins(text: str, origin: str | None) -> None:
    """Origins as browsers send them; `null` and `*` would let any page in."""
    assert parse_allowed_origin(text) == origin
