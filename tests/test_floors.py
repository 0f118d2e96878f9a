"""The floors of the house: imports run only downward, and the command line never meets Twisted."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "awfproxy"

#: For each floor what of ours it may import; the names are those of `floor`.
DOWNWARD = {
    "core": {"core"},
    "wire": {"wire", "core"},
    "configuration": {"configuration", "prices", "core"},
    "ledger": {"ledger", "core"},
    "state": {"state", "ledger", "core"},
    "prices": {"prices", "core"},
    "server": {"server", "wire", "state", "ledger", "prices", "core"},
    "report": {"report", "prices", "core"},
    "commands": {"commands", "report", "configuration", "state", "ledger", "prices", "core"},
    "cli": {"cli", "commands", "report", "configuration", "prices", "core", "simulator"},
    "simulator": {"simulator", "report", "core"},
    "tap": {"tap", "server", "wire", "core", "configuration", "uvloop_reactor"},
    "worker": {"worker", "server", "uvloop_reactor"},
    "uvloop_reactor": {"uvloop_reactor"},
}
#: Floors without Twisted, treq and whatever else brings a reactor.
WITHOUT_TWISTED = ("core", "wire", "ledger", "prices", "state", "configuration", "report", "commands", "cli")
#: What only floors above `core` may use: clocks, files, sockets, threads.
IMPURE = {
    "asyncio",
    "io",
    "os",
    "pathlib",
    "random",
    "select",
    "shutil",
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "time",
}
#: `secrets` and `os.urandom` give randomness, which is an argument on the ground floor.
IMPURE_TOO = {"secrets", "tempfile", "logging"}


def floor(module: str) -> str:
    """The floor of a module of ours: `awfproxy.core.usage` -> `core`; the package itself is below all."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def modules() -> list[tuple[str, Path]]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found.append((".".join(part for part in parts if part != "__init__"), path))
    return found


def imports(path: Path, module: str) -> Iterator[tuple[int, str]]:
    """Every import, also within functions, but for those that only a type checker follows."""
    tree = ast.parse(path.read_text())
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for part in node.body:
                skipped.update(ast.walk(part))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, name.name
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            for name in node.names:
                # `from awfproxy import x` may be a floor itself
                yield node.lineno, f"{source}.{name.name}" if source == "awfproxy" else source


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_imports_run_downward(module: str, path: Path) -> None:
    """No module imports from a floor above its own."""
    here = floor(module)
    if here in ("", "__main__"):
        return
    for line, name in imports(path, module):
        if name.split(".")[0] == "awfproxy" and floor(name) not in ("", "__version__"):
            assert floor(name) in DOWNWARD[here], f"{path}:{line} imports {name}"


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_the_lower_floors_are_without_twisted(module: str, path: Path) -> None:
    """Neither Twisted nor what needs it; and the ground floor has no clock, file, socket or randomness."""
    here = floor(module)
    if here in WITHOUT_TWISTED:
        for line, name in imports(path, module):
            assert name.split(".")[0] not in ("twisted", "treq", "txaio", "uvloop"), f"{path}:{line} imports {name}"
    if here == "core":
        for line, name in imports(path, module):
            assert name.split(".")[0] not in IMPURE | IMPURE_TOO, f"{path}:{line} imports {name}"


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_module_opens_with_its_rules(module: str, path: Path) -> None:
    """A docstring at the top says what the module is for."""
    assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no docstring"


def test_one_function_imports_the_reactor() -> None:
    """The reactor is an argument everywhere but at the front doors: the plugin's, a worker's and the simulator's."""
    doors = {"awfproxy.tap", "awfproxy.worker", "awfproxy.simulator.__main__"}
    for module, path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "twisted.internet":
                names = {name.name for name in node.names}
                assert "reactor" not in names or module in doors, f"{path}:{node.lineno}"


@pytest.mark.parametrize(
    "command",
    [
        "import awfproxy.cli",
        "import awfproxy.configuration, awfproxy.report.token_usage, awfproxy.report.effective",
    ],
)
def test_the_command_line_never_meets_twisted(command: str) -> None:
    """In a process of its own: nothing of Twisted has been imported in the end."""
    code = f"{command}; import sys; sys.exit(any(name.split('.')[0] == 'twisted' for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60, check=False).returncode == 0


def test_the_plugin_imports_nothing_of_ours() -> None:
    """twistd imports every plugin for its `--help`: ours names a module and leaves it alone."""
    for line, name in imports(ROOT / "twisted" / "plugins" / "awfproxy_plugin.py", "plugin"):
        assert name.split(".")[0] == "twisted", f"line {line} imports {name}"


def test_the_plugin_folders_are_no_packages() -> None:
    """An __init__.py there would hide Twisted itself, or its plugins."""
    assert not list((ROOT / "twisted").rglob("__init__.py"))
