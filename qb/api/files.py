"""Uploads, downloads and artifacts: bytes in and out, streamed."""

from collections.abc import AsyncIterator
from typing import BinaryIO
from urllib.parse import quote

import falcon
from falcon.asgi import Request, Response

from qb.api.media import reply
from qb.api.tasks import whole
from qb.domain.errors import Invalid, Malformed, UnsupportedMediaType
from qb.service.files import Files
from qb.store.files import StoredFile

CHUNK = 256 << 10


class Uploads:
    """POST /upload"""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def on_post(self, req: Request, resp: Response) -> None:
        """Take one file of a multipart form, in its field `file`."""
        if not (req.content_type or "").startswith("multipart/form-data"):
            raise UnsupportedMediaType("send the file as multipart/form-data, in a field named file")
        try:
            form = await req.get_media()
            async for part in form:
                if part.name == "file" and part.filename is not None:
                    name = part.filename
                    reply(resp, await self._files.upload(req.context.identity, name, part.stream), 201)
                    return
        except falcon.MediaMalformedError as error:
            raise Malformed(f"the multipart form cannot be read: {error.description}") from error
        raise Invalid("the form has no file: send it in a field named file, with a file name")


class Downloads:
    """GET /files/{name}"""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def on_get(self, req: Request, resp: Response, name: str) -> None:
        """A file of the task that the caller's node holds."""
        _send(resp, *await self._files.download(req.context.identity.node_id, name))


class Artifacts:
    """/tasks/{task_id}/artifacts and /tasks/{task_id}/artifacts/{name}"""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def on_put(self, req: Request, resp: Response, task_id: str, name: str) -> None:
        """Keep one artifact."""
        attempt = whole(req, "attempt", default=0, low=0, high=1 << 31)
        stored = await self._files.put_artifact(
            req.context.identity,
            task_id,
            name,
            _chunks(req),
            length=req.content_length,
            digest=req.get_header("Digest"),
            attempt=attempt or None,
        )
        reply(resp, stored, 201)

    async def on_get(self, req: Request, resp: Response, task_id: str) -> None:
        """List them."""
        reply(resp, await self._files.artifacts(task_id))

    async def on_get_one(self, req: Request, resp: Response, task_id: str, name: str) -> None:
        """Send one."""
        file, blob = await self._files.artifact(task_id, name)
        _send(resp, file, blob)
        resp.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{quote(file.name, safe='')}")


async def _chunks(req: Request) -> AsyncIterator[bytes]:
    while chunk := await req.stream.read(CHUNK):
        yield chunk


def _send(resp: Response, file: StoredFile, blob: BinaryIO) -> None:
    resp.content_type = "application/octet-stream"
    resp.set_header("X-Checksum-SHA256", file.checksum)
    resp.set_header("X-Content-Type-Options", "nosniff")
    resp.set_stream(_blob(blob), file.size)


async def _blob(blob: BinaryIO) -> AsyncIterator[bytes]:
    with blob:
        # From the page cache as a rule: a read takes less time than the hop to a thread would.
        while chunk := blob.read(CHUNK):
            yield chunk
