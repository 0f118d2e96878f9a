"""A file's tables: every fault with its line, its key and a remedy; later settings refused by name."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.toml_tables import LATER_PORT, LATER_SERVICE, Document, PortTable, ServiceTable


def faults(text: str) -> list[str]:
    return Document(text, "a.toml").lines()


def test_an_empty_text_is_all_defaults() -> None:
    """Nothing said is nothing wrong here."""
    document = Document("", "a.toml")
    assert (document.service, document.ports, document.lines()) == (ServiceTable(), {}, [])


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
        ("[service]\n\nworkers = 2", "a.toml:3: `service.workers` other than 1 is not supported in this version."),
        (
            "[ports.'a b']",
            "a.toml:1: `ports.a b` is no usable name: up to 64 letters, digits, `-` and `_`, no sign first.",
        ),
        ("[ports.a]\nlimit = 1", "a.toml:2: `ports.a.limit` is not a setting; did you mean `limits`?"),
        ("[ports]\na = 1", "a.toml:2: `ports.a` must be a table; write `[ports.a]`."),
        ("ports = 1", "a.toml:1: `ports` must be a table."),
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


@pytest.mark.parametrize("key", LATER_PORT)
def test_refuses_what_comes_later_on_ports(key: str) -> None:
    """A limit that would not be kept is not taken."""
    told = f"a.toml:2: `ports.a.{key}` is not supported in this version."
    assert faults(f"[ports.a]\n{key} = 1") == faults(f"[ports.a]\n[ports.a.{key}]") == [told]
    assert key not in PortTable.__struct_fields__


@pytest.mark.parametrize("key", LATER_SERVICE)
def test_refuses_what_comes_later_on_the_service(key: str) -> None:
    """The same for the process."""
    assert faults(f"[service]\n{key} = 'x'") == [f"a.toml:2: `service.{key}` is not supported in this version."]


def test_a_fault_leaves_the_rest_readable() -> None:
    """Fields beside a wrong one are still typed, so that their faults are found in the same pass."""
    document = Document("[ports.a]\nlisten = 1\nprovider = 'openai'", "a.toml")
    assert document.ports["a"].provider == "openai"
    assert document.given == {("ports", "a", "listen"), ("ports", "a", "provider")}


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
    document._read({"ports": {"a": {key: value}}})
    assert document.lines() or value is None or getattr(document.ports["a"], key) is not None


def test_deep_nesting_is_a_fault() -> None:
    """A text made to exhaust the stack is refused like any other."""
    assert len(faults("a = " + "[" * 100_000)) == 1
