"""The soak of `bench`, in its short form; and that it would tell: each of its laws can be broken."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench.soak import report, soak
from bench.soak_clients import Call
from bench.soak_laws import (
    DYING,
    GROWTH_BYTES,
    GROWTH_FILES,
    ON_ITS_WAY,
    Journal,
    Sample,
    broken_by_growth,
    broken_by_records,
    read_journal,
    without_record,
)
from bench.soak_traffic import KINDS
from tests.processes import once

#: seconds of traffic; the rest is starting, stopping and counting
SECONDS = 12.0


@once
@pytest.mark.parametrize("workers", [2])
def test_a_short_soak(tmp_path: Path, workers: int) -> None:
    """Kills, rotations and reloads under all kinds of traffic: no law is broken."""
    with ThreadPoolExecutor(1) as pool:  # its event loop is not the test's
        found = pool.submit(soak, tmp_path, SECONDS, workers, clients=20, seed=1, tell=False).result()
    print(report(found))
    assert not found.broken, "\n".join(found.broken[:20])
    assert found.kills
    assert found.rotations
    assert found.reloads
    assert sum(call.whole for call in found.calls) > 100
    assert {call.kind.name for call in found.calls if call.sent} > {"stall", "reset", "client leaves"}


def seen(name: str, **more: object) -> Call:
    """A call that came whole between seconds 10 and 11."""
    call = Call(name, KINDS[0], 10.0, 11.0, sent=True, status=200, request_id=f"id-{name}", whole=True)
    for field, value in more.items():
        setattr(call, field, value)
    return call


def kept(*names: str, usages: bool = True) -> Journal:
    """A journal with the lines of these calls."""
    journal = Journal()
    for name in names:
        journal.requests[f"id-{name}"] += 1
        journal.names[f"id-{name}"] = name
        if usages:
            journal.usages[f"id-{name}"] += 1
    return journal


def test_a_soak_in_which_all_was_well() -> None:
    """Whole answers with both lines, refusals with one, cut ones that a kill explains."""
    cut = seen("c", whole=False, status=None, request_id=None)
    journal = kept("a")
    journal.requests["id-b"], journal.names["id-b"] = 1, "b"
    unheard = seen("d", whole=False, status=None, request_id=None)
    assert broken_by_records([seen("a"), seen("b", status=503), cut], [11.0], journal) == []
    assert broken_by_records([unheard], [10.0 - DYING / 2], journal) == []
    assert without_record([seen("a"), cut], journal) == 1


@pytest.mark.parametrize(
    ("calls", "kills", "journal", "words"),
    [
        ([seen("a")], [10.5], kept(), "its end was seen, and there is no record"),
        ([seen("a")], [], kept("a", usages=False), "there is no usage line"),
        ([seen("a", whole=False)], [], kept(), "no process was killed under it"),
        ([seen("a", whole=False)], [9.0, 11.5 + ON_ITS_WAY], kept(), "no process was killed under it"),
        ([seen("a", whole=False)], [9.9], kept(), "no process was killed under it"),
        ([seen("a")], [], kept("a", "a"), "2 lines"),
    ],
)
def test_records_that_are_missing_or_doubled_are_found(
    calls: list[Call], kills: list[float], journal: Journal, words: str
) -> None:
    """Each in words that name the call."""
    assert any(words in each for each in broken_by_records(calls, kills, journal))


def test_a_usage_line_alone_is_found() -> None:
    """What recovery is there to prevent."""
    journal = kept()
    journal.usages["id-x"] = 1
    assert broken_by_records([], [], journal) == ["id-x has a usage line alone"]


def test_rotated_and_torn_lines_are_read(tmp_path: Path) -> None:
    """All files of the folder count, and a torn line is none."""
    line = '{"request_id":"%s","client_request_id":"a","outcome":"complete","usage_source":"none"}\n'
    (tmp_path / "requests.jsonl").write_text(line % "1" + '{"torn\n\n')
    (tmp_path / "requests.jsonl.1").write_text(line % "2")
    (tmp_path / "token-usage.jsonl.1").write_text('{"request_id":"2"}\n')
    journal = read_journal(tmp_path)
    assert (set(journal.requests), set(journal.usages), journal.torn) == ({"1", "2"}, {"2"}, 1)


def samples(resident: list[int], files: list[int]) -> list[Sample]:
    """One process, a sample each minute; and one that died early."""
    lives = [Sample(60.0 * at, "0", 7, *each) for at, each in enumerate(zip(resident, files, strict=True))]
    return [*lives, Sample(60.0, "1", 8, 1, 1)]


def test_growth_is_found_and_the_beginning_does_not_count() -> None:
    """Caches fill in the first half; what grows in the second goes on growing."""
    flat = [10**8] * 10
    assert broken_by_growth(samples([10**7, *flat[1:]], [40] * 10)) == []
    assert broken_by_growth(samples([*flat[:7], *([10**8 + GROWTH_BYTES + 1] * 3)], [40] * 10))
    assert broken_by_growth(samples(flat, [*[40] * 7, *[41 + GROWTH_FILES] * 3]))
    assert broken_by_growth(samples(flat[:3], [40, 80, 160])) == []
