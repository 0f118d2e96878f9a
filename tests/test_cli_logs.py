"""`awf logs token-usage|summary|tail`: what is printed, where, how it exits, and what it costs."""

import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from awfproxy.commands import logs_options
from awfproxy.commands.logs import KEYS, ORDERS, WITH_TURNS
from awfproxy.commands.logs_options import FORMS
from awfproxy.report import by_turn, summary_forms, sums, token_usage_forms, totals
from bench.report_records import lines
from tests.test_cli import ROOT, run

LINE = {
    "event": "token_usage", "timestamp": "2026-01-02T03:04:05.678Z", "request_id": "1", "provider": "openai",
    "model": "gpt-4o", "input_tokens": 1000, "output_tokens": 100, "cache_read_tokens": 0, "cache_write_tokens": 0,
}  # fmt: skip
REQUEST = {
    "event": "request", "timestamp": "2026-01-02T03:04:05.678Z", "request_id": "1", "provider": "openai", "port": "a",
    "outcome": "complete", "usage_source": "reported", "duration_ms": 5.0, "status": 200,
}  # fmt: skip


def awf(*arguments: str, env: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "awfproxy", *arguments]
    environ = {**os.environ, **(env or {})}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, env=environ)


@pytest.fixture
def records(tmp_path: Path) -> Path:
    path = tmp_path / "token-usage.jsonl"
    path.write_text(json.dumps(LINE) + "\n")
    return path


def test_the_choices_are_those_of_the_reports() -> None:
    """They are written out in the commands so that `--help` need not import the reports."""
    assert totals.KEYS == KEYS
    assert sums.ORDERS == ORDERS
    assert by_turn.KEYS == WITH_TURNS
    assert tuple(token_usage_forms.FORMS) == tuple(summary_forms.FORMS) == FORMS


def test_token_usage_of_a_file(records: Path) -> None:
    """The table goes to standard output alone; a cost stands in it: $2.50 and $10 a million (openai.com/api/pricing)."""
    result = run("logs", "token-usage", str(records))
    assert result.exit_code == 0
    assert result.stdout.splitlines()[2].split() == [
        "openai", "gpt-4o", "1", "1,000", "0", "0", "100", "?", "1,100", "0.0%", "$0.0035",
    ]  # fmt: skip
    assert result.stderr == ""


def test_token_usage_without_money(records: Path) -> None:
    """The price list is not even looked for."""
    result = run("logs", "token-usage", str(records), "--no-cost", env={"AWFPROXY_PRICES": "/nonexistent"})
    assert result.exit_code == 0
    assert "$" not in result.stdout


@pytest.mark.parametrize("variable", ["AWF_TOKEN_LOG_DIR", "LOGS_DIRECTORY"])
def test_the_proxys_own_folder(variable: str, records: Path) -> None:
    """Without a source the folder is found as the proxy finds it."""
    result = run("logs", "token-usage", "--format", "json", env={variable: str(records.parent)})
    assert json.loads(result.stdout)["total"]["all_tokens"] == 1100


def test_the_folder_of_a_configuration(records: Path, tmp_path: Path) -> None:
    """--config, and the prices that it names, relative to it."""
    (tmp_path / "p.toml").write_text('[models."gpt-4o"]\ninput_per_million = 1000.0\noutput_per_million = 0.0\n')
    config = tmp_path / "a.toml"
    config.write_text(f'[service]\nlog_dir = "{records.parent}"\nprices = "p.toml"\n')
    for arguments, env in (((("--config"), str(config)), {}), ((), {"AWFPROXY_CONFIG": str(config)})):
        result = run("logs", "token-usage", "--format", "json", *arguments, env=env)
        assert json.loads(result.stdout)["total"]["cost_usd"] == 1.0


def test_wrong_prices_are_told(records: Path, tmp_path: Path) -> None:
    """With the line that is wrong; exit 2: the option named it."""
    prices = tmp_path / "p.toml"
    prices.write_text('[models."gpt-4o"]\ninput_per_milion = 1.0\n')
    result = run("logs", "token-usage", str(records), "--prices", str(prices))
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{prices}:2" in result.stderr


