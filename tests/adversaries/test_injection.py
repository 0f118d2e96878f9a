"""Text of other people's making that would be a line, a header, a label or a command somewhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from awfproxy.configuration import load
from awfproxy.core.settings import SettingsError
from awfproxy.simulator.processes import get
from tests.adversaries.answers_heads import says
from tests.adversaries.cases import Answer, asks
from tests.adversaries.playing import statuses
from tests.adversaries.through_sockets import Proxied, proxied, read_statuses
from tests.processes import once

pytestmark = [once, pytest.mark.untidy("one far end for all tests of the module")]

#: what means something to a reader of lines, of labels, of HTML, of templates, of a shell, of a terminal, of a logger
EVIL: list[bytes] = [
    b'evil"} 1', b"evil\\n1", b"evil{label=\"1\"} 1", b"<script>evil</script>", b"{{evil}}", b"${jndi:ldap://evil}",
    b"$(evil)", b"%(evil)s", b"{evil.__class__}", b"evil\xe2\x80\xa8evil 1", b"evil\xc2\x85evil 1", b"evil\xff\xfe",
    b"=evil()", b"../../evil", b"evil" + b"y" * 20_000,
]  # fmt: skip

#: a model's name as an upstream may tell it
NAME = 'evil"} 1\nevil_metric{x="\u2028\x1b[2J'
HOSTILE = json.dumps({"model": NAME, "usage": {"prompt_tokens": 1, "completion_tokens": 2, NAME: 3}}).encode()
CASES = [Answer("", "", says(b"HTTP/1.1 200 OK").partition(b"Content-Length")[0] + b"Content-Type: application/json\r\nx-request-id: evil\x80\r\nContent-Length: %d\r\n\r\n" % len(HOSTILE) + HOSTILE, b"")]  # fmt: skip


@pytest.fixture(scope="module")
def at_work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """A proxy to which all of it is said."""
    with proxied(tmp_path_factory.mktemp("injection"), (), CASES) as one:
        yield one


def say(at_work: Proxied, port: str, sent: bytes) -> list[int]:
    """Statuses of the answers to a connection's worth of bytes."""
    with at_work.connect(port) as client:
        client.sendall(sent)
        return read_statuses(client, 1, False)


def lines(path: Path) -> list[dict[str, object]]:
    """Lines of a file, each of which must be JSON by itself."""
    data = path.read_bytes()
    assert data.endswith(b"\n")
    return [json.loads(line) for line in data.splitlines()]


@pytest.mark.parametrize("evil", EVIL)
def test_labels_ids_and_fields(at_work: Proxied, evil: bytes) -> None:
    """Into records as JSON, cut to their bound; upstream goes what is not the proxy's own; nothing into answers."""
    fields = [b"X-AWF-Feature: " + evil, b"X-AWF-User: " + evil, b"X-AWF-Run: " + evil, b"X-AWF-Conversation: " + evil, b"X-AWF-Evil: " + evil, b"X-Request-ID: " + evil]  # fmt: skip
    if len(evil) > 1000:
        fields = fields[:1]
    assert say(at_work, "requests", asks(*fields)) == [200]
    assert at_work.fresh_records(1) == ["complete"]
    (upstream,) = at_work.upstream.take()
    assert b"evil" not in upstream.lower()
    record = lines(at_work.setting.log_dir / "requests.jsonl")[-1]
    assert all(len(value.encode()) <= 1024 for value in record.values() if isinstance(value, str))


@pytest.mark.parametrize(
    "target",
    [
        b'/evil"}%201',
        b"/evil\\n",
        b"/{{evil}}",
        b"/$(evil)",
        b"/<evil>",
        b"/%25(evil)s",
        b"/evil%e2%80%a8evil",
        b"/a?evil=%0d%0aX-Evil:%201",
    ],
)
def test_paths(at_work: Proxied, target: bytes) -> None:
    """Up they go as they came, or not at all; into records without the query."""
    (status,) = say(at_work, "requests", asks(line=b"GET " + target + b" HTTP/1.1"))
    at_work.fresh_records(1)
    got = at_work.upstream.take()
    assert status == (400 if b"\\" in target else 200)
    assert [each.split(b" ", 2)[1] for each in got] == ([b"/base" + target] if status == 200 else [])
    assert all(b"\nX-Evil" not in each for each in got)
    assert "=" not in str(lines(at_work.setting.log_dir / "requests.jsonl")[-1]["path"])


