"""Opening a database file."""

import sqlite3
from pathlib import Path

import pytest

from qb.store.database import connect


@pytest.mark.parametrize("folder", ["plain", "qb#1", "what?", "100%", "%41", "two words", "ü"])
def test_a_folder_may_have_any_name(tmp_path: Path, folder: str) -> None:
    path = tmp_path / folder / "qb.db"
    path.parent.mkdir()
    connection = connect(path)
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    reading = connect(path, read_only=True)
    assert reading.execute("SELECT name FROM sqlite_master").fetchone()["name"] == "t"
    reading.close()
    assert [entry.name for entry in tmp_path.iterdir()] == [folder]
    assert path.stat().st_size > 0


def test_reading_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        connect(tmp_path / "none.db", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_path_from_here_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    connect(Path("here.db")).close()
    assert (tmp_path / "here.db").exists()
