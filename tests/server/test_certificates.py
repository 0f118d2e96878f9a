"""Certificates of listeners: which one a client gets, and when they are read again."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from awfproxy.core.endpoints import TlsFiles
from awfproxy.server import certificates as module
from awfproxy.server.certificates import LOOK_SECONDS, CertificateError, Certificates
from awfproxy.server.sockets import ListenError, open_listening
from tests.certificates import make_certificates

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


def shown(context: ssl.SSLContext, name: str | None) -> bytes:
    """The certificate that a client gets who asks for this name."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(there, back, server_side=True)
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking.check_hostname = False
    asking.verify_mode = ssl.CERT_NONE
    client = asking.wrap_bio(back, there, server_hostname=name)
    for _ in range(3):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    found = client.getpeercert(binary_form=True)
    assert found is not None
    return found


def der(pem: Path) -> bytes:
    """The first certificate of a file."""
    text = pem.read_text()
    return ssl.PEM_cert_to_DER_cert(
        text[text.index("-----BEGIN CERTIFICATE") :].partition("-----END CERTIFICATE-----")[0]
        + "-----END CERTIFICATE-----\n"
    )


def made(directory: Path, *names: str) -> tuple[TlsFiles, bytes]:
    """A certificate for these names, and what clients get of it."""
    directory.mkdir(exist_ok=True)
    certificates = make_certificates(directory, names or ("localhost",))
    return TlsFiles(str(certificates.key), str(certificates.certificate)), der(certificates.certificate)


def test_one_with_its_key(tmp_path: Path) -> None:
    """Whatever name a client asks for."""
    files, expected = made(tmp_path)
    context = Certificates(files, lambda: 0.0).context()
    assert shown(context, None) == shown(context, "other.example") == expected


def test_a_chain_in_a_file_of_its_own(tmp_path: Path) -> None:
    """It goes behind the certificate."""
    files, expected = made(tmp_path)
    chained = TlsFiles(files.key, files.certificate, str(tmp_path / "authority.pem"))
    assert shown(Certificates(chained, lambda: 0.0).context(), None) == expected


def test_a_renewed_one_is_read_without_a_signal(tmp_path: Path) -> None:
    """Once somebody connects, and some seconds are over."""
    files, before = made(tmp_path)
    now = 0.0
    certificates = Certificates(files, lambda: now)
    _, after = made(tmp_path)
    assert shown(certificates.context(), None) == before
    now += LOOK_SECONDS + 1
    assert shown(certificates.context(), None) == after


def test_what_cannot_be_read_does_not_take_the_place_of_what_is_there(tmp_path: Path, logged: list[str]) -> None:
    """Half a file, or none; it is looked at again later."""
    files, before = made(tmp_path)
    now = 0.0
    certificates = Certificates(files, lambda: now)
    for spoil in (lambda path: path.write_text("half"), Path.unlink):
        spoil(Path(files.certificate))
        now += LOOK_SECONDS + 1
        assert shown(certificates.context(), None) == before
    assert len([line for line in logged if "the certificates before stay in use" in line]) == 2
    _, after = made(tmp_path)
    now += LOOK_SECONDS + 1
    assert shown(certificates.context(), None) == after


def test_a_folder_has_one_for_each_name(tmp_path: Path) -> None:
    """By the name that the client asks for; the first for whom none is."""
    folder = tmp_path / "folder"
    folder.mkdir()
    expected = []
    for number, names in enumerate((("one.example",), ("two.example", "*.three.example"))):
        files, certificate = made(tmp_path / str(number), *names)
        joined = Path(files.key).read_bytes() + Path(files.certificate).read_bytes()
        (folder / f"{number}.pem").write_bytes(joined)
        expected.append(certificate)
    context = Certificates(TlsFiles(folder=str(folder)), lambda: 0.0).context()
    for name, number in (
        ("one.example", 0),
        ("TWO.example", 1),
        ("x.three.example", 1),
        ("four.example", 0),
        (None, 0),
    ):
        assert shown(context, name) == expected[number], name


def trusted(directory: Path, folder: Path) -> None:
    """A key and its certificate as only OpenSSL reads it: `BEGIN TRUSTED CERTIFICATE` (openssl-x509(1))."""
    files, _ = made(directory)
    text = ["openssl", "x509", "-trustout", "-addtrust", "serverAuth", "-in", files.certificate]
    certificate = subprocess.run(text, check=True, capture_output=True).stdout
    (folder / "b.pem").write_bytes(Path(files.key).read_bytes() + certificate)


