"""Sessions: what their cookie is, and what ends them."""

import os
import re
import stat
from contextlib import closing
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import httpx2

from qb.dashboard.accounts import Accounts
from qb.dashboard.ended import Ended
from qb.dashboard.place import Place
from qb.dashboard.roles import Role
from tests.dashboard.test_sign_in import PASSWORD, sign_in


def test_signing_out_is_said_once_by_the_page_that_follows(dashboard: Any) -> None:
    said = "You are now logged out"
    with dashboard.visitor(Role.VIEWER) as viewer:
        token = re.search(r'name="csrftoken" value="([^"]+)"', viewer.get("/-/logout").text)
        assert token is not None
        viewer.post("/-/logout", data={"csrftoken": token[1]})
        assert said in viewer.get("/", follow_redirects=True).text
        assert viewer.get(dashboard.link(Role.VIEWER)).status_code == 302
        assert said not in viewer.get("/qb").text


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(dashboard: Any) -> None:
    with dashboard.visitor() as http:
        answer = http.get(dashboard.link())
    cookie = SimpleCookie(answer.headers["set-cookie"])["ds_actor"]
    assert cookie["httponly"] and cookie["samesite"] == "lax"
    assert 0 < int(cookie["max-age"]) <= 12 * 3600
    assert answer.headers["cache-control"].endswith("no-store")


def test_a_session_ends_with_the_account_its_password_or_signing_out(dashboard: Any) -> None:
    accounts = Accounts(Place.of(dashboard.data_dir))
    for end in ("removed", "changed", "signed out"):
        accounts.put("eve", Role.VIEWER, PASSWORD)
        with dashboard.visitor() as eve:
            assert sign_in(eve, "eve", PASSWORD).status_code == 302
            assert eve.get("/").status_code == 200
            if end == "removed":
                accounts.remove("eve")
            elif end == "changed":
                accounts.put("eve", Role.VIEWER, PASSWORD + "!")
            else:
                page = eve.get("/-/logout")
                token = re.search(r'name="csrftoken" value="([^"]+)"', page.text)
                assert token is not None
                eve.post("/-/logout", data={"csrftoken": token[1]})
            assert eve.get("/").status_code == 302, end


def test_a_copy_of_a_cookie_ends_with_signing_out(dashboard: Any) -> None:
    for door in ("link", "password"):
        with dashboard.visitor() as eve:
            Accounts(Place.of(dashboard.data_dir)).put("eve", Role.VIEWER, PASSWORD)
            begun = eve.get(dashboard.link()) if door == "link" else sign_in(eve, "eve", PASSWORD)
            assert begun.status_code == 302
            copied = {"cookie": f"ds_actor={eve.cookies['ds_actor']}"}
            assert httpx2.get(dashboard.url, headers=copied, trust_env=False).status_code == 200
            assert eve.post("/-/logout", data={"csrftoken": "x"}).status_code == 403
            assert httpx2.get(dashboard.url, headers=copied, trust_env=False).status_code == 200
            token = re.search(r'name="csrftoken" value="([^"]+)"', eve.get("/-/logout").text)
            assert token is not None
            assert eve.post("/-/logout", data={"csrftoken": token[1]}).status_code == 302
            for path in ("/", "/qb.json", "/-/actor.json"):
                assert httpx2.get(dashboard.url + path, headers=copied, trust_env=False).status_code in (302, 401), door
    assert dashboard.page().status_code == 200, "the session of somebody else goes on"


def test_every_session_is_one_of_its_own(dashboard: Any) -> None:
    cookies = set()
    for _ in range(5):
        with dashboard.visitor(Role.VIEWER) as http:
            cookies.add(http.cookies["ds_actor"])
    assert len(cookies) == 5


def test_ended_sessions_are_forgotten_when_their_cookies_are_too_old(place: Place) -> None:
    ended = Ended(place)
    for cookie in ("one", "two"):
        ended.add(cookie, good_seconds=60)
    folder = place.folder / "ended"
    assert ("one" in ended, "two" in ended, "three" in ended) == (True, True, False)
    for path in folder.iterdir():
        os.utime(path, (0, 0))
    ended.add("three", good_seconds=60)
    assert ("one" in ended, "two" in ended, "three" in ended) == (False, False, True)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_behind_tls_every_cookie_is_sent_over_tls_alone(seeded: Path, dashboard_over: Any) -> None:
    with dashboard_over(seeded, url="https://dash.example.org") as running, running.visitor() as http:
        link = running.link()
        assert link.startswith("https://dash.example.org/-/sign-in?")
        begun = http.get(link.removeprefix("https://dash.example.org"))
        own = {"cookie": begun.headers["set-cookie"].partition(";")[0]}
        pages = [begun, *(http.get(path, headers=own) for path in ("/tasks", "/-/sign-in", "/-/logout"))]
        cookies = [cookie for page in pages for cookie in page.headers.get_list("set-cookie")]
        assert {cookie.partition("=")[0] for cookie in cookies} == {"ds_actor", "ds_csrftoken"}
        assert [cookie for cookie in cookies if cookie.count("; Secure") != 1] == []


def test_a_changed_role_counts_at_once(dashboard: Any) -> None:
    accounts = Accounts(Place.of(dashboard.data_dir))
    accounts.put("fay", Role.ANALYST, PASSWORD)
    with dashboard.visitor() as fay:
        sign_in(fay, "fay", PASSWORD)
        assert fay.get("/qb.json?sql=select+1").status_code == 200
        known = accounts.get("fay")
        assert known is not None
        text = Place(dashboard.data_dir).accounts.read_text().replace('"analyst"', '"viewer"')
        Place(dashboard.data_dir).accounts.write_text(text)
        assert fay.get("/qb.json?sql=select+1").status_code == 403
        assert fay.get("/qb/queue").status_code == 200


def test_a_cookie_that_was_tampered_with_signs_nobody_in(dashboard: Any) -> None:
    with dashboard.visitor(Role.VIEWER) as http:
        good = http.cookies["ds_actor"]
    for bad in (good[:-2] + "xx", "x" + good, "", "e30." + good.partition(".")[2]):
        with closing(httpx2.Client(base_url=dashboard.url, cookies={"ds_actor": bad}, trust_env=False)) as http:
            assert http.get("/").status_code == 302
