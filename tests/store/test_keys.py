"""keys.db: hashed, apart from qb.db, for its owner's eyes only."""

import stat
from pathlib import Path

from qb.store import keys as store
from qb.store.keys import ApiKey, add_key, keys, open_keys
from qb.store.registration_tokens import RegistrationToken, add_token, tokens

KEY = ApiKey("k1", "qba_12345678", "ab" * 32, "admin", "admin", "2026-01-01T00:00:00.000Z")
TOKEN = RegistrationToken("t1", "qbr_12345678", "cd" * 32, "client-*", True, "2026-01-01T00:00:00.000Z")


def test_keys_and_tokens_come_back_as_they_went_in(tmp_path: Path) -> None:
    path = tmp_path / "keys.db"
    db = open_keys(path)
    add_key(db, KEY)
    add_token(db, TOKEN)
    db.close()
    again = open_keys(path)
    assert (keys(again), tokens(again)) == ([KEY], [TOKEN])
    again.close()


def test_a_revoked_key_has_no_former_secrets_and_says_when_it_ended(tmp_path: Path) -> None:
    db = open_keys(tmp_path / "keys.db")
    add_key(db, KEY)
    later = "2026-01-02T00:00:00.000Z"
    store.rotate(db, KEY, prefix="qba_new", hashed="ef" * 32, now=KEY.created_at, valid_until=later)
    assert [each.hash for each in store.former_secrets(db)] == [KEY.hash]
    store.revoke(db, "k1", now=later)
    store.revoke(db, "k1", now="2027-01-01T00:00:00.000Z")
    assert store.former_secrets(db) == []
    assert [key.revoked_at for key in keys(db)] == [later], "the first time counts"
    db.close()


def test_nobody_else_can_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.db"
    path.touch(mode=0o644)
    open_keys(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
