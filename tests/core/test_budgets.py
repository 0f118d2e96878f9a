"""The rules of budgets: the basic ones as tables that name them, and laws over all figures."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.budgets import (
    DEFAULTS,
    FIELDS,
    TOKENS_MAX,
    Budget,
    Fault,
    Mode,
    charge,
    check,
    counted,
    fault,
    merge,
    stored,
)

ON = Budget(enabled=True, soft_cap_tokens=600, hard_cap_tokens=1000)
OFF = Budget()

figures = st.integers(0, 2000)
good = {
    "enabled": st.booleans(),
    "period": st.sampled_from(["day", "week", "month"]),
    "soft_cap_tokens": st.integers(0, TOKENS_MAX),
    "hard_cap_tokens": st.integers(0, TOKENS_MAX),
    "mode": st.sampled_from(["learned", "strict"]),
    "unbounded": st.just("refuse") | st.integers(1, TOKENS_MAX),
    "count": st.sampled_from(["reported", "all"]),
    "hard_cap_usd": st.floats(1e-6, 10**9) | st.integers(0, 10**9),
}
anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.lists(st.integers(), max_size=2)
)


@pytest.mark.parametrize(
    ("rule", "kept", "read"),
    [
        ("nothing stored: disabled, 100,000, 500,000, month", {}, {}),
        ("every field as stored", {"enabled": True, "period": "day", "soft_cap_tokens": 1, "hard_cap_tokens": 2}, None),
        ("a missing field is its default", {"enabled": True, "hard_cap_tokens": 900_000}, None),
        ("a wrong type is the default: enabled", {"enabled": "yes"}, {}),
        ("a number is no truth value", {"enabled": 1}, {}),
        ("an unknown period is the default", {"period": "year", "enabled": True}, {"enabled": True}),
        ("a negative cap is the default", {"hard_cap_tokens": -1, "enabled": True}, {"enabled": True}),
        ("a fraction is no number of tokens", {"soft_cap_tokens": 1.5}, {}),
        ("a text is no number", {"soft_cap_tokens": "5"}, {}),
        ("true is no number", {"hard_cap_tokens": True}, {}),
        ("null is the default", {"period": None, "soft_cap_tokens": None}, {}),
        ("a wrong field leaves the others", {"mode": "x", "count": "all"}, {"count": "all"}),
        ("unknown fields are passed over", {"colour": "red", "period": "week"}, {"period": "week"}),
        ("less than a millionth is no money", {"hard_cap_usd": 0.0000009}, {}),
        ("a millionth is", {"hard_cap_usd": 0.000001}, {"hard_cap_usd": 0.000001}),
        ("not a number is no money", {"hard_cap_usd": math.nan}, {}),
        ("a soft cap above the hard cap is the hard cap", {"hard_cap_tokens": 50}, {"hard_cap_tokens": 50, "soft_cap_tokens": 50}),
        ("money caps are learned", {"mode": "strict", "hard_cap_usd": 5.0}, {"hard_cap_usd": 5.0}),
    ],
)  # fmt: skip
def test_stored_settings(rule: str, kept: dict[str, Any], read: dict[str, Any] | None) -> None:
    """A stored setting with a missing or wrong field falls back to the default of that field."""
    assert stored(kept) == Budget(**(kept if read is None else read)), rule


def test_defaults() -> None:
    """Disabled, 100,000, 500,000, a month, learned, nothing unbounded, as reported, no dollars."""
    assert msgspec.structs.asdict(DEFAULTS) == {
        "enabled": False,
        "period": "month",
        "soft_cap_tokens": 100_000,
        "hard_cap_tokens": 500_000,
        "mode": "learned",
        "unbounded": "refuse",
        "count": "reported",
        "hard_cap_usd": 0.0,
    }


@pytest.mark.parametrize(
    ("rule", "existing", "fields", "merged"),
    [
        ("given fields stand over existing ones", ON, {"period": "week"}, {"period": "week"}),
        ("others keep their values", ON, {"enabled": False}, {"enabled": False}),
        ("nothing given changes nothing", ON, {}, {}),
        ("soft = hard is fine", ON, {"soft_cap_tokens": 1000}, {"soft_cap_tokens": 1000}),
        ("both caps together", ON, {"soft_cap_tokens": 5000, "hard_cap_tokens": 6000}, {"soft_cap_tokens": 5000, "hard_cap_tokens": 6000}),
        ("a cap of 0 is a cap", ON, {"soft_cap_tokens": 0, "hard_cap_tokens": 0}, {"soft_cap_tokens": 0, "hard_cap_tokens": 0}),
        ("negative caps are refused", ON, {"hard_cap_tokens": -1}, ["hard_cap_tokens"]),
        ("negative soft caps too", ON, {"soft_cap_tokens": -5}, ["soft_cap_tokens"]),
        ("soft > hard is refused", ON, {"soft_cap_tokens": 1001}, ["soft_cap_tokens"]),
        ("hard < existing soft is refused", ON, {"hard_cap_tokens": 599}, ["hard_cap_tokens"]),
        ("an unknown field is refused", ON, {"cap": 1}, ["cap"]),
        ("all faults are told", ON, {"period": "year", "mode": 3, "enabled": "on"}, ["period", "mode", "enabled"]),
        ("one fault refuses all", ON, {"period": "day", "count": "some"}, ["count"]),
        ("dollars in a strict budget", ON, {"mode": "strict", "hard_cap_usd": 3}, ["mode"]),
        ("dollars for a strict budget", Budget(mode="strict"), {"hard_cap_usd": 0.5}, ["hard_cap_usd"]),
        ("no dollars in a strict budget", Budget(mode="strict"), {"hard_cap_usd": 0}, {"hard_cap_usd": 0}),
        ("unbounded as a number", ON, {"unbounded": 5}, {"unbounded": 5}),
        ("unbounded as a word", ON, {"unbounded": "allow"}, ["unbounded"]),
        ("unbounded of nothing, for which there is always room", ON, {"unbounded": 0}, ["unbounded"]),
    ],
)  # fmt: skip
def test_setting(rule: str, existing: Budget, fields: dict[str, Any], merged: dict[str, Any] | list[str]) -> None:
    """Setting merges given fields over the existing ones, and refuses negative caps and soft > hard."""
    found = merge(existing, fields)
    if isinstance(merged, list):
        assert isinstance(found, list) and [each.field for each in found] == merged, rule
        assert all("must be" in each.text or "would" in each.text or "settings are" in each.text for each in found)
    else:
        assert found == msgspec.structs.replace(existing, **merged), rule


@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), anything))
def test_whatever_is_stored_is_a_budget(kept: dict[str, Any]) -> None:
    """No settings raise, what comes out is consistent, and each good field of theirs is in it (but for the soft cap)."""
    budget = stored(kept)
    assert merge(budget, {}) == budget
    for name in FIELDS:
        if name in kept and fault(name, kept[name]) is None and name not in ("soft_cap_tokens", "mode"):
            assert getattr(budget, name) == kept[name]


@given(st.fixed_dictionaries({}, optional=good))
def test_what_may_be_set_can_be_stored(fields: dict[str, Any]) -> None:
    """Settings that were accepted are read back as they were set."""
    found = merge(DEFAULTS, fields)
    if isinstance(found, Budget):
        assert stored(msgspec.structs.asdict(found)) == found
        assert merge(found, fields) == found
    else:
        assert {each.field for each in found} <= {*fields}
        assert found == merge(DEFAULTS, fields)


@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), anything))
def test_faults_are_values(fields: dict[str, Any]) -> None:
    """Whatever is given: a budget or a list of faults, never an exception; the old budget stays."""
    found = merge(ON, fields)
    assert isinstance(found, Budget) or (found and all(isinstance(each, Fault) for each in found))


@pytest.mark.parametrize(
    ("rule", "budget", "used", "reserved", "estimate", "expected"),
    [
        ("disabled: allowed, unlimited, nothing enforced", OFF, 10**9, 10**9, 10**9, (True, "budget-disabled", None, False)),
        ("disabled: no bound needed", OFF, 0, 0, None, (True, "budget-disabled", None, False)),
        ("nothing remaining: hard-cap-exceeded", ON, 1000, 0, 1, (False, "hard-cap-exceeded", 0, True)),
        ("less than nothing remaining", ON, 1700, 0, 1, (False, "hard-cap-exceeded", 0, True)),
        ("nothing remaining, nothing estimated", ON, 1000, 0, 0, (False, "hard-cap-exceeded", 0, True)),
        ("nothing remaining comes before no bound", ON, 1000, 0, None, (False, "hard-cap-exceeded", 0, True)),
        ("estimate > remaining: estimated-exceeds-cap", ON, 900, 0, 101, (False, "estimated-exceeds-cap", 100, True)),
        ("it would not fit without reservations either", ON, 900, 50, 101, (False, "estimated-exceeds-cap", 100, True)),
        ("estimate = remaining: allowed", ON, 900, 0, 100, (True, None, 100, True)),
        ("only reservations in the way: cap-reserved", ON, 500, 401, 100, (False, "cap-reserved", 500, False)),
        ("all reserved", ON, 0, 1000, 1, (False, "cap-reserved", 1000, False)),
        ("reserved + estimate = remaining", ON, 500, 400, 100, (True, None, 500, False)),
        ("used = soft cap is not above it", ON, 600, 0, 1, (True, None, 400, False)),
        ("used > soft cap: told, not refused", ON, 601, 0, 1, (True, None, 399, True)),
        ("no bound: refused", ON, 0, 0, None, (False, "estimate-unbounded", 1000, False)),
        ("no bound, a number is set for it", msgspec.structs.replace(ON, unbounded=300), 0, 0, None, (True, None, 1000, False)),
        ("no bound, the number does not fit", msgspec.structs.replace(ON, unbounded=300), 800, 0, None, (False, "estimated-exceeds-cap", 200, True)),
        ("a cap of nothing lets nothing in", Budget(enabled=True, soft_cap_tokens=0, hard_cap_tokens=0), 0, 0, 0, (False, "hard-cap-exceeded", 0, False)),
    ],
)  # fmt: skip
def test_checking(
    rule: str,
    budget: Budget,
    used: int,
    reserved: int,
    estimate: int | None,
    expected: tuple[bool, str | None, int | None, bool],
) -> None:
    """The basic rules of a check, with used and reserved told as they were given."""
    found = check(budget, used, reserved, estimate)
    assert (found.allowed, found.reason, found.remaining, found.soft_exceeded) == expected, rule
    assert (found.used, found.reserved) == (used, reserved)
    caps = (budget.soft_cap_tokens, budget.hard_cap_tokens) if budget.enabled else (None, None)
    assert (found.soft_cap, found.hard_cap) == caps


def test_neither_budget_nor_key() -> None:
    """A port that has neither: nothing can go through it, and the check says why."""
    found = check(OFF, 5, 0, 10, has_key=False)
    assert (found.allowed, found.reason) == (False, "budget-disabled-but-no-key")
    assert check(ON, 5, 0, 10, has_key=False).allowed


@given(st.integers(0, 3000), figures, figures, figures)
def test_who_is_let_in_keeps_the_cap(cap: int, used: int, reserved: int, estimate: int) -> None:
    """Allowed exactly where used + reserved + estimate fits and something remains; more of anything never helps."""
    budget = Budget(enabled=True, soft_cap_tokens=0, hard_cap_tokens=cap)
    found = check(budget, used, reserved, estimate)
    assert found.allowed == (used < cap and used + reserved + estimate <= cap)
    if not found.allowed:
        assert not check(budget, used + 1, reserved, estimate).allowed
        assert not check(budget, used, reserved + 1, estimate).allowed
        assert not check(budget, used, reserved, estimate + 1).allowed
        assert (found.reason == "cap-reserved") == check(budget, used, 0, estimate).allowed


@pytest.mark.parametrize(
    ("rule", "arguments", "tokens"),
    [
        ("total = input + output", {}, 15),
        ("reported: the cache is not counted", {"cache_read_tokens": 100, "input_includes_cache": False}, 15),
        ("all: reads and writes reported apart", {"cache_read_tokens": 100, "cache_write_tokens": 1000, "input_includes_cache": False, "count": "all"}, 1115),
        ("all: they are in the input", {"cache_read_tokens": 8, "cache_write_tokens": 1, "input_includes_cache": True, "count": "all"}, 15),
        ("all: nobody said", {"cache_read_tokens": 8, "count": "all"}, 15),
    ],
)  # fmt: skip
def test_what_counts(rule: str, arguments: dict[str, Any], tokens: int) -> None:
    """Input and output; the cache's tokens only where asked for and reported apart."""
    assert counted(10, 5, **arguments) == tokens, rule


