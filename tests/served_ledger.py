"""The ledger of a real service: what the service says of it, and whether it is what the journal says."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from awfproxy import cli
from awfproxy.core.usage_line import decode_usage_line
from awfproxy.ledger.rows import Row, row_of
from awfproxy.ledger.sql import SqlLedger
from awfproxy.simulator.processes import get
from awfproxy.simulator.setting import Setting

#: seconds for what is waited for on a busy machine
PATIENCE = 20.0


def sqlite(directory: Path) -> str:
    """Where the ledger is if nothing is said about it."""
    return f"sqlite:///{directory / 'state' / 'ledger.db'}"


def journal(setting: Setting) -> list[Row]:
    """The rows that the journal's files tell of, rotated ones included."""
    instance = (setting.log_dir.parent / "state" / "instance").read_text().strip()
    rows = []
    for path in setting.log_dir.glob("token-usage.jsonl*"):
        for line in path.read_bytes().splitlines():
            record = decode_usage_line(line)
            row = row_of(record, instance, feature=record.feature)
            assert row is not None
            rows.append(row)
    return rows


def same(setting: Setting, url: str) -> bool:
    """Whether ledger and journal say the same; the ledger may not be there yet."""
    rows = journal(setting)
    try:
        ledger = SqlLedger(url)
        try:
            differences = list(ledger.verify(rows[0].instance, 0, 2**33, rows))
        finally:
            ledger.close()
    except Exception as error:
        print(error)
        return False
    return not differences


def wait_until(what: str, true: Callable[[], bool], seconds: float = PATIENCE) -> float:
    """Seconds until it was."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, what
        time.sleep(0.02)
    return time.monotonic() - began


def metric(setting: Setting, name: str) -> float:
    """The value of a metric without labels."""
    text = get(setting.admin_port, "/metrics")[1].decode()
    found = re.search(rf"^{name} (.+)$", text, re.MULTILINE)
    assert found is not None, name
    return float(found[1])


def reasons(setting: Setting) -> dict[str, str]:
    """Why it is not well."""
    found: dict[str, str] = json.loads(get(setting.admin_port, "/health")[1])["reasons"]
    return found


def awf(setting: Setting, *arguments: str) -> Result:
    """The command, on this service or its ledger."""
    return CliRunner().invoke(cli.awf, [*arguments, "--config", str(setting.config)], env=setting.environment)


def standing(setting: Setting) -> dict[str, Any]:
    """How the budget of the port stands, as `awf budget show` says."""
    done = awf(setting, "budget", "show", "openai", "--format", "json")
    assert done.exit_code == 0, done.output
    statements: list[dict[str, Any]] = json.loads(done.stdout)
    return next(each for each in statements if each["kind"] == "port")
