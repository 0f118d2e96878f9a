"""The report as a whole: counted once, unknown as unknown, in every form."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.prices.price_list import open_price_list
from awfproxy.report.costs import Costs
from awfproxy.report.filters import Filters
from awfproxy.report.seen import Seen
from awfproxy.report.token_usage import TokenUsage, View, token_usage
from awfproxy.report.token_usage_forms import FORMS

PRICES = open_price_list()


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
    """Whole figures, at-least figures, unknown ones, and lines that explain them."""
    assert [" ".join(line.split()) for line in report.render("pretty").splitlines() if not line.startswith("─")] == [
        "provider model calls input cache read cache write output reasoning all tokens cache hits not exact",
        "openai gpt-4o 2 2,000 1,000 ≥0 40 ? 2,040 50.0% 0.0%",
        "anthropic claude 1 ? ? 0 7 ? ≥7 ? 100.0%",
        "total 3 ≥2,000 ≥1,000 ≥0 47 ? ≥2,047 50.0% 33.3%",
        "Calls of the hour of 2026-01-02 03:00, UTC.",
        "Calls by where their figures are from: 2 reported, 1 estimated.",
        "≥: some calls did not report this figure; ?: none did.",
    ]


def test_pretty_fits_a_terminal(report: TokenUsage) -> None:
    """Names, all tokens and the cost are the last to go."""
    text = report.render("pretty", View(width=40))
    assert max(map(len, text.splitlines()[:6])) <= 40
    assert text.splitlines()[0].split() == ["provider", "model", "calls", "all", "tokens"]


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
        "all_tokens": 7,
        "cache_hit_rate": None,
        "sources": {"estimated": 1},
        "unknown": {"input_tokens": 1, "cache_read_tokens": 1, "reasoning_tokens": 1},
    }
    total = body["total"]
    assert (total["calls"], total["input_tokens"], total["unknown"]["input_tokens"]) == (3, 2000, 1)
    assert (body["skipped_lines"], body["skipped"], body["duplicates"]) == (1, {"malformed": 1}, 1)


def test_csv(report: TokenUsage) -> None:
    """An unknown figure is an empty cell; the number of such calls has a column of its own."""
    rows = list(csv.DictReader(io.StringIO(report.render("csv"))))
    assert [row["model"] for row in rows] == ["gpt-4o", "claude"]
    assert [rows[1][name] for name in ("input_tokens", "input_tokens_unknown_calls", "estimated_calls")] == ["", "1", "1"]
    assert [rows[0][name] for name in ("input_tokens", "cache_write_tokens_unknown_calls", "all_tokens")] == [
        "2000", "1", "2040",
    ]  # fmt: skip


def test_markdown(report: TokenUsage) -> None:
    """Made for a step summary: the total first, the groups folded."""
    lines = report.render("markdown").splitlines()
    assert lines[0] == "### Token usage"
    assert lines[4] == "| 3 | ≥2,000 | ≥1,000 | ≥0 | 47 | ? | ≥2,047 | 50.0% | 33.3% |"
    assert lines[6:8] == ["<details>", "<summary>By provider, model: 2 groups</summary>"]
    assert lines[11] == "| `openai` | `gpt-4o` | 2 | 2,000 | 1,000 | ≥0 | 40 | ? | 2,040 | 50.0% | 0.0% |"


def test_remarks_tell_what_was_left_out(report: TokenUsage) -> None:
    """One sentence for each kind."""
    assert report.remarks.sentences() == [
        "1 line skipped: 1 not JSON.",
        "1 line left out: records of another kind.",
        "1 record met again under the same request_id, counted once.",
    ]


@pytest.mark.parametrize("form", FORMS)
def test_a_limit_leaves_the_total_whole(form: str, tmp_path: Path) -> None:
    """What is not told apart is one row, and in the total."""
    calls = (record(str(number), model=f"m{number}", input_tokens=1000 - number) for number in range(5))
    report = token_usage([write(tmp_path / "a.jsonl", *calls)], by=("model",))
    text = report.render(form, View(sort="input", limit=2))
    assert ("m1" in text, "m2" in text) == (True, False)
    assert (f'"calls": {3}' if form == "json" else "(3 more)") in text


def test_filters_leave_out_and_say_so(tmp_path: Path) -> None:
    """Labels that nobody groups by can still be asked for."""
    path = write(tmp_path / "a.jsonl", record("1", run="a"), record("2", run="b"), record("3"))
    report = token_usage([path], filters=Filters(members={"run": ["b"]}))
    assert report.overall.calls == 1
    assert json.loads(report.render("json"))["filters"] == {"run": ["b"]}


@pytest.mark.parametrize("costs", [False, True])
def test_the_json_is_as_published(costs: bool, tmp_path: Path) -> None:
    """docs/schemas/report-token-usage.json, with everything that can be in it."""
    calls: list[dict[str, Any] | str] = [
        record("1", model="gpt-4o"),
        record("2", model="nobody/knows-this-one", provider="generic", usage_source="partial"),
        record("3", unknown=["output_tokens"]),
        record("4", model="gpt-4o", usage={"service_tier": "scale"}),
        "{broken",
        {"event": "token_usage"},
        record("5", input_tokens=-1),
    ]
    report = token_usage(
        [write(tmp_path / "a.jsonl", *calls), "/nonexistent"],
        by=("model", "run", "day"),
        costs=Costs(open_price_list(), 0.0) if costs else None,
        filters=Filters(since="2026-01-01T00:00:00.000Z", model=["*"]),
    )
    schema = json.loads((Path(__file__).parents[2] / "docs/schemas/report-token-usage.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    for view in (View(), View(limit=1)):
        body = json.loads(report.render("json", view))
        jsonschema.Draft202012Validator(schema).validate(body)
        assert ("others" in body) == (view.limit is not None)
        assert ("prices" in body) == costs


def test_a_record_counts_once_over_all_files(tmp_path: Path) -> None:
    """A rotated file and its copy, and the file named twice."""
    one = write(tmp_path / "token-usage.jsonl", record("1"), record("2"))
    write(tmp_path / "token-usage.jsonl.1", record("2"), record("3"))
    report = token_usage([str(tmp_path), one])
    assert (report.overall.calls, report.remarks.duplicates) == (3, 3)


def test_records_without_an_id_all_count(tmp_path: Path) -> None:
    """Without an id nothing says that they are the same."""
    path = write(tmp_path / "a.jsonl", *(record("1") | {"request_id": None} for _ in range(3)))
    assert token_usage([path]).overall.calls == 3


def test_by_nothing_is_one_row(tmp_path: Path) -> None:
    """A single group, and no total that repeats it."""
    report = token_usage([write(tmp_path / "a.jsonl", record("1"))], by=())
    assert len(report.render("csv").splitlines()) == 2
    assert "total" not in report.render("pretty").split()


@pytest.mark.parametrize("form", FORMS)
def test_no_control_character_gets_out_in_any_form(form: str, tmp_path: Path) -> None:
    """Neither from names nor from what else a record says."""
    evil = "\x1b[2J\u202e\x9b=1"
    fields = dict.fromkeys(("provider", "model", "usage_source", "port", "outcome"), evil)
    path = write(tmp_path / "a.jsonl", record("1", **fields))
    text = token_usage([path], by=("provider", "model", "port", "outcome")).render(form)
    assert text.replace("\r\n", "").replace("\n", "").isprintable()


def test_nothing_found(tmp_path: Path) -> None:
    """An empty folder has no usage, and every form can still be drawn."""
    report = token_usage([str(tmp_path)])
    assert not report.found
    assert all(report.render(form) for form in FORMS)


LINES = st.lists(
    st.sampled_from(
        [
            json.dumps(record("1")),
            json.dumps(record("2", model="m", run="r")),
            json.dumps(record("3", usage={"service_tier": "priority"})),
            json.dumps(record("4", input_tokens=400_000, model="gpt-5.4")),
            json.dumps(record("5", provider="anthropic", model="claude-sonnet-4-5", input_tokens=300_000)),
            json.dumps(record("6") | {"request_id": None}),
            json.dumps(record("9", input_tokens=400_000, model="gpt-5.4") | {"cache_read_tokens": None}),
            "{}{}",
            "{",
            "}",
            json.dumps(record("8")) + "\r",
            "{broken",
            "",
            " ",
            "{}",
            json.dumps({"event": "request"}),
            json.dumps(record("7", output_tokens=-1)),
        ]
    ),
    max_size=30,
)


@given(LINES, st.booleans(), st.booleans())
def test_many_lines_at_once_are_the_same_as_each(several: list[str], ended: bool, priced: bool) -> None:
    """Whatever stands among them: the report, its costs, and what was left out."""
    text = "\n".join(several).encode() + (b"\n" if ended else b"")
    reports = []
    for blocks in (True, False):
        costs = Costs(PRICES, 0.0) if priced else None
        report = TokenUsage(("model", "run"), costs)
        if blocks:
            report.read(["-"], io.BufferedReader(io.BytesIO(text)), None)
        else:
            take = report.taker(Seen())
            for line in text.split(b"\n"):
                reason = take(line)
                if reason is not None and not line.isspace() and line:
                    report.remarks.count(reason)
            report.grouped.settle()
        reports.append(report.render("json"))
    assert reports[0] == reports[1]
