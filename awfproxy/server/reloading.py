"""Takes other settings over while calls run: read anew when that is asked for, and keys when their files change.

Rules:
- One change after the other, each whole or not at all: it is read and checked, what it needs is opened and made, and
  only then it is put into effect, which cannot fail.  What was in effect stays where a change is refused.
- Who asks while one is under way gets another one after it, all of them together: what they have changed may have come
  too late for the first.
- The file and the keys are not read in the reactor thread: a folder may hang.  Certificates are, as they are when their
  files change (`certificates`), by whoever listens with them.
- The settings are read as the user of the service, as it is by then: a file that only its starter could read is a
  fault.
- What is wrong is told in the log and to who asked, in full; `/health`, which agents see, says only that it is so.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol

import txaio
from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from awfproxy.core.key_files import with_keys
from awfproxy.core.secret import Secret
from awfproxy.core.settings import Settings, SettingsError
from awfproxy.core.settings_change import Change, change, told
from awfproxy.core.toml_lines import Path
from awfproxy.server.controls import Reloaded
from awfproxy.server.key_watch import KeySource, KeyWatch
from awfproxy.server.reload_figures import ReloadFigures
from awfproxy.server.sockets import ListenError

txaio.use_twisted()
log = txaio.make_logger()

#: for a key that is in no variable: whoever sets it now, in a shell or a unit, still finds it unset
NO_NEW_VARIABLES: Final = (
    "A running service gets no new variables: restart it with them, or write the key into a file, which is read again."
)
_FAILED: Final = "It could not be done, which is a defect; see the log."
STOPPING: Final = "The service is stopping."

InThread = Callable[[Callable[[], Any]], Deferred[Any]]


class Source(KeySource, Protocol):
    """Where settings are from: `awfproxy.configuration.Configuration`."""

    def read(self) -> Settings:
        """All of it, as it is now.  Blocks; for any thread.

        :raises SettingsError: with every fault found
        """


class Owner(Protocol):
    """Whose settings they are: `service.ProxyService` or `supervisor.Supervisor`."""

    settings: Settings

    def reopen(self) -> None:
        """Open the files of the journal again."""

    def take_over(self, change: Change) -> Deferred[None]:
        """Put other settings into effect; fires when all processes go by them.

        :returns: fails with `ListenError`, and nothing has changed, where an address cannot be had
        """


class Reloading:
    """See the module.

    :param now: seconds since the epoch
    :param in_thread: does what may block beside the reactor; None: in its threads
    """

    def __init__(
        self, source: Source, owner: Owner, reactor: Any, now: Callable[[], float], in_thread: InThread | None = None
    ) -> None:
        self._source = source
        self._owner = owner
        self._now = now
        self._in_thread: InThread = in_thread or partial(_beside, reactor)
        self.figures = ReloadFigures()
        self.keys = KeyWatch(source, lambda: owner.settings, self._keys_found, self._in_thread, reactor)
        self._asked: list[Deferred[Reloaded]] = []
        #: keys that were found in their files; None: none that are others
        self._found: dict[Path, Secret] | None = None
        self._busy = False
        self._stopped = False
        self._faults = 0

    def start(self) -> None:
        """Begin to look after keys: the settings of now were just read."""
        self.figures.succeeded_at = self._now()
        self.keys.start()

    def stop(self) -> None:
        """Take nothing over any more."""
        self._stopped = True
        self.keys.stop()

    def ask(self) -> Deferred[Reloaded]:
        """Have the settings read again; fires with what became of it, and never fails."""
        if self._stopped:
            return succeed(Reloaded(False, [STOPPING]))
        asked: Deferred[Reloaded] = Deferred()
        self._asked.append(asked)
        self._go_on()
        return asked

    def condition(self) -> str | None:
        """For `/health`; None: the settings were right when they were last read."""
        if not self._faults:
            return None
        faults = "a fault" if self._faults == 1 else f"{self._faults} faults"
        return f"the configuration was refused when it was last read, for {faults}: see the log; the one before holds"

    def _keys_found(self, found: dict[Path, Secret]) -> None:
        self._found = found
        self._go_on()

    def _go_on(self) -> None:
        if not self._busy:
            self._busy = True
            Deferred.fromCoroutine(self._run()).addErrback(_defect)

    async def _run(self) -> None:
        try:
            while self._asked or self._found is not None:
                if self._asked:
                    asked, self._asked = self._asked, []
                    reloaded = await self._reload()
                    for each in asked:
                        each.callback(reloaded)
                else:
                    found, self._found = self._found, None
                    await self._take_keys(found or {})
        finally:
            self._busy = False

    async def _reload(self) -> Reloaded:
        try:
            self._owner.reopen()
            wanted = await self._in_thread(self._source.read)
            if self._stopped:
                return Reloaded(False, [STOPPING])
            before = self._owner.settings
            found = change(before, wanted)
            await self._owner.take_over(found)
        except SettingsError as error:
            return self._refused(error.lines)
        except ListenError as error:
            return self._refused([f"{error}."])
        except Exception:
            log.failure("the configuration could not be taken over")
            return self._refused([_FAILED])
        # what was found in files until now was read before this
        self._found = None
        self.keys.forget()
        self._faults = 0
        figures = self.figures
        figures.applied += 1
        figures.successful, figures.succeeded_at = True, self._now()
        lines = told(found, wanted.sources)
        for line in lines:
            log.info("reload: {line}", line=line)
        notes = _notes(before, wanted)
        for note in notes:
            log.warn("{note}", note=note)
        return Reloaded(True, lines, notes)

    def _refused(self, lines: list[str]) -> Reloaded:
        self._faults = len(lines)
        self.figures.refused += 1
        self.figures.successful = False
        log.error("reload: the configuration is refused; what was in effect stays")
        for line in lines:
            log.error("reload: {line}", line=line)
        return Reloaded(False, lines)

    async def _take_keys(self, found: dict[Path, Secret]) -> None:
        if self._stopped:
            return
        settings, problems = with_keys(self._owner.settings, found)
        try:
            if settings is not self._owner.settings:
                await self._owner.take_over(change(self._owner.settings, settings))
        except Exception:
            self.keys.failed()
            log.failure("other keys could not be taken over")
            return
        self.keys.taken(found, problems)


def _notes(before: Settings, wanted: Settings) -> list[str]:
    """The warnings that were not there before, and what helps against variables that are not set."""
    notes = [warning for warning in wanted.warnings if warning not in before.warnings]
    if any(found not in _unset(before) for found in _unset(wanted)):
        notes.append(NO_NEW_VARIABLES)
    return notes


def _unset(settings: Settings) -> set[str]:
    """The places of variables that ports' keys should be in and are not: a file would be a fault."""
    keyless = (f"ports.{port.name}.credential" for port in settings.ports if port.credential is None)
    return {settings.sources[key] for key in keyless if key in settings.sources}


def _beside(reactor: Any, function: Callable[[], Any]) -> Deferred[Any]:
    return deferToThreadPool(reactor, reactor.getThreadPool(), function)


def _defect(failure: Failure) -> None:
    """Log what should not be."""
    log.failure("reload: a defect", failure=failure)
