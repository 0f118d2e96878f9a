"""What several workers tell of themselves, as one answer."""

from __future__ import annotations

from typing import Any

from awfproxy.server.totals import BUDGETS


def together(told: list[dict[str, Any]]) -> dict[str, Any]:
    """Parts of `/reflect`: numbers are added, lists united, tables put together; of all else the first stays.

    All tell of the same budgets: of each counts what the one says that knows of the most.
    """
    whole: dict[str, Any] = {}
    for each in told:
        for name, value in each.items():
            if name not in whole:
                whole[name] = value
            else:
                whole[name] = (_newest if name in BUDGETS else _both)(whole[name], value)
    return whole


def _newest(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    def known(figures: dict[str, Any]) -> tuple[int, int]:
        return figures["window_start"], -1 if figures["used"] is None else figures["used"]

    return {key: max((each[key] for each in (one, other) if key in each), key=known) for key in one | other}


def _both(one: Any, other: Any) -> Any:
    if isinstance(one, dict):
        return together([one, other])
    if isinstance(one, list):
        return sorted({*one, *other})
    if isinstance(one, int) and not isinstance(one, bool):
        return one + other
    return one


def all_reasons(by_worker: dict[int, dict[str, str]], workers: int) -> dict[str, str]:
    """Reasons of `/health` by name: what all say once, else who says what."""
    found = {}
    for name in dict.fromkeys(name for reasons in by_worker.values() for name in reasons):
        said = {slot: reasons[name] for slot, reasons in by_worker.items() if name in reasons}
        texts = set(said.values())
        if len(said) == workers and len(texts) == 1:
            found[name] = texts.pop()
        else:
            found[name] = "; ".join(f"worker {slot}: {text}" for slot, text in said.items())
    return found
