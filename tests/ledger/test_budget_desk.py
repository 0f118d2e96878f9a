"""Budgets for people, on every ledger there is."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from awfproxy.configuration import load
from awfproxy.core.budgets import Scope
from awfproxy.core.settings import Settings
from awfproxy.ledger.budget_desk import BudgetDesk, Money, Refused, Statement, Statements, in_effect
from awfproxy.ledger.facts import Held, Holder, Setting, Share, Window
from awfproxy.ledger.interface import Ledger
from tests.budget_settings import BUDGETED, ENVIRONMENT
from tests.ledger.samples import APRIL, LATER, MARCH, NOW, PORT, A, held, row

FILE = BUDGETED + """\
[ports.openai.features.chat]
[ports.bare]
provider = "openai"
listen = "tcp:1"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    path = tmp_path / "a.toml"
    path.write_text(FILE)
    return load(str(path), ENVIRONMENT)


@pytest.fixture
def desk(settings: Settings, ledger: Ledger) -> BudgetDesk:
    return BudgetDesk(settings, ledger, "ann (uid 7) on h", NOW)


def stated(found: Statement | Refused) -> Statement:
    assert isinstance(found, Statement)
    return found


def one(desk: BudgetDesk, *named: str | None) -> Statement:
    found = desk.show(*named)
    assert isinstance(found, Statements)
    return found.budgets[0]


def test_all_budgets_are_shown(desk: BudgetDesk) -> None:
    """Of ports, users and features; or of one port; or a single one."""
    everything = desk.show()
    assert isinstance(everything, Statements)
    assert [(each.port, each.kind, each.name) for each in everything.budgets] == [
        ("openai", "port", ""),
        ("openai", "user", "ci"),
        ("openai", "feature", "chat"),
        ("openai", "feature", "other"),
        ("bare", "port", ""),
    ]
    assert not everything.notes
    of_port, of_user = desk.show("openai"), desk.show("openai", "ci")
    assert isinstance(of_port, Statements) and isinstance(of_user, Statements)
    assert (len(of_port.budgets), len(of_user.budgets)) == (4, 1)
    assert isinstance(desk.show("nothing"), Refused)


def test_each_field_says_where_it_is_from(desk: BudgetDesk) -> None:
    """The program, the file with its line, or who stored it and when."""
    stated(desk.set({"soft_cap_tokens": 600}, "openai"))
    shown = one(desk, "openai").settings
    assert shown["hard_cap_tokens"].source.endswith("a.toml:11")
    assert shown["mode"].source == "default"
    assert (shown["soft_cap_tokens"].value, shown["soft_cap_tokens"].source) == (
        600,
        "stored, changed by ann (uid 7) on h at 2026-03-01T00:16:40Z",
    )


def test_setting_merges_over_what_is_stored_and_what_the_file_says(desk: BudgetDesk, ledger: Ledger) -> None:
    """Each time the fields that were given; who did it is kept."""
    stated(desk.set({"hard_cap_tokens": 2000}, "openai"))
    found = stated(desk.set({"period": "day"}, "openai"))
    assert (found.budget.hard_cap_tokens, found.budget.period, found.budget.soft_cap_tokens) == (2000, "day", 500)
    assert (found.changed_by, found.changed_at) == ("ann (uid 7) on h", NOW)
    kept = ledger.setting(Scope("openai"))
    assert kept is not None and kept.fields == {"hard_cap_tokens": 2000, "period": "day"}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"soft_cap_tokens": 1001}, "soft_cap_tokens"),
        ({"hard_cap_tokens": 499}, "hard_cap_tokens"),
        ({"hard_cap_tokens": -1}, "hard_cap_tokens"),
        ({"period": "year"}, "period"),
        ({"cap": 1}, "cap"),
        ({"period": "day", "hard_cap_tokens": [1]}, "hard_cap_tokens"),
        ({"mode": "strict", "hard_cap_usd": 5}, "mode"),
    ],
)
def test_what_is_wrong_is_refused_whole(desk: BudgetDesk, ledger: Ledger, fields: dict[str, Any], named: str) -> None:
    """With the field and the remedy; nothing is stored of it."""
    found = desk.set(fields, "openai")
    assert isinstance(found, Refused)
    assert (found.type, [fault.field for fault in found.faults]) == ("invalid_budget", [named])
    assert found.message.startswith(f"{named} ")
    assert ledger.settings() == []


