"""Writes docs/cli.md from the command's own help: `make docs`.  A test fails where the page is not what this prints."""

import click
from click.testing import CliRunner

from awfproxy.cli import awf

INTRODUCTION = """\
# The command `awf`

Made from `awf --help` by `make docs`; do not edit.

Figures go to standard output, remarks to standard error. Exit codes: 0 fine; 1 nothing found, or what was checked is
not right, or the output could not be written; 2 the command was not understood, or a file that an option names
cannot be used. A reader that leaves early (`awf ... | head`) changes nothing of it. `awf health` and `awf service` ask
the running proxy; no other subcommand needs it.

The shell completes subcommands, options and files if it is told to, in bash by a line in `~/.bashrc`, in zsh and fish
with `zsh_source` and `fish_source` where they read theirs:

    eval "$(_AWF_COMPLETE=bash_source awf)"
"""


def page() -> str:
    """The whole page."""
    return INTRODUCTION + "".join(_sections(awf, ("awf",)))


def _sections(command: click.Command, path: tuple[str, ...]) -> list[str]:
    # The width is fixed: the page must not depend on the terminal of whoever makes it.
    result = CliRunner().invoke(awf, [*path[1:], "--help"], prog_name="awf", terminal_width=100)
    sections = [f"\n## `{' '.join(path)}`\n\n```\n{result.output.rstrip()}\n```\n"]
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            sections += _sections(command.commands[name], (*path, name))
    return sections


if __name__ == "__main__":
    print(page(), end="")
