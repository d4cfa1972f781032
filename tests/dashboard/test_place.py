"""The files of the dashboard's folder are written whole or not at all, and by one process at a time."""

import fcntl
import os

import pytest

from qb.dashboard import place as places
from qb.dashboard.accounts import Accounts
from qb.dashboard.place import DashboardError, Place
from qb.dashboard.roles import Role

PASSWORD = "correct horse battery"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.note_address("http://127.0.0.1:8001")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        place.note_address("http://127.0.0.1:9001")
    assert place.address() == "http://127.0.0.1:8001"
    assert sorted(path.name for path in place.folder.iterdir()) == ["address", "links"]


@pytest.mark.parametrize("damage", [b"", b"\n", b"0" * 63, b"\xff" * 64, b"0" * 64 + b"\n0"])
def test_a_secret_that_anybody_could_guess_signs_nothing(place: Place, damage: bytes) -> None:
    good = place.secret()
    file = place.folder / "secret"
    file.write_bytes(damage)
    with pytest.raises(DashboardError, match="secret is damaged"):
        place.secret()
    assert file.read_bytes() == damage
    file.unlink()
    assert len(place.secret()) == 64
    assert place.secret() != good


def test_an_address_that_cannot_be_read_is_none(place: Place) -> None:
    (place.folder / "address").write_bytes(b"\xff\xfe")
    assert place.address() is None


def test_who_cannot_have_the_folder_alone_says_so_and_changes_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "PATIENCE", 0.2)
    holder = os.open(place.folder, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(DashboardError, match="another process"):
            Accounts(place).put("dora", Role.VIEWER, PASSWORD)
    finally:
        os.close(holder)
    assert Accounts(place).all() == []
    Accounts(place).put("dora", Role.VIEWER, PASSWORD)
    assert [each.name for each in Accounts(place).all()] == ["dora"]
