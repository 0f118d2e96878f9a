"""The calls of several files, in the order of time, and never more of them at once than said."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from awfproxy.report.analysis import in_order
from awfproxy.report.analysis.in_order import InOrder
from awfproxy.report.analysis.steps import Reader
from awfproxy.report.filters import Filters
from awfproxy.report.reading import Remarks
from awfproxy.report.seen import Seen
from tests.report.analysis.traffic import START, Agent, Record, iso, refused, write


def read(paths: list[str]) -> tuple[list[str], InOrder]:
    remarks = Remarks()
    calls = InOrder(paths, Reader(None, Filters(), Seen(), remarks), remarks)
    return [step.row.request_id or "" for step in calls], calls


def at(second: float, name: str) -> Record:
    record = Agent(random.Random(1)).call()
    return record | {"timestamp": iso(START + second), "request_id": name}


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 4)), max_size=60), st.integers(1, 30))
def test_files_are_merged_by_time(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[int, int]], late: int
) -> None:
    """Within a file records may be late by some places; between files by any time."""
    folder = tmp_path_factory.mktemp("records")
    records = [(at(second, f"{number:03d}"), file) for number, (second, file) in enumerate(calls)]
    paths = []
    for file in range(5):
        own = sorted((record for record, its in records if its == file), key=lambda each: str(each["timestamp"]))
        place = random.Random(late)
        own = [record for _, record in sorted(((n + place.uniform(0, late), record) for n, record in enumerate(own)), key=lambda each: each[0])]
        paths.append(write(folder / f"{file}.jsonl", own))
    wanted = sorted(records, key=lambda each: (each[0]["timestamp"], each[0]["request_id"]))
    found, order = read(paths)
    assert found == [record["request_id"] for record, _ in wanted]
    assert order.out_of_order == 0


def test_what_is_far_from_its_place_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told all the same."""
    monkeypatch.setattr(in_order, "WINDOW", 4)
    records = [at(number, f"{number:03d}") for number in range(40)]
    path = write(tmp_path / "a.jsonl", [*records[5:], *records[:5]])
    found, order = read([path])
    assert sorted(found) == [record["request_id"] for record in records]
    assert 1 <= order.out_of_order <= 5


def test_rotated_files_are_open_one_after_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A year of them needs one at a time, and no more than so many are ever open."""
    paths = []
    for number in range(30):
        paths.append(write(tmp_path / f"{30 - number}.jsonl", [at(100 * number + n, f"{number}-{n}") for n in range(3)]))
    most = 0
    push = InOrder._push

    def counted(self: InOrder, running: list[object], calls: object) -> None:
        nonlocal most
        push(self, running, calls)  # type: ignore[arg-type]
        most = max(most, len(running))

    monkeypatch.setattr(InOrder, "_push", counted)
    found, _ = read(paths)
    assert len(found) == 90 and most == 1
    together = [write(tmp_path / f"b{number}.jsonl", [at(0, f"b{number}")]) for number in range(9)]
    monkeypatch.setattr(in_order, "OPEN_MAX", 4)
    most = 0
    found, _ = read(together)
    assert len(found) == 9 and most == 4


def test_other_lines_are_passed_on_or_counted(tmp_path: Path) -> None:
    """Requests go to whoever wants them, what is no record is counted by its reason."""
    path = tmp_path / "mixed.jsonl"
    write(path, [refused("r1", START), at(1, "a"), at(2, "a")])
    with path.open("ab") as file:
        file.write(b'{"torn\n\n{"event":"other"}\n' + b"x" * (2 * 1024 * 1024) + b"\n")
    others: list[bytes] = []
    remarks = Remarks()

    def take(line: bytes) -> bool:
        others.append(line)
        return b"refusal" in line

    calls = InOrder([str(path)], Reader(None, Filters(), Seen(), remarks), remarks, other=take)
    assert [step.row.request_id for step in calls] == ["a"]
    assert len(others) == 2
    assert (remarks.duplicates, remarks.too_long, remarks.bad) == (1, 1, {"malformed": 1, "other": 1})
