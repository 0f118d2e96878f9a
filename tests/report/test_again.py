"""What comes only once, read twice."""

import gzip
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from awfproxy.report.again import Again
from awfproxy.report.lines import Lines, called
from tests.report.html.made import usage

ROOT = Path(__file__).resolve().parents[2]


def test_what_comes_once_is_there_as_often_as_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard input and a pipe; files stay where they are.  Nothing is left at the end."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "kept"))
    (tmp_path / "kept").mkdir()
    file = tmp_path / "file"
    file.write_bytes(b"f\n")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen([sys.executable, "-c", f"open({str(pipe)!r}, 'wb').write(b'p\\n')"]) as writer:
        with Again(["-", str(file), str(pipe)], io.BytesIO(b"s\n")) as again:
            for _ in range(2):
                assert list(Lines(again.paths)) == [b"s\n", b"f\n", b"p\n"]
            assert again.paths[1] == str(file) and len(os.listdir(tmp_path / "kept")) == 2
            assert [f"{called(path)} {path}" for path in again.paths[1:]] == [f"{file} {file}", f"{pipe} {pipe}"]
            assert str(again.paths[0]) == "stdin"
        assert writer.wait(60) == 0
    assert os.listdir(tmp_path / "kept") == []


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("awf report --html - - < broken.gz", "stdin"),
        ("awf report --html - whole.jsonl - < broken.gz", "stdin"),
        ("awf report --html - <(cat broken.gz)", "/dev/fd/"),
        ("awf report --html - pipe & cat broken.gz > pipe; wait $!", "pipe"),
        ("awf report --html - whole.jsonl --turns <(cat broken.gz)", "/dev/fd/"),
        ("awf logs analyze --compare-run x - < broken.gz", "stdin"),
        ("awf logs token-usage - < broken.gz", "stdin"),
        ("awf reconcile --agent-log - whole.jsonl < broken.gz", "stdin"),
        ("awf reconcile --provider-export - whole.jsonl < broken.gz", "stdin"),
    ],
)
def test_troubles_name_what_was_given(command: str, told: str, tmp_path: Path) -> None:
    """Through a shell: never the place where it was kept meanwhile."""
    lines = "".join(json.dumps(usage(number)) + "\n" for number in range(2000)).encode()
    (tmp_path / "whole.jsonl").write_bytes(lines)
    (tmp_path / "broken.gz").write_bytes(gzip.compress(lines)[:-200])
    os.mkfifo(tmp_path / "pipe")
    awf = f'awf() {{ PYTHONPATH={ROOT} {sys.executable} -m awfproxy "$@"; }}; '
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        ["bash", "-c", awf + command], cwd=tmp_path, capture_output=True, text=True, timeout=120, env=environ
    )
    (said,) = (line for line in done.stderr.splitlines() if line.startswith(told))
    assert "not read to its end: " in said or "no log of an agent" in said
    assert str(tmp_path) not in done.stderr and "awf-report-" not in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["broken.gz", "pipe", "whole.jsonl"]
