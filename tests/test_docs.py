"""The pages tell the truth: links lead somewhere, commands exist, bounds and names are those of the program.

Each key and variable of the configuration is checked in test_documentation.py, each member of a record in
core/test_records.py, each mode of the simulator in simulator/test_modes.py, the command's reference in test_cli.py,
each provider's row in test_provider_docs.py.
"""

import ast
import importlib
import inspect
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest

from awfproxy import configuration
from awfproxy.cli import awf
from awfproxy.core import limit_refusals, refusals
from awfproxy.core.outcomes import OUTCOMES
from awfproxy.core.providers import PROVIDERS
from awfproxy.core.rates import CONCURRENT, WINDOWS
from awfproxy.core.refusals import Refusal
from awfproxy.prices.override_file import parse_overrides
from awfproxy.server.metric_families import FAMILIES

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
RUNNING = ROOT / "docs" / "running.md"

#: Numbers of `server`, `wire` and `state` that bound nothing that anybody could meet.
NO_BOUNDS = {
    "server.accounting.MODEL_MAX",  # a name in a record: it is cut with the others
    "server.admin_socket.DIRECTORY_MODE",
    "server.bookkeeper.FAILURES_TOLERATED",  # half a second
    "server.books.MARK_BYTES",
    "server.holdings_file.DIRECTORY_MODE",
    "server.holdings_file.FILE_MODE",
    "server.holdings_file.PLACE_BYTES",  # derived from core.labels.LABEL_MAX
    "server.holdings_file.SEGMENT_PLACES",  # by which the file grows up to core.holdings.PLACES
    "state.installation.ID_BYTES",
    "server.journal.RETRY_FIRST",  # told in the row of RETRY_MAX
    "server.journal_tail.KNOWN_BY",
    "server.journal_tail.USUAL_LINE",
    "state.kept_file.DIRECTORY_MODE",
    "state.kept_file.FILE_MODE",
    "server.lease.LOW_PART",
    "server.leased_allowance.ASK_EVERY",  # how often is looked for what is waited for
    "server.leased_allowance.READY_EVERY",
    "server.ledger_thread.RETRY_FIRST",  # told in the row of RETRY_MAX
    "server.logfile.DIRECTORY_MODE",
    "server.logfile.FILE_MODE",
    "server.notify.MICROSECONDS",
    "server.notify_standing.READY_LOOK",  # how often is looked for what is waited for
    "server.reactor_network.NO_TIMEOUT",  # its caller's is shorter
    "server.recovery.BATCH_LINES",  # at a start after a crash, and derived from BATCH_MAX
    "server.recovery.ROTATED_MAX",
    "server.recovery.TAIL_BYTES",
    "server.recovery.TAIL_MOST",
    "server.shared_works.NAME",  # bytes of a keyed hash, as text
    "server.shared_works.TABLE",  # derived from core.background.WORKS_MAX
    "server.start_wait.LOOK_SECONDS",  # how often is looked for what is waited for
    "server.tail_mark.SIZE",
    "server.tallies.MODEL_LABEL_MAX",  # the length of a label's text
    "server.tls.RECORD",
    "server.worker.FENCE_LOOK",  # how often is looked for what is waited for
    "server.worker_process.LOOK_EVERY",
    "wire.requests.DIRECT_MIN",  # where a copy is saved
}


def blocks(page: Path, language: str = "") -> list[str]:
    """The fenced blocks of a page in a language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name == language]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    """The targets of a page's links that lead into the repository."""
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)) if "://" not in target]


@pytest.mark.parametrize("name", NAMES)
def test_links_resolve(name: str) -> None:
    """Every file that is linked exists, and so does the heading within it."""
    page = ROOT / name
    for target in links(page):
        file, _, anchor = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), target
        assert linked.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(linked), target


def test_every_page_is_linked_from_the_readme() -> None:
    """A page that nobody finds might as well not be there."""
    linked = {(ROOT / target.partition("#")[0]).resolve() for target in links(PAGES[0])}
    assert set(PAGES[1:]) <= linked


@pytest.mark.parametrize("path", [*PAGES, *sorted((ROOT / "deploy").iterdir())], ids=lambda path: path.name)
def test_no_paths_of_somebodys_machine(path: Path) -> None:
    """Folders that exist only where the page was written; where gh-aw's agents find files is none of those."""
    assert not re.search(r"(?<![\w.~])/(?:home|root|work|Users|mnt|tmp(?!/gh-aw/))/", path.read_text())


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every line of a fenced block that calls `awf` or `make`, with the page's name."""
    for page in PAGES:
        if page.name == "cli.md":
            continue
        for block in blocks(page):
            for line in block.splitlines():
                words = shlex.split(line, comments=True) if re.match(r"(awf|make) ", line) else []
                if words:
                    yield page.name, words


def test_there_are_commands_to_check() -> None:
    """The search above finds what the README has."""
    assert {words[0] for page, words in commands() if page == "README.md"} == {"awf", "make"}


@pytest.mark.parametrize(("page", "words"), list(commands()), ids=lambda value: value if isinstance(value, str) else "")
def test_commands_exist(page: str, words: list[str]) -> None:
    """`make` has that target, `awf` that subcommand with those options and choices."""
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return
    command: click.Command = awf
    rest = words[1:]
    while isinstance(command, click.Group):
        assert rest[0] in command.commands
        command = command.commands[rest.pop(0)]
    options = {name: option for option in command.params for name in option.opts if name.startswith("-")}
    for word, value in pairwise([*rest, ""]):
        if word.startswith("-"):
            choices = getattr(options[word].type, "choices", None)
            assert choices is None or value in choices


