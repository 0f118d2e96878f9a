"""`awf report`: what the records tell, as one page."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from awfproxy.commands import logs_options as common

if TYPE_CHECKING:
    from awfproxy.report.filters import Filters


@click.command()
@common.sources
@click.option("--html", "target", metavar="FILE", required=True, help="Where the page goes; - is standard output.")
@click.option("--title", metavar="TEXT", help="What the page is called.")
@common.filtering
@common.no_cost
@common.prices
@click.option(
    "--turns",
    metavar="FILE",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False),
    help="What `awf logs turns` wrote; without it token-usage-by-turn.jsonl where SOURCE is a folder that has it.",
)
@click.option("--no-findings", is_flag=True, help="Do not look for what could be saved: half the time.")
@common.config
def report(
    paths: tuple[str, ...],
    target: str,
    title: str | None,
    wanted: Filters,
    no_cost: bool,
    prices: str | None,
    turns: tuple[str, ...],
    no_findings: bool,
    config: str | None,
) -> None:
    """Make one page of HTML of what was used, what it cost, where, and what to do about it.

    The file needs nothing else, and asks nothing of any network: it can be opened from a disk, attached to a message or
    kept with the run. SOURCE is as for `awf logs`. The figures are those of `awf logs token-usage`, `summary`, `turns`
    and `analyze`.
    """
    from awfproxy.report.costs import Costs
    from awfproxy.report.html.gathering import Gathered
    from awfproxy.report.html.page import page
    from awfproxy.report.html.sources import Sources
    from awfproxy.report.output import to_stdout
    from awfproxy.report.writing import write

    named = common.paths_or_logs(paths, config, os.environ)
    now = time.time()
    listed = None if no_cost else common.price_list(config, prices, os.environ)
    gathered = Gathered(Costs(listed, now) if listed else None, wanted)
    with Sources(named, turns) as sources:
        common.keep_sources(target, [*named, *sources.records, *sources.turns, prices, config])
        with common.progress(sources.records) as progress:
            gathered.read(sources.records, sources.turns, progress=progress)
        common.remark(gathered.summary.remarks.sentences())
        common.remark(gathered.turns.troubles)
        if not gathered.found:
            common.refuse([f"There are no records{' that were asked for' if wanted else ''} there."])
        analysis = None
        if not no_findings:
            from awfproxy.report.analysis.analysis import analyse

            costs = Costs(listed, now) if listed else None
            with common.progress(sources.records) as progress:
                analysis = analyse(sources.records, costs=costs, filters=wanted, turns=sources.turns, progress=progress)
    text = page(gathered, analysis, named, f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", title)
    if target == "-":
        to_stdout([text.encode()])
        return
    try:
        taken = write([text.encode()], target)
    except OSError as error:
        common.refuse([f"{target}: not written: {error.strerror or error}."])
    if taken:
        common.remark([f"Written to {target}, {len(text.encode()) / 1024:,.0f} KB."])
