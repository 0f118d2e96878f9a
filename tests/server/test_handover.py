"""What a supervisor hands to its workers, at their start and with other settings: sockets, and places in memory."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from awfproxy.core.rates import RateLimits
from awfproxy.core.settings import Database, Port, Service, Settings, Upstream
from awfproxy.server.control_messages import Configure
from awfproxy.server.handover import Fresh, Handover
from awfproxy.server.shared_works import NAME
from awfproxy.server.sockets import ListenError
from awfproxy.simulator.processes import free_ports
from tests.certificates import make_certificates

LIMITS = RateLimits(requests_per_minute=10)


def port(name: str, number: int, limits: RateLimits = LIMITS) -> Port:
    """A port."""
    return Port(
        name=name, listen=f"tcp:{number}:interface=127.0.0.1", provider="openai", upstream=Upstream("http", "u", 1),
        limits=limits,
    )  # fmt: skip


def settings(*ports: Port) -> Settings:
    """Two workers that serve these."""
    service = Service(log_dir="", state_dir="", admin="", ledger=Database("sqlite:////l.db"), workers=2)
    return Settings(service=service, ports=ports, source="test")


class Around:
    """A handover of two workers, and what it told."""

    def __init__(self) -> None:
        self.numbers = free_ports(3)
        self.handover = Handover(2)
        self.first = settings(port("a", self.numbers[0]), port("b", self.numbers[1]))
        self.handover.bind(self.first.ports)
        self.handover.start(self.first, {"b": ["0" * NAME]})

    def take(self, wanted: Settings) -> tuple[Configure, list[int], Fresh]:
        """Other settings."""
        fresh = self.handover.prepare(wanted.ports)
        message, descriptors = self.handover.take(fresh, wanted, {}, True)
        return message(5), descriptors, fresh

    def listens(self, number: int) -> bool:
        """Whether somebody does."""
        with socket.socket() as asking:
            return asking.connect_ex(("127.0.0.1", self.numbers[number])) == 0


@pytest.fixture
def around() -> Iterator[Around]:
    """Closed at the end."""
    found = Around()
    yield found
    found.handover.close()


def test_a_process_inherits_all(around: Around) -> None:
    """Each slot has a socket of its own for each port; whose place is which is told."""
    assignment = around.handover.assignment(1, around.first, {}, True)
    sockets = {fd for by_port in assignment.listening for fd in by_port.values()}
    assert len(sockets) == 4 and sockets | set(assignment.memory.values()) == set(around.handover.descriptors)
    assert assignment.terms.works == ["a", "b"] and assignment.terms.parties == [("a", None), ("b", None)]
    assert set(assignment.terms.interaction_ids) == {"a", "b"}


def test_other_settings_bring_what_is_new_and_leave_the_rest(around: Around) -> None:
    """A port that stays keeps its sockets and places; one that moves and one that is new get sockets; a place is never
    another's."""
    before = around.handover.assignment(0, around.first, {}, True)
    wanted = settings(port("c", around.numbers[2]), port("a", around.numbers[0], RateLimits()))
    message, descriptors, fresh = around.take(wanted)
    assert message.descriptors == len(descriptors) == 2
    assert [by_port["a"] for by_port in message.listening] == [None, None]
    assert {descriptors[by_port["c"] or 0] for by_port in message.listening} == set(descriptors)
    assert all("b" not in by_port for by_port in message.listening)
    assert message.terms.works == ["a", "b", "c"] and message.terms.parties[2:] == [("c", None)]
    ids = message.terms.interaction_ids
    assert ids["a"] == before.terms.interaction_ids["a"] != ids["c"]
    with socket.socket() as late:
        late.setblocking(False)
        with pytest.raises(BlockingIOError):  # its first packet is dropped: it would be reset, once accepted
            late.connect(("127.0.0.1", around.numbers[1]))
    for each in fresh.left:
        each.close()
    assert not around.listens(1) and around.listens(2)
    after = around.handover.assignment(0, wanted, {}, True)
    assert after.listening[0]["a"] == before.listening[0]["a"] and set(after.listening[0]) == {"a", "c"}


