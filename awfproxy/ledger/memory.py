"""A ledger in memory, for tests: the same answers as from a database, of one process only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from awfproxy.core.budgets import Measure, Scope
from awfproxy.ledger.facts import (
    Breakdown,
    Cost,
    Grant,
    Held,
    Holder,
    Loss,
    Position,
    Release,
    Setting,
    Share,
    Standing,
    Window,
    ranked,
)
from awfproxy.ledger.interface import BATCH_ROWS, Fault
from awfproxy.ledger.lending import Account
from awfproxy.ledger.rows import Difference, Row, differing


class MemoryLedger:
    """See `interface.Ledger`."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._positions: dict[str, Position] = {}
        self._settings: dict[Scope, Setting] = {}
        self._accounts: dict[Window, Account] = {}
        self._settled: dict[Holder, float] = {}

    def close(self) -> None:
        """Nothing is open."""

    def reopen(self) -> None:
        """Nothing is ever gone."""

    # -- rows

    def record(self, rows: Sequence[Row], position: Position | None = None) -> int:
        before = len(self._rows)
        for row in rows:
            self._rows.setdefault(row.request_id, row)
        if position is not None:
            self._positions[position.instance] = position
        return len(self._rows) - before

    def position(self, instance: str) -> Position | None:
        return self._positions.get(instance)

    def _of(self, port: str, since: float, until: float, feature: str | None, user: str | None) -> list[Row]:
        return [
            row
            for row in self._rows.values()
            if row.port == port
            and since * 1000 <= row.created_at < until * 1000
            and feature in (None, row.feature)
            and user in (None, row.user)
        ]

    def used(
        self,
        port: str,
        since: float,
        until: float,
        *,
        feature: str | None = None,
        user: str | None = None,
        measure: Measure = "reported",
    ) -> int:
        return sum(row.counted(measure) for row in self._of(port, since, until, feature, user))

    def cost(
        self, port: str, since: float, until: float, *, feature: str | None = None, user: str | None = None
    ) -> Cost:
        rows = self._of(port, since, until, feature, user)
        unpriced = [row for row in rows if row.unpriced]
        return Cost(
            float(sum(row.cost_usd or 0.0 for row in rows)), len(unpriced), sum(row.counted("all") for row in unpriced)
        )

    def breakdown(self, port: str, since: float, until: float, *, measure: Measure = "reported") -> Breakdown:
        rows = self._of(port, since, until, None, None)

        def shares(column: str) -> list[Share]:
            found: dict[str | None, tuple[int, int, float, int]] = {}
            for row in rows:
                name = getattr(row, column)
                tokens, calls, usd, unpriced = found.get(name, (0, 0, 0.0, 0))
                usd += row.cost_usd or 0.0
                found[name] = (tokens + row.counted(measure), calls + 1, usd, unpriced + row.unpriced)
            return ranked(Share(name, *figures) for name, figures in found.items())

        return Breakdown(shares("feature"), shares("model"), shares("user"))

    def not_priced(self, since: float, most: int = BATCH_ROWS, *, after: Row | None = None) -> list[Row]:
        rows = [row for row in self._rows.values() if row.counted_usd is None and row.created_at >= since * 1000]
        return sorted((row for row in rows if after is None or _place(row) > _place(after)), key=_place)[:most]

    def price(self, rows: Sequence[Row]) -> None:
        for row in rows:
            ours = self._rows.get(row.request_id)
            if ours is not None and ours.counted_usd is None:
                self._rows[row.request_id] = msgspec.structs.replace(
                    ours, cost_usd=row.cost_usd, counted_usd=row.counted_usd
                )

    def rebuild(self, instance: str, since: float, until: float, rows: Iterable[Row]) -> int:
        fresh = {row.request_id: row for row in reversed(list(rows)) if since * 1000 <= row.created_at < until * 1000}
        for row in list(self._rows.values()):
            covered = since * 1000 <= row.created_at < until * 1000
            if row.instance == instance and (covered or row.request_id in fresh):
                del self._rows[row.request_id]
        return self.record(list(fresh.values()))

    def verify(self, instance: str, since: float, until: float, rows: Iterable[Row]) -> Iterator[Difference]:
        seen = set()
        for row in rows:
            if row.request_id in seen or not since * 1000 <= row.created_at < until * 1000:
                continue
            seen.add(row.request_id)
            ours = self._rows.get(row.request_id)
            if ours is None:
                yield Difference("missing", row.request_id, journal=row)
            elif fields := differing(row, ours):
                yield Difference("different", row.request_id, fields, row, ours)
        for row in list(self._rows.values()):
            covered = since * 1000 <= row.created_at < until * 1000
            if covered and row.instance == instance and row.request_id not in seen:
                yield Difference("extra", row.request_id, ledger=row)

    # -- settings of budgets

    def setting(self, scope: Scope) -> Setting | None:
        return self._settings.get(scope)

    def settings(self) -> list[Setting]:
        return [self._settings[scope] for scope in sorted(self._settings)]

    def set_setting(
        self,
        scope: Scope,
        fields: dict[str, Any],
        who: str,
        when: float,
        merge: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any] | Fault],
    ) -> Setting | Fault:
        stored = self._settings.get(scope)
        merged = merge(dict(stored.fields) if stored else {}, fields)
        if not isinstance(merged, dict):
            return merged
        self._settings[scope] = Setting(scope, merged, who, when)
        return self._settings[scope]

    def restore_settings(self, settings: Sequence[Setting]) -> list[Setting]:
        missing = []
        for setting in settings:
            if self._settings.setdefault(setting.scope, setting) is setting:
                missing.append(setting)
        return missing

    # -- windows and leases

    def window(self, window: Window, now: float) -> Standing | None:
        account = self._accounts.get(window)
        return account.standing(now) if account else None

    def windows(self, now: float) -> list[Window]:
        return sorted(window for window in self._accounts if window.end > now)

    def _shown(self, window: Window) -> dict[str, int]:
        """Tokens of a window's rows, by instance."""
        scope = window.scope
        feature = scope.name if scope.kind == "feature" else None
        user = scope.name if scope.kind == "user" else None
        shown: dict[str, int] = {}
        for row in self._of(scope.port, window.start, window.end, feature, user):
            shown[row.instance] = shown.get(row.instance, 0) + row.counted(window.measure)
        return shown

    def _account(self, window: Window) -> Account:
        account = self._accounts.get(window)
        if account is None:
            shown = self._shown(window)
            account = self._accounts[window] = Account(window, sum(shown.values()), covered=shown)
        return account

    def join(self, holder: Holder, held: Held, *, now: float, expires_at: float, recount: bool) -> Grant:
        known = held.window in self._accounts
        account = self._account(held.window)
        if holder in self._settled:
            return account.stranger(now)
        rows = self._shown(held.window).get(holder.instance, 0) if recount and known else None
        return account.join(holder, held, rows, now, expires_at)

    def borrow(
        self, holder: Holder, held: Held, *, cap: int, need: int, most: int, now: float, expires_at: float
    ) -> Grant:
        account = self._account(held.window)
        if holder in self._settled:
            return account.stranger(now)
        return account.borrow(holder, held, cap=cap, need=need, most=most, now=now, expires_at=expires_at)

    def _known(self, window: Window) -> Account:
        """The account; one that nobody keeps where there is none."""
        return self._accounts.get(window) or Account(window, 0)

    def give_back(self, holder: Holder, held: Held, now: float) -> Grant:
        return self._known(held.window).give_back(holder, held, now)

    def close_lease(self, holder: Holder, held: Held) -> None:
        self._known(held.window).close(holder, held)

    def heartbeat(self, holder: Holder, helds: Sequence[Held], now: float, expires_at: float) -> list[Grant]:
        return [self._known(held.window).beat(holder, held, now, expires_at) for held in helds]

    def settle_dead(self, holder: Holder, helds: Sequence[Held], now: float) -> list[Loss]:
        if holder in self._settled:
            return []
        self._settled[holder] = now
        figures = {held.window: held for held in helds}
        accounts = {held.window: self._account(held.window) for held in helds}
        accounts |= {window: account for window, account in self._accounts.items() if holder in account.leases}
        return [account.settle(holder, figures.get(window)) for window, account in accounts.items()]

    def give_up(self, holder: Holder) -> list[Loss]:
        accounts = [account for account in self._accounts.values() if holder in account.leases]
        return [Loss(holder, account.window, account.give_up(holder)) for account in accounts]

    def expire(self, now: float) -> list[Loss]:
        return [loss for account in self._accounts.values() for loss in account.expire(now)]

    def release_lost(self, window: Window) -> Release | None:
        account = self._accounts.get(window)
        return account.release(self._shown(window)) if account else None

    def recount(self, window: Window, instance: str) -> None:
        if account := self._accounts.get(window):
            account.recount(instance, self._shown(window).get(instance, 0))

    def in_doubt(self, instance: str) -> list[Window]:
        return sorted(window for window, account in self._accounts.items() if instance in account.doubtful)

    def review(self, window: Window, instance: str, last: bool) -> None:
        if account := self._accounts.get(window):
            account.review(instance, self._shown(window).get(instance, 0), last)

    def forget(self, before: float) -> int:
        over = [window for window in self._accounts if window.end < before]
        for window in over:
            del self._accounts[window]
        self._settled = {holder: when for holder, when in self._settled.items() if when >= before}
        return len(over)


def _place(row: Row) -> tuple[int, str]:
    return row.created_at, row.request_id
