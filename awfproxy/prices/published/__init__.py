"""The published prices as genai-prices has them, read without what the library needs besides.

The library's table is a Python file of 1.5 MB that only calls the classes of the module `types` beside it.  Imported as
it is, it brings pydantic and an HTTP client: 0.26 s of CPU and 31 MB.  Executed with this package's `types` in their
place it takes 0.02 s and 3.5 MB.  Where a release of the library is laid out in another way, it is imported after all:
slower, with the same result.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

LIBRARY = "genai_prices"
#: The module of the library that is the table.
_TABLE = "data.py"


def published_providers() -> Sequence[Any]:
    """The library's providers with their models: `types.Provider`, or the library's own of the same shape.

    :raises ImportError: the library is not installed
    """
    spec = PathFinder.find_spec(LIBRARY)
    if spec is not None:
        try:
            return _read(spec)
        except (ArithmeticError, AttributeError, ImportError, LookupError, NameError, OSError, TypeError, ValueError):
            pass  # laid out otherwise than what we know
    table = importlib.import_module(f"{LIBRARY}.data")
    found: Sequence[Any] = table.providers
    return found


def published_version() -> str:
    """The version of the library that is installed.

    By the name of the folder in which an installer says what it installed (packaging.python.org, "Recording installed
    projects"): `importlib.metadata`, which is asked where there is no such folder, takes 0.03 s of CPU.

    :raises ImportError: the library is not installed
    """
    spec = PathFinder.find_spec(LIBRARY)
    if spec is not None:
        named = re.compile(rf"{LIBRARY}-([0-9][^-]*)\.dist-info")
        found = [name[1] for each in os.listdir(os.path.dirname(_folder(spec))) if (name := named.fullmatch(each))]
        if len(found) == 1:
            return found[0]
    from importlib.metadata import version

    return version(LIBRARY)


def _folder(library: ModuleSpec) -> str:
    return (library.submodule_search_locations or [""])[0]


def _read(library: ModuleSpec) -> Sequence[Any]:
    # As a module of this package, so that its `from .types import` finds ours; it is in no list of modules.
    spec = importlib.util.spec_from_file_location(f"{__name__}.data", os.path.join(_folder(library), _TABLE))
    if spec is None or spec.loader is None:
        raise ImportError(_TABLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Sequence[Any] = module.providers
    if not found or not all(provider.models for provider in found):
        raise ValueError(_TABLE)
    return found
