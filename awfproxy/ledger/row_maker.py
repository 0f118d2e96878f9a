"""From a journal's records to the rows that budgets count, the same wherever the journal is read: by the service as it
grows, by `awf ledger` from its files."""

from __future__ import annotations

from collections.abc import Callable

from awfproxy.core.records import TokenUsageRecord
from awfproxy.core.scopes import counted_feature
from awfproxy.core.settings import Settings
from awfproxy.ledger.rows import Row, row_of

Price = Callable[[TokenUsageRecord], float | None]


def row_maker(
    settings: Settings, instance: str, price: Price = lambda record: None
) -> Callable[[TokenUsageRecord], Row | None]:
    """Makes the row of a record; None where `rows.row_of` has none.

    :param instance: the installation that wrote the journal
    :param price: what a call cost, in dollars; None: it is not known
    """
    listed = {port.name: frozenset(feature.name for feature in port.features) for port in settings.ports}
    nothing: frozenset[str] = frozenset()

    def made(record: TokenUsageRecord) -> Row | None:
        feature = counted_feature(listed.get(record.port, nothing), record.feature)
        return row_of(record, instance, feature=feature, cost_usd=price(record))

    return made
