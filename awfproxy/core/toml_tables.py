"""The tables of a configuration file as they are written: the only list of keys there is.

Rules: every key has its type and its bounds here and nowhere else; the documentation's tables are tested against it.
`toml_document` reads a text into them, `settings_file` makes settings of them.
"""

import re
from typing import Annotated, ClassVar, Literal, NamedTuple

import msgspec
from msgspec import Meta

from awfproxy.core import settings as defaults
from awfproxy.core.budgets import DEFAULTS, TOKENS_MAX, USD_MAX, Count, Mode
from awfproxy.core.labels import LABEL_MAX, label
from awfproxy.core.settings import IncludeUsage, OnClientAbort, OnLedgerLoss
from awfproxy.core.windows import Period

#: Seconds; a week.  Above it somebody took milliseconds for seconds, and timers of event loops begin to misbehave.
TIMEOUT_MAX = 7 * 24 * 3600
#: Bytes; one TiB.  Above it a number is a slip, not a size.
SIZE_MAX = 1 << 40
#: Requests, bytes or tokens of a rate limit: as much as a cap may be, so that sums stay far inside the 64 bits of the
#: counters that workers share.
COUNT_MAX = TOKENS_MAX
#: Processes.  More than there are cores are of no use; above it a number is a slip.
WORKERS_MAX = 256

Seconds = Annotated[float, Meta(gt=0, le=TIMEOUT_MAX)]
Wait = Annotated[float, Meta(ge=0, le=TIMEOUT_MAX)]
Size = Annotated[int, Meta(gt=0, le=SIZE_MAX)]
Number = Annotated[int, Meta(ge=1, le=COUNT_MAX)]
Cap = Annotated[int, Meta(ge=0, le=TOKENS_MAX)]
Dollars = Annotated[float, Meta(ge=0, le=USD_MAX)]
Text = Annotated[str, Meta(min_length=1)]


class Names(NamedTuple):
    """Which names the tables of one kind may have, and the words for the others."""

    pattern: re.Pattern[str]
    problem: str

    def fits(self, name: str) -> bool:
        """A name that has the pattern, and that could come as a header's value."""
        return self.pattern.fullmatch(name) is not None and label(name.encode("utf-8", "replace")) == name


#: Names of ports and clients: they stand in metrics, records and file names.
IDENTIFIERS = Names(
    re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"),
    "is no usable name: up to 64 letters, digits, `-` and `_`, no sign first",
)
#: Names of features are labels (`core.labels`): what clients send in `x-awf-feature`.
LABELS = Names(re.compile(r".+"), f"is no usable name: up to {LABEL_MAX} bytes of text, nothing unprintable in it")


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table; those within it are tables too, or named ones (a dict)."""

    NAMES: ClassVar[Names] = IDENTIFIERS


class CredentialTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a credential is; exactly one of the three."""

    env: Text | None = None
    file: Text | None = None
    systemd: Text | None = None


class ServiceTable(Table, frozen=True, kw_only=True):
    """The table `[service]`."""

    log_dir: Text | None = None
    state_dir: Text | None = None
    admin: Text | None = None
    workers: Annotated[int, Meta(ge=1, le=WORKERS_MAX)] = 1
    ledger: Text | CredentialTable | None = None
    drain_timeout: Seconds = defaults.DRAIN_TIMEOUT
    record_wait: Seconds = defaults.RECORD_WAIT
    admission_wait: Wait = defaults.ADMISSION_WAIT
    request_memory: Size = defaults.REQUEST_MEMORY
    prices: Text | None = None


class LimitsTable(Table, frozen=True, kw_only=True):
    """A table `limits`, of a port or of a client; its keys are those of `core.rates.RateLimits`."""

    requests_per_minute: Number | None = None
    requests_per_hour: Number | None = None
    bytes_per_minute: Number | None = None
    tokens_per_minute: Number | None = None
    concurrent_requests: Number | None = None


class BudgetTable(Table, frozen=True, kw_only=True):
    """A table `budget`, of a client or of a feature; its keys are those of `core.budgets.Budget`."""

    enabled: bool = DEFAULTS.enabled
    period: Period = DEFAULTS.period
    soft_cap_tokens: Cap = DEFAULTS.soft_cap_tokens
    hard_cap_tokens: Cap = DEFAULTS.hard_cap_tokens
    mode: Mode = DEFAULTS.mode
    unbounded: Literal["refuse"] | Number = DEFAULTS.unbounded
    count: Count = DEFAULTS.count
    hard_cap_usd: Dollars = DEFAULTS.hard_cap_usd


class PortBudgetTable(BudgetTable, frozen=True, kw_only=True):
    """The table `budget` of a port."""

    on_ledger_loss: OnLedgerLoss = "deny"
    webhook: Text | CredentialTable | None = None


class ClientTable(Table, frozen=True, kw_only=True):
    """A table `[ports.NAME.clients.NAME]`."""

    key: CredentialTable | None = None
    user: Text | None = None
    limits: LimitsTable = LimitsTable()
    budget: BudgetTable = BudgetTable()


class FeatureTable(Table, frozen=True, kw_only=True):
    """A table `[ports.NAME.features.NAME]`."""

    NAMES: ClassVar[Names] = LABELS

    budget: BudgetTable = BudgetTable()


class PortTable(Table, frozen=True, kw_only=True):
    """A table `[ports.NAME]`."""

    listen: Text | None = None
    provider: Text | None = None
    upstream: Text | None = None
    credential: CredentialTable | None = None
    credential_header: Text | None = None
    include_usage: IncludeUsage | None = None
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    on_client_abort: OnClientAbort = "cancel"
    max_request_body: Size = defaults.MAX_REQUEST_BODY
    max_connections: Number = defaults.MAX_CONNECTIONS
    connect_timeout: Seconds = defaults.CONNECT_TIMEOUT
    first_byte_timeout: Seconds = defaults.FIRST_BYTE_TIMEOUT
    idle_timeout: Seconds = defaults.IDLE_TIMEOUT
    limits: LimitsTable = LimitsTable()
    budget: PortBudgetTable = PortBudgetTable()
    clients: dict[str, ClientTable] = {}
    features: dict[str, FeatureTable] = {}


class FileTable(Table, frozen=True, kw_only=True):
    """A whole file."""

    service: ServiceTable = ServiceTable()
    ports: dict[str, PortTable] = {}
