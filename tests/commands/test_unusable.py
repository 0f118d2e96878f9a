"""Files of settings and prices that cannot be used: one rule for all commands that are given any."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from awfproxy import cli

PRICED = [
    ("logs", "token-usage", "."),
    ("logs", "summary", "."),
    ("logs", "turns", "."),
    ("logs", "analyze", "."),
    ("logs", "reprice", "."),
    ("report", ".", "--html", "-"),
    ("reconcile", ".", "--provider-export", "export.json"),
]
CONFIGURED = [
    ("logs", "token-usage"),
    ("logs", "tail"),
    ("report", "--html", "-"),
    ("budget", "show"),
    ("budget", "set", "a", "--hard-cap-tokens", "1"),
    ("ledger", "verify"),
    ("ledger", "rebuild"),
    ("service", "reload"),
    ("health",),
    ("config", "show"),
]
RECORD = (
    '{"event": "token_usage", "request_id": "a", "provider": "openai", "model": "m", "input_tokens": 1,'
    ' "output_tokens": 1, "timestamp": "2026-01-01T00:00:00.000Z"}\n'
)
EXPORT = (
    '{"object": "page", "data": [{"object": "bucket", "start_time": 1767225600, "end_time": 1767312000, "results": []}]}'
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith(("AWF", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "token-usage.jsonl").write_text(RECORD)
    (tmp_path / "export.json").write_text(EXPORT)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.awf, arguments)


@pytest.mark.parametrize("command", PRICED, ids=" ".join)
def test_prices_that_an_option_names(here: Path, command: tuple[str, ...]) -> None:
    """A usage error with every fault: file, line, key, remedy.  Nothing is printed and nothing written."""
    (here / "prices.toml").write_text("[models.x]\ninput_per_million = -1\ncolour = 1\n")
    before = sorted(os.listdir(here))
    result = run(*command, "--prices", "prices.toml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage: awf" in result.stderr
    assert "prices.toml:2: `models.x.input_per_million` is wrong: expected a number >= 0.0." in result.stderr
    assert "prices.toml:1: `models.x` has no `output_per_million`; write 0" in result.stderr
    assert "prices.toml:3: `models.x.colour` is not a setting; valid are" in result.stderr
    assert sorted(os.listdir(here)) == before


@pytest.mark.parametrize("command", CONFIGURED, ids=" ".join)
@pytest.mark.parametrize(
    ("text", "why"),
    [(b"\xff\xfe", "awf.toml: is not UTF-8 (at byte 0)"), (b"[ports.openai\n", "awf.toml:1: this is not valid TOML")],
)
def test_configurations_that_an_option_names(here: Path, command: tuple[str, ...], text: bytes, why: str) -> None:
    """A usage error; the same file from the environment is no fault of the command, and is told alike."""
    (here / "awf.toml").write_bytes(text)
    named = run(*command, "--config", "awf.toml")
    assert (named.exit_code, named.stdout) == (2, "")
    assert "Usage: awf" in named.stderr and why in named.stderr
    os.environ["AWFPROXY_CONFIG"] = "awf.toml"
    try:
        found = run(*command)
    finally:
        del os.environ["AWFPROXY_CONFIG"]
    assert (found.exit_code, found.stdout) == (1, "")
    assert "Usage: awf" not in found.stderr and why in found.stderr


def test_prices_that_a_named_configuration_names(here: Path) -> None:
    """The option led there; from the environment it is 1."""
    (here / "prices.toml").write_text("[models.x\n")
    (here / "awf.toml").write_text('[service]\nprices = "prices.toml"\n')
    result = run("logs", "token-usage", ".", "--config", "awf.toml")
    assert result.exit_code == 2 and "prices.toml:1: this is not valid TOML" in result.stderr
    os.environ["AWFPROXY_PRICES"] = "prices.toml"
    try:
        result = run("logs", "token-usage", ".")
    finally:
        del os.environ["AWFPROXY_PRICES"]
    assert result.exit_code == 1 and "prices.toml:1: this is not valid TOML" in result.stderr


def test_what_is_checked_is_not_the_command() -> None:
    """`awf config check` was understood: what it found is its answer."""
    result = run("config", "check", "--config", "/nowhere.toml")
    assert result.exit_code == 1 and "Usage" not in result.stderr
