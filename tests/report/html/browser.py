"""A real Chromium, driven over its debugging pipe (Chrome DevTools Protocol): what a page shows, asks for and complains of.

Rules: one browser for many pages; commands are answered in order; events are kept until somebody looks at them.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final, Self

#: Chromium under the names that distributions give it
CHROMIUM: Final = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)
#: seconds for one answer: a browser that starts on a busy machine takes its time
PATIENCE: Final = 60.0


class Browser:
    """A browser with one tab.

    :param profile: a folder for what it keeps
    """

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        # The protocol wants descriptors 3 and 4, whatever they are here: first out of the way, then into place.
        line = (
            f"import os, sys; one, other = os.dup2({theirs_in}, 100), os.dup2({theirs_out}, 101); "
            "os.dup2(one, 3); os.dup2(other, 4); os.execv(sys.argv[1], sys.argv[1:])"
        )
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                   "--disable-background-networking", "--disable-component-update", "--disable-sync",
                   "--hide-scrollbars", "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]  # fmt: skip
        self._log = (profile.parent / "browser.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-c", line, CHROMIUM, *options], pass_fds=(theirs_in, theirs_out), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self._bytes = b""
        self._number = 0
        self._session: str | None = None
        #: what the page did: (method, params)
        self.events: list[tuple[str, dict[str, Any]]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)  # the group is the browser's own
        self._process.wait(10)
        os.close(self._in)
        os.close(self._out)
        self._log.close()

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """One command and its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            heard = self._next()
            if heard.get("id") == self._number:
                assert "error" not in heard, (method, heard)
                return dict(heard["result"])

    def open(self, url: str, width: int = 1280, height: int = 900, *, dark: bool = False, media: str = "") -> None:
        """Shows a page, and forgets what the one before did."""
        self.events.clear()
        phone = width < 600
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.ask("Page.navigate", url=url)
        deadline = time.monotonic() + PATIENCE
        while not any(method == "Page.loadEventFired" for method, _ in self.events):
            assert time.monotonic() < deadline
            self._next()

    def value(self, expression: str) -> Any:
        """What an expression is in the page."""
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def complaints(self) -> list[str]:
        """What the page logged: errors, warnings, breaches of its policy."""
        told = []
        for method, params in self.events:
            if method == "Log.entryAdded":
                told.append(params["entry"]["text"])
            elif method == "Runtime.consoleAPICalled":
                told.append(str([each.get("value") for each in params["args"]]))
            elif method == "Runtime.exceptionThrown":
                told.append(str(params["exceptionDetails"]))
            elif method == "Page.javascriptDialogOpening":
                told.append("dialog")
        return told

    def requested(self) -> list[str]:
        """All that was asked for, but for what the page's policy stopped before it left."""
        asked = {}
        for method, params in self.events:
            if method == "Network.requestWillBeSent":
                asked[params["requestId"]] = params["request"]["url"]
            elif method == "Network.loadingFailed" and params.get("blockedReason") == "csp":
                del asked[params["requestId"]]
        return list(asked.values())

    def picture(self) -> bytes:
        """The whole page, as PNG."""
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self.ask("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(shot["data"])

    def printed(self) -> bytes:
        """The page as PDF."""
        return base64.b64decode(self.ask("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)["data"])

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self._bytes:
            ready, _, _ = select.select([self._in], [], [], max(deadline - time.monotonic(), 0))
            assert ready, "the browser says nothing"
            piece = os.read(self._in, 1 << 16)
            assert piece, "the browser is gone"
            self._bytes += piece
        line, self._bytes = self._bytes.split(b"\0", 1)
        heard = dict(json.loads(line))
        if "method" in heard:
            self.events.append((heard["method"], heard.get("params", {})))
        return heard
