"""A page of another origin cannot get a call through, whatever a browser lets it try; an SDK can.

Headless Chromium does the trying where it is installed; the exact requests that browsers make are sent by hand always.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from awfproxy.simulator.processes import SimulatorProcess
from awfproxy.simulator.setting import Setting
from tests.crowd import Client, run
from tests.far_end import FarEnd, answer, read_request
from tests.processes import once, simulated

pytestmark = once

#: Chromium under the names that distributions give it
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
#: seconds for a browser to start and a page to try everything
BROWSER_PATIENCE = 40
BODY = '{"model":"gpt-4o","messages":[{"role":"user","content":"one two three"}]}'
CHAT = "/v1/chat/completions"

#: what a page may try, each as its own promise; it reports what it could read
PAGE = """<!doctype html><meta charset=utf-8><title>a page</title><body><script>
const at = "http://%(host)s:%(port)d", body = %(body)s;
const wait = ms => new Promise(done => setTimeout(done, ms));
const form = (method, enctype) => {
  const f = document.createElement("form"), i = document.createElement("input"), w = document.createElement("iframe");
  w.name = "w" + Math.random(); document.body.append(w);
  f.action = at + "%(chat)s"; f.method = method; f.enctype = enctype; f.target = w.name;
  i.name = body.slice(0, -1) + ',"x":"'; i.value = '"}'; f.append(i); document.body.append(f); f.submit();
};
const get = (tag, name) => { const e = document.createElement(tag); e[name] = at + "/v1/models"; document.body.append(e); };
const socket = () => new Promise((done, fail) => {
  const s = new WebSocket(at.replace("http", "ws") + "/v1/responses");
  s.onopen = () => done("open"); s.onerror = () => fail("error");
});
const tries = {
  "fetch json": () => fetch(at + "%(chat)s", {method: "POST", body, headers: {"content-type": "application/json"}}),
  "fetch simple": () => fetch(at + "%(chat)s", {method: "POST", body}),
  "fetch no-cors": () => fetch(at + "%(chat)s", {method: "POST", body, mode: "no-cors", credentials: "include"}),
  "fetch blob": () => fetch(at + "%(chat)s", {method: "POST", body: new Blob([body]), mode: "no-cors"}),
  "fetch get": () => fetch(at + "/v1/models"),
  "fetch get no-cors": () => fetch(at + "/v1/models", {mode: "no-cors", referrerPolicy: "no-referrer"}),
  "beacon": async () => navigator.sendBeacon(at + "%(chat)s", body),
  "event source": () => new Promise((done, fail) => {
    const s = new EventSource(at + "/v1/models"); s.onmessage = done; s.onerror = () => { s.close(); fail("error"); };
  }),
  "websocket": socket,
  "forms": async () => { form("POST", "text/plain"); form("POST", "application/x-www-form-urlencoded"); form("GET", ""); },
  "elements": async () => { get("img", "src"); get("script", "src"); get("iframe", "src"); get("link", "href"); },
};
(async () => {
  const told = {};
  for (const [name, attempt] of Object.entries(tries)) {
    try {
      const got = await Promise.race([attempt(), wait(3000).then(() => "silence")]);
      told[name] = got && got.text ? got.type + " " + got.status : String(got);
    } catch (error) { told[name] = "failed"; }
  }
  await wait(500);
  await fetch("/told", {method: "POST", body: JSON.stringify(told)});
})();
</script>"""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SimulatorProcess, Setting]]:
    """Provider and proxy."""
    with simulated(tmp_path_factory.mktemp("pages")) as (simulator, _, setting):
        yield simulator, setting


def nothing_arrived(simulator: SimulatorProcess, setting: Setting) -> None:
    """No call reached the provider; what arrived at the proxy was refused, and is on record."""
    assert simulator.calls() == []
    outcomes = {(line["outcome"], line["status"]) for line in setting.records("requests")}
    assert outcomes == {("refused", 403)}
    assert setting.records("token-usage") == []


REQUESTS = {
    "simple cross-origin POST": f"POST {CHAT}\norigin: http://evil.example\ncontent-type: text/plain;charset=UTF-8\nsec-fetch-mode: no-cors\nsec-fetch-site: cross-site",
    "of a sandboxed frame": f"POST {CHAT}\norigin: null\ncontent-type: text/plain;charset=UTF-8",
    "form of a local page": f"POST {CHAT}\norigin: http://localhost:3000\nsec-fetch-site: same-site\ncontent-type: text/plain",
    "preflight": f"OPTIONS {CHAT}\norigin: http://evil.example\naccess-control-request-method: POST\naccess-control-request-headers: content-type",
    "preflight of a private network": f"OPTIONS {CHAT}\norigin: https://evil.example\naccess-control-request-method: POST\naccess-control-request-private-network: true",
    "image": "GET /v1/models\nsec-fetch-site: cross-site\nsec-fetch-mode: no-cors\nsec-fetch-dest: image",
    "link of a page on another local port": "GET /v1/models\nsec-fetch-site: same-site\nsec-fetch-mode: navigate",
    "websocket": "GET /v1/responses\norigin: http://evil.example\nupgrade: websocket\nconnection: Upgrade\nsec-websocket-version: 13\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    "page whose name was rebound to the loopback": f"POST {CHAT}\nhost: evil.example\norigin: http://evil.example\nsec-fetch-site: same-origin\ncontent-type: application/json",
    "GET of such a page": "GET /v1/models\nhost: evil.example:10000\nsec-fetch-site: same-origin",
    "old browser, rebound": "GET /v1/models\nhost: 127.0.0.1.evil.example",
}  # fmt: skip


@pytest.mark.parametrize("kind", REQUESTS)
def test_the_requests_of_browsers(stage: tuple[SimulatorProcess, Setting], kind: str) -> None:
    """As they stand on the wire: refused with 403, and no header that would let the page read that."""
    simulator, setting = stage
    line, *headers = REQUESTS[kind].split("\n")
    body = BODY if line.startswith("POST") else ""
    if not any(header.startswith("host:") for header in headers):
        headers.append(f"host: 127.0.0.1:{setting.ports['openai']}")
    headers += [f"content-length: {len(body)}"] if body else []
    request = "\r\n".join([f"{line} HTTP/1.1", *headers, "", body])
    with socket.create_connection(("127.0.0.1", setting.ports["openai"]), timeout=10) as talking:
        talking.sendall(request.encode())
        got = talking.recv(65536)
    assert got.startswith(b"HTTP/1.1 403 ")
    assert b"access-control-" not in got.lower()
    nothing_arrived(simulator, setting)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_page_in_a_real_browser(
    stage: tuple[SimulatorProcess, Setting], tmp_path: Path, host: str
) -> None:
    """Every way that a page has, from another port of the same host: nothing comes through, nothing can be read."""
    simulator, setting = stage
    before = len(setting.records("requests"))
    page = PAGE % {"host": host, "port": setting.ports["openai"], "body": json.dumps(BODY), "chat": CHAT}
    told: list[dict[str, str]] = []

    def serve(talking: socket.socket) -> None:
        kept = b""
        while (request := read_request(talking, kept)) is not None:
            head, body, kept = request
            if head.startswith(b"POST /told"):
                told.append(json.loads(body))
            talking.sendall(answer(page.encode(), "Content-Type: text/html"))

    with FarEnd(serve) as site, (tmp_path / "browser.log").open("wb") as log:
        assert CHROMIUM is not None
        browser = subprocess.Popen(
            [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             f"--user-data-dir={tmp_path / 'profile'}", "--remote-debugging-port=0",
             f"http://{host}:{site.port}/"],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + BROWSER_PATIENCE
            while not told and browser.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:
            os.killpg(browser.pid, signal.SIGKILL)  # the group is the browser's own
            browser.wait(10)
    assert told, (tmp_path / "browser.log").read_text(errors="replace")[-2000:]
    print(json.dumps(told[0], indent=1))
    seen = told[0]
    for attempt in ("fetch json", "fetch simple", "fetch get", "websocket", "event source"):
        assert seen[attempt] == "failed", attempt
    for attempt in ("fetch no-cors", "fetch get no-cors"):
        assert seen[attempt] in ("failed", "opaque 0"), attempt
    assert len(setting.records("requests")) > before, "the page did not get as far as the proxy"
    nothing_arrived(simulator, setting)


def test_and_an_sdk_can(stage: tuple[SimulatorProcess, Setting]) -> None:
    """The same call without a browser around it."""
    simulator, setting = stage

    async def main() -> tuple[int | None, bool]:
        client = Client(setting.ports["openai"])
        heard = await client.call(CHAT, BODY.encode(), "sdk")
        client.close()
        return heard.status, heard.whole

    assert run(main) == (200, True)
    assert [call["path"] for call in simulator.calls()] == [CHAT]
