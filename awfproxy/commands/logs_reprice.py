"""`awf logs reprice`: what the recorded calls would have cost at other prices."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain, islice
from typing import TYPE_CHECKING

import click

from awfproxy.commands import logs_options as common

if TYPE_CHECKING:
    from awfproxy.report.filters import Filters
    from awfproxy.report.repricing import Pricing, Rename


def _renames(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    found = []
    for value in values:
        pattern, _, model = value.partition("=")
        if not pattern.strip() or not model.strip():
            raise click.BadParameter(f"{common.shown(value)} is not like gpt-5=gpt-5-mini.")
        found.append((pattern.strip(), model.strip()))
    return tuple(found)


@click.command("reprice")
@common.sources
@click.option("--at", metavar="TIME", help="At the prices of that day, or of now; ISO 8601, or how long ago (7d).")
@click.option(
    "--prices",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="With these prices of your own in the place of those that are in force.",
)
@click.option(
    "--as",
    "renames",
    metavar="MODEL=OTHER",
    multiple=True,
    callback=_renames,
    help="Calls of a model (also claude-opus-*) at the price of another. May be given several times; the first that "
    "fits counts.",
)
@click.option(
    "--output",
    metavar="FILE",
    help="Write a line for each call: its id, cost, and where the price is from; - is standard output, and no table.",
)
@common.filtering
@common.form
@common.config
def reprice(
    paths: tuple[str, ...],
    at: str | None,
    prices: str | None,
    renames: tuple[tuple[str, str], ...],
    output: str | None,
    wanted: Filters,
    form: str,
    config: str | None,
) -> None:
    """What the recorded calls would have cost at other prices.

    "before" is the price that was in force when a call was made; "after" that of --at, --prices and --as, or, without
    any of them, of now. Tokens stay as they are: another model would have used others. The difference is over the
    calls that have both prices. Exits 1 if an --as is for none of the calls.
    """
    from awfproxy.report.escaping import write_out
    from awfproxy.report.output import to_stdout
    from awfproxy.report.repricing import Rename, Repricing
    from awfproxy.report.repricing_forms import FORMS
    from awfproxy.report.summary import files_of as records_of
    from awfproxy.report.token_usage import files_of
    from awfproxy.report.turns.writing import encoded
    from awfproxy.report.writing import write

    sources = common.paths_or_logs(paths, config, os.environ)
    common.keep_sources(output, [*records_of(sources), prices, config])
    now = time.time()
    moment_of = _moment(at, now) if at is not None else None if prices or renames else now
    before = _pricing(config, None, now, None, ())
    after = _pricing(config, prices, now, moment_of, [Rename(*each) for each in renames])
    report = Repricing(before, after, wanted)
    with common.progress(files_of(sources)) as progress:
        calls = report.read(sources, None, progress)
        lines = encoded(call.line() for call in calls)
        # The first one tells whether there are any: where nothing was found no file is made or written over.
        begun = [] if output is None else list(islice(lines, 1))
        taken = True
        if output == "-":
            to_stdout(chain(begun, lines))
        elif output is not None and begun:
            try:
                taken = write(chain(begun, lines), output)
            except OSError as error:
                common.refuse([f"{output}: not written: {error.strerror or error}."])
        else:
            for _ in calls:
                pass
        if not taken:
            return  # nobody reads it any more, and of calls that were not read nothing can be told
    common.remark(report.remarks.sentences())
    if not report.groups:
        absent = f"There are no token usage records{' that were asked for' if wanted else ''} there."
        if output == "-":
            common.refuse([absent])
        common.nothing_found(form, lambda form: FORMS[form](report, None), [absent])
    if output != "-":
        write_out([FORMS[form](report, common.width())])
        if output is not None:
            common.remark([f"Written to {output}."])
    if idle := after.idle:
        common.remark(f"--as {pattern}={other}: there is no call that it is for." for pattern, other in idle)
        sys.exit(common.NOTHING_FOUND)


def _moment(text: str, now: float) -> float:
    if text.strip().lower() in ("now", "today"):
        return now
    from awfproxy.report.times import moment

    found = moment(common.time_of(text, "at", datetime.fromtimestamp(now, UTC)))
    assert found is not None  # it is canonical
    return found.timestamp()


def _pricing(
    config: str | None, prices: str | None, now: float, at: float | None, renames: Sequence[Rename]
) -> Pricing:
    from awfproxy.report.repricing import Pricing

    return Pricing(common.price_list(config, prices, os.environ), now, at, renames)