def test_every_metric_that_is_named_exists() -> None:
    """On the pages and in the alerts; and the page of metrics has all."""
    exposed = {f"{name}_total" if kind == "counter" else name for name, (kind, _, _) in FAMILIES.items()}
    exposed |= {f"{name}_info" for name, (kind, _, _) in FAMILIES.items() if kind == "info"}
    for page in PAGES:
        for name in re.findall(r"\bawfproxy_[a-z_]+", page.read_text()):
            assert name in exposed or name == "awfproxy_plugin", f"{page.name}: {name}"
    documented = (ROOT / "docs" / "metrics.md").read_text()
    for name, (kind, _, _) in FAMILIES.items():
        suffix = {"counter": "_total", "info": "_info"}.get(kind, "")
        assert f"`{name}{suffix}`" in documented


def bounds() -> list[tuple[str, str]]:
    """(name in code, value as written) of each row of the tables of limits."""
    section = RUNNING.read_text().split("\n## Limits\n")[1].split("\n## ")[0]
    return re.findall(r"^\|[^|]+\| ([^|]+) \| `([\w.]+)` \|", section, re.MULTILINE)


def number(text: str) -> float:
    """`64 KiB`, `0.25 s`, `4096`: as bytes, seconds, or a count."""
    value, _, unit = text.replace(",", "").partition(" ")
    return float(value) * {"": 1, "s": 1, "bytes": 1, "KiB": 1024, "MiB": 1024**2}[unit]


@pytest.mark.parametrize(("value", "name"), bounds(), ids=lambda value: value)
def test_bounds_are_those_of_the_program(value: str, name: str) -> None:
    """The value in the table is the constant's."""
    module, _, constant = name.rpartition(".")
    assert number(value) == getattr(importlib.import_module(f"awfproxy.{module}"), constant)


def test_every_bound_is_in_the_table() -> None:
    """A number that stops a client, an upstream or a record, and that the page does not name, is a surprise."""
    documented = {name for _, name in bounds()}
    found = set()
    for floor in ("server", "wire", "state"):
        for path in (ROOT / "awfproxy" / floor).glob("*.py"):
            module = importlib.import_module(f"awfproxy.{floor}.{path.stem}")
            for node in ast.parse(path.read_text()).body:
                targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
                for target in targets:
                    name = target.id if isinstance(target, ast.Name) else ""
                    if re.fullmatch(r"[A-Z][A-Z_]+", name) and type(getattr(module, name, None)) in (int, float):
                        found.add(f"{floor}.{path.stem}.{name}")
    assert found - documented == NO_BOUNDS


def refusals_of_the_server() -> Iterator[Refusal]:
    """One of each refusal that the server makes."""
    arguments: dict[str, Any] = {"provider": PROVIDERS["openai"], "port": "", "limit": 1, "code": "", "message": ""}
    arguments |= {"presented": True, "variable": None}
    for path in (ROOT / "awfproxy" / "server").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "refusals":
                made = getattr(refusals, node.attr)
                parameters = inspect.signature(made).parameters
                if inspect.signature(made).return_annotation == "Refusal":
                    yield made(**{name: arguments[name] for name in parameters})


def test_every_refusal_is_explained() -> None:
    """Whoever meets one finds status and code among what may be wrong."""
    section = RUNNING.read_text().split("\n## When something is wrong\n")[1]
    found = {(refusal.status, refusal.code) for refusal in refusals_of_the_server() if refusal.code}
    assert len(found) > 10
    for status, code in found:
        assert re.search(rf"^\| {status} .*`{code}`", section, re.MULTILINE), code
    # the one whose code the server gives
    assert "`malformed_request`" in section
    for code in ("client_key_missing", *limit_refusals.REASONS, CONCURRENT, *(name for name, _ in WINDOWS)):
        assert f"`{code}`" in section, code


def test_outcomes_that_are_named_exist() -> None:
    """In the tables of what may be wrong."""
    section = RUNNING.read_text().split("\n## When something is wrong\n")[1]
    for word in ("client_left", "timed_out", "proxy_error"):
        assert word in OUTCOMES
        assert f"`{word}`" in section


def test_the_ports_of_the_readme_are_those_of_the_program() -> None:
    """Number, name and variables of every provider that has a port of its own."""
    text = PAGES[0].read_text()
    for provider in PROVIDERS.values():
        if provider.default_port is not None:
            keys = ", else ".join(f"`{name}`" for name in provider.env_keys)
            assert f"| {provider.default_port} | {provider.name} | {keys} |" in text


@pytest.mark.parametrize("name", [name for name in NAMES if blocks(ROOT / name, "toml")])
def test_configurations_on_the_pages_are_right(name: str, tmp_path: Path) -> None:
    """Each TOML block loads as it stands, once its key files are there."""
    for file, value in (("openai.key", "key"), ("ci.key", "0123456789abcdef")):
        key = tmp_path / file
        key.write_text(value)
        key.chmod(0o600)
    for text in blocks(ROOT / name, "toml"):
        if "[models." in text:  # the file of prices
            parse_overrides(text, name)
            continue
        path = tmp_path / "awfproxy.toml"
        path.write_text(text)
        keys = {"OPENAI_API_KEY": "key", "BEDROCK_API_KEY": "key"}
        settings = configuration.load(str(path), {"HOME": str(tmp_path)} | keys)
        assert not settings.warnings
        assert settings.ports
