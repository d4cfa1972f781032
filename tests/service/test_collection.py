"""What nothing refers to goes, what anything refers to stays, and quotas count what is there."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from qb.contract.routes import Caller
from qb.domain.errors import StorageFull, TooLarge
from qb.domain.quotas import Quotas
from qb.service.artifacts import Artifacts
from qb.service.blobs import Blobs
from qb.service.collection import Collected, Collection
from qb.service.credentials import Identity
from qb.service.files import Files
from qb.service.tasks import Tasks
from qb.store import files as store
from tests.service.conftest import ADMIN, Plane

DAY = 24 * 3600


async def body(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


class Depot:
    """Files, artifacts and their collection over one folder of blobs."""

    def __init__(self, plane: Plane, quotas: Quotas | None = None) -> None:
        self.plane = plane
        self.blobs = Blobs(plane.core.settings.blobs, quotas or Quotas())
        self.blobs.open()
        self.files = Files(plane.core, plane.registry, self.blobs)
        self.artifacts = Artifacts(plane.core, plane.registry, self.blobs)
        self.collection = Collection(plane.core, self.blobs)

    async def upload(self, content: bytes, name: str = "a") -> str:
        async with self.files.receive(name, body(content)) as received:
            return str((await self.files.keep(ADMIN, received))["filename"])

    async def artifact(self, node: str, task: str, content: bytes, name: str = "a") -> None:
        identity = Identity(Caller.NODE, node_id=node, name="node")
        await self.artifacts.put(identity, task, name, body(content), digest=None, attempt=None, size=len(content))

    def contents(self) -> set[bytes]:
        return {path.read_bytes() for path in self.plane.core.settings.blobs.rglob("*") if path.is_file()}


def within(plane: Plane, quotas: Quotas) -> Plane:
    """The same control plane with other quotas."""
    core = replace(plane.core, settings=replace(plane.core.settings, quotas=quotas))
    return replace(plane, core=core, tasks=Tasks(core, plane.waiters))


@pytest.fixture
def depot(plane: Plane) -> Depot:
    return Depot(plane)


async def test_an_upload_waits_a_day_for_a_task_and_goes_when_none_uses_it(depot: Depot) -> None:
    await depot.upload(b"unused")
    used = await depot.upload(b"used")
    await depot.plane.task(files=[used])
    depot.plane.clock.turn(DAY - 1)
    assert await depot.collection.collect() == Collected(0, 0, 0)
    depot.plane.clock.turn(2)
    assert await depot.collection.collect() == Collected(1, 1, len(b"unused"))
    assert depot.contents() == {b"used"}
    await depot.plane.task(files=[used])


async def test_the_bytes_stay_while_any_upload_task_or_artifact_has_them(depot: Depot) -> None:
    plane = depot.plane
    name = await depot.upload(b"same")
    await depot.upload(b"same", "other")
    node = await plane.node()
    task = (await plane.started(node, files=[name]))["task_id"]
    await depot.artifact(node, task, b"same")
    for statement in (
        "DELETE FROM uploads WHERE original_name = 'other'",
        "DELETE FROM uploads",
        "DELETE FROM task_files",
    ):
        await plane.core.writer.run(lambda db, s=statement: db.execute(s).rowcount)
        await depot.collection.collect()
        assert depot.contents() == {b"same"}
    await plane.core.writer.run(lambda db: db.execute("DELETE FROM artifacts").rowcount)
    assert (await depot.collection.collect()).blobs == 1
    assert depot.contents() == set()


async def test_the_bytes_of_an_artifact_that_was_replaced_go(depot: Depot) -> None:
    node = await depot.plane.node()
    task = (await depot.plane.started(node))["task_id"]
    await depot.artifact(node, task, b"first")
    await depot.artifact(node, task, b"second")
    await depot.collection.collect()
    assert depot.contents() == {b"second"}
    assert depot.blobs.room.used == len(b"second")


async def test_what_is_uploaded_again_while_it_is_collected_is_not_lost(depot: Depot) -> None:
    """At every step of a collection the same bytes come anew, in every order that the steps allow."""
    for pauses in range(12):
        await depot.upload(b"wanted")
        await depot.plane.core.writer.run(lambda db: db.execute("DELETE FROM uploads").rowcount)

        async def later(pauses: int = pauses) -> None:
            for _ in range(pauses):
                await asyncio.sleep(0)
            await depot.upload(b"wanted")

        await asyncio.gather(depot.collection.collect(), later(), depot.collection.collect())
        assert depot.contents() == {b"wanted"}, pauses
        assert depot.blobs.room.used == len(b"wanted")


async def test_bytes_on_their_way_into_the_database_are_not_collected(depot: Depot) -> None:
    busy, let_go = threading.Event(), threading.Event()

    def hold(_: sqlite3.Connection) -> None:
        busy.set()
        assert let_go.wait(10)

    holding = asyncio.create_task(depot.plane.core.writer.run(hold))
    assert await asyncio.to_thread(busy.wait, 10)
    uploading = asyncio.create_task(depot.upload(b"slow"))
    async with asyncio.timeout(10):
        names: list[str] = []
        while not names:
            names = await depot.blobs.names()
    # Kept before this collection began, and not committed when it asks who refers to it.
    unreferenced = await depot.plane.core.readers.run(lambda db: store.unreferenced(db, names))
    assert unreferenced == names
    assert await depot.blobs.remove(unreferenced) == (0, 0)
    let_go.set()
    await asyncio.gather(holding, uploading)
    assert await depot.blobs.remove(unreferenced) == (0, 0)
    assert depot.contents() == {b"slow"}


async def test_a_collection_stops_at_nothing_that_is_gone_already(depot: Depot) -> None:
    await depot.upload(b"x")
    await depot.plane.core.writer.run(lambda db: db.execute("DELETE FROM uploads").rowcount)
    both = await asyncio.gather(depot.collection.collect(), depot.collection.collect())
    assert sorted(both) == [Collected(0, 0, 0), Collected(0, 1, 1)]


async def test_all_files_together_stay_within_their_quota_and_room_comes_back(plane: Plane) -> None:
    depot = Depot(plane, Quotas(total=10, unused=DAY))
    await depot.upload(b"123456")
    with pytest.raises(StorageFull, match=r"10 bytes.*--storage-limit"):
        await depot.upload(b"78901")
    with pytest.raises(StorageFull):
        depot.files.check_size(5)
    depot.files.check_size(4)
    await depot.upload(b"7890", "b")
    plane.clock.turn(DAY + 1)
    await depot.collection.collect()
    await depot.upload(b"1234567890")
    assert Depot(plane, Quotas(total=11)).blobs.room.used == 10


async def test_files_that_arrive_at_once_cannot_take_the_room_twice(plane: Plane) -> None:
    depot = Depot(plane, Quotas(total=10))
    done = await asyncio.gather(*(depot.upload(bytes([n]) * 4) for n in range(5)), return_exceptions=True)
    assert sum(isinstance(each, StorageFull) for each in done) == 3
    assert depot.blobs.room.used == 8


async def test_a_tasks_files_and_its_artifacts_stay_within_their_quota(plane: Plane) -> None:
    depot = Depot(plane)
    names = [await depot.upload(b"123456", "a"), await depot.upload(b"78901", "b")]
    small = within(plane, Quotas(task=10))
    with pytest.raises(TooLarge, match=r"11 bytes together.*--task-limit"):
        await small.task(files=names)
    node = await plane.node()
    task = (await plane.started(node, files=names[:1]))["task_id"]
    depot = Depot(small)
    await depot.artifact(node, task, b"123456")
    with pytest.raises(TooLarge, match="10 bytes"):
        await depot.artifact(node, task, b"78901", "b")
    await depot.artifact(node, task, b"7890", "b")
    await depot.artifact(node, task, b"abcdef")
