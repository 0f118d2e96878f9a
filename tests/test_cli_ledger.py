"""`awf ledger`: journal files against the ledger of a stopped service, and of a running one."""

import json
import os
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from awfproxy import cli
from awfproxy.commands import comparison
from awfproxy.commands.service_socket import SOCKET_NAME
from awfproxy.core.budgets import Scope
from awfproxy.core.records import TokenUsageRecord
from awfproxy.core.windows import window_end, window_start
from awfproxy.ledger.facts import Held, Holder, Window
from awfproxy.ledger.rows import row_of
from awfproxy.ledger.sql import SqlLedger
from tests.budget_settings import BUDGETED, ENVIRONMENT
from tests.journals import NOON, record, write

INSTANCE = "0123456789abcdef"
DAY = 86_400


class Home:
    """A proxy that does not run: its file, its folders, its ledger."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.current = folder / "logs" / "token-usage.jsonl"
        (folder / "a.toml").write_text(BUDGETED)
        self.state.mkdir()
        (self.state / "instance").write_text(INSTANCE + "\n")
        self.born(NOON - 100 * DAY)

    def born(self, when: float) -> None:
        """The installation is of that time."""
        os.utime(self.state / "instance", (when, when))

    def run(self, *arguments: str, code: int | None = 0) -> Result:
        """The command."""
        env = {"AWFPROXY_CONFIG": str(self.folder / "a.toml"), **ENVIRONMENT}
        result = CliRunner().invoke(cli.awf, ["ledger", *arguments], env=env)
        assert code is None or result.exit_code == code, result.output
        return result

    def verify(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """What differs."""
        found: dict[str, Any] = json.loads(self.run("verify", "--format", "json", *arguments, code=code).stdout)
        return found

    @contextmanager
    def ledger(self) -> Iterator[SqlLedger]:
        """The ledger, open."""
        ledger = SqlLedger(f"sqlite:///{self.state / 'ledger.db'}")
        try:
            yield ledger
        finally:
            ledger.close()

    def fill(self, *records: TokenUsageRecord, instance: str = INSTANCE) -> None:
        """Put rows into the ledger, as the service does."""
        rows = [row_of(each, instance, feature=each.feature) for each in records]
        with self.ledger() as ledger:
            ledger.record([row for row in rows if row is not None])

    def rows(self) -> list[str]:
        """The requests that are in the ledger."""
        connection = sqlite3.connect(self.state / "ledger.db")
        try:
            return [name for (name,) in connection.execute("SELECT request_id FROM ai_usage_ledger ORDER BY 1")]
        finally:
            connection.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """It is noon of 15 March."""
    monkeypatch.setattr("time.time", lambda: float(NOON))
    return Home(tmp_path)


#: a journal of two and a half months, in the order in which calls ended; the first file's name sorts last
OLD = [record(number, NOON - 75 * DAY + number * DAY) for number in range(30)]
MIDDLE = [record(number, NOON - 75 * DAY + number * DAY) for number in range(30, 60)]
NEW = [record(number, NOON - 75 * DAY + number * DAY) for number in range(60, 75)]


def test_what_is_the_same(home: Home) -> None:
    """Plain, gzip and zstd files together; exit 0."""
    write(home.current, NEW)
    write(home.current.with_name("token-usage.jsonl.1.gz"), MIDDLE)
    write(home.current.with_name("token-usage.jsonl.2.zst"), OLD)
    home.fill(*OLD, *MIDDLE, *NEW)
    result = home.run("verify")
    assert result.stdout == "75 records read; the ledger is what the journal says.\n"


def test_each_kind_of_difference_is_listed(home: Home) -> None:
    """With what each side says; exit 1."""
    write(home.current, NEW)
    home.fill(*NEW[3:], record(61, NOON - 14 * DAY, model="gpt-4", output_tokens=99), record(9, NOON - 2 * DAY))
    found = home.verify(code=1)
    assert found["counts"] == {"missing": 1, "different": 1, "extra": 1}
    by_kind = {each["kind"]: each for each in found["differences"]}
    assert by_kind["different"]["request_id"] == "r000061"
    assert by_kind["different"]["fields"]["model"] == {"journal": "gpt-5", "ledger": "gpt-4"}
    assert by_kind["extra"]["request_id"] == "r000009"
    assert (by_kind["extra"]["journal_tokens"], by_kind["extra"]["ledger_tokens"]) == (None, 19)


def test_the_first_call_of_the_files_may_have_others_before_it(home: Home) -> None:
    """What was admitted before it ended may be in a file that is gone: it is not compared, unless it is asked for."""
    write(home.current, NEW[2:])
    home.fill(*NEW[3:], record(9, NOON - 13 * DAY - 30))
    assert home.verify()["counts"] == {}
    assert home.verify("--since", "2026-02-20", code=1)["counts"] == {"missing": 1, "extra": 1}
    home.born(NOON - 13.1 * DAY)
    assert home.verify(code=1)["counts"] == {"missing": 1, "extra": 1}


def test_times_to_compare(home: Home) -> None:
    """From `--since` on, before `--until`."""
    write(home.current, NEW)
    home.fill(*NEW[:5], *NEW[10:])
    assert home.verify("--since", "2026-03-01", code=1)["counts"] == {"missing": 5}
    assert home.verify("--until", "2026-03-06T00:00:00Z", code=1)["counts"] == {"missing": 1}
    assert home.verify("--since", "2026-03-10T13:00:00+01:00")["counts"] == {}


def test_rows_of_other_installations_are_nobodys_extra(home: Home) -> None:
    """They have journals of their own."""
    write(home.current, NEW)
    home.fill(*NEW)
    home.fill(record(500, NOON - DAY), instance="fedcba9876543210")
    assert home.verify()["counts"] == {}


def test_lines_that_are_no_records_are_told(home: Home) -> None:
    """And passed over."""
    write(home.current, NEW)
    home.current.write_bytes(home.current.read_bytes() + b'{"torn": \n\n')
    home.fill(*NEW)
    result = home.run("verify")
    assert result.stderr == "1 line skipped: no usage records of this version.\n"


def test_many_differences_are_counted_and_not_all_listed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Millions would not fit on anybody's screen."""
    monkeypatch.setattr(comparison, "LISTED_MAX", 3)
    write(home.current, NEW)
    home.fill()
    with home.ledger() as ledger:
        ledger.open()
    found = home.verify(code=1)
    assert (found["counts"], len(found["differences"])) == ({"missing": 14}, 3)
    assert "and 11 more" in home.run("verify", code=1).stdout


