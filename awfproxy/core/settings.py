"""What the proxy is told to do, as frozen values.

`settings_file` makes them from TOML, `settings_environment` from the environment; `awfproxy.configuration` is the
one place that reads either from the machine.  A value here is checked and complete: nothing downstream asks again.
"""

from typing import Literal

import msgspec

from awfproxy.core.budgets import Budget
from awfproxy.core.credentials import CredentialKind
from awfproxy.core.rates import RateLimits
from awfproxy.core.secret import Secret

IncludeUsage = Literal["invisible", "visible", "off"]
OnClientAbort = Literal["cancel", "drain"]
OnLedgerLoss = Literal["deny", "allow"]

#: Where the admin listener is unless something else is said.
ADMIN = "tcp:10009:interface=127.0.0.1"
#: Seconds that running calls get to finish after SIGTERM; well within the 90 s after which systemd kills.
DRAIN_TIMEOUT = 30.0
#: Seconds for which the end of an answer waits for its record (docs/design.md, life of a record).
RECORD_WAIT = 5.0
#: Seconds for which a call waits where only other calls' reservations stand in its way.  Calls of agents take longer
#: than that, and nobody takes a proxy that holds a call this long for dead.
ADMISSION_WAIT = 2.0
#: Bytes of all request bodies held at once; beyond it reading pauses.
REQUEST_MEMORY = 512 * 1024 * 1024
#: Bytes of one request body; images and PDF files in base64 run to 20-30 MB.
MAX_REQUEST_BODY = 32 * 1024 * 1024
#: Client connections of a port, in each process: more than the 10,000 streams that one is built for.
MAX_CONNECTIONS = 16_384
#: Seconds until an upstream connection, its TLS included, must stand.
CONNECT_TIMEOUT = 10.0
#: Seconds from the request's last byte to the answer's first.  Reasoning models think for minutes before they answer;
#: ten minutes is what the OpenAI and Anthropic SDKs wait.
FIRST_BYTE_TIMEOUT = 600.0
#: Seconds of silence within an answer.  Providers send pings or tokens far more often.
IDLE_TIMEOUT = 300.0


#: The feature in whose name all calls count whose own is not among a port's `features`.
OTHER_FEATURES = "other"


class Database(msgspec.Struct, frozen=True):
    """Where the ledger is."""

    #: `sqlite:///` and an absolute path, or `postgresql://...`; without its password
    url: str
    #: as it stands in a URL, percent-encoded
    password: Secret | None = None

    @property
    def path(self) -> str | None:
        """SQLite's file, absolute.  None: it is a PostgreSQL."""
        return self.url.removeprefix("sqlite:///") if self.url.startswith("sqlite:") else None

    def reveal(self) -> str:
        """The URL with its password, for the one place that connects."""
        if self.password is None:
            return self.url
        user, at, rest = self.url.partition("@")
        return f"{user}:{self.password.reveal().decode()}{at}{rest}"


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """What belongs to the process as a whole."""

    #: absolute paths
    log_dir: str
    state_dir: str
    #: Twisted server endpoint string of the admin listener
    admin: str
    ledger: Database
    #: seconds
    drain_timeout: float = DRAIN_TIMEOUT
    #: seconds
    record_wait: float = RECORD_WAIT
    #: bytes
    request_memory: int = REQUEST_MEMORY
    #: seconds; 0: a call never waits
    admission_wait: float = ADMISSION_WAIT
    #: processes that serve the ports; 1: no other than the one that was started
    workers: int = 1
    #: file of the user's own prices (docs/prices.md), absolute.  None: only published ones
    prices: str | None = None


