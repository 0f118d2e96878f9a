"""What the commands of `awf logs` have in common: where records are, which of them, what they cost, how wide to draw.

Rules: nothing heavy is imported before a command runs.  What the person who gave the command can mend is told in a
sentence; a wrong option ends with 2, as click does it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, cast

import click

from awfproxy.commands.unusable import unusable

if TYPE_CHECKING:
    from awfproxy.prices.price_list import PriceList
    from awfproxy.report.costs import Costs
    from awfproxy.report.filters import Filters

F = TypeVar("F", bound=Callable[..., Any])

#: exit code: nothing found, or a gate failed
NOTHING_FOUND: Final = 1
#: written out, so that `--help` need not import the reports; a test compares them
FORMS: Final = ("pretty", "markdown", "json", "csv")
#: those that programs read
FOR_PROGRAMS: Final = ("json", "csv")
#: bytes of files from which on reading takes so long that a person wants to see how far it is
PROGRESS_BYTES: Final = 100 * 1024 * 1024

sources = click.argument("paths", metavar="[SOURCE]...", nargs=-1, type=click.Path(exists=True, allow_dash=True))
config = click.option(
    "--config",
    metavar="FILE",
    help="The configuration file, which says where the logs are. Without it the one that AWFPROXY_CONFIG names, else "
    "the environment alone.",
)
form = click.option("--format", "form", type=click.Choice(FORMS), default="pretty", show_default=True)
prices = click.option(
    "--prices", metavar="FILE", type=click.Path(exists=True, dir_okay=False), help="Your own prices, in the place of "
    "the file that the configuration or AWFPROXY_PRICES names."
)  # fmt: skip
no_cost = click.option("--no-cost", is_flag=True, help="Say nothing of money.")


def filtering(command: F) -> F:
    """Options by which the command gets ``wanted``: `filters` of what was asked for."""

    @wraps(command)
    def filtered(
        *arguments: Any,
        since: str | None,
        until: str | None,
        model: Sequence[str],
        port: Sequence[str],
        user: Sequence[str],
        feature: Sequence[str],
        run: Sequence[str],
        **others: Any,
    ) -> Any:
        wanted = filters(since, until, model, port=port, user=user, feature=feature, run=run)
        return command(*arguments, wanted=wanted, **others)

    options = (
        click.option("--since", metavar="TIME", help="Only calls from then on: ISO 8601, or how long ago (24h, 7d)."),
        click.option("--until", metavar="TIME", help="Only calls before then."),
        click.option("--model", metavar="GLOB", multiple=True, help="Only calls of such models: claude-*, *mini*."),
        click.option("--port", metavar="NAME", multiple=True, help="Only calls through this port."),
        click.option("--user", metavar="NAME", multiple=True, help="Only calls of this user."),
        click.option("--feature", metavar="NAME", multiple=True, help="Only calls of this feature."),
        click.option("--run", metavar="NAME", multiple=True, help="Only calls of this run."),
    )
    made = cast(F, filtered)
    for option in reversed(options):
        made = option(made)
    return made


def keys(values: Iterable[str]) -> tuple[str, ...]:
    """The words of ``provider,model``, of all values.

    :raises click.BadParameter: a word stands twice
    """
    found = [part.strip() for value in values for part in value.split(",") if part.strip()]
    for part in found:
        if found.count(part) > 1:
            raise click.BadParameter(f"{shown(part)} stands there twice.")
    return tuple(found)


def filters(since: str | None, until: str | None, model: Sequence[str] = (), **members: Sequence[str]) -> Filters:
    """What was asked for.

    :raises click.BadParameter: one of the times is none
    """
    from awfproxy.report.filters import Filters

    now = datetime.now(UTC)
    begin = None if since is None else time_of(since, "since", now)
    end = None if until is None else time_of(until, "until", now)
    return Filters(begin, end, model, members)


def time_of(text: str, option: str, now: datetime) -> str:
    """A time as it is given to an option, canonical.

    :raises click.BadParameter: it is none
    """
    from awfproxy.report.times import end_of_span

    found = end_of_span(text, now)
    if found is None:
        raise click.BadParameter(
            f"{shown(text)} is neither a time (2026-01-31, 2026-01-31T17:00Z) nor how long ago (30m, 24h, 7d).",
            param_hint=f"--{option}",
        )
    return found


def costs_of(config: str | None, prices: str | None, environ: Mapping[str, str]) -> Costs:
    """How calls are priced here."""
    from awfproxy.report.costs import Costs

    return Costs(price_list(config, prices, environ), time.time())


def price_list(config: str | None, prices: str | None, environ: Mapping[str, str]) -> PriceList:
    """The prices that hold here; the process ends with what is wrong where their file is."""
    from awfproxy.prices.price_list import PriceFileError, open_price_list

    named = prices
    if prices is None and (config is not None or environ.get("AWFPROXY_CONFIG") or environ.get("AWFPROXY_PRICES")):
        from awfproxy.configuration import prices_file
        from awfproxy.core.settings import SettingsError

        try:
            prices = prices_file(environ, config)
        except SettingsError as error:
            unusable(map(shown, error.lines), config)
    try:
        return open_price_list(prices)
    except PriceFileError as error:
        unusable(map(shown, error.faults), named, config)


def paths_or_logs(paths: Sequence[str], config: str | None, environ: Mapping[str, str]) -> Sequence[str]:
    """The sources that were named, else the folder in which the proxy keeps its logs."""
    if paths:
        return paths
    from awfproxy.configuration import log_dir
    from awfproxy.core.settings import SettingsError

    try:
        found = log_dir(environ, config)
    except SettingsError as error:
        unusable(map(shown, error.lines), config)
    if not os.path.isdir(found):
        remedy = "name the files or folders to read"
        if config is None and not environ.get("AWFPROXY_CONFIG"):
            remedy += ", or the configuration file: --config FILE, or export AWFPROXY_CONFIG=FILE"
        refuse([f"There is no folder {found}; {remedy}."])
    return (found,)


def width() -> int | None:
    """Columns of the terminal; None: standard output is none."""
    if not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


@contextmanager
def progress(files: Sequence[str]) -> Iterator[Callable[[int], None] | None]:
    """A bar on standard error while large files are read, if that is a terminal; None: none is wanted."""
    from awfproxy.report.lines import size_of

    size = size_of(files)
    if size < PROGRESS_BYTES or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Reading"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=size)
        yield lambda done: bar.update(task, completed=done)


def keep_sources(target: str | None, read: Iterable[str | None]) -> None:
    """Ends the command where it would write over what it reads.

    :param target: where it writes; None or "-": into no file
    :param read: paths of files, "-" for standard input, None for what was not given
    :raises click.UsageError: the target is one of them
    """
    from awfproxy.report.writing import source_at

    if target is None or target == "-":
        return
    source = source_at(target, (path for path in read if path is not None))
    if source is not None:
        raise click.UsageError(f"{shown(target)} is read here: write to another file.")


def remark(lines: Iterable[str]) -> None:
    """Sentences to standard error; that nobody reads it does not change how the command ends."""
    from awfproxy.report.output import without_reader

    try:
        for line in lines:
            click.echo(shown(line), err=True)
    except BrokenPipeError:
        without_reader(sys.stderr)


def refuse(lines: Iterable[str]) -> NoReturn:
    """Sentences to standard error, and the end."""
    remark(lines)
    sys.exit(NOTHING_FOUND)


def nothing_found(form: str, empty: Callable[[str], str], lines: Iterable[str]) -> NoReturn:
    """Sentences to standard error, and the end; programs get a document all the same, which says that nothing is there.

    :param empty: the report in that form
    """
    from awfproxy.report.escaping import write_out

    if form in FOR_PROGRAMS:
        write_out([empty(form)])
    refuse(lines)


def shown(text: str) -> str:
    """Harmless in a terminal."""
    from awfproxy.report.escaping import terminal

    return terminal(text)
