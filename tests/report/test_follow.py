"""Following a file that somebody else appends to, renames, and cuts."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.report import follow
from awfproxy.report.follow import LATE_SECONDS, Followed
from awfproxy.report.lines import LINE_MAX


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_gives_the_last_lines_and_then_what_comes(tmp_path: Path) -> None:
    """Whole lines only."""
    path = tmp_path / "a"
    path.write_bytes(b"1\n2\n3\nhal")
    followed = Followed(str(path), 2)
    assert followed.lines(0) == [b"2", b"3"]
    append(path, b"f\n4")
    assert followed.lines(1) == [b"half"]
    assert followed.lines(2) == []
    append(path, b"\n")
    assert followed.lines(3) == [b"4"]
    followed.close()


@given(st.lists(st.binary(max_size=5).map(lambda line: line.replace(b"\n", b"")), max_size=20), st.integers(0, 25))
def test_the_last_lines_are_the_last(several: list[bytes], count: int) -> None:
    """However long the blocks are in which they are looked for."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(follow, "BLOCK", 3)
        path = Path(folder) / "a"
        path.write_bytes(b"".join(line + b"\n" for line in several))
        followed = Followed(str(path), count)
        assert followed.lines(0) == (several[-count:] if count else [])
        followed.close()


def test_right_after_a_rotation_the_file_before_has_the_rest(tmp_path: Path) -> None:
    """The youngest that is not compressed; what still comes to it is shown too, and nothing twice."""
    path, old = tmp_path / "a.jsonl", tmp_path / "a.jsonl.1"
    (tmp_path / "a.jsonl-20260101").write_bytes(b"-1\n")
    os.utime(tmp_path / "a.jsonl-20260101", (1, 1))
    old.write_bytes(b"0\n1\n2\n")
    for name in ("a.jsonl.2.gz", "a.jsonl.bak", "ab.jsonl.1"):
        (tmp_path / name).write_bytes(b"wrong\n")
    path.write_bytes(b"3\n")
    for count, lines in ((0, []), (1, [b"3"]), (3, [b"1", b"2", b"3"]), (9, [b"0", b"1", b"2", b"3"])):
        followed = Followed(str(path), count)
        assert followed.lines(0) == lines
        followed.close()
    followed = Followed(str(path), 2)
    assert followed.lines(0) == [b"2", b"3"]
    append(old, b"late\n")
    append(path, b"4\n")
    assert sorted(followed.lines(1)) == [b"4", b"late"]
    assert followed.lines(2 + LATE_SECONDS) == []
    followed.close()
    path.unlink()
    followed = Followed(str(path), 1)
    assert followed.lines(0) == [b"late"], "renamed, and there is no new one yet"
    path.write_bytes(b"5\n")
    assert followed.lines(1) == [b"5"]
    followed.close()


def test_follows_a_rename(tmp_path: Path) -> None:
    """Writers go on in the old file for a moment, beside the new one: nothing is lost, nothing comes twice."""
    path, old = tmp_path / "a", tmp_path / "a.1"
    path.write_bytes(b"1\n")
    followed = Followed(str(path))
    assert followed.lines(0) == []
    append(path, b"2\n")
    os.rename(path, old)
    append(old, b"3\n")
    assert followed.lines(1) == [b"2", b"3"]
    path.write_bytes(b"5\n")
    append(old, b"4\n")
    assert sorted(followed.lines(2)) == [b"4", b"5"]
    append(old, b"6\n")
    assert followed.lines(1 + LATE_SECONDS) == [b"6"]
    append(path, b"7\n")
    assert followed.lines(1 + 2 * LATE_SECONDS) == [b"7"]
    append(old, b"lost\n")
    append(path, b"8\n")
    assert followed.lines(2 + 2 * LATE_SECONDS) == [b"8"]
    followed.close()


def test_the_end_of_a_renamed_file(tmp_path: Path) -> None:
    """A last line without its newline is given when the new file is there and the old one has stood still."""
    path, old = tmp_path / "a", tmp_path / "a.1"
    path.write_bytes(b"1\n2")
    followed = Followed(str(path), 5)
    assert followed.lines(0) == [b"1"]
    os.rename(path, old)
    assert followed.lines(1) == []
    assert followed.lines(1 + 9 * LATE_SECONDS) == []  # nobody has begun a new one: whoever writes may not know yet
    path.write_bytes(b"")
    append(old, b"2")
    late = 2 + 9 * LATE_SECONDS
    assert followed.lines(late) == []
    append(path, b"3\n")
    assert followed.lines(late + LATE_SECONDS / 2) == [b"3"]
    assert followed.lines(late + LATE_SECONDS) == [b"22"]
    assert followed.lines(late + 3 * LATE_SECONDS) == []
    followed.close()


def test_an_old_file_that_ended_well_gives_nothing_more(tmp_path: Path) -> None:
    """No empty line; nor the rest of one that was too long, which is counted once."""
    for content, too_long in ((b"1\n", 0), (b"x" * (3 * LINE_MAX), 1)):
        path = tmp_path / "a"
        path.write_bytes(b"")
        followed = Followed(str(path))
        assert followed.lines(0) == []
        path.write_bytes(content)
        followed.lines(1)
        os.rename(path, tmp_path / "a.1")
        path.write_bytes(b"")
        assert followed.lines(2) == followed.lines(3 + LATE_SECONDS) == []
        assert followed.too_long == too_long
        followed.close()


def test_a_file_that_gets_its_name_back_is_the_same(tmp_path: Path) -> None:
    """Nothing of it is given again."""
    path = tmp_path / "a"
    path.write_bytes(b"1\n")
    followed = Followed(str(path), 5)
    assert followed.lines(0) == [b"1"]
    path.rename(tmp_path / "b")
    assert followed.lines(0.1) == []
    (tmp_path / "b").rename(path)
    append(path, b"2\n")
    assert followed.lines(0.2) == [b"2"]
    append(path, b"3\n")
    assert followed.lines(LATE_SECONDS + 1) == [b"3"]
    followed.close()


def test_follows_a_file_that_is_cut(tmp_path: Path) -> None:
    """As some rotate: copied, and cut to nothing."""
    path = tmp_path / "a"
    path.write_bytes(b"1\nhal")
    followed = Followed(str(path), 5)
    assert followed.lines(0) == [b"1"]
    path.write_bytes(b"2\n")
    assert followed.lines(1) == [b"2"]
    followed.close()


def test_waits_for_a_file(tmp_path: Path) -> None:
    """One that comes later is read from its beginning, whatever was asked for."""
    path = tmp_path / "a"
    followed = Followed(str(path), 0)
    assert followed.lines(0) == []
    path.write_bytes(b"1\n2\n")
    assert followed.lines(1) == [b"1", b"2"]
    followed.close()


def test_an_endless_line_is_passed_over(tmp_path: Path) -> None:
    """It is never held whole."""
    path = tmp_path / "a"
    path.write_bytes(b"")
    followed = Followed(str(path), 1)
    assert followed.lines(0) == []
    for _ in range(3):
        append(path, b"x" * LINE_MAX)
        followed.lines(1)
        assert followed._open is not None
        assert len(followed._open._rest) <= LINE_MAX
    append(path, b"end\n1\n")
    assert followed.lines(2) == [b"1"]
    followed.close()
