"""`qb init`: a complete data directory, or none."""

import sqlite3
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qb.contract.routes import Caller
from qb.domain.errors import Conflict
from qb.service import datadir, setup
from qb.service.credentials import Credentials
from qb.service.setup import initialise

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_the_credentials_it_returns_are_the_ones_it_stored(tmp_path: Path) -> None:
    made = initialise(tmp_path / "new" / "qb", now=NOW)
    known = Credentials.load(tmp_path / "new" / "qb", lambda: NOW)
    assert known.identify(made.admin_key).caller is Caller.ADMIN
    assert known.identify(None, made.registration_token).caller is Caller.REGISTRATION


def test_it_makes_every_part_and_keeps_secrets_to_the_owner(tmp_path: Path) -> None:
    place = tmp_path / "qb"
    made = initialise(place, now=NOW)
    assert {entry.name for entry in place.iterdir()} == {"blobs", "keys.db", "qb.db", "secret"}
    modes = {name: stat.S_IMODE((place / name).stat().st_mode) for name in ("keys.db", "secret", "blobs", ".")}
    assert modes == {"keys.db": 0o600, "secret": 0o600, "blobs": 0o700, ".": 0o750}
    for part in ("keys.db", "qb.db", "secret"):
        content = (place / part).read_bytes()
        assert made.admin_key.encode() not in content
        assert made.registration_token.encode() not in content


def test_the_database_is_migrated_and_in_wal_mode(tmp_path: Path) -> None:
    initialise(tmp_path, now=NOW)
    db = sqlite3.connect(tmp_path / "qb.db")
    assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert db.execute("SELECT count(*) FROM tasks").fetchone()[0] == 0
    db.close()


def test_a_directory_that_exists_is_taken_and_what_it_holds_is_left(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    initialise(tmp_path, now=NOW)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("part", ["qb.db", "keys.db", "secret"])
def test_a_control_plane_that_is_there_is_never_touched(part: str, tmp_path: Path) -> None:
    (tmp_path / part).write_text("precious")
    with pytest.raises(Conflict, match=part):
        initialise(tmp_path, now=NOW)
    assert [entry.name for entry in tmp_path.iterdir()] == [part]
    assert (tmp_path / part).read_text() == "precious"


@pytest.mark.parametrize("existed", [True, False])
@pytest.mark.parametrize("step", ["migrate", "_move", "_write_keys"])
def test_a_failure_leaves_nothing_behind(
    step: str, existed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise OSError(28, "No space left on device")

    place = tmp_path / "qb"
    if existed:
        place.mkdir()
    monkeypatch.setattr(datadir if step == "_move" else setup, step, fail)
    with pytest.raises(OSError, match="No space"):
        initialise(place, now=NOW)
    assert list(tmp_path.rglob("*")) == ([place] if existed else [])


def test_a_failure_halfway_through_the_move_takes_back_what_was_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if target.name == "qb.db":
            raise OSError(5, "Input/output error")
        return genuine(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OSError, match="Input/output"):
        initialise(tmp_path / "qb", now=NOW)
    assert list(tmp_path.iterdir()) == []
