"""Exports: told by what stands in them; every fault with its place; nothing held that is too large."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from awfproxy.report.reconcile import exports as reading
from awfproxy.report.reconcile.exports import Exports, read_exports
from awfproxy.report.reconcile.used import Faults
from tests.report.reconcile.exported import (
    CONSOLE,
    DASHBOARD,
    DAY,
    START,
    Call,
    anthropic_page,
    iso,
    openai_costs,
    openai_page,
)

ROW = "2026-03-01,claude-sonnet-4-5,key,Default,standard,≤ 200k,1,2,3,4,5,0,global,"
CALLS = [Call(START + 4_000, "gpt-5", (10, 20, 0, 0, 30), "openai"), Call(START + 9_000, "claude-x", (1, 4, 2, 3, 5))]


def read(tmp_path: Path, content: bytes | str, name: str = "export") -> Exports:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_exports([str(path)])


def faults(found: Exports, tmp_path: Path) -> list[str]:
    return [line.removeprefix(f"{tmp_path}/") for line in found.faults.lines()]


def test_a_row_of_each_shape(tmp_path: Path) -> None:
    """The classes are the same, whatever they are called."""
    (openai,) = read(tmp_path, json.dumps(openai_page(CALLS))).rows
    assert (openai.provider, openai.counts, openai.requests, openai.key) == ("openai", (10, 20, None, None, 30), 1, "ours")
    (anthropic,) = read(tmp_path, json.dumps(anthropic_page(CALLS))).rows
    assert (anthropic.counts, anthropic.requests) == ((1, 4, 2, 3, 5), None)
    (console,) = read(tmp_path, f"{CONSOLE}\n{ROW}\n").rows
    assert (console.counts, console.begin, console.end) == ((1, 4, 2, 3, 5), START, START + DAY)
    times = f"{START},{START + DAY},{iso(START)},{iso(START + DAY)}"
    (dashboard,) = read(tmp_path, f"{DASHBOARD}\n{times},p,1.0,u,k,gpt-5,FALSE,default,30.0,30.0,20.0,10.0\n").rows
    assert (dashboard.counts, dashboard.requests, dashboard.project) == ((10, 20, None, None, 30), 1, "p")


def test_cache_writes_of_openai(tmp_path: Path) -> None:
    """They are a part of the input, as what is read."""
    page = openai_page(CALLS)
    page["data"][0]["results"][0] |= {"input_cache_write_tokens": 4}
    (row,) = read(tmp_path, json.dumps(page)).rows
    assert row.counts == (6, 20, 4, None, 30)


@pytest.mark.parametrize(
    ("value", "pico", "slack"),
    [
        ("0.0152022500000000004849454", 15_202_250_000, 0),
        (0.06, 60_000_000_000, 5_000_000_000),
        (0.0152022500000000004849454, 15_202_250_000, 5_000),
        (6e-05, 60_000_000, 5_000_000),
        (3, 3_000_000_000_000, 5_000_000_000),
        (0, 0, 5_000_000_000),
    ],
)
def test_costs_of_openai(value: str | float, pico: int, slack: int, tmp_path: Path) -> None:
    """A text of many digits, as is answered, or a number, as is documented; of a model, or of something else."""
    page = openai_costs([("gpt-5.2-2025-12-11, cached input", value), ("web search tool calls", value)])
    found = read(tmp_path, json.dumps(page))
    assert found.faults.lines() == []
    model, search = found.rows
    assert (model.model, model.item, model.cost, model.cost_slack) == ("gpt-5.2-2025-12-11", None, pico, slack)
    assert (search.model, search.item, search.cost) == (None, "web search tool calls", pico)


@pytest.mark.parametrize(
    ("amount", "fault"),
    [
        (None, "has no amount."),
        ({"value": None}, "has no amount."),
        ({"value": "1.2.3"}, "“1.2.3” is no amount of money."),
        ({"value": True}, "Expected `int | float | str | null`, got `bool` - at `$.value`."),
        ({"value": 1, "currency": "eur"}, "is not in dollars; prices are known in dollars only."),
    ],
)
def test_costs_of_openai_that_are_none(amount: Any, fault: str, tmp_path: Path) -> None:
    """Each is a fault with its place."""
    page = openai_costs([("gpt-5.2-2025-12-11, input", "1")])
    page["data"][0]["results"][0]["amount"] = amount
    found = read(tmp_path, json.dumps(page))
    assert faults(found, tmp_path) == [f"export: $.data[0].results[0]: {fault}"] and found.rows == []


@pytest.mark.parametrize("form", ["pages", "lines", "buckets", "old"])
def test_ways_of_keeping_pages(form: str, tmp_path: Path) -> None:
    """A list of pages, a page a line, the buckets alone, and `result` as older descriptions have it."""
    page = openai_page(CALLS)
    text = {
        "pages": json.dumps([page, anthropic_page(CALLS)]),
        "lines": f"{json.dumps(page)}\n{json.dumps(anthropic_page(CALLS))}\n",
        "buckets": json.dumps(page["data"] + anthropic_page(CALLS)["data"], indent=1),
        "old": json.dumps([page, anthropic_page(CALLS)]).replace('"results"', '"result"'),
    }[form]
    found = read(tmp_path, text)
    assert found.faults.lines() == []
    assert [row.provider for row in found.rows] == ["openai", "anthropic"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_ways_of_saving_a_table(encoding: str, delimiter: str, end: str, tmp_path: Path) -> None:
    """Marks, delimiters and line ends as spreadsheets write them; packed too."""
    text = f"{CONSOLE}{end}{ROW}{end}".replace(",", delimiter)
    content = b"\xff\xfe" + text.encode("utf-16-le") if encoding == "utf-16-le-bom" else text.encode(encoding)
    for packed in (content, gzip.compress(content)):
        found = read(tmp_path, packed)
        assert found.faults.lines() == [] and [row.counts for row in found.rows] == [(1, 4, 2, 3, 5)]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (ROW.replace(",1,2,3,", ",=1+1,2,3,"), "export:2: column usage_input_tokens_no_cache: “=1+1” is no count."),
        (ROW.replace(",5,0,", ",1.2E+05,0,"), "export:2: column usage_output_tokens: “1.2E+05” was rounded by a "
         "spreadsheet; export it anew."),
        (ROW.replace("2026-03-01", "03/01/2026"), "export:2: column usage_date_utc: “03/01/2026” is no time."),
        (ROW.replace("2026-03-01", ""), "export:2: column usage_date_utc: is empty."),
        (ROW + ",,,", "export:2: has 17 cells under 14 columns."),
        (ROW.replace("key", '"k"ey'), "export:2: is no line of a table: ',' expected after '\"'."),
        (ROW.replace(",1,2,3,", ",\x1b[2J,2,3,"), "export:2: column usage_input_tokens_no_cache: “\\x1b[2J” is no count."),
    ],
)  # fmt: skip
def test_a_fault_has_its_place(row: str, fault: str, tmp_path: Path) -> None:
    """File, line, column; and the rows around it are read."""
    found = read(tmp_path, f"{CONSOLE}\n{row}\n{ROW}\n")
    assert faults(found, tmp_path) == [fault]
    assert len(found.rows) == 1


def test_a_fault_in_json_has_its_place(tmp_path: Path) -> None:
    """The bucket and the result; or the line in which it is no JSON."""
    page = openai_page(CALLS)
    good = dict(page["data"][0]["results"][0])
    page["data"][0]["results"] += [{"input_tokens": "12"}, good | {"input_cached_tokens": 99}, good | {"input_tokens": -5}]
    page["data"][2] = {"object": "bucket", "start_time": START, "end_time": START, "results": []}
    found = read(tmp_path, json.dumps(page))
    assert faults(found, tmp_path) == [
        "export: $.data[0].results[1]: Expected `int | float | null`, got `str` - at `$.input_tokens`.",
        "export: $.data[0].results[2]: has more cached tokens than input tokens.",
        "export: $.data[0].results[3]: “-5” is no count.",
        "export: $.data[2]: ends before it begins.",
    ]
    assert len(found.rows) == 1
    (fault,) = faults(read(tmp_path, '{"data":\n[\n{,}]}'), tmp_path)
    assert fault.startswith("export:3: is no JSON")


@pytest.mark.parametrize(
    "content",
    ["", "a,b,c\n1,2,3\n", "\x00" * 5_000, "[1, 2]", '{"data": 5}', "{}", "[" * 100_000, '{"data":' * 5_000, "\n" * 100],
)
def test_what_is_no_export(content: str, tmp_path: Path) -> None:
    """It is said, and there are no rows."""
    found = read(tmp_path, content)
    assert found.rows == [] and len(found.faults.lines()) == 1


def test_a_huge_cell_and_a_huge_line(tmp_path: Path) -> None:
    """Passed over with their lines, in little memory, and what follows is read; an open quote ends soon too."""
    huge = ROW.replace("key", "k" * 200_000)
    line = ROW.replace("key", "k" * 8_000_000)
    path = tmp_path / "export"
    path.write_text(f"{CONSOLE}\n{huge}\n{line}\n{ROW}\n")
    tracemalloc.start()
    found = read_exports([str(path)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000
    first, second = faults(found, tmp_path)
    assert first.startswith("export:2: is no line") and second == "export:3: is longer than any line of an export."
    assert len(found.rows) == 1
    found = read(tmp_path, f'{CONSOLE}\n{ROW.replace("key", chr(34) + "key")}\n' + f"{ROW}\n" * 50_000)
    assert found.faults.count >= 1


def test_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document that is too long, or too many rows: refused with what to do."""
    monkeypatch.setattr(reading, "DOCUMENT_MAX", 100)
    assert "fetch fewer buckets a page" in faults(read(tmp_path, json.dumps(openai_page(CALLS))), tmp_path)[0]
    monkeypatch.setattr(reading, "ROWS_MAX", 2)
    assert "export days, not hours" in faults(read(tmp_path, f"{CONSOLE}\n" + f"{ROW}\n" * 3), tmp_path)[0]


