"""What is told from ``requests.jsonl`` of work that goes on: what was begun there, and not ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from awfproxy.core.records import RequestRecord, encode
from awfproxy.server import unfinished as module
from awfproxy.server.unfinished import unfinished


def line(work: str | None, reason: str | None, port: str = "openai") -> bytes:
    """The line of one request."""
    source: Any = "reported" if reason is None else "none"
    record = RequestRecord("2026-01-01T00:00:00.000Z", "id", "openai", port, "complete", source, 1.0)
    record.usage_reason = reason
    record.response_id_hash = work
    return encode(record)


BEGUN, ENDED, ENDED_WITHOUT = "background", None, "no-usage-in-answer"


def test_begun_and_not_ended(tmp_path: Path) -> None:
    """Each port's, oldest first; other lines say nothing."""
    path = tmp_path / "requests.jsonl"
    path.write_bytes(
        line("a", BEGUN) + line(None, ENDED) + line("b", BEGUN) + line("a", ENDED) + line("c", BEGUN)
        + line("b", BEGUN, "azure") + line("d", BEGUN) + line("d", ENDED_WITHOUT) + line("e", ENDED)
    )  # fmt: skip
    assert unfinished(str(path)) == {"openai": ["b", "c"], "azure": ["b"]}


def test_there_is_no_file(tmp_path: Path) -> None:
    """A first start."""
    assert unfinished(str(tmp_path / "requests.jsonl")) == {}


def test_lines_that_are_none(tmp_path: Path) -> None:
    """Torn ones, other programs', and text that looks like ours inside a string."""
    path = tmp_path / "requests.jsonl"
    torn = line("t", BEGUN)[:-20]
    path.write_bytes(
        b'{"response_id_hash":"x"}\n' + b"\xff\x00 \"response_id_hash\":\"y\"\n" + line("a", BEGUN) + torn
    )
    assert unfinished(str(path)) == {"openai": ["a"]}


def test_after_a_rotation(tmp_path: Path) -> None:
    """What the file was before is read first, unless it is compressed."""
    path = tmp_path / "requests.jsonl"
    (tmp_path / "requests.jsonl.1").write_bytes(line("a", BEGUN) + line("b", BEGUN))
    path.write_bytes(line("b", ENDED))
    assert unfinished(str(path)) == {"openai": ["a"]}
    (tmp_path / "requests.jsonl.1").rename(tmp_path / "requests.jsonl.1.gz")
    assert unfinished(str(path)) == {}


def test_only_the_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of any size costs the same."""
    monkeypatch.setattr(module, "TAIL_BYTES", 2000)
    path = tmp_path / "requests.jsonl"
    path.write_bytes(line("old", BEGUN) + line(None, ENDED) * 20 + line("new", BEGUN))
    assert unfinished(str(path)) == {"openai": ["new"]}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=20))
def test_the_last_word_counts(tmp_path: Path, steps: list[tuple[str, bool]]) -> None:
    """Law: what is found is what a set says that follows the lines."""
    path = tmp_path / "requests.jsonl"
    path.write_bytes(b"".join(line(name, BEGUN if begins else ENDED) for name, begins in steps))
    going = {name for name, begins in dict(steps).items() if begins}
    assert set(unfinished(str(path)).get("openai", [])) == going
