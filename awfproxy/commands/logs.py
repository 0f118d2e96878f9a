"""`awf logs`: what the records tell."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

import click

from awfproxy.commands import logs_options as common

if TYPE_CHECKING:
    from collections.abc import Sequence

    from awfproxy.report.filters import Filters
    from awfproxy.report.token_usage import Usage

#: written out, so that `--help` need not import the reports; a test compares them
KEYS: Final = ("conversation", "day", "feature", "hour", "model", "outcome", "port", "provider", "run", "user")
ORDERS: Final = ("cache-hits", "calls", "cost", "input", "name", "output", "tokens")
#: the group that needs what `awf logs turns` writes, what goes with it, and what turns can be filtered by
OF_TURNS: Final = "turn"
WITH_TURNS: Final = ("day", "hour", "model", "run")
ASKED_OF_TURNS: Final = ("since", "until", "run")
_NO_TURNS: Final = "There is no token-usage-by-turn.jsonl there: `awf logs turns` writes it."


@click.group()
def logs() -> None:
    """What the records tell.

    SOURCE is a file (plain, gzip or zstd, ours or AWF's), a folder, in which the files of its records and the folders
    within are read, or - for standard input; without any it is the folder in which the proxy keeps its logs. A record
    met twice counts once. Exit codes: 0 fine; 1 nothing found, or a gate failed; 2 the command was not understood, or a
    file that an option names cannot be used.
    """


def _keys(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """``provider,model``, or what is wrong with the first that is none."""
    found = common.keys(values)
    for part in found:
        if part != OF_TURNS and part not in KEYS:
            raise click.BadParameter(f"{common.shown(part)} is not one of {', '.join((*KEYS, OF_TURNS))}.")
        if OF_TURNS in found and part != OF_TURNS and part not in WITH_TURNS:
            raise click.BadParameter(f"With {OF_TURNS} go {', '.join(WITH_TURNS)}: turns have no {part}.")
    return found


@logs.command("token-usage")
@common.sources
@click.option(
    "--by",
    metavar="KEY[,KEY]...",
    multiple=True,
    callback=_keys,
    default=("provider,model",),
    show_default=True,
    help=f"What to group by: {', '.join(KEYS)}; several for groups within groups. Or {OF_TURNS}, from what `awf logs "
    f"turns` wrote, alone or with {', '.join(WITH_TURNS)}.",
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

    --by turn tells session and turn, from the token-usage-by-turn.jsonl that is SOURCE, or in that folder, or beside
    that file; a turn belongs to the time at which it began.
    """
    from awfproxy.report.escaping import write_out
    from awfproxy.report.token_usage import View, files_of, token_usage

    view = View(sort, limit, common.width())
    if sort == "cost" and no_cost:
        raise click.UsageError("--sort cost and --no-cost exclude each other.")
    sources = common.paths_or_logs(paths, config, os.environ)
    report: Usage
    if OF_TURNS in by:
        if prices is not None:
            raise click.UsageError("Turns are priced when they are written: give --prices to `awf logs turns`.")
        report, absent = _by_turn(sources, by, wanted, money=not no_cost)
    else:
        costs = None if no_cost else common.costs_of(config, prices, os.environ)
        with common.progress(files_of(sources)) as progress:
            report = token_usage(sources, by, costs=costs, filters=wanted, progress=progress)
        absent = "There are no token usage records{} there."
    common.remark(report.remarks.sentences())
    if not report.found:
        asked = " that were asked for" if wanted else ""
        common.nothing_found(form, lambda form: report.render(form, view), [absent.format(asked)])
    write_out([report.render(form, view)])
    if require_exact and report.overall.inexact:
        common.remark([f"Not exact: {report.inexact()}."])
        sys.exit(common.NOTHING_FOUND)


def _by_turn(sources: Sequence[str], by: Sequence[str], wanted: Filters, *, money: bool) -> tuple[Usage, str]:
    """The report of what `awf logs turns` wrote, and what is said if there is nothing in it."""
    from awfproxy.report.by_turn import by_turn, turn_files

    others = [name for name in wanted.facts() if name not in ASKED_OF_TURNS]
    if others:
        raise click.UsageError(f"Turns cannot be chosen by {' or '.join(others)}: ask `awf logs turns` for it.")
    files = turn_files(sources)
    absent = "There are no turns{} there." if files else _NO_TURNS
    with common.progress(files) as progress:
        return by_turn(files, by, money=money, filters=wanted, progress=progress), absent


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

    In folders requests*.jsonl* is read beside token-usage*.jsonl*. Times are without refused and bad requests.
    "wait in the proxy" is what a call waited for memory or a budget before it was sent on, "connecting" the time that
    a new connection to the provider took.
    """
    from awfproxy.report.escaping import write_out
    from awfproxy.report.summary import files_of
    from awfproxy.report.summary import summary as report_of
    from awfproxy.report.summary_forms import FORMS
    from awfproxy.report.token_usage import View

    view = View(width=common.width())
    sources = common.paths_or_logs(paths, config, os.environ)
    costs = None if no_cost else common.costs_of(config, prices, os.environ)
    with common.progress(files_of(sources)) as progress:
        report = report_of(sources, costs=costs, filters=wanted, progress=progress)
    common.remark(report.remarks.sentences())
    if not report.found:
        asked = " that were asked for" if wanted else ""
        common.nothing_found(form, lambda form: FORMS[form](report, view), [f"There are no records{asked} there."])
    write_out([FORMS[form](report, view)])


@logs.command()
@click.argument("paths", metavar="[SOURCE]...", nargs=-1, type=click.Path(exists=True))
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until interrupted.")
@click.option("-n", "--lines", metavar="N", type=click.IntRange(0), default=10, show_default=True, help="Calls.")
@common.config
def tail(paths: tuple[str, ...], follow: bool, lines: int, config: str | None) -> None:
    """The last calls, one a line, and with -f those that come.

    Of a folder requests.jsonl is shown, with the tokens from token-usage.jsonl beside it; where only the latter is
    there, that. Files that are renamed (rotated) are followed; right after it the last calls are also those of the file
    before, if that is not compressed. A line tells when the call ended (UTC), the port, the
    status, how it ended if not well, the model, the tokens (all read, cached ones among them, and generated), the time
    it took, user and run; of these what the terminal has room for.
    """
    from awfproxy.report.reading import many
    from awfproxy.report.watch import Watch

    watch = Watch(common.paths_or_logs(paths, config, os.environ), lines, common.width)
    found = watch.run(follow)
    if watch.skipped:
        common.remark([f"{many(watch.skipped, 'line')} skipped: no records of calls."])
    if not found:
        common.refuse(["There are no records there."])