@pytest.mark.parametrize(
    ("rule", "end", "strict", "learned"),
    [
        ("usage reported", {"reported": 70, "sent": True, "status": 200}, 70, 70),
        ("nothing used, and so reported", {"reported": 0, "sent": True, "status": 200}, 0, 0),
        ("more used than reserved", {"reported": 170, "sent": True, "status": 200}, 170, 170),
        ("usage with an error", {"reported": 7, "sent": True, "status": 500}, 7, 7),
        ("never handed over", {"reported": None, "sent": False, "status": None}, 0, 0),
        ("an error without usage", {"reported": None, "sent": True, "status": 429}, 0, 0),
        ("client gone before any answer", {"reported": None, "sent": True, "status": None}, 100, 0),
        ("cut, nothing reported", {"reported": None, "sent": True, "status": 200, "delivered": 40}, 100, 40),
        ("cut, some reported", {"reported": None, "sent": True, "status": 200, "so_far": 60, "delivered": 40}, 100, 60),
        ("cut, more reported than reserved", {"reported": None, "sent": True, "status": 200, "so_far": 120}, 120, 120),
        ("an error that had reported something", {"reported": None, "sent": True, "status": 500, "so_far": 5}, 100, 5),
    ],
)
def test_what_a_call_is_charged(rule: str, end: dict[str, Any], strict: int, learned: int) -> None:
    """The table of settlements, with 100 reserved."""
    assert (charge("strict", 100, **end), charge("learned", 100, **end)) == (strict, learned), rule


@given(
    st.sampled_from(["strict", "learned"]), figures, st.none() | figures, st.booleans(), st.none() | st.integers(100, 599), figures, figures
)  # fmt: skip
def test_charges_are_never_negative(
    mode: Mode, reserved: int, reported: int | None, sent: bool, status: int | None, so_far: int, delivered: int
) -> None:
    """Every way out has a charge; a call that was cut is charged what was reported so far at the least."""
    charged = charge(mode, reserved, reported=reported, sent=sent, status=status, so_far=so_far, delivered=delivered)
    assert charged >= 0
    if reported is None and sent and so_far:
        assert charged >= so_far
        assert mode == "learned" or charged >= reserved
