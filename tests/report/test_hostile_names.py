"""Names that somebody made up, in every report and every form: text, and nothing else.

What a browser makes of the page is in `html/`; what one cell does is in `test_table` and `test_escaping`.
"""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from awfproxy.prices.price_list import open_price_list
from awfproxy.report.analysis import forms as findings
from awfproxy.report.analysis.analysis import analyse
from awfproxy.report.by_turn import by_turn
from awfproxy.report.costs import Costs
from awfproxy.report.repricing import Pricing, Repricing
from awfproxy.report.repricing_forms import FORMS as REPRICED
from awfproxy.report.summary import summary
from awfproxy.report.summary_forms import FORMS as SUMMARIES
from awfproxy.report.token_usage import View, token_usage
from awfproxy.report.turns.report import turns
from awfproxy.report.turns.turn_tables import shown
from awfproxy.report.turns.writing import encoded
from tests.report.html.made import request, usage

PRICES: Final = open_price_list()
#: what means something to a terminal, to markdown, to HTML, or to a spreadsheet
MARKS: Final = (
    "\x1b[2J", "\x9b", "\r", "\n", "\t", "\u2028", "\u202e", "\ufeff", "\x00", "\ud800", "`", "``", "|", "\\", "\\|", "<b>", "</details>",
    "-->", "&lt;", "@octocat", "](http://x)", "![", "#1", "**", "=", "+", "-", "=cmd|' /C calc'!A0", '"', "'", ",", " ",
)  # fmt: skip
NAMES = st.lists(st.sampled_from(MARKS) | st.text(max_size=5), min_size=1, max_size=6).map("".join)
FORMS: Final = ("pretty", "markdown", "json", "csv")
WIDTH: Final = 100


def drawn(folder: str) -> Iterator[tuple[str, str]]:
    """Every report on these records in every form: the form, and the text."""
    reports: list[Callable[[str], str]] = []
    used = token_usage([folder], ("model", "user"), costs=Costs(PRICES, 0.0))
    reports.append(lambda form: used.render(form, View(width=WIDTH)))
    summed = summary([folder], costs=Costs(PRICES, 0.0))
    reports.append(lambda form: SUMMARIES[form](summed, View(width=WIDTH)))
    placed = turns([folder], costs=Costs(PRICES, 0.0))
    reports.append(lambda form: shown(placed.rows, form, WIDTH))
    told = by_turn(["-"], ("turn", "run", "model"), io.BytesIO(b"".join(encoded(placed.rows))))
    reports.append(lambda form: told.render(form, View(width=WIDTH)))
    priced = Repricing(Pricing(PRICES, 0.0, None), Pricing(PRICES, 0.0, 2e9))
    for _ in priced.read([folder], None, None):
        pass
    reports.append(lambda form: REPRICED[form](priced, WIDTH))
    analysis = analyse([folder], costs=Costs(PRICES, 0.0))
    reports.append(lambda form: findings.render(analysis, form, findings.View(width=WIDTH)))
    for report in reports:
        yield from ((form, report(form)) for form in FORMS)


def records(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Two calls of which everything has that name, and a refusal, by file."""
    names = dict.fromkeys(("model", "provider", "port", "user", "run", "feature", "conversation", "outcome"), name)
    for number in range(2):
        yield "token-usage.jsonl", usage(number, **names, usage_source=name)
        yield "requests.jsonl", request(number, **names, refusal="rate_limit_error", refusal_code=name, reason=name)


@given(NAMES)
@settings(deadline=None, max_examples=30)
def test_a_name_is_a_text(name: str) -> None:
    """Nothing of it moves a cursor, is markup, a link or a mention, ends a cell, or becomes a formula."""
    with tempfile.TemporaryDirectory() as folder:
        for file, record in records(name):
            with (Path(folder) / file).open("a") as lines:
                lines.write(json.dumps(record) + "\n")
        for form, text in drawn(folder):
            assert text.replace("\r\n", "").replace("\n", "").isprintable(), form
            if form == "markdown":
                is_plain_markdown(text)
            if form == "csv":
                rows = list(csv.reader(io.StringIO(text)))
                assert len(set(map(len, rows))) == 1
                numbers = re.compile(r"-?[0-9.]+(e-?[0-9]+)?")
                assert not any(cell.startswith(("=", "+", "-", "@")) and not numbers.fullmatch(cell) for row in rows for cell in row)
            if form == "json":
                json.loads(text)


def is_plain_markdown(text: str) -> None:
    """Outside of code there is nothing but what the reports say themselves; tables have as many cells as their heads."""
    outside = re.sub(r"`[^`\n]*`", "", text)
    assert "`" not in outside
    assert set(re.findall(r"<[^>]*>?", outside)) <= {"<details>", "</details>", "<summary>", "</summary>", findings.MARK}
    assert "@" not in outside
    assert "](" not in outside
    cells = 0
    for line in text.split("\n"):
        if not line.startswith("|"):
            cells = 0
            continue
        count = len(re.findall(r"(?<!\\)\|", line))
        cells = cells or count
        assert count == cells, line
