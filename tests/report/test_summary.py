"""The summary: every request once, and the same figures in every form."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.records import RequestRecord, encode
from awfproxy.report.figures import share
from awfproxy.report.summary import Summary, read_request, summary
from awfproxy.report.summary_forms import FORMS, milliseconds, size
from awfproxy.report.token_usage import View
from tests.report.test_token_usage import record, write

SCHEMAS = Path(__file__).parents[2] / "docs/schemas"


def request(request_id: str, **fields: Any) -> dict[str, Any]:
    return {
        "_schema": "requests/v1.0.0",
        "event": "request",
        "timestamp": "2026-01-02T03:04:05.678Z",
        "request_id": request_id,
        "provider": "openai",
        "port": "a",
        "outcome": "complete",
        "usage_source": "reported",
        "duration_ms": 100.0,
        "ttfb_ms": 10.0,
        "status": 200,
        "request_bytes": 1000,
        "response_bytes": 2000,
        **fields,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three requests, one refused and one cut; one usage; a duplicate and a broken line."""
    write(
        tmp_path / "requests.jsonl",
        request("1"),
        request("2", outcome="refused", status=429, refusal="rate_limit_error", refusal_code="rpm", usage_source="none",
                usage_reason="not-sent", duration_ms=0.1, ttfb_ms=0.1),
        request("1"),
        "{broken",
    )  # fmt: skip
    write(
        tmp_path / "requests.jsonl.1",
        request("3", port="b", outcome="upstream_cut", reason="reset", duration_ms=300.0, usage_source="partial",
                usage_reason="upstream_cut"),
    )  # fmt: skip
    write(tmp_path / "token-usage.jsonl", record("1", port="a"))
    return tmp_path


def test_reads_both_files_of_a_folder(folder: Path) -> None:
    """Requests and usage of the same id are no duplicates of each other."""
    report = summary([str(folder)])
    assert (report.whole.requests, report.whole.complete, report.whole.refused) == (3, 1, 1)
    assert (report.usage.overall.calls, report.usage.overall.total.known) == (1, 1020)
    assert (report.remarks.duplicates, report.remarks.reasons()) == (1, {"malformed": 1})
    assert report.outcomes.largest() == [("complete", 1), ("refused", 1), ("upstream_cut", 1)]
    assert report.refusals.largest() == [("rpm", 1)]
    assert report.reasons.largest() == [("reset", 1)]


def test_refused_means_the_outcome(tmp_path: Path) -> None:
    """What was no request is a bad one: the word means the same in ports as in outcomes, in every form."""
    outcomes = ["refused"] * 3 + ["bad_request"] * 2 + ["complete"]
    path = write(
        tmp_path / "requests.jsonl",
        *(request(str(number), port=f"p{number % 2}", outcome=outcome) for number, outcome in enumerate(outcomes)),
    )
    report = summary([path])
    body = json.loads(FORMS["json"](report, View()))
    for part in (body["total"], *body["ports"]):
        assert part["duration_ms"]["count"] == part["requests"] - part["refused"] - part["bad_requests"]
    for name, outcome in (("refused", "refused"), ("bad_requests", "bad_request")):
        assert body["total"][name] == body["outcomes"][outcome] == sum(port[name] for port in body["ports"])
    (total,) = (line for line in FORMS["pretty"](report, View()).splitlines() if line.startswith("total "))
    assert total.split()[:5] == ["total", "6", "16.7%", "3", "2"]


def test_times_are_those_of_calls_that_were_let_in(folder: Path) -> None:
    """A refusal takes no time, and a thousand of them would hide what the others take."""
    durations = summary([str(folder)]).durations["duration_ms"]
    assert (durations.count, durations.greatest) == (2, 300.0)
    assert durations.at(0.5) == pytest.approx(100, rel=0.01)


def test_order_of_lines_does_not_matter(tmp_path: Path) -> None:
    """Requests and usage in one stream, mixed as they come."""
    lines = [request("1"), record("1"), record("2"), request("2"), request("3"), record("3")]
    bodies = []
    for number, order in enumerate((lines, lines[::-1])):
        path = write(tmp_path / f"{number}.jsonl", *order)
        bodies.append(FORMS["json"](summary([path]), View()))
    assert bodies[0] == bodies[1]


def test_reads_a_request_as_the_proxy_writes_it() -> None:
    """The writer's own encoder on one side, the reader on the other."""
    written = RequestRecord("2026-01-02T03:04:05.678Z", "r1", "openai", "a", "refused", "none", 1.5)
    written.refusal_code = "hard-cap-exceeded"
    read = read_request(encode(written))
    assert not isinstance(read, str)
    assert (read.port, read.outcome, read.refusal_code, read.duration_ms) == ("a", "refused", "hard-cap-exceeded", 1.5)


