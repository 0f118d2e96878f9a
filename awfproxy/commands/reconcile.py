"""`awf reconcile`: the records against what a provider or an agent counted."""

from __future__ import annotations

import os
import re
import sys
from functools import cache
from typing import TYPE_CHECKING, Final

import click

from awfproxy.commands import logs_options as common

if TYPE_CHECKING:
    from awfproxy.report.costs import Costs

#: written out, so that `--help` need not import the report; a test compares them
KEYS: Final = ("day", "hour", "model")
_PERCENT: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*%")
_files = click.Path(exists=True, allow_dash=True)


def _keys(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    found = common.keys(values)
    for part in found:
        if part not in KEYS:
            raise click.BadParameter(f"{common.shown(part)} is not one of {', '.join(KEYS)}.")
    if {"day", "hour"} <= set(found):
        raise click.BadParameter("day and hour exclude each other.")
    return found


def _share(ctx: click.Context, param: click.Parameter, value: str) -> float:
    found = _PERCENT.fullmatch(value.strip())
    if found is None or float(found[1]) > 100:
        raise click.BadParameter(f"{common.shown(value)} is no share; write it like 0.5%.")
    return float(found[1]) / 100


@click.command("reconcile")
@common.sources
@click.option(
    "--provider-export",
    "exports",
    metavar="PATH",
    multiple=True,
    type=_files,
    help="What the provider counted: OpenAI's or Anthropic's usage or cost export, JSON or CSV, or a folder of them. "
    "May be given several times.",
)
@click.option(
    "--agent-log",
    "agent_logs",
    metavar="PATH",
    multiple=True,
    type=_files,
    help="What agents counted: logs of Claude Code, Codex or Copilot CLI, or a folder of them.",
)
@click.option(
    "--by",
    metavar="KEY,...",
    multiple=True,
    default=("day,model",),
    show_default=True,
    callback=_keys,
    help=f"What rows are told apart by: {', '.join(KEYS)}.",
)
@click.option("--since", metavar="TIME", help="Only what lies wholly after: ISO 8601, or how long ago (24h, 7d).")
@click.option("--until", metavar="TIME", help="Only what lies wholly before.")
@click.option(
    "--tolerance",
    metavar="SHARE",
    default="0.5%",
    show_default=True,
    callback=_share,
    help="Difference up to which a row is as it should be, as a share of its larger side.",
)
@click.option(
    "--key",
    "keys",
    metavar="NAME",
    multiple=True,
    help="Only the export's rows of this API key, project or workspace, by id or name as the export has it.",
)
@click.option("--port", metavar="NAME", multiple=True, help="Only our calls through this port.")
@common.form
@common.prices
@common.config
def reconcile(
    paths: tuple[str, ...],
    exports: tuple[str, ...],
    agent_logs: tuple[str, ...],
    by: tuple[str, ...],
    since: str | None,
    until: str | None,
    tolerance: float,
    keys: tuple[str, ...],
    port: tuple[str, ...],
    form: str,
    prices: str | None,
    config: str | None,
) -> None:
    """Compare the records with what a provider or an agent counted.

    SOURCE is a file or folder of records, as for `awf logs`. Only the time that the other side covers is compared, in
    its own days. Every difference is told with its kind, its amount, a likely cause, and how sure that is.

    Exit codes: 0 all is within the tolerance; 1 it is not, or there is nothing to compare, or the other side's files
    have faults; 2 the command was not understood.
    """
    from awfproxy.report.escaping import write_out
    from awfproxy.report.reconcile.forms import FORMS
    from awfproxy.report.reconcile.report import reconcile_exports, reconcile_logs
    from awfproxy.report.times import moment
    from awfproxy.report.token_usage import files_of

    if bool(exports) == bool(agent_logs):
        raise click.UsageError("Give either --provider-export or --agent-log.")
    if agent_logs and keys:
        raise click.UsageError("--key is for --provider-export.")
    asked = common.filters(since, until, port=port)
    ends = [None if (when := moment(text)) is None else int(when.timestamp()) for text in (asked.since, asked.until)]
    wanted = common.filters(None, None, port=port)
    sources = common.paths_or_logs(paths, config, os.environ)

    @cache
    def costs() -> Costs:
        return common.costs_of(config, prices, os.environ)

    if prices is not None:
        costs()  # what is wrong in the file is told, whether it is needed or not
    with common.progress(files_of(sources)) as progress:
        if exports:
            report = reconcile_exports(
                sources, exports, by, tolerance, since=ends[0], until=ends[1], keys=keys, filters=wanted, costs=costs,
                progress=progress,
            )  # fmt: skip
        else:
            report = reconcile_logs(
                sources, agent_logs, by, tolerance, since=ends[0], until=ends[1], filters=wanted, progress=progress
            )
    common.remark([*report.faults.lines(), *report.remarks.sentences()])
    if not report.found:
        that = " that were asked for" if wanted else ""
        none = [] if report.calls else [f"There are no token usage records{that} there."]
        said = [*report.notes, *none, "There is nothing to compare."]
        common.nothing_found(form, lambda form: FORMS[form](report, None), said)
    write_out([FORMS[form](report, common.width())])
    if not report.agrees:
        sys.exit(common.NOTHING_FOUND)
