"""Cells whose text an attacker chose: they show, and do nothing."""

import csv
import io
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.report.table import Column, Table, as_csv, markdown, pretty, visible

#: escape sequences, right-to-left override, line separator, C1 control, markup, mentions, formulas
EVIL = ["\x1b[2J\x1b]0;x\x07", "a\u202eb", "a\u2028b", "a\x9bb", "a\rb\nc", "<script>", "a|b|c", "`x`", "@team", "=1+1"]


def table(text: str) -> Table:
    return Table((Column("name"), Column("calls", figures=True)), [(text, "1"), ("other", "22")], ("total", "23"))


@given(st.text())
def test_visible_text_shows_whole(text: str) -> None:
    """What comes out has no character that does not show; what showed before is as it was."""
    shown = visible(text)
    assert all(
        unicodedata.category(char)[0] != "C" and unicodedata.category(char) not in ("Zl", "Zp") for char in shown
    )
    if all(unicodedata.category(char)[0] in "LNPS" or char == " " for char in text):
        assert shown == text


def test_pretty_aligns_figures_on_the_right() -> None:
    """Columns as wide as they need to be, lines without blanks at their ends."""
    assert pretty(table("a")).splitlines() == [
        "name    calls",
        "─────────────",
        "a           1",
        "other      22",
        "─────────────",
        "total      23",
    ]


@pytest.mark.parametrize("text", EVIL)
def test_no_cell_breaks_out_of_pretty(text: str) -> None:
    """One line a row, no control characters, no markup of the library's own."""
    lines = pretty(table(text)).splitlines()
    assert len(lines) == 6
    assert all(line.isprintable() for line in lines)


def test_pretty_leaves_square_brackets_alone() -> None:
    """They would be markup to the library that draws the table."""
    assert "[red]x[/red]" in pretty(table("[red]x[/red]"))


def test_pretty_never_cuts_a_name() -> None:
    """A long name makes a wide table; a cut one could be taken for another."""
    assert "x" * 500 in pretty(table("x" * 500))


def test_markdown_is_a_github_table() -> None:
    """Names as code, figures on the right, the total in bold."""
    assert markdown(table("gpt-4o")) == (
        "| name | calls |\n|---|--:|\n| `gpt-4o` | 1 |\n| `other` | 22 |\n| **total** | **23** |\n"
    )


@pytest.mark.parametrize("text", EVIL)
def test_no_cell_breaks_out_of_markdown(text: str) -> None:
    """The cell is one code span between two pipes."""
    line = markdown(table(text)).splitlines()[2]
    assert re.fullmatch(r"\| `(?:[^`|]|\\\|)+` \| 1 \|", line)


@pytest.mark.parametrize("text", [*EVIL, "+1", "-1", "@x", "\t=1", "\r=1", 'a"b,c'])
def test_no_cell_is_a_formula_in_csv(text: str) -> None:
    """A spreadsheet takes it for text; a reader of CSV finds two cells in each row."""
    rows = list(csv.reader(io.StringIO(as_csv(("name", "calls"), [(text, 1), (None, 2.5)]))))
    assert rows[0] == ["name", "calls"]
    assert rows[2] == ["", "2.5"]
    assert not rows[1][0].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert rows[1][1] == "1"
