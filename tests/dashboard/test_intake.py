"""What a request may bring: cookies of others, long addresses and forms, and ways of asking that no page has."""

import re
import socket
from pathlib import Path
from typing import Any

import httpx2
import pytest
from datasette.utils.asgi import Request

from qb.dashboard.intake import LONGEST_BODY, LONGEST_QUERY, form
from qb.dashboard.roles import Role

FOREIGN = ["a/b=1", "a@b=1", "a(b=1", "path=/", "caf\u00e9=1", "x", "=", '"']


@pytest.mark.parametrize("foreign", FOREIGN)
def test_what_others_on_the_host_keep_in_cookies_does_no_harm(dashboard: Any, foreign: str) -> None:
    own = f"ds_actor={dashboard.http.cookies['ds_actor']}"
    for sent in (f"{foreign}; {own}", f"{own}; {foreign}"):
        headers = {"cookie": sent.encode("latin-1")}
        for path in ("/", "/qb", "/-/sign-in", "/-/logout"):
            answer = httpx2.get(dashboard.url + path, headers=headers, trust_env=False)
            assert answer.status_code == 200, path


@pytest.mark.parametrize("role", Role)
def test_a_long_run_of_blanks_is_not_matched_against_datasettes_patterns(dashboard: Any, role: Role) -> None:
    with dashboard.visitor(role) as http:
        for path in ("/qb", "/qb.json", "/qb.csv", "/qb/queue"):
            answer = http.get(f"{path}?sql=/**/{'+' * 2000}x")
            assert (answer.status_code, "blanks" in answer.text) == (400, True), path
    assert dashboard.page("/qb?sql=/**/++++%0A%0A++select+1").status_code == 200


def test_an_address_is_no_longer_than_any_page_needs(dashboard: Any) -> None:
    with dashboard.visitor() as stranger:
        for path in ("/", "/-/sign-in", "/assets/dashboard.css"):
            assert stranger.get(f"{path}?x={'a' * LONGEST_QUERY}").status_code == 414, path
            assert stranger.get(f"{path}?x={'a' * (LONGEST_QUERY // 2)}").status_code in (200, 302), path


def test_a_form_is_no_longer_than_a_name_and_a_password(dashboard: Any) -> None:
    with dashboard.visitor() as stranger:
        page = stranger.get("/-/sign-in")
        form = {"csrftoken": "x", "name": "ann", "password": "p" * (2 * LONGEST_BODY)}
        assert stranger.post("/-/sign-in", data=form).status_code == 413
        endless = (b"x" * LONGEST_BODY for _ in range(3))
        assert stranger.post("/-/sign-in", content=endless).status_code == 413
        assert page.status_code == 200
        assert stranger.get("/-/sign-in").status_code == 200


@pytest.mark.parametrize(
    ("kind", "body", "token"),
    [
        ("multipart/form-data", b"abc", ""),
        ("application/x-www-form-urlencoded", b"\xff\xfe", ""),
        ("application/x-www-form-urlencoded", b"csrftoken=%c3%b6", ""),
        ("application/x-www-form-urlencoded", b"csrftoken=x", "\xe9"),
        ("text/plain", b"csrftoken=x", ""),
    ],
)
def test_what_is_no_form_is_no_fault_of_the_dashboards(dashboard: Any, kind: str, body: bytes, token: str) -> None:
    headers = {"content-type": kind, "x-csrftoken": token.encode("latin-1"), "cookie": "ds_csrftoken=x"}
    for path in ("/-/sign-in", "/-/logout"):
        sent = {**headers, "cookie": f"ds_csrftoken=x; ds_actor={dashboard.http.cookies['ds_actor']}"}
        assert httpx2.post(dashboard.url + path, content=body, headers=sent, trust_env=False).status_code == 400
    assert httpx2.post(f"{dashboard.url}/-/sign-in", content=body, headers=headers, trust_env=False).status_code == 400
    assert "Traceback" not in (Path(dashboard.data_dir) / "datasette.log").read_text()


async def test_half_a_form_is_not_taken_for_a_whole_one() -> None:
    sent = iter([{"type": "http.request", "body": b"name=ann&pass", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(sent)

    kind = (b"content-type", b"application/x-www-form-urlencoded")
    request = Request({"type": "http", "method": "POST", "headers": [kind]}, receive)
    assert await form(request, receive) == ("the form broke off", 400)


def test_a_head_without_end_is_not_kept(dashboard: Any) -> None:
    host, _, port = dashboard.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as anybody:
        anybody.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        line = b"X-More: " + b"a" * 60_000 + b"\r\n"
        with pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
            for _ in range(200):
                anybody.sendall(line)
    assert dashboard.page().status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "PROPFIND"])
def test_nothing_is_to_be_had_by_other_ways_of_asking(dashboard: Any, method: str) -> None:
    with dashboard.visitor(Role.ANALYST) as http:
        token = re.search(r'name="csrftoken" value="([^"]+)"', http.get("/tasks").text)
        assert token is not None
        for path in ("/", "/qb", "/qb/tasks", "/qb/queue", "/qb/tasks/1", "/trends/cost.json", "/-/versions"):
            answer = http.request(method, path, headers={"X-CSRFToken": token[1]})
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD"), path
    assert "Traceback" not in (Path(dashboard.data_dir) / "datasette.log").read_text()
