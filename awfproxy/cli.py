"""The command `awf`.

Rules: every subcommand imports what it needs when it runs, so that `awf --help` answers at once; Twisted is never
imported here.  Figures go to standard output, remarks to standard error.  Exit codes: 0 fine; 1 nothing found, or what
was checked is not right, or the output could not be written; 2 the command was not understood, or a file that an
option names cannot be used (`commands.unusable`).  A reader that leaves early changes nothing of it (`report.output`).
"""

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from awfproxy import __version__
from awfproxy.commands.budget import budget
from awfproxy.commands.health import health
from awfproxy.commands.ledger import ledger
from awfproxy.commands.logs import logs
from awfproxy.commands.logs_analyze import analyze
from awfproxy.commands.logs_reprice import reprice
from awfproxy.commands.logs_turns import turns
from awfproxy.commands.reconcile import reconcile
from awfproxy.commands.report import report
from awfproxy.commands.service import service
from awfproxy.commands.unusable import unusable

NOTHING_FOUND = 1
#: why an output that is open takes no more: disk full, quota used up, file too large
_UNWRITABLE = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))

_config = click.option(
    "--config",
    metavar="FILE",
    help="The configuration file. Without it the one that AWFPROXY_CONFIG names, else the environment alone.",
)


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # A reader that leaves early (`awf ... | head`) is no error; click would make one of it.
            _end_without_output(0)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", prog_name="awfproxy", message="%(prog)s %(version)s")
def awf() -> None:
    """Look into what awfproxy is told to do, and what it has recorded."""


@awf.command()
def version() -> None:
    """Print the version."""
    click.echo(f"awfproxy {__version__}")


@awf.group()
def config() -> None:
    """The configuration: is it right, and what does it come to?"""


@config.command()
@_config
def check(config: str | None) -> None:
    """Say all that is wrong with the configuration.

    Exits 0 if the proxy would start with it, 1 if not. Remarks about what would work but is likely not meant go to
    standard error.
    """
    from awfproxy.configuration import load
    from awfproxy.core.settings import SettingsError
    from awfproxy.report.effective import limits_of_this_version

    try:
        settings = load(config, os.environ)
    except SettingsError as error:
        _refuse(error.lines)
    for line in (*settings.warnings, *limits_of_this_version(settings)):
        click.echo(f"note: {line}", err=True)
    ports = "1 port" if len(settings.ports) == 1 else f"{len(settings.ports)} ports"
    click.echo(f"{settings.source}: right, {ports}.")


@config.command()
@_config
@click.option("--format", "form", type=click.Choice(["pretty", "json"]), default="pretty", show_default=True)
def show(config: str | None, form: str) -> None:
    """Print every setting in effect and where it is from.

    Of secrets it is only told whether they are set.
    """
    from awfproxy.configuration import load
    from awfproxy.core.settings import SettingsError
    from awfproxy.report.effective import effective

    try:
        settings = load(config, os.environ)
    except SettingsError as error:
        unusable(map(_shown, error.lines), config)
    for line in settings.warnings:
        click.echo(f"note: {line}", err=True)
    click.echo(effective(settings, form), nl=False)


awf.add_command(budget)
awf.add_command(health)
awf.add_command(ledger)
awf.add_command(logs)
awf.add_command(reconcile)
logs.add_command(reprice)
logs.add_command(analyze)
logs.add_command(turns)
awf.add_command(report)
awf.add_command(service)


@awf.command()
@click.option(
    "--into",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Leave the configuration, the proxy's logs and the agents' there; it must be empty, or not be there yet.",
)
@click.option(
    "--report", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Write the page of HTML there."
)
def demo(into: Path | None, report: Path | None) -> None:
    """Run the proxy against simulated providers and show what was used, where, and what to do about it.

    Starts both as real processes on free ports of this machine, sends calls of every provider and two runs of a
    workflow with agents through them, and prints the reports. Every figure, turn and finding is compared with what is
    known of them; 1 if one is wrong.
    """
    from awfproxy.simulator.demo.demonstration import main as run

    sys.exit(run(into, report))


def _refuse(lines: list[str]) -> NoReturn:
    for line in lines:
        click.echo(_shown(line), err=True)
    sys.exit(1)


def _shown(text: str) -> str:
    from awfproxy.report.escaping import visible

    return visible(text)


def main() -> None:
    """The entry point of the console script."""
    try:
        awf(prog_name="awf")
    except OSError as error:
        # Those about files name them, and are told where the files are opened.
        if error.errno not in _UNWRITABLE or error.filename is not None:
            raise
        with contextlib.suppress(OSError):  # standard error may be on the same disk
            print(f"Not written: {error.strerror}.", file=sys.stderr, flush=True)
        _end_without_output(NOTHING_FOUND)


def _end_without_output(code: int) -> NoReturn:
    from awfproxy.report.output import without_reader

    # What is still in the buffers would fail once more at the interpreter's end, with another exit code.
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            without_reader(stream)
    sys.exit(code)
