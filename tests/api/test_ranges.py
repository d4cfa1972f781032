"""Parts of files: what is asked for is what is sent, byte by byte."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from qb.contract.tasks import TaskCreate
from tests.api.conftest import Running
from tests.api.test_big_files import join
from tests.api.test_files import digest, hold
from tests.fixtures_server import Server

BODY = bytes(range(256)) * 4
SIZE = len(BODY)
PARTS = {
    "bytes=0-0": BODY[:1],
    "bytes=0-99": BODY[:100],
    "bytes=1000-": BODY[1000:],
    "bytes=1000-9999999": BODY[1000:],
    f"bytes={SIZE - 1}-{SIZE - 1}": BODY[-1:],
    "bytes=-7": BODY[-7:],
    "bytes=-9999999": BODY,
    "Bytes= 3 - 5 ": BODY[3:6],
}
WHOLE = ["bytes=5-3", "bytes=-", "bytes=a-b", "bytes=0-1,5-6", "lines=0-3", "bytes", "bytes=\u00b2-3"]
NONE = [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 5}", "bytes=-0", "bytes=9999999999999999999-"]


class Artifact:
    """One artifact, and GETs of it."""

    def __init__(self, running: Running, path: str) -> None:
        self.running = running
        self.path = path

    async def get(self, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        sent = {name.replace("_", "-"): value.encode() for name, value in headers.items()}
        answer = await self.running.http.get(
            self.path, headers={**{k: v.encode() for k, v in self.running.admin.items()}, **sent}
        )
        return answer.status_code, answer.content, dict(answer.headers)


@pytest.fixture
async def artifact(running: Running) -> Artifact:
    task = await hold(running)
    path = f"/tasks/{task.id}/artifacts/data.bin"
    put = await running.http.put(path, headers={**task.agent, "Digest": digest(BODY)}, content=BODY)
    assert put.status_code == 201, put.text
    return Artifact(running, path)


async def test_a_whole_file_says_that_parts_may_be_asked_for(artifact: Artifact) -> None:
    status, body, headers = await artifact.get()
    assert (status, body, headers["accept-ranges"]) == (200, BODY, "bytes")
    assert headers["etag"] == f'"{headers["x-checksum-sha256"]}"'


@pytest.mark.parametrize("asked", PARTS)
async def test_a_part_is_sent_alone_and_says_where_it_belongs(artifact: Artifact, asked: str) -> None:
    status, body, headers = await artifact.get(Range=asked)
    assert (status, body) == (206, PARTS[asked])
    unit, first, last, size = re.split("[ /-]", headers["content-range"])
    assert (unit, int(size)) == ("bytes", SIZE)
    assert BODY[int(first) : int(last) + 1] == body
    assert headers["content-length"] == str(len(body))


@pytest.mark.parametrize("asked", WHOLE)
async def test_what_is_no_single_range_of_bytes_gets_the_whole_file(artifact: Artifact, asked: str) -> None:
    status, body, headers = await artifact.get(Range=asked)
    assert (status, body) == (200, BODY)
    assert "content-range" not in headers


@pytest.mark.parametrize("asked", NONE)
async def test_a_part_beyond_the_end_is_refused_with_the_size(artifact: Artifact, asked: str) -> None:
    status, body, headers = await artifact.get(Range=asked)
    assert status == 416
    assert b"range_not_satisfiable" in body
    assert headers["content-range"] == f"bytes */{SIZE}"


async def test_if_range_sends_the_part_only_of_the_very_file(artifact: Artifact) -> None:
    _, _, headers = await artifact.get()
    assert (await artifact.get(Range="bytes=0-3", If_Range=headers["etag"]))[0] == 206
    for other in ('"0000"', "W/" + headers["etag"], "Mon, 23 Nov 2026 12:00:00 GMT"):
        assert (await artifact.get(Range="bytes=0-3", If_Range=other))[:2] == (200, BODY)


async def test_a_file_that_the_caller_has_is_not_sent_again(artifact: Artifact) -> None:
    _, _, headers = await artifact.get()
    for known in (headers["etag"], f'"x", W/{headers["etag"]}', "*"):
        status, body, again = await artifact.get(If_None_Match=known)
        assert (status, body, again["etag"]) == (304, b"", headers["etag"])
    assert (await artifact.get(If_None_Match='"x"'))[0] == 200


async def test_an_empty_file_has_no_parts(running: Running) -> None:
    task = await hold(running)
    path = f"/tasks/{task.id}/artifacts/empty"
    assert (await running.http.put(path, headers=task.agent, content=b"")).status_code == 201
    empty = Artifact(running, path)
    assert [(await empty.get(Range=asked))[0] for asked in ("bytes=0-", "bytes=-1")] == [416, 416]
    assert (await empty.get())[:2] == (200, b"")


def pieces(size: int, step: int) -> Iterator[str]:
    for first in range(0, size, step):
        yield f"bytes={first}-{first + step - 1}"


def test_a_node_fetches_a_file_in_parts_from_a_real_server(shared_server: Server, tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    content = BODY * 2000
    path.write_bytes(content)
    with shared_server.client() as operator, join(shared_server, "ranges-box") as node:
        upload = operator.upload(path)
        operator.create_task(TaskCreate(prompt="go", target_node_name="ranges-box", files=[upload.filename]))
        assert node.poll() is not None
        key = node._wire._http.headers["X-API-Key"]
        with shared_server.http(key) as http:
            parts = [http.get("/files/large.bin", headers={"Range": asked}) for asked in pieces(len(content), 500_000)]
    assert {part.status_code for part in parts} == {206}
    assert b"".join(part.content for part in parts) == content
