"""Stored settings of budgets in SQL: a JSON object of those fields that were set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, and_, insert, select, update

from awfproxy.core.budgets import Scope, ScopeKind
from awfproxy.core.undecodable import UNDECODABLE
from awfproxy.ledger.database import Database
from awfproxy.ledger.facts import Setting
from awfproxy.ledger.interface import Fault
from awfproxy.ledger.tables import settings


class SqlSettings:
    """The settings' part of `interface.Ledger`."""

    _database: Database

    def setting(self, scope: Scope) -> Setting | None:
        with self._database.read() as connection:
            found = connection.execute(select(settings).where(_is(scope))).one_or_none()
        return None if found is None else _setting(found)

    def settings(self) -> list[Setting]:
        with self._database.read() as connection:
            found = connection.execute(select(settings)).all()
        return sorted(map(_setting, found), key=lambda setting: setting.scope)

    def set_setting(
        self,
        scope: Scope,
        fields: dict[str, Any],
        who: str,
        when: float,
        merge: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any] | Fault],
    ) -> Setting | Fault:
        with self._database.write() as connection:
            stored = _locked(connection, scope)
            merged = merge(dict(stored.fields) if stored else {}, fields)
            if not isinstance(merged, dict):
                return merged
            return _store(connection, stored, Setting(scope, merged, who, when))

    def restore_settings(self, settings: Sequence[Setting]) -> list[Setting]:
        missing = []
        with self._database.write() as connection:
            for setting in settings:
                if _locked(connection, setting.scope) is None:
                    missing.append(_store(connection, None, setting))
        return missing


def _is(scope: Scope) -> ColumnElement[bool]:
    return and_(settings.c.port == scope.port, settings.c.kind == scope.kind, settings.c.name == scope.name)


def _locked(connection: Connection, scope: Scope) -> Setting | None:
    """The stored setting; nobody else changes it until the transaction ends."""
    if connection.dialect.name == "postgresql":
        # A lock on the row would not do: the first setting of a scope has none yet.
        connection.exec_driver_sql("LOCK TABLE budget_settings IN SHARE ROW EXCLUSIVE MODE")
    found = connection.execute(select(settings).where(_is(scope))).one_or_none()
    return None if found is None else _setting(found)


def _store(connection: Connection, stored: Setting | None, setting: Setting) -> Setting:
    values = {
        "fields": msgspec.json.encode(setting.fields).decode(),
        "changed_by": setting.changed_by,
        "changed_at": setting.changed_at,
    }
    if stored is None:
        values |= {"port": setting.scope.port, "kind": setting.scope.kind, "name": setting.scope.name}
        connection.execute(insert(settings).values(values))
    else:
        connection.execute(update(settings).where(_is(setting.scope)).values(values))
    return setting


def _setting(found: Row[Any]) -> Setting:
    scope = Scope(found.port, cast(ScopeKind, found.kind), found.name)
    return Setting(scope, _fields(found.fields), found.changed_by, found.changed_at)


def _fields(text: str) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(text)
    except UNDECODABLE:
        return {}
    return fields if isinstance(fields, dict) else {}
