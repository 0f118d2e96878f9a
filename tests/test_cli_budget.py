"""`awf budget`: on the ledger of a stopped service, and through the socket of a running one."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_twisted
from click.testing import CliRunner, Result
from twisted.internet.defer import maybeDeferred
from twisted.internet.threads import deferToThread

from awfproxy import cli
from awfproxy.commands import budget as commands
from awfproxy.commands.service_socket import SOCKET_NAME
from awfproxy.configuration import load
from awfproxy.core import budgets, windows
from awfproxy.core.budgets import Scope
from awfproxy.ledger.facts import Setting
from awfproxy.ledger.rows import Row
from awfproxy.ledger.sql import SqlLedger
from awfproxy.server import admin_socket
from awfproxy.server.controls_memory import MemoryControls
from awfproxy.state.service_lock import ServiceLock
from awfproxy.state.stored_budgets import NAME, StoredBudgets
from tests.budget_settings import BUDGETED, ENVIRONMENT

FILE = BUDGETED + """\
[ports.openai.features.review]
budget = { enabled = true, soft_cap_tokens = 1, hard_cap_tokens = 100 }
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "a.toml").write_text(FILE)
    return tmp_path


def run(home: Path, *arguments: str, **environment: str) -> Result:
    env: dict[str, str | None] = {"AWFPROXY_CONFIG": str(home / "a.toml"), **ENVIRONMENT, **environment}
    return CliRunner().invoke(cli.awf, ["budget", *arguments], env=env)