def test_many_faults_are_counted(tmp_path: Path) -> None:
    """The first are told in words."""
    found = read(tmp_path, f"{CONSOLE}\n" + "x\n" * 500)
    assert found.faults.count == 500
    assert len(found.faults.lines()) == Faults.KEPT_MAX + 1 and found.faults.lines()[-1] == "480 more faults like these."


def test_kinds_without_tokens_are_left_out(tmp_path: Path) -> None:
    """Images and sounds are counted in other units."""
    page = openai_page(CALLS)
    page["data"][0]["results"] += [{"object": "organization.usage.images.result", "images": 3, "num_model_requests": 1}]
    found = read(tmp_path, json.dumps(page))
    assert len(found.rows) == 1 and found.remarks == ["1 row of images left out: they have no tokens."]


def test_folders_and_standard_input(tmp_path: Path) -> None:
    """Files are found by their endings, and "-" is read and left open."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text(f"{CONSOLE}\n{ROW}\n")
    (tmp_path / "in" / "notes.md").write_text("nothing")
    assert len(read_exports([str(tmp_path)]).rows) == 1
    stdin = io.BytesIO(f"{CONSOLE}\n{ROW}\n".encode())
    assert len(read_exports(["-"], stdin).rows) == 1


_WORDS = st.sampled_from(
    ['"', ",", "\n", "\r", "\x00", "{", "}", "[", "]", ":", '"data"', '"results"', "1", "-1e400", CONSOLE, ROW, DASHBOARD, "\ufeff"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.one_of(st.binary(max_size=400), st.lists(_WORDS, max_size=20).map(lambda parts: "".join(parts).encode())))
def test_any_bytes(tmp_path: Path, content: bytes) -> None:
    """Rows, or faults; never an exception."""
    found = read(tmp_path, content)
    for row in found.rows:
        counts: tuple[Any, ...] = row.counts
        assert row.begin < row.end and all(count is None or count >= 0 for count in counts)
