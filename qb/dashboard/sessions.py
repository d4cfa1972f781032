"""Who is asking: Datasette's actor cookie, made when somebody signs in and checked on every request."""

import secrets
import time
from typing import Any

from datasette.utils import baseconv
from itsdangerous import BadSignature

from qb.dashboard.accounts import Account, Accounts
from qb.dashboard.ended import Ended
from qb.dashboard.links import Invitation
from qb.dashboard.place import Place, Unreadable
from qb.dashboard.roles import Role

COOKIE = "ds_actor"
GOOD_SECONDS = 12 * 3600
NOBODY = {"id": "signed-out"}
"""The actor of a cookie that is genuine and no longer good: it matches no allow block."""

Actor = dict[str, str]


def of_account(account: Account) -> Actor:
    """The actor of somebody who gave a password."""
    return {"id": account.name, "role": account.role.value, "stamp": account.stamp}


def of_invitation(invitation: Invitation) -> Actor:
    """The actor of somebody who followed a link."""
    return {"id": invitation.name, "role": invitation.role.value}


def begin(datasette: Any, response: Any, actor: Actor) -> None:
    """Sign `actor` in: the cookie goes with the response, and no script can read it; the gate keeps it within TLS."""
    expires = baseconv.base62.encode(int(time.time()) + GOOD_SECONDS)
    # what is drawn tells it from another of the same person and second, which may go on when this one has ended
    value = datasette.sign({"a": actor, "e": expires, "drawn": secrets.token_hex(8)}, "actor")
    response.set_cookie(COOKIE, value, max_age=GOOD_SECONDS, httponly=True, samesite="lax")


def end(request: Any, place: Place) -> None:
    """Have the session of this request be no longer good, whoever else has its cookie. Raises OSError."""
    if cookie := request.cookies.get(COOKIE):
        Ended(place).add(cookie, good_seconds=GOOD_SECONDS)


def actor(datasette: Any, request: Any, place: Place) -> Actor | None:
    """Who the cookie says is asking, with the role of now; None without one, NOBODY when it is no longer good."""
    cookie = request.cookies.get(COOKIE)
    if cookie is None:
        return None
    try:
        told = datasette.unsign(cookie, "actor")
        if time.time() > baseconv.base62.decode(told["e"]) or cookie in Ended(place):
            return NOBODY
        return _checked(dict(told["a"]), Accounts(place))
    except (BadSignature, KeyError, TypeError, ValueError, Unreadable):
        return NOBODY


def role(actor: Actor | None) -> Role | None:
    """The role of an actor; None for who is not signed in."""
    known = (actor or {}).get("role")
    return Role(known) if known else None


def _checked(told: Actor, accounts: Accounts) -> Actor:
    if "stamp" not in told:
        return told
    account = accounts.get(told["id"])
    if account is None or account.stamp != told["stamp"]:
        return NOBODY
    return of_account(account)
