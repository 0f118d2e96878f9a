"""Prometheus and Grafana for real: what deploy/ has for them is asked of a running Prometheus that scrapes a running proxy."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from awfproxy.server.metric_families import FAMILIES
from awfproxy.simulator.setting import Setting
from tests.processes import once
from tests.prometheus import (
    DEPLOY,
    Prometheus,
    busy_service,
    make_calls,
    needs_prometheus,
    needs_promtool,
    prometheus,
    scrape,
)

pytestmark = once

#: of queries that have no result in the test: nothing of the kind happens in it
WITHOUT_DATA = {"awfproxy_scan_errors_total"}
#: what Grafana puts in, and what takes its place here
VARIABLES = {"$__rate_interval": "1m", "$__range": "1m", "$job": ".*", "$instance": ".*", "$port": ".*", "$model": ".*"}

#: labels that Prometheus adds
ADDED = {"job", "instance"}
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana-dashboard.json").read_text())


def dashboard_queries() -> dict[str, list[str]]:
    """By title of the panel."""
    return {
        panel["title"]: [target["expr"] for target in panel["targets"]]
        for panel in DASHBOARD["panels"]
        if panel["type"] != "row"
    }


def filled_in(query: str) -> str:
    """As Grafana would ask it."""
    for variable, value in VARIABLES.items():
        query = query.replace(variable, value)
    assert "$" not in query, query
    return query


def names(query: str) -> set[str]:
    """The series that a query reads."""
    return set(re.findall(r"\b(?:port:)?(?:awfproxy|process)_[a-z0-9_]+(?::\w+)?|\bup\b", query))


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two workers"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    """One that has had calls of all kinds."""
    with busy_service(tmp_path_factory.mktemp("service"), request.param) as (_, setting):
        yield setting


@pytest.fixture(scope="module")
def server(service: Setting, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that scrapes it, and has scraped it before and after some calls."""
    with prometheus(tmp_path_factory.mktemp("prometheus"), service.admin_port) as running:
        running.wait_until("awfproxy_ledger_lag_records == 0")
        make_calls(service)
        running.wait_until("port:awfproxy_requests:rate5m > 0")
        running.wait_until("rate(awfproxy_requests_total[1m]) > 0")
        yield running


@needs_promtool
def test_promtool_has_nothing_against_a_scrape(service: Setting) -> None:
    """`promtool check metrics`: names, units, help."""
    text = scrape(service.admin_port)
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    exposed = {family.name.removesuffix("_info") for family in text_string_to_metric_families(text)}
    assert set(FAMILIES) <= exposed


@needs_prometheus
def test_a_prometheus_scrapes_it(server: Prometheus) -> None:
    """The target is up; every rule is evaluated without an error; what must be silent is."""
    (target,) = server.ask("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    groups = server.ask("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 20
    assert {(rule["health"], rule.get("lastError", "")) for rule in rules} == {("ok", "")}
    firing = {alert["labels"]["alertname"] for alert in server.ask("alerts")["alerts"] if alert["state"] == "firing"}
    assert firing == {"AwfproxySoftCapPassed"}


@needs_prometheus
def test_every_query_of_the_dashboard_has_a_result(server: Prometheus) -> None:
    """But for those of things that did not happen, which are well formed."""
    for title, queries in dashboard_queries().items():
        for query in queries:
            result = server.query(filled_in(query))
            assert result or names(query) <= WITHOUT_DATA, f"{title}: {query} has no result"
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"]).groups()  # type: ignore[union-attr]
            assert all(each["metric"].get(label) for each in server.query(filled_in(series))), variable["name"]


def test_the_dashboard_uses_metrics_and_labels_that_exist(service: Setting) -> None:
    """Every name, every label in braces and behind `by`; compared with a live scrape."""
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(scrape(service.admin_port)):
        labels.setdefault(family.name, set())
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    for name, (kind, _, own) in FAMILIES.items():
        exposed = f"{name}_total" if kind == "counter" else name
        labels.setdefault(exposed, set()).update(own)
    recorded = set(re.findall(r"record: (\S+)", (DEPLOY / "awfproxy.rules.yml").read_text()))
    labels |= {name: {"provider", "port"} for name in recorded} | {"up": set()}
    for queries in dashboard_queries().values():
        for query in queries:
            found = names(query)
            assert found
            for name in found:
                assert name in labels, name
            known = set.union(*(labels[name] for name in found)) | ADDED
            known |= {"process"} if any(name.startswith("process_") for name in found) else set()
            used = set(re.findall(r"(\w+)=~?\"", query))
            used |= {word for group in re.findall(r"by \(([^)]*)\)", query) for word in re.split(r",\s*", group)}
            assert used <= known | {"le"}, query


def test_the_dashboard_shows_every_metric() -> None:
    """Whatever is counted is on a panel: itself, or by a rule that is made of it."""
    rules = (DEPLOY / "awfproxy.rules.yml").read_text()
    text = json.dumps(DASHBOARD) + rules
    for name in FAMILIES:
        assert re.search(rf"\b{name}(_total|_bucket|_info)?\b", text), name


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    """Ids are unique, panels do not overlap, and nothing names somebody's data source."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert DASHBOARD["schemaVersion"] == 39  # Grafana 10.4 and later read it; newer ones migrate it
    assert DASHBOARD["id"] is None
    places: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & places, panel["title"]
        places |= cells
        if panel["type"] == "row":
            continue
        assert panel["description"]
        for each in (panel, *panel["targets"]):
            assert each["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    assert DASHBOARD["templating"]["list"][0]["type"] == "datasource"
