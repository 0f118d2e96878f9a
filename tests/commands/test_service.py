"""`awf service`: what a person is told of what the service did."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from click.testing import CliRunner

from awfproxy import cli
from awfproxy.commands import service as commands
from awfproxy.commands.service_socket import Reloaded


class _Service:
    """One that has taken its configuration over."""

    def reload(self) -> Reloaded:
        return Reloaded(["Port opened: new."], ["f:9: NEW_KEY is not set.", "A \x1b[2Jnote."])


def test_notes_of_a_reload_go_to_standard_error() -> None:
    """It was done, so what was done is the answer; what it may not have done is said beside it, harmless."""

    @contextmanager
    def running(config: str | None) -> Iterator[_Service]:
        yield _Service()

    with patch.object(commands, "_running", running):
        result = CliRunner().invoke(cli.awf, ["service", "reload"])
    assert (result.exit_code, result.stdout) == (0, "Port opened: new.\n")
    first, second = result.stderr.splitlines()
    assert first == "note: f:9: NEW_KEY is not set."
    assert second.startswith("note: A ") and "\x1b" not in second
