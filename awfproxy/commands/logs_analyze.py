"""`awf logs analyze`: what in the records could be cheaper."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from awfproxy.commands import logs_options as common
from awfproxy.commands.unusable import unusable

if TYPE_CHECKING:
    from awfproxy.report.filters import Filters

_sources = click.Path(exists=True, allow_dash=True)


@click.command("analyze")
@common.sources
@common.filtering
@click.option("--turns", metavar="FILE", multiple=True, type=click.Path(exists=True), help="What `awf logs turns` "
              "wrote, if it is not in SOURCE: findings are told by turn too.")  # fmt: skip
@click.option(
    "--compare", metavar="SOURCE", multiple=True, type=_sources, help="Compare with these records: what was before."
)
@click.option("--compare-run", metavar="NAME", multiple=True, help="Compare with this run, of --compare or of SOURCE.")
@click.option(
    "--thresholds", metavar="FILE", type=click.Path(exists=True, dir_okay=False), help="A TOML file of thresholds."
)
@click.option("--set", "settings", metavar="NAME=VALUE", multiple=True, help="A threshold; before the file's.")
@click.option(
    "--fail-on",
    metavar="CONDITION[,CONDITION]...",
    multiple=True,
    help="Exit 1 if one holds: a finding's code, any, severity:high (or medium, low), tokens>N, cost>N, increase>N% "
    "(with --compare).",
)
@click.option("--evidence", metavar="N", type=click.IntRange(0, 20), help="Cases of each finding.  [default: 5]")
@common.form
@common.no_cost
@common.prices
@common.config
def analyze(
    paths: tuple[str, ...],
    wanted: Filters,
    turns: tuple[str, ...],
    compare: tuple[str, ...],
    compare_run: tuple[str, ...],
    thresholds: str | None,
    settings: tuple[str, ...],
    fail_on: tuple[str, ...],
    evidence: int | None,
    form: str,
    no_cost: bool,
    prices: str | None,
    config: str | None,
) -> None:
    """What could be cheaper: findings, with what they would save and what to do.

    Each finding has a code that never changes, the rule by which it was found, cases as evidence, tokens and money at
    stake and saved, and how sure it is. The same records give the same findings: no model is asked. Nothing is counted
    twice in the total.

    --format markdown is made to be posted as an issue or a comment, and to be updated there.
    """
    from awfproxy.report.again import Again
    from awfproxy.report.analysis.analysis import analyse, files_of
    from awfproxy.report.analysis.comparison import NOTHING_BEFORE, Comparison
    from awfproxy.report.analysis.forms import EVIDENCE, View, render
    from awfproxy.report.analysis.gates import GateError, failed, gates_of
    from awfproxy.report.analysis.thresholds import ThresholdError, thresholds_of
    from awfproxy.report.escaping import write_out

    try:
        gates = gates_of(fail_on)
        limits = thresholds_of(thresholds, settings)
    except GateError as error:
        raise click.UsageError(common.shown(str(error))) from None
    except ThresholdError as error:
        unusable(map(common.shown, error.faults), thresholds, *settings)
    compares = bool(compare or compare_run)
    if not compares and any(gate.compares for gate in gates):
        raise click.UsageError("--fail-on increase needs --compare or --compare-run.")
    if no_cost and any(gate.of_money for gate in gates):
        raise click.UsageError("--fail-on cost and --no-cost exclude each other.")
    sources = common.paths_or_logs(paths, config, os.environ)
    costs = None if no_cost else common.costs_of(config, prices, os.environ)
    comparison = None
    # Where two runs of the same records are compared these are read twice.
    with Again(sources if compare_run and not compare else ()) as again:
        sources = again.paths or sources
        with common.progress(files_of(sources)) as progress:
            found = analyse(sources, limits=limits, costs=costs, filters=wanted, turns=turns, progress=progress)
        common.remark(found.remarks.sentences())
        if not found.found:
            asked = " that were asked for" if wanted else ""
            absent = f"There are no token usage records{asked} there."
            common.nothing_found(form, lambda form: render(found, form), [absent])
        if compares:
            before = analyse(compare or sources, limits=limits, costs=costs, filters=wanted.before(compare_run))
            if compare:  # else the same files were read again
                common.remark(before.remarks.sentences())
            if not before.whole.calls:
                common.remark([NOTHING_BEFORE])
            comparison = Comparison(before, found)
    view = View(EVIDENCE if evidence is None else evidence, common.width())
    write_out([render(found, form, view, comparison)])
    if said := failed(gates, found, comparison):
        common.remark(f"Failed: {each}" for each in said)
        sys.exit(common.NOTHING_FOUND)
