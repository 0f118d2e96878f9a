"""Settings of a proxy that has no file: a port for each provider whose key is in the environment.

The names and ports are AWF's, so that the proxy can stand in for its api-proxy.
"""

from collections.abc import Mapping

from awfproxy.core.credentials import ReadCredential
from awfproxy.core.endpoints import Listeners
from awfproxy.core.environment import Environment
from awfproxy.core.ledger_url import ledger_in
from awfproxy.core.providers import PROVIDERS, Provider
from awfproxy.core.rates import RateLimits
from awfproxy.core.secret import Secret
from awfproxy.core.settings import ADMIN, Port, Service, Settings, SettingsError
from awfproxy.core.urls import parse_target


def from_environment(variables: Mapping[str, str], directory: str, read: ReadCredential) -> Settings:
    """Settings from the environment alone.

    :param directory: the working folder, absolute: what relative paths in variables are relative to.
    :param read: gives the credential that a variable holds.
    :raises SettingsError: with every fault found.
    """
    environment = Environment(variables, directory)
    listeners = Listeners()
    sources: dict[str, str] = {}
    limits, limit_sources = environment.limits()
    ports = [
        port
        for provider in PROVIDERS.values()
        if (port := _port(provider, environment, listeners, read, sources, limits)) is not None
    ]
    for port in ports if limit_sources else ():
        sources[f"ports.{port.name}.limits"] = "environment AWF_RATE_LIMIT_ENABLED"
        sources |= {f"ports.{port.name}.limits.{name}": source for name, source in limit_sources.items()}
    if not ports and not environment.faults:
        keys = ", ".join(name for provider in PROVIDERS.values() for name in provider.env_keys)
        environment.faults.append(
            f"There is no key in the environment, so that no port would be opened; set one of {keys}, or name a"
            " configuration file with --config or AWFPROXY_CONFIG."
        )
    admin = listeners.add(environment.admin or ADMIN, "the admin listener")
    if isinstance(admin, str):
        environment.faults.append(f"AWFPROXY_ADMIN: {admin}.")
    log_dir, state_dir = environment.log_dir(awf=True), environment.state_dir()
    if log_dir is None or state_dir is None:
        environment.faults.append(
            "There is no folder for logs and state; set AWF_TOKEN_LOG_DIR and AWFPROXY_STATE_DIR (or HOME)."
        )
    ledger = None if state_dir is None else ledger_in(state_dir[0])
    if isinstance(ledger, str):
        environment.faults.append(f"AWFPROXY_STATE_DIR: {ledger}.")
        ledger = None
    if environment.faults or isinstance(admin, str) or log_dir is None or state_dir is None or ledger is None:
        raise SettingsError(environment.faults)
    sources |= {"service.log_dir": log_dir[1], "service.state_dir": state_dir[1]}
    if environment.admin:
        sources["service.admin"] = "environment AWFPROXY_ADMIN"
    if environment.workers is not None:
        sources["service.workers"] = "environment AWFPROXY_WORKERS"
    if prices := environment.prices():
        sources["service.prices"] = prices[1]
    return Settings(
        service=Service(
            log_dir=log_dir[0],
            state_dir=state_dir[0],
            admin=admin.text,
            ledger=ledger,
            workers=environment.workers or 1,
            prices=prices[0] if prices else None,
        ),
        ports=tuple(ports),
        source="environment",
        sources=sources,
        warnings=(*environment.warnings, *listeners.warnings),
    )


def _port(
    provider: Provider,
    environment: Environment,
    listeners: Listeners,
    read: ReadCredential,
    sources: dict[str, str],
    limits: RateLimits,
) -> Port | None:
    if provider.default_port is None or provider.default_upstream is None:
        return None
    name = provider.name
    target = environment.get(provider.env_target) if provider.env_target else None
    key = next((variable for variable in provider.env_keys if environment.get(variable)), None)
    if key is None:
        if target:
            keys = " or ".join(provider.env_keys)
            environment.warnings.append(f"{provider.env_target} is set without {keys}: no port is opened for it.")
        return None
    credential = read("env", key)
    upstream = parse_target(target or provider.default_upstream, provider.default_upstream)
    listener = listeners.add(f"tcp:{provider.default_port}", f"the port of {name}", environment.bind)
    if not isinstance(credential, Secret):
        environment.faults.append(f"{key}: {credential}.")
    if isinstance(upstream, str):
        environment.faults.append(f"{provider.env_target}: {upstream}.")
    if not isinstance(credential, Secret) or isinstance(upstream, str) or isinstance(listener, str):
        return None
    sources[f"ports.{name}"] = f"environment {key}"
    sources[f"ports.{name}.credential"] = f"environment {key}"
    if target:
        sources[f"ports.{name}.upstream"] = f"environment {provider.env_target}"
    if environment.get("AWFPROXY_BIND"):
        sources[f"ports.{name}.listen"] = "environment AWFPROXY_BIND"
    if environment.allowed_hosts:
        sources[f"ports.{name}.allowed_hosts"] = "environment AWFPROXY_ALLOWED_HOSTS"
    proxy = environment.proxy_for(upstream)
    if proxy is not None and environment.proxy_source:
        sources[f"ports.{name}.proxy"] = environment.proxy_source
    return Port(
        name=name,
        listen=listener.text,
        provider=name,
        upstream=upstream,
        credential=credential,
        include_usage=provider.include_usage,
        allowed_hosts=environment.allowed_hosts,
        proxy=proxy,
        limits=limits,
    )