def test_unsetting_brings_the_file_back(desk: BudgetDesk) -> None:
    """Single fields, or all of them."""
    stated(desk.set({"soft_cap_tokens": 10, "hard_cap_tokens": 5000, "mode": "strict"}, "openai"))
    found = stated(desk.unset(["hard_cap_tokens"], "openai")).budget
    assert (found.soft_cap_tokens, found.hard_cap_tokens, found.mode) == (10, 1000, "strict")
    found = stated(desk.unset(None, "openai")).budget
    assert (found.soft_cap_tokens, found.hard_cap_tokens, found.mode) == (500, 1000, "learned")


def test_unsetting_must_not_leave_the_soft_cap_above_the_hard_one(desk: BudgetDesk) -> None:
    """The caps were set together: to forget one of them would leave what nobody could have set."""
    stated(desk.set({"soft_cap_tokens": 10, "hard_cap_tokens": 20}, "openai"))
    assert isinstance(desk.unset(["soft_cap_tokens"], "openai"), Refused)
    assert one(desk, "openai").budget.soft_cap_tokens == 10
    assert isinstance(desk.unset(["cap"], "openai"), Refused)


def test_use_is_that_of_the_rows_and_of_the_leases(desk: BudgetDesk, ledger: Ledger) -> None:
    """Whichever is more: calls are charged before their rows come, and rows are there of calls while nobody lent."""
    ledger.record([row(1, 100), row(2, 50, feature="other")])
    assert (one(desk, "openai").used, one(desk, "openai", None, "other").used) == (150, 50)
    window, holder = Window(Scope("openai"), "month", MARCH, APRIL), Holder("host-a", 0)
    ledger.borrow(holder, Held(window, 0, 0, 0), cap=1000, need=300, most=300, now=NOW, expires_at=LATER)
    ledger.heartbeat(holder, [Held(window, 300, 120, 30)], NOW, LATER)
    found = one(desk, "openai")
    assert (found.used, found.recorded, found.reserved, found.remaining) == (270, 150, 30, 700)
    assert (found.lent, found.leases, found.lost) == (180, 1, 0)
    ledger.settle_dead(holder, [Held(window, 300, 120, 30)], NOW)
    found = one(desk, "openai")
    assert (found.used, found.lost, found.reserved, found.leases) == (300, 30, 0, 0)


@pytest.mark.parametrize(
    ("used", "estimate", "allowed", "reason"),
    [
        (0, 1000, True, None),
        (0, 1001, False, "estimated-exceeds-cap"),
        (999, 1, True, None),
        (1000, 0, False, "hard-cap-exceeded"),
    ],
)
def test_a_call_is_decided_by_the_basic_rules(
    desk: BudgetDesk, ledger: Ledger, used: int, estimate: int, allowed: bool, reason: str | None
) -> None:
    """Of an enabled budget, at its edges."""
    ledger.record([row(1, used)])
    decision = one(desk, "openai").decide(estimate)
    assert (decision.allowed, decision.reason, decision.used) == (allowed, reason, used)


def test_a_call_that_others_reservations_hinder(desk: BudgetDesk, ledger: Ledger) -> None:
    """For the moment."""
    window, holder = Window(Scope("openai"), "month", MARCH, APRIL), Holder("host-a", 0)
    ledger.borrow(holder, Held(window, 0, 0, 0), cap=1000, need=900, most=900, now=NOW, expires_at=LATER)
    ledger.heartbeat(holder, [Held(window, 900, 0, 900)], NOW, LATER)
    assert one(desk, "openai").decide(200).reason == "cap-reserved"


