"""The keys of a file are those of the settings, and their bounds hold."""

import msgspec
import pytest

from awfproxy.core.budgets import Budget
from awfproxy.core.rates import RateLimits
from awfproxy.core.settings import Client, Feature, Port, PortBudget, Service
from awfproxy.core.toml_tables import (
    IDENTIFIERS,
    LABELS,
    BudgetTable,
    ClientTable,
    FeatureTable,
    LimitsTable,
    PortBudgetTable,
    PortTable,
    ServiceTable,
)

#: a table, the settings made of it, and which of those are no keys of it
PAIRS = [
    (ServiceTable, Service, set()),
    (PortTable, Port, {"name", "keyless", "credential_variable", "proxy"}),
    (LimitsTable, RateLimits, set()),
    (BudgetTable, Budget, set()),
    (PortBudgetTable, PortBudget, {"webhook_proxy"}),
    (ClientTable, Client, {"name"}),
    (FeatureTable, Feature, {"name"}),
]


@pytest.mark.parametrize(("table", "settings", "others"), PAIRS)
def test_every_setting_has_its_key(
    table: type[msgspec.Struct], settings: type[msgspec.Struct], others: set[str]
) -> None:
    """None can be written that goes nowhere, and none is out of a file's reach."""
    assert set(table.__struct_fields__) == set(settings.__struct_fields__) - others


@pytest.mark.parametrize(("table", "settings"), [(BudgetTable, Budget), (PortBudgetTable, PortBudget)])
def test_a_budget_that_is_not_written_is_the_default_one(
    table: type[BudgetTable], settings: type[Budget]
) -> None:
    """Field by field."""
    written, found = msgspec.structs.asdict(table()), msgspec.structs.asdict(settings())
    assert written == {name: found[name] for name in written}


@pytest.mark.parametrize(
    ("name", "identifier", "label"),
    [
        ("ci", True, True),
        ("a" * 64, True, True),
        ("a" * 65, False, True),
        ("-a", False, True),
        ("code review", False, True),
        ("Prüfung", False, True),
        ("", False, False),
        (" a", False, False),
        ("a\nb", False, False),
        ("ü" * 128, False, True),
        ("ü" * 129, False, False),
    ],
)
def test_names(name: str, identifier: bool, label: bool) -> None:
    """Ports and clients are named for files and metrics, features as a header says them."""
    assert (IDENTIFIERS.fits(name), LABELS.fits(name)) == (identifier, label)
