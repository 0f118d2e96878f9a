"""`awf logs`: what the records tell."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

import click

from awfproxy.commands import logs_options as common

if TYPE_CHECKING:
    from awfproxy.report.filters import Filters

#: written out, so that `--help` need not import the reports; a test compares them
KEYS: Final = ("conversation", "day", "feature", "hour", "model", "outcome", "port", "provider", "run", "user")
ORDERS: Final = ("cache-hits", "calls", "cost", "input", "name", "output", "tokens")
#: groups that need what `awf logs turns` writes
OF_TURNS: Final = "turn"


@click.group()
def logs() -> None:
    """What the records tell.

    SOURCE is a file (plain, gzip or zstd, ours or AWF's), a folder, in which the files of its records and the folders
    within are read, or - for standard input; without any it is the folder in which the proxy keeps its logs. A record
    met twice counts once. Exit codes: 0 fine; 1 nothing found, or a gate failed; 2 the command was not understood.
    """


def _keys(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """``provider,model``: each of them once, or what is wrong with the first that is none."""
    found = dict.fromkeys(part.strip() for value in values for part in value.split(",") if part.strip())
    for part in found:
        if part == OF_TURNS:
            raise click.BadParameter("Turns are told by `awf logs turns`; these records have none.")
        if part not in KEYS:
            raise click.BadParameter(f"{common.shown(part)} is not one of {', '.join(KEYS)}.")
    return tuple(found)


@logs.command("token-usage")
@common.sources
@click.option(
    "--by",
    metavar="KEY[,KEY]...",
    multiple=True,
    callback=_keys,
    default=("provider,model",),
    show_default=True,
    help=f"What to group by: {', '.join(KEYS)}; several for groups within groups.",
)
@common.filtering
@click.option("--sort", type=click.Choice(ORDERS), help="Largest first (name: a to z); without it times are in order.")
@click.option("--limit", metavar="N", type=click.IntRange(1), help="Tell N groups apart, all others together.")
@common.form
@common.no_cost
@common.prices
@common.config
@click.option("--require-exact", is_flag=True, help="Exit 1 if a call's figures are not the provider's final ones.")
def token_usage(
    paths: tuple[str, ...],
    by: tuple[str, ...],
    wanted: Filters,
    sort: str | None,
    limit: int | None,
    form: str,
    no_cost: bool,
    prices: str | None,
    config: str | None,
    require_exact: bool,
) -> None:
    """Tokens used and what they cost, by group and in total.

    A figure is written "?" where no call reported it, and with "≥" in front where some did not. "all tokens" is
    everything read and written, cached or not, and so comparable between providers, which "input" is not. "cache hits"
    is the share of all tokens read that came from the cache. "not exact" is the share of calls whose figures are
    estimated, or not the final ones. A call belongs to the time at which it was admitted.
    """
    from awfproxy.report.escaping import write_out
    from awfproxy.report.token_usage import View, files_of, token_usage

    if sort == "cost" and no_cost:
        raise click.UsageError("--sort cost and --no-cost exclude each other.")
    sources = common.paths_or_logs(paths, config, os.environ)
    costs = None if no_cost else common.costs_of(config, prices, os.environ)
    with common.progress(files_of(sources)) as progress:
        report = token_usage(sources, by, costs=costs, filters=wanted, progress=progress)
    common.remark(report.remarks.sentences())
    if not report.found:
        asked = " that were asked for" if wanted else ""
        common.refuse([f"There are no token usage records{asked} there."])
    write_out([report.render(form, View(sort, limit, common.width()))])
    if require_exact and report.overall.inexact:
        common.remark([f"Not exact: {report.inexact()}."])
        sys.exit(common.NOTHING_FOUND)


@logs.command()
@common.sources
@common.filtering
@common.form
@common.no_cost
@common.prices
@common.config
def summary(
    paths: tuple[str, ...],
    wanted: Filters,
    form: str,
    no_cost: bool,
    prices: str | None,
    config: str | None,
) -> None:
    """Requests, how they ended, how long they took, refusals, bytes, and the tokens.

    In folders requests*.jsonl* is read beside token-usage*.jsonl*. Times are without refused requests. "wait in the
    proxy" is what a call waited for memory or a budget before it was sent on, "connecting" the time that a new
    connection to the provider took.
    """
    from awfproxy.report.escaping import write_out
    from awfproxy.report.summary import files_of
    from awfproxy.report.summary import summary as report_of
    from awfproxy.report.summary_forms import FORMS
    from awfproxy.report.token_usage import View

    sources = common.paths_or_logs(paths, config, os.environ)
    costs = None if no_cost else common.costs_of(config, prices, os.environ)
    with common.progress(files_of(sources)) as progress:
        report = report_of(sources, costs=costs, filters=wanted, progress=progress)
    common.remark(report.remarks.sentences())
    if not report.found:
        common.refuse([f"There are no records{' that were asked for' if wanted else ''} there."])
    write_out([FORMS[form](report, View(width=common.width()))])


@logs.command()
@click.argument("paths", metavar="[SOURCE]...", nargs=-1, type=click.Path(exists=True))
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until interrupted.")
@click.option("-n", "--lines", metavar="N", type=click.IntRange(0), default=10, show_default=True, help="Calls.")
@common.config
def tail(paths: tuple[str, ...], follow: bool, lines: int, config: str | None) -> None:
    """The last calls, one a line, and with -f those that come.

    Of a folder requests.jsonl is shown, with the tokens from token-usage.jsonl beside it; where only the latter is
    there, that. Files that are renamed (rotated) are followed. A line tells when the call ended (UTC), the port, the
    status, how it ended if not well, the model, the tokens (all read, cached ones among them, and generated), the time
    it took, user and run.
    """
    from awfproxy.report.watch import Watch

    watch = Watch(common.paths_or_logs(paths, config, os.environ), lines)
    if not watch.run(follow):
        common.refuse(["There are no records there."])
