"""The proxy's configuration in front of a simulator: one port a provider, with the keys that the simulator expects."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from awfproxy.simulator.processes import free_ports
from awfproxy.simulator.routes import DEFAULT_KEYS

#: The providers that get a port unless told otherwise.
PROVIDERS = ("openai", "anthropic", "copilot", "gemini", "vertex", "bedrock")
#: Simulated providers that the proxy has no name for.
GENERIC = ("bedrock", "groq", "mistral", "ollama")
#: The base path of each provider's API, as its users configure it.
BASES = {"openai": "/v1"}


class Setting(msgspec.Struct, frozen=True):
    """Where the proxy will be and what it needs."""

    config: Path
    log_dir: Path
    ports: dict[str, int]
    admin_port: int
    #: the environment variables that hold the credentials
    environment: dict[str, str]

    def url(self, provider: str) -> str:
        """The address that an agent is given."""
        return f"http://127.0.0.1:{self.ports[provider]}"

    def records(self, name: str = "token-usage") -> list[dict[str, object]]:
        """The lines of one of the proxy's files, parsed."""
        path = self.log_dir / f"{name}.jsonl"
        return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def write_setting(
    directory: Path,
    upstream_ports: Mapping[str, int],
    *,
    providers: Iterable[str] = PROVIDERS,
    scheme: str = "http",
    host: str = "127.0.0.1",
    service: str = "",
    port_options: str = "",
) -> Setting:
    """Write a config file for a proxy in front of a simulator that listens on ``upstream_ports``.

    :param upstream_ports: by provider; a provider that is missing uses the port named ``any``
    :param service: more lines for ``[service]``
    :param port_options: more lines for each ``[ports.X]``
    """
    chosen = list(providers)
    admin, *listen = free_ports(len(chosen) + 1)
    log_dir, state_dir = directory / "logs", directory / "state"
    environment: dict[str, str] = {}
    lines = [
        "[service]",
        f"log_dir = {json.dumps(str(log_dir))}",
        f"state_dir = {json.dumps(str(state_dir))}",
        f'admin = "tcp:{admin}:interface=127.0.0.1"',
        service,
    ]
    for provider, port in zip(chosen, listen, strict=True):
        upstream = upstream_ports.get(provider) or upstream_ports["any"]
        lines += [
            f"[ports.{provider}]",
            f'listen = "tcp:{port}:interface=127.0.0.1"',
            f'provider = "{"generic" if provider in GENERIC else provider}"',
            f'upstream = "{scheme}://{host}:{upstream}{BASES.get(provider, "")}"',
        ]
        if provider in DEFAULT_KEYS:
            variable = f"SIMULATED_{provider.upper()}_KEY"
            environment[variable] = DEFAULT_KEYS[provider]
            lines.append(f'credential = {{ env = "{variable}" }}')
        lines.append(port_options)
    config = directory / "awfproxy.toml"
    config.write_text("\n".join(line for line in lines if line) + "\n")
    return Setting(config, log_dir, dict(zip(chosen, listen, strict=True)), admin, environment)
