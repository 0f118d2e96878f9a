"""Budgets for people: how they stand, what was stored over the settings, and changes of that.

The same desk serves the admin socket of a running service, in the ledger's thread, and `awf budget` on the ledger of a
stopped one.  What it answers can be written as JSON and read back.  What is asked wrongly is answered with a `Refused`;
`errors.LedgerUnavailable` is raised as the ledger does.

``used`` is what budgets are enforced by, as far as processes have told (they do every second or so): tokens spent, or
lost with a process that died, and at least what the rows of the records show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from awfproxy.core.budgets import (
    FIELDS,
    USD_UNIT,
    Budget,
    Decision,
    Fault,
    Measure,
    Scope,
    ScopeKind,
    cap_of,
    check,
    dollars,
    fault,
    judge,
    merge,
    stored,
)
from awfproxy.core.scopes import budgets_of, find_scope, has_key, sources_of
from awfproxy.core.settings import Settings
from awfproxy.core.windows import Period, window_end, window_start
from awfproxy.ledger.facts import Setting, Share, Window
from awfproxy.ledger.interface import Ledger


class Refused(msgspec.Struct, frozen=True):
    """Why there is no answer, or nothing was changed."""

    type: Literal["unknown_budget", "invalid_budget"]
    #: whole sentences
    message: str
    #: what is wrong with single fields
    faults: list[Fault] = []


class Stated(msgspec.Struct, frozen=True):
    """One field of a budget."""

    value: bool | int | float | str
    #: "default", the file and line, or who stored it and when
    source: str


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """How a cap in dollars stands; the amounts as those of `Statement`, in dollars."""

    cap: float
    used: float
    lost: float
    recorded: float
    reserved: float
    remaining: float
    #: calls of models without a price, and their tokens: they count by the rule for these
    unpriced_calls: int
    unpriced_tokens: int


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One budget, and how its current window stands."""

    port: str
    kind: ScopeKind
    #: "" of a port
    name: str
    #: by `budgets.FIELDS`
    settings: dict[str, Stated]
    #: the last change of what is stored; None: there never was one
    changed_by: str | None = None
    #: seconds since the epoch
    changed_at: float | None = None
    #: calls of the port can go on
    has_key: bool
    #: seconds since the epoch
    window_start: int
    window_end: int
    #: tokens; see the module
    used: int
    #: the part of ``used`` whose process died
    lost: int
    #: what the rows show
    recorded: int
    #: set aside for calls that run
    reserved: int
    #: neither used nor reserved, at least 0
    remaining: int
    #: lent to processes, and not spent
    lent: int
    #: processes that hold a piece
    leases: int
    #: in dollars; None: there is no cap in dollars
    money: Money | None = None

    @property
    def scope(self) -> Scope:
        return Scope(self.port, self.kind, self.name)

    @property
    def budget(self) -> Budget:
        # it was whole and right before it was written out
        return Budget(**{name: self.settings[name].value for name in FIELDS})  # type: ignore[arg-type]

    def decide(self, estimate: int, estimate_usd: float = 0.0) -> Decision:
        """Whether a call that uses so many tokens and dollars would be let in."""
        budget, money = self.budget, self.money
        decision = check(budget, self.used, self.reserved, estimate, has_key=self.has_key)
        if decision.allowed and budget.enabled and money is not None:
            amounts = (round(each * USD_UNIT) for each in (money.cap, money.used, money.reserved, estimate_usd))
            reason = judge(*amounts)
            if reason is not None:
                return msgspec.structs.replace(decision, allowed=False, reason=reason, unit="usd")
        return decision


class Statements(msgspec.Struct, frozen=True):
    """Budgets, and whole sentences about what is stored and not in effect."""

    budgets: list[Statement]
    notes: list[str] = []


class Division(msgspec.Struct, frozen=True, kw_only=True):
    """What a port used in its budget's current window, divided."""

    port: str
    period: Period
    #: seconds since the epoch
    window_start: int
    window_end: int
    features: list[Share]
    models: list[Share]
    users: list[Share]


