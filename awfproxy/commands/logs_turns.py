"""`awf logs turns`: which turn of an agent each call belongs to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from awfproxy.commands import logs_options as common

if TYPE_CHECKING:
    from awfproxy.report.filters import Filters

_logs = click.Path(exists=True, allow_dash=True)


@click.command("turns")
@common.sources
@click.option(
    "--agent-log",
    "agent_logs",
    metavar="PATH",
    multiple=True,
    type=_logs,
    help="A log of an agent, or a folder of them: Claude Code, Codex, Copilot CLI. May be given several times.",
)
@click.option(
    "--output",
    metavar="FILE",
    help="Where the turns are written; - is standard output, and no table.  "
    "[default: token-usage-by-turn.jsonl beside SOURCE]",
)
@click.option("--no-output", is_flag=True, help="Write no file.")
@common.filtering
@common.form
@common.no_cost
@common.prices
@common.config
@click.option("--squid-log", metavar="FILE", multiple=True, type=_logs, help="Squid's access log: requests by turn.")
@click.option("--audit-log", metavar="FILE", multiple=True, type=_logs, help="AWF's audit.jsonl: requests by turn.")
@click.option("--mcp-log", metavar="FILE", multiple=True, type=_logs, help="The MCP gateway's log: tools by turn.")
@click.option("--safe-outputs", metavar="FILE", multiple=True, type=_logs, help="Safe outputs: kinds by turn.")
def turns(
    paths: tuple[str, ...],
    agent_logs: tuple[str, ...],
    output: str | None,
    no_output: bool,
    wanted: Filters,
    form: str,
    no_cost: bool,
    prices: str | None,
    config: str | None,
    squid_log: tuple[str, ...],
    audit_log: tuple[str, ...],
    mcp_log: tuple[str, ...],
    safe_outputs: tuple[str, ...],
) -> None:
    """Tell which turn of an agent each call belongs to.

    With --agent-log calls are matched with the turns of the agents' own logs: by ids, by equal counts, by order and
    time; how sure that is stands beside each turn. Without, turns are told by what the records say of their
    conversations. Every call is in one turn, or unmatched with the reason.

    The turns are written to token-usage-by-turn.jsonl too, whole and then renamed.
    """
    from awfproxy.report.escaping import write_out
    from awfproxy.report.output import to_stdout
    from awfproxy.report.summary import files_of
    from awfproxy.report.turns.report import turns as report_turns
    from awfproxy.report.turns.turn_tables import shown
    from awfproxy.report.turns.writing import FILE_NAME, encoded, place_of
    from awfproxy.report.writing import write

    if no_output and output is not None:
        raise click.UsageError("--output and --no-output exclude each other.")
    sources = common.paths_or_logs(paths, config, os.environ)
    costs = None if no_cost else common.costs_of(config, prices, os.environ)
    sides = {"squid": squid_log, "audit": audit_log, "mcp": mcp_log, "safe_outputs": safe_outputs}
    report = report_turns(
        sources, agent_logs, {kind: files for kind, files in sides.items() if files}, filters=wanted, costs=costs
    )
    place = None if no_output else output or place_of(sources)
    named = (path for files in (agent_logs, *sides.values()) for path in files)
    read = [*files_of(sources), *named, *report.agent_logs, prices, config]
    # What an earlier run wrote may well be among the files of a folder or of a shell's pattern.
    common.keep_sources(place, [path for path in read if path and os.path.basename(path) != FILE_NAME])
    common.remark(report.remarks)
    if not report.told or not report.found:
        asked = " that were asked for" if wanted else ""
        absent = [f"There are no token usage records{asked} there."] if report.told else []
        if output == "-":
            common.refuse(absent)
        common.nothing_found(form, lambda form: shown(report.rows, form), absent)
    if output == "-":
        to_stdout(encoded(report.rows))
        return
    write_out([shown(report.rows, form, common.width())])
    if place is None:
        return
    try:
        taken = write(encoded(report.rows), place)
    except OSError as error:
        common.refuse([f"{place}: not written: {error.strerror or error}."])
    if taken:
        common.remark([f"Written to {place}."])
