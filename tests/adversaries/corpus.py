"""The corpus, whole."""

from __future__ import annotations

from typing import Final, TypeVar

from tests.adversaries import answers_bodies, answers_heads
from tests.adversaries.cases import Answer, Request
from tests.adversaries.requests_chunks import CHUNKS, EXTENSIONS, TRAILERS
from tests.adversaries.requests_connections import EXPECTATIONS, OWN, PIPELINES, UPGRADES
from tests.adversaries.requests_lengths import CODINGS, LENGTHS
from tests.adversaries.requests_lines import FIELDS, LINES, VERSIONS
from tests.adversaries.requests_targets import HOSTS, TARGETS

Case = TypeVar("Case", Request, Answer)


def _named(families: dict[str, tuple[Case, ...]]) -> dict[str, Case]:
    """Each under a name of its own."""
    named = {f"{family}: {case.name}": case for family, cases in families.items() for case in cases}
    assert len(named) == sum(map(len, families.values())), "two cases have one name"
    return named


REQUESTS: Final = _named({
    "length": LENGTHS, "coding": CODINGS, "chunk": CHUNKS, "extension": EXTENSIONS, "trailer": TRAILERS,
    "version": VERSIONS, "line": LINES, "field": FIELDS, "target": TARGETS, "host": HOSTS,
    "pipeline": PIPELINES, "expect": EXPECTATIONS, "upgrade": UPGRADES, "own": OWN,
})  # fmt: skip

ANSWERS: Final = _named({
    "status": answers_heads.STATUS, "field": answers_heads.FIELDS, "interim": answers_heads.INTERIM,
    "length": answers_bodies.LENGTHS, "bodiless": answers_bodies.BODILESS, "coding": answers_bodies.CODINGS,
    "content": answers_bodies.CONTENT,
})  # fmt: skip
