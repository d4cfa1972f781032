"""PATCH /keys/{id}: nobody's change is lost, nothing is taken for changed that is not, and a crash leaves no limit."""

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qb.service.keys import apply_limits
from qb.store import keys as store
from qb.store.keys import ApiKey
from tests.api.conftest import Running, serving
from tests.fixtures_disk import Disk


async def made(running: Running, **body: Any) -> dict[str, Any]:
    answer = await running.http.post("/keys", json={"name": "acme", **body}, headers=running.admin)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def changed(running: Running, key: str, body: dict[str, Any], **headers: str) -> Any:
    return await running.http.patch(f"/keys/{key}", json=body, headers=running.admin | headers)


async def shown(running: Running, key: str) -> Any:
    return await running.http.get(f"/keys/{key}", headers=running.admin)


async def test_who_was_slower_than_another_is_told(running: Running) -> None:
    key = (await made(running))["id"]
    tag = (await shown(running, key)).headers["ETag"]
    first = await changed(running, key, {"rate_limit": 5}, **{"If-Match": tag})
    assert (first.status_code, first.headers["ETag"] != tag) == (200, True)
    late = await changed(running, key, {"description": "late"}, **{"If-Match": tag})
    assert late.status_code == 412
    now = await shown(running, key)
    assert (now.json()["description"], now.headers["ETag"]) == (None, first.headers["ETag"])
    logged = (await running.http.get("/keys/audit?action=key_changed", headers=running.admin)).json()
    assert len(logged) == 1, "the log tells of no change that was refused"
    again = await changed(running, key, {"description": "late"}, **{"If-Match": first.headers["ETag"]})
    assert (again.status_code, again.json()["rate_limit"]) == (200, 5)


async def test_a_key_that_is_used_is_still_what_its_reader_saw(running: Running) -> None:
    key = (await made(running))["id"]
    tag = (await shown(running, key)).headers["ETag"]
    await running.core.keys.run(lambda db: store.used(db, [key], now="2026-01-01T00:00:00Z"))
    assert (await shown(running, key)).json()["last_used_at"] is not None
    assert (await changed(running, key, {"rate_limit": 5}, **{"If-Match": tag})).status_code == 200


async def test_changes_at_the_same_time_are_all_kept(running: Running) -> None:
    key = (await made(running))["id"]
    wanted = {"rate_limit": 500, "max_running": 7, "description": "ours"}
    answers = await asyncio.gather(*(changed(running, key, {name: value}) for name, value in wanted.items()))
    assert [each.status_code for each in answers] == [200] * 3
    now = (await shown(running, key)).json()
    assert {name: now[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("field", "value"),
    [("role", "admin"), ("scopes", []), ("allowed_node_patterns", ["a-*"]), ("name", "new"), ("max_runing", 1)],
)
async def test_a_field_that_stays_as_it_was_made_is_refused_by_name(running: Running, field: str, value: Any) -> None:
    key = await made(running)
    answer = await changed(running, key["id"], {field: value, "rate_limit": 5})
    assert (answer.status_code, answer.json()["detail"].split(":")[0]) == (422, field)
    assert (await shown(running, key["id"])).json()["rate_limit"] is None


async def limited(running: Running, key: str) -> list[bool]:
    """Of each task of the key, whether its limit holds for it."""
    query = "SELECT limited_by IS NOT NULL FROM tasks WHERE created_by_key = ?"
    return [bool(row[0]) for row in await running.core.readers.run(lambda db: db.execute(query, (key,)).fetchall())]


@pytest.mark.parametrize(("before", "after"), [(1, None), (None, 1), (1, 2)])
async def test_a_limit_whose_change_broke_off_holds_after_a_start(
    tmp_path: Path, before: int | None, after: int | None
) -> None:
    async with serving(tmp_path / "qb") as running:
        key = await made(running, max_running=before)
        for _ in range(2):
            await running.http.post("/tasks", json={"prompt": "work"}, headers={"X-API-Key": key["api_key"]})
        assert await limited(running, key["id"]) == [before is not None] * 2
        # A crash: keys.db has the new limit, and qb.db has not heard of it.
        kept = await running.core.keys.run(lambda db: store.key(db, key["id"]))
        assert isinstance(kept, ApiKey)
        halved = replace(kept, max_running=after)
        await running.core.keys.run(lambda db: store.change(db, halved))
    async with serving(tmp_path / "qb", running.made) as again:
        assert await limited(again, key["id"]) == [after is not None] * 2
        query = "SELECT count(*), sum(claimable) FROM tasks"
        assert tuple(await again.core.readers.run(lambda db: db.execute(query).fetchone())) == (
            2,
            2 if not after else 1,
        )
        if after is not None:
            query = "SELECT max_running FROM key_limits WHERE key_id = ?"
            row = await again.core.readers.run(lambda db: db.execute(query, (key["id"],)).fetchone())
            assert row[0] == after


async def test_a_full_disk_does_not_keep_the_limits_from_being_looked_at_again(small_disk: Disk) -> None:
    async with serving(small_disk.path / "qb") as running:
        key = await made(running)
        await running.http.post("/tasks", json={"prompt": "work"}, headers={"X-API-Key": key["api_key"]})
        kept = await running.core.keys.run(lambda db: store.key(db, key["id"]))
        assert isinstance(kept, ApiKey)
        halved = replace(kept, max_running=1)
        await running.core.keys.run(lambda db: store.change(db, halved))
        checkpointed = sqlite3.connect(running.core.settings.database)
        checkpointed.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        checkpointed.close()
        small_disk.fill()
        await apply_limits(running.core)
        assert await limited(running, key["id"]) == [False]
        small_disk.release()
        await apply_limits(running.core)
        assert await limited(running, key["id"]) == [True]
