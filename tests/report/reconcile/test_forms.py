"""The report drawn: the same figures in every form, nothing hostile in any, JSON as its schema says."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from awfproxy.prices.price_list import open_price_list
from awfproxy.report.costs import Costs
from awfproxy.report.reconcile.causes import explain
from awfproxy.report.reconcile.comparison import HARMLESS, SURETIES
from awfproxy.report.reconcile.forms import CAUSES_SHOWN, FORMS
from awfproxy.report.reconcile.report import KEYS
from tests.report.reconcile.conftest import Reconcile
from tests.report.reconcile.exported import START, Call, anthropic_page, console, record

DOCS = Path(__file__).resolve().parents[3] / "docs"
SCHEMA = json.loads((DOCS / "schemas" / "report-reconcile.json").read_text())
COST = "usage_date_utc,model,cost_usd,cost_type,token_type\n2026-03-01,{model},1.05,token,output\n2026-03-01,,0.1,{model},x\n"
HOSTILE = "x\x1b[2J‮<script>alert(1)</script>|`@octocat`[a](http://b)=1+1\u2028"

Traffic = Callable[..., list[Call]]


def test_json_is_as_its_schema_says(reconcile: Reconcile, traffic: Traffic) -> None:
    """With differences, costs and none of either; the difference is here less there."""
    calls = traffic()
    own = [record(number, call) for number, call in enumerate(calls[5:])]
    for exports in ([anthropic_page(calls), COST.format(model="Claude Sonnet 4.5")], [console(calls[5:])]):
        for by in (("day", "model"), ("model",), ()):
            report = reconcile(own, *exports, by=by, costs=lambda: Costs(open_price_list(), START))
            body = json.loads(FORMS["json"](report, None))
            jsonschema.validate(body, SCHEMA)
            assert body["agrees"] == report.agrees == (len(exports) == 1)
            for row in (*body["tokens"]["rows"], *body["tokens"]["totals"]):
                for name, difference in row["difference"].items():
                    assert difference == row["here"][name] - row["there"][name]
                    assert difference == sum(cause["tokens"][name] for cause in row["causes"])


def test_every_form_has_the_figures(reconcile: Reconcile, traffic: Traffic) -> None:
    """The total of both sides, and the kind of difference."""
    calls = traffic()
    own = [record(number, call) for number, call in enumerate(calls[1:])]
    report = reconcile(own, anthropic_page(calls), by=("model",), tolerance=0.001)
    here, there = (sum(sum(call.counts) for call in each) for each in (calls[1:], calls))
    for form in ("pretty", "markdown"):
        text = FORMS[form](report, None)
        assert f"{here:,}" in text and f"{there:,}" in text and f"-{there - here:,}" in text
        assert "missing-here" in text and "Differs, with a tolerance of 0.1%" in text
    rows = list(csv.DictReader(io.StringIO(FORMS["csv"](report, None))))
    (row,) = (row for row in rows if row["causes"])
    assert row["causes"] == "missing-here" and row["calls_there"] == "" and row["model"] == calls[0].model
    assert int(row["output_tokens_difference"]) == -calls[0].counts[4]
    assert max(map(len, FORMS["pretty"](report, 80).splitlines()[:4])) <= 80


def test_tokens_and_costs_of_other_times(reconcile: Reconcile, traffic: Traffic) -> None:
    """Each tells what it covers; one sentence where that is the same."""
    calls = traffic()
    own = [record(number, call) for number, call in enumerate(calls)]
    days = {"tokens": ("2026-03-01T00:00Z", "2026-03-06T00:00Z"), "costs": ("2026-03-01T00:00Z", "2026-03-02T00:00Z")}
    for costs_of, whose in ((1, "covers of {what}"), (5, "covers")):
        costs = COST.format(model="Claude Sonnet 4.5") + f"2026-03-0{costs_of},,0.1,web_search,x\n"
        report = reconcile(own, anthropic_page(calls), costs, costs=lambda: Costs(open_price_list(), START))
        times = days if costs_of == 1 else dict.fromkeys(days, days["tokens"])
        said = {
            f"Compared: what the export of anthropic {whose.format(what=what)}, {begin} to {end}."
            for what, (begin, end) in times.items()
        }
        for form in ("pretty", "markdown"):
            text = html.unescape(FORMS[form](report, None))
            assert {line for line in text.splitlines() if line.startswith("Compared")} == said
        body = json.loads(FORMS["json"](report, None))
        jsonschema.validate(body, SCHEMA)
        assert {each["what"]: (each["begin"], each["end"]) for each in body["covered"]} == times


@pytest.mark.parametrize("form", FORMS)
def test_hostile_names(form: str, reconcile: Reconcile) -> None:
    """Of models and keys: nothing moves the cursor, is markup, or becomes a formula."""
    calls = [
        Call(START + 40_000, HOSTILE, (1, 2, 3, 4, 5)),
        Call(START + 40_000, "=cmd|x", (1, 2, 3, 4, 9), key=HOSTILE),
        Call(START + 40_000, "=cmd|x", (1, 2, 3, 4, 9), key="ours"),
    ]
    own = [record(1, calls[2]), record(2, Call(START + 40_000, "@SUM(1)", (9, 9, 9, 9, 9)))]
    report = reconcile(
        own, anthropic_page(calls), COST.format(model=HOSTILE.replace("\u2028", "")),
        costs=lambda: Costs(open_price_list(), START),
    )  # fmt: skip
    text = FORMS[form](report, None)
    assert all(char == "\n" or char.isprintable() for char in text.replace("\r\n", "\n"))
    if form == "markdown":
        outside = "".join(part for place, part in enumerate(text.split("`")) if place % 2 == 0)
        for sign in ("<script", "@octocat", "](http", "=cmd|"):
            assert sign not in outside
    if form == "csv":
        for row in csv.reader(io.StringIO(text)):
            for cell in row:
                assert re.fullmatch(r"-?[0-9.]+", cell) or not cell.startswith(("=", "+", "-", "@"))


def test_causes_are_bounded(reconcile: Reconcile) -> None:
    """The smaller ones are only counted; JSON has all."""
    calls = [Call(START + 40_000, f"model-{chr(97 + number % 26)}{number}x", (number + 1, 0, 0, 0, 1)) for number in range(60)]
    report = reconcile([record(0, calls[0])], anthropic_page(calls))
    assert f"{59 - CAUSES_SHOWN} smaller causes are not shown" in FORMS["pretty"](report, None)
    assert len(json.loads(FORMS["json"](report, None))["tokens"]["rows"]) == 60


def test_the_page_names_every_kind() -> None:
    """The codes of the schema are those of the page, and of the command."""
    from awfproxy.commands.reconcile import KEYS as WRITTEN

    page = (DOCS / "reconcile.md").read_text()
    codes: list[Any] = SCHEMA["$defs"]["token_cause"]["properties"]["code"]["enum"]
    for name in (*codes, *SURETIES):
        assert f"`{name}`" in page
    assert set(codes) >= HARMLESS and WRITTEN == KEYS
    assert explain.__doc__
