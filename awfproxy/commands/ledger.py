"""`awf ledger`: the ledger compared with the journal, and made anew from it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NoReturn

import click

from awfproxy.commands.unusable import unusable

if TYPE_CHECKING:
    from awfproxy.commands.journal import Journal
    from awfproxy.core.settings import Settings

#: exit code: differences, or nothing was done
NOT_RIGHT: Final = 1

_paths = click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(exists=True))
_config = click.option(
    "--config",
    metavar="FILE",
    help="The configuration file. Without it the one that AWFPROXY_CONFIG names, else the environment alone.",
)


def _time(text: str) -> float:
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{text!r} is no time; write 2026-01-31 or 2026-01-31T17:00:00Z.") from None


_since = click.option("--since", type=_time, metavar="TIME", help="Calls admitted then or later (UTC).")
_until = click.option("--until", type=_time, metavar="TIME", help="Calls admitted before (UTC).")


@click.group()
def ledger() -> None:
    """The ledger, in which budgets count, against the journal, which is the truth.

    The journal is the token-usage*.jsonl* files in the folder of the logs, rotated and compressed ones too; PATH names
    other files or folders.
    """


@ledger.command()
@_paths
@_since
@_until
@click.option("--release", is_flag=True, help="Give back lost tokens that no record shows.")
@_config
@click.option("--format", "form", type=click.Choice(["pretty", "json"]), default="pretty", show_default=True)
def verify(
    paths: tuple[str, ...], since: float | None, until: float | None, release: bool, config: str | None, form: str
) -> None:
    """List where ledger and journal differ; exits 1 if they do.

    Compared is what this installation recorded for as long as the files cover, or --since and --until: calls that only
    the journal has ("missing"), that only the ledger has ("extra"), and fields that differ. While the service runs, a
    difference counts if it is still there some seconds later.

    Tokens that were reserved by a process when it died count as used ("lost"), because nobody knows what those calls
    used. --release gives back what no record shows of them, where nothing differs and no process holds a piece of the
    budget: stop the service first, on all hosts that share the ledger. What a killed process had reserved is lost only
    once the service has started again; until then it is told as reserved.
    """
    import time

    from awfproxy.commands import comparison, ledger_tables
    from awfproxy.commands.desk import open_ledger
    from awfproxy.commands.service_socket import running_service
    from awfproxy.report.escaping import write_out

    with _failing():
        settings = _settings(config)
        runs = running_service(settings.service.state_dir) is not None
        journal = _journal(paths, settings)
        with open_ledger(settings, writes=False) as opened:
            now = time.time()
            first = since
            if first is None:
                first = journal.covers_since(comparison.current_period(settings, opened, now)[1])
            if first is None:
                _fail("There are no usage records in the journal's files.")
            end = comparison.FOREVER if until is None else until
            with _progress("comparing") as read:
                found = comparison.verify(journal, opened, first, end, runs=runs, read=read)
            _remarks(journal)
            freed = comparison.release(opened, time.time()) if release and not found.total else None
    write_out([ledger_tables.verified(found, freed, form)])
    if release and freed is None:
        click.echo("Nothing was released, as the ledger is not what the journal says.", err=True)
    if found.total or (freed is not None and freed.held):
        sys.exit(NOT_RIGHT)


@ledger.command()
@_paths
@_since
@_until
@click.option("--whole", is_flag=True, help="Say that no file is missing: the journal has every call there ever was.")
@_config
def rebuild(
    paths: tuple[str, ...], since: float | None, until: float | None, whole: bool, config: str | None
) -> None:
    """Make the ledger's rows anew from the journal.

    Replaces the rows of this installation, and no other's, for the time that the files cover; stored budgets and what
    is lost stay. Refused while the service runs, which reads the journal itself; and where the files do not cover the
    current period of the budgets whole, as use would be forgotten. They cover it if they begin before it does, or if
    the installation is younger than it.
    """
    import time

    from awfproxy.commands import comparison
    from awfproxy.commands.desk import open_ledger
    from awfproxy.commands.service_socket import running_service

    with _failing():
        settings = _settings(config)
        if running_service(settings.service.state_dir) is not None:
            _fail("The service runs, and keeps the ledger itself; stop it to have its rows made anew.")
        journal = _journal(paths, settings)
        with open_ledger(settings, writes=True) as opened, _progress("reading") as read:
            count = comparison.rebuild(
                journal, opened, settings, since=since, until=until, whole=whole, now=time.time(), read=read
            )
        _remarks(journal)
    click.echo(f"{count:,} rows are in the ledger for the time that was made anew.")


@contextmanager
def _failing() -> Iterator[None]:
    from awfproxy.commands.failure import CommandFailed

    try:
        yield
    except CommandFailed as failed:
        _fail(str(failed))


def _settings(config: str | None) -> Settings:
    from awfproxy.configuration import load
    from awfproxy.core.settings import SettingsError

    try:
        return load(config, os.environ)
    except SettingsError as error:
        unusable(map(_visible, error.lines), config)


def _journal(paths: tuple[str, ...], settings: Settings) -> Journal:
    from awfproxy.commands.journal import Journal

    return Journal(paths or (settings.service.log_dir,), settings)


def _remarks(journal: Journal) -> None:
    if journal.skipped:
        lines = "1 line" if journal.skipped == 1 else f"{journal.skipped:,} lines"
        click.echo(f"{lines} skipped: no usage records of this version.", err=True)
    for line in journal.troubles:
        click.echo(_visible(line), err=True)


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int], None]]:
    """Shows on a terminal how many lines were read."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}: {task.completed:,.0f} lines"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda count: progress.update(task, completed=count)


def _fail(message: str) -> NoReturn:
    for line in message.splitlines():
        click.echo(_visible(line), err=True)
    sys.exit(NOT_RIGHT)


def _visible(text: str) -> str:
    from awfproxy.report.escaping import visible

    return visible(text)
