"""keys.db: hashed, apart from qb.db, for its owner's eyes only."""

import stat
from pathlib import Path

from qb.store.keys import ApiKey, RegistrationToken, add_key, add_token, keys, open_keys, tokens

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


def test_revoked_ones_are_not_there_any_more(tmp_path: Path) -> None:
    db = open_keys(tmp_path / "keys.db")
    add_key(db, KEY)
    add_token(db, TOKEN)
    db.execute("UPDATE api_keys SET revoked_at = created_at")
    db.execute("UPDATE registration_tokens SET revoked_at = created_at")
    assert (keys(db), tokens(db)) == ([], [])
    db.close()


def test_nobody_else_can_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.db"
    path.touch(mode=0o644)
    open_keys(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
