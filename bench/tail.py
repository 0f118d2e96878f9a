"""What a record costs on its way from the journal into the ledger: read, decoded, priced, made a row, recorded.

    python -m bench.tail [--records 20000] [--batch 200]

CPU of this process, as the thread that does it shares the interpreter with the calls; the ledger is SQLite in the
temporary folder.  ``--batch`` is how many records a round finds: at 1,000 calls a second they are 200.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from awfproxy.core.hint_fields import Hints
from awfproxy.core.identifiers import request_ids
from awfproxy.core.records import TokenUsageRecord, encode, timestamp
from awfproxy.core.secret import Secret
from awfproxy.core.settings_file import from_file
from awfproxy.core.usage_line import decode_usage_line
from awfproxy.ledger.row_maker import row_maker
from awfproxy.ledger.sql import SqlLedger
from awfproxy.prices.charges import Charges
from awfproxy.server.journal_tail import Tail

CONFIG = '[service]\nstate_dir = "/s"\nlog_dir = "/l"\n[ports.openai]\nprovider = "openai"\n'
#: as an agent's call leaves one
USAGE: dict[str, Any] = {
    "prompt_tokens": 12_034, "completion_tokens": 412, "total_tokens": 12_446, "service_tier": "default",
    "prompt_tokens_details": {"cached_tokens": 11_776, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 128, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
    },
}  # fmt: skip
HINTS = Hints(
    messages=42, conversation_hash="0123456789abcdef", tools=17, tools_offered=["read_file", "run", "search"],
    tools_called=["read_file", "run"], tool_result_hashes=["0123456789abcdef"] * 3,
)  # fmt: skip


def lines(count: int) -> list[bytes]:
    """Usage lines, as the proxy writes them."""
    new_id, now = request_ids(time.time, os.urandom), time.time()
    made = []
    for number in range(count):
        record = TokenUsageRecord(
            timestamp(now + number / 1000), new_id(), "openai", "gpt-5-2025-08-07", "/v1/chat/completions", 200, True,
            12_034, 412, 11_776, 0, 5120.25, 48_311, 20_417, "reported", "complete", "openai",
        )  # fmt: skip
        record.admitted_at = timestamp(now + number / 1000 - 5)
        record.reasoning_tokens, record.input_tokens_include_cache = 128, True
        record.ttfb_ms, record.attempts, record.user, record.feature = 412.5, 1, "ci", "chat"
        record.client_request_id, record.upstream_request_id = "c" * 36, "req_" + "u" * 32
        record.request_model, record.usage, record.hints = "gpt-5", USAGE, HINTS
        made.append(encode(record))
    return made


def cpu(function: Callable[[], object], count: int) -> float:
    """Microseconds of CPU for each of ``count``."""
    began = time.process_time()
    function()
    return 1e6 * (time.process_time() - began) / count


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=200)
    options = parser.parse_args(arguments)
    count, batch = options.records, options.batch
    text = lines(count)
    settings = from_file(
        CONFIG, "a.toml", {"HOME": "/h"}, directory="/", file_directory="/", read=lambda kind, name: Secret("k" * 20)
    )
    charges = Charges(None, time.monotonic)
    row_of = row_maker(settings, "bench", charges.charge)
    unpriced = row_maker(settings, "bench")
    row_of(decode_usage_line(text[0]))  # opens the price list
    records = [decode_usage_line(line) for line in text]
    whole = msgspec.json.Decoder(TokenUsageRecord)
    print(f"{count:,} records of {sum(map(len, text)) // count} bytes, in rounds of {batch}; us of CPU a record")
    print(f"  decoded, every member    {cpu(lambda: [whole.decode(line) for line in text], count):6.2f}")
    print(f"  decoded, what rows need  {cpu(lambda: [decode_usage_line(line) for line in text], count):6.2f}")
    print(f"  made a row, unpriced     {cpu(lambda: [unpriced(record) for record in records], count):6.2f}")
    print(f"  made a row, priced       {cpu(lambda: [row_of(record) for record in records], count):6.2f}")
    with tempfile.TemporaryDirectory() as folder:
        ledger = SqlLedger(f"sqlite:///{folder}/ledger.db")
        ledger.open()
        path = Path(folder, "token-usage.jsonl")
        path.touch()
        tail = Tail(str(path), "bench", row_of, time.monotonic)
        tail.begin(ledger.position("bench"))
        read = recorded = 0.0
        with path.open("ab", buffering=0) as file:
            for first in range(0, count, batch):
                file.write(b"".join(text[first : first + batch]))
                last = False
                while not last:
                    began = time.process_time()
                    found = tail.read()
                    between = time.process_time()
                    if found.rows:
                        ledger.record(found.rows, found.position)
                    read += between - began
                    recorded += time.process_time() - between
                    last = found.last
        tail.close()
        ledger.close()
    print(f"  read and made rows       {1e6 * read / count:6.2f}")
    print(f"  recorded                 {1e6 * recorded / count:6.2f}")
    print(f"  together                 {1e6 * (read + recorded) / count:6.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
