"""From a journal's records to the rows that budgets count, the same wherever the journal is read: by the service as it
grows, by `awf ledger` from its files."""

from __future__ import annotations

from collections.abc import Callable

from awfproxy.core.scopes import counted_feature
from awfproxy.core.settings import Settings
from awfproxy.ledger.rows import UNPRICED, Line, Price, Row, row_of


def row_maker(
    settings: Settings, instance: str, price: Price = lambda record, model, at: UNPRICED
) -> Callable[[Line], Row | None]:
    """Makes the row of a record; None where `rows.row_of` has none.

    :param instance: the installation that wrote the journal
    :param price: what a call cost
    """
    listed = {port.name: frozenset(feature.name for feature in port.features) for port in settings.ports}
    nothing: frozenset[str] = frozenset()

    def made(record: Line) -> Row | None:
        feature = counted_feature(listed.get(record.port, nothing), record.feature)
        return row_of(record, instance, feature=feature, price=price)

    return made
