"""Calls, and what our records and the providers' exports say of them.  All made up, in the documented shapes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

#: 2026-03-01T00:00:00Z
START = 1_772_323_200
DAY = 86_400

CONSOLE = (
    "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,"
    "usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,"
    "usage_output_tokens,web_search_count,inference_geo,speed"
)
DASHBOARD = (
    "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,user_id,api_key_id,model,batch,"
    "service_tier,input_tokens,output_tokens,input_cached_tokens,input_uncached_tokens"
)


class Call(msgspec.Struct, frozen=True):
    """One call; classes of tokens as in `used.CLASSES`."""

    at: float
    model: str
    counts: tuple[int, int, int, int, int]
    provider: str = "anthropic"
    seconds: float = 1.0
    key: str | None = "ours"
    batch: bool = False


def iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds")[:23] + "Z"


def day(time: float) -> int:
    return int(time - time % DAY)


def record(number: int, call: Call, **fields: Any) -> dict[str, Any]:
    """The line of token-usage.jsonl."""
    fresh, read, written, hour, output = call.counts
    included = call.provider == "openai"
    return {
        "event": "token_usage",
        "timestamp": iso(call.at + call.seconds),
        "admitted_at": iso(call.at),
        "request_id": f"r{number}",
        "provider": call.provider,
        "port": call.provider,
        "model": call.model,
        "input_tokens": fresh + (read + written + hour if included else 0),
        "output_tokens": output,
        "cache_read_tokens": read,
        "cache_write_tokens": written + hour,
        "input_tokens_include_cache": included,
        "usage_source": "reported",
        "usage": {"cache_creation": {"ephemeral_1h_input_tokens": hour}},
        **fields,
    }


def lines(records: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(each) + "\n" for each in records)


def _sums(calls: Iterable[Call]) -> dict[tuple[int, str, str | None, bool], list[int]]:
    sums: dict[tuple[int, str, str | None, bool], list[int]] = defaultdict(lambda: [0] * 6)
    for call in calls:
        # Providers count a call when it ends.
        place = sums[day(call.at + call.seconds), call.model, call.key, call.batch]
        for number, count in enumerate((*call.counts, 1)):
            place[number] += count
    return dict(sorted(sums.items(), key=str))


def anthropic_page(calls: Iterable[Call], days: int = 5, *, more: bool = False) -> dict[str, Any]:
    """What /v1/organizations/usage_report/messages answers."""
    sums = _sums(call for call in calls if call.provider == "anthropic")
    return {
        "data": [
            {
                "starting_at": iso(START + number * DAY),
                "ending_at": iso(START + (number + 1) * DAY),
                "results": [
                    {
                        "uncached_input_tokens": counts[0],
                        "cache_creation": {
                            "ephemeral_1h_input_tokens": counts[3],
                            "ephemeral_5m_input_tokens": counts[2],
                        },
                        "cache_read_input_tokens": counts[1],
                        "output_tokens": counts[4],
                        "server_tool_use": {"web_search_requests": 0},
                        "api_key_id": key,
                        "workspace_id": None,
                        "model": model,
                        "service_tier": "batch" if batch else "standard",
                        "context_window": "0-200k",
                    }
                    for (begin, model, key, batch), counts in sums.items()
                    if begin == START + number * DAY
                ],
            }
            for number in range(days)
        ],
        "has_more": more,
        "next_page": "page_x" if more else None,
    }


def openai_page(calls: Iterable[Call], days: int = 5, *, offset: int = 0) -> dict[str, Any]:
    """What /v1/organization/usage/completions answers; days may begin at another time."""
    own = [call for call in calls if call.provider == "openai"]
    sums = _sums(msgspec.structs.replace(call, at=call.at - offset) for call in own)
    return {
        "object": "page",
        "data": [
            {
                "object": "bucket",
                "start_time": START + number * DAY + offset,
                "end_time": START + (number + 1) * DAY + offset,
                "results": [
                    {
                        "object": "organization.usage.completions.result",
                        "input_tokens": sum(counts[:4]),
                        "output_tokens": counts[4],
                        "input_cached_tokens": counts[1],
                        "input_audio_tokens": 0,
                        "num_model_requests": counts[5],
                        "project_id": "proj_1",
                        "user_id": None,
                        "api_key_id": key,
                        "model": model,
                        "batch": batch,
                    }
                    for (begin, model, key, batch), counts in sums.items()
                    if begin == START + number * DAY
                ],
            }
            for number in range(days)
        ],
        "has_more": False,
        "next_page": None,
    }


def openai_costs(amounts: Iterable[tuple[str | None, str | float]], *, project: str | None = None) -> dict[str, Any]:
    """What /v1/organization/costs answers of the first day: dollars by line item, all together where that is None."""
    return {
        "object": "page",
        "data": [
            {
                "object": "bucket",
                "start_time": START,
                "end_time": START + DAY,
                "results": [
                    {
                        "object": "organization.costs.result",
                        "amount": {"value": value, "currency": "usd"},
                        "line_item": item,
                        "project_id": project,
                        "organization_id": "org-1",
                    }
                    for item, value in amounts
                ],
            }
        ],
        "has_more": False,
        "next_page": None,
    }


def console(calls: Iterable[Call]) -> str:
    """What Anthropic's console saves."""
    rows = [CONSOLE]
    for (begin, model, key, batch), counts in _sums(calls).items():
        kind = "batch" if batch else "standard"
        rows.append(
            f"{iso(begin)[:10]},{model},{key},Default,{kind},≤ 200k,"
            f"{counts[0]},{counts[2]},{counts[3]},{counts[1]},{counts[4]},0,global,"
        )
    return "\r\n".join(rows) + "\r\n"


def dashboard(calls: Iterable[Call]) -> str:
    """What OpenAI's dashboard saves; with an empty bucket, as it does."""
    rows = [DASHBOARD]
    for (begin, model, key, batch), counts in _sums(calls).items():
        span = f"{begin},{begin + DAY},{iso(begin)[:19]}+00:00,{iso(begin + DAY)[:19]}+00:00"
        rows.append(
            f"{span},proj_1,{counts[5]}.0,user-1,{key},{model},{str(batch).upper()},default,"
            f"{sum(counts[:4])}.0,{counts[4]}.0,{counts[1]}.0,{counts[0]}.0"
        )
    begin = START + 4 * DAY
    rows.append(f"{begin},{begin + DAY},{iso(begin)[:19]}+00:00,{iso(begin + DAY)[:19]}+00:00" + "," * 11)
    return "\n".join(rows) + "\n"
