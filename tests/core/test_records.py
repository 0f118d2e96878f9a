"""Records: their lines, and what the schemas promise about them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args, get_type_hints

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core import records
from awfproxy.core.hint_fields import Hints
from awfproxy.core.outcomes import OUTCOMES
from awfproxy.core.records import RECORD_BYTES_MAX, RequestRecord, Source, TokenUsageRecord, clip, encode, timestamp

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "docs" / "schemas"


def validator(path: Path) -> Any:
    """Checks lines against the schema in a file, formats included."""
    schema = json.loads(path.read_text())
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


def reading_of(usage: Any) -> Any:
    """A `core.usage.Reading` with that usage, as far as the builder looks at it."""
    return SimpleNamespace(usage=usage, usage_truncated=False)


class Usage:
    """Normalised figures."""

    def __init__(self, *counts: int | None, raw: dict[str, Any] | None = None) -> None:
        names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
        self.input_tokens_include_cache = True
        self.raw = raw or {}
        for name, count in zip(names, counts, strict=True):
            setattr(self, name, count)


def least(**more: Any) -> RequestRecord:
    """A request record with nothing in it that need not be."""
    fields: dict[str, Any] = {
        "timestamp": timestamp(1.5),
        "request_id": "id-1",
        "provider": "openai",
        "port": "openai",
        "outcome": "complete",
        "usage_source": "reported",
        "duration_ms": 12.5,
    }
    return RequestRecord(**(fields | more))


texts = st.text(max_size=300)
maybe_text = st.one_of(st.none(), texts)
count = st.one_of(st.none(), st.integers(0, 10**12))
plain_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**15), 10**15), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)
raw_usage = st.dictionaries(st.text(max_size=12), plain_json, max_size=5)
request_records = st.builds(
    RequestRecord,
    timestamp=st.floats(0, 4e9).map(timestamp),
    request_id=texts.filter(bool),
    provider=st.sampled_from(["openai", "anthropic", "copilot", "gemini"]),
    port=texts.filter(bool),
    outcome=st.sampled_from(OUTCOMES),
    usage_source=st.sampled_from(get_args(Source)),
    duration_ms=st.floats(0, 1e9),
    usage_reason=maybe_text,
    method=maybe_text,
    path=maybe_text,
    status=st.one_of(st.none(), st.integers(100, 599)),
    streaming=st.sampled_from([None, True, False]),
    model=maybe_text,
    request_model=maybe_text,
    refusal=maybe_text,
    refusal_code=maybe_text,
    reason=maybe_text,
    request_bytes=st.integers(0, 2**53),
    response_bytes=st.integers(0, 2**53),
    framing=st.sampled_from([None, "content-length", "chunked", "close", "none"]),
    admitted_at=st.floats(0, 4e9).map(timestamp),
    ttfb_ms=st.one_of(st.none(), st.floats(0, 1e9)),
    queue_ms=st.one_of(st.none(), st.floats(0, 1e9)),
    connect_ms=st.one_of(st.none(), st.floats(0, 1e9)),
    attempts=st.integers(0, 9),
    user=maybe_text,
    feature=maybe_text,
    run=maybe_text,
    conversation=maybe_text,
    initiator=maybe_text,
    x_initiator=st.sampled_from([None, "agent", "user"]),
    client_request_id=maybe_text,
    upstream_request_id=maybe_text,
    billing=st.one_of(st.none(), st.just({"rate_limit": "1", "quota_chat": {"ent": "-1"}})),
    scan_errors=st.one_of(st.none(), st.dictionaries(st.text(max_size=9), st.integers(1, 99), max_size=3)),
    recovered=st.booleans(),
)
readings = st.one_of(
    st.none(),
    st.builds(reading_of, st.one_of(st.none(), st.builds(Usage, count, count, count, count, count, raw=raw_usage))),
)


def lines(record: RequestRecord, reading: Any) -> Iterator[tuple[str, bytes]]:
    """The lines a call would leave, with the name of the schema of each."""
    yield "requests", encode(record)
    usage = records.token_usage(record, reading, estimate=(3, 4))
    if usage is not None:
        yield "token-usage", encode(usage)


@pytest.fixture(scope="module")
def validators() -> dict[str, Any]:
    """Ours, by name."""
    return {name: validator(SCHEMAS / f"{name}.json") for name in ("requests", "token-usage")}


@given(request_records, readings)
def test_every_line_is_one_valid_object(validators: dict[str, Any], record: RequestRecord, reading: Any) -> None:
    """Whatever is in a record, its line ends in one newline, has no other, and is valid under our schema."""
    for name, line in lines(record, reading):
        assert line.index(b"\n") == len(line) - 1
        validators[name].validate(json.loads(line))


@given(request_records, readings)
def test_usage_lines_are_valid_for_readers_of_awf(awf_schema: Any, record: RequestRecord, reading: Any) -> None:
    """Tools that read AWF's token-usage file read ours."""
    for name, line in lines(record, reading):
        if name == "token-usage":
            awf_schema.validate(json.loads(line))


