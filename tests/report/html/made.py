"""Records made up for pages, and pages made of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

from awfproxy.prices.price_list import open_price_list
from awfproxy.report.analysis.analysis import analyse
from awfproxy.report.costs import Costs
from awfproxy.report.html.gathering import Gathered
from awfproxy.report.html.page import page
from awfproxy.report.html.sources import Sources

#: 1 June 2026
NOW: Final = 1_780_272_000.0
#: names that want to be more than names
HOSTILE: Final = (
    "<script>fetch('https://evil.example/')</script>",
    '"><img src="https://evil.example/x.png" onerror="alert(1)">',
    "' onmouseover='alert(1)' style='background:url(//evil.example)",
    "</title></style></script></svg><iframe src=//evil.example>",
    "javascript:alert(1)//https://evil.example/a?b=c&d=&lt;e",
    "<!--]]><![CDATA[<svg onload=alert(1)>",
    "a\u202eb\u2066c\u200dd\x00e\x1b[2Jf\r\ng\u2028h\xa0i",
    "{{constructor.constructor('alert(1)')()}}${alert(1)}`",
    "\u05d0\u05d1\u05d2 \u0627\u0644\u0639",
    "x" * 1_000_000,
    "",
)


def costs() -> Costs:
    """The published prices."""
    return Costs(open_price_list(None), NOW)


def usage(number: int, **more: Any) -> dict[str, Any]:
    """A record of token usage, a minute after the one before."""
    record = {
        "_schema": "token-usage/v1.0.0",
        "event": "token_usage",
        "timestamp": f"2026-06-{1 + number // 1440:02}T{number // 60 % 24:02}:{number % 60:02}:05.000Z",
        "request_id": f"id-{number}",
        "provider": "anthropic",
        "port": "anthropic",
        "model": "claude-sonnet-4-5",
        "input_tokens": 100,
        "output_tokens": 50,
        "cache_read_tokens": 1_000,
        "cache_write_tokens": 10,
        "input_tokens_include_cache": False,
        "usage_source": "reported",
        "outcome": "complete",
        "status": 200,
        "duration_ms": 1_500.0,
    }
    return record | more


def request(number: int, **more: Any) -> dict[str, Any]:
    """The request of such a record."""
    shared = ("timestamp", "request_id", "provider", "port", "model", "usage_source", "outcome", "status", "duration_ms")
    record = {name: value for name, value in usage(number).items() if name in shared}
    return record | {"_schema": "requests/v1.0.0", "event": "request", "ttfb_ms": 300.0, **more}


def turn(number: int, **more: Any) -> dict[str, Any]:
    """A row of token-usage-by-turn.jsonl."""
    row = {"_schema": "token-usage-by-turn/v1.0.0", "event": "turn", "calls": 3, "session": "s", "turn": number}
    return row | {"all_tokens": 1_000, "output_tokens": 50, "cost_usd": 0.25, "tools": {"bash": 2}, **more}


def write(folder: Path, name: str, records: Iterable[Mapping[str, Any]]) -> Path:
    """A file of such lines."""
    path = folder / name
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def gathered(*paths: Path, money: bool = True) -> Gathered:
    """What the page is made of."""
    found = Gathered(costs() if money else None)
    with Sources([str(path) for path in paths], ()) as sources:
        found.read(sources.records, sources.turns)
    return found


def page_of(*paths: Path, money: bool = True, findings: bool = True, title: str | None = None) -> str:
    """The page of these files."""
    found = gathered(*paths, money=money)
    names = [str(path) for path in paths]
    analysis = analyse(names, costs=costs() if money else None) if findings else None
    return page(found, analysis, names, "2026-06-04 12:00 UTC", title)


def hostile(folder: Path) -> Path:
    """A folder in which every name is hostile."""
    places = range(len(HOSTILE))
    names = {
        place: dict.fromkeys(("model", "run", "user", "feature", "port", "provider", "conversation"), HOSTILE[place])
        for place in places
    }
    write(
        folder,
        "token-usage.jsonl",
        [usage(number, **names[number % len(HOSTILE)], usage_source=("reported", "<b>")[number % 2],
               hints={"tools_offered": [f"t{each}" for each in range(40)], "tools_hash": "a", "tools_bytes": 9_000,
                      "tools_called": [HOSTILE[number % 9]], "session": HOSTILE[number % 9], "messages": number})
         for number in range(400)],
    )  # fmt: skip
    write(
        folder,
        "requests.jsonl",
        [request(number, **names[number % len(HOSTILE)], refusal_code=HOSTILE[number % 9], reason=HOSTILE[number % 9],
                 outcome=("refused", HOSTILE[0], "complete")[number % 3])
         for number in range(400)],
    )  # fmt: skip
    rows = [
        turn(number, session=HOSTILE[number % 3], subagent=HOSTILE[number % 9], tools={HOSTILE[number % 9]: 1})
        for number in range(60)
    ]
    write(folder, "token-usage-by-turn.jsonl", rows)
    return folder


class Parsed(HTMLParser):
    """A page as a parser of HTML sees it."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        #: tags with their attributes
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        #: text by the tag that it is directly in
        self.texts: list[tuple[str, str]] = []
        #: comments, declarations, processing instructions
        self.others: list[str] = []
        self._open: list[str] = []
        #: tags that were closed out of order, or never
        self.unbalanced: list[str] = []
        self.feed(text)
        self.close()
        self.unbalanced += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open[-1] if self._open else "", data))

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def unknown_decl(self, data: str) -> None:
        self.others.append(data)

    def handle_pi(self, data: str) -> None:
        self.others.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all elements of a tag."""
        return [attributes for name, attributes in self.elements if name == tag]

    def within(self, tag: str) -> list[str]:
        """The texts directly in elements of a tag."""
        return [text for name, text in self.texts if name == tag]

    @property
    def text(self) -> str:
        """All text but that of the style and the script."""
        return "".join(text for tag, text in self.texts if tag not in ("style", "script"))
