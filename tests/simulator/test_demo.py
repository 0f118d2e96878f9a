"""The demonstration: its calls, its comparison, and the whole of it."""

from __future__ import annotations

import copy
import time
from collections import Counter
from typing import Any

import msgspec
import pytest

from awfproxy.simulator import demo
from awfproxy.simulator.demo_calls import demo_calls
from awfproxy.simulator.setting import BASES, PROVIDERS
from awfproxy.simulator.site import Site
from tests.simulator.reading import serve, whole

#: Seconds that the demonstration may take on a slow machine that does other things too.
DEMO_SECONDS = 30


def ledger() -> list[dict[str, Any]]:
    """What the simulator would have served."""
    site = Site(lambda: 0.0)
    last = ""
    for index, call in enumerate(demo_calls()):
        path = demo.path_of(call, last)
        served = serve(call.provider, path, call.body, {"x-request-id": demo.call_id(index)}, site)
        assert served.answer.status == 200, call.title
        last = "" if call.abort else demo.identity(whole(served.answer))
    calls: list[dict[str, Any]] = msgspec.json.decode(site.ledger.as_json())
    return calls


def records(calls: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The usage and request records of a proxy that made no mistake."""
    usage, requests = [], []
    for call, planned in zip(calls, demo_calls(), strict=True):
        identity = {"client_request_id": call["values"]["x-request-id"]}
        requests.append(dict(identity))
        if call["input"] is not None:
            counts = {field: call[name] for field, name in demo.COMPARED.items()}
            outcome = "client_left" if planned.abort else "complete"
            said = {"usage_source": "reported", "outcome": outcome, "reasoning_tokens": call["reasoning"]}
            usage.append(identity | counts | said)
    return usage, requests


def test_a_dozen_calls_of_every_provider() -> None:
    """Streaming and not, one aborted."""
    calls = demo_calls()
    assert set(PROVIDERS) == {call.provider for call in calls}
    assert min(Counter(call.provider for call in calls).values()) >= 12
    assert all(any(call.abort for call in calls if call.provider == provider) for provider in PROVIDERS)
    assert set(BASES) <= set(PROVIDERS)


def test_the_truth_is_accepted() -> None:
    """No differences where there are none."""
    calls = ledger()
    assert demo.compare(calls, *records(calls), demo_calls()) == []


@pytest.mark.parametrize("field", [*demo.COMPARED, "usage_source", "outcome"])
def test_every_difference_is_found(field: str) -> None:
    """One wrong field in one record is one sentence that names it."""
    calls = ledger()
    usage, requests = records(calls)
    wrong = copy.deepcopy(usage)
    wrong[3][field] = "another"
    found = demo.compare(calls, wrong, requests, demo_calls())
    assert len(found) == 1
    assert field in found[0]


def test_missing_and_double_records_are_found() -> None:
    """In either file, and calls that never arrived."""
    calls = ledger()
    usage, requests = records(calls)
    assert len(demo.compare(calls, usage[1:], requests, demo_calls())) == 1
    assert len(demo.compare(calls, [usage[0], *usage], requests, demo_calls())) == 1
    assert len(demo.compare(calls, usage, requests[1:], demo_calls())) == 1
    assert len(demo.compare(calls[1:], usage, requests, demo_calls())) == 1


def test_the_whole_demonstration(capsys: pytest.CaptureFixture[str]) -> None:
    """Real processes, every figure right, the table printed, and quickly."""
    begun = time.monotonic()
    status = demo.main()
    printed = capsys.readouterr().out
    assert status == 0, printed
    assert "Every figure equals" in printed
    assert "anthropic" in printed
    assert time.monotonic() - begun < DEMO_SECONDS
