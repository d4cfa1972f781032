"""Where a session is on a Crush server."""

import pytest

from qb.domain.errors import Invalid
from qb.domain.links import SESSION_PATH, checked_path, session_url


@pytest.mark.parametrize(
    ("server", "session", "url"),
    [
        ("https://crush.example" + SESSION_PATH, "s/1?", "https://crush.example/sessions/s%2F1%3F"),
        ("https://crush.example/c#/chat/{session}/view", "s1", "https://crush.example/c#/chat/s1/view"),
        ("https://crush.example", "s1", "https://crush.example/sessions/s1"),
        ("https://crush.example", None, None),
        (None, "s1", None),
    ],
)
def test_the_address_of_a_session(server: str | None, session: str | None, url: str | None) -> None:
    assert session_url(server, session) == url


@pytest.mark.parametrize("path", ["", "sessions/{session}", "/sessions", "/a b/{session}", "/\n{session}"])
def test_a_path_that_leads_to_no_session_is_refused(path: str) -> None:
    with pytest.raises(Invalid, match="no path of a session"):
        checked_path(path)


def test_a_path_with_a_place_for_the_id_is_taken() -> None:
    assert checked_path("/chat/{session}") == "/chat/{session}"
