"""The report against an independent computation: DuckDB reads the same files and adds up with SQL."""

import gzip
import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from awfproxy.prices.price_list import open_price_list
from awfproxy.report.costs import Costs
from awfproxy.report.filters import Filters
from awfproxy.report.token_usage import View, token_usage
from bench.report_records import lines

RECORDS = 30_000

#: What the report says, said again: each id once, an unknown count nowhere, everything read and written by the flag
#: or, in records without one, by provider and figures.
SQL = """
with once as (
    select any_value(columns(*)) from read_json({files}, format = 'newline_delimited', union_by_name = true,
        columns = {{request_id: 'VARCHAR', provider: 'VARCHAR', model: 'VARCHAR', timestamp: 'VARCHAR',
        admitted_at: 'VARCHAR', run: 'VARCHAR', usage_source: 'VARCHAR', input_tokens: 'BIGINT',
        output_tokens: 'BIGINT', cache_read_tokens: 'BIGINT', cache_write_tokens: 'BIGINT', reasoning_tokens: 'BIGINT',
        input_tokens_include_cache: 'BOOLEAN', unknown: 'VARCHAR[]'}})
    group by request_id
), calls as (
    select *,
        case when list_contains(unknown, 'input_tokens') then null else input_tokens end as fresh,
        case when list_contains(unknown, 'output_tokens') then null else output_tokens end as made,
        case when list_contains(unknown, 'cache_read_tokens') then null else cache_read_tokens end as cached,
        case when list_contains(unknown, 'cache_write_tokens') then null else cache_write_tokens end as written,
        coalesce(input_tokens_include_cache, case
            when provider in ('anthropic', 'bedrock') then false
            when provider = 'copilot' and cache_write_tokens > 0 then false
            else cache_read_tokens + cache_write_tokens <= input_tokens end) as included
    from once
), whole as (
    select *, case when included then fresh else fresh + coalesce(cached, 0) + coalesce(written, 0) end as everything
    from calls
)
select {by}, count(*), sum(fresh), sum(made), sum(cached), sum(written), sum(reasoning_tokens),
    sum(everything + made), count(*) filter (fresh is null), count(*) filter (cached is null),
    count(*) filter (written is null), count(*) filter (reasoning_tokens is null),
    count(*) filter (usage_source = 'reported')
from whole where {where} group by all
"""
COLUMNS = {
    "model": "model",
    "provider": "provider",
    "run": "run",
    "day": "coalesce(admitted_at, timestamp)[:10]",
    "hour": "coalesce(admitted_at, timestamp)[:13] || ':00Z'",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two files that overlap, one of them compressed."""
    folder = tmp_path_factory.mktemp("records")
    made = list(lines(RECORDS, seed=7))
    half = len(made) // 2
    plain, packed = folder / "token-usage.jsonl", folder / "token-usage.jsonl.1.gz"
    plain.write_bytes(b"".join(made[half - 500 :]))
    packed.write_bytes(gzip.compress(b"".join(made[:half]), 1))
    return [str(plain), str(packed)]


def by_duckdb(files: list[str], by: Sequence[str], where: str = "true") -> dict[tuple[Any, ...], tuple[Any, ...]]:
    keys = ", ".join(COLUMNS[key] for key in by) or "'all'"
    # In a process of its own: the module complains about leaks when its process ends.
    code = "import duckdb, json, sys; print(json.dumps(duckdb.sql(sys.stdin.read()).fetchall(), default=int))"
    sql = SQL.format(files=files, by=keys, where=where)
    done = subprocess.run([sys.executable, "-c", code], input=sql, text=True, capture_output=True, check=True)
    width = len(by) or 1
    return {tuple(row[:width]): tuple(row[width:]) for row in json.loads(done.stdout)}


def by_the_report(files: list[str], by: Sequence[str], **options: Any) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    report = token_usage(files, by, **options)
    found = {}
    for key, totals in report.grouped.groups():
        sums = totals.sums
        found[key or ("all",)] = (
            totals.calls,
            *(total.value for total in sums.values()),
            totals.total.value,
            *(sums[f"{name}_tokens"].unknown for name in ("input", "cache_read", "cache_write", "reasoning")),
            totals.sources["reported"],
        )
    return found


@pytest.mark.parametrize("by", [(), ("provider", "model"), ("day",), ("hour", "provider"), ("run",)])
def test_equal_to_the_last_token(by: tuple[str, ...], files: list[str]) -> None:
    """Calls, every count, every number of calls that do not know it; by several groups; with and without costs."""
    expected = by_duckdb(files, by)
    assert sum(row[0] for row in expected.values()) == RECORDS
    assert by_the_report(files, by) == expected
    assert by_the_report(files, by, costs=Costs(open_price_list(), 0.0)) == expected


def test_equal_with_filters(files: list[str]) -> None:
    """A span of time and a pattern of models."""
    filters = Filters("2026-06-02T10:00:00.000Z", "2026-06-04T00:00:00.000Z", ["*mini*", "claude-*"])
    where = (
        "coalesce(admitted_at, timestamp) >= '2026-06-02T10:00:00.000Z'"
        " and coalesce(admitted_at, timestamp) < '2026-06-04T00:00:00.000Z'"
        " and (model like '%mini%' or model like 'claude-%')"
    )
    expected = by_duckdb(files, ("model",), where)
    assert expected
    assert by_the_report(files, ("model",), filters=filters) == expected


def test_every_form_has_the_same_total(files: list[str]) -> None:
    """What people read is what programs read."""
    report = token_usage(files, ("provider",))
    ((whole,),) = [list(by_duckdb(files, ()).values())]
    total = json.loads(report.render("json"))["total"]
    assert (total["calls"], total["input_tokens"], total["all_tokens"]) == (whole[0], whole[1], whole[6])
    for form in ("pretty", "markdown"):
        assert f"{whole[6]:,}" in report.render(form, View())
