"""The journal's tail: every line once, whatever rotation does to the files."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from awfproxy.core.decoders import zstd
from awfproxy.core.records import RECORD_BYTES_MAX, TokenUsageRecord, encode, timestamp
from awfproxy.ledger.facts import Position
from awfproxy.ledger.rows import row_of
from awfproxy.server.journal_tail import LINGER, READ_BYTES, Tail

START = 1_768_435_200


def line(number: int, padding: int = 0) -> bytes:
    """A usage line; later ones have greater numbers."""
    return encode(
        TokenUsageRecord(
            timestamp(START + number), f"r{number}", "openai", "m", "/v1/" + "x" * padding, 200, False,
            number, 1, 0, 0, 1.0, 10, 10, "reported", "complete", "p",
        )
    )  # fmt: skip


class Reader:
    """A tail, and the ledger that it is read into."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "token-usage.jsonl"
        self.now = 1000.0
        self.rows: list[str] = []
        self.position: Position | None = None
        self.tail = self.fresh()

    def fresh(self) -> Tail:
        """As after a start."""
        tail = Tail(str(self.path), "host", lambda record: row_of(record, "host", feature=None), lambda: self.now)
        tail.begin(self.position)
        self.tail = tail
        return tail

    def read(self) -> list[str]:
        """To the end; the ids that were not there before."""
        before = len(self.rows)
        while True:
            batch = self.tail.read()
            self.rows += [row.request_id for row in batch.rows if row.request_id not in self.rows]
            self.position = batch.position or self.position
            if batch.last:
                return self.rows[before:]


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    """Of an empty folder."""
    return Reader(tmp_path)


Append = Callable[..., None]


def append(path: Path, *numbers: int) -> None:
    """Some lines, in one piece."""
    with path.open("ab") as file:
        file.write(b"".join(map(line, numbers)))


def ids(*numbers: int) -> list[str]:
    """Of these lines."""
    return [f"r{number}" for number in numbers]


def test_reads_what_is_appended_and_nothing_twice(reader: Reader) -> None:
    """A file that is not there yet, then one that grows."""
    assert reader.read() == []
    assert reader.position is None
    append(reader.path, 1, 2)
    assert reader.read() == ids(1, 2)
    assert reader.read() == []
    append(reader.path, 3)
    assert reader.read() == ids(3)
    assert reader.position is not None
    assert reader.position.offset == reader.path.stat().st_size


def test_goes_on_after_a_restart(reader: Reader) -> None:
    """From the position that the ledger kept, not from the start."""
    append(reader.path, 1, 2)
    reader.read()
    append(reader.path, 3)
    batch = reader.fresh().read()
    assert [row.request_id for row in batch.rows] == ids(3)


def test_half_a_line_waits_for_its_end(reader: Reader) -> None:
    """Whoever writes it is not done."""
    whole = line(1)
    reader.path.write_bytes(whole[:40])
    assert reader.read() == []
    with reader.path.open("ab") as file:
        file.write(whole[40:] + line(2)[:10])
    assert reader.read() == ids(1)
    assert reader.position is not None
    assert reader.position.offset == len(whole)


@pytest.mark.parametrize(
    "bad",
    [b"", b"{", b"[1]", b"\xff\xfe", b'{"_schema":"requests/v1.0.0"}', b'{"_schema":"token-usage/v2.0.0"}', b"x" * 9999],
)
def test_what_is_no_record_is_passed_over(reader: Reader, bad: bytes) -> None:
    """And counted."""
    reader.path.write_bytes(line(1) + bad + b"\n" + line(2))
    assert reader.read() == ids(1, 2)
    assert reader.tail.skipped == 1


def test_a_line_without_end_is_passed_over(reader: Reader) -> None:
    """Longer than what is read at once."""
    reader.path.write_bytes(line(1) + b"x" * (3 * READ_BYTES) + b"\n" + line(2))
    assert reader.read() == ids(1, 2)
    assert reader.tail.skipped == 1


def test_rotation_by_rename(reader: Reader) -> None:
    """What is written into the renamed file for a while is read too; then it is left."""
    append(reader.path, 1)
    assert reader.read() == ids(1)
    old = reader.path.rename(f"{reader.path}.1")
    append(reader.path, 3)
    append(old, 2)
    assert sorted(reader.read()) == ids(2, 3)
    append(old, 4)
    assert reader.read() == ids(4)
    first = reader.position
    reader.now += LINGER + 1
    append(reader.path, 5)
    assert reader.read() == ids(5)
    assert reader.position != first


