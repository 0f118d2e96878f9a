"""From the settings in effect to others: what is opened, closed, changed and moved, and what takes a restart."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.secret import Secret
from awfproxy.core.settings import Database, Port, Service, Settings, Upstream
from awfproxy.core.settings_change import RESTART, Change, change, told

ports = st.builds(
    Port,
    name=st.sampled_from("abcd"),
    listen=st.sampled_from(["tcp:1", "tcp:2"]),
    provider=st.sampled_from(["openai", "anthropic"]),
    upstream=st.builds(Upstream, st.just("https"), st.sampled_from(["x", "y"]), st.just(443)),
    credential=st.sampled_from([None, Secret("one"), Secret("two")]),
)
services = st.builds(
    Service,
    log_dir=st.sampled_from(["/l", "/m"]),
    state_dir=st.sampled_from(["/s", "/t"]),
    admin=st.sampled_from(["tcp:8", "tcp:9"]),
    ledger=st.sampled_from([Database("sqlite:////a"), Database("sqlite:////b")]),
    drain_timeout=st.sampled_from([1.0, 2.0]),
    record_wait=st.sampled_from([1.0, 2.0]),
    workers=st.sampled_from([1, 2]),
    prices=st.sampled_from([None, "/p"]),
)
settings = st.builds(
    Settings,
    service=services,
    ports=st.lists(ports, unique_by=lambda port: port.name).map(tuple),
    source=st.just("test"),
)


def names(given: Settings) -> set[str]:
    """Of its ports."""
    return {port.name for port in given.ports}


@given(now=settings, wanted=settings)
def test_every_port_is_in_its_place(now: Settings, wanted: Settings) -> None:
    """Added, removed, changed and the same: each port is one of them; what moves is changed."""
    found = change(now, wanted)
    same = {port.name for port in now.ports if port in wanted.ports}
    parts = [set(found.added), set(found.removed), set(found.changed), same]
    assert sum(map(len, parts)) == len(names(now) | names(wanted)) == len(set[str]().union(*parts))
    assert set(found.added) == names(wanted) - names(now) and set(found.removed) == names(now) - names(wanted)
    where = {port.name: port.listen for port in now.ports}
    assert set(found.moved) == {port.name for port in wanted.ports if where.get(port.name, port.listen) != port.listen}
    assert set(found.moved) <= set(found.changed)


@given(now=settings, wanted=settings)
def test_what_takes_a_restart_stays_and_the_rest_is_taken(now: Settings, wanted: Settings) -> None:
    """Key by key of the service; of the ports all."""
    found = change(now, wanted)
    assert found.settings.ports == wanted.ports and found.settings.sources == wanted.sources
    for name in Service.__struct_fields__:
        kept = now if name in RESTART else wanted
        assert getattr(found.settings.service, name) == getattr(kept.service, name)
        differs = getattr(now.service, name) != getattr(wanted.service, name)
        assert (name in (found.needs_restart if name in RESTART else found.service)) == differs


@given(now=settings, wanted=settings)
def test_done_twice_is_done_once(now: Settings, wanted: Settings) -> None:
    """After it there is nothing left to do but what takes a restart; and nothing is what the same settings come to."""
    first = change(now, wanted)
    again = change(first.settings, wanted)
    assert again.nothing and again.needs_restart == first.needs_restart and again.settings == first.settings
    assert change(now, now).nothing and change(now, now).settings == now


@given(now=settings, wanted=settings)
def test_what_is_told_names_all_and_no_value(now: Settings, wanted: Settings) -> None:
    """Every port and key that is another is named; a key's value never is."""
    found = change(now, wanted)
    text = "\n".join(told(found, {f"service.{name}": f"file:{name}" for name in RESTART}))
    for name in (*found.added, *found.removed, *found.changed, *found.service, *found.needs_restart):
        assert name in text
    for name in found.needs_restart:
        assert f"file:{name}: `service.{name}`" in text
    assert "one" not in text.replace("none", "") and "two" not in text
    assert ("what it was" in text) == found.nothing


def test_the_sentences() -> None:
    """As people read them."""
    nothing = Change(
        settings=msgspec.UNSET, added=("a",), removed=("b", "c"), changed=("d", "e"), moved=("e",),  # type: ignore[arg-type]
        service=("prices",), needs_restart=("workers",),
    )  # fmt: skip
    assert told(nothing, {}) == [
        "Port opened: a.",
        "Ports closed: b, c.",
        "Port changed: d.",
        "Port moved: e.",
        "Of [service] changed: prices.",
        "`service.workers` is another now, which takes a restart.",
    ]
