"""Files, artifacts and output against attempts, leases and a full disk."""

import errno
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from qb.contract.routes import Caller
from qb.contract.tasks import OutputBatch, OutputChunk
from qb.domain.errors import NotFound, StaleAttempt, StorageFull, TooLarge
from qb.domain.quotas import Quotas
from qb.domain.times import iso
from qb.service.artifacts import Artifacts
from qb.service.blobs import Blobs
from qb.service.credentials import Identity
from qb.service.files import RENEW_SECONDS, Files
from qb.service.output import Output
from qb.service.sending import CHUNK
from qb.store import output, tasks
from tests.service.conftest import ADMIN, HandClock, Plane


async def body(*chunks: bytes, error: OSError | None = None) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    if error is not None:
        raise error


def runner(node: str) -> Identity:
    return Identity(Caller.NODE, node_id=node, name="node")


def blobs(plane: Plane, **more: Any) -> Blobs:
    return Blobs(plane.core.settings.blobs, Quotas(**more))


def stored(plane: Plane) -> list[str]:
    return [path.name for path in plane.core.settings.blobs.rglob("*") if path.is_file()]


async def upload(plane: Plane, name: str, *chunks: bytes) -> str:
    files = Files(plane.core, plane.registry, blobs(plane))
    async with files.receive(name, body(*chunks)) as received:
        return str((await files.keep(ADMIN, received))["filename"])


async def lease(plane: Plane, task_id: str) -> str:
    row = await plane.core.readers.run(lambda db: tasks.get(db, task_id))
    assert row is not None
    return str(row["lease_expires_at"])


async def lines(plane: Plane, task_id: str) -> list[dict[str, Any]]:
    return await plane.core.readers.run(lambda db: output.page(db, task_id, after=0, limit=1000))


async def second_attempt(plane: Plane, node: str) -> str:
    """A task whose first attempt failed and whose second runs on `node`."""
    first = await plane.started(node, max_attempts=2)
    await plane.runner(node, first["task_id"], "error", attempt=1, exit_code=1)
    again = await plane.poll(node)
    assert again is not None
    assert again["attempt"] == 2
    return str(first["task_id"])


async def test_an_older_attempt_leaves_neither_output_nor_artifacts(plane: Plane) -> None:
    node = await plane.node()
    task = await second_attempt(plane, node)
    artifacts = Artifacts(plane.core, plane.registry, blobs(plane))
    agent = Identity(Caller.AGENT, task_id=task, attempt=1, name="agent")
    for identity in (runner(node), agent):
        with pytest.raises(StaleAttempt):
            await artifacts.put(identity, task, "a", body(b"x"), digest=None, attempt=1)
    chunk = OutputChunk(seq=1, at="now", text="late")
    with pytest.raises(StaleAttempt):
        await Output(plane.core, plane.registry).take(runner(node), task, OutputBatch(attempt=1, chunks=[chunk]))
    assert stored(plane) == []


async def test_an_artifact_whose_attempt_ends_while_it_comes_is_not_listed(plane: Plane) -> None:
    node = await plane.node()
    task = (await plane.started(node, max_attempts=2))["task_id"]
    artifacts = Artifacts(plane.core, plane.registry, blobs(plane))

    async def slow() -> AsyncIterator[bytes]:
        yield b"x"
        await plane.runner(node, task, "error", attempt=1, exit_code=1)
        assert await plane.poll(node) is not None

    with pytest.raises(StaleAttempt):
        await artifacts.put(runner(node), task, "a", slow(), digest=None, attempt=None)
    assert await artifacts.page(task, after="", limit=10) == []


async def test_output_of_each_attempt_counts_from_one(plane: Plane) -> None:
    node = await plane.node()
    first = await plane.started(node, max_attempts=2)
    task, taking = first["task_id"], Output(plane.core, plane.registry)
    chunk = OutputChunk(seq=1, at="now", text="hello")
    await taking.take(runner(node), task, OutputBatch(attempt=1, chunks=[chunk]))
    await plane.runner(node, task, "error", attempt=1, exit_code=1)
    await plane.poll(node)
    assert await taking.take(runner(node), task, OutputBatch(attempt=2, chunks=[chunk])) == {"accepted_to": 1}
    assert [(line["attempt"], line["seq"]) for line in await lines(plane, task)] == [(1, 1), (2, 1)]


async def test_output_and_artifacts_renew_the_lease(plane: Plane, clock: HandClock) -> None:
    node = await plane.node()
    task = (await plane.started(node))["task_id"]
    taking, artifacts = Output(plane.core, plane.registry), Artifacts(plane.core, plane.registry, blobs(plane))
    seen = [await lease(plane, task)]
    clock.turn(10)
    await taking.take(runner(node), task, OutputBatch(attempt=1, chunks=[]))
    seen.append(await lease(plane, task))
    clock.turn(10)
    await artifacts.put(runner(node), task, "a", body(b"x"), digest=None, attempt=None)
    seen.append(await lease(plane, task))
    assert seen == sorted(set(seen))


async def test_a_download_in_progress_renews_the_lease(plane: Plane, clock: HandClock) -> None:
    node = await plane.node()
    name = await upload(plane, "large.bin", bytes(4 * CHUNK))
    task = (await plane.started(node, files=[name]))["task_id"]
    _, sending = await Files(plane.core, plane.registry, blobs(plane)).download(node, "large.bin")
    size = 0
    async for chunk in sending:
        size += len(chunk)
        clock.turn(RENEW_SECONDS)
    await sending.close()
    assert size == 4 * CHUNK
    assert await lease(plane, task) == iso(clock() + timedelta(seconds=60))


async def test_a_node_with_two_tasks_can_say_whose_file_it_means(plane: Plane) -> None:
    node = await plane.node(slots=2)
    held = []
    for content in (b"first", b"second"):
        held.append((await plane.started(node, files=[await upload(plane, "data.csv", content)]))["task_id"])
        plane.clock.turn(1)
    files = Files(plane.core, plane.registry, blobs(plane))
    for task, size in zip(held, (5, 6), strict=True):
        file, sending = await files.download(node, "data.csv", task_id=task)
        await sending.close()
        assert file.size == size
    with pytest.raises(NotFound):
        await files.download(node, "data.csv", task_id="another")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
async def test_a_full_disk_keeps_nothing_and_says_so(plane: Plane, number: int) -> None:
    files = Files(plane.core, plane.registry, blobs(plane))
    with pytest.raises(StorageFull, match="free space"):
        async with files.receive("a", body(b"x", error=OSError(number, "no room"))):
            pass
    assert stored(plane) == []


async def test_a_file_that_grows_over_the_limit_keeps_nothing(plane: Plane) -> None:
    files = Files(plane.core, plane.registry, blobs(plane, file=10))
    with pytest.raises(TooLarge, match="10 bytes"):
        async with files.receive("a", body(b"x" * 10, b"x")):
            pass
    assert stored(plane) == []


async def test_an_upload_that_is_not_kept_is_removed(plane: Plane) -> None:
    files = Files(plane.core, plane.registry, blobs(plane))
    async with files.receive("a", body(b"x")):
        assert len(stored(plane)) == 1
    assert stored(plane) == []
