"""The alerts of deploy/awfproxy.rules.yml: each is silent while all is well, and fires when it should, by promtool.

`promtool test rules` gets series that are written here (its notation: `0+60x10` is 0, 60, ... 600, a minute apart).
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from awfproxy.server.metric_families import FAMILIES
from tests.prometheus import DEPLOY, needs_promtool
from tests.test_docs import anchors

RULES = DEPLOY / "awfproxy.rules.yml"
ROOT = DEPLOY.parent

#: of each series
TARGET = 'job="awfproxy",instance="h:1"'
PORT = f'{TARGET},provider="openai",port="openai"'
BUDGET = f'{PORT},scope="port",name=""'
ANTHROPIC = f'{TARGET},provider="anthropic",port="anthropic"'

OK = f'awfproxy_requests_total{{{PORT},model="m",outcome="complete",status="200"}}'


class Case(msgspec.Struct):
    """Series by which an alert fires after so many minutes, and by which it does not."""

    fires: dict[str, str]
    silent: dict[str, str]
    minutes: int = 60


def calls(outcome: str, status: str) -> str:
    """A series of calls that ended so."""
    return f'awfproxy_requests_total{{{PORT},model="m",outcome="{outcome}",status="{status}"}}'


def one(name: str, labels: str = TARGET) -> str:
    """A series."""
    return f"{name}{{{labels}}}"


REQUESTS_WRITTEN = one("awfproxy_log_records_written_total", f'{TARGET},file="requests.jsonl"')
USAGE_WRITTEN = one("awfproxy_log_records_written_total", f'{TARGET},file="token-usage.jsonl"')
USED, SOFT, HARD = (one(f"awfproxy_budget_{what}_tokens", BUDGET) for what in ("used", "soft_cap", "limit"))
SPENT, DOLLARS = (one(f"awfproxy_budget_{what}_usd", BUDGET) for what in ("used", "limit"))
ESTIMATED, REPORTED = (
    one("awfproxy_usage_records_total", f'{PORT},model="m",source="{source}",reason=""')
    for source in ("estimated", "reported")
)
ALLOWED, REFUSED = (
    one("awfproxy_budget_decisions_total", f'{PORT},scope="{scope}",decision="{decision}"')
    for scope, decision in (("", "allowed"), ("port", "hard-cap-exceeded"))
)
GIVEN_UP, FAILED = (one("awfproxy_webhook_total", f'{TARGET},result="{result}"') for result in ("given_up", "failed"))

CASES = {
    "AwfproxyDown": Case({one("up"): "1x5 0x60"}, {one("up"): "1x30 0 1x30"}),
    "AwfproxyDegraded": Case({one("awfproxy_degraded"): "1x60"}, {one("awfproxy_degraded"): "0x54 1x1 0x10"}, 56),
    "AwfproxyWorkersDie": Case(
        {one("awfproxy_worker_deaths_total"): "0x50 1+1x10"}, {one("awfproxy_worker_deaths_total"): "0x50 1x10"}
    ),
    "AwfproxyRestarts": Case(
        {one("process_start_time_seconds", f'{TARGET},process="supervisor"'): "100x40 200x4 300x4 400x4 500x4 600x9"},
        {
            one("process_start_time_seconds"): "100x40 200x25",
            one("process_start_time_seconds", f'{TARGET},process="0"'): "100x40 200x4 300x4 400x4 500x4 600x9",
        },
    ),
    "AwfproxyReloadFailed": Case(
        {one("awfproxy_config_last_reload_successful"): "1x50 0x10"},
        {one("awfproxy_config_last_reload_successful"): "1x60"},
    ),
    "AwfproxyFilesUsedUp": Case(
        {one("process_open_fds"): "900x60", one("process_max_fds"): "1000x60"},
        {one("process_open_fds"): "100x60", one("process_max_fds"): "1000x60"},
    ),
    "AwfproxyErrorRate": Case(
        {OK: "0+60x60", calls("upstream_failed", "502"): "0+3x60", calls("complete", "529"): "0+3x60"},
        {OK: "0+60x60", calls("upstream_failed", "502"): "0+2x60", calls("complete", "400"): "0+30x60"},
    ),
    "AwfproxyUpstreamFails": Case(
        {OK: "0+60x60", calls("timed_out", "504"): "0+20x60"}, {OK: "0+60x60", calls("client_left", "200"): "0+60x60"}
    ),
    "AwfproxyCredentialRefused": Case(
        {OK: "0+10x60", calls("complete", "401"): "0+20x60"}, {OK: "0+10x60", calls("refused", "403"): "0+20x60"}
    ),
    "AwfproxyDefect": Case(
        {OK: "0+60x60", calls("proxy_error", "500"): "0x50 1x10"}, {OK: "0+60x60", calls("proxy_error", "500"): "3x60"}
    ),
    "AwfproxyNoRecords": Case(
        {OK: "0+60x60", REQUESTS_WRITTEN: "0+60x30 1800x40", USAGE_WRITTEN: "0+1x60"},
        {OK: "0+60x30 1800x40", REQUESTS_WRITTEN: "0+60x30 1800x40"},
    ),
    "AwfproxyRecordsDropped": Case(
        {one("awfproxy_log_records_dropped_total"): "0x55 2x5"}, {one("awfproxy_log_records_dropped_total"): "2x60"}
    ),
    "AwfproxyReleasedUnrecorded": Case(
        {one("awfproxy_released_unrecorded_total", PORT): "0x55 2x5"},
        {one("awfproxy_released_unrecorded_total", PORT): "0x60"},
    ),
    "AwfproxyJournalWaits": Case(
        {one("awfproxy_log_oldest_waiting_seconds"): "0x50 0+60x10"},
        {one("awfproxy_log_oldest_waiting_seconds"): "0.2x60"},
    ),
    "AwfproxyEstimatedShareHigh": Case(
        {REPORTED: "0+10x120", ESTIMATED: "0+1x120"}, {REPORTED: "0+100x120", ESTIMATED: "0+1x120"}, 120
    ),
    "AwfproxySoftCapPassed": Case(
        {USED: "0+10x60", SOFT: "500x60", HARD: "1000x60"}, {USED: "0+10x60", SOFT: "100x60", HARD: "600x60"}
    ),
    "AwfproxyHardCapReached": Case(
        {USED: "0+10x60", HARD: "600x60", SPENT: "0x60", DOLLARS: "5x60"},
        {USED: "0+10x60", HARD: "601x60", SPENT: "0x60", DOLLARS: "5x60"},
    ),
    "AwfproxyBudgetRefuses": Case(
        {ALLOWED: "0+60x60", REFUSED: "0x40 0+1x20"}, {ALLOWED: "0+60x60", REFUSED: "7x60"}
    ),
    "AwfproxyLedgerBehind": Case(
        {one("awfproxy_ledger_lag_records"): "0+100x60"}, {one("awfproxy_ledger_lag_records"): "900x60"}
    ),
    "AwfproxyLedgerFails": Case(
        {one("awfproxy_ledger_errors_total"): "0+1x60"}, {one("awfproxy_ledger_errors_total"): "0x55 1x10"}
    ),
    "AwfproxyWebhookGivenUp": Case({GIVEN_UP: "0x50 1x10"}, {GIVEN_UP: "0x60", FAILED: "0+1x60"}),
}  # fmt: skip

#: a budget in dollars is a hard cap too
BY_DOLLARS = {USED: "0x60", HARD: "500x60", SPENT: "0+0.1x60", DOLLARS: "5x60"}

#: series that begin with what is to be told, at 1: the alert fires within minutes, and is over some time later
BORN: dict[str, tuple[dict[str, str], int]] = {
    "AwfproxyDefect": ({OK: "0+60x60", calls("proxy_error", "500"): "_x29 1x40"}, 15),
    "AwfproxyBudgetRefuses": ({ALLOWED: "0+60x60", REFUSED: "_x29 1x40"}, 10),
}

#: recorded series: what they are made of, and the values after an hour, by port
RECORDED: list[tuple[str, dict[str, str], dict[str, float]]] = [
    (
        "port:awfproxy_cache_read:ratio_rate1h",
        {
            one("awfproxy_input_tokens_total", f'{PORT},model="m"'): "0+100x60",
            one("awfproxy_cache_read_tokens_total", f'{PORT},model="m"'): "0+25x60",
            one("awfproxy_input_tokens_total", f'{ANTHROPIC},model="m"'): "0+10x60",
            one("awfproxy_cache_read_tokens_total", f'{ANTHROPIC},model="m"'): "0+60x60",
            one("awfproxy_cache_write_tokens_total", f'{ANTHROPIC},model="m"'): "0+10x60",
        },
        {PORT: 0.25, ANTHROPIC: 0.75},
    ),
    ("port:awfproxy_usage_estimated:ratio_rate1h", {REPORTED: "0+3x60", ESTIMATED: "0+1x60"}, {PORT: 0.25}),
    (
        "port:awfproxy_failed_requests:rate5m",
        {OK: "0+60x60", calls("complete", "5xx"): "0+60x60", calls("timed_out", "504"): "0+60x60"},
        {PORT: 2.0},
    ),
    ("port:awfproxy_requests:rate5m", {OK: "0+60x60", calls("complete", "5xx"): "0+60x60"}, {PORT: 2.0}),
]


def rules() -> list[dict[str, Any]]:
    """All rules."""
    loaded = yaml.safe_load(RULES.read_text())
    return [rule for group in loaded["groups"] for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}


def promtool_agrees(directory: Path, *tests: dict[str, Any]) -> None:
    """`promtool test rules` is content with these.

    :raises AssertionError: it is not
    """
    made = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [{"interval": "1m"} | test for test in tests]}
    path = directory / "test.yml"
    path.write_text(yaml.safe_dump(made, width=1000))
    done = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def firing(alert: str, series: dict[str, str], minutes: int, count: int) -> dict[str, Any]:
    """A test that so many of an alert fire then."""
    return {
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
                "eval_time": f"{minutes}m",
                "exp_samples": [{"labels": "{}", "value": count}] if count else [],
            }
        ],
    }


@needs_promtool
def test_the_rules_are_right() -> None:
    """`promtool check rules` and the configuration that names them."""
    for words in (["check", "rules", str(RULES)], ["check", "config", str(DEPLOY / "prometheus.yml")]):
        done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False, cwd=DEPLOY)
        assert (done.returncode, "FAILED" in done.stdout + done.stderr) == (0, False), done.stdout + done.stderr


@needs_promtool
def test_alerts_fire_and_are_silent(tmp_path: Path) -> None:
    """Each with series of both kinds; a budget in dollars is a hard cap by itself."""
    promtool_agrees(
        tmp_path,
        *(firing(name, case.fires, case.minutes, 1) for name, case in CASES.items()),
        *(firing(name, case.silent, case.minutes, 0) for name, case in CASES.items()),
        firing("AwfproxyHardCapReached", BY_DOLLARS, 60, 1),
    )


@needs_promtool
def test_the_first_of_its_kind_is_seen(tmp_path: Path) -> None:
    """A counter with labels of its own is born at 1, and never increases; and 1 is not told for ever."""
    promtool_agrees(
        tmp_path,
        *(
            firing(name, series, 29 + minute, count)
            for name, (series, within) in BORN.items()
            for minute, count in ((-1, 0), (within - 2, 1), (within + 3, 0))
        ),
    )


@needs_promtool
def test_a_test_of_an_alert_can_fail(tmp_path: Path) -> None:
    """One that should be silent and is not is told."""
    case = CASES["AwfproxyDown"]
    with pytest.raises(AssertionError, match="AwfproxyDown"):
        promtool_agrees(tmp_path, firing("AwfproxyDown", case.fires, case.minutes, 0))


@needs_promtool
def test_recorded_series(tmp_path: Path) -> None:
    """Their figures and labels."""
    promtool_agrees(
        tmp_path,
        *(
            {
                "input_series": [{"series": each, "values": text} for each, text in series.items()],
                "promql_expr_test": [
                    {
                        "expr": f"round({name}, 0.001)",
                        "eval_time": "60m",
                        "exp_samples": [
                            {"labels": f"{{{labels}}}", "value": value} for labels, value in values.items()
                        ],
                    }
                ],
            }
            for name, series, values in RECORDED
        ),
    )


@needs_promtool
def test_texts_of_an_alert(tmp_path: Path) -> None:
    """The templates in them come out as words for people."""
    test = firing("AwfproxyErrorRate", CASES["AwfproxyErrorRate"].fires, 60, 1)
    test["alert_rule_test"] = [
        {
            "eval_time": "60m",
            "alertname": "AwfproxyErrorRate",
            "exp_alerts": [
                {
                    "exp_labels": {"severity": "critical", "job": "awfproxy", "instance": "h:1"},
                    "exp_annotations": {
                        "summary": "Calls through awfproxy on h:1 fail",
                        "description": "9.091% got no whole answer, or one with a status of 500 or more.",
                        "runbook": "docs/alerts.md#awfproxyerrorrate",
                    },
                }
            ],
        }
    ]
    promtool_agrees(tmp_path, test)


def test_every_alert_has_its_texts_and_its_page() -> None:
    """A summary, a description, and a heading in the runbook that tells what to do; and no heading is without alert."""
    for name, rule in ALERTS.items():
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert anchor == name.lower()
        assert anchor in anchors(ROOT / page), name
    found = re.findall(r"^### (\w+)$", (ROOT / "docs" / "alerts.md").read_text(), re.MULTILINE)
    assert found == list(ALERTS)
    assert set(CASES) == set(ALERTS)


def test_rules_use_metrics_that_exist() -> None:
    """With labels that they have."""
    exposed = {f"{name}_total" if kind == "counter" else name for name, (kind, _, _) in FAMILIES.items()}
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    for rule in rules():
        for name in re.findall(r"\b(?:port:)?awfproxy_[a-z_]+(?::\w+)?", rule["expr"]):
            assert name in exposed | recorded, name