def test_models(at_work: Proxied) -> None:
    """Of a client's request and of an upstream's answer: JSON in records, a label in metrics, an escape in neither."""
    body = json.dumps({"model": NAME, "messages": []}).encode()
    sent = (
        b"POST /0 HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        + body
    )
    with at_work.connect("answers") as client:
        client.sendall(sent)
        got = b""
        while not got.endswith(HOSTILE):
            piece = client.recv(65536)
            assert piece
            got += piece
    assert statuses(got) == [200] and b"X-Upstream-Request-ID" not in got, "an id that is not ASCII"
    assert at_work.fresh_records(1) == ["complete"]
    at_work.cases.take()
    assert lines(at_work.setting.log_dir / "requests.jsonl")


def test_what_is_left_of_it(at_work: Proxied) -> None:
    """Pages parse, and have families of the proxy's own; the log has none of it."""
    test_models(at_work)
    status, page = get(at_work.setting.admin_port, "/metrics")
    assert status == 200
    families = {family.name for family in text_string_to_metric_families(page.decode())}
    assert families and all(name.startswith(("awfproxy_", "process_", "python_")) for name in families)
    assert json.loads(get(at_work.setting.admin_port, "/reflect")[1]) and json.loads(
        get(at_work.setting.admin_port, "/health")[1]
    )
    assert "evil" not in at_work.proxy.output.lower() and "\x1b" not in at_work.proxy.output


INJECTED = "a\\r\\nX-Evil: 1"


@pytest.mark.parametrize(
    ("line", "names"),
    [
        (f'credential_header = "{INJECTED}"', "credential_header"),
        ('credential_header = "x evil"', "credential_header"),
        (f'upstream = "http://127.0.0.1/{INJECTED}"', "upstream"),
        ('upstream = "http://127.0.0.1/a b"', "upstream"),
        ('upstream = "http://127.0.0.1\\r\\n/"', "upstream"),
        ('upstream = "http://evil@127.0.0.1/"', "upstream"),
        ('upstream = "http://127.0.0.1/#evil"', "upstream"),
        ('upstream = "http://127.0.0.1/?evil"', "upstream"),
        ('upstream = "file:///etc/passwd"', "upstream"),
        (f'allowed_hosts = ["{INJECTED}"]', "allowed_hosts"),
        (f'allowed_origins = ["https://{INJECTED}"]', "allowed_origins"),
        (f'listen = "tcp:0:interface={INJECTED}"', "listen"),
    ],
)
def test_configuration(tmp_path: Path, line: str, names: str) -> None:
    """What would be a line of a head is refused at the start, by the key that it stands under."""
    base = {
        "provider": 'provider = "generic"',
        "upstream": 'upstream = "http://127.0.0.1"',
        "listen": 'listen = "tcp:0"',
    }
    base[names] = line
    file = tmp_path / "a.toml"
    file.write_text("[ports.main]\n" + "\n".join(base.values()) + "\n")
    with pytest.raises(SettingsError, match=names):
        load(str(file), {"HOME": str(tmp_path)})


@pytest.mark.parametrize("key", ["a\r\nX-Evil: 1", "a\nb", "a\0b", "\u00e9vil", " ", ""])
def test_credentials(tmp_path: Path, key: str) -> None:
    """A key that cannot be a header's value is none, and the reason does not say what it is."""
    file = tmp_path / "a.toml"
    (tmp_path / "key").write_text(key)
    (tmp_path / "key").chmod(0o600)
    file.write_text(
        '[ports.main]\nlisten = "tcp:0"\nprovider = "generic"\nupstream = "http://127.0.0.1"\n'
        'credential = { file = "key" }\n'
    )
    with pytest.raises(SettingsError) as caught:
        load(str(file), {"HOME": str(tmp_path)})
    assert "vil" not in str(caught.value).replace(str(tmp_path), "")
