"""The workflows in deploy/: they are right as files, ask for no more than they need, and their scripts do as they say.

The scripts are run as the runner does it (bash -e, pipefail where it is named), with `gh`, `pip` and `npm` played by
small programs that write down what they were asked, and `awf` and `twistd` by the real ones.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from awfproxy import __version__
from awfproxy.cli import awf
from awfproxy.report.analysis.forms import MARK
from awfproxy.simulator.demo.runs import FIRST, SECOND
from tests.demonstrated import Demonstrated, environment_of

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
AGENTIC, ACTIONS = DEPLOY / "token-usage-analyzer.md", DEPLOY / "github-actions-summary.yml"
#: gh-aw's front matter, as far as this file needs it (github.com/github/gh-aw, reference of the front matter)
KNOWN = {
    *("description", "on", "permissions", "engine", "network", "tools", "steps", "safe-outputs", "timeout-minutes"),
}
#: seconds that one script may take
TIMEOUT = 120
#: an address of the loopback that no other test listens on
BIND = "127.0.0.86"


def front_matter() -> tuple[dict[Any, Any], str]:
    """The front matter and the text of the agentic workflow."""
    _, matter, text = AGENTIC.read_text().split("---\n", 2)
    return yaml.safe_load(matter), text


def actions() -> dict[Any, Any]:
    return dict(yaml.safe_load(ACTIONS.read_text()))


def steps(which: Path) -> list[dict[str, Any]]:
    """The steps of either file."""
    return list(front_matter()[0]["steps"] if which == AGENTIC else actions()["jobs"]["agent"]["steps"])


def script(which: Path, name: str) -> str:
    """What the step of that name runs."""
    return next(str(step["run"]) for step in steps(which) if step.get("name") == name)


def run(text: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """As the runner runs a step: bash -e; `folder` is also where /tmp/gh-aw is, and has the programs that play."""
    played = folder / "played"
    environment = environment_of(more, [str(played)] if played.is_dir() else [])
    text = text.replace("/tmp/gh-aw", str(folder))
    return subprocess.run(
        ["bash", "-e", "-c", text], cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT,
        check=False,
    )  # fmt: skip


def plays(folder: Path, name: str, text: str) -> None:
    """A program of that name for `run`."""
    path = folder / "played" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/bash\necho {name} \"$@\" >> {shlex.quote(str(folder / 'asked'))}\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("which", [AGENTIC, ACTIONS], ids=lambda path: path.name)
def test_nothing_more_is_asked_for_than_is_needed(which: Path) -> None:
    """Permissions to read alone, and to read artifacts only where artifacts are read; jobs have no others."""
    content = front_matter()[0] if which == AGENTIC else actions()
    assert content["permissions"] == {"contents": "read"} | ({"actions": "read"} if which == AGENTIC else {})
    assert not any("permissions" in job for job in content.get("jobs", {}).values())
    triggers = content["on"] if "on" in content else content[True]  # YAML 1.1 takes `on` for a truth
    assert "workflow_dispatch" in triggers
    assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(triggers)


@pytest.mark.parametrize("which", [AGENTIC, ACTIONS], ids=lambda path: path.name)
def test_what_is_installed_has_a_version(which: Path) -> None:
    """Actions by commit with their version beside it; awfproxy is this one; no other package without a version."""
    text = which.read_text()
    used = re.findall(r"uses: (.*)", text)
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each) for each in used), used
    assert re.findall(r"pip install .*?'([^']*)'", text) == [f"awfproxy=={__version__}"]
    assert all(re.search(r"@\d", line) for line in text.splitlines() if "npm install" in line)


@pytest.mark.parametrize("which", [AGENTIC, ACTIONS], ids=lambda path: path.name)
def test_a_secret_is_in_the_environment_of_one_step(which: Path) -> None:
    """Never in a script, where it could be printed; and no text from outside stands in one either."""
    given = [step for step in steps(which) if re.search(r"secrets\.|github\.token", str(step.get("env", "")))]
    assert len(given) == 1
    for step in steps(which):
        assert "${{" not in str(step.get("run", "")), step.get("name")
        assert "set -x" not in str(step.get("run", ""))


@pytest.mark.parametrize("which", [AGENTIC, ACTIONS], ids=lambda path: path.name)
def test_every_awf_command_is_one(which: Path) -> None:
    """Command and options exist, as the command itself understands them."""
    commands = [
        shlex.split(line.split(" >> ")[0].split(" > ")[0].removeprefix("run: "))[1:]
        for line in map(str.strip, which.read_text().splitlines())
        if line.removeprefix("run: ").startswith("awf ")
    ]
    assert len(commands) >= 2
    for command in commands:
        words = [word for word in command if not word.startswith("$")]
        group = words[:2] if words[0] == "logs" else words[:1]
        told = CliRunner().invoke(awf, [*group, "--help"]).output
        assert all(word in told for word in words if word.startswith("--")), command


def test_the_agentic_workflow_is_one() -> None:
    """Its front matter has what gh-aw knows; the agent can read, and one issue is all that comes of it."""
    matter, text = front_matter()
    assert {"on" if name is True else name for name in matter} == KNOWN
    assert matter["tools"] == {"bash": ["cat", "ls", "grep", "head"]}
    assert list(matter["safe-outputs"]) == ["create-issue"]
    assert matter["safe-outputs"]["create-issue"]["max"] == 1
    assert text.strip().startswith("# ")
    assert "${{" not in text
    named = set(re.findall(r"/tmp/gh-aw/tokens/[\w.]+", text))
    assert {Path(name).name for name in named} <= set(re.findall(r"> (\w+\.md)", str(matter["steps"])))


def test_the_steps_fetch_and_find(demonstrated: Demonstrated, tmp_path: Path) -> None:
    """Two runs of this week, one of the week before, one without records; the report compares the weeks."""
    logs = shlex.quote(str(demonstrated.logs))
    now = f"{{ grep -h '{SECOND.name}' {logs}/token-usage.jsonl; }}"
    before = f"{{ grep -h '{FIRST.name}' {logs}/token-usage.jsonl; }}"
    plays(
        tmp_path,
        "gh",
        f"""
        if [ "$1 $2" = "run list" ]; then
          case "$*" in *"$(date --utc --date '7 days ago' +%Y-%m-%d)"*..*"$(date --utc +%Y-%m-%d)"*) echo 11; echo 12 ;;
          *) echo 10 ;; esac
          exit 0
        fi
        [ "$3 $7" = "11 awfproxy-logs" ] && {{ mkdir -p "$9"; {now} > "$9/token-usage.jsonl"; exit 0; }}
        [ "$3 $7" = "10 firewall-audit-logs" ] && {{
          mkdir -p "$9/api-proxy-logs"; {before} > "$9/api-proxy-logs/token-usage.jsonl"; exit 0; }}
        echo "no artifact found" >&2; exit 1
        """,
    )
    fetched = run(script(AGENTIC, "Fetch the records of this week and of the one before"), tmp_path, GITHUB_REPOSITORY="o/r")
    assert fetched.returncode == 0, fetched.stderr
    asked = (tmp_path / "asked").read_text()
    assert asked.count("gh run list") == 2
    assert asked.count("gh run download") == 6
    summary = tmp_path / "summary"
    found = run(
        script(AGENTIC, "Find what could be cheaper"), tmp_path,
        GITHUB_STEP_SUMMARY=str(summary), GH_AW_SAFE_OUTPUTS=str(tmp_path / "safe"),
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    findings = (tmp_path / "tokens" / "findings.md").read_text()
    assert findings.splitlines()[1] == MARK
    assert "reread-files" in findings
    assert "gone" in findings
    assert SECOND.name in (tmp_path / "tokens" / "usage.md").read_text()
    assert findings in summary.read_text()
    assert not (tmp_path / "safe").exists()


def test_without_records_no_agent_is_started(tmp_path: Path) -> None:
    """The step says so in gh-aw's way, and does not fail."""
    (tmp_path / "tokens" / "now").mkdir(parents=True)
    done = run(script(AGENTIC, "Find what could be cheaper"), tmp_path, GH_AW_SAFE_OUTPUTS=str(tmp_path / "safe"))
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load((tmp_path / "safe").read_text())["type"] == "noop"


