"""Cells whose text an attacker chose: they show, and do nothing."""

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from awfproxy.report.table import Column, Table, as_csv, details, markdown, pretty, sentences

#: escape sequences, right-to-left override, line separator, C1 control, markup, mentions, formulas
EVIL = ["\x1b[2J\x1b]0;x\x07", "a\u202eb", "a\u2028b", "a\x9bb", "a\rb\nc", "<script>", "a|b|c", "`x`", "@team", "=1+1"]


def table(text: str) -> Table:
    return Table((Column("name"), Column("calls", figures=True)), [(text, "1"), ("other", "22")], ("total", "23"))


def test_pretty_aligns_figures_on_the_right() -> None:
    """Columns as wide as they need to be, lines without blanks at their ends."""
    assert pretty(table("a")).splitlines() == [
        "name   calls",
        "────────────",
        "a          1",
        "other     22",
        "────────────",
        "total     23",
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


def test_pretty_cuts_only_what_no_name_is() -> None:
    """A long name makes a wide table, an endless one is cut with a mark that tells it from others."""
    assert "x" * 200 in pretty(table("x" * 200))
    assert len(pretty(table("x" * 1_000_000))) < 3_000


WIDE = Table(
    (Column("name"), Column("kept", True), Column("first out", True, 2), Column("second out", True, 1)),
    [("claude-sonnet-4-5-20250929", "1", "2", "3"), ("漢字漢字", "4", "5", "6")],
    ("total", "5", "7", "9"),
)


@given(st.integers(16, 80))
def test_pretty_fits_the_terminal(width: int) -> None:
    """No line but the remark is wider; columns go in their order, and names are never cut."""
    lines = pretty(WIDE, width).splitlines()
    remark = [line for line in lines if line.startswith("Not shown")]
    assert all(cell_len(line) <= width for line in lines if line not in remark)
    text = "".join(lines).replace(" ", "")
    assert ("second out" in lines[0]) <= ("first out" in lines[0]) or "first out" not in lines[0]
    assert bool(remark) == ("first out" not in lines[0])
    if "claude-sonnet-4-5-20250929" not in text:
        assert "".join(line.split("  ")[0].strip() for line in lines[2:]).startswith("claude-sonnet-4-5-20250929")


def test_pretty_says_what_it_left_out() -> None:
    """In the order of the columns."""
    said = pretty(WIDE, 30).splitlines()
    assert " ".join(said[-2:]) == "Not shown, for want of room: first out, second out."
    assert max(map(len, said)) <= 30
    assert "Not shown" not in pretty(WIDE)


@given(st.lists(st.text("ab \\-", max_size=80)), st.integers(12, 100))
def test_sentences_are_folded_between_words(lines: list[str], width: int) -> None:
    """No line is wider than the terminal but where one word is, and no word is lost or cut."""
    folded = sentences(lines, width)
    assert folded.split() == sentences(lines).split() == " ".join(lines).split()
    assert all(len(line) <= width or " " not in line.strip() for line in folded.splitlines())


def test_details_are_folded() -> None:
    """GitHub needs the empty line to read the table within."""
    assert details("x", "| a |\n") == "<details>\n<summary>x</summary>\n\n| a |\n\n</details>\n"


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
