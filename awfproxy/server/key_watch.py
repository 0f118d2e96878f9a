"""Notices that files of keys have become others, without a signal: keys are rotated by programs that send none.

Rules:
- A file is looked at every `LOOK_SECONDS`, by its identity (inode, size, times), beside the reactor.  It is read once
  it has stayed the same from one look to the next: who writes it in place is not read in the middle.
- That another key is in use is told in the log, with its place.
- A key that cannot be used (no file, an empty one, one that is malformed or somebody else's) leaves the one before in
  its place.  That is told once in the log, and in `/health` for as long as it is so; of the key itself nothing is said.
- A file that this process could never read (its starter may have had more rights) is not looked after, which is told
  once in the log: its key is right.
- What the settings name is looked after; once they were read anew, all begins afresh.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Final, Protocol

import msgspec
import txaio
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from awfproxy.core.credentials import CredentialKind
from awfproxy.core.secret import Secret
from awfproxy.core.settings import KeyFile, Settings
from awfproxy.core.toml_lines import Path

txaio.use_twisted()
log = txaio.make_logger()

#: seconds between two looks: another key is in use within two of them
LOOK_SECONDS: Final = 1.0


class KeySource(Protocol):
    """Files of keys; blocks, for any thread."""

    def key(self, kind: CredentialKind, name: str) -> Secret | str | None:
        """As `credentials.ReadCredential`."""

    def identity(self, kind: CredentialKind, name: str) -> Hashable:
        """Another one says that there may be something else in the file; None: there is no file."""


class _Seen(msgspec.Struct, frozen=True):
    """One file, looked at."""

    place: Path
    identity: Hashable
    #: what is in it; None: it was not read
    content: Secret | str | None


class KeyWatch:
    """See the module.

    :param settings: those in effect
    :param changed: told the keys that are in files and not in the settings
    :param in_thread: does what may block beside the reactor
    """

    def __init__(
        self,
        source: KeySource,
        settings: Callable[[], Settings],
        changed: Callable[[dict[Path, Secret]], None],
        in_thread: Callable[[Callable[[], list[_Seen]]], Deferred[list[_Seen]]],
        clock: IReactorTime,
    ) -> None:
        self._source = source
        self._settings = settings
        self._changed = changed
        self._in_thread = in_thread
        self._looking = LoopingCall(self.look)
        self._looking.clock = clock
        self._under_way = False
        #: counts what makes that worthless which a look under way brings
        self._afresh = 0
        #: by place, the file at the last look, and when it was read
        self._before: dict[Path, Hashable] = {}
        self._read: dict[Path, Hashable] = {}
        #: keys that are to be taken over
        self._found: dict[Path, Secret] = {}
        #: by place, why a key cannot be used
        self._troubles: dict[Path, str] = {}
        #: places whose files this process has read
        self._readable: set[Path] = set()
        #: likewise that it never could, once that was told
        self._unreadable: set[Path] = set()

    def start(self) -> None:
        """Begin to look."""
        self._looking.start(LOOK_SECONDS, now=False)

    def stop(self) -> None:
        """Look no more."""
        if self._looking.running:
            self._looking.stop()

    def condition(self) -> str | None:
        """For `/health`; None: all keys are those of their files."""
        if not self._troubles:
            return None
        places = ", ".join(sorted(".".join(place) for place in self._troubles))
        return f"files of keys cannot be used, and the keys before stay: {places}: see the log"

    def look(self) -> None:
        """Look at all files, unless that is under way."""
        files = self._settings().key_files
        if self._under_way or not files:
            return
        self._under_way = True
        before, read, afresh = dict(self._before), dict(self._read), self._afresh
        looking = self._in_thread(lambda: _looked_at(self._source, files, before, read))
        looking.addCallback(self._looked, afresh)
        looking.addErrback(self._failed)

    def forget(self) -> None:
        """All settings were just read, keys and all."""
        self._afresh += 1
        for known in (self._before, self._read, self._found, self._troubles):
            known.clear()
        self._readable.update(file.place for file in self._settings().key_files)

    def taken(self, found: Mapping[Path, Secret], problems: Mapping[Path, str]) -> None:
        """What became of keys that were found: they are in effect but for those that are wrong."""
        for place, key in found.items():
            if place in problems:
                self._trouble(place, problems[place])
            elif self._found.get(place) == key:
                del self._found[place]
                if self._troubles.pop(place, None) is None:
                    log.info("`{place}`: the key in its file is another one, and is in use", place=".".join(place))
                else:
                    log.info("`{place}` is well again, with another key", place=".".join(place))

    def failed(self) -> None:
        """They are tried again when they become others."""
        self._found.clear()

    def _looked(self, seen: list[_Seen], afresh: int) -> None:
        self._under_way = False
        if afresh != self._afresh:
            return
        for each in seen:
            self._before[each.place] = each.identity
            if each.content is None:
                continue
            self._read[each.place] = each.identity
            self._found.pop(each.place, None)
            if not isinstance(each.content, str):
                self._readable.add(each.place)
            if isinstance(each.content, str):
                self._trouble(each.place, each.content)
            elif each.content == key_at(self._settings(), each.place):
                self._well(each.place)
            else:
                self._found[each.place] = each.content
        if self._found:
            self._changed(dict(self._found))

    def _failed(self, failure: Failure) -> None:
        self._under_way = False
        log.failure("files of keys could not be looked at", failure=failure)

    def _trouble(self, place: Path, text: str) -> None:
        if place not in self._readable:
            if place not in self._unreadable:
                self._unreadable.add(place)
                log.warn("`{place}` {text}; it is not looked after", place=".".join(place), text=text)
        elif self._troubles.get(place) != text:
            self._troubles[place] = text
            log.error("`{place}` {text}; the key before stays in use", place=".".join(place), text=text)

    def _well(self, place: Path) -> None:
        if self._troubles.pop(place, None) is not None:
            log.info("`{place}` is well again", place=".".join(place))


def _looked_at(
    source: KeySource, files: Sequence[KeyFile], before: Mapping[Path, Hashable], read: Mapping[Path, Hashable]
) -> list[_Seen]:
    """All files, those read that are to be."""
    return [_seen(source, file, before, read) for file in files]


def _seen(
    source: KeySource, file: KeyFile, before: Mapping[Path, Hashable], read: Mapping[Path, Hashable]
) -> _Seen:
    place, identity = file.place, source.identity(file.kind, file.name)
    settled = place in before and before[place] == identity
    if not settled or (place in read and read[place] == identity):
        return _Seen(place, identity, None)
    content = source.key(file.kind, file.name)
    if source.identity(file.kind, file.name) != identity:
        return _Seen(place, None, None)  # it was changed meanwhile: the next look begins anew
    return _Seen(place, identity, content)


def key_at(settings: Settings, place: Path) -> Secret | None:
    """The key in a place (`settings.KeyFile`); None: there is none."""
    port = next((port for port in settings.ports if port.name == place[1]), None)
    if port is None or place[2] == "credential":
        return None if port is None else port.credential
    return next((client.key for client in port.clients if client.name == place[3]), None)