def test_the_proxy_starts_without_showing_its_key_and_stops(tmp_path: Path) -> None:
    """The two steps as they are, on another address of the loopback."""
    more = {
        "RUNNER_TEMP": str(tmp_path),
        "ANTHROPIC_API_KEY": "key-of-a-test",
        "AWF_TOKEN_LOG_DIR": str(tmp_path / "awfproxy-logs"),
        "AWFPROXY_STATE_DIR": str(tmp_path / "state"),
        "AWFPROXY_BIND": BIND,
        "AWFPROXY_ADMIN": f"tcp:10009:interface={BIND}",
    }
    given = next(step for step in steps(ACTIONS) if step.get("name") == "Start the proxy")["env"]
    assert set(given) <= set(more)
    started = run(script(ACTIONS, "Start the proxy").replace("127.0.0.1", BIND), tmp_path, **more)
    stopped = run(script(ACTIONS, "Stop the proxy"), tmp_path, **more)
    assert started.returncode == 0, started.stderr
    assert stopped.returncode == 0, stopped.stderr
    said = started.stdout + started.stderr + (tmp_path / "awfproxy.log").read_text()
    assert "ready" in started.stdout
    assert "key-of-a-test" not in said
    assert not (tmp_path / "awfproxy.pid").exists()


def after_a_run(demonstrated: Demonstrated, folder: Path) -> dict[str, str]:
    """The logs are where the proxy has left them; the environment of the steps that follow, a home without anything."""
    (folder / "awfproxy-logs").mkdir()
    for name in ("requests.jsonl", "token-usage.jsonl"):
        (folder / "awfproxy-logs" / name).write_bytes((demonstrated.logs / name).read_bytes())
    places = {"RUNNER_TEMP": folder, "GITHUB_STEP_SUMMARY": folder / "summary", "HOME": folder}
    return {"RUN": "Agent-1-1"} | {name: str(path) for name, path in places.items()}


