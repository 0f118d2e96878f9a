"""Compares what was recorded with what the simulated providers served."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from awfproxy.simulator.demo.sending import COMPLETE, Sent

#: What must be equal in the record and in the simulator's ledger, and the ledger's name for it.
COMPARED = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_tokens": "cache_read",
    "cache_write_tokens": "cache_write",
    "model": "model",
}


def compare(
    served: list[dict[str, Any]],
    usage: list[dict[str, Any]],
    requests: list[dict[str, Any]],
    sent: Sequence[Sent],
) -> list[str]:
    """Where the records differ from what was served, as sentences; [] if nowhere."""
    wrong: list[str] = []
    by_id = {call["values"].get("x-request-id"): call for call in served}
    records: dict[Any, list[dict[str, Any]]] = {}
    for record in usage:
        records.setdefault(record.get("client_request_id"), []).append(record)
    lines: dict[Any, list[dict[str, Any]]] = {}
    for line in requests:
        lines.setdefault(line.get("client_request_id"), []).append(line)
    for call in sent:
        truth, found, told = by_id.get(call.name), records.get(call.name, []), lines.get(call.name, [])
        if truth is None:
            wrong.append(f"{call.title}: never reached the provider")
            continue
        if truth["key"] != "ok":
            wrong.append(f"{call.title}: the provider got a {truth['key']} key")
        if len(told) != 1:
            wrong.append(f"{call.title}: {len(told)} lines in requests.jsonl")
        expected = 0 if truth["input"] is None else 1
        if len(found) != expected:
            wrong.append(f"{call.title}: {len(found)} lines in token-usage.jsonl, not {expected}")
        elif found:
            wrong += [f"{call.title}: {problem}" for problem in differences(truth, found[0], call)]
    return wrong


def differences(truth: dict[str, Any], record: dict[str, Any], call: Sent) -> list[str]:
    """Where one record differs from the ledger's line of the same call."""
    wrong = [] if record.get("outcome") == call.outcome else [f"outcome {record.get('outcome')}, not {call.outcome}"]
    if call.run and record.get("run") != call.run:
        wrong.append(f"run {record.get('run')}, not {call.run}")
    if call.outcome != COMPLETE:  # how far it came is not known beforehand
        return wrong
    if record.get("usage_source") != "reported":
        wrong.append(f"usage_source {record.get('usage_source')}")
    for field, name in COMPARED.items():
        if record.get(field) != truth[name]:
            wrong.append(f"{field} {record.get(field)}, but {truth[name]} served")
    if truth["reasoning"] and record.get("reasoning_tokens") != truth["reasoning"] and truth["provider"] != "anthropic":
        wrong.append(f"reasoning_tokens {record.get('reasoning_tokens')}, but {truth['reasoning']} served")
    return wrong
