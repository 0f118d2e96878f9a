"""Lines of keys: right for what people write, harmless for the rest."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.toml_lines import line_of, lines_of_keys

TEXT = '''# comment
[service]
log_dir = "x"

[ports.openai]
listen = """
[not.a.header]
neither = "this"
"""
credential = { env = "A" }
allowed_hosts = [
  "a",
  "b",
]
upstream.deep . "quoted key" = 1
[ports."odd name"]
provider = 'x'
'''


def test_finds_the_lines() -> None:
    """Headers, keys, dotted and quoted ones; nothing inside a many-line string."""
    lines = lines_of_keys(TEXT)
    assert lines == {
        ("service",): 2,
        ("service", "log_dir"): 3,
        ("ports", "openai"): 5,
        ("ports", "openai", "listen"): 6,
        ("ports", "openai", "credential"): 10,
        ("ports", "openai", "allowed_hosts"): 11,
        ("ports", "openai", "upstream", "deep", "quoted key"): 15,
        ("ports", "odd name"): 16,
        ("ports", "odd name", "provider"): 17,
    }
    assert tomllib.loads(TEXT)  # the text is TOML, so that the test is about something


def test_what_has_no_line_of_its_own_has_that_of_what_is_near() -> None:
    """An inline table's member has the table's line, a table its first member's, what is nowhere none."""
    lines = lines_of_keys(TEXT)
    assert line_of(lines, ("ports", "openai", "credential", "env")) == 10
    assert line_of(lines, ("ports",)) == 5
    assert line_of(lines, ("nothing", "here")) is None


@given(st.text(alphabet="[]ab.\"'=\n#\\ "))
def test_any_text_has_an_answer(text: str) -> None:
    """Also what is no TOML: lines are within the text."""
    assert all(1 <= line <= text.count("\n") + 1 for line in lines_of_keys(text).values())
