"""`qb dashboard`: who may sign in, links, and what is said when something is missing."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from qb.dashboard.accounts import Accounts
from qb.dashboard.launch import command, environment
from qb.dashboard.place import Place

PASSWORD = b"correct horse battery\n"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "qb.db").touch()
    return tmp_path


def test_a_user_is_added_shown_changed_and_removed(qb: Any, data_dir: Path) -> None:
    where = ("--data-dir", str(data_dir))
    assert "nobody has a password" in qb("dashboard", "user", "list", *where).out
    assert qb("dashboard", "user", "add", "dora", *where, stdin=PASSWORD).out == "dora signs in as viewer\n"
    first = Accounts(Place.of(data_dir)).get("dora")
    assert qb("dashboard", "user", "add", "dora", "--role", "analyst", *where, stdin=PASSWORD).code == 0
    listed = qb("dashboard", "user", "list", "-o", "json", *where).out
    assert json.loads(listed) == [{"name": "dora", "role": "analyst"}]
    second = Accounts(Place.of(data_dir)).get("dora")
    assert first is not None and second is not None
    assert first.stamp != second.stamp, "older sessions end"
    assert stat.S_IMODE((data_dir / "dashboard" / "accounts.json").stat().st_mode) == 0o600
    assert qb("dashboard", "user", "remove", "dora", *where).code == 0
    assert Accounts(Place.of(data_dir)).all() == []


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("dashboard", "user", "remove", "nobody"), 5, "there is no user nobody"),
        (("dashboard", "user", "add", "do ra"), 2, "cannot be"),
        (("dashboard", "open"), 1, "no dashboard was started"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(qb: Any, data_dir: Path, args: tuple[str, ...], code: int, said: str) -> None:
    ran = qb(*args, "--data-dir", str(data_dir), stdin=PASSWORD)
    assert ran.code == code
    assert said in ran.err
    assert len(ran.err.splitlines()) <= 2


def test_a_short_password_is_refused(qb: Any, data_dir: Path) -> None:
    ran = qb("dashboard", "user", "add", "dora", "--data-dir", str(data_dir), stdin=b"short\n")
    assert ran.code == 2
    assert "12 characters" in ran.err


@pytest.mark.parametrize("args", [("dashboard",), ("dashboard", "open"), ("dashboard", "user", "list")])
def test_a_folder_without_a_control_plane_is_named(qb: Any, tmp_path: Path, args: tuple[str, ...]) -> None:
    ran = qb(*args, "--data-dir", str(tmp_path))
    assert ran.code == 5
    assert ran.err.startswith(f"error: {tmp_path} holds no qb.db")
    assert list(tmp_path.iterdir()) == []


def test_without_a_data_directory_the_option_is_named(qb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QB_DATA_DIR", raising=False)
    ran = qb("dashboard")
    assert ran.code == 2
    assert "--data-dir" in ran.err


def test_a_link_leads_where_the_dashboard_was_started_last(qb: Any, data_dir: Path) -> None:
    Place.of(data_dir).note_address("https://dash.example.org")
    link = qb("dashboard", "open", "--data-dir", str(data_dir)).out
    assert link.startswith("https://dash.example.org/-/sign-in?link=")
    other = qb("dashboard", "open", "--data-dir", str(data_dir), "--url", "http://127.0.0.1:9/").out
    assert other.startswith("http://127.0.0.1:9/-/sign-in?link=")


def test_the_secret_is_in_the_environment_and_not_on_the_command_line(data_dir: Path) -> None:
    place = Place.of(data_dir)
    line = command(place, host="127.0.0.1", port=8001, url="https://dash.example.org")
    around = environment(place, os.environ)
    assert place.secret() == around["DATASETTE_SECRET"]
    assert place.secret() not in " ".join(line)
    assert "keys.db" not in " ".join(line)
    assert line[line.index("force_https_urls") + 1] == "on"
