"""Reading the machine: files, key files, systemd's credentials, and the words for what cannot be read."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from awfproxy.configuration import CONFIGURATION_MAX, Configuration, Credentials, load, log_dir
from awfproxy.core.secret import SECRET_MAX, Secret
from awfproxy.core.settings import KeyFile, SettingsError

#: what the fixture `write` gives
Write = Callable[[str, str], Path]

PORT = '[ports.a]\nprovider = "openai"\ncredential = { file = "key" }\n'


def test_a_file_and_its_key_beside_it(
    write: Write, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key file is found relative to the configuration file, wherever the process stands."""
    write("key", "sk-from-file\n")
    config = write("a.toml", PORT)
    monkeypatch.chdir("/")
    settings = load(str(config), environment)
    assert settings.ports[0].credential == Secret("sk-from-file")
    assert settings.source == str(config)
    assert settings.warnings == ()


def test_the_file_is_found_by_variable(write: Write, environment: dict[str, str]) -> None:
    """AWFPROXY_CONFIG does what --config does; the option goes first."""
    write("key", "k")
    by_variable, by_option = write("v.toml", PORT), write("o.toml", PORT)
    environment["AWFPROXY_CONFIG"] = str(by_variable)
    assert load(None, environment).source == str(by_variable)
    assert load(str(by_option), environment).source == str(by_option)


def test_without_a_file_the_environment_decides(environment: dict[str, str]) -> None:
    """Nothing but variables is read."""
    settings = load(None, environment | {"ANTHROPIC_API_KEY": "k"})
    assert [port.name for port in settings.ports] == ["anthropic"]
    assert settings.service.state_dir.startswith(environment["HOME"])


