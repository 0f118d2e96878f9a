"""What the environment says, with or without a configuration file.

Rules: the names are AWF's (docs/configuration.md), systemd's, XDG's and the usual ones for a proxy; an empty variable
is an unset one.  With a file only `AWFPROXY_*`, the folders and the network's own variables (HTTPS_PROXY, NO_PROXY)
count; the file has the rest.  A misspelt `AWFPROXY_` name is worth a warning, a wrong value is an error.
"""

import difflib
import ipaddress
import posixpath
from collections.abc import Mapping

from awfproxy.core.endpoints import LOOPBACK
from awfproxy.core.rates import RateLimits
from awfproxy.core.settings import Proxy, Upstream
from awfproxy.core.toml_tables import COUNT_MAX, WORKERS_MAX
from awfproxy.core.urls import goes_direct, parse_allowed_host, parse_proxy

#: Every variable of our own, for the warning about misspelt ones and for the documentation's test.
OWN_NAMES = (
    "AWFPROXY_ADMIN",
    "AWFPROXY_ALLOWED_HOSTS",
    "AWFPROXY_BIND",
    "AWFPROXY_CONFIG",
    "AWFPROXY_PRICES",
    "AWFPROXY_STATE_DIR",
    "AWFPROXY_WORKERS",
)

#: AWF's rates, which mean something only where AWF_RATE_LIMIT_ENABLED is true; the limits they set, and what AWF's
#: api-proxy takes where one is not set (gh-aw-firewall, containers/api-proxy/rate-limiter.js).
_RATES = (
    ("AWF_RATE_LIMIT_RPM", "requests_per_minute", 600),
    ("AWF_RATE_LIMIT_RPH", "requests_per_hour", 1000),
    ("AWF_RATE_LIMIT_BYTES_PM", "bytes_per_minute", 50 * 1024 * 1024),
)

#: Variables of the test suite, which runs the proxy in its own environment.
_TESTS = ("AWFPROXY_CORPUS", "AWFPROXY_TEST_REACTOR")

_TRUE = ("1", "on", "true", "yes")
_FALSE = ("", "0", "false", "no", "off")

#: A value and the name of where it is from, for `awf config show`.
Sourced = tuple[str, str]


