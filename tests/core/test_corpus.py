"""The scanner over every recorded answer: the figures that an independent reader found, at any split, in any coding.

The records are other projects' and are read where they lie; without them the test is skipped.  Run with ``-s`` to see
the table by provider.
"""

from __future__ import annotations

import base64
import gzip
import json
import random
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import brotli
import pytest

from awfproxy.core.decoders import DecoderMemory, zstd
from awfproxy.core.scanner import Scanner

from .parsers import pieces

FIGURES = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
PACKERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"": lambda body: body,
    b"gzip": lambda body: gzip.compress(body, 1),
    b"deflate": lambda body: zlib.compress(body, 1),
    b"br": lambda body: brotli.compress(body, quality=1),
    b"zstd": lambda body: zstd.compress(body, 1),
}
#: Records where we say something else than the independent reader, and why we are right.
DIFFERENT = {
    "Arize-ai/openinference/python/instrumentation/openinference-instrumentation-google-genai/tests/cassettes/"
    "test_instrumentation/test_generate_content_with_file_uri_image[True].yaml#0": (
        # Cut before the totals, so that the reader could not measure it; Google documents candidatesTokenCount as
        # without thoughts (google-genai, GenerateContentResponseUsageMetadata.total_token_count).
        {"output_tokens": 90}
    )
}
#: A guardrail stopped the prompt before a model saw it: there is one chunk, without Bedrock's metrics.
NOT_FINAL = {
    "traceloop/openllmetry/packages/opentelemetry-instrumentation-bedrock/tests/traces/cassettes/test_guardrails/"
    "test_guardrail_invoke_stream.yaml#0"
}


def records(corpus: Path) -> Iterator[dict[str, Any]]:
    """Every record, one at a time."""
    for path in sorted(corpus.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)


def expected(record: dict[str, Any]) -> dict[str, Any]:
    """The figures by the mapping in the corpus's README, section 'From `expect` to our records'."""
    said = record["expect"]
    figures = {name: said[name] for name in (*FIGURES, "model")}
    if record["tool_use_prompt_tokens"]:
        figures["input_tokens"] = (figures["input_tokens"] or 0) + record["tool_use_prompt_tokens"]
    if record["output_includes_reasoning"] is False and said["reasoning_tokens"]:
        figures["output_tokens"] = (figures["output_tokens"] or 0) + said["reasoning_tokens"]
    return figures | DIFFERENT.get(record["id"], {})


def scan(body: bytes, content_type: str, coding: bytes, parts: list[bytes]) -> tuple[dict[str, Any], Scanner]:
    """The figures of one body in these pieces."""
    scanner = Scanner(content_type.encode(), coding, DecoderMemory())
    for part in parts:
        scanner.feed(part)
    scanner.finish()
    usage = scanner.reading.usage
    figures = {name: None if usage is None else getattr(usage, name) for name in FIGURES}
    return figures | {"model": scanner.reading.model}, scanner


def test_every_recorded_answer(corpus: Path) -> None:
    """All figures equal: whole, at random splits, and recompressed in each coding."""
    chance = random.Random(20)
    table: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    differ = []
    for record in records(corpus):
        row = table[record["provider"], record["api"], record["framing"]]
        body = base64.b64decode(record["body_b64"])
        right = expected(record)
        agree = True
        for coding, pack in PACKERS.items():
            packed = pack(body)
            edges = [chance.randrange(len(packed) + 1) for _ in range(chance.choice((1, 4, 20)))]
            for parts in (
                ([packed], pieces(packed, edges)) if coding else ([packed], pieces(packed, edges), ones(packed))
            ):
                found, scanner = scan(body, record["content_type"] or "", coding, parts)
                if found != right or scanner.reading.framing != record["framing"]:
                    agree = False
                    differ.append((record["id"], coding, len(parts), found, right, scanner.reading.framing))
                usage = scanner.reading.usage
                raw = without_text(record["raw_usage"])
                # The tier stands beside the usage, and joins it where it decides the price.
                assert usage is None or usage.raw in (raw, {"service_tier": usage.raw.get("service_tier")} | (raw or {}))
        row["agree" if agree else "differ"] += 1
    print()
    for (provider, api, framing), row in sorted(table.items()):
        print(f"{provider:20} {api:16} {framing:12} " + ", ".join(f"{count} {what}" for what, count in row.items()))
    assert not differ, differ[:5]


