"""Who gets in, by which door, and how long it stays open."""

import re
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from qb.dashboard.accounts import Accounts
from qb.dashboard.links import Invitation, Links
from qb.dashboard.place import DashboardError, Place
from qb.dashboard.roles import Role
from tests.fixtures_server import new_server

PASSWORD = "correct horse battery"
PAGES = [
    "/", "/qb", "/qb/tasks", "/qb/queue", "/qb.json?sql=select+1", "/qb/tasks.csv", "/qb/tasks.json?_shape=array",
    "/task/00000000-0000-4000-8000-000000000000", "/_memory", "/_internal", "/-/dashboards", "/-/settings.json",
    "/-/databases", "/-/plugins.json", "/-/threads", "/-/metadata.json", "/-/versions.json", "/-/actor.json",
    "/-/allow-debug", "/-/permissions", "/-/messages", "/-/patterns", "/-/logout", "/-/auth-token?token=x",
    "/-/static/app.css", "/%71b", "//qb", "/-/sign-in/../../qb", "/assets%2f..%2fqb", "/-/sign-in%2f..%2f..%2fqb.json",
]  # fmt: skip


def sign_in(http: httpx2.Client, name: str, password: str, **more: str) -> httpx2.Response:
    """Fill the form in and send it."""
    page = http.get("/-/sign-in", params=more)
    token = re.search(r'name="csrftoken" value="([^"]+)"', page.text)
    assert token is not None
    body = {"csrftoken": token[1], "name": name, "password": password, **more}
    return http.post("/-/sign-in", data=body)


@pytest.mark.parametrize("path", PAGES)
def test_who_is_not_signed_in_sees_no_page(dashboard: Any, path: str) -> None:
    with dashboard.visitor() as stranger:
        answer = stranger.get(path)
    assert answer.status_code in (302, 401, 404), answer.text
    assert "tasks" not in answer.text
    assert "edge-" not in answer.text
    if answer.status_code == 302:
        assert answer.headers["location"].startswith("/-/sign-in")


def test_a_page_that_was_asked_for_is_shown_after_signing_in(dashboard: Any) -> None:
    Accounts(Place.of(dashboard.data_dir)).put("ann", Role.VIEWER, PASSWORD)
    with dashboard.visitor() as ann:
        first = ann.get("/qb/queue?_size=5")
        assert first.headers["location"] == "/-/sign-in?next=/qb/queue%3F_size%3D5"
        begun = sign_in(ann, "ann", PASSWORD, next="/qb/queue?_size=5")
        assert begun.status_code == 302
        assert begun.headers["location"] == "/qb/queue?_size=5"
        assert ann.get("/qb/queue").status_code == 200


def test_a_filtered_front_page_is_shown_after_signing_in_too(dashboard: Any) -> None:
    with dashboard.visitor() as stranger:
        assert stranger.get("/?tag=client%3Dacme").headers["location"] == "/-/sign-in?next=/%3Ftag%3Dclient%253Dacme"
        assert stranger.get("/").headers["location"] == "/-/sign-in"


def test_a_wrong_password_does_not_lose_the_page_that_was_asked_for(dashboard: Any) -> None:
    Accounts(Place.of(dashboard.data_dir)).put("ann", Role.VIEWER, PASSWORD)
    wanted = "/?tag=client%3Dacme"
    with dashboard.visitor() as ann:
        again = sign_in(ann, "ann", "not this one", next=wanted)
        assert again.status_code == 403
        assert f'name="next" value="{wanted}"' in again.text
        foreign = sign_in(ann, "ann", "nor this one", next="//evil.example")
        assert 'name="next"' not in foreign.text


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "/\tx", "javascript:x"]
)
def test_signing_in_leads_nowhere_else(dashboard: Any, target: str) -> None:
    with dashboard.visitor() as ann:
        link = dashboard.link(Role.VIEWER)
        assert ann.get(link, params={"link": link.partition("link=")[2], "next": target}).headers["location"] == "/"


def test_what_signs_sessions_survives_a_restart_and_is_for_its_owner_alone(place: Place) -> None:
    assert place.secret() == Place.of(place.folder.parent).secret()
    Accounts(place).put("dora", Role.VIEWER, PASSWORD)
    Links(place, place.secret()).make(Invitation("dora", Role.VIEWER), now=datetime.now(UTC))
    place.note_address("http://127.0.0.1:8001")
    files = [path for path in place.folder.rglob("*") if path.is_file()]
    assert len(files) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE(place.folder.stat().st_mode) == 0o700
    assert PASSWORD not in "".join(path.read_text() for path in files)


