"""Writes the fake upstream's answers and the request bodies of the load into a folder.

    python -m bench.bodies OUTDIR

Answers: openai.json and anthropic.json (about 1.2 KB, with usage), openai.sse and anthropic.sse (SSE_TOKENS token
events, usage, terminal event), big.json (1 MB), models.json. Requests: req-1k, req-100k, req-1m, req-1k-stream (asks
for usage), req-1k-stream-unasked (does not, so that the proxy asks in the client's place) and req-bigresp.

The text is prose-like (escapes, quotes, code), as an agent's context is, and the same in every run (fixed seed).
"""

import json
import pathlib
import random
import re
import sys
from collections.abc import Iterable
from typing import Any

SSE_TOKENS = 300  # token events of one burst; with role, finish, usage and [DONE] OpenAI's has 304 events
MESSAGE_SIZE = 16384  # characters of one message in a large request: agents send many turns, not one huge text
PROSE_SHARE = 0.93  # of a message's size: JSON escaping adds the rest
SIZES = {"1k": 1024, "100k": 102_400, "1m": 1_048_576}
MODEL = "gpt-4o-mini-2024-07-18"
CLAUDE = "claude-sonnet-4-20250514"

WORDS = re.findall(
    r"\w+",
    "the of to and in a is that for it as was with be by on not he his but at are this have from or had an they "
    "which one you were all her she there would their we him been has when who will no more if out so up said what "
    "its about than into them can only other time new some could these two may first then do any like my now over "
    "such our man me even most made after also did many off before must well back through years where much your way",
)

Event = tuple[str | None, dict[str, Any] | str]


def prose(rnd: random.Random, size: int) -> str:
    """`size` characters of words with now and then what costs a JSON reader: quotes, newlines, backslashes, UTF-8."""
    out: list[str] = []
    length = 0
    while length < size:
        word = rnd.choice(WORDS)
        r = rnd.random()
        if r < 0.03:
            word += ".\n"
        elif r < 0.05:
            word = f'"{word}"'
        elif r < 0.06:
            word = f"    def {word}(self, x=1):\n        return \\\\d+\t"
        elif r < 0.065:
            word = "caf\u00e9"
        out.append(word)
        length += len(word) + 1
    return " ".join(out)[:size]


def request(rnd: random.Random, size: int, *, stream: bool, ask: bool = True, user: str = "bench-user") -> bytes:
    """A chat request of about `size` bytes. `user` is where the load tools put the fake upstream's markers."""
    doc: dict[str, Any] = {"model": MODEL, "user": user, "temperature": 0.2}
    if stream:
        doc["stream"] = True
        if ask:
            doc["stream_options"] = {"include_usage": True}
    messages: list[dict[str, str]] = [{"role": "system", "content": "You are a coding agent."}]
    doc["messages"] = messages
    left = size - len(json.dumps(doc)) - 60
    count = max(1, left // MESSAGE_SIZE)
    for i in range(count):
        text = prose(rnd, max(1, int(left / count * PROSE_SHARE)))
        messages.append({"role": "assistant" if i % 2 else "user", "content": text})
    return json.dumps(doc).encode()


def sse(events: Iterable[Event]) -> str:
    out: list[str] = []
    for name, data in events:
        text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
        out.append((f"event: {name}\n" if name else "") + f"data: {text}\n\n")
    return "".join(out)


def openai_sse(rnd: random.Random, tokens: int) -> str:
    base = {
        "id": "chatcmpl-fake",
        "object": "chat.completion.chunk",
        "created": 1730000000,
        "model": MODEL,
        "system_fingerprint": "fp_1",
    }

    def piece(delta: dict[str, str], finish: str | None) -> Event:
        return None, {**base, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}

    usage = {
        "prompt_tokens": 321,
        "completion_tokens": tokens,
        "total_tokens": 321 + tokens,
        "prompt_tokens_details": {"cached_tokens": 128},
    }
    events = [piece({"role": "assistant", "content": ""}, None)]
    events += [piece({"content": " " + rnd.choice(WORDS)}, None) for _ in range(tokens)]
    events += [piece({}, "stop"), (None, {**base, "choices": [], "usage": usage}), (None, "[DONE]")]
    return sse(events)


def anthropic_sse(rnd: random.Random, tokens: int) -> str:
    def named(kind: str, **members: Any) -> Event:
        return kind, {"type": kind, **members}

    usage = {"input_tokens": 321, "cache_creation_input_tokens": 12, "cache_read_input_tokens": 128, "output_tokens": 1}
    message = {"id": "msg_fake", "type": "message", "role": "assistant", "model": CLAUDE, "content": []}
    events = [
        named("message_start", message={**message, "stop_reason": None, "stop_sequence": None, "usage": usage}),
        named("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        named("ping"),
    ]
    for _ in range(tokens):
        delta = {"type": "text_delta", "text": " " + rnd.choice(WORDS)}
        events.append(named("content_block_delta", index=0, delta=delta))
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    events += [
        named("content_block_stop", index=0),
        named("message_delta", delta=end, usage={"output_tokens": tokens}),
        named("message_stop"),
    ]
    return sse(events)


def completion(text: str, output_tokens: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None}
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "created": 1730000000,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 321,
            "completion_tokens": output_tokens,
            "total_tokens": 321 + output_tokens,
            "prompt_tokens_details": {"cached_tokens": 128, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
        "system_fingerprint": "fp_1",
    }


def message(text: str) -> dict[str, Any]:
    return {
        "id": "msg_fake",
        "type": "message",
        "role": "assistant",
        "model": CLAUDE,
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 321,
            "cache_creation_input_tokens": 12,
            "cache_read_input_tokens": 128,
            "output_tokens": 150,
        },
    }


def main(out: pathlib.Path) -> None:
    rnd = random.Random(7)
    out.mkdir(parents=True, exist_ok=True)
    text = prose(rnd, 680)
    models = {"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "x"}]}
    (out / "openai.json").write_text(json.dumps(completion(text, 150)))
    (out / "anthropic.json").write_text(json.dumps(message(text)))
    (out / "big.json").write_text(json.dumps(completion(prose(rnd, 980_000), 150_000)))
    (out / "models.json").write_text(json.dumps(models))
    (out / "openai.sse").write_text(openai_sse(rnd, SSE_TOKENS))
    (out / "anthropic.sse").write_text(anthropic_sse(rnd, SSE_TOKENS))
    for name, size in SIZES.items():
        (out / f"req-{name}.json").write_bytes(request(rnd, size, stream=False))
    (out / "req-1k-stream.json").write_bytes(request(rnd, SIZES["1k"], stream=True))
    (out / "req-1k-stream-unasked.json").write_bytes(request(rnd, SIZES["1k"], stream=True, ask=False))
    (out / "req-bigresp.json").write_bytes(request(rnd, 1024, stream=False, user="bigresp"))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