def test_the_last_line_of_a_renamed_file_needs_no_newline(reader: Reader) -> None:
    """On a full disk it may lack it for ever; the file is left all the same, once nobody can complete it."""
    reader.path.write_bytes(line(1) + line(2)[:-1])
    assert reader.read() == ids(1)
    reader.path.rename(f"{reader.path}.1")
    append(reader.path, 3)
    assert reader.read() == ids(3)
    first = reader.position
    reader.now += LINGER + 1
    assert reader.read() == ids(2)
    assert reader.read() == []
    assert reader.position != first
    assert reader.tail.skipped == 0


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_the_last_line_of_a_compressed_file_needs_no_newline(reader: Reader, ending: str) -> None:
    """Nobody appends to one."""
    data = line(1) + line(2)[:-1]
    packed = gzip.compress(data) if ending == ".gz" else zstd.compress(data)
    Path(f"{reader.path}.1{ending}").write_bytes(packed)
    reader.fresh()
    assert reader.read() == ids(1, 2)


def test_a_torn_end_of_a_renamed_file_is_passed_over(reader: Reader) -> None:
    """Counted once; the file is not kept open for it."""
    reader.path.write_bytes(line(1) + line(2)[:40])
    reader.path.rename(f"{reader.path}.1")
    append(reader.path, 3)
    reader.fresh()
    assert reader.read() == ids(1, 3)
    before = len(os.listdir("/proc/self/fd"))
    reader.now += LINGER + 1
    assert reader.read() == []
    assert reader.tail.skipped == 1
    assert len(os.listdir("/proc/self/fd")) == before - 1


def test_rotated_twice_between_two_looks(reader: Reader) -> None:
    """A file that nobody saw under its first name; and no new one yet."""
    append(reader.path, 1)
    assert reader.read() == ids(1)
    reader.path.rename(f"{reader.path}.2")
    append(reader.path, 2)
    reader.path.rename(f"{reader.path}.1")
    assert reader.read() == ids(2)
    reader.now += LINGER + 1
    assert reader.read() == []
    append(reader.path, 3)
    assert reader.read() == ids(3)


def test_rotation_while_nobody_read(reader: Reader) -> None:
    """The rest of the old file, all of those between, the new one, in this order."""
    append(reader.path, 1)
    reader.read()
    append(reader.path, 2)
    reader.path.rename(f"{reader.path}-20260116")
    append(reader.path, 3)
    reader.path.rename(f"{reader.path}-20260117")
    append(reader.path, 4)
    reader.fresh()
    assert reader.read() == ids(2, 3, 4)


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_file_is_found_again_compressed(reader: Reader, ending: str) -> None:
    """By what it holds: its rest is read, and nothing before."""
    append(reader.path, 1, 2)
    reader.read()
    data = reader.path.read_bytes() + line(3)
    reader.path.unlink()
    packed = gzip.compress(data) if ending == ".gz" else zstd.compress(data)
    Path(f"{reader.path}.1{ending}").write_bytes(packed)
    append(reader.path, 4)
    batch = reader.fresh().read()
    assert [row.request_id for row in batch.rows] == ids(3)
    assert reader.read() == ids(4)


def test_without_a_position_everything_is_read(reader: Reader) -> None:
    """A new database: from the oldest file on, compressed ones too, in the order of the times, not of the names."""
    Path(f"{reader.path}.3.gz").write_bytes(gzip.compress(line(1) + line(2)))
    Path(f"{reader.path}.1").write_bytes(line(4))
    Path(f"{reader.path}.2.zst").write_bytes(zstd.compress(line(3)))
    append(reader.path, 5)
    reader.fresh()
    assert reader.read() == ids(1, 2, 3, 4, 5)


def test_a_position_in_a_file_that_is_gone(reader: Reader) -> None:
    """All that is there is read: a request is one row however often it is read."""
    append(reader.path, 1)
    reader.read()
    reader.path.unlink()
    append(reader.path, 2)
    reader.fresh()
    assert reader.read() == ids(2)


