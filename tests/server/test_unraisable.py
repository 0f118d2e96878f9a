"""Names in handshakes that are not ASCII: what CPython prints of them stays out of the log."""

from __future__ import annotations

import ssl
import sys
from pathlib import Path
from typing import Any

import pytest

from awfproxy.core.endpoints import TlsFiles
from awfproxy.server.certificates import Certificates
from awfproxy.server.unraisable import QuietNames, quiet_names
from tests.certificates import make_certificates


def hello(name: bytes) -> bytes:
    """The first bytes of a client that asks for a name; as long as ``a.example``."""
    context = ssl.create_default_context()
    sent = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="a.example")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    first = sent.read()
    assert first.count(b"a.example") == 1 and len(name) == len(b"a.example")
    return first.replace(b"a.example", name)


def test_a_hostile_name_is_told_once_without_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The handshake is refused; nothing is printed, however often it comes."""
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    made = make_certificates(tmp_path, ("a.example",))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.pem").write_bytes(made.key.read_bytes() + made.certificate.read_bytes())
    context = Certificates(TlsFiles(folder=str(folder)), lambda: 0.0).context()
    for _ in range(3):
        came = ssl.MemoryBIO()
        came.write(hello(b"\xffsecret\n\n"))
        with pytest.raises(ssl.SSLError):
            context.wrap_bio(came, ssl.MemoryBIO(), server_side=True).do_handshake()
    told = [line for line in logged if "not ASCII" in line]
    assert len(told) == 1
    assert "secret" not in "".join(logged) + "".join(capsys.readouterr())
    assert isinstance(sys.unraisablehook, QuietNames) and sys.unraisablehook.count == 3


def test_all_else_goes_to_the_hook_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect in a destructor is not to be lost; and the hook is put there once."""
    heard: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", heard.append)
    quiet_names()
    ours = sys.unraisablehook
    quiet_names()
    assert sys.unraisablehook is ours

    class Breaks:
        def __del__(self) -> None:
            raise ValueError("a defect")

    Breaks()
    assert [str(each.exc_value) for each in heard] == ["a defect"]
    heard.clear()
