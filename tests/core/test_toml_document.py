"""A file's text: every fault with its line, its key and a remedy."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.toml_document import Document
from awfproxy.core.toml_tables import BudgetTable, FileTable, PortTable


def faults(text: str) -> list[str]:
    return Document(text, "a.toml").lines()


def test_an_empty_text_is_all_defaults() -> None:
    """Nothing said is nothing wrong here."""
    document = Document("", "a.toml")
    assert (document.tables, document.lines()) == (FileTable(), [])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[service]\nlog_dri = 'x'", "a.toml:2: `service.log_dri` is not a setting; did you mean `log_dir`?"),
        ("[ports.a]\nlisten = 3", "a.toml:2: `ports.a.listen` is wrong: expected a text, got a whole number."),
        ("[ports.a]\nlisten = ''", "a.toml:2: `ports.a.listen` is wrong: expected a text that is not empty."),
        ("[ports.a]\ninclude_usage = 'of'", "a.toml:2: `ports.a.include_usage` cannot be `of`; did you mean `off`?"),
        ("[ports.a]\nidle_timeout = 0", "a.toml:2: `ports.a.idle_timeout` is wrong: expected a number > 0.0."),
        ("[ports.a]\nidle_timeout = nan", "a.toml:2: `ports.a.idle_timeout` must be a finite number."),
        (
            "[ports.a]\nidle_timeout = true",
            "a.toml:2: `ports.a.idle_timeout` is wrong: expected a number, got true or false.",
        ),
        ("[service]\n\nworkers = 0", "a.toml:3: `service.workers` is wrong: expected a whole number >= 1."),
        ("[service]\nledger = 3", "a.toml:2: `service.ledger` is wrong: expected a text or a table, got a whole number."),
        (
            "[ports.'a b']",
            "a.toml:1: `ports.a b` is no usable name: up to 64 letters, digits, `-` and `_`, no sign first.",
        ),
        ("[ports.a]\nlimit = 1", "a.toml:2: `ports.a.limit` is not a setting; did you mean `limits`?"),
        (
            "[ports.a.budget]\nhard_cap = 1",
            "a.toml:2: `ports.a.budget.hard_cap` is not a setting; did you mean `hard_cap_tokens`?",
        ),
        (
            "[ports.a.budget]\nhard_cap_usb = 1",
            "a.toml:2: `ports.a.budget.hard_cap_usb` is not a setting; did you mean `hard_cap_usd`?",
        ),
        ("[ports]\na = 1", "a.toml:2: `ports.a` must be a table; write `[ports.a]`."),
        ("ports = 1", "a.toml:1: `ports` must be a table; write `[ports]`."),
        ("[ports.a]\nlimits = 5", "a.toml:2: `ports.a.limits` must be a table; write `[ports.a.limits]`."),
        (
            "[ports.a.limits]\n\nrequest_per_minute = 5",
            "a.toml:3: `ports.a.limits.request_per_minute` is not a setting; did you mean `requests_per_minute`?",
        ),
        (
            "[ports.a]\nlimits.requests_per_hour = 0",
            "a.toml:2: `ports.a.limits.requests_per_hour` is wrong: expected a whole number >= 1.",
        ),
        (
            "[ports.a.budget]\nperiod = 'weak'",
            "a.toml:2: `ports.a.budget.period` cannot be `weak`; did you mean `week`?",
        ),
        (
            "[ports.a.budget]\nhard_cap_tokens = -1",
            "a.toml:2: `ports.a.budget.hard_cap_tokens` is wrong: expected a whole number >= 0.",
        ),
        (
            "[ports.a.budget]\nunbounded = 1.5",
            "a.toml:2: `ports.a.budget.unbounded` is wrong: expected a whole number or a text, got a number.",
        ),
        (
            "[ports.a.budget]\nunbounded = 'ask'",
            "a.toml:2: `ports.a.budget.unbounded` cannot be `ask`; valid are `refuse`.",
        ),
        (
            "[ports.a.budget]\nhard_cap_usd = inf",
            "a.toml:2: `ports.a.budget.hard_cap_usd` must be a finite number.",
        ),
        (
            "[ports.a.clients.'a b']",
            "a.toml:1: `ports.a.clients.a b` is no usable name: up to 64 letters, digits, `-` and `_`, no sign first.",
        ),
        (
            "[ports.a]\nclients.b = 'sk-inline'",
            "a.toml:2: `ports.a.clients.b` must be a table; write `[ports.a.clients.b]`.",
        ),
        (
            "[ports.a.clients.b]\nkey = 'sk-inline'",
            "a.toml:2: `ports.a.clients.b.key` is wrong: expected a table, got a text.",
        ),
        (
            "[ports.a.features.' a']",
            "a.toml:1: `ports.a.features. a` is no usable name: up to 256 bytes of text, nothing unprintable in it.",
        ),
        (
            "[ports.a.features]\nreview = 3",
            "a.toml:2: `ports.a.features.review` must be a table; write `[ports.a.features.review]`.",
        ),
        ("[port.a]", "a.toml:1: `port` is not a setting; did you mean `ports`?"),
        (
            "[ports.a]\ncredential = { envv = 'X' }",
            "a.toml:2: `ports.a.credential` has the unknown member `envv`; valid are `env`, `file` and `systemd`.",
        ),
        (
            "[ports.a]\nallowed_hosts = ['a', 1]",
            "a.toml:2: `ports.a.allowed_hosts` is wrong: expected a text, got a whole number (at `[1]`).",
        ),
        ("a = \n", "a.toml:1: this is not valid TOML: invalid value."),
        ("[a]\n[a]", "a.toml:2: this is not valid TOML: cannot declare ('a',) twice."),
    ],
)
def test_names_place_key_and_remedy(text: str, line: str) -> None:
    """One whole sentence a fault."""
    assert faults(text) == [line]


def test_tells_all_faults_in_the_order_of_the_file() -> None:
    """The one who corrects the file does it once."""
    text = "[ports.a]\nxx = 1\nlisten = 2\n[service]\nzz = 3\n"
    assert [line.split(":")[1] for line in faults(text)] == ["2", "3", "5"]


def test_a_fault_leaves_the_rest_readable() -> None:
    """Fields beside a wrong one are still typed, so that their faults are found in the same pass."""
    document = Document("[ports.a]\nlisten = 1\nprovider = 'openai'", "a.toml")
    assert document.ports["a"].provider == "openai"
    assert document.given == {
        ("ports",), ("ports", "a"), ("ports", "a", "listen"), ("ports", "a", "provider")
    }  # fmt: skip


def test_tables_within_tables_are_read() -> None:
    """By header, by dotted key and inline; what is given is known by its path."""
    text = """
    [ports.a]
    limits.requests_per_minute = 3
    budget = { enabled = true }
    [ports.a.features."code review".budget]
    period = "day"
    """
    document = Document(text, "a.toml")
    assert document.lines() == []
    port = document.ports["a"]
    assert (port.limits.requests_per_minute, port.budget.enabled) == (3, True)
    assert port.features["code review"].budget == BudgetTable(period="day")
    assert ("ports", "a", "features", "code review", "budget", "period") in document.given
    assert document.place(("ports", "a", "budget", "enabled")) == "a.toml:4"


@given(st.text())
def test_any_text_has_an_answer(text: str) -> None:
    """Nothing raises; a text that is no TOML has exactly one fault."""
    lines = faults(text)
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assert len(lines) == 1


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(PortTable.__struct_fields__)), _values)
def test_any_value_of_any_key_has_an_answer(key: str, value: object) -> None:
    """Wrong types of every kind become faults."""
    document = Document("", "a.toml")
    table = document._table(("ports", "a"), {key: value}, PortTable)
    assert document.lines() or value is None or getattr(table, key) is not None


def test_deep_nesting_is_a_fault() -> None:
    """A text made to exhaust the stack is refused like any other."""
    assert len(faults("a = " + "[" * 100_000)) == 1
