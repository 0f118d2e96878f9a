"""`awf report --html`: what is written, where, and how it exits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.report.html.made import Parsed, turn, usage, write
from tests.test_cli import ROOT, run


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """A folder of logs with one file."""
    folder = tmp_path / "logs"
    folder.mkdir()
    write(folder, "token-usage.jsonl", map(usage, range(30)))
    return folder


def test_the_page_is_written(records: Path, tmp_path: Path) -> None:
    """Whole, readable by the group; the old one's mode is kept; nothing is left beside it."""
    target = tmp_path / "out" / "report.html"
    target.parent.mkdir()
    result = run("report", "--html", str(target), "--title", "June & July", str(records))
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert f"Written to {target}" in result.stderr
    assert Parsed(target.read_text()).within("h1") == ["June & July"]
    assert target.stat().st_mode & 0o777 == 0o640
    target.chmod(0o604)
    assert run("report", "--html", str(target), str(records)).exit_code == 0
    assert target.stat().st_mode & 0o777 == 0o604
    assert os.listdir(target.parent) == ["report.html"]


def test_to_standard_output_from_standard_input(records: Path, tmp_path: Path) -> None:
    """What comes in is read twice, and nothing of it is left."""
    command = [sys.executable, "-m", "awfproxy", "report", "--html", "-", "-"]
    content = (records / "token-usage.jsonl").read_bytes()
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, input=content, capture_output=True, timeout=60, check=True, env=environ)
    found = Parsed(done.stdout.decode())
    assert "30 calls" in found.text
    assert "What to do" in found.within("h2")
    assert os.listdir(tmp_path) == ["logs"]


def test_from_the_shells_pipes(records: Path, tmp_path: Path) -> None:
    """`<(...)`, of records and of turns, each read twice: the page is that of the files, and names what was given."""
    write(tmp_path, "turns.jsonl", [turn(1)])
    whole, piped = tmp_path / "whole.html", tmp_path / "piped.html"
    awf = f'awf() {{ {sys.executable} -m awfproxy "$@"; }}; '
    script = (
        f"{awf} awf report --html {whole} {records}/token-usage.jsonl --turns {tmp_path}/turns.jsonl && "
        f"awf report --html {piped} <(gzip < {records}/token-usage.jsonl) --turns <(cat {tmp_path}/turns.jsonl)"
    )
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    first, second = (Parsed(path.read_text()) for path in (whole, piped))
    assert second.within("h2") == first.within("h2") and "What to do" in first.within("h2")
    assert "30 calls" in second.text and "Turns" in " ".join(second.within("h2"))
    assert "/dev/fd/" in second.text and "awf-report-" not in second.text


def test_without_findings(records: Path, tmp_path: Path) -> None:
    """Nobody looked: nothing is said of them."""
    target = tmp_path / "report.html"
    assert run("report", "--html", str(target), "--no-findings", "--no-cost", str(records)).exit_code == 0
    assert "What to do" not in target.read_text()


def test_only_what_was_asked_for(records: Path, tmp_path: Path) -> None:
    """The filters are those of `awf logs`, and stand in the page."""
    target = tmp_path / "report.html"
    write(records, "token-usage.jsonl.1", [usage(100, model="gpt-5", provider="openai")])
    assert run("report", "--html", str(target), "--model", "gpt-*", str(records)).exit_code == 0
    text = Parsed(target.read_text()).text
    assert "1 call," in text
    assert "claude" not in text
    assert "model gpt-*" in text


@pytest.mark.parametrize("where", ["folder", "named"])
def test_turns(records: Path, tmp_path: Path, where: str) -> None:
    """Beside the records, or named."""
    target = tmp_path / "report.html"
    path = write(records if where == "folder" else tmp_path, "token-usage-by-turn.jsonl", [turn(1), turn(2)])
    named = [] if where == "folder" else ["--turns", str(path)]
    assert run("report", "--html", str(target), *named, str(records)).exit_code == 0
    assert "2 turns, 6 calls" in Parsed(target.read_text()).text


def test_nothing_there(tmp_path: Path) -> None:
    """Told, and no page is made."""
    target = tmp_path / "report.html"
    (tmp_path / "empty").mkdir()
    result = run("report", "--html", str(target), str(tmp_path / "empty"))
    assert result.exit_code == 1
    assert result.stderr == "There are no records there.\n"
    assert not target.exists()


def test_it_cannot_be_written(records: Path, tmp_path: Path) -> None:
    """A sentence with the reason."""
    result = run("report", "--html", str(tmp_path / "no" / "report.html"), str(records))
    assert result.exit_code == 1
    assert "not written: No such file or directory." in result.stderr


def test_a_target_is_needed(records: Path) -> None:
    """There is no page without a place for it."""
    assert run("report", str(records)).exit_code == 2


def test_into_a_pipe(records: Path, tmp_path: Path) -> None:
    """What is no file is written to, and not replaced."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE)
    assert run("report", "--html", str(pipe), str(records)).exit_code == 0
    text, _ = reader.communicate(timeout=30)
    assert text.startswith(b"<!doctype html>")
    assert pipe.is_fifo()


def test_bad_lines_are_told(records: Path, tmp_path: Path) -> None:
    """On standard error and in the page."""
    with (records / "token-usage.jsonl").open("a") as file:
        file.write(json.dumps(usage(31))[:50] + "\n")
    target = tmp_path / "report.html"
    result = run("report", "--html", str(target), str(records))
    assert "1 line skipped: 1 not JSON." in result.stderr
    assert "1 line skipped: 1 not JSON." in Parsed(target.read_text()).text