class BudgetDesk:
    """See the module.

    :param who: asks, as `person.person` has it
    :param now: seconds since the epoch
    """

    def __init__(self, settings: Settings, ledger: Ledger, who: str, now: float) -> None:
        self._settings = settings
        self._ledger = ledger
        self._who = who
        self._now = now

    def show(
        self, port: str | None = None, user: str | None = None, feature: str | None = None
    ) -> Statements | Refused:
        """All budgets; those of a port, its users and its features; or that of one user or feature."""
        wanted: Scope | str | None = None if port is None else find_scope(self._settings, port, user, feature)
        if isinstance(wanted, str):
            return Refused("unknown_budget", wanted)
        settings = {setting.scope: setting for setting in self._ledger.settings()}
        budgets = budgets_of(self._settings)
        chosen = [
            scope
            for scope in budgets
            if wanted in (None, scope) or (wanted is not None and wanted.kind == "port" and scope.port == wanted.port)
        ]
        notes = [
            f"The budget of {titled(scope)} is stored and not in effect: the configuration has no such port, user or"
            " feature."
            for scope, setting in settings.items()
            if scope not in budgets and setting.fields and wanted is None
        ]
        return Statements([self._statement(scope, budgets[scope], settings.get(scope)) for scope in chosen], notes)

    def set(
        self, fields: Mapping[str, Any], port: str, user: str | None = None, feature: str | None = None
    ) -> Statement | Refused:
        """Store these fields over those that are stored."""
        scope = find_scope(self._settings, port, user, feature)
        if isinstance(scope, str):
            return Refused("unknown_budget", scope)
        return self._change(scope, lambda kept: {**kept, **fields}, fields)

    def unset(
        self, names: Sequence[str] | None, port: str, user: str | None = None, feature: str | None = None
    ) -> Statement | Refused:
        """Forget these stored fields, or all (None): what the settings say is in effect again."""
        scope = find_scope(self._settings, port, user, feature)
        if isinstance(scope, str):
            return Refused("unknown_budget", scope)
        unknown = [found for name in names or () if name not in FIELDS and (found := fault(name, None)) is not None]
        if unknown:
            return _wrong(unknown)
        return self._change(
            scope, lambda kept: {name: kept[name] for name in kept if names is not None and name not in names}, {}
        )

    def division(self, port: str) -> Division | Refused:
        """What the port used in its current window, by feature, model and user."""
        scope = find_scope(self._settings, port)
        if isinstance(scope, str):
            return Refused("unknown_budget", scope)
        budget = in_effect(self._settings, self._ledger.settings())[scope]
        window = _window(scope, budget, budget.count, self._now)
        found = self._ledger.breakdown(port, window.start, window.end, measure=budget.count)
        return Division(
            port=port,
            period=budget.period,
            window_start=window.start,
            window_end=window.end,
            features=found.features,
            models=found.models,
            users=found.users,
        )

    def _change(
        self, scope: Scope, changed: Callable[[dict[str, Any]], dict[str, Any]], given: Mapping[str, Any]
    ) -> Statement | Refused:
        base = budgets_of(self._settings)[scope]

        def merged(before: dict[str, Any], given: dict[str, Any]) -> dict[str, Any] | list[Fault]:
            kept = {name: value for name, value in before.items() if fault(name, value) is None}
            after = changed(kept)
            # Where fields go away, those that stay are what is given: they may not fit to what the settings say.
            found = merge(stored(kept, base), given) if given else merge(base, after, "unset both")
            return found if isinstance(found, list) else after

        found = self._ledger.set_setting(scope, dict(given), self._who, self._now, merged)
        return _wrong(found) if isinstance(found, list) else self._statement(scope, base, found)

    def _statement(self, scope: Scope, base: Budget, setting: Setting | None) -> Statement:
        fields = setting.fields if setting is not None else {}
        budget = stored(fields, base)
        sources = sources_of(self._settings, scope, fields)
        by = "" if setting is None else f"stored, changed by {setting.changed_by} at {moment(setting.changed_at)}"
        window = _window(scope, budget, budget.count, self._now)
        recorded = self._recorded(window)
        standing = self._ledger.window(window, self._now)
        used = max(recorded, standing.used if standing else 0)
        reserved = standing.reserved if standing else 0
        (port,) = (each for each in self._settings.ports if each.name == scope.port)
        return Statement(
            port=scope.port,
            kind=scope.kind,
            name=scope.name,
            settings={name: Stated(getattr(budget, name), sources[name] or by) for name in FIELDS},
            changed_by=setting.changed_by if setting else None,
            changed_at=setting.changed_at if setting else None,
            has_key=has_key(port),
            window_start=window.start,
            window_end=window.end,
            used=used,
            lost=standing.lost if standing else 0,
            recorded=recorded,
            reserved=reserved,
            remaining=max(0, budget.hard_cap_tokens - used - reserved),
            lent=standing.outstanding if standing else 0,
            leases=standing.holders if standing else 0,
            money=self._money(scope, budget),
        )

    def _recorded(self, window: Window) -> int:
        return self._ledger.used(
            window.scope.port, window.start, window.end, **_only(window.scope), measure=window.measure
        )

    def _money(self, scope: Scope, budget: Budget) -> Money | None:
        if not budget.hard_cap_usd:
            return None
        window = _window(scope, budget, "usd", self._now)
        cost = self._ledger.cost(scope.port, window.start, window.end, **_only(scope))
        standing = self._ledger.window(window, self._now)
        recorded = self._recorded(window)
        used = max(recorded, standing.used if standing else 0)
        reserved = standing.reserved if standing else 0
        return Money(
            cap=budget.hard_cap_usd,
            used=dollars(used),
            lost=dollars(standing.lost if standing else 0),
            recorded=dollars(recorded),
            reserved=dollars(reserved),
            remaining=dollars(max(0, cap_of(budget, "usd").hard - used - reserved)),
            unpriced_calls=cost.unpriced_calls,
            unpriced_tokens=cost.unpriced_tokens,
        )


def in_effect(settings: Settings, kept: Iterable[Setting]) -> dict[Scope, Budget]:
    """All budgets as they are enforced: what was stored over the settings."""
    fields = {setting.scope: setting.fields for setting in kept}
    return {scope: stored(fields.get(scope, {}), base) for scope, base in budgets_of(settings).items()}


def titled(scope: Scope) -> str:
    """A budget for people: `openai`, `openai user ci`."""
    return scope.port if scope.kind == "port" else f"{scope.port} {scope.kind} {scope.name}"


def moment(seconds: float) -> str:
    """A time for people, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _only(scope: Scope) -> dict[str, str]:
    return {} if scope.kind == "port" else {scope.kind: scope.name}


def _window(scope: Scope, budget: Budget, measure: Measure, now: float) -> Window:
    start = window_start(budget.period, now)
    return Window(scope, budget.period, start, window_end(budget.period, start), measure)


def _wrong(faults: list[Fault]) -> Refused:
    return Refused("invalid_budget", " ".join(f"{each.field} {each.text}." for each in faults), faults)
