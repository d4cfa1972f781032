"""Links that sign in once: signed, good for a quarter of an hour, and spent by the first who follows them."""

import json
import secrets
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from itsdangerous import BadData, URLSafeSerializer

from qb.dashboard.place import DashboardError, Place, write
from qb.dashboard.roles import Role

GOOD_FOR = timedelta(minutes=15)
_SALT = "sign-in link"


@dataclass(frozen=True, slots=True)
class Invitation:
    """Who a link signs in, and as what."""

    name: str
    role: Role


class Links:
    """Makes links and redeems them. One waits as a file; taking the file away is what spends it."""

    def __init__(self, place: Place, secret: str) -> None:
        self._place = place
        self._signer = URLSafeSerializer(secret, salt=_SALT)

    def make(self, invitation: Invitation, *, now: datetime) -> str:
        """The token of a new link."""
        self._sweep(now)
        one = secrets.token_hex(16)
        until = (now + GOOD_FOR).timestamp()
        write(self._place.links / one, json.dumps({"until": until}) + "\n")
        token = self._signer.dumps([one, invitation.name, invitation.role.value, until])
        return str(token)

    def redeem(self, token: str, *, now: datetime) -> Invitation | None:
        """Who may come in with this token, this once; None when it is forged, spent or too old."""
        try:
            one, name, role, until = self._signer.loads(token)
        except (BadData, ValueError):
            return None
        try:
            (self._place.links / one).unlink()
        except FileNotFoundError:
            return None
        return Invitation(name, Role(role)) if now.timestamp() < until else None

    def _sweep(self, now: datetime) -> None:
        for path in self._place.links.iterdir():
            if _age(path, now) > GOOD_FOR:
                path.unlink(missing_ok=True)


def link(data_dir: Path, name: str, role: Role, *, now: datetime, url: str | None = None) -> str:
    """A whole link to the dashboard at `url`, or where it was started last. Raises DashboardError for neither."""
    place = Place.of(data_dir)
    address = (url or place.address() or "").rstrip("/")
    if not address:
        start = f"qb dashboard --data-dir {shlex.quote(str(data_dir))}"
        raise DashboardError(f"no dashboard was started over {data_dir} yet: `{start}`")
    token = Links(place, place.secret()).make(Invitation(name, role), now=now)
    return f"{address}/-/sign-in?link={token}"


def _age(path: Path, now: datetime) -> timedelta:
    try:
        return now - datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return timedelta(0)
