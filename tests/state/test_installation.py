"""The installation's id: made once, kept."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from awfproxy.state.installation import NAME, InstallationError, installation_id


def test_made_once_and_kept(tmp_path: Path) -> None:
    """Another folder has another one; only its owner reads it."""
    made = installation_id(str(tmp_path / "state"))
    assert installation_id(str(tmp_path / "state")) == made
    assert installation_id(str(tmp_path)) != made
    assert len(made) == 16
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "x", "0123456789abcde", "0123456789abcdefff", "0123456789ABCDEF"])
def test_what_is_no_id_ends_the_start(tmp_path: Path, content: str) -> None:
    """It is not replaced: leases and rows in the ledger have the old one."""
    (tmp_path / NAME).write_text(content)
    with pytest.raises(InstallationError, match=f"{NAME} is not an id of 16 hexadecimal digits"):
        installation_id(str(tmp_path))
    assert (tmp_path / NAME).read_text() == content


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """With the reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InstallationError, match=r"state_dir cannot be used: .*file"):
        installation_id(os.path.join(tmp_path, "file"))
