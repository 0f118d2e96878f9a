"""The settings in effect, for people: every one, and where it is from.

Rules: of a secret only whether it is set; the tables of the file are the guide, so that a setting cannot be forgotten.
"""

import json
from collections.abc import Iterator
from typing import Any

from awfproxy.core.budgets import Budget
from awfproxy.core.rates import RateLimits
from awfproxy.core.secret import Secret
from awfproxy.core.settings import Database, Port, Proxy, Settings, Upstream
from awfproxy.report.escaping import visible

#: Fields that are no keys of the file: what a table's name, the lack of a key or a source says.
_NO_KEYS = ("name", "keyless", "credential_variable", "webhook_proxy")


def effective(settings: Settings, form: str) -> str:
    """All settings as text (`pretty`, one `key = value  # source` a line) or `json` (key -> value and source)."""
    rows = [(key, _plain(value), settings.sources.get(key, "default")) for key, value in _walk(settings)]
    if form == "json":
        body = {key: {"value": value, "source": source} for key, value, source in rows}
        return json.dumps(body, indent=2, ensure_ascii=True) + "\n"
    texts = [(f"{key} = {_written(value)}", source) for key, value, source in rows]
    width = max(len(text) for text, _ in texts)
    return "".join(f"{visible(text):<{width}}  # {visible(source)}\n" for text, source in texts)


def limits_of_this_version(settings: Settings) -> list[str]:
    """Whole sentences about ports whose provider has ways of signing in that this version has not."""
    said = []
    for port in settings.ports:
        if port.provider == "vertex":
            said.append(f"`ports.{port.name}`: Vertex is called with an API key; OAuth is not supported yet.")
        if port.upstream.host.endswith(".amazonaws.com"):
            said.append(f"`ports.{port.name}`: Bedrock is called with a bearer key; SigV4 is not supported yet.")
    return said


def _walk(settings: Settings) -> Iterator[tuple[str, object]]:
    yield from _within("service", settings.service)
    for port in settings.ports:
        yield from _within(f"ports.{port.name}", port)


def _within(at: str, part: Any) -> Iterator[tuple[str, object]]:
    """The keys of one table and of those in it, as the file has them."""
    for name in part.__struct_fields__:
        key, value = f"{at}.{name}", getattr(part, name)
        if name in _NO_KEYS:
            continue
        if isinstance(value, RateLimits | Budget):
            yield from _within(key, value)
        elif name in ("clients", "features"):
            for one in value:
                yield from _within(f"{key}.{one.name}", one)
        else:
            yield key, _credential(part) if name == "credential" else value


def _credential(port: Port) -> str:
    if port.credential is not None:
        return "set"
    return "none needed" if port.keyless else "not set"


Plain = str | int | float | list[str] | None


def _plain(value: object) -> Plain:
    if isinstance(value, Upstream):
        return value.url
    if isinstance(value, Proxy):
        host = f"[{value.host}]" if ":" in value.host else value.host
        return f"http://{host}:{value.port}" + (" (with a password)" if value.authorization else "")
    if isinstance(value, Database):
        return value.url + (" (with a password)" if value.password else "")
    if isinstance(value, Secret):
        return "set"
    if isinstance(value, tuple):
        return [str(part) for part in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"a setting of the type {type(value).__name__} has no words yet")


def _written(value: Plain) -> str:
    return "not set" if value is None else json.dumps(value, ensure_ascii=False)
