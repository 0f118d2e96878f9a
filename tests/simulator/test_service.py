"""The service on real sockets: listeners, plain and TLS, resets, and a clean end."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as the_reactor
from twisted.internet.error import CannotListenError
from twisted.internet.threads import deferToThread

from awfproxy.simulator.service import LOOPBACK, Simulator
from tests.certificates import make_certificates

BODY = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "one two three"}], "stream": True})


def post(port: int, **headers: str) -> bytes:
    """One streamed chat call, read to its end."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("POST", "/v1/chat/completions", BODY, {"Authorization": "Bearer sim-openai-key"} | names)
        return connection.getresponse().read()
    finally:
        connection.close()


@pytest_twisted.ensureDeferred
async def test_calls_over_sockets() -> None:
    """A whole call, an aborted one, one that is reset; the ledger has all three."""
    simulator = Simulator(the_reactor, {"openai": LOOPBACK, "any": LOOPBACK})
    simulator.startService()
    try:
        assert len(set(simulator.ports.values())) == 2
        assert (await deferToThread(post, simulator.port)).endswith(b"data: [DONE]\n\n")
        with pytest.raises(ConnectionResetError):
            await deferToThread(post, simulator.ports["any"], x_sim_cut="1", x_sim_cut_how="rst")
        with pytest.raises(http.client.RemoteDisconnected):
            await deferToThread(post, simulator.port, x_sim_cut="before")
        assert [call.end for call in simulator.calls] == ["complete", "cut", "cut"]
        assert [call.listener for call in simulator.calls] == ["openai", "any", "openai"]
    finally:
        await simulator.stopService()
    assert simulator.open_connections == 0


@pytest_twisted.ensureDeferred
async def test_tls(tmp_path: Path) -> None:
    """A listener with a certificate of the test's own authority; HTTP/1.1 is agreed on where a client asks."""
    certificates = make_certificates(tmp_path)
    simulator = Simulator(the_reactor, {"openai": certificates.endpoint()})
    simulator.startService()
    context = ssl.create_default_context(cafile=str(certificates.authority))
    context.set_alpn_protocols(["h2", "http/1.1"])

    def get() -> bytes:
        connection = http.client.HTTPSConnection("localhost", simulator.port, timeout=5, context=context)
        connection.request("GET", "/_sim/ready")
        body = connection.getresponse().read()
        connection.close()
        return body

    try:
        assert json.loads(await deferToThread(get)) == {"ready": True}
    finally:
        await simulator.stopService()


@pytest_twisted.ensureDeferred
async def test_stopping_cuts_what_is_open() -> None:
    """A stream that never ends does not keep the simulator."""
    simulator = Simulator(the_reactor)
    simulator.startService()
    outcome: Any = deferToThread(post, simulator.port, x_sim_stall="1")
    while not simulator.calls or not simulator.calls[0].sent_events:
        await deferToThread(lambda: None)
    await simulator.stopService()
    with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
        await outcome
    assert simulator.calls[0].end == "aborted"


@pytest_twisted.ensureDeferred
async def test_a_taken_port_is_an_error() -> None:
    """At once, not in the log."""
    first = Simulator(the_reactor)
    first.startService()
    second = Simulator(the_reactor, {"any": f"tcp:{first.port}:interface=127.0.0.1"})
    try:
        with pytest.raises(CannotListenError):
            second.startService()
    finally:
        await first.stopService()
