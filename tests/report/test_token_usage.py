"""The report as a whole: counted once, unknown as unknown, in every form."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from awfproxy.report.token_usage import FORMS, TokenUsage, token_usage


def write(path: Path, *records: dict[str, Any] | str) -> str:
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in records))
    return str(path)


def record(request_id: str, **fields: Any) -> dict[str, Any]:
    return {
        "event": "token_usage",
        "timestamp": "2026-01-02T03:04:05.678Z",
        "request_id": request_id,
        "provider": "openai",
        "model": "gpt-4o",
        "input_tokens": 1000,
        "output_tokens": 20,
        "cache_read_tokens": 500,
        "cache_write_tokens": 0,
        **fields,
    }


@pytest.fixture
def report(tmp_path: Path) -> TokenUsage:
    """Two calls of one model, one of which does not know its cache writes; one estimated call of another."""
    path = write(
        tmp_path / "token-usage.jsonl",
        record("1"),
        record("2", unknown=["cache_write_tokens"]),
        record(
            "3",
            provider="anthropic",
            model="claude",
            input_tokens=0,
            output_tokens=7,
            cache_read_tokens=0,
            usage_source="estimated",
            unknown=["input_tokens", "cache_read_tokens"],
        ),
        record("2"),
        "{broken",
        {"event": "request", "request_id": "3"},
    )
    return token_usage([path])


def test_pretty(report: TokenUsage) -> None:
    """Whole figures, at-least figures, unknown ones, and a line that explains them."""
    assert [" ".join(line.split()) for line in report.render("pretty").splitlines() if not line.startswith("─")] == [
        "provider model calls input output cache read cache write reasoning all tokens cache hits",
        "openai gpt-4o 2 2,000 40 1,000 ≥0 ? 2,040 50.0%",
        "anthropic claude 1 ? 7 ? 0 ? ? ?",
        "total 3 ≥2,000 47 ≥1,000 ≥0 ? ≥2,040 50.0%",
        "Figures by source: 1 estimated, 2 reported. ≥: some calls did not report this figure; ?: none did.",
    ]


def test_json(report: TokenUsage) -> None:
    """Numbers as numbers; unknown is null, and how many calls it stands for is beside it."""
    body = json.loads(report.render("json"))
    assert body["by"] == ["provider", "model"]
    assert body["groups"][1] == {
        "group": {"provider": "anthropic", "model": "claude"},
        "calls": 1,
        "input_tokens": None,
        "output_tokens": 7,
        "cache_read_tokens": None,
        "cache_write_tokens": 0,
        "reasoning_tokens": None,
        "all_tokens": None,
        "cache_hit_rate": None,
        "sources": {"estimated": 1},
        "unknown": {"input_tokens": 1, "cache_read_tokens": 1, "reasoning_tokens": 1},
    }
    assert (body["total"]["calls"], body["total"]["input_tokens"], body["total"]["unknown"]["input_tokens"]) == (
        3,
        2000,
        1,
    )
    assert (body["skipped_lines"], body["duplicates"]) == (1, 1)


def test_csv(report: TokenUsage) -> None:
    """An unknown figure is an empty cell; the number of such calls has a column of its own."""
    rows = list(csv.DictReader(io.StringIO(report.render("csv"))))
    assert [row["model"] for row in rows] == ["gpt-4o", "claude"]
    assert (rows[1]["input_tokens"], rows[1]["input_tokens_unknown_calls"], rows[1]["estimated_calls"]) == (
        "",
        "1",
        "1",
    )
    assert (rows[0]["input_tokens"], rows[0]["cache_write_tokens_unknown_calls"], rows[0]["all_tokens"]) == (
        "2000",
        "1",
        "2040",
    )


def test_markdown(report: TokenUsage) -> None:
    """The same figures, made for a step summary."""
    lines = report.render("markdown").splitlines()
    assert lines[2] == "| `openai` | `gpt-4o` | 2 | 2,000 | 40 | 1,000 | ≥0 | ? | 2,040 | 50.0% |"
    assert lines[4].startswith("| **total** |  | **3** |")


def test_remarks_tell_what_was_left_out(report: TokenUsage) -> None:
    """One sentence for each kind."""
    assert report.remarks() == [
        "1 line skipped: not readable as usage records.",
        "1 line left out: records of another kind.",
        "1 record met again under the same request_id, counted once.",
    ]


def test_a_record_counts_once_over_all_files(tmp_path: Path) -> None:
    """A rotated file and its copy, and the file named twice."""
    one = write(tmp_path / "token-usage.jsonl", record("1"), record("2"))
    write(tmp_path / "token-usage.jsonl.1", record("2"), record("3"))
    report = token_usage([str(tmp_path), one])
    assert (report.grouped.overall.calls, report.duplicates) == (3, 3)


def test_records_without_an_id_all_count(tmp_path: Path) -> None:
    """Without an id nothing says that they are the same."""
    path = write(tmp_path / "a.jsonl", *(record("1") | {"request_id": None} for _ in range(3)))
    assert token_usage([path]).grouped.overall.calls == 3


def test_by_nothing_is_one_row(tmp_path: Path) -> None:
    """A single group, and no total that repeats it."""
    report = token_usage([write(tmp_path / "a.jsonl", record("1"))], by=())
    assert len(report.render("csv").splitlines()) == 2
    assert "total" not in report.render("pretty")


@pytest.mark.parametrize("form", FORMS)
def test_no_control_character_gets_out_in_any_form(form: str, tmp_path: Path) -> None:
    """Neither from names nor from what else a record says."""
    evil = "\x1b[2J\u202e\x9b=1"
    fields = dict.fromkeys(("provider", "model", "usage_source", "port", "outcome"), evil)
    path = write(tmp_path / "a.jsonl", record("1", **fields))
    text = token_usage([path], by=("provider", "model", "port", "outcome")).render(form)
    assert text.replace("\n", "").isprintable()


def test_nothing_found(tmp_path: Path) -> None:
    """An empty folder has no usage, and every form can still be drawn."""
    report = token_usage([str(tmp_path)])
    assert not report.found
    assert all(report.render(form) for form in FORMS)
