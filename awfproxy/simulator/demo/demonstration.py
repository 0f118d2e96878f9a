"""The demonstration from its beginning to its end: processes, traffic, comparison, reports."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path

import msgspec

from awfproxy.simulator.demo.check import compare
from awfproxy.simulator.demo.claude import ClaudeAgent
from awfproxy.simulator.demo.codex import CodexAgent
from awfproxy.simulator.demo.reports import Reports
from awfproxy.simulator.demo.runs import RUNS
from awfproxy.simulator.demo.scripts import play
from awfproxy.simulator.demo.sending import CLIENT_LEFT, Caller, Sent, send
from awfproxy.simulator.demo.tour import ABORT_AFTER, TourCall, tour_calls
from awfproxy.simulator.demo.work import Script
from awfproxy.simulator.processes import ProcessError, ProxyProcess, SimulatorProcess
from awfproxy.simulator.setting import PROVIDERS, Setting, write_setting

LOOPBACK = "tcp:0:interface=127.0.0.1"
_AGENTS: dict[str, type[ClaudeAgent] | type[CodexAgent]] = {"claude-code": ClaudeAgent, "codex": CodexAgent}
#: The label of the tour's calls, in which nothing is to be found.
TOUR = "demo"
#: Where the agents keep their logs, under the folder of the demonstration.
AGENTS = "agents"


def main(folder: Path | None = None, report: Path | None = None) -> int:
    """Run the demonstration; 0 if every figure, turn and finding is right, else 1.

    :param folder: where configuration and logs stay; it must not be there yet, or be empty.  None: nowhere
    :param report: where the page of HTML goes; None: nowhere
    """
    if folder is not None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            print(f"{folder} is there already.", file=sys.stderr)
            return 1
        folder.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="awfproxy-demo-")) if folder is None else folder.resolve()
    in_main = threading.current_thread() is threading.main_thread()
    if in_main:  # so that the processes are stopped too
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        wrong = _demonstrate(directory, report)
    except ProcessError as error:
        wrong = [str(error)]
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, before)
        if folder is None:
            shutil.rmtree(directory, ignore_errors=True)
    if folder is not None:
        print(f"\nConfiguration and logs are in {folder}.")
    for line in wrong:
        print(f"WRONG: {line}")
    return 1 if wrong else 0


def _demonstrate(directory: Path, report: Path | None) -> list[str]:
    """What was wrong, as sentences."""
    simulator = SimulatorProcess(directory, dict.fromkeys(PROVIDERS, LOOPBACK))
    try:
        setting = write_setting(directory, simulator.ports)
        proxy = ProxyProcess(directory, setting.config, setting.admin_port, setting.environment)
        try:
            print(f"Proxy (pid {proxy.pid}) in front of simulated providers (pid {simulator.pid}):")
            sent = _tour(setting) + _runs(setting, directory / AGENTS)
        finally:
            status = proxy.stop()
        wrong = [f"{call.title}: {call.problem}" for call in sent if call.problem]
        if status != 0:
            wrong.append(f"the proxy ended with status {status}:\n{proxy.output[-2000:]}")
        served = simulator.calls()
    finally:
        simulator.stop()
    wrong += compare(served, setting.records(), setting.records("requests"), sent)
    if not wrong:
        print(f"Every figure equals what the simulated providers served ({len(served)} calls).")
    reports = Reports(setting.log_dir, directory / AGENTS)
    wrong += reports.show(RUNS, sent, setting.records())
    wrong += reports.unfounded(TOUR)
    if report is not None:
        wrong += reports.page(report)
    return wrong


def call_name(index: int) -> str:
    """The X-Request-ID that call ``index`` of the tour sends."""
    return f"demo-{index:03d}"


def _tour(setting: Setting) -> list[Sent]:
    """One call of each kind."""
    sent: list[Sent] = []
    done: dict[str, int] = {}
    last = ""
    for index, call in enumerate(tour_calls()):
        name = call_name(index)
        headers = call.headers | {"X-Request-ID": name, "x-awf-feature": TOUR}
        answered = send(
            setting.ports[call.provider], path_of(call, last), call.body, headers,
            leave_bytes=ABORT_AFTER if call.abort else None,
        )  # fmt: skip
        last = "" if answered.outcome == CLIENT_LEFT else identity(answered.body)
        sent.append(Sent(name, f"{call.provider}, {call.title}", answered.outcome, problem=answered.problem))
        done[call.provider] = done.get(call.provider, 0) + 1
    for provider, count in done.items():
        print(f"  {provider:<10} {setting.url(provider)}  {count} calls, one of each kind")
    return sent


def path_of(call: TourCall, last: str) -> str:
    """The call's path; ``last`` is the id of the answer before it, which the call may be about."""
    return f"{call.path}/{last}" if call.about_last else call.path


def identity(body: bytes) -> str:
    """The id that an answer has; "" where it has none."""
    try:
        return str(msgspec.json.decode(body)["id"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return ""


def _runs(setting: Setting, agents: Path) -> list[Sent]:
    """The runs of the workflow; the agents' logs go into a folder for each."""
    sent: list[Sent] = []
    for run in RUNS:
        caller = Caller(setting.ports, run.name)
        for work in run.works:
            if isinstance(work, Script):
                play(work, caller)
            else:
                _AGENTS[work.agent](work, caller, agents / run.name).play()
        print(f"  {run.name:<10} {len(caller.sent)} calls of two agents and two scripts")
        sent += caller.sent
    return sent