def test_without_a_journal(home: Home) -> None:
    """Exit 1, and what is missing."""
    home.current.parent.mkdir()
    assert "no usage records" in home.run("verify", code=1).stderr
    assert "no usage records" in home.run("rebuild", code=1).stderr
    (home.state / "instance").unlink()
    assert "has not run with this state folder" in home.run("verify", code=1).stderr


def test_rebuild_from_nothing(home: Home) -> None:
    """All rows are there again, those of a call that began before the first one ended too."""
    write(home.current, NEW)
    write(home.current.with_name("token-usage.jsonl-20260228.gz"), [*MIDDLE[:1], record(7, NOON - 45 * DAY + 5, 60)])
    result = home.run("rebuild")
    assert result.stdout == "15 rows are in the ledger for the time that was made anew.\n"
    assert home.rows() == sorted(["r000007", "r000030", *(f"r{number:06d}" for number in range(60, 75))])
    assert home.verify()["counts"] == {}


def test_rebuild_replaces_what_is_wrong_and_nothing_else(home: Home) -> None:
    """Rows of other installations, and of times before the files begin, stay."""
    write(home.current, NEW)
    home.born(NOON - 100 * DAY)
    write(home.current.with_name("token-usage.jsonl.1"), [record(59, NOON - 16 * DAY)])
    home.fill(*OLD, *NEW[3:], record(62, NOON - 13 * DAY, output_tokens=1), record(9999, NOON - DAY))
    home.fill(record(500, NOON - DAY), instance="fedcba9876543210")
    home.run("rebuild")
    expected = [f"r{number:06d}" for number in (*range(30), 59, *range(60, 75), 500)]
    assert home.rows() == sorted(expected)
    assert home.verify()["counts"] == {}


def test_rebuild_is_refused_where_the_period_is_not_covered(home: Home) -> None:
    """The month began before the files do: what was used in between would be free. Nothing is changed."""
    write(home.current, NEW[5:])
    home.fill(record(1, NOON - 15 * DAY))
    result = home.run("rebuild", code=1)
    assert "the current month at 2026-03-01T00:00:00Z" in result.stderr
    assert "--whole" in result.stderr
    assert home.rows() == ["r000001"]
    home.run("rebuild", "--whole")
    assert home.rows() == [f"r{number:06d}" for number in range(65, 75)]


def test_rebuild_asks_for_the_period_of_the_budgets(home: Home) -> None:
    """A day is covered by less than a month; what is stored counts as well."""
    path = home.folder / "a.toml"
    path.write_text(BUDGETED.replace("enabled = true", 'enabled = true\nperiod = "day"'))
    write(home.current, NEW[5:])
    home.run("rebuild")
    with home.ledger() as ledger:
        ledger.set_setting(Scope("openai"), {"period": "month"}, "ann", NOON, lambda before, given: given)
    home.run("rebuild", code=1)


def test_rebuild_of_an_installation_younger_than_the_period(home: Home) -> None:
    """Nothing was before it; but where the ledger knows better, a file is gone."""
    write(home.current, NEW[5:])
    home.born(NOON - 10.5 * DAY)
    home.run("rebuild")
    assert len(home.rows()) == 10
    home.fill(record(1, NOON - 10.4 * DAY))
    result = home.run("rebuild", code=1)
    assert "1 call of this installation from before 2026-03-05" in result.stderr
    assert len(home.rows()) == 11


