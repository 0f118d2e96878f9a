"""Settings from a TOML text.

Rules: the environment gives credentials, `AWFPROXY_*` (which goes before the file) and the network's own variables;
everything else is in the file.  All faults of both are told at once.  A port's budgets and limits are read by
`settings_budgets`, its clients by `settings_clients`.
"""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from awfproxy.core.credentials import ReadCredential, shown
from awfproxy.core.endpoints import Endpoint, Listeners
from awfproxy.core.environment import Environment
from awfproxy.core.ledger_url import ledger_in, parse_ledger
from awfproxy.core.providers import PROVIDERS, Provider
from awfproxy.core.secret import Secret
from awfproxy.core.settings import ADMIN, Database, Port, PortBudget, Service, Settings, SettingsError, Upstream
from awfproxy.core.settings_budgets import (
    features_of,
    limits_of,
    note_idle_webhook,
    note_lack_of_places,
    port_budget_of,
)
from awfproxy.core.settings_clients import clients_of
from awfproxy.core.settings_draft import Draft
from awfproxy.core.toml_document import Document
from awfproxy.core.toml_lines import Path
from awfproxy.core.toml_tables import CredentialTable, PortTable
from awfproxy.core.toml_words import nearest
from awfproxy.core.urls import parse_allowed_host, parse_allowed_origin, parse_upstream, webhook_origin

