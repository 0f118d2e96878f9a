"""A file's text: every fault with its line, its key and a remedy."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.credentials import NOT_REPEATED
from awfproxy.core.toml_document import Document
from awfproxy.core.toml_tables import BudgetTable, FileTable, PortTable

CREDENTIAL = "write `{ file = PATH }` or `{ env = NAME }`; a key does not stand in this file"
USAGE = "valid are `invisible`, `off`, `visible`"
QUOTES = "invalid value; a text stands in quotes, numbers, true and false do not"


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
        ("[ports.a]\nprovider = 3", "a.toml:2: `ports.a.provider` is wrong: expected a text, got a whole number."),
        ("[ports.a]\nlisten = 3", 'a.toml:2: `ports.a.listen` is a port number alone; write `"tcp:3"`.'),
        ("[service]\nadmin = 3", 'a.toml:2: `service.admin` is a port number alone; write `"tcp:3"`.'),
        ("[ports.a]\nlisten = true", "a.toml:2: `ports.a.listen` is wrong: expected a text, got true or false."),
        ("[ports.a]\ninclude_usage = 'sk-PASTED'", f"a.toml:2: `ports.a.include_usage` cannot be {NOT_REPEATED}; {USAGE}."),
        ("[ports.a]\ncredential = 'sk-PASTED'", f"a.toml:2: `ports.a.credential` must be a table; {CREDENTIAL}."),
        ("[ports.a.clients.c]\nkey = 'PASTED'", f"a.toml:2: `ports.a.clients.c.key` must be a table; {CREDENTIAL}."),
        ("[ports.a]\ncredential = 5", "a.toml:2: `ports.a.credential` is wrong: expected a table, got a whole number."),
        (
            "[ports.a]\napi_key = 'PASTED'",
            "a.toml:2: `ports.a.api_key` is not a setting; write `credential = { file = PATH }` or"
            " `credential = { env = NAME }`; a key does not stand in this file.",
        ),
        (
            "[ports.a.budget]\nunbounded = 'allow'",
            "a.toml:2: `ports.a.budget.unbounded` cannot be `allow`; valid are `refuse` or a whole number.",
        ),
        (
            "[ports.a.budget]\nunbounded = 'refused'",
            "a.toml:2: `ports.a.budget.unbounded` cannot be `refused`; did you mean `refuse`?",
        ),
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
        ("a = \n", f"a.toml:1: this is not valid TOML: {QUOTES}."),
        ("[ports.a]\nprovider = openai", f"a.toml:2: this is not valid TOML: {QUOTES}."),
        ("a = 1x", "a.toml:1: this is not valid TOML: expected newline or end of document after a statement."),
        (
            "[ports.'a b']\n[ports.'a b']",
            "a.toml:2: this is not valid TOML: the table `[ports.a b]` is there already; write both into one.",
        ),
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