class Upstream(msgspec.Struct, frozen=True):
    """Where a port's calls go."""

    scheme: Literal["http", "https"]
    #: a name, or an IP address without brackets
    host: str
    port: int
    #: path before every request's own: "" or "/v1", never with a slash at its end
    base: str = ""

    @property
    def origin(self) -> str:
        """The value of the Host header: the default port is left out, an IPv6 address is bracketed (RFC 9110 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.origin}{self.base}"


class Proxy(msgspec.Struct, frozen=True):
    """An HTTP proxy on the way to the upstream, spoken to with CONNECT (RFC 9110 section 9.3.6)."""

    host: str
    port: int
    #: whole value of the Proxy-Authorization header ("Basic ..."); None: send none
    authorization: Secret | None = None


class PortBudget(Budget, frozen=True, kw_only=True):
    """The budget of a whole port, and what holds for every budget of it: the port's, its users' and its features'."""

    #: while the ledger cannot be reached: `deny` calls once what was borrowed is spent, or `allow` them and catch up
    on_ledger_loss: OnLedgerLoss = "deny"
    #: URL to which a passed soft cap is told: whoever has it may write there
    webhook: Secret | None = None
    #: the way to it
    webhook_proxy: Proxy | None = None


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """A key that clients present, and whose calls they are then.

    Limits and budget are the user's: all clients of one user have the same here, and spend them together.
    """

    name: str
    #: no two clients of a port have the same one
    key: Secret
    user: str
    limits: RateLimits = RateLimits()
    budget: Budget = Budget()


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """What calls are made for, with a budget of its own; `OTHER_FEATURES` is all that is not listed."""

    name: str
    budget: Budget = Budget()


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """One listener with its provider and its credential: a tenant."""

    name: str
    #: Twisted server endpoint string; a tcp one always names its interface
    listen: str
    provider: str
    upstream: Upstream
    #: None: calls are refused with provider_not_configured, unless the port is `keyless`
    credential: Secret | None = None
    #: the variable that is to hold it and is not set; None: there is none, or its name may be the key itself
    credential_variable: str | None = None
    #: the upstream takes no credential at all (a generic port without `credential`): calls go on without one
    keyless: bool = False
    #: header that carries the credential; None: the provider's own
    credential_header: str | None = None
    include_usage: IncludeUsage = "off"
    #: lower-case host names that may stand in Host beside those that always may
    allowed_hosts: tuple[str, ...] = ()
    #: lower-case origins ("https://app.example") that may stand in Origin
    allowed_origins: tuple[str, ...] = ()
    on_client_abort: OnClientAbort = "cancel"
    #: bytes
    max_request_body: int = MAX_REQUEST_BODY
    #: of clients, in each process
    max_connections: int = MAX_CONNECTIONS
    #: seconds
    connect_timeout: float = CONNECT_TIMEOUT
    #: seconds
    first_byte_timeout: float = FIRST_BYTE_TIMEOUT
    #: seconds
    idle_timeout: float = IDLE_TIMEOUT
    proxy: Proxy | None = None
    limits: RateLimits = RateLimits()
    budget: PortBudget = PortBudget()
    #: empty: clients need no key
    clients: tuple[Client, ...] = ()
    features: tuple[Feature, ...] = ()


class KeyFile(msgspec.Struct, frozen=True):
    """A file that holds a key which the ports use as it is: it may be given another one while they run."""

    #: the setting: ("ports", "openai", "credential"), ("ports", "openai", "clients", "ci", "key")
    place: tuple[str, ...]
    kind: CredentialKind
    #: the file as the settings name it, or the systemd credential
    name: str


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything, checked."""

    service: Service
    ports: tuple[Port, ...]
    #: "environment", or the file's name as it was given
    source: str
    #: where each setting is from: "ports.openai.credential" -> "environment OPENAI_API_KEY"; absent: the default
    sources: dict[str, str] = {}
    #: whole sentences about what works but is likely not meant
    warnings: tuple[str, ...] = ()
    #: where keys are from that may change without the settings
    key_files: tuple[KeyFile, ...] = ()


class SettingsError(Exception):
    """The settings are wrong.

    `lines` holds one whole sentence for each fault found, all of them at once: where (file and line, or variable),
    which key, what is wrong, and what would be right.
    """

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
