"""Speed of the usage scanner on one core: the gate, whole decodes, the finder, the decoders.

    python bench/scanner.py

Prints MB/s and µs of CPU time; gates nothing.  Aims: small events in 16 KB pieces 500 MB/s, a piece of one event 2 µs,
JSON by the finder 200 MB/s, dense log probabilities 30 MB/s.  Recorded bodies are measured too where they are at hand
(AWFPROXY_CORPUS, or ../shared/corpus beside the checkout).
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import sys
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import brotli

from awfproxy.core.document import read
from awfproxy.core.finder import Finder
from awfproxy.core.scanner import DecoderMemory, Scanner
from awfproxy.simulator import eventstream

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PIECE = 16 * 1024
#: Bytes after which a scanner is in its steady state.
WARM = 8 * 1024
#: Rounds between two looks at the clock.
ROUNDS = 20
CORPUS = Path(os.environ.get("AWFPROXY_CORPUS") or Path(__file__).resolve().parents[2] / "shared" / "corpus")
#: Recorded bodies that are measured are at least so long.
LONG = 64 * 1024
#: A body with more tokens of JSON than this in a KB is dense: numbers and short strings.
DENSE = 150


def chat_event(text: str, usage: str = "") -> bytes:
    """One chunk of a chat stream."""
    head = '{"id":"chatcmpl-C0ffee","object":"chat.completion.chunk","created":1750000000,"model":"gpt-4.1-2025-04-14",'
    choice = (
        f'"service_tier":"default","system_fingerprint":"fp_1","choices":[{{"index":0,"delta":{{"content":"{text}"}},'
    )
    return f'data: {head}{choice}"logprobs":null,"finish_reason":null}}]{usage}}}\n\n'.encode()


def anthropic_event(text: str) -> bytes:
    """One delta of a Messages stream."""
    data = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    return b"event: content_block_delta\ndata: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"


def gemini_event(text: str) -> bytes:
    """One chunk of a generateContent stream: each carries usage."""
    data = {
        "candidates": [{"content": {"parts": [{"text": text * 10}], "role": "model"}, "index": 0}],
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15},
        "modelVersion": "gemini-2.5-flash",
        "responseId": "abc",
    }
    return b"data: " + json.dumps(data).encode() + b"\r\n\r\n"


def converse_event(text: str) -> bytes:
    """One delta of a ConverseStream."""
    return eventstream.event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}, "p": "abcdefghij"})


def invoke_event(text: str) -> bytes:
    """One delta of a Messages stream through InvokeModel."""
    data = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    wrapped = base64.b64encode(json.dumps(data, separators=(",", ":")).encode()).decode()
    return eventstream.event("chunk", {"bytes": wrapped, "p": "abcdefghij"})


def per_second(work: Callable[[], object], size: int, seconds: float = 0.5) -> tuple[float, float]:
    """(MB/s, µs a round), the best of three."""
    best = float("inf")
    for _ in range(3):
        rounds, start = 0, time.process_time()
        while (spent := time.process_time() - start) < seconds / 3:
            for _ in range(ROUNDS):
                work()
            rounds += ROUNDS
        best = min(best, spent / rounds)
    return size / best / 1e6, best * 1e6


def show(name: str, work: Callable[[], object], size: int) -> None:
    """One line of the table."""
    speed, micros = per_second(work, size)
    print(f"{name:52s} {speed:9.0f} MB/s {micros:10.2f} µs")


def stream(name: str, first: bytes, event: bytes, piece: int) -> None:
    """Feed a warm scanner pieces of about `piece` bytes of whole events."""
    scanner = Scanner(b"text/event-stream", b"", DecoderMemory())
    scanner.feed(first)
    scanner.feed(event * (WARM // len(event)))
    data = event * max(1, piece // len(event))
    for _ in range(ROUNDS * 4):  # until it has its sample
        scanner.feed(data)
    show(name, partial(scanner.feed, data), len(data))


def split_stream(name: str, first: bytes, event: bytes) -> None:
    """Pieces of 16 KB that end anywhere in an event."""
    body = event * (256 * 1024 // len(event))
    pieces = [body[at : at + PIECE] for at in range(0, len(body), PIECE)]

    def work() -> None:
        scanner = Scanner(b"text/event-stream", b"", DecoderMemory())
        scanner.feed(first)
        for part in pieces:
            scanner.feed(part)

    show(name, work, len(body))


def json_body(name: str, body: bytes) -> None:
    """The finder over a long body, in pieces."""
    pieces = [body[at : at + PIECE * 4] for at in range(0, len(body), PIECE * 4)]

    def work() -> None:
        finder = Finder(lambda outline, whole: None)
        for part in pieces:
            finder.feed(part)
        finder.finish()

    show(name, work, len(body))


def held(body: bytes) -> None:
    """A JSON body short enough to be decoded at once."""
    scanner = Scanner(b"application/json", b"", DecoderMemory())
    scanner.feed(body)
    scanner.finish()


def decoded(body: bytes, coding: bytes) -> None:
    """A whole coded stream."""
    scanner = Scanner(b"text/event-stream", coding, DecoderMemory())
    scanner.feed(body)
    scanner.finish()


def text_body(times: int) -> bytes:
    """A Responses answer with much text in it."""
    sentence = 'The quick brown fox said "usage":\\ {and} [jumped] over.\n'
    item = {"type": "message", "content": [{"text": sentence * 8}]}
    return json.dumps({"id": "x", "output": [item] * 75 * times, "usage": {"input_tokens": 1}}).encode()


def probabilities_body(times: int) -> bytes:
    """A chat answer with log probabilities: nothing but short tokens and brackets."""
    token = {"token": " a", "logprob": -0.25, "bytes": [32, 97], "top_logprobs": [{"token": "b"}]}
    choice = {"logprobs": {"content": [token] * 1000 * times}}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 1}}, separators=(",", ":")).encode()


def embeddings_body(times: int) -> bytes:
    """An embeddings answer."""
    row = {"embedding": [0.0123456789, -0.987654321] * 768}
    return json.dumps({"data": [row] * 2 * times, "usage": {"prompt_tokens": 1}}).encode()


def image_body(times: int) -> bytes:
    """An images answer: one long string."""
    return json.dumps({"data": [{"b64_json": "QUJD" * 25000 * times}], "usage": {"input_tokens": 1}}).encode()


BODIES = {
    "text": text_body,
    "log probabilities": probabilities_body,
    "embeddings": embeddings_body,
    "image": image_body,
}


def recorded_bodies() -> dict[str, list[bytes]]:
    """The recorded JSON answers of `LONG` bytes and more: those of text and those of short tokens."""
    found: dict[str, list[bytes]] = {"text": [], "dense": []}
    for path in sorted(CORPUS.glob("*.jsonl.gz")):
        with gzip.open(path) as lines:
            for line in lines:
                record = json.loads(line)
                if record["framing"] == "json" and record["body_bytes"] >= LONG:
                    body = base64.b64decode(record["body_b64"])
                    tokens = body.count(b",") + body.count(b":")
                    found["dense" if tokens * 1024 > DENSE * len(body) else "text"].append(body)
    return found


def read_all(bodies: list[bytes]) -> None:
    """Each in pieces, as they come from a socket."""
    for body in bodies:
        scanner = Scanner(b"application/json", b"", DecoderMemory())
        for at in range(0, len(body), 4 * PIECE):
            scanner.feed(body[at : at + 4 * PIECE])
        scanner.finish()


def main() -> None:
    """Print the table."""
    chat, null, claude, gemini = (
        chat_event(" hello"),
        chat_event(" hello", ',"usage":null'),
        anthropic_event(" hello"),
        gemini_event(" hello"),
    )
    converse, invoke = converse_event(" hello"), invoke_event(" hello")
    start = b'data: {"type":"message_start","message":{"model":"claude","usage":{"input_tokens":1}}}\n\n'
    response = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","item_id":"msg_1",'
    response += b'"output_index":0,"content_index":0,"delta":" hello","sequence_number":7}\n\n'
    created = b'data: {"type":"response.created","response":{"model":"gpt-5","usage":null}}\n\n'
    for name, first, event in (
        ("chat", chat, chat),
        ("chat, usage:null", null, null),
        ("messages", start, claude),
        ("responses", created, response),
        ("generateContent (usage in each)", gemini, gemini),
        ("converse", converse, converse),
        ("invoke", invoke, invoke),
    ):
        stream(f"gate: {name}, 16 KB", first, event, PIECE)
        stream(f"gate: {name}, one event", first, event, 1)
        split_stream(f"gate: {name}, 16 KB split anywhere", first, event)
    show("decode: one chat chunk", partial(read, chat[6:]), len(chat))

    for name, make in BODIES.items():
        long, short = make(20), make(1)
        json_body(f"finder: {name}, {len(long) / 1e6:.1f} MB", long)
        show(f"decode: {name}, {len(short) / 1e3:.0f} KB", partial(held, short), len(short))
    for name, bodies in recorded_bodies().items():
        if bodies:
            size = sum(map(len, bodies))
            title = f"recorded JSON over 64 KB, {name}: {len(bodies)}, {size / 1e6:.1f} MB"
            show(title, partial(read_all, bodies), size)
    plain = claude * 2000
    for coding, coded in (
        (b"gzip", gzip.compress(plain)),
        (b"deflate", zlib.compress(plain)),
        (b"br", brotli.compress(plain, quality=4)),
        (b"zstd", zstd.compress(plain)),
    ):
        show(f"coded: {coding.decode()} event stream (decoded)", partial(decoded, coded, coding), len(plain))


if __name__ == "__main__":
    main()
