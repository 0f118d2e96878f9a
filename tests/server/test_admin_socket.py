"""The admin socket, over real Unix sockets."""

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import fail, maybeDeferred
from twisted.internet.threads import deferToThread

from awfproxy.configuration import load
from awfproxy.core.budgets import Scope
from awfproxy.server.admin_socket import BODY_MAX, NAME, AdminSocket, AdminSocketPages
from awfproxy.server.controls import Reloaded
from awfproxy.server.controls_memory import MemoryControls
from awfproxy.server.sockets import ListenError
from tests.budget_settings import BUDGETED, ENVIRONMENT

FILE = BUDGETED + '[ports.openai.features."code review/x"]\n'


class Served:
    """A socket that answers."""

    def __init__(self, directory: Path) -> None:
        path = directory / "a.toml"
        path.write_text(FILE)
        self.controls = MemoryControls(load(str(path), ENVIRONMENT))
        self.path = directory / "state" / NAME

    async def ask(self, method: str, target: str, body: bytes = b"", *fields: str) -> tuple[int, dict[str, str], Any]:
        """Status, fields and body of one request on a connection of its own."""
        lines = [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", *fields]
        if body and not fields:
            lines.append(f"Content-Length: {len(body)}")
        raw = await deferToThread(self._send, "\r\n".join([*lines, "", ""]).encode() + body)
        head, _, answer = raw.partition(b"\r\n\r\n")
        status, *rest = head.decode().split("\r\n")
        return int(status.split()[1]), dict(line.lower().split(": ", 1) for line in rest), json.loads(answer)

    def _send(self, raw: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.path))
            connection.sendall(raw)
            pieces = []
            while piece := connection.recv(65536):
                pieces.append(piece)
            return b"".join(pieces)


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[Served]:
    """For the length of a test."""
    from twisted.internet import reactor

    served = Served(directory)
    admin = AdminSocket(str(directory / "state"), served.controls, reactor, lambda: 1_772_324_200.0)
    admin.open()
    admin.start()
    try:
        yield served
    finally:
        await maybeDeferred(admin.stop)
    assert not served.path.exists()


@pytest_twisted.ensureDeferred
async def test_budgets_are_shown(tmp_path: Path) -> None:
    """All of them, or one, as `BudgetDesk` has them."""
    async with serving(tmp_path) as served:
        status, fields, body = await served.ask("GET", "/budgets")
        assert (status, fields["content-type"], fields["cache-control"]) == (200, "application/json", "no-store")
        assert [each["name"] for each in body["budgets"]] == ["", "ci", "code review/x", "other"]
        status, _, body = await served.ask("GET", "/budgets/openai/feature/code%20review%2Fx")
        assert (status, [each["name"] for each in body["budgets"]]) == (200, ["code review/x"])
        status, _, body = await served.ask("GET", "/breakdown/openai")
        assert (status, body["period"], body["features"]) == (200, "month", [])


@pytest_twisted.ensureDeferred
async def test_setting_a_budget_stores_who_did_it(tmp_path: Path) -> None:
    """The peer's user, as the kernel tells; and all processes are told."""
    async with serving(tmp_path) as served:
        status, _, body = await served.ask("PUT", "/budgets/openai", b'{"hard_cap_tokens": 200000}')
        assert (status, body["settings"]["hard_cap_tokens"]["value"]) == (200, 200_000)
        assert f"(uid {os.geteuid()})" in body["changed_by"]
        assert served.controls.done == ["budgets_changed"]
        setting = served.controls.ledger.setting(Scope("openai"))
        assert setting is not None
        assert (setting.fields, setting.changed_at) == ({"hard_cap_tokens": 200_000}, 1_772_324_200.0)


@pytest_twisted.ensureDeferred
async def test_the_log_says_what_was_changed(tmp_path: Path, logged: list[str]) -> None:
    """In the words of `awf budget`, and nothing of what stays; nothing was changed, nothing is said."""
    async with serving(tmp_path) as served:
        fields = b'{"enabled": false, "hard_cap_tokens": 200000, "period": "day"}'
        await served.ask("PUT", "/budgets/openai", fields)
        await served.ask("PUT", "/budgets/openai", b'{"period": "year\\n"}')
        await served.ask("DELETE", "/budgets/openai?field=period&field=enabled")
        await served.ask("DELETE", "/budgets/openai?field=%0a")
        await served.ask("DELETE", "/budgets/openai")
    changes = [line.rpartition(": ")[2] for line in logged if " changed by " in line]
    assert changes == ["set --disabled --hard-cap-tokens 200000 --period day", "unset period enabled", "unset all"]


