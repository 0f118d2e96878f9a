"""`awf budget`: what budgets are, how they stand, and changes of them.

On a running service all goes through its Unix socket; the ledger of a stopped one is used directly.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import click

if TYPE_CHECKING:
    from awfproxy.commands.desk import Desk
    from awfproxy.ledger.budget_desk import Refused

T = TypeVar("T")

#: exit codes: a call would be refused, or there is no answer; asked wrongly, as click has it
NOT_RIGHT: Final = 1
ASKED_WRONGLY: Final = 2
#: written out, so that `--help` need not import the ground floor; a test compares them
_PERIODS = ("day", "week", "month")
_MODES = ("learned", "strict")
_COUNTS = ("reported", "all")
FIELDS = (
    "enabled",
    "period",
    "soft_cap_tokens",
    "hard_cap_tokens",
    "mode",
    "unbounded",
    "count",
    "hard_cap_usd",
)

_port = click.argument("port", metavar="[PORT]", required=False)
_user = click.option("--user", metavar="NAME", help="The budget of this user, whose keys are in the configuration.")
_feature = click.option("--feature", metavar="NAME", help="The budget of this feature, or `other` for the rest.")
_config = click.option(
    "--config",
    metavar="FILE",
    help="The configuration file. Without it the one that AWFPROXY_CONFIG names, else the environment alone.",
)
_form = click.option(
    "--format", "form", type=click.Choice(["pretty", "json"]), default="pretty", show_default=True
)


@click.group()
def budget() -> None:
    """Token budgets: what they are, how they stand, and changes of them.

    A running service is asked through admin.sock in its state folder, which its own user and root may use; while it is
    stopped, its ledger is used directly. PORT is a port's name; it can be left out where there is only one.
    """


@budget.command()
@_port
@_user
@_feature
@_config
@_form
def show(port: str | None, user: str | None, feature: str | None, config: str | None, form: str) -> None:
    """Every budget: use in its current period, and each field with where it is from.

    "used" is what calls of the period used, with what was lost with a process that died ("lost"); "reserved" is set
    aside for calls that run; "remaining" is neither. A field is from the program ("default"), from a line of the
    configuration, or stored by `awf budget set`: then it is told who changed the budget last, and when.
    """
    from awfproxy.commands.budget_tables import shown

    _one_of(user, feature)
    with _desk(config) as desk:
        if user is not None or feature is not None:
            port = _the_port(desk, port)
        found = _or_refuse(desk.show(port, user, feature))
    for note in found.notes:
        click.echo(f"note: {_visible(note)}", err=True)
    if not found.budgets:
        _fail("There are no ports.")
    click.echo(shown(found.budgets, form), nl=False)


@budget.command("set")
@_port
@_user
@_feature
@click.option("--enabled/--disabled", default=None, help="Whether the caps are kept.")
@click.option("--soft-cap-tokens", type=int, metavar="N", help="Above it answers say so, and the operator is told.")
@click.option("--hard-cap-tokens", type=int, metavar="N", help="At it calls are refused.")
@click.option("--period", type=click.Choice(_PERIODS), help="The calendar period in UTC; weeks begin on Monday.")
@click.option("--mode", type=click.Choice(_MODES), help="Reserve what calls really use, or the most they can use.")
@click.option("--unbounded", metavar="refuse|N", help="In strict mode, calls whose most cannot be told.")
@click.option("--count", type=click.Choice(_COUNTS), help="Input and output, or the provider's cache too.")
@click.option("--hard-cap-usd", type=float, metavar="X", help="US dollars at which calls are refused; 0: no such cap.")
@_config
@_form
def set_(
    port: str | None, user: str | None, feature: str | None, config: str | None, form: str, **given: Any
) -> None:
    """Store fields of a budget; they count instead of the configuration's until `unset`.

    Fields that are not given stay as they are. Nothing is stored if a cap is negative, or if the soft cap would come to
    lie above the hard one. Who did it, and when, is kept.
    """
    from awfproxy.commands.budget_tables import shown

    _one_of(user, feature)
    fields = {name: value for name, value in given.items() if value is not None}
    if not fields:
        raise click.UsageError("There is nothing to set; name a field, like --hard-cap-tokens 500000.")
    if (unbounded := fields.get("unbounded")) is not None and unbounded.isascii() and unbounded.isdigit():
        fields["unbounded"] = int(unbounded)
    with _desk(config, writes=True) as desk:
        statement = _or_refuse(desk.set(fields, _the_port(desk, port), user, feature))
    click.echo(shown([statement], form), nl=False)


@budget.command()
@click.argument("port", metavar="PORT")
@click.argument("fields", metavar="[FIELD]...", nargs=-1, type=click.Choice(FIELDS))
@_user
@_feature
@_config
@_form
def unset(
    port: str, fields: tuple[str, ...], user: str | None, feature: str | None, config: str | None, form: str
) -> None:
    """Forget stored fields of a budget, or all of them: the configuration's count again.

    FIELD is a name as `show` has it, like hard_cap_tokens.
    """
    from awfproxy.commands.budget_tables import shown

    _one_of(user, feature)
    with _desk(config, writes=True) as desk:
        statement = _or_refuse(desk.unset(fields or None, port, user, feature))
    click.echo(shown([statement], form), nl=False)


@budget.command()
@_port
@_user
@_feature
@click.option(
    "--estimate", type=click.IntRange(min=0), metavar="N", default=0, show_default=True, help="Tokens of the call."
)
@click.option(
    "--estimate-usd",
    type=click.FloatRange(min=0),
    metavar="X",
    default=0.0,
    show_default=True,
    help="Dollars that it costs, for budgets with a cap in dollars.",
)
@_config
@_form
def check(
    port: str | None,
    user: str | None,
    feature: str | None,
    estimate: int,
    estimate_usd: float,
    config: str | None,
    form: str,
) -> None:
    """Whether a call that uses N tokens and costs X dollars would be let in now.

    Exits 1 if it would be refused, with a table that says why; also if the ledger or the service cannot be asked, with
    nothing but a message on standard error. A port or user that there is not is 2.

    It must pass the port's budget, and those of the user and of the feature that are named. Reasons: hard-cap-exceeded,
    estimated-exceeds-cap, cap-reserved (running calls have reserved what is left), budget-disabled (let in, nothing is
    enforced), budget-disabled-but-no-key (refused: the port has no credential either).
    """
    from awfproxy.commands.budget_tables import applying, decisions

    with _desk(config) as desk:
        found = _or_refuse(desk.show(_the_port(desk, port)))
    chosen = applying(found.budgets, user, feature)
    if isinstance(chosen, str):
        _fail(chosen, ASKED_WRONGLY)
    text, allowed = decisions(chosen, estimate, form, estimate_usd)
    click.echo(text, nl=False)
    if not allowed:
        sys.exit(NOT_RIGHT)


@budget.command()
@_port
@click.option("--by", type=click.Choice(["feature", "model", "user"]), default="feature", show_default=True)
@_config
@_form
def breakdown(port: str | None, by: str, config: str | None, form: str) -> None:
    """Tokens, calls and cost of a port in its budget's current period, by feature, model or user.

    "-" are calls of which it is not known. The cost, in US dollars, is that of calls whose model has a price; "unpriced
    calls" are the others. Calls are in here a second after they have ended.
    """
    from awfproxy.commands.budget_tables import divided

    with _desk(config) as desk:
        found = _or_refuse(desk.division(_the_port(desk, port)))
    click.echo(divided(found, by, form), nl=False)


@contextmanager
def _desk(config: str | None, *, writes: bool = False) -> Iterator[Desk]:
    from awfproxy.commands.desk import open_desk
    from awfproxy.commands.failure import CommandFailed

    try:
        with open_desk(config, os.environ, writes=writes) as desk:
            yield desk
    except CommandFailed as failed:
        _fail(str(failed))


def _the_port(desk: Desk, port: str | None) -> str:
    if port is not None:
        return port
    names = list(dict.fromkeys(statement.port for statement in _or_refuse(desk.show()).budgets))
    if len(names) != 1:
        raise click.UsageError(f"Name the port: {', '.join(names)}." if names else "There are no ports.")
    return names[0]


def _one_of(user: str | None, feature: str | None) -> None:
    if user is not None and feature is not None:
        raise click.UsageError("A budget is a user's or a feature's: give --user or --feature, not both.")


def _or_refuse(found: T | Refused) -> T:
    from awfproxy.ledger.budget_desk import Refused

    if isinstance(found, Refused):
        _fail(found.message, ASKED_WRONGLY)
    return found


def _fail(message: str, code: int = NOT_RIGHT) -> NoReturn:
    for line in message.splitlines():
        click.echo(_visible(line), err=True)
    sys.exit(code)


def _visible(text: str) -> str:
    from awfproxy.report.escaping import visible

    return visible(text)
