"""What every test gets: the reactor it is to run on, and a look at what it leaves behind.

Rules: AWFPROXY_TEST_REACTOR names the reactor, `uvloop` (Twisted's asyncio reactor on a uvloop loop; the default where
uvloop is) or `epoll`.  A test fails for what plain pytest lets pass: failures that were logged, timers, sockets and
threads that were left, Deferreds that were dropped with an error in them.  Tests of the pure floors are not looked at,
and cost nothing.
"""

import gc
import importlib.util
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import pytest_twisted
from twisted.logger import ILogObserver
from zope.interface import implementer

from tests.demonstrated import Demonstrated, demonstrate

# A slow machine is no defect: laws have no deadline here, the cost of things is the bench's to measure.
hypothesis.settings.register_profile("awfproxy", deadline=None)
hypothesis.settings.load_profile("awfproxy")

ROOT = Path(__file__).resolve().parent.parent

#: Folders whose tests never touch the reactor.
_PURE = frozenset({"core", "report", "wire"})

#: Seconds that a test's last sockets and timers get to go away: closing takes a few turns of the reactor.
_GRACE = 1.0


def _install_uvloop_reactor() -> None:
    import uvloop
    from twisted.internet import asyncioreactor

    pytest_twisted._install_reactor(
        reactor_installer=lambda: asyncioreactor.install(uvloop.new_event_loop()),
        reactor_type=asyncioreactor.AsyncioSelectorReactor,
    )


def _install_epoll_reactor() -> None:
    from twisted.internet import epollreactor

    pytest_twisted._install_reactor(reactor_installer=epollreactor.install, reactor_type=epollreactor.EPollReactor)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Chooses the reactor, ahead of pytest-twisted, which installs it."""
    default = "uvloop" if importlib.util.find_spec("uvloop") else "epoll"
    installers = {"uvloop": _install_uvloop_reactor, "epoll": _install_epoll_reactor}
    chosen = os.environ.get("AWFPROXY_TEST_REACTOR") or default
    if chosen not in installers:
        raise pytest.UsageError(f"AWFPROXY_TEST_REACTOR is {chosen!r}; valid are {', '.join(installers)}")
    pytest_twisted.reactor_installers["awfproxy"] = installers[chosen]
    config.option.reactor = "awfproxy"


def pytest_collection_finish() -> None:
    """What was imported until here will not go away: the collections after each test need not look at it."""
    gc.collect()
    gc.freeze()


def pytest_report_header() -> str:
    from twisted.internet import reactor

    loop = getattr(reactor, "_asyncioEventloop", None)
    return f"reactor: {type(reactor).__name__}" + (f" on {type(loop).__module__}" if loop else "")


@implementer(ILogObserver)
class LoggedFailures:
    """Failures that reached Twisted's log during a test.  A test that expects some takes them with `flush`."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def __call__(self, event: dict[str, Any]) -> None:
        if event.get("log_failure") is not None or event.get("isError"):
            self.events.append(event)

    def flush(self, *types: type[BaseException]) -> list[BaseException]:
        """The exceptions of these types (all, if none is given), which then count as expected."""
        taken: list[dict[str, Any]] = []
        kept: list[dict[str, Any]] = []
        for event in self.events:
            value = getattr(event.get("log_failure"), "value", None)
            (taken if not types or isinstance(value, types) else kept).append(event)
        self.events[:] = kept
        return [event["log_failure"].value for event in taken if event.get("log_failure") is not None]


@pytest.fixture(autouse=True)
def logged_failures(request: pytest.FixtureRequest) -> Iterator[LoggedFailures]:
    """Watches the test, and fails it for what it leaves behind; a mark `untidy` says why it may."""
    watched = LoggedFailures()
    if _PURE.intersection(request.path.relative_to(ROOT).parts) or request.node.get_closest_marker("untidy"):
        yield watched
        return
    from twisted.internet import reactor
    from twisted.internet.task import deferLater
    from twisted.logger import globalLogPublisher

    pytest_twisted.blockon(deferLater(reactor, 0))  # one turn, so that the reactor's own sockets are there before
    globalLogPublisher.addObserver(watched)
    before = _leavings(reactor)
    gc.freeze()  # the collection after the test looks only at what the test made: else it costs 0.1 s a test
    try:
        yield watched
        gc.collect()  # a Deferred tells of an unhandled error when it goes
        left = _wait_until_tidy(reactor, before)
    finally:
        globalLogPublisher.removeObserver(watched)
    faults = [f"left behind: {what}" for what in left]
    faults += [f"logged: {_told(event)}" for event in watched.events]
    if faults:
        pytest.fail("\n".join(faults), pytrace=False)


def _told(event: dict[str, Any]) -> str:
    failure = event.get("log_failure")
    from twisted.logger import formatEvent

    text = formatEvent(event)
    return f"{text}\n{failure.getTraceback()}" if failure is not None else text


def _leavings(reactor: Any) -> dict[Any, str]:
    """Whatever would be left if the test ended now: key -> words."""
    found: dict[Any, str] = {}
    for call in reactor.getDelayedCalls():
        found[call] = f"timer {call}"
    for thread in threading.enumerate():
        if not thread.name.startswith("PoolThread-"):
            found[thread] = f"thread {thread.name}"
    # Sockets by their inode: uvloop's transports are in no list that could be asked, and the reactor's are here too.
    for number in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue  # the folder's own descriptor, gone by now
        if target.startswith("socket:"):
            found[target] = f"socket, file descriptor {number}"
    return found


def _wait_until_tidy(reactor: Any, before: dict[Any, str]) -> list[str]:
    from twisted.internet.task import deferLater

    deadline = time.monotonic() + _GRACE
    while True:
        left = [what for key, what in _leavings(reactor).items() if key not in before]
        if not left or time.monotonic() > deadline:
            return left
        pytest_twisted.blockon(deferLater(reactor, 0.005))
        gc.collect(0)


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of recorded answers (AWFPROXY_CORPUS, or ../shared/corpus beside the checkout); skips without it."""
    folder = Path(os.environ.get("AWFPROXY_CORPUS") or ROOT.parent / "shared" / "corpus")
    if not any(folder.glob("*.jsonl.gz")):
        pytest.skip("the corpus of recorded answers is not on this machine (AWFPROXY_CORPUS names its folder)")
    return folder


@pytest.fixture(scope="session")
def demonstrated(tmp_path_factory: pytest.TempPathFactory) -> Demonstrated:
    """The demonstration, run once for all tests that look at what it left."""
    return demonstrate(tmp_path_factory.mktemp("demonstrated"))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The least environment in which settings can be made: a home folder and nothing else."""
    return {"HOME": str(tmp_path)}


Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file of this name and text into the test's folder, private to its owner."""

    def write_file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    return write_file
