"""Server endpoint strings ("tcp:10000:interface=127.0.0.1"), read without Twisted.

Rules (twisted.internet.endpoints.serverFromString): parts are separated by ":", a backslash takes the next character
as it is, `name=value` parts are named and the others count by position.  Only what the proxy must know beforehand is
checked here: the kind, the port, that a tcp listener does not open itself to the network by omission, and that two
listeners do not want the same address.  The rest is Twisted's to judge when it opens the listener.
"""

import difflib
import ipaddress
import re

import msgspec

#: Kinds that are served on the fast path.  Any other goes to Twisted's endpoint plugins, with a warning.
FAST = ("tcp", "tcp6", "unix", "systemd", "ssl", "tls")

#: Kinds that Twisted knows by itself beside those.
SLOW = ("haproxy",)

#: Kinds that are a port of an address.
TCP = ("tcp", "tcp6", "ssl", "tls")

#: What each kind may say by name.  A misspelt part would otherwise be ignored, or fail when the listener opens.
_PARTS = {
    "tcp": ("port", "interface", "backlog"),
    "unix": ("address", "mode", "backlog", "lockfile"),
    "systemd": ("domain", "name", "index"),
    "ssl": ("port", "privateKey", "certKey", "interface", "backlog", "extraCertChain", "dhParameters"),
    "tls": ("path", "port", "interface", "backlog"),
    "tcp6": ("port", "interface", "backlog"),
}

#: Permissions of a socket in the file system: octal, as in `chmod`.
_MODE = re.compile(r"0?[0-7]{3}")

#: Where a tcp listener binds that names no interface: agents of this host, nobody else.
LOOPBACK = "127.0.0.1"
LOOPBACK6 = "::1"

#: The certificate of a TLS listener, as an example.
_FILES = ":privateKey=/etc/awfproxy/key.pem:certKey=/etc/awfproxy/chain.pem"

#: Names of hosts that stand for an address to listen on; none: the one of omission.
_HOSTS = {"": None, "localhost": LOOPBACK, "*": "0.0.0.0"}

#: Interfaces that take every address, and with it every other listener's.
WILDCARDS = ("", "0.0.0.0", "::")

_PORT_MAX = 65535

_SLOWLY = f"is served on Twisted's own transports, not on the fast path (that takes {', '.join(FAST)})"


class TlsFiles(msgspec.Struct, frozen=True):
    """Where a TLS listener has its certificates: one with its key, or a folder of them."""

    #: files in PEM form; "": none
    key: str = ""
    certificate: str = ""
    #: certificates between that one and an authority's, where they do not stand behind it
    chain: str = ""
    #: of Diffie and Hellman, for clients of TLS 1.2 without elliptic curves
    parameters: str = ""
    #: every `*.pem` in it is a key and its certificates; a client's server name says which it gets
    folder: str = ""


class Endpoint(msgspec.Struct, frozen=True):
    """A server endpoint string that was understood."""

    #: the string to give to Twisted; a tcp one names its interface
    text: str
    kind: str
    #: of `TCP` kinds only; None for others
    port: int | None = None
    interface: str = ""
    #: unix only
    path: str = ""
    #: unix only: permissions; None: what the umask leaves
    mode: int | None = None
    #: ssl and tls only
    tls: TlsFiles | None = None
    #: a sentence, where the string works but not on the fast path
    warning: str | None = None

    def same_place(self, other: "Endpoint") -> bool:
        """Would both want the same address?  Port 0 never clashes: the kernel picks a free one."""
        if self.path or other.path:
            return self.path == other.path
        if not self.port or self.port != other.port:
            return self.port is None and self.text == other.text
        anywhere = self.interface in WILDCARDS or other.interface in WILDCARDS
        return anywhere or self.interface == other.interface


def parse_endpoint(text: str, interface: str = LOOPBACK) -> Endpoint | str:
    """An endpoint string's meaning, or what is wrong with it (the end of a sentence that begins with the key).

    :param interface: address for tcp-like kinds that name none.
    """
    parts = _split(text.strip())
    kind = parts[0][1]
    if kind.isdigit():
        return f"is a port number alone; write `tcp:{kind}`"
    if kind == "stdio":
        return "is standard input and output, which nobody can connect to; write `tcp:10000`"
    if kind not in FAST + SLOW:
        if (meant := _meant(text.strip())) is not None:
            return meant
        near = difflib.get_close_matches(kind, FAST + SLOW, 1)
        if not parts[1:] or near:
            return f"is no server endpoint string; it begins like `{near[0] if near else 'tcp'}:...`"
    named = {name: value for name, value in parts[1:] if name}
    positional = [value for name, value in parts[1:] if not name]
    known = _PARTS.get(kind)
    if known is not None and (unknown := next((name for name in named if name not in known), None)) is not None:
        near = difflib.get_close_matches(unknown, known, 1)
        hint = f"did you mean `{near[0]}`?" if near else f"valid are {', '.join(f'`{one}`' for one in known)}"
        return f"has the unknown part `{unknown}`; {hint}"
    if kind == "haproxy":
        inner = parse_endpoint(text.strip().partition(":")[2], interface)
        if isinstance(inner, str):
            return inner
        return msgspec.structs.replace(inner, text=f"haproxy:{inner.text}", kind=kind, warning=_SLOWLY)
    if kind == "tcp6":
        return _tcp(text.strip(), kind, named, positional, LOOPBACK6 if interface == LOOPBACK else interface)
    if kind in ("ssl", "tls"):
        bound = _tcp(text.strip(), kind, named, positional, interface)
        files = _ssl(named, positional) if kind == "ssl" else _tls(named, positional)
        return bound if isinstance(bound, str) else msgspec.structs.replace(bound, tls=files)
    if kind not in FAST:
        return Endpoint(text.strip(), kind, warning=_SLOWLY)
    if kind == "unix":
        return _unix(text.strip(), named, positional)
    if kind == "systemd":
        if "index" in named or "name" not in named:
            # By index the order of the lines in the .socket unit would decide which credential a port spends.
            return "must name its socket; write `systemd:domain=INET:name=openai` (FileDescriptorName= of its unit)"
        return Endpoint(text.strip(), kind)
    return _tcp(text.strip(), kind, named, positional, interface)


