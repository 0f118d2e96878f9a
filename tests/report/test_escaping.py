"""Texts that an attacker chose, for every kind of output: they show, and do nothing."""

import html
import html.parser
import io
import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.report.escaping import (
    SHOWN_MAX,
    csv_cell,
    html_text,
    markdown_code,
    markdown_text,
    short,
    terminal,
    visible,
    write_out,
)
from awfproxy.report.table import Column, Table, pretty

#: escape sequences, overrides, separators, C1 controls, invisible letters, lone surrogates, NUL
UNSEEN = ["\x1b[2J\x1b]0;x\x07", "a\u202eb", "a\u2028b", "a\x9bb", "a\rb\nc", "a\u3164b", "a\ufe0fb", "\ud800", "a\x00b", "a\xa0b"]


@given(st.text())
def test_visible_text_shows_whole(text: str) -> None:
    """What comes out has no character that does not show; what showed before is as it was."""
    shown = visible(text)
    assert all(
        unicodedata.category(char)[0] != "C" and unicodedata.category(char) not in ("Zl", "Zp") for char in shown
    )
    if all(unicodedata.category(char) in ("Lu", "Ll", "Nd", "Po", "Sm") or char == " " for char in text):
        assert shown == text


@pytest.mark.parametrize("text", UNSEEN)
def test_what_does_not_show_is_written_out(text: str) -> None:
    """In ASCII, and nothing is left away."""
    assert visible(text).isascii()
    assert "\\" in visible(text)


@given(st.text(min_size=1, max_size=20))
def test_two_names_that_differ_look_different(text: str) -> None:
    """A name with something invisible in it is not taken for the one without."""
    for unseen in ("\u200b", "\ufe0f", "\u115f", "\x00"):
        assert visible(text + unseen) != visible(text)


def test_short_tells_long_names_apart() -> None:
    """A megabyte of name is a line, and another such name is another line."""
    one, other = "x" * 1_000_000 + "a", "x" * 1_000_000 + "b"
    assert len(short(one)) < SHOWN_MAX + 12
    assert short(one) != short(other)
    assert short("x" * SHOWN_MAX) == "x" * SHOWN_MAX
    assert short("\ud800" * 1000)


@given(st.text())
def test_markdown_code_is_one_span(text: str) -> None:
    """Neither the span nor the cell can be left."""
    assert re.fullmatch(r"(?:`(?:[^`|\n\r]|\\\|)+`)?", markdown_code(text))


@given(st.text())
def test_markdown_text_has_no_markup(text: str) -> None:
    """Letters, digits, blanks and entities only; read as HTML it is the text."""
    written = markdown_text(text)
    assert re.fullmatch(r"(?:\w|[ ,;%≥?$·…]|&#\d+;|[^\x00-\x7f])*", written)
    assert not re.search(r"[@<>|`*\[\]()!:/._~#-](?!\d*;)", written.replace("&#", ""))
    assert html.unescape(written) == visible(text)


@given(st.text())
def test_html_text_is_text(text: str) -> None:
    """A browser sees one piece of text and no tag, also within an attribute in either quotes."""
    seen: list[str] = []

    class Parser(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.append(f"{tag} {dict(attrs)}")

    parser = Parser()
    parser.feed(f"<p title=\"{html_text(text)}\" lang='{html_text(text)}'>{html_text(text)}</p>")
    assert seen == [f"p {({'title': visible(text), 'lang': visible(text)})}"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", " =1", "\uff1d1", "\uff0b1"])
def test_no_cell_is_a_formula(text: str) -> None:
    """A spreadsheet takes it for text."""
    assert not csv_cell(text).lstrip().startswith(("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b"))


def test_a_terminal_without_unicode_gets_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output never fails for want of a sign."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    write_out(["≥1 ", "ok\n"])
    assert raw.getvalue() == b"\\u22651 ok\n"


@given(st.text(alphabet=":#[] ab\x1b", max_size=30), st.integers(1, 8))
def test_no_name_commands_a_runner(text: str, width: int) -> None:
    """Wherever it is folded; a colon alone stays one."""
    shown = terminal(text)
    assert "::" not in shown and "##[" not in shown
    table = pretty(Table((Column("name"),), [(text,)]), width)
    assert not any(line.lstrip().startswith("::") or "##[" in line for line in table.splitlines())
    assert terminal("a:b # [c] ## d") == "a:b # [c] ## d"
    assert not csv_cell(f"::{text}").startswith("::")
