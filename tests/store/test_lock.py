"""One server per data directory."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qb.domain.errors import Conflict
from qb.domain.times import utc_now
from qb.service import maintenance
from qb.service.setup import initialise
from qb.store.lock import Lock

HOLDER = """
import sys, time
from pathlib import Path
from qb.store.lock import Lock
lock = Lock(Path(sys.argv[1]))
print(lock.try_take(), flush=True)
time.sleep(60)
"""


async def test_a_second_server_waits_and_then_gives_up(tmp_path: Path) -> None:
    first, second = Lock(tmp_path), Lock(tmp_path)
    await first.take()
    begun = time.monotonic()
    with pytest.raises(Conflict, match="another server"):
        await second.take(wait=0.2)
    assert time.monotonic() - begun >= 0.2
    with pytest.raises(Conflict):
        second.check(wait=0)
    first.release()


async def test_a_new_worker_gets_the_directory_once_the_old_one_has_let_go(tmp_path: Path) -> None:
    old, new = Lock(tmp_path), Lock(tmp_path)
    await old.take()
    waiting = asyncio.create_task(new.take(wait=10))
    await asyncio.sleep(0)
    assert not waiting.done()
    old.release()
    await waiting
    new.release()


def test_a_killed_server_holds_nothing(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert not Lock(tmp_path).try_take()
        holder.kill()
        holder.wait(10)
    Lock(tmp_path).check(wait=0)


def test_a_migration_by_hand_holds_the_lock_until_it_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    initialise(tmp_path, now=utc_now())
    taken = []

    def migrate(path: Path) -> list[str]:
        taken.append(Lock(tmp_path).try_take())
        return []

    monkeypatch.setattr("qb.store.migrations.migrate", migrate)
    assert maintenance.migrate(tmp_path) == []
    assert taken == [False], "no server can start beside it"
    with Lock(tmp_path).held(), pytest.raises(Conflict, match="served by another server"):
        maintenance.migrate(tmp_path)
