"""Which budgets there are, and where their fields are from."""

import pytest

from awfproxy.core.budgets import DEFAULTS, FIELDS, Budget, Scope
from awfproxy.core.scopes import budgets_of, counted_feature, find_scope, has_key, sources_of
from awfproxy.core.secret import Secret
from awfproxy.core.settings import Client, Database, Feature, Port, PortBudget, Service, Settings, Upstream

CI = Budget(enabled=True, hard_cap_tokens=200_000)
REVIEW = Budget(enabled=True, period="day")


def port(name: str, **more: object) -> Port:
    return Port(name=name, listen="tcp:1", provider="openai", upstream=Upstream("https", "a", 443), **more)  # type: ignore[arg-type]


def settings() -> Settings:
    """Two ports: one with everything, one with nothing."""
    clients = tuple(
        Client(name=name, key=Secret(name), user=user, budget=CI) for name, user in (("old", "ci"), ("new", "ci"))
    )
    return Settings(
        service=Service(log_dir="/l", state_dir="/s", admin="tcp:2", ledger=Database("sqlite:////l.db")),
        ports=(
            port("a", clients=clients, features=(Feature(name="review", budget=REVIEW),), budget=PortBudget(enabled=True)),
            port("b", credential=Secret("k")),
        ),
        source="a.toml",
        sources={
            "ports.a.budget.enabled": "a.toml:3",
            "ports.a.clients.old.budget.enabled": "a.toml:4",
            "ports.a.clients.new.budget.enabled": "a.toml:4",
            "ports.a.features.review.budget.period": "a.toml:5",
        },
    )


def test_every_port_user_and_feature_has_one() -> None:
    """A user once, however many keys; `other` where features are listed; in the order of the file."""
    assert budgets_of(settings()) == {
        Scope("a"): PortBudget(enabled=True),
        Scope("a", "user", "ci"): CI,
        Scope("a", "feature", "review"): REVIEW,
        Scope("a", "feature", "other"): DEFAULTS,
        Scope("b"): PortBudget(),
    }


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ({"port": "b"}, Scope("b")),
        ({"port": "a", "user": "ci"}, Scope("a", "user", "ci")),
        ({"port": "a", "feature": "other"}, Scope("a", "feature", "other")),
    ],
)
def test_a_budget_is_found_by_its_names(named: dict[str, str], found: Scope) -> None:
    """As they are given on the command line."""
    assert find_scope(settings(), **named) == found


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"port": "c"}, "There is no port c; there are a, b."),
        ({"port": "a", "user": "old"}, "it has ci"),
        ({"port": "b", "user": "ci"}, "it has none"),
        ({"port": "a", "feature": "chat"}, '[ports.a.features."chat"]'),
        ({"port": "b", "feature": "other"}, "it has none"),
    ],
)
def test_a_budget_that_is_not_there_is_told_with_those_that_are(named: dict[str, str], words: str) -> None:
    """A client's name is not its user's, and nothing is enforced for what the file does not name."""
    found = find_scope(settings(), **named)
    assert isinstance(found, str) and words in found


@pytest.mark.parametrize(
    ("scope", "field", "source"),
    [
        (Scope("a"), "enabled", "a.toml:3"),
        (Scope("a", "user", "ci"), "enabled", "a.toml:4"),
        (Scope("a", "feature", "review"), "period", "a.toml:5"),
        (Scope("a", "feature", "other"), "period", "default"),
        (Scope("b"), "enabled", "default"),
    ],
)
def test_a_field_is_from_the_file_or_the_default(scope: Scope, field: str, source: str) -> None:
    """By the key of the table in which it stands."""
    sources = sources_of(settings(), scope, {})
    assert tuple(sources) == FIELDS
    assert sources[field] == source


def test_a_stored_field_is_its_own_source_if_it_can_be_used() -> None:
    """One that is wrong does not count."""
    sources = sources_of(settings(), Scope("a"), {"enabled": False, "hard_cap_tokens": -1})
    assert sources["enabled"] is None
    assert sources["hard_cap_tokens"] == "default"


@pytest.mark.parametrize(
    ("listed", "feature", "counted"),
    [
        ({"review"}, "review", "review"),
        ({"review"}, "chat", "other"),
        ({"review"}, None, "other"),
        (set(), "chat", "chat"),
        (set(), None, None),
    ],
)
def test_features_that_are_not_listed_count_as_one(listed: set[str], feature: str | None, counted: str | None) -> None:
    """Where none is listed each keeps its name."""
    assert counted_feature(listed, feature) == counted


def test_a_port_has_a_key_or_needs_none() -> None:
    """Else its calls are refused anyway."""
    assert [has_key(each) for each in settings().ports] == [False, True]
    assert has_key(port("c", keyless=True))
