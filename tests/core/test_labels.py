"""What clients say of their calls."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.labels import LABEL_MAX, NO_LABELS, Labels, label, labels
from awfproxy.core.message import RequestHead


def head(fields: dict[bytes, bytes]) -> RequestHead:
    """A request with these headers."""
    triples = [(name, name, value) for name, value in fields.items()]
    return RequestHead(b"POST", b"/", 1, triples, fields, 0, False, True, False)


def test_none() -> None:
    """Most requests have none: the one shared value."""
    assert labels(head({b"host": b"localhost"})) is NO_LABELS


def test_all() -> None:
    """Every header has its field."""
    request = head(
        {
            b"x-awf-feature": b"triage",
            b"x-awf-user": b"ann",
            b"x-awf-run": b"42-1",
            b"x-awf-conversation": b"c1",
            b"x-initiator": b"user",
        }
    )
    assert labels(request) == Labels(feature="triage", user="ann", run="42-1", conversation="c1", initiator="user")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"plain", "plain"),
        (b"  spaced out ", "spaced out"),
        ("über".encode(), "über"),
        (b"", None),
        (b"  ", None),
        (b"a\tb", None),
        (b"a\x1b[31mb", None),
        ("zero\u200bwidth".encode(), None),
        (b"\xff\xfe", None),
        (b"\xff" + b"a" * 300, None),
        (b"a" * 300, "a" * LABEL_MAX),
        (("a" + "é" * 200).encode(), "a" + "é" * 127),
    ],
)
def test_label(value: bytes, text: str | None) -> None:
    """Printable UTF-8 of bounded length, or nothing."""
    assert label(value) == text


@given(st.one_of(st.binary(max_size=600), st.text(max_size=300).map(str.encode)))
def test_any_label_is_bounded_and_printable(value: bytes) -> None:
    """Law: any bytes give None or a short printable text."""
    text = label(value)
    assert text is None or (0 < len(text.encode()) <= LABEL_MAX and text.isprintable())
