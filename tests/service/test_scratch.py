"""Folders with copies of secrets: what a killed process left goes, what is in use stays."""

import subprocess
import sys
from pathlib import Path

import pytest

from qb.domain.times import utc_now
from qb.service import backup, restore
from qb.service.scratch import BACKUP, INIT, PREFIXES, scratch, sweep
from qb.service.setup import Initialised, initialise
from tests.api.conftest import serving

MAKER = """
import sys, time
from pathlib import Path
from qb.service.scratch import scratch
with scratch(Path(sys.argv[1]), sys.argv[2]) as place:
    (place / "keys.db").write_text("secret")
    print(place, flush=True)
    time.sleep(60)
"""


def killed(data_dir: Path, prefix: str) -> Path:
    """What a process left that was killed while it used the folder."""
    command = [sys.executable, "-c", MAKER, str(data_dir), prefix]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as maker:
        assert maker.stdout is not None
        try:
            place = Path(maker.stdout.readline().strip())
            sweep(data_dir)
            assert (place / "keys.db").exists(), "while it is used it stays"
        finally:
            maker.kill()
    assert (place / "keys.db").exists()
    return place


@pytest.fixture
def made(tmp_path: Path) -> Initialised:
    """A control plane's credentials."""
    return initialise(tmp_path / "qb", now=utc_now())


@pytest.fixture
def data_dir(tmp_path: Path, made: Initialised) -> Path:
    """Where it is."""
    return tmp_path / "qb"


async def test_the_next_start_sweeps_what_was_left(data_dir: Path, made: Initialised) -> None:
    left = [killed(data_dir, prefix) for prefix in PREFIXES]
    with scratch(data_dir, BACKUP) as in_use:
        async with serving(data_dir, made):
            assert [place for place in left if place.exists()] == []
            assert in_use.exists()
    assert not in_use.exists()


def test_so_does_the_next_backup(data_dir: Path, tmp_path: Path) -> None:
    left = killed(data_dir, BACKUP)
    backup.backup(data_dir, tmp_path / "copy", now=utc_now())
    assert not left.exists()
    assert not list(data_dir.glob(".*"))


def test_a_restore_that_was_killed_can_be_made_again(data_dir: Path, tmp_path: Path) -> None:
    backup.backup(data_dir, tmp_path / "copy", now=utc_now())
    (tmp_path / "new").mkdir()
    left = killed(tmp_path / "new", INIT)
    restore.from_backup(tmp_path / "copy", tmp_path / "new", now=utc_now())
    assert not left.exists()
