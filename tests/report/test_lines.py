"""Lines from wherever they are: every compression, folders, broken files, endless lines."""

import gzip
import io
import os
import sys
import zlib
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.report import lines as lines_module
from awfproxy.report.lines import LINE_MAX, STDIN, Lines, find_files

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TEXT = b"".join(b'{"n": %d}\n' % number for number in range(1000))
FORMS = {"plain": TEXT, "gzip": gzip.compress(TEXT), "zstd": zstd.compress(TEXT)}


@pytest.mark.parametrize("form", FORMS)
def test_reads_every_form_whatever_its_name(form: str, tmp_path: Path) -> None:
    """The first bytes tell, not the name."""
    path = tmp_path / "token-usage.jsonl"
    path.write_bytes(FORMS[form])
    lines = Lines([str(path)])
    assert b"".join(lines) == TEXT
    assert (lines.too_long, lines.troubles) == (0, [])


@pytest.mark.parametrize("form", FORMS)
def test_reads_standard_input(form: str) -> None:
    """`-` may be compressed too."""
    assert b"".join(Lines([STDIN], io.BufferedReader(io.BytesIO(FORMS[form])))) == TEXT


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_several_members_in_a_row(form: str, tmp_path: Path) -> None:
    """Compressed files are joined by appending."""
    path = tmp_path / "x"
    path.write_bytes(FORMS[form] * 2)
    assert b"".join(Lines([str(path)])) == TEXT * 2


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_a_cut_file_gives_what_is_there_and_says_so(form: str, tmp_path: Path) -> None:
    """A file that is still being written ends in the middle; the next one is read all the same."""
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    cut.write_bytes(FORMS[form][:-4])
    whole.write_bytes(TEXT)
    lines = Lines([str(cut), str(whole)])
    assert b"".join(lines).endswith(TEXT)
    (trouble,) = lines.troubles
    assert trouble.startswith(f"{cut}: not read to its end")


def _decodable(form: str, cut: bytes) -> bytes:
    """What a decoder that is given the bytes at once makes of them."""
    return zlib.decompressobj(31).decompress(cut) if form == "gzip" else zstd.ZstdDecompressor().decompress(cut)


