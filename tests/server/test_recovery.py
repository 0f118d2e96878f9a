"""What a crash between the two appends leaves, and what the next start makes of it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from awfproxy.core.hint_fields import Hints
from awfproxy.core.records import RequestRecord, encode, timestamp, token_usage
from awfproxy.server import recovery
from awfproxy.server.recovery import recover


def call(number: int, source: Any = "estimated", **more: Any) -> RequestRecord:
    """The request record of call ``number``, which ended in second ``number``."""
    fields: dict[str, Any] = {"path": "/v1/x", "status": 200, "streaming": True, "model": "m", "request_bytes": 5}
    return RequestRecord(
        timestamp(float(number)), f"id-{number}", "openai", "openai", "complete", source, 1.5, **(fields | more)
    )


def usage_line(record: RequestRecord) -> bytes:
    """Its line in token-usage.jsonl."""
    usage = token_usage(record, None, estimate=(1, 2))
    assert usage is not None
    return encode(usage)


class Folder:
    """A log directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.usage = path / "token-usage.jsonl"
        self.requests = path / "requests.jsonl"

    def write(self, usage: list[int], requests: list[int], name: str = "requests.jsonl") -> None:
        """Lines of these calls."""
        if usage:
            self.usage.write_bytes(b"".join(usage_line(call(number)) for number in usage))
        (self.path / name).write_bytes(b"".join(encode(call(number)) for number in requests))

    def recovered(self) -> list[str]:
        """The ids of what is added."""
        found = recover(str(self.usage), str(self.requests))
        return [json.loads(line)["request_id"] for line in found.lines]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An empty one."""
    return Folder(tmp_path)


def test_nothing_is_missing_in_a_new_folder(folder: Folder) -> None:
    """The first start."""
    assert folder.recovered() == []


def test_nothing_is_added_after_a_clean_end(folder: Folder) -> None:
    """Both files whole."""
    folder.write([1, 2, 3], [1, 2, 3, 4])
    assert folder.recovered() == []


def test_lines_that_the_crash_kept_from_the_second_file_are_added(folder: Folder) -> None:
    """All of the last batch, in order, and once: the next start finds them."""
    folder.write([1, 2, 3], [1])
    assert folder.recovered() == ["id-2", "id-3"]
    found = recover(str(folder.usage), str(folder.requests))
    with folder.requests.open("ab") as file:
        file.writelines(found.lines)
    assert folder.recovered() == []


def test_the_added_line_says_what_the_usage_line_said(folder: Folder) -> None:
    """And that it was added; what only the lost line knew is absent."""
    record = call(1, user="u", attempts=2, admitted_at=timestamp(0.5), x_initiator="agent", client_request_id="c")
    folder.usage.write_bytes(usage_line(record))
    (line,) = recover(str(folder.usage), str(folder.requests)).lines
    record.recovered = True
    assert json.loads(line) == json.loads(encode(record))


def test_the_added_line_says_which_work_was_counted(folder: Folder) -> None:
    """Else the work in the background would be counted again after the crash."""
    usage = token_usage(call(1), None, estimate=(1, 2), hints=Hints(response_id_hash="0123456789abcdef"))
    assert usage is not None
    folder.usage.write_bytes(encode(usage))
    (line,) = recover(str(folder.usage), str(folder.requests)).lines
    assert json.loads(line)["response_id_hash"] == "0123456789abcdef"


def test_a_status_that_was_never_seen_stays_unsaid(folder: Folder) -> None:
    """The stand-in of the usage line is not copied."""
    folder.usage.write_bytes(usage_line(call(1, status=None)))
    (line,) = recover(str(folder.usage), str(folder.requests)).lines
    assert "status" not in json.loads(line)


def test_a_usage_line_older_than_the_tail_is_not_taken_for_missing(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its request line is further up than anybody looks: thousands of requests without tokens came since."""
    monkeypatch.setattr(recovery, "TAIL_BYTES", 4096)
    folder.write([1, 90, 100], list(range(1, 90)))
    assert folder.recovered() == ["id-90", "id-100"]


def test_after_a_rotation_the_rotated_file_is_asked(folder: Folder) -> None:
    """requests.jsonl alone was rotated: its calls are not missing."""
    folder.write([1, 2, 3], [])
    folder.write([], [1, 2], "requests.jsonl.1")
    assert folder.recovered() == ["id-3"]


def test_the_newest_rotated_file_is_asked_first(folder: Folder) -> None:
    """By time of change, because names say different things in different schemes."""
    folder.write([5, 6], [])
    folder.write([], [5], "requests.jsonl-20260102")
    folder.write([], [1], "requests.jsonl-20260101")
    os.utime(folder.path / "requests.jsonl-20260101", (1, 1))
    assert folder.recovered() == ["id-6"]


def test_what_cannot_be_told_is_said_and_not_guessed(folder: Folder) -> None:
    """The rotated file is compressed: nothing is added twice, and the log tells."""
    folder.write([1, 2], [])
    (folder.path / "requests.jsonl.1.gz").write_bytes(b"\x1f\x8b")
    found = recover(str(folder.usage), str(folder.requests))
    assert found.lines == []
    assert found.unsure == "requests.jsonl.1.gz is compressed: 2 usage lines were not checked"


def test_a_compressed_file_does_not_matter_where_the_open_one_reaches_back(folder: Folder) -> None:
    """The usual start: yesterday's file is compressed, today's has all that counts."""
    folder.write([2, 3], [1, 2])
    (folder.path / "requests.jsonl.1.gz").write_bytes(b"\x1f\x8b")
    found = recover(str(folder.usage), str(folder.requests))
    assert [json.loads(line)["request_id"] for line in found.lines] == ["id-3"]
    assert found.unsure is None


def test_torn_and_foreign_lines_are_passed_over(folder: Folder) -> None:
    """A line that does not parse was never acknowledged; other programs' lines are theirs."""
    folder.write([1, 2], [1])
    for path in (folder.usage, folder.requests):
        path.write_bytes(b'{"half": \n[]\n\xff\xfe\n' + path.read_bytes() + b'{"torn": "\n')
    assert folder.recovered() == ["id-2"]


def test_no_more_is_looked_at_than_a_batch(folder: Folder) -> None:
    """Older lines cannot be missing."""
    folder.write(list(range(1, 401)), [1])
    assert len(folder.recovered()) == recovery.BATCH_LINES


def test_every_worker_may_have_left_a_batch(folder: Folder) -> None:
    """As many lines are looked at as all of them can have left."""
    count = recovery.BATCH_LINES + 40
    folder.write(list(range(count)), [])
    assert len(recover(str(folder.usage), str(folder.requests)).lines) == recovery.BATCH_LINES
    assert len(recover(str(folder.usage), str(folder.requests), processes=2).lines) == count


def test_what_others_complete_meanwhile_is_not_missing(folder: Folder) -> None:
    """A worker was killed: of what lacked its line then, only that which lacks it still is added."""
    folder.write([1, 2, 3], [1])
    begun = recovery.last_batches(str(folder.usage), 2)
    with folder.requests.open("ab") as others:
        others.write(encode(call(3)))
    found = recovery.lacking(begun, str(folder.requests), 2)
    assert [json.loads(line)["request_id"] for line in found.lines] == ["id-2"]
