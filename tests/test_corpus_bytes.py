"""Every recorded answer through the real proxy: its bytes are untouched in every form, and its usage is read.

One proxy process, one keep-alive connection a port; each answer goes through plain, gzip, br, zstd and deflate, and in
one odd form (a header that is missing or wrong, a chain of codings), with and without a length, in chunks and reads of
many sizes.
"""

from __future__ import annotations

import base64
import collections
import re
import socket
import time
from pathlib import Path
from typing import Any

from awfproxy.simulator.processes import free_ports
from awfproxy.simulator.setting import Setting
from tests.corpus_cases import Case, cases, expected, recorded, records
from tests.far_end import FarEnd, read_request
from tests.processes import proxy_process

PORTS = ("openai", "anthropic", "copilot", "gemini", "vertex", "generic")

_CASE = re.compile(rb"\r\nx-case: ([^\r]+)", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


class Reader:
    """Answers of one keep-alive connection, one after the other."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = b""

    def call(self, case: Case) -> tuple[int, bytes]:
        """Status and body."""
        self._socket.sendall(
            b"%b %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nX-Case: %b\r\nX-Request-ID: %b\r\n"
            b"Content-Length: %d\r\n\r\n%b"
            % (case.method.encode(), case.target.encode(), case.name.encode(), case.name.encode(),
               len(case.request), case.request)
        )  # fmt: skip
        head = self._until(b"\r\n\r\n")
        found = _LENGTH.search(head)
        status = int(head.split(b" ", 2)[1])
        if found:
            return status, self._exactly(int(found[1]))
        parts = []
        while size := int(self._until(b"\r\n"), 16):
            parts.append(self._exactly(size + 2)[:-2])
        self._exactly(2)
        return status, b"".join(parts)

    def _until(self, end: bytes) -> bytes:
        while (at := self._data.find(end)) < 0:
            self._more()
        found, self._data = self._data[: at + len(end)], self._data[at + len(end) :]
        return found

    def _exactly(self, count: int) -> bytes:
        while len(self._data) < count:
            self._more()
        found, self._data = self._data[:count], self._data[count:]
        return found

    def _more(self) -> None:
        piece = self._socket.recv(1 << 20)
        if not piece:
            raise EOFError("the proxy closed the connection")
        self._data += piece

    def close(self) -> None:
        self._socket.close()


def write(directory: Path, upstream: int) -> Setting:
    """A port for each provider, in front of one upstream, touching nothing of the answers."""
    admin, *listen = free_ports(len(PORTS) + 1)
    lines = [
        "[service]", f'log_dir = "{directory}/logs"', f'state_dir = "{directory}/state"',
        f'admin = "tcp:{admin}:interface=127.0.0.1"',
    ]  # fmt: skip
    for name, port in zip(PORTS, listen, strict=True):
        lines += [
            f"[ports.{name}]", f'listen = "tcp:{port}:interface=127.0.0.1"', f'provider = "{name}"',
            f'upstream = "http://127.0.0.1:{upstream}"', 'include_usage = "off"', 'credential = { env = "KEY" }',
        ]  # fmt: skip
    config = directory / "awfproxy.toml"
    config.write_text("\n".join(lines) + "\n")
    return Setting(config, directory / "logs", dict(zip(PORTS, listen, strict=True)), admin, {"KEY": "test-key"})


def test_every_recorded_answer(corpus: Path, tmp_path: Path) -> None:
    """Byte for byte what was sent, and in each record what the answer says it used."""
    waiting: dict[bytes, list[bytes]] = {}

    def serve(talking: socket.socket) -> None:
        kept = b""
        while (request := read_request(talking, kept)) is not None:
            head, _, kept = request
            found = _CASE.search(head)
            assert found is not None
            for piece in waiting.pop(found[1]):
                talking.sendall(piece)

    seen: dict[str, dict[str, Any]] = {}
    size = 0
    began = time.monotonic()
    with FarEnd(serve) as upstream:
        setting = write(tmp_path, upstream.port)
        with proxy_process(tmp_path, setting):
            readers = {name: Reader(port) for name, port in setting.ports.items()}
            try:
                for number, record in enumerate(records(corpus)):
                    body = base64.b64decode(record.pop("body_b64"))
                    for case in cases(record, number, body):
                        waiting[case.name.encode()] = case.pieces
                        status, got = readers[case.port].call(case)
                        assert status == record["status"], (record["id"], case.name)
                        assert got == case.body, (record["id"], case.name)
                        seen[case.name] = record
                        size += len(got)
                    del record["request_body"]
            finally:
                for reader in readers.values():
                    reader.close()
        assert upstream.accepted < 50, "connections to the provider are not kept"
    took = time.monotonic() - began
    print(f"{number + 1} answers, {len(seen)} calls, {size / 1e6:.0f} MB in {took:.0f} s")
    requests = {str(line["client_request_id"]): line for line in setting.records("requests")}
    assert requests.keys() == seen.keys()
    assert {line["outcome"] for line in requests.values()} == {"complete"}
    assert [name for name, line in requests.items() if line["streaming"] != seen[name]["streaming"]] == []
    usages = {str(line["client_request_id"]): line for line in setting.records("token-usage")}
    differ = compare(seen, usages)
    assert not differ, "\n".join(differ)


def compare(seen: dict[str, dict[str, Any]], usages: dict[str, dict[str, Any]]) -> list[str]:
    """Print the table of what agrees; the differences."""
    table: dict[tuple[str, str], list[int]] = collections.defaultdict(lambda: [0, 0])
    told: list[str] = []
    for name, record in seen.items():
        kind = (record["provider"], record["api"])
        usage = usages.get(name)
        want: dict[str, Any] = {**expected(record), "model": record["expect"]["model"]}
        have: dict[str, Any] = {**recorded(usage), "model": want["model"]}
        if usage is not None and want["model"] is not None:
            have["model"] = usage["model"]
        table[kind][want != have] += 1
        if want != have:
            told.append(f"{record['id']} ({kind[0]} {kind[1]}, {name}, {record['status']}): {have}, not {want}")
    print(f"{'provider':<20}{'api':<18}{'agree':>7}{'differ':>8}")
    for kind, (agree, differ) in sorted(table.items()):
        print(f"{kind[0]:<20}{kind[1]:<18}{agree:>7}{differ:>8}")
    return told
