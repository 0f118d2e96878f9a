"""Markup that cannot be broken: what goes in as a text comes out as that text, and as nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.report.escaping import visible
from awfproxy.report.html.markup import NAME_MAX, Markup, el, joined, lines, name, percent, shown
from tests.report.html.made import HOSTILE, Parsed

TEXTS = st.one_of(st.text(), st.sampled_from(HOSTILE), st.text(alphabet="<>\"'&=/- !\\`\x00\n\u202e"))


@given(TEXTS, TEXTS)
def test_a_text_stays_a_text(text: str, attribute: str) -> None:
    """A parser finds one element, with that attribute and that text, made visible."""
    found = Parsed(el("p", text, title=attribute))
    assert found.elements == [("p", {"title": visible(attribute)})]
    assert "".join(inner for _, inner in found.texts) == visible(text)
    assert not found.others
    assert not found.unbalanced


@given(st.recursive(TEXTS, lambda inner: st.lists(inner, max_size=3), max_leaves=8))
def test_lists_are_what_is_in_them(children: str | list[object]) -> None:
    """However deep: the same as one after the other."""

    def flat(child: object) -> str:
        return visible(child) if isinstance(child, str) else "".join(map(flat, child))  # type: ignore[call-overload]

    assert Parsed(el("p", children)).text == flat(children)  # type: ignore[arg-type]


def test_attributes() -> None:
    """Names as HTML has them; what is None or False is left away, what is True stands alone."""
    made = el("td", "x", class_="a b", aria_hidden="true", data_v=1.25, hidden=True, title=None, lang=False, width=3)
    assert made == '<td class="a b" aria-hidden="true" data-v="1.25" hidden width="3">x</td>'


def test_markup_is_no_attribute() -> None:
    """It would be read as text there: a defect of ours."""
    with pytest.raises(TypeError):
        el("p", title=el("b", "x"))


def test_markup_goes_in_as_it_is() -> None:
    """And only that; nothing is closed that has no end in HTML."""
    assert joined("<", Markup("<br>"), None, ["a", ("b",)]) == "&lt;<br>ab"
    assert lines("a", None, "b") == "a\nb"
    assert el("meta", charset="utf-8") == '<meta charset="utf-8">'


@given(TEXTS)
def test_names_are_short(text: str) -> None:
    """Two different names stay different when they are cut."""
    assert len(shown(text)) <= NAME_MAX
    assert shown(text + "a" * NAME_MAX) != shown(text + "a" * NAME_MAX + "b")
    assert name(text).startswith("<bdi>")
    assert shown(text).strip()


def test_names_without_letters() -> None:
    """Show that they are there."""
    assert (shown(""), shown(" ")) == ('""', '" "')


@given(st.floats(0, 1))
def test_lengths(part: float) -> None:
    """A share of the width, to a thousandth of a percent."""
    assert float(percent(part).removesuffix("%")) == pytest.approx(100 * part, abs=0.0006)
