"""Calls at other prices: tokens as they are, money by the price list, unpriced never 0."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.consumption import Consumption
from awfproxy.prices.price_list import open_price_list
from awfproxy.report import repricing
from awfproxy.report.costs import PICO
from awfproxy.report.repricing import OTHERS, Call, Named, Pricing, Rename, Repricing
from awfproxy.report.repricing_forms import FORMS
from awfproxy.report.seen import Seen

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schemas"
#: 2026-03-01T12:00:00Z
NOW = 1_772_366_400.0
PRICES = open_price_list()
OWN = """
[models."gpt-4o"]
input_per_million = 1
output_per_million = 2
[models."gpt-4o".since.2026-03-01]
input_per_million = 3
output_per_million = 4
"""


def record(request_id: str, **fields: Any) -> bytes:
    body = {
        "event": "token_usage",
        "timestamp": "2026-02-01T00:00:00.000Z",
        "request_id": request_id,
        "provider": "openai",
        "model": "gpt-4o",
        "input_tokens": 1_000_000,
        "output_tokens": 500_000,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        **fields,
    }
    return json.dumps(body).encode()


def priced(*lines: bytes, before: Pricing | None = None, after: Pricing | None = None) -> tuple[Repricing, list[Any]]:
    report = Repricing(before or Pricing(PRICES, NOW), after or Pricing(PRICES, NOW))
    seen = Seen()
    calls = [report.take(line, seen) for line in lines]
    return report, [call.line() for call in calls if isinstance(call, Call)]


@pytest.fixture
def own(tmp_path: Path) -> str:
    path = tmp_path / "prices.toml"
    path.write_text(OWN)
    return str(path)


def test_at_another_day(own: str) -> None:
    """The price of that day for all calls; that of its time for each where none is asked for."""
    prices = open_price_list(own)
    report, lines = priced(record("1"), before=Pricing(prices, NOW), after=Pricing(prices, NOW, NOW))
    assert (report.total.before, report.total.after, report.total.difference) == (2 * PICO, 5 * PICO, 3 * PICO)
    assert lines[0]["price_source"] == "override" and lines[0]["cost_usd"] == 5 and lines[0]["before_usd"] == 2
    assert report.after.description.endswith("as of 2026-03-01")
    report, _ = priced(record("1", timestamp="2026-03-02T00:00:00.000Z"), before=Pricing(prices, NOW))
    assert report.total.before == 5 * PICO


def test_at_other_prices(own: str) -> None:
    """The published one before, one's own after."""
    published = PRICES.find("openai", "gpt-4o", NOW)
    assert published is not None
    report, lines = priced(record("1"), after=Pricing(open_price_list(own), NOW))
    consumed = Consumption(input=1_000_000, output=500_000)
    assert report.total.before == round(published.cost(consumed) * PICO) and report.total.after == 2 * PICO
    assert (lines[0]["before_source"], lines[0]["price_source"]) == ("genai-prices", "override")


def test_as_another_model() -> None:
    """Also of another maker, by a pattern; the first that fits counts, and the row says so."""
    renames = [Rename("GPT-4?", "claude-haiku-4-5"), Rename("*", "gpt-5")]
    report, lines = priced(record("1"), record("2", model="o3"), after=Pricing(PRICES, NOW, None, renames))
    assert [line["priced_as"] for line in lines] == ["claude-haiku-4-5", "gpt-5"]
    # $1 and $5 for a million tokens
    assert lines[0]["cost_usd"] == 3.5 and lines[0]["price"] == "anthropic/claude-haiku-4-5"
    assert set(report.groups) == {Named("openai", "gpt-4o", "claude-haiku-4-5"), Named("openai", "o3", "gpt-5")}
    report, lines = priced(record("1", model="gpt-5"), after=Pricing(PRICES, NOW, None, [Rename("*", "gpt-5")]))
    assert "priced_as" not in lines[0] and report.total.difference == 0