@pytest.fixture(scope="module")
def awf_schema(corpus: Path) -> Any:
    """AWF's published schema; it knows no provider "vertex" or "generic"."""
    return validator(corpus / "awf" / "awf_token-usage.schema.json")


@given(request_records)
def test_lines_are_read_back_as_they_were(record: RequestRecord) -> None:
    """Absent is None again, nothing else changes."""
    assert msgspec.json.decode(encode(record), type=RequestRecord) == record


def test_what_was_not_said_is_not_in_the_line() -> None:
    """None is absence, never 0, null or an empty text; counts of ours that are 0 stay."""
    line = json.loads(encode(least(status=None)))
    assert line == {
        "_schema": "requests/v1.0.0",
        "timestamp": "1970-01-01T00:00:01.500Z",
        "request_id": "id-1",
        "provider": "openai",
        "port": "openai",
        "outcome": "complete",
        "usage_source": "reported",
        "duration_ms": 12.5,
        "event": "request",
        "request_bytes": 0,
        "response_bytes": 0,
        "attempts": 0,
    }


def test_the_usage_part_repeats_every_shared_field() -> None:
    """The two lines of a call agree on everything that both have: checked with values that are all different."""
    values: dict[str, Any] = {}
    for at, (name, hint) in enumerate(get_type_hints(RequestRecord).items()):
        if name in ("outcome", "usage_source", "framing", "x_initiator", "event", "recovered"):
            continue
        if hint in (int, int | None):
            values[name] = 100 + at
        elif hint in (float, float | None):
            values[name] = 100.5 + at
        elif hint == bool | None:
            values[name] = True
        elif hint in (str, str | None):
            values[name] = f"text {at}"
        else:
            values[name] = {"at": at}
    request = least(**values, x_initiator="agent", outcome="client_left")
    usage = records.token_usage(request, reading_of(Usage(1, 2, 3, 4, 5, raw={"in": 1})), hints=Hints(messages=2))
    assert usage is not None
    shared = set(RequestRecord.__struct_fields__) & set(TokenUsageRecord.__struct_fields__) - {"event"}
    assert len(shared) > 20
    for name in shared:
        assert getattr(usage, name) == getattr(request, name), name
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens) == (1, 2, 3)
    assert (usage.cache_write_tokens, usage.reasoning_tokens, usage.usage) == (4, 5, {"in": 1})
    assert usage.hints == Hints(messages=2)
    assert usage.unknown is None


def test_counts_that_were_not_reported_are_named() -> None:
    """They are written 0, because readers of the AWF format need them, and listed as unknown."""
    usage = records.token_usage(least(status=200), reading_of(Usage(7, None, None, 0, None)))
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens) == (7, 0, 0, 0)
    assert usage.unknown == ["output_tokens", "cache_read_tokens"]
    assert usage.reasoning_tokens is None