@given(st.sampled_from(["gzip", "zstd"]), st.integers(64, 200_000), st.integers(1, 50_000), st.integers(0, 9))
def test_all_that_can_be_decoded_of_a_cut_file_is_read(form: str, size: int, off: int, seed: int) -> None:
    """By lines and by blocks: every line whose end is there, wherever it breaks off."""
    random = Random(seed)
    text = b"".join(b"%x\n" % random.getrandbits(200) for _ in range(size // 50 + 2))
    packed = gzip.compress(text, 1) if form == "gzip" else zstd.compress(text)
    cut = packed[: max(5, len(packed) - off)]
    there = _decodable(form, cut)
    whole = there[: there.rfind(b"\n") + 1]
    for blocks in (False, True):
        lines = Lines([STDIN], io.BufferedReader(io.BytesIO(cut)))
        found = b"".join(chain(*lines.blocks()) if blocks else lines)
        assert found == whole
        assert len(lines.troubles) == 1


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_a_spoilt_file_is_told(form: str, tmp_path: Path) -> None:
    """Bytes that no compressor wrote are a trouble, not a crash."""
    path = tmp_path / "x"
    path.write_bytes(FORMS[form][:20] + bytes(50) + FORMS[form][70:])
    lines = Lines([str(path)])
    list(lines)
    assert len(lines.troubles) == 1


def test_a_file_that_is_not_there_is_told() -> None:
    """The others are read all the same."""
    lines = Lines(["/nonexistent/file"])
    assert list(lines) == []
    assert "No such file" in lines.troubles[0]


def test_a_line_without_end_is_left_out(tmp_path: Path) -> None:
    """It is never held whole, and what follows is read."""
    path = tmp_path / "x"
    path.write_bytes(b"a\n" + b"x" * (3 * LINE_MAX) + b"\nb\n" + b"y" * (2 * LINE_MAX))
    lines = Lines([str(path)])
    assert list(lines) == [b"a\n", b"b\n"]
    assert lines.too_long == 2


def test_a_line_of_the_greatest_length_is_read(tmp_path: Path) -> None:
    """The bound is where it says."""
    path = tmp_path / "x"
    longest = b"x" * (LINE_MAX - 1) + b"\n"
    path.write_bytes(longest + b"x" + longest)
    lines = Lines([str(path)])
    assert list(lines) == [longest]
    assert lines.too_long == 1


def test_finds_rotated_files_in_folders(tmp_path: Path) -> None:
    """By name, in folders within too; what is made from them is not counted again."""
    wanted = ["token-usage.jsonl", "token-usage.jsonl.1", "token-usage.jsonl.2.gz", "token-usage-20260101.jsonl.zst"]
    others = ["requests.jsonl", "token-usage-by-turn.jsonl", "token-usage.md", "other.jsonl"]
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    for name in (*wanted, *others):
        (tmp_path / name).touch()
    (deep / "token-usage.jsonl").touch()
    found = find_files([str(tmp_path), STDIN, "/named/directly"], "token-usage", "token-usage-by-turn")
    assert sorted(found) == sorted(
        [*(str(tmp_path / name) for name in wanted), str(deep / "token-usage.jsonl"), STDIN, "/named/directly"]
    )


@pytest.mark.parametrize("form", FORMS)
def test_blocks_are_the_same_lines(form: str, tmp_path: Path) -> None:
    """Several at once, and never none."""
    path = tmp_path / "x"
    path.write_bytes(FORMS[form])
    blocks = list(Lines([str(path), str(path)]).blocks())
    assert list(chain(*blocks)) == TEXT.splitlines(keepends=True) * 2
    assert all(blocks)


@given(st.lists(st.integers(0, 40), max_size=12), st.booleans(), st.integers(1, 16))
def test_blocks_leave_out_what_lines_leave_out(lengths: list[int], ended: bool, size: int) -> None:
    """Whatever the lines are long, and wherever blocks end."""
    text = b"\n".join(bytes([65 + place]) * length for place, length in enumerate(lengths)) + (b"\n" if ended else b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_module, "LINE_MAX", 20)
        patch.setattr(lines_module, "BUFFER", size)
        one, other = (Lines([STDIN], io.BufferedReader(io.BytesIO(text))) for _ in range(2))
        found = [line for line in one if line.rstrip(b"\n")]
        again = [line for block in other.blocks() for line in block if line.rstrip(b"\n")]
    assert again == found
    assert other.too_long == one.too_long


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_blocks_of_a_cut_file(form: str, tmp_path: Path) -> None:
    """What is there is given, as lines are."""
    path = tmp_path / "x"
    path.write_bytes(FORMS[form][:-4])
    lines = Lines([str(path)])
    assert TEXT.startswith(b"".join(chain(*lines.blocks())))
    assert len(lines.troubles) == 1


def test_a_pipe_is_read_where_it_is_named(tmp_path: Path) -> None:
    """To its end, and without a complaint."""
    number, into = os.pipe()
    os.write(into, b"a\nb\n")
    os.close(into)
    lines = Lines([f"/dev/fd/{number}"])
    assert list(lines) == [b"a\n", b"b\n"] and lines.troubles == []
    os.close(number)


def test_what_only_waits_in_a_folder_is_not_read(tmp_path: Path) -> None:
    """A pipe among the files is told, and nobody waits for its writer."""
    os.mkfifo(tmp_path / "token-usage.jsonl")
    (tmp_path / "token-usage-2.jsonl").write_bytes(b"a\n")
    lines = Lines(find_files([str(tmp_path)], "token-usage", "\0"))
    assert list(lines) == [b"a\n"]
    assert lines.troubles == [f"{tmp_path}/token-usage.jsonl: not read: it is no regular file."]


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files are missing in the report."""
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.jsonl").write_bytes(b"a\n")
    look = os.scandir

    def closed(path: str) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return look(path)

    monkeypatch.setattr(os, "scandir", closed)
    lines = Lines(find_files([str(tmp_path)], "a", "\0"))
    assert list(lines) == [b"a\n"] and lines.troubles == [f"{tmp_path}/closed: not read: Permission denied."]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd.compress], ids=["plain", "gzip", "zstd"])
def test_a_byte_order_mark_costs_no_line(pack: Any, tmp_path: Path) -> None:
    """It is no part of the first line, packed or not."""
    path = tmp_path / "a"
    path.write_bytes(pack(b"\xef\xbb\xbfa\nb\n"))
    assert list(Lines([str(path)])) == [b"a\n", b"b\n"] == list(chain(*Lines([str(path)]).blocks()))
