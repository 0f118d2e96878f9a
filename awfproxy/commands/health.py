"""`awf health`: whether a proxy that runs takes calls, for checks that have no curl (docs/running.md, "In containers").

The page `/health` of its admin listener is asked, found as the proxy finds it, but without its keys.
"""

from __future__ import annotations

import http.client
import os
import socket
import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import urlsplit

import click

from awfproxy.commands.unusable import unusable

if TYPE_CHECKING:
    from awfproxy.core.endpoints import Endpoint

#: seconds; it answers in milliseconds, or hangs
ANSWER_SECONDS: Final = 5.0
#: bytes of the page that are read: it has some hundred, and a line for each reason
PAGE_MAX: Final = 1024 * 1024
#: exit code: it takes no calls, or cannot be asked
UNWELL: Final = 1
#: where one connects that listens on every address
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@click.command()
@click.option("--url", metavar="URL", help="Its admin listener, as http://HOST:PORT, instead of a configuration's.")
@click.option(
    "--config",
    metavar="FILE",
    help="The configuration file. Without it the one that AWFPROXY_CONFIG names, else the environment alone.",
)
@click.option("--strict", is_flag=True, help="Degraded is not well either.")
def health(url: str | None, config: str | None, strict: bool) -> None:
    """Say whether the running proxy takes calls.

    Exits 0 if it does, 1 if it does not (yet, or any more) or nobody answers. Why it is degraded is told on standard
    error.
    """
    from awfproxy.report.escaping import write_out

    try:
        page = _asked(_by_url(url) if url is not None else _by_configuration(config))
    except (OSError, http.client.HTTPException) as error:
        _unwell(f"The proxy does not answer: {getattr(error, 'strerror', None) or error or type(error).__name__}.")
    state, reasons = page.get("state"), page.get("reasons")
    write_out([f"{_visible(str(state))}{' and degraded' if reasons else ''}\n"])
    if isinstance(reasons, dict):
        for name, reason in reasons.items():
            click.echo(_visible(f"{name}: {reason}"), err=True)
    if state != "ready" or (strict and reasons):
        sys.exit(UNWELL)


def _by_url(url: str) -> http.client.HTTPConnection:
    found = urlsplit(url)
    try:
        port = found.port or 80
    except ValueError:
        port = 0
    if found.scheme != "http" or not found.hostname or not port or found.path.strip("/") or found.query:
        raise click.BadParameter(f"{url} is no http://HOST:PORT.", param_hint="--url")
    return http.client.HTTPConnection(found.hostname, port, timeout=ANSWER_SECONDS)


def _by_configuration(config: str | None) -> http.client.HTTPConnection:
    from awfproxy.configuration import admin
    from awfproxy.core.settings import SettingsError

    try:
        found = admin(config, os.environ)
    except SettingsError as error:
        unusable(map(_visible, error.lines), config)
    connection = _to(found)
    if connection is None:
        _unwell(f"The admin listener is {found.text}, which tells no address; name it with --url.")
    return connection


def _to(endpoint: Endpoint) -> http.client.HTTPConnection | None:
    if endpoint.kind == "tcp" and endpoint.port:
        host = _ANY.get(endpoint.interface, endpoint.interface)
        return http.client.HTTPConnection(host, endpoint.port, timeout=ANSWER_SECONDS)
    return _UnixConnection(endpoint.path) if endpoint.kind == "unix" else None


class _UnixConnection(http.client.HTTPConnection):
    """To a socket in the file system; the host is only for the head, which must have one."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Once, as the first request is sent."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(ANSWER_SECONDS)
        self.sock.connect(self._path)


def _asked(connection: http.client.HTTPConnection) -> dict[str, Any]:
    import msgspec

    from awfproxy.core.undecodable import UNDECODABLE

    try:
        connection.request("GET", "/health", headers={"Connection": "close"})
        answer = connection.getresponse()
        data = answer.read(PAGE_MAX)
    finally:
        connection.close()
    try:
        page: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
    except UNDECODABLE:
        page = {}
    if answer.status != 200 or "state" not in page:
        raise http.client.HTTPException(f"what answers with status {answer.status} is no awfproxy")
    return page


def _unwell(*lines: str) -> NoReturn:
    for line in lines:
        click.echo(_visible(line), err=True)
    sys.exit(UNWELL)


def _visible(text: str) -> str:
    from awfproxy.report.escaping import visible

    return visible(text)