def test_an_estimate_is_marked_and_does_not_know_the_cache() -> None:
    """Estimated figures come without the provider's own object; a status nobody saw is named too."""
    usage = records.token_usage(least(usage_source="estimated"), None, estimate=(100, 20))
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (100, 20)
    assert usage.unknown == ["cache_read_tokens", "cache_write_tokens", "status"]
    assert usage.status == records.STATUS_NEVER_SEEN
    assert usage.usage is None
    assert usage.input_tokens_include_cache is None


def test_a_call_without_tokens_has_no_usage_line() -> None:
    """Only its request line."""
    assert records.token_usage(least(usage_source="none"), None) is None


@pytest.mark.parametrize(
    "usage",
    [{"text": "\ud800"}, {"long": "x" * RECORD_BYTES_MAX}, {"many": list(range(RECORD_BYTES_MAX))}],
    ids=["surrogate", "long", "many"],
)
def test_a_record_is_written_whatever_the_provider_sent(usage: dict[str, Any]) -> None:
    """The provider's object is left out and that is said; the counts stay."""
    record = records.token_usage(least(status=200), reading_of(Usage(1, 2, 3, 4, None, raw=usage)))
    assert record is not None
    line = encode(record)
    assert len(line) <= RECORD_BYTES_MAX
    read = json.loads(line)
    assert (read["input_tokens"], read["output_tokens"]) == (1, 2)
    assert read["usage_truncated"] is True
    assert "usage" not in read


def test_nesting_without_end_does_not_stop_a_record() -> None:
    """Deeper than the encoder goes: left out."""
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    record = records.token_usage(least(status=200), reading_of(Usage(1, 2, 3, 4, None, raw=deep)))
    assert record is not None
    assert json.loads(encode(record))["input_tokens"] == 1
    while deep:
        deep = deep.pop("a")


@given(st.text(alphabet=st.characters(), max_size=3000))
def test_longest_names_in_every_script_fit(name: str) -> None:
    """The bound of a line holds with every text field as long as anything lets it be, lone surrogates included."""
    long = (name * 200)[:20_000]
    line = encode(least(path=long, model=long, user=long, feature=long, run=long, conversation=long, reason=long))
    assert len(line) <= RECORD_BYTES_MAX
    json.loads(line)


@given(st.text(alphabet=st.characters(), max_size=600), st.integers(0, 600))
def test_clip_cuts_between_characters(text: str, limit: int) -> None:
    """The result is valid UTF-8 within the limit, and a beginning of the text."""
    clipped = clip(text, limit)
    raw = clipped.encode("utf-8")
    assert len(raw) <= limit
    whole = text.encode("utf-8", "replace").decode()
    assert whole.startswith(clipped)
    assert clipped == whole or len(raw) > limit - 4


@given(st.floats(0, 4e9))
def test_timestamps_are_utc_with_milliseconds(epoch: float) -> None:
    """Cut to the millisecond before, in a form that sorts as time does."""
    text = timestamp(epoch)
    assert len(text) == 24
    assert 0 <= epoch - datetime.fromisoformat(text).timestamp() < 0.0011
    assert datetime.fromisoformat(text).tzinfo == UTC


@given(st.lists(st.floats(0, 4e9), min_size=2, max_size=20))
def test_timestamps_sort_as_time_does(moments: list[float]) -> None:
    """Recovery compares them as text."""
    assert [timestamp(moment) for moment in sorted(moments)] == sorted(timestamp(moment) for moment in moments)


@given(st.floats(-10, 1e7))
def test_milliseconds_are_never_negative(seconds: float) -> None:
    """A clock that was set back gives 0, not less."""
    figure = records.milliseconds(seconds)
    assert figure >= 0
    assert abs(figure - max(0.0, seconds) * 1000) < 0.0021


@pytest.mark.parametrize(("record", "name"), [(RequestRecord, "requests"), (TokenUsageRecord, "token-usage")])
def test_schemas_and_docs_name_every_field(record: Any, name: str) -> None:
    """No field without a line in its schema and in docs/records.md, no field there that does not exist."""
    fields = {*record.__struct_fields__, "_schema"}
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    assert set(schema["properties"]) == fields
    text = (ROOT / "docs" / "records.md").read_text()
    for field in fields:
        assert f"`{field}`" in text, field
