"""`awf service`: what a running service is asked to do, through its Unix socket."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from awfproxy.commands.unusable import NOT_DONE, unusable

if TYPE_CHECKING:
    from awfproxy.commands.service_socket import ServiceSocket

_config = click.option(
    "--config",
    metavar="FILE",
    help="The configuration file. Without it the one that AWFPROXY_CONFIG names, else the environment alone.",
)


@click.group()
def service() -> None:
    """Have a running service take its configuration over, or end.

    It is asked through admin.sock in its state folder, which its own user and root may use.
    """


@service.command()
@_config
def reload(config: str | None) -> None:
    """Have the service read its configuration and keys again, as SIGHUP does, and say what became of it.

    Exits 0 if it is in effect: then calls that begin have it, and running ones end as they began. What takes a restart
    is named, and on standard error what may not be as it is meant, like a key whose variable is not set. Exits 1 if it
    is refused, with every fault: then nothing has changed.
    """
    with _running(config) as running:
        reloaded = running.reload()
    for line in reloaded.lines:
        click.echo(_visible(line))
    for note in reloaded.notes:
        click.echo(f"note: {_visible(note)}", err=True)


@service.command()
@_config
def drain(config: str | None) -> None:
    """Have the service end as SIGTERM does: no new calls, running ones to their end. A second time ends the drain."""
    with _running(config) as running:
        running.drain()


@contextmanager
def _running(config: str | None) -> Iterator[ServiceSocket]:
    from awfproxy.commands.failure import CommandFailed
    from awfproxy.commands.service_socket import running_service
    from awfproxy.configuration import state_dir
    from awfproxy.core.settings import SettingsError

    try:
        folder = state_dir(config, os.environ)
        found = running_service(folder)
        if found is None:
            raise CommandFailed(
                f"No service runs whose state folder is {folder}. "
                "(If `state_dir` has just been changed, one may run with the folder of before: that takes a restart.)"
            )
        yield found
    except SettingsError as error:
        unusable(map(_visible, error.lines), config)
    except CommandFailed as error:
        for line in str(error).splitlines():
            click.echo(_visible(line), err=True)
        sys.exit(NOT_DONE)


def _visible(text: str) -> str:
    from awfproxy.report.escaping import visible

    return visible(text)