#: Headers that cannot carry a credential: they frame the message, belong to one hop (RFC 9110 section 7.6.1), or are
#: the proxy's own.
_NOT_FOR_CREDENTIALS = frozenset(
    (
        *("accept-encoding", "connection", "content-encoding", "content-length", "content-type", "cookie", "expect"),
        *("forwarded", "host", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te"),
        *("trailer", "transfer-encoding", "upgrade", "via", "x-request-id"),
    )
)
#: RFC 9110 section 5.6.2.
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def from_file(
    text: str,
    name: str,
    variables: Mapping[str, str],
    *,
    directory: str,
    file_directory: str,
    read: ReadCredential,
) -> Settings:
    """Settings from a file's text.

    :param name: the file's name as people know it, for messages.
    :param directory: the working folder, absolute: what relative paths in variables are relative to.
    :param file_directory: the file's own folder, absolute: what relative paths in the file are relative to.
    :param read: gives the credentials that the file names.
    :raises SettingsError: with every fault found.
    """
    reading = _Reading(Draft(Document(text, name), read), Environment(variables, directory))
    ports = [port for key, table in reading.document.ports.items() if (port := reading.port(key, table)) is not None]
    note_lack_of_places(reading.draft, ports)
    service = reading.service(file_directory)
    document = reading.document
    if not document.ports and not document.faults:
        document.faults.append((0, f"{name}: there is no port; add a table like `[ports.openai]`."))
    faults = document.lines() + reading.environment.faults
    if faults or service is None:
        raise SettingsError(faults)
    return Settings(
        service=service,
        ports=tuple(ports),
        source=name,
        sources=reading.sources,
        warnings=(*reading.environment.warnings, *reading.draft.warnings, *reading.listeners.warnings),
        key_files=tuple(reading.draft.key_files),
    )


class _Reading:
    """One file on its way to settings."""

    def __init__(self, draft: Draft, environment: Environment) -> None:
        self.draft = draft
        self.document = draft.document
        self.sources = draft.sources
        self.environment = environment
        self.listeners = Listeners()

    def service(self, file_directory: str) -> Service | None:
        table, environment = self.document.service, self.environment
        admin = self.listeners.add(environment.admin or table.admin or ADMIN, "the admin listener")
        if environment.admin:
            self.sources["service.admin"] = "environment AWFPROXY_ADMIN"
        if isinstance(admin, str):
            if environment.admin:
                environment.faults.append(f"AWFPROXY_ADMIN: {admin}.")
            else:
                self.document.fault(("service", "admin"), admin)
        log_dir = self._folder("log_dir", table.log_dir, file_directory)
        own_state_dir = None if environment.get("AWFPROXY_STATE_DIR") else table.state_dir
        state_dir = self._folder("state_dir", own_state_dir, file_directory)
        ledger = None if state_dir is None else self._ledger(table.ledger, state_dir, file_directory)
        if environment.workers is not None:
            self.sources["service.workers"] = "environment AWFPROXY_WORKERS"
        if isinstance(admin, str) or log_dir is None or state_dir is None or ledger is None:
            return None
        return Service(
            log_dir=log_dir,
            state_dir=state_dir,
            admin=admin.text,
            ledger=ledger,
            drain_timeout=table.drain_timeout,
            record_wait=table.record_wait,
            request_memory=table.request_memory,
            admission_wait=table.admission_wait,
            workers=environment.workers or table.workers,
            prices=self._prices(table.prices, file_directory),
        )

    def port(self, name: str, table: PortTable) -> Port | None:
        """The port of one table; None where a fault was noted that leaves nothing to build."""
        at: Path = ("ports", name)
        provider = self._provider(at, table)
        if provider is None:
            return None
        listener = self._listener(at, table, provider)
        upstream = self._upstream(at, table, provider)
        credential, variable = self._credential(at, table, provider)
        budget = port_budget_of(self.draft, (*at, "budget"), table.budget)
        clients = clients_of(self.draft, (*at, "clients"), table.clients, credential)
        features = features_of(self.draft, (*at, "features"), table.features)
        others = [*(client.budget for client in clients), *(feature.budget for feature in features)]
        note_idle_webhook(self.draft, (*at, "budget"), budget, others)
        self._check_header(at, table)
        if listener is None or upstream is None:
            return None
        proxy = self.environment.proxy_for(upstream)
        self._note_environment(at, proxied=proxy is not None)
        return Port(
            name=name,
            listen=listener.text,
            provider=provider.name,
            upstream=upstream,
            credential=credential,
            credential_variable=variable,
            keyless=provider.default_upstream is None and table.credential is None,
            credential_header=table.credential_header,
            include_usage=table.include_usage or provider.include_usage,
            allowed_hosts=(*self._each(at, "allowed_hosts", table.allowed_hosts), *self.environment.allowed_hosts),
            allowed_origins=self._each(at, "allowed_origins", table.allowed_origins),
            on_client_abort=table.on_client_abort,
            max_request_body=table.max_request_body,
            max_connections=table.max_connections,
            connect_timeout=table.connect_timeout,
            first_byte_timeout=table.first_byte_timeout,
            idle_timeout=table.idle_timeout,
            proxy=proxy,
            limits=limits_of(table.limits),
            budget=self._with_its_way(budget),
            clients=clients,
            features=features,
        )

    def _with_its_way(self, budget: PortBudget) -> PortBudget:
        """A budget whose webhook is reached as upstreams are."""
        if budget.webhook is None:
            return budget
        return replace(budget, webhook_proxy=self.environment.proxy_for(webhook_origin(budget.webhook)))

    def _note_environment(self, at: Path, *, proxied: bool) -> None:
        """What of a port comes from variables, for `sources`."""
        environment = self.environment
        if proxied and environment.proxy_source:
            self.sources[".".join((*at, "proxy"))] = environment.proxy_source
        if environment.allowed_hosts:
            key = ".".join((*at, "allowed_hosts"))
            parts = (self.sources.get(key), "environment AWFPROXY_ALLOWED_HOSTS")
            self.sources[key] = ", ".join(part for part in parts if part)

    def _ledger(self, given: str | CredentialTable | None, state_dir: str, file_directory: str) -> Database | None:
        path = ("service", "ledger")
        if given is None:
            found = ledger_in(state_dir)
        else:
            text = self.draft.text(path, given)
            if text is None:
                return None
            found = parse_ledger(text, lambda place: self.environment.absolute(place, file_directory))
        if isinstance(found, str):
            self.document.fault(path, found)
            return None
        if found.password is not None and isinstance(given, str):
            self.draft.warnings.append(
                f"{self.document.place(path)}: `service.ledger` has a password in it; with `{{ file = ... }}` or"
                " `{ systemd = ... }` in its place those who read this file would not learn it."
            )
        return found

    def _prices(self, given: str | None, file_directory: str) -> str | None:
        """The file of the user's prices; the variable goes before the key."""
        if found := self.environment.prices():
            path, self.sources["service.prices"] = found
            return path
        return None if given is None else self.environment.absolute(given, file_directory)

    def _folder(self, key: str, given: str | None, file_directory: str) -> str | None:
        if given is not None:
            return self.environment.absolute(given, file_directory)
        found = self.environment.log_dir(awf=False) if key == "log_dir" else self.environment.state_dir()
        if found is None:
            self.document.fault(("service", key), "is missing, and neither systemd nor HOME says where it could be")
            return None
        path, self.sources[f"service.{key}"] = found
        return path

    def _provider(self, at: Path, table: PortTable) -> Provider | None:
        if table.provider is None:
            if (*at, "provider") not in self.document.given:
                self.document.fault(at, f"has no `provider`; valid are {', '.join(PROVIDERS)}")
            return None
        provider = PROVIDERS.get(table.provider)
        if provider is None:
            hint = nearest(table.provider, tuple(PROVIDERS))
            self.document.fault((*at, "provider"), f"is {shown(table.provider, '`')}, which is not a provider{hint}")
        return provider

    def _listener(self, at: Path, table: PortTable, provider: Provider) -> Endpoint | None:
        text = table.listen
        if text is None:
            if (*at, "listen") in self.document.given:
                return None
            if provider.default_port is None:
                self.document.fault(at, 'has no `listen`; write `listen = "tcp:10010"`')
                return None
            text = f"tcp:{provider.default_port}"
        found = self.listeners.add(text, f"`{'.'.join(at)}`", self.environment.bind)
        if isinstance(found, str):
            self.document.fault((*at, "listen"), found)
            return None
        return found

    def _upstream(self, at: Path, table: PortTable, provider: Provider) -> Upstream | None:
        text = table.upstream or provider.default_upstream
        if text is None:
            if (*at, "upstream") not in self.document.given:
                self.document.fault(at, "has no `upstream`; a generic port needs one, like `http://127.0.0.1:8000/v1`")
            return None
        upstream = parse_upstream(text)
        if isinstance(upstream, str):
            self.document.fault((*at, "upstream"), upstream)
            return None
        return upstream

    def _credential(self, at: Path, table: PortTable, provider: Provider) -> tuple[Secret | None, str | None]:
        """The credential, and the variable that should hold it where it does not."""
        path = (*at, "credential")
        if table.credential is None:
            if path not in self.document.given and provider.default_upstream is not None:
                self.draft.warnings.append(
                    f"{self.document.place(at)}: `{'.'.join(at)}` has no `credential`; its calls will be refused."
                )
            return None, None
        found = self.draft.find(path, table.credential)
        if found is None:
            return None, None
        name, credential = found
        if credential is None:
            self.draft.warnings.append(
                f"{self.document.place(path)}: {name} is not set in the environment; the calls of"
                f" `{'.'.join(at)}` will be refused."
            )
        return credential, name if credential is None and name == table.credential.env else None

    def _check_header(self, at: Path, table: PortTable) -> None:
        name = table.credential_header
        if name is None:
            return
        path = (*at, "credential_header")
        if not _TOKEN.issuperset(name):
            self.document.fault(path, "is no header name (RFC 9110: letters, digits and -)")
        elif name.lower() in _NOT_FOR_CREDENTIALS or name.lower().startswith(("x-awf-", "x-forwarded-")):
            self.document.fault(path, f"is `{name}`, which is not for credentials; take another header")
        elif table.credential is None:
            self.document.fault(path, "is set without a `credential` to put into it")

    def _each(self, at: Path, key: str, entries: tuple[str, ...]) -> tuple[str, ...]:
        parse: Any = parse_allowed_host if key == "allowed_hosts" else parse_allowed_origin
        shape = (
            "host name (no scheme, no port, no wildcard)"
            if key == "allowed_hosts"
            else "origin (`https://host[:port]`)"
        )
        found = []
        for entry in entries:
            if (value := parse(entry)) is None:
                self.document.fault((*at, key), f"has `{entry}` in it, which is no {shape}")
            else:
                found.append(value)
        return tuple(found)