@pytest.mark.parametrize("logs_of_the_agent", ["none", "empty", "of something else"])
def test_the_summary_of_an_agent_without_a_log(
    logs_of_the_agent: str, demonstrated: Demonstrated, tmp_path: Path
) -> None:
    """Where it came to no turn there is no ~/.claude/projects, or nothing in it: turns are told by the records, once."""
    more = after_a_run(demonstrated, tmp_path)
    projects = tmp_path / ".claude" / "projects"
    if logs_of_the_agent != "none":
        projects.mkdir(parents=True)
    if logs_of_the_agent == "of something else":
        (projects / "notes.txt").write_text("Nothing that an agent writes.\n")
    said = run(script(ACTIONS, "Say what it used"), tmp_path, **more)
    assert said.returncode == 0, said.stderr
    text = (tmp_path / "summary").read_text()
    for heading in ("### Token usage\n", "### Token usage by turn\n", MARK):
        assert text.count(heading) == 1, heading
    assert " by conversation: " in text
    assert (tmp_path / "awfproxy-logs" / "report.html").is_file()
    assert (tmp_path / "awfproxy-logs" / "token-usage-by-turn.jsonl").is_file()


def test_the_summary_and_the_gate(demonstrated: Demonstrated, tmp_path: Path) -> None:
    """All three tables in the summary, the page beside the logs; the gate fails for what it names."""
    more = after_a_run(demonstrated, tmp_path)
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".claude" / "projects").symlink_to(demonstrated.folder / "agents")
    said = run(script(ACTIONS, "Say what it used"), tmp_path, **more)
    assert said.returncode == 0, said.stderr
    text = (tmp_path / "summary").read_text()
    assert MARK in text
    assert "calls placed in" in text
    assert "Agent-1-1" in (tmp_path / "awfproxy-logs" / "report.html").read_text()
    gate = run(script(ACTIONS, "Fail if it cost too much"), tmp_path, **more)
    assert gate.returncode == 1
    assert "Failed: high or above" in gate.stderr
    loose = script(ACTIONS, "Fail if it cost too much").replace(",severity:high", "")
    assert run(loose, tmp_path, **more).returncode == 0