@given(st.binary())
def test_any_bytes_have_an_answer(data: bytes) -> None:
    """Nothing raises."""
    report = Summary()
    for line in (data, b'{"event":"request","port":"' + data + b'"}'):
        found = read_request(line)
        if not isinstance(found, str):
            report.add(found)
    assert all(form(report, View()) for form in FORMS.values())


def test_the_json_is_as_published(folder: Path) -> None:
    """docs/schemas/report-summary.json, also where there is nothing but usage."""
    schema, usage = (json.loads((SCHEMAS / f"report-{name}.json").read_text()) for name in ("summary", "token-usage"))
    assert schema["$defs"]["consumption"] == usage["$defs"]["consumption"]
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for paths in ([str(folder)], [str(folder / "token-usage.jsonl")], [str(folder / "requests.jsonl")]):
        validator.validate(json.loads(FORMS["json"](summary(paths), View())))


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.name)
def test_a_schema_needs_no_other_file(path: Path) -> None:
    """Whoever has one can use it."""
    assert all(reference.startswith("#/") for reference in re.findall(r'"\$ref": "([^"]*)"', path.read_text()))


def test_csv_is_in_long_form(folder: Path) -> None:
    """A figure a row; numbers are numbers."""
    rows = list(csv.DictReader(io.StringIO(FORMS["csv"](summary([str(folder)]), View()))))
    found = {(row["table"], row["row"], row["figure"]): row["value"] for row in rows}
    assert found["total", "", "requests"] == "3"
    assert found["ports", "b", "duration_ms.max"] == "300.0"
    assert found["refusals", "rpm", "requests"] == "1"
    assert found["tokens", "", "all_tokens"] == "1020"


def test_pretty_tells_what_people_ask(folder: Path) -> None:
    """A line first, then a table for each question, then the tokens."""
    text = FORMS["pretty"](summary([str(folder)]), View(width=100))
    assert text.startswith("3 requests, 33.3% complete, 2.9 KiB received, 5.9 KiB answered.\n")
    for title in ("Outcomes", "Refused and bad requests", "Statuses", "Times, without refused and bad requests", "Ports", "Tokens"):
        assert f"\n{title}\n\n" in text


def test_usage_alone_is_said(folder: Path) -> None:
    """AWF writes no requests."""
    text = FORMS["pretty"](summary([str(folder / "token-usage.jsonl")]), View())
    assert "no records of requests" in text
    assert "Outcomes" not in text


@pytest.mark.parametrize("form", sorted(FORMS))
def test_no_text_of_a_record_does_anything(form: str, tmp_path: Path) -> None:
    """Neither in a terminal nor in markdown nor in a spreadsheet."""
    evil = "=\x1b[2J\u202e|<img src=x>@team `x`\n"
    fields = dict.fromkeys(("port", "outcome", "refusal_code", "reason", "usage_source", "usage_reason"), evil)
    path = write(tmp_path / "a.jsonl", request("1", **fields), record("1", port=evil, model=evil))
    text = FORMS[form](summary([path]), View(width=80 if form == "pretty" else None))
    assert text.replace("\r\n", "").replace("\n", "").isprintable()
    if form == "csv":
        cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
        assert not any(cell.startswith(("=", "@")) for cell in cells)
    if form == "markdown":
        rows = [line for line in text.splitlines() if "team" in line]
        assert rows
        assert all(line.startswith("| `") and line.count("`") == 2 for line in rows)


def test_names_without_end_take_no_memory() -> None:
    """Ports and codes that somebody makes up are counted together."""
    report = Summary()
    for number in range(3000):
        found = read_request(json.dumps(request(str(number), port=f"p{number}", refusal_code=f"c{number}")).encode())
        assert not isinstance(found, str)
        report.add(found)
    assert len(report.ports) == len(report.refusals.largest()) == 1001
    assert dict(report.refusals.largest())["(others)"] == 2000


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "?"), (0.001, "0.00 ms"), (9.94, "9.94 ms"), (9.96, "10 ms"), (999.6, "1.0 s"), (99_960, "1.7 min")],
)
def test_milliseconds(value: float | None, text: str) -> None:
    """In the unit that reads well."""
    assert milliseconds(value) == text


def test_sizes_and_shares() -> None:
    """Nothing that is not all is 100 %, nothing that is not nothing 0 %."""
    assert [size(count) for count in (0, 1023, 1024, 10**9)] == ["0 B", "1023 B", "1.0 KiB", "953.7 MiB"]
    assert [share(part) for part in (0.0, 0.0001, 0.5, 0.99999, 1.0, None)] == [
        "0.0%", "<0.1%", "50.0%", ">99.9%", "100.0%", "?",
    ]  # fmt: skip
