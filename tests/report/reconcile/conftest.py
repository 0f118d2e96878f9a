"""Two sides in files, and what comes out."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from awfproxy.report.reconcile.report import Reconciliation, reconcile_exports
from tests.report.reconcile.exported import DAY, START, Call, lines

MODELS = {"anthropic": ("claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001"), "openai": ("gpt-5.2-2025-12-11",)}


class Reconcile(Protocol):
    def __call__(self, records: list[dict[str, Any]], *exports: Any, **options: Any) -> Reconciliation: ...


@pytest.fixture
def reconcile(tmp_path: Path) -> Reconcile:
    """Writes both sides and compares them; an export is a text, or a value for JSON."""

    def compare(records: list[dict[str, Any]], *exports: Any, **options: Any) -> Reconciliation:
        own = tmp_path / "token-usage.jsonl"
        own.write_text(lines(records))
        paths = []
        for number, export in enumerate(exports):
            path = tmp_path / f"export-{number}.txt"
            content = export if isinstance(export, str | bytes) else json.dumps(export)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            paths.append(str(path))
        return reconcile_exports([str(own)], paths, **options)

    return compare


@pytest.fixture
def traffic() -> Callable[..., list[Call]]:
    """Calls of four days, none near midnight."""

    def make(provider: str = "anthropic", calls: int = 60, seed: int = 1, start: float = START) -> list[Call]:
        own = random.Random(seed)
        return [
            Call(
                start + own.randrange(4) * DAY + own.uniform(3_600, DAY - 3_600),
                own.choice(MODELS[provider]),
                (
                    own.randrange(2_000),
                    own.randrange(20_000),
                    own.randrange(500) if provider == "anthropic" else 0,
                    own.randrange(500) if provider == "anthropic" else 0,
                    own.randrange(1, 900),
                ),
                provider,
            )
            for _ in range(calls)
        ]

    return make
