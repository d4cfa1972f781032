"""A task's output within its quota: what is kept, where it is cut, and that this is said."""

from typing import Any

import pytest

from qb.contract.routes import Caller
from qb.contract.tasks import OutputBatch, OutputChunk
from qb.domain.quotas import Quotas
from qb.service.credentials import Identity
from qb.service.output import Output
from qb.store import output as store
from tests.service.conftest import Plane
from tests.service.test_collection import within


class Printing:
    """One task that prints, within a quota of 10 bytes unless said otherwise."""

    def __init__(self, plane: Plane, node: str, task: str, quota: int) -> None:
        self._plane = within(plane, Quotas(output=quota))
        self._identity = Identity(Caller.NODE, node_id=node, name="node")
        self.task = task

    async def prints(self, first: int, *texts: str, attempt: int = 1) -> int:
        chunks = [OutputChunk(seq=seq, at="now", text=text) for seq, text in enumerate(texts, start=first)]
        batch = OutputBatch(attempt=attempt, chunks=chunks)
        output = Output(self._plane.core, self._plane.registry)
        return (await output.take(self._identity, self.task, batch))["accepted_to"]

    async def lines(self) -> list[dict[str, Any]]:
        return await self._plane.core.readers.run(lambda db: store.page(db, self.task, after=0, limit=1000))

    async def texts(self) -> list[tuple[int, str]]:
        return [(line["seq"], line["text"] if line["stream"] != "system" else "CUT") for line in await self.lines()]

    async def dropped(self) -> Any:
        return (await self._plane.show(self.task))["output_dropped"]


async def printing(plane: Plane, *, quota: int = 10, **more: Any) -> Printing:
    node = await plane.node()
    return Printing(plane, node, (await plane.started(node, **more))["task_id"], quota)


async def test_output_within_the_quota_is_kept_whole(plane: Plane) -> None:
    job = await printing(plane)
    assert await job.prints(1, "12345", "67890") == 2
    assert await job.texts() == [(1, "12345"), (2, "67890")]
    assert await job.dropped() is None


async def test_output_past_the_quota_is_accepted_dropped_and_marked_once(plane: Plane) -> None:
    job = await printing(plane)
    assert await job.prints(1, "12345", "678901", "x") == 3
    assert await job.prints(4, "y", "") == 5
    assert await job.prints(4, "y", "", "z") == 6
    assert await job.texts() == [(1, "12345"), (2, "CUT")]
    assert await job.dropped() == 9
    marker = (await job.lines())[-1]
    assert (marker["stream"], marker["at"]) == ("system", "now")
    assert "10 bytes" in marker["text"]


async def test_the_quota_counts_bytes_not_characters(plane: Plane) -> None:
    job = await printing(plane)
    await job.prints(1, "\u00e4\u00e4\u00e4", "\u20ac\u20ac")
    assert await job.texts() == [(1, "\u00e4\u00e4\u00e4"), (2, "CUT")]
    assert await job.dropped() == 6


async def test_all_attempts_share_the_quota_and_each_says_where_it_is_cut(plane: Plane) -> None:
    job = await printing(plane, max_attempts=3)
    node = (await plane.show(job.task))["assigned_node_id"]
    await job.prints(1, "12345678")
    for attempt, texts in ((2, ["ab", "c"]), (3, ["d"])):
        await plane.runner(node, job.task, "error", attempt=attempt - 1, exit_code=1)
        assert (await plane.poll(node) or {})["attempt"] == attempt
        assert await job.prints(1, *texts, attempt=attempt) == len(texts)
    assert await job.texts() == [(1, "12345678"), (1, "ab"), (2, "CUT"), (1, "CUT")]
    assert await job.dropped() == 2


async def test_an_attempt_can_store_only_so_many_lines_as_have_a_number(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MOST_SEQ", 3)
    job = await printing(plane, quota=1000)
    assert await job.prints(1, "a", "b", "c", "d") == 4
    # page() looks no further than MOST_SEQ, where the marker stands
    assert await job.texts() == [(1, "a"), (2, "b"), (3, "CUT")]
    assert await job.dropped() == 2