def test_a_damaged_compressed_file_is_read_as_far_as_it_goes(reader: Reader) -> None:
    """And does not stop the rest."""
    data = gzip.compress(b"".join(line(number, 300) for number in range(1, 400)), 1)
    Path(f"{reader.path}.1.gz").write_bytes(data[: len(data) // 2])
    append(reader.path, 500)
    reader.fresh()
    found = reader.read()
    assert found[0] == "r1"
    assert found[-1] == "r500"
    assert 2 < len(found) < 400


@pytest.mark.parametrize("damaged", [line(2)[:-9] + b"\n", b"\xff" * (RECORD_BYTES_MAX + 9) + b"\n"])
def test_a_file_that_begins_with_damage_is_in_its_place(reader: Reader, damaged: bytes) -> None:
    """Behind the position, though its first line, or all of its beginning, tells no time."""
    append(reader.path, 1)
    reader.path.rename(f"{reader.path}.1")
    assert reader.read() == ids(1)
    reader.path.write_bytes(damaged + line(3))
    reader.path.rename(f"{reader.path}.2")
    reader.fresh()
    assert reader.read() == ids(3)
    append(reader.path, 4)
    reader.now += LINGER + 1
    assert reader.read() == ids(4)
    reader.path.rename(f"{reader.path}.3")
    append(reader.path, 5)
    reader.now += LINGER + 1
    assert reader.read() == ids(5)


def test_a_new_file_with_an_old_ones_inode(reader: Reader) -> None:
    """Files are known by what they hold: the offset of one that was deleted does not hold for its successor."""
    append(reader.path, 1, 2, 3)
    reader.read()
    reader.path.write_bytes(line(4) + line(5) + line(6) + line(7))  # the same inode, and longer
    reader.fresh()
    assert reader.read() == ids(4, 5, 6, 7)


def test_how_far_it_is_behind(reader: Reader) -> None:
    """About, by bytes; also after a rotation that it has not noticed, and for a thread that reads nothing."""
    assert reader.tail.behind() is None
    append(reader.path, *range(1, 101))
    reader.read()
    assert reader.tail.behind() == 0
    append(reader.path, *range(101, 151))
    assert reader.tail.behind() in range(49, 53)
    reader.path.rename(f"{reader.path}.1")
    append(reader.path, 200)
    assert (reader.tail.behind() or 0) >= 1


@example(["append", "rotate", "read", "torn", "append", "rotate", "restart"])
@given(st.lists(st.sampled_from(["append", "append", "torn", "rotate", "restart", "read", "wait", "forget"]), max_size=25))
def test_every_line_once_whatever_happens(steps: list[str]) -> None:
    """Lines, torn lines, rotations, restarts, lost positions, in any order: all lines are rows in the end."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        reader = Reader(Path(folder))
        number, rotated, torn = 0, 0, False
        written: list[str] = []
        for step in steps:
            if step in ("append", "torn"):
                number += 1
                with reader.path.open("ab") as file:
                    file.write(b"\n" if torn and file.tell() else b"")
                    torn = step == "torn"
                    file.write(line(number)[:-9] if torn else line(number))
                if not torn:
                    written.append(f"r{number}")
            elif step == "rotate" and reader.path.exists():
                rotated += 1
                reader.path.rename(f"{reader.path}.{rotated}")
                torn = False
            elif step == "restart":
                reader.fresh()
            elif step == "forget":
                reader.position = None
                reader.rows.clear()
                reader.fresh()
            elif step == "wait":
                reader.now += LINGER + 1
            elif step == "read":
                reader.read()
        reader.read()
        reader.tail.close()
        assert sorted(reader.rows) == sorted(written)


def test_nothing_stays_open(reader: Reader) -> None:
    """However often it is rotated and begun again."""
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = open_files()
    for number in range(5):
        append(reader.path, number * 2, number * 2 + 1)
        reader.read()
        reader.path.rename(f"{reader.path}.{number}")
        reader.now += LINGER + 1
        if number % 2:
            reader.fresh()
    reader.tail.close()
    assert open_files() <= before


def test_records_are_those_of_the_journal() -> None:
    """The line that these tests write is a record."""
    assert msgspec.json.decode(line(7), type=TokenUsageRecord).input_tokens == 7