def _meant(text: str) -> str | None:
    """What to write where an address, a URL or a path stands in the place of an endpoint; None: it is none of them.

    Such are `127.0.0.1:10000`, `[::1]:10000`, `localhost:10000`, `:10000`, `http:10000`, `https://0.0.0.0:443/`, and
    `/run/x`.
    """
    if text.startswith(("/", "./")):
        return f"is no server endpoint string; write `unix:{text}`"
    scheme, _, rest = text.partition(":")
    if scheme.lower() not in ("http", "https"):
        scheme, rest = "", text
    authority = rest.lstrip("/").partition("/")[0]
    if authority.startswith("["):
        host, _, behind = authority[1:].partition("]")
        port = behind[1:]
    elif _ip(authority) is not None:
        host, port = authority, ""
    else:
        host, _, behind = authority.partition(":")
        port = behind.partition(":")[0]
        if scheme and not port and host.isdigit():
            host, port = "", host
    port = port if port.isdigit() else ""
    if not scheme and not (port if not host else host in _HOSTS or "." in host or _ip(host)):
        return None
    written = f"ssl:{port or 443}{_FILES}" if scheme.lower() == "https" else f"tcp:{port or 10000}"
    address = _HOSTS.get(host, _ip(host))
    if address is not None:
        written += ":interface=" + address.replace(":", "\\:")
    return f"is no server endpoint string; write `{written}`"


def _ip(host: str) -> str | None:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None


def _unix(text: str, named: dict[str, str], positional: list[str]) -> Endpoint | str:
    path = named.get("address", positional[0] if positional else "")
    if not path:
        return "names no path; write `unix:/run/awfproxy/openai.sock`"
    mode = named.get("mode")
    if mode is not None and _MODE.fullmatch(mode) is None:
        return "has a mode that is no file mode; write `mode=660`"
    return Endpoint(text, "unix", path=path, mode=None if mode is None else int(mode, 8))


def _tcp(text: str, kind: str, named: dict[str, str], positional: list[str], default: str) -> Endpoint | str:
    # `tls:` begins with the folder of its certificates, the others with the port.
    ports = positional[1:] if kind == "tls" and "path" not in named else positional
    port = named.get("port", ports[0] if ports else "")
    if not port.isascii() or not port.isdigit() or int(port) > _PORT_MAX:
        example = "tls:/etc/awfproxy/certificates:port=10000" if kind == "tls" else f"{kind}:10000"
        return f"has no port number between 0 and {_PORT_MAX}; write `{example}`"
    if len(positional) > 1 and kind in ("tcp", "tcp6"):
        return f"has an unnamed part `{positional[1]}`; write `tcp:{port}:interface={positional[1]}`"
    if kind == "tls" and not (named.get("path") or (positional and positional[0])):
        return "names no folder of certificates; write `tls:/etc/awfproxy/certificates:port=10000`"
    if len(positional) > 3:
        return f"has an unnamed part `{positional[3]}`; name it"
    if "interface" in named:
        try:
            address = ipaddress.ip_address(named["interface"])
        except ValueError:
            return f"binds to `{named['interface']}`, which is no IP address (in IPv6 each colon is written `\\:`)"
        return Endpoint(text, kind, int(port), str(address))
    bound = default.replace(":", "\\:")
    return Endpoint(f"{text}:interface={bound}", kind, int(port), default)


def _ssl(named: dict[str, str], positional: list[str]) -> TlsFiles:
    """As Twisted reads it: behind the port come key and certificate, which may be one file."""
    behind = positional if "port" in named else positional[1:]
    key = named.get("privateKey", behind[0] if behind else "server.pem")
    certificate = named.get("certKey", behind[1] if len(behind) > 1 else key)
    return TlsFiles(key, certificate, named.get("extraCertChain", ""), named.get("dhParameters", ""))


def _tls(named: dict[str, str], positional: list[str]) -> TlsFiles:
    return TlsFiles(folder=named.get("path", positional[0] if positional else ""))


def _split(text: str) -> list[tuple[str, str]]:
    """(name, value) of each part; the name is "" for a positional one."""
    parts: list[tuple[str, str]] = []
    name, value, escaped = "", "", False
    for char in text:
        if escaped:
            value, escaped = value + char, False
        elif char == "\\":
            escaped = True
        elif char == ":":
            parts.append((name, value))
            name, value = "", ""
        elif char == "=" and not name:
            name, value = value, ""
        else:
            value += char
    parts.append((name, value))
    return parts


class Listeners:
    """The listeners of one configuration: no two in one place."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self._seen: list[tuple[str, Endpoint]] = []

    def add(self, text: str, whose: str, interface: str = LOOPBACK) -> Endpoint | str:
        """The endpoint, or what is wrong with it (the rest of a sentence that begins with the key).

        :param whose: who listens there, for messages about it ("`ports.openai`").
        """
        endpoint = parse_endpoint(text, interface)
        if isinstance(endpoint, str):
            return endpoint
        for other, taken in self._seen:
            if endpoint.same_place(taken):
                return f"is `{endpoint.text}`, where {other} listens already (`{taken.text}`)"
        self._seen.append((whose, endpoint))
        if endpoint.warning:
            self.warnings.append(f"{whose}: `{endpoint.text}` {endpoint.warning}.")
        return endpoint
