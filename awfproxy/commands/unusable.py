"""How a command ends whose files of settings, prices or thresholds cannot be used.

Rules: a file that an option names was named wrongly, as any other value of an option may be: a usage error, exit code
2.  What nobody named on the command line, as the environment's file, is no fault of the command: exit code 1.  Either
way every fault is told.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Final, NoReturn

import click

#: exit code: it was not done, and the command is not what was wrong
NOT_DONE: Final = 1


def unusable(faults: Iterable[str], *options: str | None) -> NoReturn:
    """Ends the command.

    :param faults: whole sentences that name file, line or key, and remedy; harmless in a terminal
    :param options: what was given to the options that name the file, or the file that names it; None: not given
    """
    text = "\n".join(faults)
    if any(option is not None for option in options):
        raise click.UsageError(text)
    click.echo(text, err=True)
    sys.exit(NOT_DONE)