def shown(home: Path, *arguments: str) -> list[dict[str, Any]]:
    result = run(home, *arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def record(home: Path, tokens: int, **more: Any) -> None:
    """Put a row of now into the ledger."""
    ledger = SqlLedger(f"sqlite:///{home / 'state' / 'ledger.db'}")
    row = Row(
        f"r{time.monotonic_ns()}", "i", "openai", int(time.time() * 1000), "openai", "gpt-5", "reported",
        feature="review", input_tokens=tokens, output_tokens=0, total_tokens=tokens,
    )  # fmt: skip
    ledger.record([msgspec.structs.replace(row, **more)])
    ledger.close()


def test_the_choices_are_those_of_the_ground_floor() -> None:
    """They are written out so that `--help` need not import it."""
    assert commands._PERIODS == windows.PERIODS
    assert commands.FIELDS == budgets.FIELDS
    assert {"mode": commands._MODES, "count": commands._COUNTS}.items() <= budgets._CHOICES.items()
    assert SOCKET_NAME == admin_socket.NAME


def test_show_without_a_ledger(home: Path) -> None:
    """What the file says; and nothing is made, as whoever looks may be another user than the service."""
    result = run(home, "show")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[2].split()[:3] == ["openai", "enabled", "month"]
    assert lines[2].split()[-6:] == ["0", "0", "1,000", "0", "500", "1,000"]
    assert next(line.split()[-1] for line in lines if "hard_cap_tokens" in line).endswith("a.toml:11")
    assert os.listdir(home) == ["a.toml"]


def test_show_of_one_budget(home: Path) -> None:
    """By user or feature, the port left out where there is only one."""
    assert [each["name"] for each in shown(home, "show")] == ["", "ci", "review", "other"]
    assert [each["name"] for each in shown(home, "show", "--user", "ci")] == ["ci"]
    assert [each["name"] for each in shown(home, "show", "openai", "--feature", "other")] == ["other"]
    result = run(home, "show", "--user", "x", "--feature", "y")
    assert result.exit_code == 2
    assert run(home, "show", "nothing").exit_code == 2


def test_set_and_unset(home: Path) -> None:
    """Fields over those that are there, with who and when; and back."""
    (first,) = shown(home, "set", "--hard-cap-tokens", "2000", "--period", "day")
    assert first["settings"]["hard_cap_tokens"]["value"] == 2000
    (second,) = shown(home, "set", "--disabled", "--unbounded", "7", "--count", "all")
    stored = {name: each["value"] for name, each in second["settings"].items() if each["source"].startswith("stored")}
    assert stored == {"hard_cap_tokens": 2000, "period": "day", "enabled": False, "unbounded": 7, "count": "all"}
    assert f"(uid {os.getuid()})" in second["changed_by"]
    assert second["changed_at"].endswith("Z")
    (third,) = shown(home, "unset", "openai", "enabled", "period")
    assert (third["settings"]["enabled"]["value"], third["settings"]["hard_cap_tokens"]["value"]) == (True, 2000)
    (fourth,) = shown(home, "unset", "openai")
    assert not [each for each in fourth["settings"].values() if each["source"].startswith("stored")]


def test_an_unset_that_leaves_caps_that_do_not_fit_says_what_to_unset(home: Path) -> None:
    """There is nothing to give to it."""
    shown(home, "set", "--soft-cap-tokens", "1", "--hard-cap-tokens", "2")
    result = run(home, "unset", "openai", "soft_cap_tokens")
    assert result.exit_code == 2
    assert "; unset both" in result.stderr


def test_a_set_of_a_user_or_a_feature(home: Path) -> None:
    """Is of that alone."""
    shown(home, "set", "--user", "ci", "--enabled", "--hard-cap-tokens", "300000")
    shown(home, "set", "--feature", "other", "--enabled", "--mode", "strict")
    assert [each["settings"]["enabled"]["value"] for each in shown(home, "show")] == [True, True, True, True]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--soft-cap-tokens", "1001"), "soft_cap_tokens at most hard_cap_tokens"),
        (("--hard-cap-tokens", "499"), "give both"),
        (("--hard-cap-tokens", "-1"), "hard_cap_tokens must be a whole number of tokens from 0"),
        (("--unbounded", "maybe"), 'unbounded must be "refuse" or a whole number'),
        (("--hard-cap-usd", "nan"), "hard_cap_usd must be 0 (no cap), or dollars"),
        (("--mode", "strict", "--hard-cap-usd", "5"), "learned"),
        (("--enabled", "--user", "nobody"), "no client whose user is nobody"),
        (("--enabled", "--feature", "chat"), "[ports.openai.features"),
    ],
)
def test_what_cannot_be_set(home: Path, arguments: tuple[str, ...], words: str) -> None:
    """Exit 2 and the remedy, whoever finds the fault; the ledger stays as it was."""
    result = run(home, "set", "openai", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr
    assert not any(each["changed_by"] for each in shown(home, "show"))


@pytest.mark.parametrize(
    "arguments",
    [("set",), ("set", "--period", "year"), ("set", "--hard-cap-tokens", "many"), ("unset", "openai", "cap"), ("unset",)],
)
def test_what_is_not_understood(home: Path, arguments: tuple[str, ...]) -> None:
    """Exit 2."""
    assert run(home, *arguments).exit_code == 2


def test_the_port_must_be_named_where_there_are_several(home: Path) -> None:
    """And the command says which there are."""
    more = '[ports.two]\nprovider = "openai"\nlisten = "tcp:7"\ncredential = { env = "KEY" }\n'
    (home / "a.toml").write_text(FILE + more)
    result = run(home, "set", "--enabled")
    assert result.exit_code == 2
    assert "openai, two" in result.stderr
    assert len(shown(home, "show")) == 5


@pytest.mark.parametrize(
    ("used", "arguments", "code", "reason"),
    [
        (0, ("--estimate", "1000"), 0, None),
        (0, ("--estimate", "1001"), 1, "estimated-exceeds-cap"),
        (1000, (), 1, "hard-cap-exceeded"),
        (99, ("--estimate", "2", "--feature", "review"), 1, "estimated-exceeds-cap"),
        (99, ("--estimate", "2", "--feature", "unlisted"), 0, None),
        (0, ("--estimate", "5", "--user", "ci"), 0, None),
    ],
)
def test_check(home: Path, used: int, arguments: tuple[str, ...], code: int, reason: str | None) -> None:
    """By the basic rules, for every budget that the call must pass; 1 where it would be refused."""
    record(home, used)
    result = run(home, "check", *arguments, "--format", "json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["allowed"], found["reason"]) == (code, not code, reason)
    first = found["budgets"][0]
    assert (first["used"], first["reserved"], first["remaining"], first["soft_cap"]) == (used, 0, 1000 - used, 500)


def test_check_of_budgets_that_are_off(home: Path) -> None:
    """Let in where there is a key, else not; said in the table as well."""
    path = home / "a.toml"
    path.write_text(FILE.replace("[ports.openai.budget]\nenabled = true", "[ports.openai.budget]\nenabled = false"))
    result = run(home, "check")
    assert (result.exit_code, "allowed: budget-disabled" in result.stdout, "unlimited" in result.stdout) == (0, True, True)
    result = run(home, "check", KEY="")
    assert (result.exit_code, "refused: budget-disabled-but-no-key" in result.stdout) == (1, True)
    for wrong in (("--user", "x"), ("nothing",)):
        result = run(home, "check", *wrong)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr


def test_check_tells_of_the_soft_cap(home: Path) -> None:
    """It refuses nothing."""
    record(home, 501)
    result = run(home, "check")
    assert (result.exit_code, "allowed: soft cap exceeded" in result.stdout) == (0, True)


def test_breakdown(home: Path) -> None:
    """Tokens, calls and cost of the current period, the greatest first; calls without a price are no cost of 0."""
    record(home, 10, cost_usd=0.0625)
    record(home, 10, cost_usd=1.25)
    record(home, 30, feature="other", user="ann")
    record(home, 99, created_at=0)
    lines = run(home, "breakdown").stdout.splitlines()
    assert [line.split() for line in lines[2:4]] == [
        ["other", "30", "1", "-", "1"],
        ["review", "20", "2", "$1.31", "0"],
    ]
    assert lines[-1].split() == ["total", "50", "3", "$1.31", "1"]
    found = json.loads(run(home, "breakdown", "--by", "user", "--format", "json").stdout)
    assert found["shares"] == [
        {"user": "ann", "tokens": 30, "calls": 1, "cost_usd": 0.0, "unpriced_calls": 1},
        {"user": None, "tokens": 20, "calls": 2, "cost_usd": 1.3125, "unpriced_calls": 0},
    ]


def test_a_cap_in_dollars(home: Path) -> None:
    """Set, shown with what counts and what is not priced, asked; and a call that costs too much is refused."""
    record(home, 30, cost_usd=1.5, counted_usd=1_500_000)
    record(home, 12, counted_usd=250_000)
    shown = run(home, "set", "openai", "--hard-cap-usd", "2").stdout
    assert "$1.75" in shown and "$0.250000" in shown
    assert "calls of models without a price: 1 (12 tokens)" in shown
    (found,) = [each["money"] for each in json.loads(run(home, "show", "--format", "json").stdout) if each["money"]]
    assert (found["cap"], found["used"], found["remaining"], found["unpriced_calls"]) == (2.0, 1.75, 0.25, 1)
    codes = [run(home, "check", "openai", "--estimate-usd", usd).exit_code for usd in ("0.25", "0.26")]
    assert codes == [0, 1]
    done = json.loads(run(home, "check", "openai", "--estimate-usd", "0.26", "--format", "json").stdout)
    assert (done["reason"], done["estimate_usd"]) == ("estimated-exceeds-cap", 0.26)
    assert done["budgets"][0]["refused_by"] == "usd"
    assert "refused in dollars: estimated-exceeds-cap" in run(home, "check", "openai", "--estimate-usd", "0.26").stdout
    by_tokens = run(home, "check", "openai", "--estimate", "9000", "--estimate-usd", "0.26").stdout
    assert "refused: estimated-exceeds-cap" in by_tokens


@pytest.mark.parametrize(("cap", "shown"), [("0.000001", "0.000001"), ("0.0125", "0.0125"), ("1234.5", "1,234.50")])
def test_small_caps_in_dollars_are_shown_as_they_are(home: Path, cap: str, shown: str) -> None:
    """With the digits that they need; what would round to no cap is refused."""
    (line,) = [each for each in run(home, "set", "openai", "--hard-cap-usd", cap).stdout.splitlines() if "hard_cap_usd" in each]
    assert shown in line.split()
    assert run(home, "set", "openai", "--hard-cap-usd", "0.0000001").exit_code != 0


def test_a_ledger_that_cannot_be_used(home: Path) -> None:
    """Exit 1 and the reason, no traceback."""
    (home / "state").mkdir()
    (home / "state" / "ledger.db").write_text("this is no database, and it is long enough to be seen to be none\n" * 9)
    result = run(home, "show")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "not a database" in result.stderr
    assert run(home, "show", AWFPROXY_CONFIG="/nonexistent").exit_code == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_a_ledger_that_root_makes_is_the_services(home: Path) -> None:
    """`sudo awf budget set` before the first start must not lock the service out."""
    (home / "state").mkdir()
    os.chown(home / "state", 65534, 65534)
    shown(home, "set", "--hard-cap-tokens", "5000")
    facts = os.stat(home / "state" / "ledger.db")
    assert (facts.st_uid, facts.st_gid) == (65534, 65534)


def test_a_socket_that_is_left_of_a_killed_service(home: Path) -> None:
    """Nobody answers: the ledger is used directly."""
    (home / "state").mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(home / "state" / SOCKET_NAME))
    shown(home, "set", "--hard-cap-tokens", "5000")
    with sqlite3.connect(home / "state" / "ledger.db") as connection:
        assert connection.execute("SELECT count(*) FROM budget_settings").fetchone() == (1,)
    connection.close()


def test_whose_ledger_it_is_is_told_where_no_service_runs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On standard error, and once: in another folder, without the file, it is one that nobody uses."""
    note = f"note: no service runs with the state folder {home / 'state'}; this is its stored ledger.\n"
    assert run(home, "show").stderr == run(home, "set", "openai", "--enabled").stderr == note
    monkeypatch.chdir(home)
    elsewhere = {"AWFPROXY_CONFIG": "", "HOME": str(home), "XDG_STATE_HOME": "", "OPENAI_API_KEY": "x" * 20}
    found = run(home, "set", "openai", "--enabled", **elsewhere)
    assert f"{home}/.local/state/awfproxy" in found.stderr and found.stderr.count("note: no service runs") == 1


async def awf(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, which knows of the service what is on disk."""
    env = {"PATH": os.environ["PATH"], "AWFPROXY_CONFIG": str(home / "a.toml")}
    return await deferToThread(
        subprocess.run,
        [sys.executable, "-m", "awfproxy", "budget", *arguments],
        env=env, capture_output=True, text=True, timeout=60, check=False, cwd=Path(cli.__file__).parents[1],
    )  # fmt: skip


@pytest_twisted.ensureDeferred
async def test_on_a_running_service_all_goes_through_its_socket(home: Path) -> None:
    """The command needs no key and never opens the ledger; errors come back as they were."""
    from twisted.internet import reactor

    controls = MemoryControls(load(str(home / "a.toml"), ENVIRONMENT))
    admin = admin_socket.AdminSocket(str(home / "state"), controls, reactor, lambda: 1_772_324_200.0)
    admin.open()
    admin.start()
    try:
        done = await awf(home, "set", "--hard-cap-tokens", "4000", "--format", "json")
        assert (done.returncode, json.loads(done.stdout)[0]["settings"]["hard_cap_tokens"]["value"]) == (0, 4000)
        assert controls.done == ["budgets_changed"]
        done = await awf(home, "set", "openai", "--soft-cap-tokens", "4001")
        assert (done.returncode, "give both" in done.stderr) == (2, True)
        done = await awf(home, "set", "openai", "--feature", "a/b", "--enabled")
        assert (done.returncode, "does not list the feature a/b" in done.stderr) == (2, True)
        done = await awf(home, "show")
        assert (done.returncode, "2026-03-01" in done.stdout, done.stderr) == (0, True, "")
        done = await awf(home, "check", "openai", "--estimate", "4001", "--format", "json")
        assert (done.returncode, json.loads(done.stdout)["reason"]) == (1, "estimated-exceeds-cap")
        done = await awf(home, "breakdown", "--by", "model")
        assert (done.returncode, done.stdout.split()[-5:]) == (0, ["total", "0", "0", "$0.00", "0"])
        done = await awf(home, "unset", "openai", "hard_cap_tokens")
        setting = controls.ledger.setting(Scope("openai"))
        assert (done.returncode, setting and setting.fields) == (0, {})
        controls.trouble = "the ledger is gone"
        for command in ("show", "check"):
            done = await awf(home, command)
            assert (done.returncode, done.stdout, "the ledger is gone" in done.stderr) == (1, "", True)
    finally:
        await maybeDeferred(admin.stop)
    assert sorted(os.listdir(home / "state")) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest_twisted.ensureDeferred
async def test_another_user_is_told_who_may(home: Path) -> None:
    """Not that the service does not run: the ledger behind its back would be the wrong place."""
    from twisted.internet import reactor

    controls = MemoryControls(load(str(home / "a.toml"), ENVIRONMENT))
    admin = admin_socket.AdminSocket(str(home / "state"), controls, reactor, lambda: 0.0)
    admin.open()
    admin.start()
    code = (
        "import os, sys; from awfproxy.commands.failure import CommandFailed;"
        "from awfproxy.commands.service_socket import running_service; os.setgid(65534); os.setuid(65534)\n"
        "try: running_service(sys.argv[1])\n"
        "except CommandFailed as failed: print(failed)"
    )
    run = [sys.executable, "-c", code, str(home / "state")]
    try:
        done = await deferToThread(
            subprocess.run, run, capture_output=True, text=True, timeout=60, check=True, cwd=Path(cli.__file__).parents[1]
        )
    finally:
        await maybeDeferred(admin.stop)
    assert "Run this as root, or as the user of the service." in done.stdout


def kept(home: Path) -> list[Setting]:
    """What the service would know of stored budgets without its ledger."""
    found = StoredBudgets(str(home / "state")).read()
    assert found is not None
    return found


def test_what_is_stored_while_the_service_is_stopped_outlives_the_ledger(home: Path) -> None:
    """A look sees it, and makes nothing; the next change goes over it, and gives the rest back to the new ledger."""
    shown(home, "set", "--user", "ci", "--enabled", "--hard-cap-tokens", "200000", "--period", "day")
    (before,) = shown(home, "set", "openai", "--hard-cap-tokens", "2000")
    (home / "state" / "ledger.db").unlink()
    assert shown(home, "show")[0]["settings"] == before["settings"]
    assert not (home / "state" / "ledger.db").exists()
    result = run(home, "set", "--user", "ci", "--hard-cap-tokens", "300000")
    assert "the ledger had lost what was stored of budgets: 2 stored again" in result.stderr
    first, second, *_ = shown(home, "show")
    assert (first["settings"], first["changed_at"]) == (before["settings"], before["changed_at"])
    assert (second["settings"]["hard_cap_tokens"]["value"], second["settings"]["period"]["value"]) == (300_000, "day")
    shown(home, "unset", "openai")
    (home / "state" / "ledger.db").unlink()
    assert [each.fields for each in kept(home)] == [
        {}, {"enabled": True, "hard_cap_tokens": 300_000, "period": "day"},
    ]  # fmt: skip
    assert shown(home, "show")[0]["settings"]["hard_cap_tokens"]["value"] == 1000


def test_nothing_is_stored_beside_a_service_that_starts(home: Path) -> None:
    """It has its lock before it answers; there is nothing to be asked then, and looking is free."""
    lock = ServiceLock(str(home / "state"))
    lock.take()
    result = run(home, "set", "--enabled")
    assert (result.exit_code, "about to start" in result.stderr) == (1, True)
    assert not any(each["changed_by"] for each in shown(home, "show"))
    lock.release()
    assert shown(home, "set", "--enabled")[0]["changed_by"]


def test_what_cannot_be_kept_is_said(home: Path) -> None:
    """It is stored; but who asked must know that it is not safe."""
    (home / "state" / NAME).mkdir(parents=True)
    result = run(home, "set", "--hard-cap-tokens", "2000")
    assert result.exit_code == 1
    assert "It is in the ledger, and would be lost with it: state_dir: budgets.json cannot be written" in result.stderr
    assert shown(home, "show")[0]["settings"]["hard_cap_tokens"]["value"] == 2000


def test_what_root_makes_is_the_services(home: Path) -> None:
    """Or that could not start.  A link that its user put there leads nowhere."""
    if os.getuid() != 0:
        pytest.skip("only root gives files away")
    (home / "state").mkdir()
    os.chown(home / "state", 12345, 12345)
    shown(home, "set", "--enabled")
    names = sorted(path.name for path in (home / "state").iterdir())
    assert names == ["budgets.json", "ledger.db", "service.lock"]
    assert {(home / "state" / name).stat().st_uid for name in names} == {12345}
    (home / "target").write_text("as it was")
    (home / "state" / "service.lock").unlink()
    (home / "state" / "service.lock").symlink_to(home / "target")
    assert run(home, "set", "--disabled").exit_code == 1
    assert ((home / "target").read_text(), (home / "target").stat().st_uid) == ("as it was", 0)