def test_a_budget_that_is_off_lets_in_where_there_is_a_key(desk: BudgetDesk) -> None:
    """And says so; without a key too."""
    found = [one(desk, "openai", "ci").decide(10**9), one(desk, "bare").decide(1)]
    assert [(each.allowed, each.reason) for each in found] == [
        (True, "budget-disabled"),
        (False, "budget-disabled-but-no-key"),
    ]


def test_a_cap_in_dollars(desk: BudgetDesk, ledger: Ledger) -> None:
    """What was spent, by price and by rule, and how many calls have no price; what remains, and who would be let in."""
    stated(desk.set({"hard_cap_usd": 2}, "openai"))
    ledger.record([row(1, 10, cost_usd=1.25), row(2, 30, counted_usd=250_000)])
    found = one(desk, "openai")
    assert found.money == Money(
        cap=2.0, used=1.5, lost=0.0, recorded=1.5, reserved=0.0, remaining=0.5, unpriced_calls=1, unpriced_tokens=30
    )
    decisions = [found.decide(1, dollars) for dollars in (0.0, 0.5, 0.500001)]
    assert [each.reason for each in decisions] == [None, None, "estimated-exceeds-cap"]
    window = msgspec.structs.replace(PORT, measure="usd")
    ledger.borrow(A, held(window=window), cap=2_000_000, need=400_000, most=0, now=NOW, expires_at=LATER)
    ledger.heartbeat(A, [held(400_000, 0, 400_000, window)], NOW, LATER)
    assert [one(desk, "openai").decide(1, dollars).reason for dollars in (0.1, 0.2)] == [None, "cap-reserved"]
    ledger.record([row(3, 10, cost_usd=0.5)])
    assert one(desk, "openai").decide(1).reason == "hard-cap-exceeded"


def test_use_divided(desk: BudgetDesk, ledger: Ledger) -> None:
    """Of the current window alone, three times."""
    ledger.record([row(1, 10, cost_usd=0.5), row(2, 30, feature="other", user="ann"), row(-5, 99, cost_usd=9.0)])
    found = desk.division("openai")
    assert not isinstance(found, Refused)
    assert (found.period, found.window_start, found.window_end) == ("month", MARCH, APRIL)
    assert found.features == [Share("other", 30, 1, 0.0, 1), Share("chat", 10, 1, 0.5, 0)]
    assert found.models == [Share("gpt-5", 40, 2, 0.5, 1)]
    assert found.users == [Share("ann", 30, 1, 0.0, 1), Share(None, 10, 1, 0.5, 0)]
    assert isinstance(desk.division("nothing"), Refused)


def test_what_is_stored_for_nobody_is_told(desk: BudgetDesk, ledger: Ledger) -> None:
    """A feature that the file listed once; what is stored for it is kept."""
    ledger.set_setting(Scope("openai", "feature", "old"), {"enabled": True}, "ann", NOW, lambda before, given: given)
    found = desk.show()
    assert isinstance(found, Statements)
    assert [note for note in found.notes if "openai feature old" in note]


def test_statements_survive_json(desk: BudgetDesk) -> None:
    """As they go over the admin socket."""
    stated(desk.set({"unbounded": 5, "hard_cap_usd": 1.5}, "openai"))
    found = desk.show()
    assert msgspec.json.decode(msgspec.json.encode(found), type=Statements) == found


def test_budgets_in_effect(settings: Settings) -> None:
    """Good stored fields over the file's; a wrong one is as if it were not there."""
    kept = [Setting(Scope("openai"), {"hard_cap_tokens": 7000, "period": "era"}, "ann", NOW)]
    found = in_effect(settings, kept)[Scope("openai")]
    assert (found.enabled, found.hard_cap_tokens, found.period) == (True, 7000, "month")