def test_a_socket_goes_with_its_address(around: Around) -> None:
    """To whatever port has it now: handed on, and not closed."""
    wanted = settings(port("b", around.numbers[0]), port("new", around.numbers[1]))
    message, descriptors, fresh = around.take(wanted)
    assert not fresh.left and len(descriptors) == 4
    assert all(number is not None for by_port in message.listening for number in by_port.values())
    assert around.listens(0) and around.listens(1)


def test_an_address_that_is_taken_changes_nothing(around: Around) -> None:
    """What was bound for the other ports is let go of."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        wanted = settings(port("c", around.numbers[2]), port("d", taken.getsockname()[1]))
        descriptors = len(os.listdir("/proc/self/fd"))
        with pytest.raises(ListenError):
            around.handover.prepare(wanted.ports)
        assert len(os.listdir("/proc/self/fd")) == descriptors
    assert around.listens(0) and around.listens(1) and not around.listens(2)


def test_what_is_not_wanted_after_all_is_let_go_of(around: Around) -> None:
    """And what others have stays."""
    fresh = around.handover.prepare(settings(port("c", around.numbers[2]), port("x", around.numbers[1])).ports)
    assert around.listens(2) and not fresh.nothing
    around.handover.undo(fresh)
    assert not around.listens(2) and around.listens(0) and around.listens(1)


def test_the_same_again_hands_nothing_over(around: Around) -> None:
    """Limits alone are no sockets."""
    message, descriptors, fresh = around.take(around.first)
    assert fresh.nothing and not descriptors and message.listening == [{"a": None, "b": None}] * 2


def unix(name: str, path: Path, more: str = "") -> Port:
    """A port with a file."""
    return msgspec.structs.replace(port(name, 1), listen=f"unix:{path}{more}")


def test_a_socket_with_other_permissions_is_the_same(around: Around, tmp_path: Path) -> None:
    """It is handed on, and has them from when they are in effect."""
    path = tmp_path / "s"
    around.take(settings(unix("u", path, ":mode=600")))
    before = path.stat().st_ino
    fresh = around.handover.prepare(settings(unix("u", path, ":mode=660")).ports)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and not fresh.left
    around.handover.undo(fresh)
    _, descriptors, fresh = around.take(settings(unix("u", path, ":mode=660")))
    assert len(descriptors) == 1 and not fresh.left
    assert stat.S_IMODE(path.stat().st_mode) == 0o660 and path.stat().st_ino == before


def test_a_file_goes_with_its_port(around: Around, tmp_path: Path) -> None:
    """The one of a port that is gone, and the one that was made for settings that were refused."""
    first, second = tmp_path / "first", tmp_path / "second"
    around.take(settings(unix("u", first)))
    around.handover.undo(around.handover.prepare(settings(unix("u", first), unix("v", second)).ports))
    assert first.exists() and not second.exists()
    around.take(settings(unix("v", second)))
    assert second.exists() and not first.exists()


def test_certificates_that_cannot_be_read_are_known_before_it_is_too_late(tmp_path: Path) -> None:
    """Also where the socket is only handed on."""
    certificates = make_certificates(tmp_path)
    number = free_ports(1)[0]
    handover = Handover(2)
    endpoint = certificates.endpoint(number)
    before = settings(msgspec.structs.replace(port("a", 1), listen=endpoint))
    wanted = settings(msgspec.structs.replace(port("b", 1), listen=endpoint))
    handover.bind(before.ports)
    handover.start(before, {})
    with closing(handover):
        assert not handover.prepare(wanted.ports).left
        certificates.certificate.write_bytes(b"half writt")
        with pytest.raises(ListenError, match=str(certificates.key)):
            handover.prepare(wanted.ports)


def test_memory_is_seldom_mapped_anew(around: Around) -> None:
    """Ports that come and go a hundred times take a few mappings, not one each."""
    def mappings() -> int:
        return Path("/proc/self/maps").read_text().count("memfd:awfproxy")

    before = mappings()
    for turn in range(100):
        around.take(settings(port(f"new-{turn}", around.numbers[0])))
    assert mappings() - before <= 12
