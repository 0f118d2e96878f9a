"""The wheel, installed by itself, is what twistd and the shell find."""

import ast
import configparser
import re
import shutil
import site
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

#: What a wheel is made from.
SOURCES = ("setup.cfg", "pyproject.toml", "LICENSE", "README.md", "awfproxy", "twisted")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel made from a copy: what an earlier build left in the checkout must not get into it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        origin = ROOT / name
        if origin.is_dir():
            shutil.copytree(
                origin, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "dropin.cache")
            )
        elif origin.exists():
            shutil.copy(origin, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(source)], check=True, timeout=300)
    (made,) = folder.glob("awfproxy-*.whl")
    return made


@pytest.fixture(scope="module")
def python(wheel: Path) -> Path:
    """A fresh interpreter with the wheel in it; it sees the libraries of this one, but not this checkout."""
    venv = wheel.parent / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True, timeout=120)
    fresh = venv / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(fresh), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, str(wheel)], check=True, timeout=300)
    paths = subprocess.run(
        [str(fresh), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    )
    # Folders named in a .pth file are searched, but their own .pth files (an editable install) are not followed.
    outer = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()}
    (Path(paths.stdout.strip()) / "outer.pth").write_text("".join(f"{path}\n" for path in sorted(outer)))
    return fresh


def run(python: Path, *arguments: str) -> str:
    result = subprocess.run(
        [str(python), "-I", *arguments], cwd=python.parent, capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_wheel_has_every_module_and_no_other(wheel: Path) -> None:
    """A package that setup.cfg forgot would be missing; an __init__.py among the plugins would hide Twisted."""
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "awfproxy").rglob("*.py")}
    modules |= {str(path.relative_to(ROOT)) for path in (ROOT / "twisted").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules
    assert "twisted/plugins/awfproxy_plugin.py" in names
    assert "awfproxy/py.typed" in names


def test_every_library_that_is_imported_is_required() -> None:
    """What only happens to be installed here would be missing elsewhere."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    required = {re.split(r"[ \[<>=;]", line)[0] for line in parser["options"]["install_requires"].split("\n") if line}
    # zope.interface is Twisted's own interface to its users, the next two are of its tls extra; backports.zstd is
    # compression.zstd later on
    provided = {name.split(".")[0].replace("-", "_") for name in required} | {"zope", "OpenSSL", "service_identity", "compression", "awfproxy"}
    for path in (ROOT / "awfproxy").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for name in names:
                root = name.split(".")[0]
                assert root in provided or root in sys.stdlib_module_names, f"{path} imports {name}"


def test_twistd_lists_the_plugin(python: Path) -> None:
    """`twistd --help`, in the interpreter that has only the wheel."""
    help_text = run(python, "-c", "from twisted.scripts.twistd import run; run()", "--help")
    assert "awfproxy" in help_text


def test_the_plugin_finds_its_options(python: Path) -> None:
    """`twistd awfproxy --help` imports the server and says what it takes."""
    help_text = run(python, "-c", "from twisted.scripts.twistd import run; run()", "awfproxy", "--help")
    assert "--config" in help_text


def test_the_command_is_there(python: Path) -> None:
    """`awf`, from the wheel and not from the checkout."""
    assert run(python, str(python.parent / "awf"), "version").startswith("awfproxy ")
    assert str(ROOT) not in run(python, "-c", "import awfproxy; print(awfproxy.__file__)")