def test_without_a_price() -> None:
    """It is unknown, and in no difference."""
    report, lines = priced(record("1"), record("2", model="own-llama"))
    assert lines[1]["cost_usd"] is None and lines[1]["price_source"] is None
    total = report.total
    assert (total.unpriced_before, total.unpriced_after, total.both, total.difference) == (1, 1, 1, 0)
    report, _ = priced(
        record("1"), record("2", model="own-llama"), after=Pricing(PRICES, NOW, None, [Rename("gpt-4o", "nonesuch"), Rename("own-*", "gpt-4o")])
    )
    assert report.total.both == 0 and report.total.before and report.total.after
    for form in ("pretty", "markdown"):
        text = FORMS[form](report, None)
        assert "nonesuch" in text and "own-llama" in text and "≥$" in text
    assert json.loads(FORMS["json"](report, None))["total"]["difference_usd"] is None


def test_each_record_once_and_broken_lines_told(tmp_path: Path) -> None:
    """As in all reports."""
    path = tmp_path / "token-usage.jsonl"
    path.write_bytes(b"\n".join([record("1"), record("1"), b"{", b"[]", record("2"), b'{"event":"request"}', b""]))
    report = Repricing(Pricing(PRICES, NOW), Pricing(PRICES, NOW))
    assert [call.row.request_id for call in report.read([str(path)])] == ["1", "2"]
    assert report.total.calls == 2 and report.remarks.duplicates == 1 and report.remarks.skipped == 2


@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 10**6), st.sampled_from(["gpt-4o", "o3", "x"]))))
def test_lines_add_up_to_the_table(calls: list[tuple[int, int, str]]) -> None:
    """Whatever the calls: the sum of the lines is the total, and the same list changes nothing."""
    lines = [
        record(str(number), input_tokens=fresh, output_tokens=output, model=model)
        for number, (fresh, output, model) in enumerate(calls)
    ]
    report, found = priced(*lines, after=Pricing(PRICES, NOW, None, [Rename("o3", "gpt-5")]))
    assert sum(round(line["cost_usd"] * PICO) for line in found if line["cost_usd"] is not None) == pytest.approx(
        report.total.after, abs=1_000 * len(calls)
    )
    same, _ = priced(*lines)
    assert same.total.before == same.total.after == report.total.before and same.total.difference == 0


def test_forms() -> None:
    """JSON and the lines as their schemas say; the same figures in csv; hostile names harmless."""
    name = "=x\x1b[2J<b>|`@octocat`"
    report, lines = priced(
        record("1"), record("2", model=name), record("3", usage={"service_tier": "flex"}, model="gpt-5-mini"),
        after=Pricing(PRICES, NOW, NOW, [Rename("gpt-4o", name)]),
    )  # fmt: skip
    jsonschema.validate(json.loads(FORMS["json"](report, None)), json.loads((SCHEMAS / "report-reprice.json").read_text()))
    schema = json.loads((SCHEMAS / "repriced.json").read_text())
    for line in lines:
        jsonschema.validate(line, schema)
    rows = list(csv.DictReader(io.StringIO(FORMS["csv"](report, None))))
    assert sum(int(row["calls"]) for row in rows) == 3 and all(row["model"][0] != "=" for row in rows)
    for form in FORMS:
        text = FORMS[form](report, None).replace("\r\n", "\n")
        assert all(char == "\n" or char.isprintable() for char in text)
    outside = "".join(part for place, part in enumerate(FORMS["markdown"](report, None).split("`")) if place % 2 == 0)
    assert "octocat" not in outside and "<b>" not in outside
    assert max(map(len, FORMS["pretty"](report, 60).splitlines()[:3])) <= 60


def test_many_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client makes them up: they go to one row, and nothing is lost."""
    assert repricing.GROUPS_MAX > 500
    monkeypatch.setattr(repricing, "GROUPS_MAX", 50)
    report, _ = priced(*(record(str(number), model=f"m{number}", input_tokens=1, output_tokens=0) for number in range(60)))
    assert len(report.groups) == 51 and report.groups[Named(OTHERS, OTHERS, None)].calls == 10
    assert report.total.calls == 60
