"""What looks like a key where a name belongs."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.credentials import NOT_REPEATED, looks_like_key, shown, variable_problem

_FIRST = string.ascii_letters + "_"
#: without `.` and `/`, which names of files have
_SIGNS = string.ascii_letters + string.digits + "-_"


@pytest.mark.parametrize(
    "key",
    [
        "sk-PASTEDKEY-abcdef",
        "sk-ant-api03-x.y",
        "ghp_abc",
        "gho_abc",
        "github_pat_abc",
        "AIzaSyabc",
        "xai-abc",
        "gsk_abc",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJub25lIn0.e30.",
        "Bearer sk-abc",
        "0123456789abcdef0123456789abcdef",
        "0123456789ABCDEF0123456789ABCDEF",
        "abcdefabcdefabcdefabcdefabcdefab",
    ],
)
def test_keys_are_not_repeated(key: str) -> None:
    """Those of well-known makers by how they begin, the others by their length."""
    assert looks_like_key(key)
    assert shown(key, "`") == NOT_REPEATED


@pytest.mark.parametrize(
    "name",
    ["openai.key", "OPENAI_API_KEY", "MY_COMPANY_PRODUCTION_OPENAI_API_KEY", "a" * 40 + ".key", "/run/keys/sk-1", "sk"],
)
def test_names_are(name: str) -> None:
    """A message without the name would not say what to mend."""
    assert shown(name, "`") == f"`{name}`"


@given(st.text(_SIGNS, min_size=32).filter(lambda text: not text.isupper()))
def test_no_long_run_of_signs_is_repeated(key: str) -> None:
    """Nobody knows how the next maker's keys begin."""
    assert key not in shown(key)


@given(st.sampled_from(_FIRST), st.text(_FIRST + string.digits))
def test_names_of_variables(first: str, rest: str) -> None:
    """All that a shell can set."""
    assert variable_problem(first + rest) is None


@given(st.text().filter(lambda text: not text.isidentifier()))
def test_what_is_no_name_of_a_variable_is_told_without_it(text: str) -> None:
    """The sentence is one and the same."""
    assert variable_problem(text) == variable_problem("sk-1") is not None