@pytest.mark.parametrize(("name", "password"), [("dora", "short"), ("do ra", PASSWORD), ("", PASSWORD)])
def test_an_account_that_cannot_be_is_refused(place: Place, name: str, password: str) -> None:
    with pytest.raises(DashboardError):
        Accounts(place).put(name, Role.VIEWER, password)
    assert Accounts(place).all() == []


def test_a_wrong_password_is_refused_in_the_same_words_for_everybody(dashboard: Any) -> None:
    Accounts(Place.of(dashboard.data_dir)).put("ann", Role.VIEWER, PASSWORD)
    with dashboard.visitor() as http:
        wrong, unknown = sign_in(http, "ann", PASSWORD + "x"), sign_in(http, "nobody", PASSWORD)
        assert wrong.status_code == unknown.status_code == 403
        assert "do not fit" in wrong.text and "do not fit" in unknown.text
        assert http.get("/").status_code == 302


def test_after_many_wrong_passwords_nobody_gets_to_try_for_a_while(empty_dashboard: Any) -> None:
    Accounts(Place.of(empty_dashboard.data_dir)).put("ann", Role.VIEWER, PASSWORD)
    with empty_dashboard.visitor() as http:
        codes = [sign_in(http, "ann", f"guess {n}").status_code for n in range(11)]
        assert codes == [403] * 10 + [429]
        assert sign_in(http, "ann", PASSWORD).status_code == 429
        assert http.get(empty_dashboard.link()).status_code == 302, "a link still works"


def test_a_form_from_another_site_is_refused(dashboard: Any) -> None:
    Accounts(Place.of(dashboard.data_dir)).put("ann", Role.VIEWER, PASSWORD)
    with dashboard.visitor() as http:
        for _ in range(2):
            assert http.post("/-/sign-in", data={"name": "ann", "password": PASSWORD}).status_code == 403
            assert http.get("/").status_code == 302
            http.get("/-/sign-in")


BROKEN = ["", "{", "[1]", '[{"name": "ann"}]', '[{"name": "ann", "role": "king", "password_hash": "x"}]', "\xff"]


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_list_of_users_shuts_nobody_out_who_follows_a_link(
    seeded: Path, dashboard_over: Any, text: str
) -> None:
    accounts = Accounts(Place.of(seeded))
    accounts.put("ann", Role.VIEWER, PASSWORD)
    with dashboard_over(seeded) as running, running.visitor() as ann:
        assert sign_in(ann, "ann", PASSWORD).status_code == 302
        Place(seeded).accounts.write_bytes(text.encode("latin-1"))
        assert ann.get("/").status_code == 302
        page = ann.get("/-/sign-in")
        assert (page.status_code, "cannot be looked at" in page.text) == (200, True)
        assert running.page().status_code == 200
        assert ann.get(running.link()).status_code == 302
        log = (seeded / "datasette.log").read_text()
        assert "Traceback" not in log
        assert str(Place(seeded).accounts) in log


def test_a_broken_list_of_users_is_told_of_and_kept(place: Place) -> None:
    place.accounts.write_text("{")
    command = [sys.executable, "-m", "qb", "dashboard", "user"]
    where = ["--data-dir", str(place.folder.parent)]
    for asked in (["list"], ["add", "ann"], ["remove", "ann"]):
        done = subprocess.run(
            [*command, *asked, *where], input=PASSWORD, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 1
        assert str(place.accounts) in done.stderr
        assert "Traceback" not in done.stderr
    assert place.accounts.read_text() == "{"


def test_the_api_leads_to_the_dashboard(dashboard: Any, tmp_path: Path) -> None:
    server = new_server(tmp_path / "qb", "--dashboard-url", dashboard.url)
    server.start()
    try:
        led = httpx2.get(f"{server.url}/dashboard")
        assert led.is_redirect
        assert led.headers["location"].rstrip("/") == dashboard.url
        assert httpx2.get(led.headers["location"]).headers["location"] == "/-/sign-in"
    finally:
        server.stop()
