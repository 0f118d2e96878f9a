"""What every ledger promises about stored settings of budgets."""

from typing import Any

from awfproxy.core.budgets import Scope
from awfproxy.ledger.facts import Setting
from awfproxy.ledger.interface import Ledger

PORT = Scope("openai")
USER = Scope("openai", "user", "ci")


def nothing(stored: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Leaves no field."""
    return {}


def over(stored: dict[str, Any], given: dict[str, Any]) -> dict[str, Any] | str:
    """A merge as the budgets' rules have it: given fields over stored ones, and refusals as values."""
    merged = stored | given
    return merged if merged.get("hard_cap_tokens", 1) >= 0 else "negative"


def test_given_fields_go_over_stored_ones(ledger: Ledger) -> None:
    """Each change keeps the others, and says who made it and when."""
    assert ledger.setting(PORT) is None
    ledger.set_setting(PORT, {"enabled": True, "hard_cap_usd": 1.5}, "ann", 10.25, over)
    changed = ledger.set_setting(PORT, {"hard_cap_tokens": 7, "unbounded": "refuse"}, "bob", 11.5, over)
    fields = {"enabled": True, "hard_cap_usd": 1.5, "hard_cap_tokens": 7, "unbounded": "refuse"}
    assert changed == Setting(PORT, fields, "bob", 11.5) == ledger.setting(PORT)


def test_what_the_rules_refuse_is_not_stored(ledger: Ledger) -> None:
    """The refusal is handed back, and the setting is as before."""
    ledger.set_setting(PORT, {"hard_cap_tokens": 7}, "ann", 1.0, over)
    assert ledger.set_setting(PORT, {"hard_cap_tokens": -1}, "bob", 2.0, over) == "negative"
    assert ledger.setting(PORT) == Setting(PORT, {"hard_cap_tokens": 7}, "ann", 1.0)
    assert ledger.set_setting(USER, {"hard_cap_tokens": -1}, "bob", 2.0, over) == "negative"
    assert ledger.setting(USER) is None


def test_fields_are_taken_out_one_by_one_or_all(ledger: Ledger) -> None:
    """Who did it is still known when nothing is left."""
    ledger.set_setting(PORT, {"enabled": True, "mode": "strict"}, "ann", 1.0, over)
    left = ledger.set_setting(PORT, {}, "bob", 2.0, lambda stored, _: {"enabled": stored["enabled"]})
    assert left == Setting(PORT, {"enabled": True}, "bob", 2.0)
    assert ledger.set_setting(PORT, {}, "cid", 3.0, nothing) == Setting(PORT, {}, "cid", 3.0)
    assert ledger.setting(PORT) == Setting(PORT, {}, "cid", 3.0)
    assert ledger.set_setting(USER, {}, "cid", 3.0, nothing) == Setting(USER, {}, "cid", 3.0)


def test_all_settings_in_order(ledger: Ledger) -> None:
    """One for each scope."""
    assert ledger.settings() == []
    for scope in (USER, PORT, Scope("anthropic")):
        ledger.set_setting(scope, {"enabled": True}, "ann", 1.0, over)
    assert [setting.scope for setting in ledger.settings()] == [Scope("anthropic"), PORT, USER]


def test_what_was_lost_is_restored_as_it_was(ledger: Ledger) -> None:
    """With who and when; what is there is left alone, also where nothing is left of it, and of two the first counts."""
    lost = [Setting(PORT, {"mode": "strict"}, "ann", 1.5), Setting(USER, {"enabled": True, "hard_cap_usd": 2.5}, "bob", 2.0)]
    twice = Setting(PORT, {}, "eve", 3.0)
    assert ledger.restore_settings([*lost, twice]) == lost
    assert ledger.settings() == lost
    unset = ledger.set_setting(PORT, {}, "cid", 4.0, nothing)
    changed = ledger.set_setting(USER, {"enabled": False}, "cid", 4.0, over)
    assert ledger.restore_settings(lost) == []
    assert ledger.settings() == [unset, changed]
