"""The recorded answers, as a provider sends them: which port they belong to, their many forms, what is to be recorded."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import brotli
import msgspec

from awfproxy.core.decoders import zstd

#: corpus provider -> our provider; all others are what `generic` is for
PORTS = {name: name for name in ("openai", "anthropic", "copilot", "gemini", "vertex")}
#: content coding -> how a body gets it; as quick as they come, the proxy does not care
CODINGS = {
    "": lambda body: body,
    "gzip": lambda body: gzip.compress(body, 1),
    "br": lambda body: brotli.compress(body, quality=1),
    "zstd": lambda body: zstd.compress(body, 1),
    "deflate": lambda body: zlib.compress(body, 1),
}
#: one of these besides, each in its turn: name -> what the header says, how the body is coded
ODD_FORMS = (
    ("gzip-unnamed", "", CODINGS["gzip"]),
    ("zstd-unnamed", "", CODINGS["zstd"]),
    ("deflate-unnamed", "", CODINGS["deflate"]),
    ("plain-named-gzip", "gzip", CODINGS[""]),
    ("plain-named-br", "br", CODINGS[""]),
    ("zstd-named-gzip", "gzip", CODINGS["zstd"]),
    ("gzip-then-br", "gzip, br", lambda body: brotli.compress(gzip.compress(body, 1), quality=1)),
    ("zstd-then-deflate", "zstd, deflate", lambda body: zlib.compress(zstd.compress(body, 1), 1)),
    ("raw-deflate", "deflate", lambda body: _raw_deflate(body)),
)
#: pieces in which an answer is sent at most: each is a system call here and a read there
PIECES_MAX = 6
_COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


class Case(msgspec.Struct):
    """One recorded exchange in one form."""

    name: str
    port: str
    method: str
    target: str
    request: bytes
    #: how the answer goes out: its pieces, head and all
    pieces: list[bytes]
    #: the body as transferred, without framing
    body: bytes
    record: dict[str, Any]


def records(folder: Path) -> Iterator[dict[str, Any]]:
    """All exchanges."""
    for path in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(path) as lines:
            for line in lines:
                yield msgspec.json.decode(line)


def cases(record: dict[str, Any], number: int, body: bytes) -> Iterator[Case]:
    """An exchange in each coding, and in one odd form, with framing and chunks that differ from one to the next (but not
    between runs)."""
    chance = random.Random(number)
    url = urlsplit(record["url"])
    target = url.path + ("?" + url.query if url.query else "")
    made_up = json.dumps({"model": record["request_model"], "stream": bool(record["request_stream"])})
    request = (record["request_body"] or made_up).encode()
    forms = [(coding or "identity", coding, code) for coding, code in CODINGS.items()]
    for index, (form, coding, code) in enumerate([*forms, ODD_FORMS[number % len(ODD_FORMS)]]):
        coded = code(body)
        yield Case(
            name=f"{number}.{form}",
            port=PORTS.get(record["provider"], "generic"),
            method=record["method"],
            target=target or "/",
            request=request if record["method"] in ("POST", "PUT", "PATCH") else b"",
            pieces=list(_answer(record, coded, coding, (number + index) % 3 != 0, chance)),
            body=coded,
            record=record,
        )


def _raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(1, wbits=-15)
    return packer.compress(body) + packer.flush()


def _answer(
    record: dict[str, Any], body: bytes, coding: str, chunked: bool, chance: random.Random
) -> Iterator[bytes]:
    lines = [f"HTTP/1.1 {record['status']} Recorded"]
    if record["content_type"]:
        lines.append(f"Content-Type: {record['content_type']}")
    if coding:
        lines.append(f"Content-Encoding: {coding}")
    lines += [f"{name}: {value}" for name, value in counts_in_head(record).items()]
    lines.append("Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}")
    data = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    if chunked:
        size = chance.choice([len(body) + 1, 1000, 100, 7 if len(body) < 5000 else 4096])
        parts = [body[start : start + size] for start in range(0, len(body), size)]
        data += b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    else:
        data += body
    cuts = sorted(chance.randrange(len(data)) for _ in range(chance.randrange(PIECES_MAX)))
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        yield data[start:end]


#: field of an answer's head -> our count.  The corpus leaves these out of `expect` (its README says so); AWS documents
#: them (InvokeModel), and they are the only figures of some models.
_HEAD_COUNTS = {
    "x-amzn-bedrock-input-token-count": "input_tokens",
    "x-amzn-bedrock-output-token-count": "output_tokens",
    "x-amzn-bedrock-cache-read-input-token-count": "cache_read_tokens",
    "x-amzn-bedrock-cache-write-input-token-count": "cache_write_tokens",
}


def counts_in_head(record: dict[str, Any]) -> dict[str, str]:
    """The fields of the recorded head that have counts."""
    return {name: value for name, value in record["response_headers"].items() if name in _HEAD_COUNTS}


def expected(record: dict[str, Any]) -> dict[str, int | None]:
    """The counts that our record is to have; None: not reported.

    Where the corpus could not decide from the sums whether reasoning is part of the output, the API's documentation
    does.  Getting a stored answer uses no tokens: it was counted when it was made.
    """
    expect = record["expect"]
    if record["method"] == "GET":
        return dict.fromkeys((*_COUNTS, "reasoning_tokens"))
    beside = record["output_includes_reasoning"] is False or record["api"] == "generateContent"
    counts: dict[str, int | None] = {name: expect[name] for name in (*_COUNTS, "reasoning_tokens")}
    if counts["input_tokens"] is not None and record["tool_use_prompt_tokens"]:
        counts["input_tokens"] += record["tool_use_prompt_tokens"]
    if beside and counts["reasoning_tokens"]:
        counts["output_tokens"] = (counts["output_tokens"] or 0) + counts["reasoning_tokens"]
    silent = all(count is None for count in counts.values())
    for name, value in counts_in_head(record).items():
        figure = _HEAD_COUNTS[name]
        if silent or (counts[figure] is None and not figure.startswith("cache")):
            counts[figure] = int(value)
    return counts


def recorded(usage: dict[str, Any] | None) -> dict[str, int | None]:
    """The counts that a usage line says were reported; None: unknown."""
    if usage is None or usage["usage_source"] not in ("reported", "partial"):
        return dict.fromkeys((*_COUNTS, "reasoning_tokens"))
    counts: dict[str, int | None] = {
        name: None if name in usage.get("unknown", ()) else usage[name] for name in _COUNTS
    }
    counts["reasoning_tokens"] = usage.get("reasoning_tokens")
    return counts
