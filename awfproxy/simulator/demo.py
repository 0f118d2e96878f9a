"""``awf demo``: the proxy as it runs in earnest, in front of simulated providers, and the table of what was used.

Starts both as processes on free ports of the loopback, makes some ninety calls without a key, one of each kind given up
in the middle, stops the proxy, prints the report from its ``token-usage.jsonl`` and compares every record with what
the simulator knows it served.
"""

from __future__ import annotations

import http.client
import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import msgspec

from awfproxy.report.token_usage import token_usage
from awfproxy.simulator.demo_calls import ABORT_AFTER, DemoCall, demo_calls
from awfproxy.simulator.encoders import decode
from awfproxy.simulator.processes import ProcessError, ProxyProcess, SimulatorProcess
from awfproxy.simulator.setting import PROVIDERS, Setting, write_setting
from awfproxy.simulator.site import MAX_DECODED

LOOPBACK = "tcp:0:interface=127.0.0.1"
#: Seconds that one call may take.
CALL_TIMEOUT = 20.0
#: What must be equal in the record and in the simulator's ledger, and the ledger's name for it.
COMPARED = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_tokens": "cache_read",
    "cache_write_tokens": "cache_write",
    "model": "model",
}


def main(keep: bool = False) -> int:
    """Run the demonstration; 0 if every figure agrees, else 1.

    :param keep: leave the folder with config and logs, and say where it is
    """
    directory = Path(tempfile.mkdtemp(prefix="awfproxy-demo-"))
    in_main = threading.current_thread() is threading.main_thread()
    if in_main:  # so that the processes are stopped too
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        wrong = _demonstrate(directory)
    except ProcessError as error:
        wrong = [str(error)]
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, before)
        if keep:
            print(f"\nConfig and logs: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    for line in wrong:
        print(f"WRONG: {line}")
    return 1 if wrong else 0


def _demonstrate(directory: Path) -> list[str]:
    """What was wrong, as sentences."""
    simulator = SimulatorProcess(directory, dict.fromkeys(PROVIDERS, LOOPBACK))
    try:
        setting = write_setting(directory, simulator.ports)
        proxy = ProxyProcess(directory, setting.config, setting.admin_port, setting.environment)
        try:
            print(f"Proxy (pid {proxy.pid}) in front of simulated providers (pid {simulator.pid}):")
            wrong = _make_calls(setting)
        finally:
            status = proxy.stop()
        if status != 0:
            wrong.append(f"the proxy ended with status {status}:\n{proxy.output[-2000:]}")
        served = simulator.calls()
    finally:
        simulator.stop()
    print("\nUsed, by token-usage.jsonl:\n")
    print_report(setting.log_dir)
    wrong += compare(served, setting.records(), setting.records("requests"), demo_calls())
    if not wrong:
        print(f"\nEvery figure equals what the simulated providers served ({len(served)} calls).")
    return wrong


def call_id(index: int) -> str:
    """The X-Request-ID that call ``index`` sends: what record and ledger are matched by."""
    return f"demo-{index:03d}"


def _make_calls(setting: Setting) -> list[str]:
    wrong: list[str] = []
    done: dict[str, int] = {}
    last = ""
    for index, call in enumerate(demo_calls()):
        problem, last = make_call(setting.ports[call.provider], call, path_of(call, last), call_id(index))
        if problem is not None:
            wrong.append(f"{call.provider}, {call.title}: {problem}")
        done[call.provider] = done.get(call.provider, 0) + 1
    for provider, count in done.items():
        print(f"  {provider:<10} {setting.url(provider)}  {count} calls")
    return wrong


def path_of(call: DemoCall, last: str) -> str:
    """The call's path; ``last`` is the id of the answer before it, which the call may be about."""
    return f"{call.path}/{last}" if call.about_last else call.path


def identity(body: bytes) -> str:
    """The id that an answer has; "" where it has none."""
    try:
        return str(msgspec.json.decode(body)["id"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return ""


def make_call(port: int, call: DemoCall, path: str, request_id: str) -> tuple[str | None, str]:
    """Make one call; what went wrong with it, or None, and the id of its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=CALL_TIMEOUT)
    try:
        body = None if call.body is None else msgspec.json.encode(call.body)
        headers = call.headers | {"X-Request-ID": request_id, "x-awf-feature": "demo"}
        connection.request("GET" if body is None else "POST", path, body, headers)
        response = connection.getresponse()
        answer = response.read(ABORT_AFTER if call.abort else None)
        decoded = b"" if call.abort else decode(answer, response.getheader("Content-Encoding", ""), MAX_DECODED)
        return None if response.status == 200 else f"answered {response.status}", identity(decoded)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}", ""
    finally:
        connection.close()


def compare(
    served: list[dict[str, Any]],
    usage: list[dict[str, Any]],
    requests: list[dict[str, Any]],
    calls: list[DemoCall],
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
    for index, call in enumerate(calls):
        name, title = call_id(index), f"{call.provider}, {call.title}"
        truth, found = by_id.get(name), records.get(name, [])
        if truth is None:
            wrong.append(f"{title}: never reached the provider")
            continue
        if truth["key"] != "ok":
            wrong.append(f"{title}: the provider got a {truth['key']} key")
        if len(lines.get(name, [])) != 1:
            wrong.append(f"{title}: {len(lines.get(name, []))} lines in requests.jsonl")
        expected = 0 if truth["input"] is None else 1
        if len(found) != expected:
            wrong.append(f"{title}: {len(found)} lines in token-usage.jsonl, not {expected}")
        elif found:
            wrong += [f"{title}: {problem}" for problem in differences(truth, found[0], aborted=call.abort)]
    return wrong


def differences(truth: dict[str, Any], record: dict[str, Any], *, aborted: bool) -> list[str]:
    """Where one record differs from the ledger's line of the same call."""
    outcome = "client_left" if aborted else "complete"
    wrong = [] if record.get("outcome") == outcome else [f"outcome {record.get('outcome')}, not {outcome}"]
    if aborted:  # how far it came is not known beforehand
        return wrong
    if record.get("usage_source") != "reported":
        wrong.append(f"usage_source {record.get('usage_source')}")
    for field, name in COMPARED.items():
        if record.get(field) != truth[name]:
            wrong.append(f"{field} {record.get(field)}, but {truth[name]} served")
    if truth["reasoning"] and record.get("reasoning_tokens") != truth["reasoning"] and truth["provider"] != "anthropic":
        wrong.append(f"reasoning_tokens {record.get('reasoning_tokens')}, but {truth['reasoning']} served")
    return wrong


def print_report(log_dir: Path) -> None:
    """The table, by the code behind ``awf logs token-usage``."""
    report = token_usage([str(log_dir)], ("provider", "model"))
    print(report.render("pretty"), end="")
    for remark in report.remarks.sentences():
        print(remark)
