"""A secret cannot be shown by accident, and what is no credential is refused without being repeated."""

import copy
import json
import pickle
import traceback

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.secret import SECRET_MAX, SHOWN, Secret, SecretError

VALUE = "sk-proj-0123456789abcdef"

usable = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=8, max_size=200)


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        ascii,
        lambda secret: f"{secret} {secret!r} {secret:>40}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - one more way in which values get out
        lambda secret: repr([secret, {"key": secret}]),
        lambda secret: repr(copy.deepcopy([secret, copy.copy(secret)])),
        lambda secret: json.dumps({"key": secret}, default=str),
        lambda secret: msgspec.json.encode({"key": secret}, enc_hook=str).decode(),
    ],
)
def test_shows_a_fixed_text(show: object) -> None:
    """However a value usually gets into a text, no part of it does."""
    shown = show(Secret(VALUE))  # type: ignore[operator]
    assert VALUE not in shown
    assert VALUE[-6:] not in shown
    assert VALUE[:6] not in shown


@pytest.mark.parametrize(
    "leak",
    [pickle.dumps, msgspec.json.encode, json.dumps, vars, list, bytes, msgspec.to_builtins],
    ids=lambda function: function.__name__,
)
def test_refuses_to_be_taken_apart(leak: object) -> None:
    """What would turn it into plain data raises, and the error shows nothing."""
    with pytest.raises(TypeError) as caught:
        leak(Secret(VALUE))  # type: ignore[operator]
    assert VALUE not in "".join(traceback.format_exception(caught.value))


def test_does_not_change() -> None:
    """The value cannot be set again."""
    secret = Secret(VALUE)
    with pytest.raises(AttributeError):
        secret.value = b"other"


@given(
    usable,
    st.sampled_from(["", " ", "\n", "\r\n", "\t \n"]),
    st.sampled_from(["", "Bearer ", "bearer  ", "Bearer Bearer "]),
)
def test_takes_the_usual_slips_off(value: str, end: str, prefix: str) -> None:
    """A key file's line end and a `Bearer` in front make no difference."""
    assert Secret(f"{end}{prefix}{value}{end}").reveal() == value.encode()
    assert Secret(f"{prefix}{value}{end}".encode()) == Secret(value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("Bearer ", "empty"),
        ("Bearer", "empty"),
        ("sk-secret\r\nx-evil: 1", "control"),
        ("sk-secret\x00tail", "control"),
        ("sk-secret\x7ftail", "control"),
        ("sk-secret-é", "ASCII"),
        (b"sk-secret-\xff", "ASCII"),
        ("sk-secret" + "x" * SECRET_MAX, "longer"),
    ],
)
def test_refuses_what_is_no_header_value(value: str | bytes, words: str) -> None:
    """The refusal says what is wrong; neither it nor its traceback, locals included, holds the value."""
    with pytest.raises(SecretError, match=words) as caught:
        Secret(value)
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "sk-secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert "sk-secret" not in str([frame.locals for frame in told.stack[1:]])


@given(usable, usable)
def test_equality_is_that_of_the_values(one: str, other: str) -> None:
    """Equal values make equal secrets with equal hashes; nothing else is equal to a secret."""
    assert Secret(one) == Secret(one)
    assert hash(Secret(one)) == hash(Secret(one))
    assert (Secret(one) == Secret(other)) == (Secret(one).reveal() == Secret(other).reveal())
    assert Secret(one) != one
    assert Secret(one) != one.encode()


def test_the_text_shown_is_the_same_for_all() -> None:
    """Not even the length shows."""
    assert repr(Secret("a")) == repr(Secret("b" * 500)) == SHOWN