@pytest_twisted.ensureDeferred
async def test_the_log_is_text_for_people(tmp_path: Path, logged: list[str]) -> None:
    """No object's address when it begins, and no zero byte when it ends."""
    async with serving(tmp_path):
        pass
    assert any(line == f"(UNIX Port {tmp_path / 'state' / NAME} Closed)" for line in logged)
    assert not [line for line in logged if " object at 0x" in line or "\0" in line]


@pytest_twisted.ensureDeferred
async def test_unsetting(tmp_path: Path) -> None:
    """The fields of the query, or all."""
    async with serving(tmp_path) as served:
        target = "/budgets/openai"
        await served.ask("PUT", target, b'{"hard_cap_tokens": 200000, "period": "day", "mode": "strict"}')
        await served.ask("DELETE", f"{target}?field=period&field=mode")
        setting = served.controls.ledger.setting(Scope("openai"))
        assert setting is not None and setting.fields == {"hard_cap_tokens": 200_000}
        status, _, body = await served.ask("DELETE", target)
        assert (status, body["settings"]["hard_cap_tokens"]["value"]) == (200, 1000)


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "kind"),
    [
        ("PUT", "/budgets/openai", b'{"soft_cap_tokens": 500001}', 400, "invalid_budget"),
        ("PUT", "/budgets/openai", b"[1]", 400, "bad_request"),
        ("PUT", "/budgets/openai", b'"\xff"', 400, "bad_request"),
        ("PUT", "/budgets/nothing", b"{}", 404, "unknown_budget"),
        ("PUT", "/budgets/openai/user/ann", b"{}", 404, "unknown_budget"),
        ("DELETE", "/budgets/openai?field=cap", b"", 400, "invalid_budget"),
        ("PUT", "/budgets", b"{}", 404, "not_found"),
        ("GET", "/budgets/openai/user", b"", 404, "not_found"),
        ("GET", "/budgets/%ff", b"", 400, "bad_request"),
        ("POST", "/budgets/openai", b"", 405, "bad_method"),
        ("PUT", "/breakdown/openai", b"", 405, "bad_method"),
        ("GET", "/drain", b"", 405, "bad_method"),
        ("GET", "/", b"", 404, "not_found"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_is_asked_wrongly(
    method: str, target: str, body: bytes, status: int, kind: str, tmp_path: Path
) -> None:
    """A typed error, and nothing changed."""
    async with serving(tmp_path) as served:
        answered, _, answer = await served.ask(method, target, body)
        assert (answered, answer["error"]["type"]) == (status, kind)
        assert answer["error"]["message"].endswith(".")
        assert served.controls.done == []
        assert served.controls.ledger.settings() == []


@pytest_twisted.ensureDeferred
async def test_a_large_body_is_refused_and_not_kept(tmp_path: Path) -> None:
    """Told beforehand, or not."""
    async with serving(tmp_path) as served:
        large = b'{"period": "' + b"x" * BODY_MAX + b'"}'
        status, _, body = await served.ask("PUT", "/budgets/openai", large)
        assert (status, body["error"]["type"]) == (413, "too_large")
        chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(large), large)
        status, _, body = await served.ask("PUT", "/budgets/openai", chunked, "Transfer-Encoding: chunked")
        assert (status, body["error"]["type"]) == (413, "too_large")


@pytest_twisted.ensureDeferred
async def test_a_ledger_that_cannot_be_reached(tmp_path: Path) -> None:
    """Told as it is; nothing is changed, and nobody told of a change."""
    async with serving(tmp_path) as served:
        served.controls.trouble = "the ledger h/d: connection refused"
        status, _, body = await served.ask("PUT", "/budgets/openai", b'{"enabled": true}')
        assert (status, body["error"]["type"]) == (503, "ledger_unavailable")
        assert "connection refused" in body["error"]["message"]
        assert served.controls.done == []


@pytest_twisted.ensureDeferred
async def test_a_defect_is_500_and_in_the_log(tmp_path: Path, logged_failures: Any) -> None:
    """Not an answer that never comes."""
    async with serving(tmp_path) as served:
        served.controls.on_ledger = lambda operation: fail(ZeroDivisionError())  # type: ignore[method-assign]
        status, _, body = await served.ask("GET", "/budgets")
        assert (status, body["error"]["type"]) == (500, "proxy_error")
    assert [type(error) for error in logged_failures.flush()] == [ZeroDivisionError]


@pytest_twisted.ensureDeferred
async def test_reload_and_drain(tmp_path: Path) -> None:
    """Passed on; a reload that is refused says why."""
    async with serving(tmp_path) as served:
        served.controls.reloaded = Reloaded(True, ["Port opened: a."], ["A_KEY is not set."])
        status, _, body = await served.ask("POST", "/reload")
        assert (status, body) == (200, {"done": True, "lines": ["Port opened: a."], "notes": ["A_KEY is not set."]})
        served.controls.reloaded = Reloaded(False, ["a.toml:3: `lisen` is unknown."])
        status, _, body = await served.ask("POST", "/reload")
        assert (status, body["error"]["message"]) == (409, "a.toml:3: `lisen` is unknown.")
        assert (await served.ask("POST", "/drain"))[::2] == (202, {"draining": True})
        assert served.controls.done == ["reload", "reload", "drain"]


@pytest_twisted.ensureDeferred
async def test_the_socket_is_its_users_alone(tmp_path: Path) -> None:
    """Mode 0600, in a folder that is nobody else's either where the proxy makes it."""
    async with serving(tmp_path) as served:
        assert stat.S_IMODE(served.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(served.path.parent.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest_twisted.ensureDeferred
async def test_another_user_is_refused_even_where_the_mode_would_let_him(tmp_path: Path) -> None:
    """By the kernel's word: a process of another user, on a socket that somebody has opened to all."""
    async with serving(tmp_path) as served:
        for folder in (served.path.parent, *served.path.parent.parents):
            if folder.stat().st_uid == os.geteuid() and folder.is_relative_to("/tmp") and folder != Path("/tmp"):
                folder.chmod(0o755)
        served.path.chmod(0o666)
        code = (
            "import os, socket, sys; os.setgid(65534); os.setuid(65534); s = socket.socket(socket.AF_UNIX);"
            "s.connect(sys.argv[1]); s.sendall(b'PUT /budgets/openai HTTP/1.0\\r\\ncontent-length: 2\\r\\n\\r\\n{}');"
            "print(s.recv(65536).decode())"
        )
        run = [sys.executable, "-c", code, str(served.path)]
        done = await deferToThread(subprocess.run, run, capture_output=True, text=True, timeout=20, check=True)
        assert done.stdout.startswith("HTTP/1.1 403 ") or done.stdout.startswith("HTTP/1.0 403 ")
        assert served.controls.done == []


@pytest_twisted.ensureDeferred
async def test_a_peer_that_the_kernel_does_not_tell_is_refused(tmp_path: Path) -> None:
    """On a system without SO_PEERCRED nothing can be changed."""
    served = Served(tmp_path)
    pages = AdminSocketPages(served.controls, lambda: 0.0, lambda request: None)
    told: dict[str, Any] = {}

    class Asked:
        method, path, too_large = b"PUT", b"/budgets/openai", False

        def setHeader(self, name: bytes, value: bytes) -> None: ...

        def setResponseCode(self, status: int) -> None:
            told["status"] = status

    assert b"not_allowed" in pages.render(Asked())
    assert told["status"] == 403


@pytest_twisted.ensureDeferred
async def test_what_a_killed_process_left_is_replaced(tmp_path: Path) -> None:
    """A socket nobody answers on is no reason not to start."""
    (tmp_path / "state").mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "state" / NAME))
        left.listen()
    async with serving(tmp_path) as served:
        assert (await served.ask("GET", "/budgets"))[0] == 200


@pytest_twisted.ensureDeferred
async def test_two_services_on_one_state_folder(tmp_path: Path) -> None:
    """The second one is told, and does not take the socket away from the first when it ends."""
    from twisted.internet import reactor

    async with serving(tmp_path) as served:
        second = AdminSocket(str(tmp_path / "state"), served.controls, reactor, lambda: 0.0)
        with pytest.raises(ListenError, match="taken"):
            second.open()
        assert second.stop() is None
        assert (await served.ask("GET", "/budgets"))[0] == 200


def test_a_folder_whose_name_is_too_long_for_a_socket(tmp_path: Path) -> None:
    """unix(7): 107 bytes; said at the start."""
    served = Served(tmp_path)
    with pytest.raises(ListenError, match="too long"):
        AdminSocket(str(tmp_path / ("x" * 100)), served.controls, None, lambda: 0.0).open()


@pytest_twisted.ensureDeferred
async def test_names_of_folders_are_no_endpoint_strings(tmp_path: Path) -> None:
    """Colons, equals signs and backslashes are part of the name."""
    folder = tmp_path / "a:b=c\\d"
    folder.mkdir()
    async with serving(folder) as served:
        assert (await served.ask("GET", "/budgets"))[0] == 200
