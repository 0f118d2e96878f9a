"""The command `awf`.

Rules: every subcommand imports what it needs when it runs, so that `awf --help` answers at once; Twisted is never
imported here.  Figures go to standard output, remarks to standard error.  Exit codes: 0 fine; 1 nothing found, or what
was checked is not right; 2 the command was not understood.
"""

import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from awfproxy.commands.budget import budget
from awfproxy.commands.ledger import ledger

if TYPE_CHECKING:
    from awfproxy.core.settings import Settings

NOTHING_FOUND = 1

_KEYS = ("conversation", "day", "feature", "hour", "model", "outcome", "port", "provider", "run", "user")
_FORMS = ("pretty", "markdown", "json", "csv")

_config = click.option(
    "--config",
    metavar="FILE",
    help="The configuration file. Without it the one that AWFPROXY_CONFIG names, else the environment alone.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def awf() -> None:
    """Look into what awfproxy is told to do, and what it has recorded."""


@awf.command()
def version() -> None:
    """Print the version."""
    from awfproxy import __version__

    click.echo(f"awfproxy {__version__}")


@awf.group()
def config() -> None:
    """The configuration: is it right, and what does it come to?"""


@config.command()
@_config
def check(config: str | None) -> None:
    """Say all that is wrong with the configuration.

    Exits 0 if the proxy would start with it, 1 if not: also where it asks for what this version does not do. Remarks
    about what would work but is likely not meant go to standard error.
    """
    from awfproxy.core.unsupported import unsupported
    from awfproxy.report.effective import limits_of_this_version

    settings = _load(config)
    if lines := unsupported(settings):
        _refuse(lines)
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
    from awfproxy.report.effective import effective

    settings = _load(config)
    for line in settings.warnings:
        click.echo(f"note: {line}", err=True)
    click.echo(effective(settings, form), nl=False)


awf.add_command(budget)
awf.add_command(ledger)


@awf.group()
def logs() -> None:
    """What the records tell."""


@logs.command("token-usage")
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(exists=True, allow_dash=True))
@click.option(
    "--by",
    multiple=True,
    type=click.Choice(_KEYS),
    default=("provider", "model"),
    show_default=True,
    help="What to group by; give it several times for groups within groups.",
)
@click.option("--format", "form", type=click.Choice(_FORMS), default="pretty", show_default=True)
def token_usage(paths: tuple[str, ...], by: tuple[str, ...], form: str) -> None:
    """Tokens used, by group and in total.

    PATH is a file (plain, gzip or zstd), a folder, in which token-usage*.jsonl* and the folders within are read, or -
    for standard input; without any PATH it is the folder in which the proxy keeps its logs. A record met twice counts
    once. A figure is written "?" where no call reported it, and with "≥" in front where some did not. "all tokens" is
    everything read and written, cached or not, and so comparable between providers, which "input" is not.
    """
    from awfproxy.report.token_usage import token_usage

    report = token_usage(paths or (_log_dir(),), by)
    for line in report.remarks():
        click.echo(_shown(line), err=True)
    if not report.found:
        click.echo("There are no token usage records there.", err=True)
        sys.exit(NOTHING_FOUND)
    click.echo(report.render(form), nl=False)


@awf.command()
@click.option("--keep", is_flag=True, help="Leave the folder with the logs and the configuration, and say where it is.")
def demo(keep: bool) -> None:
    """Run the proxy against simulated providers and show what was used.

    Starts both as real processes on free ports of this machine, sends calls of every provider through them, prints the
    table of the recorded usage, and compares it with what the simulated providers served.
    """
    from awfproxy.simulator.demo import main as run

    sys.exit(run(keep=keep))


def _load(path: str | None) -> "Settings":
    from awfproxy.configuration import load
    from awfproxy.core.settings import SettingsError

    try:
        return load(path, os.environ)
    except SettingsError as error:
        _refuse(error.lines)


def _log_dir() -> str:
    from awfproxy.configuration import log_dir
    from awfproxy.core.settings import SettingsError

    try:
        found = log_dir(os.environ)
    except SettingsError as error:
        _refuse(error.lines)
    if not os.path.isdir(found):
        click.echo(f"There is no folder {_shown(found)}; name the files or folders to read.", err=True)
        sys.exit(NOTHING_FOUND)
    return found


def _refuse(lines: list[str]) -> NoReturn:
    for line in lines:
        click.echo(_shown(line), err=True)
    sys.exit(1)


def _shown(text: str) -> str:
    from awfproxy.report.table import visible

    return visible(text)


def main() -> None:
    """The entry point of the console script."""
    # A reader that leaves early (`awf ... | head`) is no error worth a traceback.
    try:
        awf(prog_name="awf")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(NOTHING_FOUND)
