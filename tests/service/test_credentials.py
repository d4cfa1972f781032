"""Who is calling: every kind of credential, good, wrong, old and expired."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from qb.contract.routes import Caller
from qb.domain.errors import RegistrationOff, Unauthenticated
from qb.domain.times import iso
from qb.service import credentials as module
from qb.service.credentials import Credentials, Identity
from qb.service.secrets import digest
from qb.store.keys import ApiKey
from qb.store.registration_tokens import RegistrationToken

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
NODE = str(uuid4())
SECRET = b"s" * 32


@dataclass
class Turned:
    now: datetime = field(default=START)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Turned:
    return Turned()


@pytest.fixture
def known(clock: Turned) -> Credentials:
    soon = iso(START + timedelta(hours=1))
    admin = ApiKey("k1", "qba_admin", digest("qba_admin-key"), "admin", "admin", iso(START))
    guest = ApiKey("k2", "qba_guest", digest("qba_guest-key"), "guest", "admin", iso(START), expires_at=soon)
    token = RegistrationToken("t1", "qbr_token", digest("qbr_token"), "*", False, iso(START), expires_at=soon)
    return Credentials(SECRET, clock, api_keys=[admin, guest], registration_tokens=[token])


def test_an_api_key_is_known_by_its_hash(known: Credentials) -> None:
    assert known.identify("qba_admin-key") == Identity(Caller.ADMIN, key_id="k1", name="admin")


@pytest.mark.parametrize(
    "wrong",
    [None, "", "qba_admin-kez", "qba_", "qbn_", "qbn_x_1_y", "qbt_", "qbt_x.y", "qbr_token", "ü", "x" * 5000, "\0"],
)
def test_anything_else_is_nobody(wrong: str | None, known: Credentials) -> None:
    with pytest.raises(Unauthenticated):
        known.identify(wrong)


def test_a_key_expires_even_after_it_was_used(known: Credentials, clock: Turned) -> None:
    assert known.identify("qba_guest-key").name == "guest"
    clock.now += timedelta(hours=1)
    with pytest.raises(Unauthenticated, match="expired"):
        known.identify("qba_guest-key")


def test_a_node_key_is_derived_and_its_node_must_be_known(known: Credentials) -> None:
    key = known.node_key(NODE, 3)
    with pytest.raises(Unauthenticated):
        known.identify(key)
    known.know_node(NODE, 3)
    found = known.identify(key)
    assert (found.caller, found.node_id, found.key_version, found.current) == (Caller.NODE, NODE, 3, True)
    assert Credentials(SECRET, known._clock).node_key(NODE, 3) == key


def test_a_node_key_of_another_server_or_altered_is_nobodys(known: Credentials, clock: Turned) -> None:
    known.know_node(NODE, 2)
    key = known.node_key(NODE, 2)
    other = Credentials(b"o" * 32, clock).node_key(NODE, 2)
    higher = key.replace("_2_", "_3_")
    shouted = key.replace(NODE.replace("-", ""), NODE.replace("-", "").upper())
    for wrong in (other, higher, key[:-1], key + "A", shouted):
        if wrong != key:
            with pytest.raises(Unauthenticated):
                known.identify(wrong)


def test_a_replaced_node_key_is_still_its_nodes_but_not_current(known: Credentials) -> None:
    known.know_node(NODE, 1)
    old = known.node_key(NODE, 1)
    assert known.identify(old).current
    known.know_node(NODE, 2)
    assert not known.identify(old).current
    assert known.identify(known.node_key(NODE, 2)).current


def test_a_key_handed_out_after_the_backup_that_was_restored_still_works(known: Credentials) -> None:
    known.know_node(NODE, 2)
    assert known.identify(known.node_key(NODE, 5)).current


def test_a_forgotten_node_is_nobody_at_once(known: Credentials) -> None:
    known.know_node(NODE, 1)
    key = known.node_key(NODE, 1)
    known.identify(key)
    known.forget_node(NODE)
    with pytest.raises(Unauthenticated):
        known.identify(key)


def test_a_task_token_carries_task_and_attempt_until_it_expires(known: Credentials, clock: Turned) -> None:
    token = known.task_token("task-1", 2, lifetime=60, now=START)
    found = known.identify(token)
    assert (found.caller, found.task_id, found.attempt, found.node_id) == (Caller.AGENT, "task-1", 2, None)
    clock.now += timedelta(seconds=60)
    with pytest.raises(Unauthenticated):
        known.identify(token)


def test_a_task_token_without_a_lifetime_stays_good(known: Credentials, clock: Turned) -> None:
    token = known.task_token("task-1", 1, lifetime=None, now=START)
    clock.now += timedelta(days=3650)
    assert known.identify(token).task_id == "task-1"


def test_a_task_token_cannot_be_altered_or_made_elsewhere(known: Credentials, clock: Turned) -> None:
    token = known.task_token("task-1", 1, lifetime=None, now=START)
    body, _, signature = token.rpartition(".")
    forged = Credentials(b"o" * 32, clock).task_token("task-1", 1, lifetime=None, now=START)
    for wrong in (f"{body}x.{signature}", f"{body}.{signature[:-2]}", forged):
        with pytest.raises(Unauthenticated):
            known.identify(wrong)


def test_a_registration_token_lets_join_until_it_expires(known: Credentials, clock: Turned) -> None:
    found = known.identify(None, "qbr_token")
    assert (found.caller, found.key_id) == (Caller.REGISTRATION, "t1")
    assert known.registration.by_id("t1") == known.registration.identify("qbr_token")
    with pytest.raises(Unauthenticated):
        known.identify(None, "qbr_other")
    clock.now += timedelta(hours=1)
    assert not known.registration.on
    assert known.registration.by_id("t1") is None
    with pytest.raises(RegistrationOff):
        known.identify(None, "qbr_token")


def test_an_api_key_is_no_registration_token(known: Credentials) -> None:
    with pytest.raises(Unauthenticated):
        known.identify(None, "qba_admin-key")


def test_the_cache_of_verified_keys_is_bounded(known: Credentials, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHE_LIMIT", 10)
    for attempt in range(100):
        known.identify(known.task_token("t", attempt, lifetime=None, now=START))
    assert len(known._cache) <= 10


def test_what_is_wrong_is_never_remembered(known: Credentials) -> None:
    for number in range(100):
        with pytest.raises(Unauthenticated):
            known.identify(f"qba_{number}")
    assert not known._cache