def test_rebuild_of_a_part(home: Home) -> None:
    """As the times say; what the files do not cover cannot be asked for."""
    write(home.current, [*MIDDLE[-3:], *NEW])
    home.fill(record(7777, NOON - 5 * DAY), record(8888, NOON - 2 * DAY))
    home.run("rebuild", "--since", "2026-03-12")
    assert home.rows() == ["r000072", "r000073", "r000074", "r007777"]
    assert "tell all only from" in home.run("rebuild", "--since", "2026-01-01", code=1).stderr


def test_a_damaged_file_changes_nothing(home: Home) -> None:
    """Half of a file would take the other half's rows away."""
    write(home.current, NEW)
    packed = home.current.with_name("token-usage.jsonl.1.gz")
    write(packed, MIDDLE)
    packed.write_bytes(packed.read_bytes()[:-20])
    home.fill(*MIDDLE)
    result = home.run("rebuild", code=1)
    assert "not read to its end" in result.stderr
    assert home.rows() == [f"r{number:06d}" for number in range(30, 60)]


def window() -> Window:
    start = window_start("month", NOON)
    return Window(Scope("openai"), "month", start, window_end("month", start))


def test_release_gives_back_what_no_record_shows(home: Home) -> None:
    """Of 500 lost tokens those that the journal's rows do not account for."""
    write(home.current, NEW)
    shown = sum(10 + number for number in range(61, 75))
    holder = Holder(INSTANCE, 1)
    with home.ledger() as ledger:
        ledger.borrow(holder, Held(window(), 0, 0, 0), cap=10_000, need=2000, most=0, now=NOON, expires_at=NOON + 9)
        ledger.settle_dead(holder, [Held(window(), 2000, shown - 100, 500)], NOON)
    home.fill(*NEW)
    assert home.verify("--release")["released"] == [{"budget": "openai", "released": 400, "used": 100}]
    with home.ledger() as ledger:
        standing = ledger.window(window(), NOON)
        assert standing is not None
        assert (standing.committed, standing.lost) == (shown, 0)
    assert "Nothing is lost." in home.run("verify", "--release").stdout


def test_what_a_killed_process_had_reserved_is_not_nothing(home: Home) -> None:
    """Nobody has settled it yet: it is told, with what has to be done first."""
    write(home.current, NEW)
    home.fill(*NEW)
    killed = Holder(INSTANCE, 1)
    with home.ledger() as ledger:
        ledger.borrow(killed, Held(window(), 0, 0, 0), cap=10_000, need=700, most=0, now=NOON, expires_at=NOON + 9)
        ledger.heartbeat(killed, [Held(window(), 700, 0, 634)], NOON, NOON + 9)
    found = home.run("verify", "--release").stdout
    assert "openai: 634 tokens are reserved, and not lost yet." in found and "start it and stop it" in found
    assert "Nothing is lost" not in found
    assert home.verify("--release")["reserved"] == [{"budget": "openai", "reserved": 634}]


def test_release_waits_for_processes_and_for_the_journal(home: Home) -> None:
    """While a piece is held, or rows are missing, rows do not show all that was used."""
    write(home.current, NEW)
    living, dead = Holder(INSTANCE, 1), Holder(INSTANCE, 2)
    with home.ledger() as ledger:
        for holder in (living, dead):
            ledger.borrow(holder, Held(window(), 0, 0, 0), cap=10_000, need=200, most=0, now=NOON, expires_at=NOON + 9)
        ledger.settle_dead(dead, [Held(window(), 200, 0, 50)], NOON)
    result = home.run("verify", "--release", code=1)
    assert "Nothing was released" in result.stderr
    home.fill(*NEW)
    found = home.verify("--release", code=1)
    assert (found["released"], found["held"]) == ([], ["openai"])


@contextmanager
def answering(home: Home) -> Iterator[None]:
    """Somebody listens at the admin socket, as a running service does."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(home.state / SOCKET_NAME))
        listening.listen()
        yield


def test_rebuild_is_refused_while_the_service_runs(home: Home) -> None:
    """It would take away the rows of calls that end meanwhile."""
    write(home.current, NEW)
    with answering(home):
        assert "The service runs" in home.run("rebuild", "--whole", code=1).stderr
    assert not (home.state / "ledger.db").exists()


def test_what_differs_only_for_a_moment_on_a_running_service_does_not_count(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row comes a little after its record; one that does not come is still a difference."""
    monkeypatch.setattr(comparison, "RECHECK_SECONDS", 0.5)
    write(home.current, NEW)
    home.fill(*NEW[2:-1])
    late = threading.Timer(0.1, home.fill, [NEW[-1]])
    with answering(home):
        late.start()
        found = home.verify(code=1)
    late.join()
    assert [each["request_id"] for each in found["differences"]] == ["r000061"]