def test_standard_input_and_several_keys(records: Path) -> None:
    """`-`, and groups in the order asked for, with commas or one by one."""
    result = run("logs", "token-usage", "--by", "model", "--by", "outcome,", "--format", "csv", "-",
                 stdin=records.read_bytes())  # fmt: skip
    assert result.stdout.splitlines()[0].startswith("model,outcome,calls,")
    assert result.stdout.splitlines()[1].startswith("gpt-4o,,1,1000,100,")


def test_bad_lines_go_to_standard_error(records: Path) -> None:
    """And the good ones are counted."""
    records.write_text(records.read_text() + '{broken\n{"input_tokens": -1}\n{}\n' + "x" * 1_100_000 + "\n")
    result = run("logs", "token-usage", str(records), "--format", "csv")
    assert result.exit_code == 0
    assert result.stderr == "4 lines skipped: 1 without counts, 1 not JSON, 1 not as in a record, 1 too long.\n"


@pytest.mark.parametrize("command", ["token-usage", "summary", "tail"])
def test_nothing_found(command: str, tmp_path: Path) -> None:
    """Exit 1, and nothing on standard output that a script could take for a report."""
    for arguments, env in (((str(tmp_path),), {}), ((), {"AWF_TOKEN_LOG_DIR": str(tmp_path / "none")})):
        result = run("logs", command, *arguments, env=env)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr


def test_without_the_folder_the_configuration_is_asked_for(tmp_path: Path) -> None:
    """Only where none was named: with one, it is that one's folder that is not there."""
    nowhere = {"HOME": str(tmp_path), "AWFPROXY_CONFIG": "", "XDG_STATE_HOME": ""}
    without = awf("logs", "token-usage", env=nowhere)
    assert without.returncode == 1 and "There is no folder" in without.stderr
    assert "--config FILE, or export AWFPROXY_CONFIG=FILE" in without.stderr
    (tmp_path / "a.toml").write_text('[service]\nlog_dir = "none"\n')
    named = awf("logs", "token-usage", "--config", str(tmp_path / "a.toml"), env=nowhere)
    assert named.returncode == 1 and f"There is no folder {tmp_path}/none" in named.stderr
    assert "AWFPROXY_CONFIG" not in named.stderr


def test_nothing_that_was_asked_for(records: Path) -> None:
    """Filters that let nothing through are told apart from files without records."""
    result = run("logs", "token-usage", str(records), "--since", "1m")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "There are no token usage records that were asked for there.\n"


