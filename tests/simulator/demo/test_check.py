"""The tour's calls, and the comparison of records with what was served."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import msgspec
import pytest

from awfproxy.simulator.demo import check
from awfproxy.simulator.demo.demonstration import call_name, identity, path_of
from awfproxy.simulator.demo.sending import CLIENT_LEFT, COMPLETE, Sent
from awfproxy.simulator.demo.tour import tour_calls
from awfproxy.simulator.setting import BASES, PROVIDERS
from awfproxy.simulator.site import Site
from tests.simulator.reading import serve, whole

SENT = [
    Sent(call_name(index), f"{call.provider}, {call.title}", CLIENT_LEFT if call.abort else COMPLETE)
    for index, call in enumerate(tour_calls())
]


def ledger() -> list[dict[str, Any]]:
    """What the simulator would have served."""
    site = Site(lambda: 0.0)
    last = ""
    for index, call in enumerate(tour_calls()):
        path = path_of(call, last)
        served = serve(call.provider, path, call.body, {"x-request-id": call_name(index)}, site)
        assert served.answer.status == 200, call.title
        last = "" if call.abort else identity(whole(served.answer))
    calls: list[dict[str, Any]] = msgspec.json.decode(site.ledger.as_json())
    return calls


def records(calls: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The usage and request records of a proxy that made no mistake."""
    usage, requests = [], []
    for call, planned in zip(calls, tour_calls(), strict=True):
        identity = {"client_request_id": call["values"]["x-request-id"]}
        requests.append(dict(identity))
        if call["input"] is not None:
            counts = {field: call[name] for field, name in check.COMPARED.items()}
            outcome = "client_left" if planned.abort else "complete"
            said = {"usage_source": "reported", "outcome": outcome, "reasoning_tokens": call["reasoning"]}
            usage.append(identity | counts | said)
    return usage, requests


def test_a_dozen_calls_of_every_provider() -> None:
    """Streaming and not, one aborted."""
    calls = tour_calls()
    assert set(PROVIDERS) == {call.provider for call in calls}
    assert min(Counter(call.provider for call in calls).values()) >= 12
    assert all(any(call.abort for call in calls if call.provider == provider) for provider in PROVIDERS)
    assert set(BASES) <= set(PROVIDERS)


def test_the_truth_is_accepted() -> None:
    """No differences where there are none."""
    calls = ledger()
    assert check.compare(calls, *records(calls), SENT) == []


@pytest.mark.parametrize("field", [*check.COMPARED, "usage_source", "outcome"])
def test_every_difference_is_found(field: str) -> None:
    """One wrong field in one record is one sentence that names it."""
    calls = ledger()
    usage, requests = records(calls)
    wrong = copy.deepcopy(usage)
    wrong[3][field] = "another"
    found = check.compare(calls, wrong, requests, SENT)
    assert len(found) == 1
    assert field in found[0]


def test_missing_and_double_records_are_found() -> None:
    """In either file, and calls that never arrived."""
    calls = ledger()
    usage, requests = records(calls)
    assert len(check.compare(calls, usage[1:], requests, SENT)) == 1
    assert len(check.compare(calls, [usage[0], *usage], requests, SENT)) == 1
    assert len(check.compare(calls, usage, requests[1:], SENT)) == 1
    assert len(check.compare(calls[1:], usage, requests, SENT)) == 1
