"""The URLs and host names of the settings: upstreams, CONNECT proxies, NO_PROXY, allowed hosts and origins.

Rules: nothing is guessed.  What two programs could read in two ways (user information, a query, a backslash, a second
port) is refused.  A refusal is the end of a sentence that begins with the key, and never repeats a value that could
hold a password.
"""

import base64
import ipaddress
import re
from typing import Literal
from urllib.parse import unquote_to_bytes, urlsplit

from awfproxy.core.credentials import looks_like_key
from awfproxy.core.secret import Secret, SecretError
from awfproxy.core.settings import Proxy, Upstream

#: Characters of a host name that goes into a Host header and a resolver: letters, digits, dot, hyphen, underscore.
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?\.?")
#: RFC 5890 section 2.3.1: the labels of names that certificates are for; two hyphens in the third place are reserved
_LABEL = re.compile(r"(?!(?!xn)..--)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
#: An origin as browsers send it (RFC 6454 section 6.2); any scheme, since editors and extensions have their own.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9_][a-z0-9_.-]*)(:[0-9]{1,5})?")
#: Path of an upstream: what RFC 3986 allows without encoding again.
_PATH = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*/*")

_PORT_MAX = 65535
#: What curl takes for a proxy without a port.
_PROXY_PORT = 1080


def parse_upstream(text: str) -> Upstream | str:
    """`http[s]://host[:port][/base]`, or what is wrong with it."""
    text = text.strip()
    if "@" in text:
        return "has user information in it; give the key in `credential` instead"
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        return "has characters that no URL has (names outside ASCII are written in punycode)"
    if "://" not in text:
        return f"has no scheme; write `https://{'HOST' if looks_like_key(text) else text.lstrip('/')}`"
    if "?" in text or "#" in text:
        return "has a query or a fragment, which cannot be put before other paths"
    try:
        parts = urlsplit(text)
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port
    except ValueError:
        return "has a port that is no number up to 65535, or an address in broken brackets"
    if scheme not in ("http", "https"):
        return f"has the scheme `{scheme}`; only http and https are spoken"
    host_problem = _host_problem(host)
    if host_problem:
        return host_problem
    if port == 0 or parts.netloc.endswith(":"):
        return "has no usable port number"
    if not _PATH.fullmatch(parts.path) or _climbs(parts.path):
        return "has a path with empty or `..` segments, or with characters that must be percent-encoded"
    default = 443 if scheme == "https" else 80
    return Upstream("https" if scheme == "https" else "http", host, port or default, parts.path.rstrip("/"))


def parse_target(text: str, default: str | None) -> Upstream | str:
    """The value of a `*_API_TARGET` variable: a host name as AWF has it, or a full URL.

    A bare host (with or without a port) is spoken to by https, under the base path of the provider's own URL; a URL is
    taken as it stands.
    """
    text = text.strip()
    if "://" in text:
        return parse_upstream(text)
    bare = parse_upstream(f"https://{text}")
    if isinstance(bare, str) or bare.base or text.endswith("/") or default is None:
        return bare
    own = parse_upstream(default)
    base = own.base if isinstance(own, Upstream) else ""
    return Upstream(bare.scheme, bare.host, bare.port, base)


def parse_proxy(text: str) -> Proxy | str:
    """The value of HTTPS_PROXY, or what is wrong with it, with nothing of it repeated: it may hold a password."""
    text = text.strip()
    if "://" not in text:
        text = f"http://{text}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        user, password = parts.username, parts.password
    except ValueError:
        return "is no proxy URL; write `http://host:port`"
    if parts.scheme != "http":
        return "has a scheme other than http; only plain HTTP proxies with CONNECT are supported"
    if _host_problem(host) or port == 0 or parts.path not in ("", "/") or parts.query or parts.fragment:
        return "is no proxy URL; write `http://host:port`"
    if user is None:
        return Proxy(host, port or _PROXY_PORT)
    pair = unquote_to_bytes(user) + b":" + unquote_to_bytes(password or "")
    try:
        authorization = Secret(b"Basic " + base64.b64encode(pair))
    except SecretError:
        return "has a user name or password that is too long"
    return Proxy(host, port or _PROXY_PORT, authorization)


def parse_webhook(text: str) -> Secret | str:
    """An http(s) URL to which something is told, or what is wrong with it, with nothing of it repeated.

    Such URLs are secrets: whoever has one may write there.
    """
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.port != 0 and not _host_problem(parts.hostname or "")
        usable = usable and (parts.scheme == "http" or _certifiable(parts.hostname or ""))
    except ValueError:
        usable = False
    if not usable or not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        return "is no URL that could be called; write `https://host/path`"
    if "@" in parts.netloc or "#" in text:
        return "has user information or a fragment in it, which would not be sent"
    try:
        return Secret(text)
    except SecretError:
        return "is too long"


def webhook_origin(url: Secret) -> Upstream:
    """Where a webhook is, without its path: of a URL that `parse_webhook` took."""
    parts = urlsplit(url.reveal().decode("ascii"))
    scheme: Literal["http", "https"] = "http" if parts.scheme == "http" else "https"
    return Upstream(scheme, parts.hostname or "", parts.port or (80 if scheme == "http" else 443))


def goes_direct(upstream: Upstream, no_proxy: str) -> bool:
    """Does NO_PROXY, or good sense, say that the proxy is not asked for this upstream?

    As Go's net/http has it: loopback hosts are never proxied; an entry is `*`, a name (which takes its subdomains
    along), a name with a dot in front (subdomains only), an IP address, a network in CIDR form, each with or without
    `:port`.
    """
    host = upstream.host.lower().rstrip(".")
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(_covers(entry.strip().lower(), host, address, upstream.port) for entry in no_proxy.split(","))


def parse_allowed_host(text: str) -> str | None:
    """A host name in lower case, or None where it is none (a scheme, a port, a wildcard)."""
    name = text.strip().lower().rstrip(".")
    return name if _NAME.fullmatch(name) else None


def parse_allowed_origin(text: str) -> str | None:
    """An origin in lower case, or None where it is none.  `null` and `*` are none: any page can send the first."""
    origin = text.strip().lower().rstrip("/")
    return origin if _ORIGIN.fullmatch(origin) else None


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _address(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _host_problem(host: str) -> str | None:
    if not host:
        return "names no host"
    if _address(host) is None and not _NAME.fullmatch(host):
        return "has a host name with characters that no host name has (names outside ASCII are written in punycode)"
    return None


def _certifiable(host: str) -> bool:
    """Whether a certificate can be for a host: an address, or a name of letters, digits and inner hyphens."""
    return _address(host) is not None or all(_LABEL.fullmatch(label) for label in host.removesuffix(".").split("."))


def _climbs(path: str) -> bool:
    """Empty or dot segments, also percent-encoded, ahead of the trailing slashes."""
    segments = path.rstrip("/").split("/")[1:]
    return any(segment.lower().replace("%2e", ".") in ("", ".", "..") for segment in segments)


def _covers(entry: str, host: str, address: _Address | None, port: int) -> bool:
    if entry == "*":
        return True
    if not entry:
        return False
    if "/" in entry:
        try:
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, colon, number = entry.rpartition(":")
    if colon and number.isdigit() and (":" not in name or name.endswith("]")):
        if int(number) != port:
            return False
        entry = name
    entry = entry.strip("[]").removeprefix("*")
    if address is not None:
        return _address(entry) == address
    bare = entry.lstrip(".").rstrip(".")
    return host.endswith(f".{bare}") or (host == bare and not entry.startswith("."))
