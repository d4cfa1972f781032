"""What is kept while its row is refused goes again; what anybody else may refer to stays."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qb.domain.errors import StaleAttempt, StorageFull
from qb.domain.quotas import Quotas
from qb.service.blobs import Blobs

BYTES = b"the bytes"


async def chunks() -> AsyncIterator[bytes]:
    yield BYTES


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    blobs = Blobs(tmp_path / "blobs", Quotas())
    blobs.open()
    return blobs


async def keep(blobs: Blobs, refusal: Exception | None = None) -> None:
    async with blobs.receive(chunks()) as part, blobs.kept(part):
        if refusal is not None:
            raise refusal


@pytest.mark.parametrize("refusal", [StorageFull("the disk is full"), StaleAttempt("the attempt is over")])
async def test_what_is_new_goes_when_nothing_comes_to_refer_to_it(blobs: Blobs, refusal: Exception) -> None:
    with pytest.raises(type(refusal)):
        await keep(blobs, refusal)
    assert (await blobs.names(), blobs.room.used) == ([], 0)


async def test_what_was_there_before_stays(blobs: Blobs) -> None:
    await keep(blobs)
    with pytest.raises(StorageFull):
        await keep(blobs, StorageFull("the disk is full"))
    assert (len(await blobs.names()), blobs.room.used) == (1, len(BYTES))


async def test_what_somebody_else_kept_meanwhile_stays(blobs: Blobs) -> None:
    with pytest.raises(StorageFull):
        async with blobs.receive(chunks()) as part, blobs.kept(part):
            await keep(blobs)
            raise StorageFull("the disk is full")
    assert len(await blobs.names()) == 1


async def test_what_somebody_else_is_just_sending_stays(blobs: Blobs) -> None:
    async with blobs.receive(chunks()) as other:
        with pytest.raises(StorageFull):
            await keep(blobs, StorageFull("the disk is full"))
        async with blobs.kept(other):
            pass
    assert len(await blobs.names()) == 1


async def test_it_stays_where_nobody_knows_whether_its_row_came_to_be(blobs: Blobs) -> None:
    with pytest.raises(OSError, match="input/output"):
        await keep(blobs, OSError("input/output error"))
    assert len(await blobs.names()) == 1
