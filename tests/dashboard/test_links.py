"""Links that sign in: once, for a while, and only those that were made here."""

from datetime import UTC, datetime, timedelta
from typing import Any

from qb.dashboard.links import GOOD_FOR, Invitation, Links
from qb.dashboard.place import Place
from qb.dashboard.roles import Role


def test_a_link_signs_in_once(dashboard: Any) -> None:
    link = dashboard.link()
    with dashboard.visitor() as first, dashboard.visitor() as second:
        assert first.get(link).status_code == 302
        assert first.get("/").status_code == 200
        again = second.get(link)
        assert again.status_code == 403
        assert "used before" in again.text
        assert second.get("/").status_code == 302


def test_a_link_that_is_looked_at_without_following_it_is_not_spent(dashboard: Any) -> None:
    link = dashboard.link()
    with dashboard.visitor() as http:
        http.head(link)
        assert http.get(link).status_code == 302


def test_a_link_ends_with_its_quarter_of_an_hour(place: Place) -> None:
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    links = Links(place, place.secret())
    late = links.make(Invitation("dora", Role.VIEWER), now=now)
    assert links.redeem(late, now=now + GOOD_FOR) is None
    early = links.make(Invitation("dora", Role.VIEWER), now=now)
    assert links.redeem(early, now=now + GOOD_FOR - timedelta(seconds=1)) == Invitation("dora", Role.VIEWER)


def test_a_link_of_another_secret_or_with_another_role_is_refused(place: Place) -> None:
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    links = Links(place, place.secret())
    forged = Links(place, "0" * 64).make(Invitation("dora", Role.ANALYST), now=now)
    genuine = links.make(Invitation("dora", Role.VIEWER), now=now)
    payload, _, signature = genuine.rpartition(".")
    other = forged.rpartition(".")[0]
    for token in (forged, f"{other}.{signature}", payload, "", "x.y", genuine + "x"):
        assert links.redeem(token, now=now) is None
    assert links.redeem(genuine, now=now) is not None


def test_links_that_nobody_followed_are_swept(place: Place) -> None:
    links = Links(place, place.secret())
    links.make(Invitation("dora", Role.VIEWER), now=datetime.now(UTC))
    links.make(Invitation("dora", Role.VIEWER), now=datetime.now(UTC) + 2 * GOOD_FOR)
    assert len(list(place.links.iterdir())) == 1