class Environment:
    """The variables, read; `faults` and `warnings` hold whole sentences.

    :param directory: what relative paths in variables are relative to; absolute.
    """

    def __init__(self, variables: Mapping[str, str], directory: str) -> None:
        self._variables = variables
        self._directory = directory
        self.faults: list[str] = []
        self.warnings: list[str] = []
        self.admin: str | None = self.get("AWFPROXY_ADMIN")
        #: address of tcp listeners that name none
        self.bind = self._bind()
        self.allowed_hosts = self._allowed_hosts()
        #: the variable that names the CONNECT proxy; None: there is none
        self.proxy_source: str | None = None
        self._proxy = self._read_proxy()
        #: None: not said
        self.workers = self._number("AWFPROXY_WORKERS", WORKERS_MAX)
        for name in variables:
            if name.startswith("AWFPROXY_") and name not in OWN_NAMES and name not in _TESTS:
                near = difflib.get_close_matches(name, OWN_NAMES, 1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(OWN_NAMES)}."
                self.warnings.append(f"{name} is not a variable of awfproxy; {hint}")

    def get(self, name: str) -> str | None:
        """The variable's value without white space around it; None: unset or empty."""
        return self._variables.get(name, "").strip() or None

    def log_dir(self, *, awf: bool) -> Sourced | None:
        """The folder of the logs, absolute.  None: nothing says where.

        :param awf: whether AWF_TOKEN_LOG_DIR counts (not where a configuration file has been read).
        """
        if awf and (path := self.get("AWF_TOKEN_LOG_DIR")):
            return self.absolute(path, self._directory), "environment AWF_TOKEN_LOG_DIR"
        return self._systemd("LOGS_DIRECTORY") or self._xdg("logs")

    def state_dir(self) -> Sourced | None:
        """The folder of the state, absolute.  None: nothing says where."""
        if path := self.get("AWFPROXY_STATE_DIR"):
            return self.absolute(path, self._directory), "environment AWFPROXY_STATE_DIR"
        return self._systemd("STATE_DIRECTORY") or self._xdg("")

    def prices(self) -> Sourced | None:
        """The file of the user's prices, absolute.  None: the environment names none."""
        path = self.get("AWFPROXY_PRICES")
        return (self.absolute(path, self._directory), "environment AWFPROXY_PRICES") if path else None

    def absolute(self, path: str, directory: str) -> str:
        """`path` with `~/` resolved, relative to `directory`: the daemonised process has another working folder."""
        home = self.get("HOME")
        if home and (path == "~" or path.startswith("~/")):
            path = posixpath.join(home, path[2:])
        return posixpath.normpath(posixpath.join(directory, path))

    def proxy_for(self, upstream: Upstream) -> Proxy | None:
        """The CONNECT proxy to go through; None: straight.  Plain http upstreams are never proxied."""
        if upstream.scheme != "https" or self._proxy is None:
            return None
        no_proxy = self.get("no_proxy") or self.get("NO_PROXY") or ""
        return None if goes_direct(upstream, no_proxy) else self._proxy

    def limits(self) -> tuple[RateLimits, dict[str, str]]:
        """Without a file: AWF's rate limits, each with where it is from; off unless switched on, as AWF has them."""
        wanted = (self.get("AWF_RATE_LIMIT_ENABLED") or "").lower()
        if wanted in _TRUE:
            given = {limit: self._number(name, COUNT_MAX) for name, limit, _ in _RATES}
            switch = "AWF_RATE_LIMIT_ENABLED"
            sources = {limit: f"environment {name if self.get(name) else switch}" for name, limit, _ in _RATES}
            return RateLimits(**{limit: given[limit] or default for _, limit, default in _RATES}), sources
        if wanted not in _FALSE:
            self.faults.append("AWF_RATE_LIMIT_ENABLED: must be `true` or `false`.")
        elif not wanted and (idle := [name for name, _, _ in _RATES if self.get(name)]):
            # Beside `false` AWF sets the numbers too, and means nothing by them.
            self.warnings.append(f"{', '.join(idle)}: without AWF_RATE_LIMIT_ENABLED=true there are no rate limits.")
        return RateLimits(), {}

    def _number(self, name: str, most: int) -> int | None:
        """A variable that is a count from 1 to `most`; None: it is not set, or wrong and the fault is noted."""
        text = self.get(name)
        if text is None:
            return None
        # int() takes signs, underscores and the digits of other scripts, and refuses what is very long.
        if not text.isascii() or not text.isdigit() or len(text) > len(str(most)) or not 1 <= int(text) <= most:
            self.faults.append(f"{name}: must be a whole number from 1 to {most}.")
            return None
        return int(text)

    def _bind(self) -> str:
        text = self.get("AWFPROXY_BIND")
        if text is None:
            return LOOPBACK
        try:
            return str(ipaddress.ip_address(text.strip("[]")))
        except ValueError:
            self.faults.append("AWFPROXY_BIND: must be an IP address, like 127.0.0.1 or 0.0.0.0.")
            return LOOPBACK

    def _allowed_hosts(self) -> tuple[str, ...]:
        hosts = []
        for entry in (self.get("AWFPROXY_ALLOWED_HOSTS") or "").split(","):
            host = parse_allowed_host(entry)
            if host is not None:
                hosts.append(host)
            elif entry.strip():
                self.faults.append(
                    f"AWFPROXY_ALLOWED_HOSTS: `{entry.strip()}` is no host name (no scheme, no port, no wildcard)."
                )
        return tuple(hosts)

    def _read_proxy(self) -> Proxy | None:
        # The lower-case name first, as curl has it.
        for name in ("https_proxy", "HTTPS_PROXY"):
            if text := self.get(name):
                proxy = parse_proxy(text)
                if isinstance(proxy, Proxy):
                    self.proxy_source = f"environment {name}"
                    return proxy
                self.faults.append(f"{name}: {proxy}.")
                return None
        return None

    def _systemd(self, name: str) -> Sourced | None:
        """systemd gives a list with colons between where a unit names several folders; the first is the main one."""
        first = (self.get(name) or "").split(":")[0]
        return (self.absolute(first, self._directory), f"environment {name}") if first else None

    def _xdg(self, folder: str) -> Sourced | None:
        """The XDG base directory specification: a relative XDG_STATE_HOME is to be ignored."""
        base, name = self.get("XDG_STATE_HOME"), "XDG_STATE_HOME"
        if base is None or not posixpath.isabs(base):
            home, name = self.get("HOME"), "HOME"
            if home is None or not posixpath.isabs(home):
                return None
            base = posixpath.join(home, ".local", "state")
        return posixpath.normpath(posixpath.join(base, "awfproxy", folder)), f"environment {name}"