def test_filters(records: Path) -> None:
    """Each of them, and all together."""
    for arguments in (
        ("--since", "2026-01-02", "--until", "2026-01-02T03:04:06Z"), ("--model", "GPT-*"), ("--model", "x", "--model", "*4o"),
    ):  # fmt: skip
        assert run("logs", "token-usage", str(records), *arguments).exit_code == 0
    for arguments in (("--until", "2026-01-02"), ("--port", "a"), ("--user", "u"), ("--feature", "f"), ("--run", "1")):
        assert run("logs", "token-usage", str(records), *arguments).exit_code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--by", "x"),
        ("--by", "run,run"),
        ("--by", "model,run", "--by", "model"),
        ("--by", "turn,turn"),
        ("--by", "provider,turn"),
        ("--by", "turn", "--user", "somebody"),
        ("--by", "turn", "--prices", __file__),
        ("--by", "\x1b[2J"),
        ("--since", "soon"),
        ("--sort", "size"),
        ("--limit", "0"),
        ("--sort", "cost", "--no-cost"),
        ("--format", "xml"),
        ("/nonexistent",),
    ],
)
def test_what_is_not_understood(arguments: tuple[str, ...], records: Path) -> None:
    """Exit 2, with the reason on standard error."""
    result = run("logs", "token-usage", str(records), *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: " in result.stderr
    assert "\x1b" not in result.stderr


def test_turns_are_somewhere_else(records: Path) -> None:
    """Where they were never written, the remedy is named."""
    result = run("logs", "token-usage", str(records), "--by", "turn")
    assert result.exit_code == 1
    assert "awf logs turns" in result.stderr


#: what takes its time to import, and what a small report does without
SPARED = ("awfproxy.core.settings", "awfproxy.core.toml_document", "awfproxy.report.turns", "genai_prices",
          "importlib.metadata", "pydantic", "sqlalchemy", "tomllib", "twisted", "zoneinfo")  # fmt: skip


def test_a_small_report_imports_only_what_it_needs(records: Path) -> None:
    """Half of its time is importing: with costs, in a process of its own."""
    code = (
        "import sys; from awfproxy.cli import awf; "
        f"awf(['logs', 'token-usage', {str(records)!r}], standalone_mode=False); "
        f"print(sorted(name for name in {SPARED!r} if name in sys.modules), file=sys.stderr)"
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWFPROXY")}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, env=environ)
    assert "genai-prices" in done.stdout
    assert done.stderr.strip() == "[]"


def test_by_turn_is_what_turns_wrote(records: Path) -> None:
    """Beside the records, in their folder, and named: the same totals as the records have, cost included."""
    records.write_text("".join(json.dumps(LINE | {"request_id": str(n), "conversation": "c"}) + "\n" for n in range(3)))
    assert run("logs", "turns", str(records)).exit_code == 0
    whole = json.loads(run("logs", "token-usage", str(records), "--format", "json").stdout)
    for source in (records, records.parent, records.parent / "token-usage-by-turn.jsonl"):
        result = run("logs", "token-usage", str(source), "--by", "turn,model", "--format", "json")
        found = json.loads(result.stdout)
        assert found["by"] == ["session", "turn", "model"]
        assert found["total"] == whole["total"]
        assert {each["group"]["session"] for each in found["groups"]} == {"c"}


@pytest.mark.parametrize(("source", "code"), [("reported", 0), (None, 0), ("partial", 1), ("estimated", 1)])
def test_require_exact_is_a_gate(source: str | None, code: int, records: Path) -> None:
    """The report is printed all the same."""
    records.write_text(json.dumps(LINE | ({"usage_source": source} if source else {})) + "\n")
    result = run("logs", "token-usage", str(records), "--require-exact")
    assert result.exit_code == code
    assert result.stdout
    assert result.stderr == ("" if code == 0 else f"Not exact: of 1 call 1 {source}.\n")


@pytest.mark.parametrize("form", FORMS)
def test_summary(form: str, records: Path) -> None:
    """Both files of a folder."""
    (records.parent / "requests.jsonl").write_text(json.dumps(REQUEST) + "\n")
    result = run("logs", "summary", str(records.parent), "--format", form)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "complete" in result.stdout
    assert "1100" in result.stdout.replace(",", "")


def test_tail(records: Path) -> None:
    """Of a folder requests with their tokens, where there are no requests the usage; a line a call."""
    assert run("logs", "tail", str(records.parent)).stdout == "03:04:05.678  openai  gpt-4o  1,000 in, 100 out\n"
    (records.parent / "requests.jsonl").write_text(f"{json.dumps(REQUEST)}\n" * 30)
    result = run("logs", "tail", str(records.parent), "-n", "2")
    assert result.stdout == (
        "03:04:05.678  a  200  1,000 in, 100 out  5.00 ms\n03:04:05.678  a  200  5.00 ms\n"
    )


@pytest.fixture
def following(records: Path) -> Iterator["subprocess.Popen[str]"]:
    """`awf logs tail -f` of a folder with both files."""
    (records.parent / "requests.jsonl").write_text("")
    command = [sys.executable, "-u", "-m", "awfproxy", "logs", "tail", "-f", "-n", "0", str(records.parent)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(1.5)
    yield process
    process.kill()
    process.communicate()


def test_tail_follows_over_a_rotation(following: "subprocess.Popen[str]", records: Path) -> None:
    """What comes is shown, also after a rename; an interrupt is no error."""
    requests = records.parent / "requests.jsonl"
    assert following.stdout is not None
    for number in range(2):
        usage, request = LINE | {"request_id": f"r{number}"}, REQUEST | {"request_id": f"r{number}"}
        with records.open("a") as file:
            file.write(json.dumps(usage) + "\n")
        with requests.open("a") as file:
            file.write(json.dumps(request) + "\n")
        assert following.stdout.readline() == "03:04:05.678  a  200  1,000 in, 100 out  5.00 ms\n"
        requests.rename(records.parent / "requests.jsonl.1")
        requests.write_text("")
    following.send_signal(signal.SIGINT)
    out, err = following.communicate(timeout=20)
    assert (following.returncode, out, err) == (0, "", "")


def test_a_reader_that_leaves_early_is_no_error(records: Path) -> None:
    """`awf ... | head -1`."""
    records.write_text("".join(json.dumps(LINE | {"request_id": str(n), "model": f"m{n}"}) + "\n" for n in range(9000)))
    command = f"{sys.executable} -m awfproxy logs token-usage {records} --no-cost --format csv | head -1"
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("provider,model,")
    assert done.stderr == ""


def test_hostile_names_do_nothing_in_a_terminal(records: Path) -> None:
    """Escapes, controls, overrides, a megabyte, NUL, a lone surrogate, deep nesting, no UTF-8."""
    evil = ["\x1b]0;x\x07", "\x00", "\u202e", "x" * 500_000, "\r\n", "<script>alert(1)</script>", "=1+1", "@team", "`|`"]
    good = [json.dumps(LINE | {"request_id": str(number), "model": name}) for number, name in enumerate(evil)]
    bad = [b'{"model": "\\ud800", "input_tokens": 1}', b'{"a":' * 5000 + b"1" + b"}" * 5000, b'{"model": "\xff"}', b"\x00"]
    records.write_bytes("\n".join(good).encode() + b"\n" + b"\n".join(bad) + b"\n")
    for form in FORMS:
        result = run("logs", "token-usage", str(records), "--format", form)
        assert result.exit_code == 0
        assert result.stdout.replace("\r\n", "").replace("\n", "").isprintable()
        assert result.stderr.startswith("4 lines skipped")
        assert len(result.stdout) < 30_000
        if form == "csv":
            assert not re.search(r"(?:^|,)\"?[=@+-]", result.stdout, re.MULTILINE)


def measured(*arguments: str) -> tuple[str, float, int]:
    """What a command printed, and the CPU seconds and KB that its process took."""
    code = (
        "import resource, sys\n"
        "from awfproxy.cli import awf\n"
        "awf(sys.argv[1:], standalone_mode=False)\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        # ru_maxrss is that of the process that started this one, if that was larger
        "(peak,) = [line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')]\n"
        "print(used.ru_utime + used.ru_stime, peak)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    out, _, figures = done.stdout.rstrip("\n").rpartition("\n")
    used, peak = figures.split()
    return out, float(used), int(peak)


linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


@linux
def test_a_bomb_is_read_in_little_memory(tmp_path: Path) -> None:
    """A few hundred KB that unpack to 300 MB: one line without end, and a record after it."""
    path = tmp_path / "token-usage.jsonl.gz"
    with gzip.open(path, "wb", 1) as file:
        for _ in range(300):
            file.write(b"x" * 1024 * 1024)
        file.write(b"\n" + json.dumps(LINE).encode() + b"\n")
    out, _, peak = measured("logs", "token-usage", "--format", "csv", str(path))
    assert "openai,gpt-4o,1,1000" in out
    assert peak < 50 * 1024


@linux
def test_what_a_small_file_takes(tmp_path: Path) -> None:
    """The promise is 0.3 s of CPU; the bound here leaves a loaded machine three times that, as the best of three."""
    path = tmp_path / "token-usage.jsonl"
    path.write_bytes(b"".join(lines(500)))
    assert min(measured("logs", "token-usage", str(path))[1] for _ in range(3)) < 0.9


@linux
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """The promise is 80 MB for a million records, of which their ids take 16 to 32; here twenty thousand."""
    path = tmp_path / "token-usage.jsonl"
    with path.open("wb") as file:
        file.writelines(lines(20_000))
    assert measured("logs", "token-usage", str(path))[2] < 48 * 1024


class Terminal(io.StringIO):
    """What says that it is one."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("kind", [Terminal, io.StringIO])
def test_a_bar_shows_how_far_it_is(kind: type[io.StringIO], records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, where it takes long, and nowhere else."""
    stderr = kind()
    monkeypatch.setattr(sys, "stderr", stderr)
    for least, wanted in ((0, kind is Terminal), (10**9, False)):
        monkeypatch.setattr(logs_options, "PROGRESS_BYTES", least)
        with logs_options.progress([str(records), "-"]) as progress:
            assert (progress is not None) == wanted
            if progress is not None:
                progress(records.stat().st_size)
    assert ("Reading" in stderr.getvalue()) == (kind is Terminal)