@pytest.mark.parametrize(
    ("text", "words"), [(None, "cannot be read: no such file or directory."), ("# none", "has no certificate in it")]
)
def test_a_trust_file_of_no_use_is_told(
    text: str | None, words: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    """OpenSSL would pass over it in silence, and every call would end with a 502."""
    trust = tmp_path / "trust.pem"
    if text is not None:
        trust.write_text(text)
    variables = environment | {"OPENAI_API_KEY": "k", "SSL_CERT_FILE": str(trust)}
    with pytest.raises(SettingsError) as caught:
        load(None, variables)
    assert caught.value.lines[0].startswith(f"SSL_CERT_FILE: {trust} ")
    assert words in caught.value.lines[0]
    assert load(None, variables | {"OPENAI_API_TARGET": "http://127.0.0.1:1"}).ports
    trust.write_text("-----BEGIN CERTIFICATE-----\n")
    assert load(None, variables).ports


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no such file or directory"),
        (lambda path: path.mkdir(), "regular file"),
        (lambda path: os.mkfifo(path), "not a regular file"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "is not UTF-8 (at byte 0)"),
        (lambda path: path.write_bytes(b"#" * (CONFIGURATION_MAX + 1)), "larger than"),
        (lambda path: path.write_text("a ="), "not valid TOML"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(
    make: Callable[[Path], object], words: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    """Also a pipe, which would make the start hang."""
    make(tmp_path / "a.toml")
    with pytest.raises(SettingsError) as caught:
        load(str(tmp_path / "a.toml"), environment)
    (line,) = caught.value.lines
    assert line.startswith(str(tmp_path / "a.toml"))
    assert words in line


def test_a_key_file_that_all_can_read_is_worth_a_warning(write: Write, environment: dict[str, str]) -> None:
    """It works, and says so."""
    write("key", "sk-from-file").chmod(0o644)
    settings = load(str(write("a.toml", PORT)), environment)
    assert settings.ports[0].credential == Secret("sk-from-file")
    (warning,) = settings.warnings
    assert "everyone on this machine can read" in warning


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("sk-value\nsk-other\n", "control"),
        ("sk-value" * SECRET_MAX, "larger than"),
        ("sk-välue", "ASCII"),
    ],
)
def test_a_key_file_of_no_use_is_told_without_its_text(
    text: str, words: str, write: Write, environment: dict[str, str]
) -> None:
    """The sentence names the file's key and nothing of what is in it."""
    write("key", text)
    with pytest.raises(SettingsError) as caught:
        load(str(write("a.toml", PORT)), environment)
    (line,) = caught.value.lines
    assert words in line
    assert "sk-" not in line


@pytest.mark.parametrize("value", ["sk-välue", "sk-value\x00"])
def test_a_variable_of_no_use_is_told_without_its_text(value: str, environment: dict[str, str]) -> None:
    """The same for a key in the environment."""
    with pytest.raises(SettingsError) as caught:
        load(None, environment | {"OPENAI_API_KEY": value})
    (line,) = caught.value.lines
    assert line.startswith("OPENAI_API_KEY: is not usable: the credential has ")
    assert "sk-" not in line


def test_a_systemd_credential(write: Write, environment: dict[str, str], tmp_path: Path) -> None:
    """LoadCredential= puts it into a folder that systemd names."""
    write("openai", "sk-from-systemd\n")
    config = write("a.toml", PORT.replace('file = "key"', 'systemd = "openai"'))
    settings = load(str(config), environment | {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert settings.ports[0].credential == Secret("sk-from-systemd")
    with pytest.raises(SettingsError, match="LoadCredential="):
        load(str(config), environment)


def test_a_systemd_credential_stays_in_its_folder(tmp_path: Path) -> None:
    """A name with a slash reads nothing."""
    read = Credentials({"CREDENTIALS_DIRECTORY": str(tmp_path / "creds")}, "/").read("systemd", "../key")
    assert isinstance(read, str)
    assert "no file name" in read


@pytest.mark.parametrize("kind", ["file", "systemd"])
@pytest.mark.parametrize("there", [False, True])
def test_a_key_in_the_place_of_a_name_is_not_repeated(
    kind: str, there: bool, write: Write, environment: dict[str, str], tmp_path: Path
) -> None:
    """Also where systemd gave credentials, and none of that name."""
    config = write("a.toml", PORT.replace('file = "key"', f'{kind} = "sk-PASTEDKEY"'))
    if there:
        environment["CREDENTIALS_DIRECTORY"] = str(tmp_path)
    with pytest.raises(SettingsError) as caught:
        load(str(config), environment)
    assert "PASTED" not in str(caught.value)
    assert "it looks like a key" in str(caught.value)


def test_a_file_that_is_there_may_have_any_name(write: Write, environment: dict[str, str]) -> None:
    """Then it is no key but a file's name, and stands where names do."""
    write("sk-openai-production", "sk-from-file\n").chmod(0o644)
    settings = load(str(write("a.toml", PORT.replace('"key"', '"sk-openai-production"'))), environment)
    assert settings.ports[0].credential == Secret("sk-from-file")
    assert settings.warnings[0].startswith("sk-openai-production: everyone")


def test_the_folder_of_logs_is_found_without_keys(write: Write, environment: dict[str, str], tmp_path: Path) -> None:
    """Whoever reads reports need not hold the credentials."""
    assert log_dir(environment) == f"{environment['HOME']}/.local/state/awfproxy/logs"
    assert log_dir(environment | {"AWF_TOKEN_LOG_DIR": "/logs"}) == "/logs"
    environment["AWFPROXY_CONFIG"] = str(write("a.toml", f'[service]\nlog_dir = "own"\n{PORT}'))
    assert log_dir(environment | {"AWF_TOKEN_LOG_DIR": "/logs"}) == str(tmp_path / "own")
    with pytest.raises(SettingsError):
        log_dir({})


def test_a_file_of_prices_is_checked_with_the_settings(
    write: Write, environment: dict[str, str], tmp_path: Path
) -> None:
    """Beside the configuration; what is wrong in it, or that it is not there, is told before anything starts."""
    write("key", "k")
    config = write("a.toml", '[service]\nprices = "prices.toml"\n' + PORT)
    with pytest.raises(SettingsError) as missing:
        load(str(config), environment)
    place = f"{tmp_path / 'prices.toml'}: cannot be read: No such file or directory."
    assert str(missing.value) == f"{config}:2: `service.prices`: {place}"
    with pytest.raises(SettingsError, match=r"^environment AWFPROXY_PRICES: `service\.prices`: /none: cannot be read"):
        load(str(config), environment | {"AWFPROXY_PRICES": "/none"})
    prices = write("prices.toml", "[models.m]\ninput_per_million = -1\noutput_per_million = 1\n")
    with pytest.raises(SettingsError, match=rf"^{tmp_path}/prices\.toml:2: `models\.m\.input_per_million` is wrong"):
        load(str(config), environment)
    write("prices.toml", "[models.m]\ninput_per_million = 1\noutput_per_million = 1\n")
    assert load(str(config), environment).service.prices == str(prices)


def test_it_is_read_again_from_the_same_place(
    write: Write, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the process is by then; files of keys are found by name and told apart by what they are."""
    write("openai.key", "sk-one\n")
    write("awfproxy.toml", '[ports.openai]\nprovider = "openai"\ncredential = { file = "openai.key" }\n')
    monkeypatch.chdir(tmp_path)
    source = Configuration("awfproxy.toml", environment)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    settings = source.read()
    assert settings.source == "awfproxy.toml"
    assert settings.key_files == (KeyFile(("ports", "openai", "credential"), "file", "openai.key"),)
    before = source.identity("file", "openai.key")
    assert before is not None and source.identity("file", "openai.key") == before
    fresh = write("fresh.key", "sk-two\n")
    fresh.rename(tmp_path / "openai.key")
    assert source.identity("file", "openai.key") != before
    assert source.key("file", "openai.key") == Secret("sk-two") == source.read().ports[0].credential
    assert source.identity("file", "none") is None and source.identity("env", "openai.key") is None
    assert source.identity("systemd", "x") is None
    write("awfproxy.toml", "[ports.openai]\nprovder = 1\n")
    with pytest.raises(SettingsError) as refused:
        source.read()
    assert refused.value.lines[0].startswith("awfproxy.toml:1: "), "by the name that was given"
