"""Limits, budgets and features of a port, as the file's tables make them."""

import pytest

from awfproxy.core.budgets import Budget
from awfproxy.core.rates import RateLimits
from awfproxy.core.secret import Secret
from awfproxy.core.settings import OTHER_FEATURES, Client, Feature, Port, PortBudget, Upstream
from awfproxy.core.settings_budgets import (
    features_of,
    limits_of,
    note_idle_webhook,
    note_lack_of_places,
    port_budget_of,
)
from awfproxy.core.settings_draft import Draft
from awfproxy.core.toml_document import Document

AT = ("ports", "a", "budget")


def draft_of(text: str) -> Draft:
    return Draft(Document(text, "a.toml"), lambda kind, name: Secret(name) if name.startswith("https:") else "cannot be read")


def budget(lines: str) -> tuple[PortBudget, list[str], list[str]]:
    """The budget, faults and warnings."""
    draft = draft_of(f"[ports.a.budget]\n{lines}")
    found = port_budget_of(draft, AT, draft.document.ports["a"].budget)
    return found, draft.document.lines(), draft.warnings


def test_limits_are_as_written() -> None:
    """What is not written is not limited."""
    draft = draft_of("[ports.a.limits]\ntokens_per_minute = 7")
    assert limits_of(draft.document.ports["a"].limits) == RateLimits(tokens_per_minute=7)


def test_a_budget_that_is_not_written() -> None:
    """Off, and nothing to say about it."""
    assert budget("") == (PortBudget(), [], [])


def test_the_example_of_the_contract() -> None:
    """Every value is the default one, but that it is on."""
    lines = """
    enabled = true
    period = "month"
    soft_cap_tokens = 100000
    hard_cap_tokens = 500000
    mode = "learned"
    unbounded = "refuse"
    count = "reported"
    hard_cap_usd = 0
    """
    assert budget(lines) == (PortBudget(enabled=True), [], [])


@pytest.mark.parametrize(
    ("lines", "place", "words"),
    [
        ("soft_cap_tokens = 11\nhard_cap_tokens = 10", "a.toml:2: `ports.a.budget.soft_cap_tokens`", "give both"),
        ("hard_cap_tokens = 10", "a.toml:2: `ports.a.budget.hard_cap_tokens`", "soft cap (100000) above the hard cap (10)"),
        ("soft_cap_tokens = 500001", "a.toml:2: `ports.a.budget.soft_cap_tokens`", "above the hard cap (500000)"),
        ('mode = "strict"\nhard_cap_usd = 1', "a.toml:2: `ports.a.budget.mode`", 'mode = "learned"'),
        ('webhook = "hooks.example"', "a.toml:2: `ports.a.budget.webhook`", "is no URL"),
        ('webhook = { file = "x" }', "a.toml:2: `ports.a.budget.webhook`", "cannot be read"),
    ],
)
def test_what_does_not_go_together_is_told(lines: str, place: str, words: str) -> None:
    """With the key, its line and what would be right."""
    _, (fault,), _ = budget(lines)
    assert fault.startswith(f"{place} ")
    assert words in fault


@pytest.mark.parametrize(
    ("lines", "warned"),
    [
        ("hard_cap_tokens = 900000", True),
        ("enabled = false\nhard_cap_tokens = 900000", False),
        ("enabled = true", False),
        ('on_ledger_loss = "allow"', False),
    ],
)
def test_a_budget_without_enabled_is_worth_a_warning(lines: str, warned: bool) -> None:
    """Whoever writes caps alone may think that they hold."""
    _, faults, warnings = budget(lines)
    assert faults == []
    assert [line.split(" is ")[0] for line in warnings] == ["a.toml:1: `ports.a.budget`"] * warned


@pytest.mark.parametrize(
    "written", ['"https://hooks.example/T0?x=1"', '{ file = "https://hooks.example/T0?x=1" }']
)
def test_a_webhook_is_a_secret_wherever_it_stands(written: str) -> None:
    """It may be written into the file, or be in a place of its own."""
    found, faults, _ = budget(f"webhook = {written}")
    assert faults == []
    assert found.webhook == Secret("https://hooks.example/T0?x=1")


@pytest.mark.parametrize(("of_port", "of_user", "warned"), [(False, False, True), (True, False, False), (False, True, False)])
def test_a_webhook_without_a_budget_is_worth_a_warning(of_port: bool, of_user: bool, warned: bool) -> None:
    """It would never be called; a budget of a user or a feature is one of the port's."""
    draft = draft_of('[ports.a.budget]\n\nwebhook = "https://hooks.example/T0"')
    hook = Secret("https://hooks.example/T0")
    note_idle_webhook(draft, AT, PortBudget(webhook=hook, enabled=of_port), [Budget(enabled=of_user)])
    words = "a.toml:3: `ports.a.budget.webhook` is told nothing, as no budget of this port is enabled."
    assert draft.warnings == [words] * warned
    note_idle_webhook(draft, AT, PortBudget(), [])
    assert len(draft.warnings) == warned


@pytest.mark.parametrize(
    ("lines", "warned"),
    [
        ("enabled = true\nunbounded = 9", True),
        ('enabled = true\nunbounded = "refuse"', False),
        ('enabled = true\nunbounded = 9\nmode = "strict"', False),
    ],
)
def test_a_number_for_what_has_no_bound_is_for_strict_budgets(lines: str, warned: bool) -> None:
    """A learned one estimates such calls too."""
    _, faults, warnings = budget(lines)
    assert faults == []
    assert [line.split(" says ")[0] for line in warnings] == ["a.toml:3: `ports.a.budget.unbounded`"] * warned


@pytest.mark.parametrize(("users", "usd", "warned"), [(2047, 0.0, False), (2048, 0.0, True), (1024, 1.0, True)])
def test_more_budgets_than_a_process_can_hold_are_worth_a_warning(users: int, usd: float, warned: bool) -> None:
    """Caps of either kind, in two periods; several clients of one user share one, and what is off needs no place."""
    draft = draft_of("[ports.a]\n")
    enabled = Budget(enabled=True, hard_cap_usd=usd)
    clients = [
        Client(name=f"c{number}", key=Secret("x"), user=f"u{number % users}", budget=enabled)
        for number in range(users + 5)
    ]
    port = Port(
        name="a", listen="", provider="openai", upstream=Upstream("http", "up.test", 80), clients=tuple(clients),
        budget=PortBudget(enabled=True), features=(Feature(name="f"),),
    )  # fmt: skip
    note_lack_of_places(draft, [port])
    assert [warning[:8] for warning in draft.warnings] == ["a.toml: "] * warned


def test_features() -> None:
    """Listed by name, each with or without a budget; `other` is one like the others."""
    draft = draft_of(f"""
    [ports.a.features]
    "code review" = {{}}
    [ports.a.features.{OTHER_FEATURES}.budget]
    enabled = true
    """)
    assert features_of(draft, ("ports", "a", "features"), draft.document.ports["a"].features) == (
        Feature(name="code review"),
        Feature(name=OTHER_FEATURES, budget=Budget(enabled=True)),
    )
    assert (draft.document.lines(), draft.warnings) == ([], [])
