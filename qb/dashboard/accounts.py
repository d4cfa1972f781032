"""People who sign in with a password: roles and hashed passwords, in a file that only its owner reads."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass

from datasette_auth_passwords.utils import hash_password, verify_password

from qb.dashboard.place import NotAllowed, NotThere, Place, Unreadable, write
from qb.dashboard.roles import Role

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
LEAST_PASSWORD = 12
_NOBODY = "pbkdf2_sha256$480000$0$0"
"""Checked for names that nobody has, so that they take as long; no password fits it."""


@dataclass(frozen=True, slots=True)
class Account:
    """One person. `stamp` changes with the password, and ends the sessions that were begun with an older one."""

    name: str
    role: Role
    password_hash: str

    @property
    def stamp(self) -> str:
        """Tells one password's sessions from another's, and nothing of the password."""
        return hashlib.sha256(self.password_hash.encode()).hexdigest()[:16]


class Accounts:
    """The accounts file; it is read anew each time, so that a change counts at once."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def all(self) -> list[Account]:
        """Every account, by name. Raises Unreadable where the file is there and does not say."""
        path = self._place.accounts
        try:
            known = json.loads(path.read_text("utf-8"))
            return [Account(each["name"], Role(each["role"]), each["password_hash"]) for each in known]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, LookupError, TypeError) as error:
            what = (error.strerror if isinstance(error, OSError) else None) or "it is not what was written there"
            raise Unreadable(
                f"cannot read {path} ({what}): restore it from a backup, or remove it and add all anew"
            ) from error

    def get(self, name: str) -> Account | None:
        """The account of that name."""
        return next((each for each in self.all() if each.name == name), None)

    def put(self, name: str, role: Role, password: str) -> None:
        """Add an account, or give one another role and password. Raises NotAllowed for what cannot be."""
        if not NAME.fullmatch(name):
            raise NotAllowed(f"the name {name!r} cannot be: use up to 64 letters, digits and . _ @ -")
        if len(password) < LEAST_PASSWORD:
            raise NotAllowed(f"the password is too short: use {LEAST_PASSWORD} characters or more")
        account = Account(name, role, hash_password(password))
        with self._place.alone():
            self._write([each for each in self.all() if each.name != name] + [account])

    def remove(self, name: str) -> None:
        """Remove an account, which ends its sessions. Raises NotThere when there is none."""
        with self._place.alone():
            known = self.all()
            kept = [each for each in known if each.name != name]
            if len(kept) == len(known):
                raise NotThere(f"there is no user {name}: `qb dashboard user list` names those there are")
            self._write(kept)

    def signed_in(self, name: str, password: str) -> Account | None:
        """The account, when the password is its own. Takes as long for a name that nobody has."""
        account = self.get(name)
        right = verify_password(password, account.password_hash if account else _NOBODY)
        return account if right else None

    def _write(self, accounts: list[Account]) -> None:
        ordered = sorted(accounts, key=lambda each: each.name)
        write(self._place.accounts, json.dumps([asdict(each) for each in ordered], indent=1) + "\n")
