"""Rows as budgets count them."""

from pathlib import Path

from awfproxy.configuration import load
from awfproxy.core.budgets import Charge
from awfproxy.core.consumption import Counted
from awfproxy.core.settings import Settings
from awfproxy.ledger.row_maker import row_maker
from tests.journals import NOON, record

FILE = """
[service]
log_dir = "logs"
state_dir = "state"
[ports.openai]
provider = "openai"
credential = { env = "KEY" }
[ports.openai.features.review]
[ports.bare]
provider = "openai"
listen = "tcp:1"
"""


def settings(folder: Path) -> Settings:
    path = folder / "a.toml"
    path.write_text(FILE)
    return load(str(path), {"KEY": "k"})


def test_features_are_those_that_the_port_lists(tmp_path: Path) -> None:
    """Of a port that lists none, and of one that is gone, what the record says."""
    made = row_maker(settings(tmp_path), "i")
    ports = [("openai", "review"), ("openai", "chat"), ("bare", "chat"), ("gone", "chat")]
    rows = [made(record(1, NOON, port=port, feature=feature)) for port, feature in ports]
    assert [row and row.feature for row in rows] == ["review", "other", "chat", "chat"]
    assert {row and row.instance for row in rows} == {"i"}


def test_prices_are_asked_for_each_record(tmp_path: Path) -> None:
    """And not known without."""
    asked: list[tuple[str, float]] = []

    def price(record: Counted, model: str, at: float) -> Charge:
        asked.append((model, at))
        return Charge(record.output_tokens / 10, record.output_tokens)

    made = record(5, NOON)
    row = row_maker(settings(tmp_path), "i", price)(made)
    assert row is not None and (row.cost_usd, row.counted_usd) == (0.5, 5)
    assert asked == [(made.model, row.created_at / 1000)]
    row = row_maker(settings(tmp_path), "i")(record(5, NOON))
    assert row is not None and (row.cost_usd, row.counted_usd) == (None, None)
