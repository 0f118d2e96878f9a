"""What the settings ask for and this version does not do yet.

A limit that would not be kept is not taken: the service does not start with such settings, and `awf config check` says
so.  One line here for each; it goes when the server does what it names.
"""

from collections.abc import Iterator

from awfproxy.core.budgets import Budget
from awfproxy.core.settings import Port, Settings


def unsupported(settings: Settings) -> list[str]:
    """Whole sentences, one for each setting that would not be kept, with where it is from."""
    asked = [key for port in settings.ports for key in _of_port(port)]
    return [f"{_place(settings, key)}: `{key}` is not supported in this version; take it out." for key in asked]


def _of_port(port: Port) -> Iterator[str]:
    at = f"ports.{port.name}"
    budgets: list[tuple[str, Budget]] = [(f"{at}.budget", port.budget)]
    budgets += [(f"{at}.clients.{client.name}.budget", client.budget) for client in port.clients]
    budgets += [(f"{at}.features.{feature.name}.budget", feature.budget) for feature in port.features]
    yield from (f"{where}.hard_cap_usd" for where, budget in budgets if budget.enabled and budget.hard_cap_usd)
    if port.budget.enabled and port.budget.webhook is not None:
        yield f"{at}.budget.webhook"


def _place(settings: Settings, key: str) -> str:
    """Of the key, or of the first thing within it that is said."""
    within = (source for name, source in settings.sources.items() if name.startswith(f"{key}."))
    return settings.sources.get(key) or next(within, settings.source)