def without_text(value: Any) -> Any:
    """A usage object without strings that are no short words: none may be recorded."""
    if isinstance(value, dict):
        return {name: without_text(member) for name, member in value.items() if not is_text(member)}
    if isinstance(value, list):
        return [without_text(item) for item in value if not is_text(item)]
    return value


def is_text(value: Any) -> bool:
    """A sentence, or the like."""
    return isinstance(value, str) and " " in value


def test_counts_in_the_head(corpus: Path) -> None:
    """Bedrock's headers: equal to what the body says, and the only source where it says nothing."""
    names = {
        "input_tokens": "x-amzn-bedrock-input-token-count",
        "output_tokens": "x-amzn-bedrock-output-token-count",
        "cache_read_tokens": "x-amzn-bedrock-cache-read-input-token-count",
        "cache_write_tokens": "x-amzn-bedrock-cache-write-input-token-count",
    }
    bare = filled = 0
    for record in records(corpus):
        heads = {name.lower(): value for name, value in record["response_headers"].items()}
        told = {figure: int(heads[name]) for figure, name in names.items() if name in heads}
        if not told:
            continue
        body = base64.b64decode(record["body_b64"])
        scanner = Scanner((record["content_type"] or "").encode(), b"", DecoderMemory())
        scanner.reading.take_headers({name.encode(): value.encode() for name, value in heads.items()})
        scanner.feed(body)
        scanner.finish()
        usage = scanner.reading.usage
        right = expected(record)
        in_body = any(right[name] is not None for name in FIGURES)
        for figure in FIGURES:
            wanted = right[figure]
            if wanted is None and (not in_body or figure in ("input_tokens", "output_tokens")):
                wanted = told.get(figure)
                filled += wanted is not None
            assert usage is not None
            assert getattr(usage, figure) == wanted, record["id"]
            assert figure not in told or right[figure] in (None, told[figure]), record["id"]
        assert scanner.reading.final
        bare += not in_body
    assert bare >= 20
    assert filled > bare


def ones(body: bytes) -> list[bytes]:
    """Byte by byte, where that does not take long."""
    return [body[at : at + 1] for at in range(len(body))] if len(body) < 2000 else [body]


def test_complete_answers_are_final(corpus: Path) -> None:
    """Usage of a whole recorded answer is the terminal one, but where a recording says otherwise."""
    partial = []
    for record in records(corpus):
        if "last-event-unterminated" in record["notes"] or record["id"] in NOT_FINAL:
            continue
        body = base64.b64decode(record["body_b64"])
        _, scanner = scan(body, record["content_type"] or "", b"", [body])
        if scanner.reading.usage is not None and not scanner.reading.final:
            partial.append(record["id"])
    assert partial == []


def awf_figures(case: dict[str, Any]) -> dict[str, int]:
    """AWF's figures in our terms: its output on Gemini is without thoughts."""
    said = {name: case["expect"].get(name) or 0 for name in FIGURES}
    if case["provider"] == "gemini":
        said["output_tokens"] += said["reasoning_tokens"]
    return said


def test_the_cases_of_awf(corpus: Path) -> None:
    """AWF's own parser cases: what it finds in JSON bodies and streams is found here."""
    path = corpus / "awf" / "awf_cases.jsonl"
    if not path.exists():
        pytest.skip("the corpus has no AWF cases")
    differ = []
    count = 0
    for line in path.read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        # A second event after response.completed, which we no longer read.
        if case["source"].endswith("token-tracker.http.test.js:466"):
            continue
        count += 1
        body = case["body"].encode()
        found, _ = scan(body, "", b"", [body])
        wanted = awf_figures(case)
        if case["provider"] == "copilot" and '"usage"' in case["body"] and "copilot_usage" in case["body"]:
            # Its input on Copilot is without cached tokens, ours is what the provider calls prompt tokens.
            found["input_tokens"] -= (found["cache_read_tokens"] or 0) + (found["cache_write_tokens"] or 0)
        if any((found[name] or 0) != wanted[name] for name in FIGURES):
            differ.append((case["source"], found, wanted))
    assert count > 80
    assert not differ, differ
