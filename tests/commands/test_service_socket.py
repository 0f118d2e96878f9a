"""What the command makes of a service that does not answer as it should."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from awfproxy.commands.failure import CommandFailed
from awfproxy.commands.service_socket import SOCKET_NAME, Reloaded, ServiceSocket, running_service
from awfproxy.ledger.budget_desk import Refused


@contextmanager
def answering(folder: Path, raw: bytes) -> Iterator[ServiceSocket]:
    """Somebody who answers one request with these bytes, and what the command takes for the service."""
    path = folder / SOCKET_NAME
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            connected, _ = listening.accept()
            with connected:
                connected.recv(65536)
                connected.sendall(raw)
                connected.shutdown(socket.SHUT_WR)
                while connected.recv(65536):
                    pass  # the rest of what is asked: closed over, it would take the answer with it

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield ServiceSocket(str(path))
        finally:
            thread.join()


def whole(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % (status.encode(), len(body), body)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "does not answer"),
        (b"not HTTP\r\n\r\n", "does not answer"),
        (whole("502 Bad Gateway", b"<html>"), "answered 502"),
        (whole("503 X", b'{"error": {"type": "ledger_unavailable", "message": "It is away."}}'), "It is away."),
        (whole("403 X", b'{"error": {"type": "not_allowed", "message": "Only root."}}'), "Only root."),
    ],
)
def test_what_is_no_answer_is_told(tmp_path: Path, raw: bytes, words: str) -> None:
    """In a sentence, not as a traceback."""
    with answering(tmp_path, raw) as service, pytest.raises(CommandFailed, match=words):
        service.show()


def test_a_refusal_is_a_value(tmp_path: Path) -> None:
    """With what is wrong with each field."""
    body = b'{"error": {"type": "invalid_budget", "message": "No.", "faults": [{"field": "mode", "text": "is no"}]}}'
    with answering(tmp_path, whole("400 X", body)) as service:
        found = service.set({"mode": "x"}, "openai")
    assert isinstance(found, Refused)
    assert (found.message, found.faults[0].field) == ("No.", "mode")


def test_a_service_runs_if_somebody_answers(tmp_path: Path) -> None:
    """Not where there is no socket, nobody behind it, or a folder in which none can be."""
    assert running_service(str(tmp_path)) is None
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / SOCKET_NAME))
        assert running_service(str(tmp_path)) is None
        listening.listen()
        assert running_service(str(tmp_path)) is not None
    assert running_service(str(tmp_path / ("x" * 120))) is None


def test_a_reload(tmp_path: Path) -> None:
    """What was done, or each reason on a line of its own; a drain is only begun."""
    with answering(tmp_path, whole("200 OK", b'{"done": true, "lines": ["Port changed: a.", "More."], "notes": ["Hm."]}')) as service:
        assert service.reload() == Reloaded(["Port changed: a.", "More."], ["Hm."])
    (tmp_path / SOCKET_NAME).unlink()
    with answering(tmp_path, whole("409 X", b'{"error": {"type": "not_reloaded", "message": "f:1: x.\\nf:2: y."}}')) as service:
        with pytest.raises(CommandFailed) as refused:
            service.reload()
        assert str(refused.value).splitlines() == ["f:1: x.", "f:2: y."]
    (tmp_path / SOCKET_NAME).unlink()
    with answering(tmp_path, whole("202 X", b'{"draining": true}')) as service:
        service.drain()