@needs_openssl
def test_a_file_of_a_folder_that_is_read_by_openssl_only(tmp_path: Path, logged: list[str]) -> None:
    """Refused at the start in a line that names it; later the others stay in use."""
    folder = tmp_path / "folder"
    folder.mkdir()
    trusted(tmp_path / "b", folder)
    with pytest.raises(CertificateError, match=rf"names can be read: {folder}/b\.pem"):
        Certificates(TlsFiles(folder=str(folder)), lambda: 0.0)
    with pytest.raises(ListenError, match=r"names can be read: .*b\.pem"):
        open_listening(f"tls:{folder}:port=0")
    (folder / "b.pem").unlink()
    files, expected = made(tmp_path / "a")
    (folder / "a.pem").write_bytes(Path(files.key).read_bytes() + Path(files.certificate).read_bytes())
    now = 0.0
    certificates = Certificates(TlsFiles(folder=str(folder)), lambda: now)
    trusted(tmp_path / "b", folder)
    now += LOOK_SECONDS + 1
    assert shown(certificates.context(), None) == expected
    assert len([line for line in logged if "the certificates before stay in use" in line]) == 1


def test_an_extension_that_is_there_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which `cryptography` tells by an exception of its own."""
    folder = tmp_path / "folder"
    folder.mkdir()
    files, _ = made(tmp_path / "a")
    (folder / "a.pem").write_bytes(Path(files.key).read_bytes() + Path(files.certificate).read_bytes())

    def twice(data: bytes) -> list[x509.Certificate]:
        raise x509.DuplicateExtension("twice", x509.OID_SUBJECT_ALTERNATIVE_NAME)

    monkeypatch.setattr(x509, "load_pem_x509_certificates", twice)
    with pytest.raises(CertificateError, match="names can be read"):
        Certificates(TlsFiles(folder=str(folder)), lambda: 0.0)


def test_trouble_is_told_once_for_each_change(tmp_path: Path, logged: list[str]) -> None:
    """Not every ten seconds; one that comes back after all was well is another."""
    files, before = made(tmp_path)
    right = Path(files.certificate).read_bytes()
    now = 0.0
    certificates = Certificates(files, lambda: now)

    def looked() -> int:
        nonlocal now
        for _ in range(3):
            now += LOOK_SECONDS + 1
            certificates.context()
        told = [line for line in logged if "the certificates before stay in use" in line]
        logged.clear()
        return len(told)

    Path(files.certificate).write_text("half")
    assert looked() == 1
    Path(files.certificate).write_text("another half")
    assert looked() == 1
    Path(files.certificate).unlink()
    assert looked() == 1
    Path(files.certificate).write_bytes(right)
    assert looked() == 0
    assert shown(certificates.context(), None) == before
    Path(files.certificate).unlink()
    assert looked() == 1


def test_what_failed_is_tried_again_though_nothing_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have been for want of a descriptor."""
    files, _ = made(tmp_path)
    now = 0.0
    certificates = Certificates(files, lambda: now)
    _, after = made(tmp_path)
    with monkeypatch.context() as full:
        full.setattr(module, "_context", lambda *_: _no_file())
        now += LOOK_SECONDS + 1
        certificates.context()
    now += LOOK_SECONDS + 1
    assert shown(certificates.context(), None) == after


def _no_file() -> ssl.SSLContext:
    raise OSError(24, "Too many open files")


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    """Named, without a byte of what is in them."""
    one, _ = made(tmp_path / "one")
    other, _ = made(tmp_path / "other")
    with pytest.raises(CertificateError, match=f"no certificate with its key: {one.key}"):
        Certificates(TlsFiles(one.key, other.certificate), lambda: 0.0)
    with pytest.raises(FileNotFoundError):
        Certificates(TlsFiles(str(tmp_path / "no"), one.certificate), lambda: 0.0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CertificateError, match=r"no `\.pem` file is in"):
        Certificates(TlsFiles(folder=str(tmp_path / "empty")), lambda: 0.0)


def test_a_key_with_a_password_is_refused(tmp_path: Path) -> None:
    """Nobody is there to type it."""
    files, _ = made(tmp_path)
    key = serialization.load_pem_private_key(Path(files.key).read_bytes(), None)
    Path(files.key).write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    ))  # fmt: skip
    with pytest.raises(CertificateError):
        Certificates(files, lambda: 0.0)


def test_parameters_for_old_clients(tmp_path: Path) -> None:
    """They are taken; what is none is refused."""
    files, expected = made(tmp_path)
    parameters = tmp_path / "dh.pem"
    if (openssl := shutil.which("openssl")) is not None:
        subprocess.run(
            [
                openssl,
                "genpkey",
                "-genparam",
                "-algorithm",
                "DH",
                "-pkeyopt",
                "group:ffdhe2048",
                "-out",
                str(parameters),
            ],
            check=True,
        )
        made_of = TlsFiles(files.key, files.certificate, "", str(parameters))
        assert shown(Certificates(made_of, lambda: 0.0).context(), None) == expected
    parameters.write_text("none")
    with pytest.raises(ssl.SSLError):
        Certificates(TlsFiles(files.key, files.certificate, "", str(parameters)), lambda: 0.0)
