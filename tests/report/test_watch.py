"""`awf logs tail`: what is shown of files that are renamed and torn."""

import json
import os
import time
from pathlib import Path

import pytest

from awfproxy.report.follow import LATE_SECONDS
from awfproxy.report.watch import Watch
from tests.report.test_summary import request
from tests.report.test_token_usage import record
from tests.test_cli import run


def watched(path: Path, moments: list[tuple[float, bytes | None]], monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Follows the file.

    :param moments: when it is looked at, and before that either what the file gets or, for None, that it is renamed and
        begun anew
    """
    clock = iter(moments)
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        moment = next(clock, None)
        if moment is None:
            raise KeyboardInterrupt
        now, data = moment
        if data is None:
            os.rename(path, path.with_suffix(".1"))
            path.touch()
        else:
            with path.open("ab") as file:
                file.write(data)

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    made = Watch([str(path.parent)], 10, lambda: None)
    assert made.run(True)
    return made


@pytest.mark.parametrize("torn", [False, True])
def test_the_last_line_of_a_renamed_file(
    torn: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Shown if it is whole, though its newline is missing; counted if it is torn."""
    path = tmp_path / "requests.jsonl"
    (tmp_path / "token-usage.jsonl").write_text(json.dumps(record("1")) + "\n")
    path.write_bytes(b"")
    line = json.dumps(request("1", run="7")).encode()
    text = line[:-9] if torn else line
    made = watched(path, [(1, text), (2, None), (3, b""), (3 + LATE_SECONDS, b"")], monkeypatch)
    shown = capsys.readouterr().out
    assert ("run 7" in shown and "1,000" in shown) is not torn
    assert made.skipped == int(torn)


def test_lines_that_are_no_records(tmp_path: Path) -> None:
    """Told at the end, with the records shown; empty lines are none."""
    (tmp_path / "token-usage.jsonl").write_text(json.dumps(record("1")) + "\n{torn\n\n")
    (tmp_path / "requests.jsonl").write_text(json.dumps(request("1")) + "\n" + "x" * 2_000_000 + "\n[]\n")
    result = run("logs", "tail", str(tmp_path))
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 1)
    assert result.stderr == "3 lines skipped: no records of calls.\n"
    (tmp_path / "requests.jsonl").write_text("{}\n")
    result = run("logs", "tail", str(tmp_path / "requests.jsonl"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "1 line skipped: no records of calls.\nThere are no records there.\n"
