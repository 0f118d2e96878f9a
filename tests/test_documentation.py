"""What can be configured is documented: a key, a variable or a default that is missing from the page fails here."""

import re
from pathlib import Path

import msgspec
import pytest

from awfproxy.core.environment import OWN_NAMES
from awfproxy.core.providers import PROVIDERS
from awfproxy.core.settings import ADMIN
from awfproxy.core.settings_change import RESTART
from awfproxy.core.settings_clients import CLIENT_KEY_MIN
from awfproxy.core.toml_tables import (
    BudgetTable,
    ClientTable,
    FeatureTable,
    LimitsTable,
    PortBudgetTable,
    PortTable,
    ServiceTable,
)

#: other people's variables that are read
OTHER_NAMES = (
    "AWF_RATE_LIMIT_BYTES_PM",
    "AWF_RATE_LIMIT_ENABLED",
    "AWF_RATE_LIMIT_RPH",
    "AWF_RATE_LIMIT_RPM",
    "AWF_TOKEN_LOG_DIR",
    "CREDENTIALS_DIRECTORY",
    "HOME",
    "HTTPS_PROXY",
    "LOGS_DIRECTORY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "STATE_DIRECTORY",
    "XDG_STATE_HOME",
)
#: the tables of a file, and the headings of the page under which their keys stand
TABLES = [
    ("### `[service]`", ServiceTable),
    ("### `[ports.NAME]`", PortTable),
    ("### `[ports.NAME.limits]`", LimitsTable),
    ("### `[ports.NAME.budget]`", PortBudgetTable),
    ("### `[ports.NAME.clients.CLIENT]`", ClientTable),
    ("### `[ports.NAME.features.FEATURE]`", FeatureTable),
]

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "configuration.md").read_text()


def rows(heading: str) -> dict[str, list[str]]:
    """The cells of the first table after a heading, by the key in their first cell."""
    table = PAGE.split(heading + "\n", 1)[1].split("\n|", 1)[1].split("\n\n", 1)[0]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]
    return {row[0].strip("| `"): row for row in cells}


@pytest.mark.parametrize(("heading", "table"), TABLES)
def test_every_key_is_in_its_table(heading: str, table: type[msgspec.Struct]) -> None:
    """No key is missing, and none is there that the file does not have."""
    assert set(rows(heading)) == set(table.__struct_fields__)


@pytest.mark.parametrize(("heading", "table"), TABLES)
def test_the_defaults_are_those_of_the_program(heading: str, table: type[msgspec.Struct]) -> None:
    """Numbers and words that the program starts from."""
    documented = rows(heading)
    for field in msgspec.structs.fields(table):
        if isinstance(field.default, int | float | str):
            default = f"{field.default:.0f}" if isinstance(field.default, float) else str(field.default)
            assert documented[field.name][1].strip("`") == (
                default.lower() if isinstance(field.default, bool) else default
            )
    assert rows("### `[service]`")["admin"][1] == f"`{ADMIN}`"


def test_every_variable_is_documented() -> None:
    """Ours, AWF's, systemd's, and those of each provider with its port and upstream."""
    for name in (*OWN_NAMES, *OTHER_NAMES):
        assert f"`{name}`" in PAGE or f"`{name}=" in PAGE, name
    for provider in PROVIDERS.values():
        for name in provider.env_keys:
            (line,) = [line for line in PAGE.splitlines() if line.startswith("|") and f"`{name}`" in line]
            assert f"port {provider.default_port}," in line
            assert f"`{provider.env_target}` or {provider.default_upstream}." in line


def test_every_provider_is_documented() -> None:
    """In the row of the key that names it."""
    documented = rows("### `[ports.NAME]`")["provider"][2]
    assert set(re.findall(r"`(\w+)`", documented)) == set(PROVIDERS)


def test_budgets_of_clients_and_features_have_the_keys_of_a_ports_own() -> None:
    """But for those that hold for the whole port, which the page names."""
    more = set(PortBudgetTable.__struct_fields__) - set(BudgetTable.__struct_fields__)
    paragraph = next(part for part in PAGE.split("\n\n") if part.startswith("Budgets of clients and features"))
    assert set(re.findall(r"`(\w+)`", paragraph)) == more


def test_the_shortest_key_is_documented() -> None:
    """The number is the program's."""
    assert f"At least {CLIENT_KEY_MIN} bytes" in rows("### `[ports.NAME.clients.CLIENT]`")["key"][2]


def test_what_can_be_reloaded_is_told_of_every_key() -> None:
    """Each table of the file is there, and of `[service]` each key on the side where the program has it."""
    told = rows("## What can be reloaded")
    service = [row for row in told.values() if "of `[service]`" in row[0]]
    named = {row[1].partition(":")[0].partition(";")[0]: set(re.findall(r"`(\w+)`", row[0])) for row in service}
    assert named == {"no": set(RESTART), "yes": set(ServiceTable.__struct_fields__) - set(RESTART)}
    whole = " ".join(row[0] for row in told.values() if row[0].startswith("all of"))
    for heading, _ in TABLES[1:]:
        assert heading.removeprefix("### ") in whole
