"""Uploads, and the files that nodes fetch: streamed in, streamed out."""

from contextlib import AsyncExitStack

import falcon
from falcon.asgi import Request, Response
from falcon.asgi.multipart import BodyPart

from qb.api.media import reply
from qb.api.ranges import asked
from qb.contract.queries import Download, DownloadHeaders
from qb.domain.errors import Invalid, Malformed, RangeNotSatisfiable, UnsupportedMediaType
from qb.domain.etags import names
from qb.service.files import Files, Received
from qb.service.sending import Sending
from qb.store.files import StoredFile

FORM_BYTES = 64 << 10
"""What a form may have around its file: a request that is larger by no more is judged by the bytes of the file."""

_ESCAPES = (("%22", '"'), ("%0D", "\r"), ("%0A", "\n"))
"""What clients write in a form for the characters that would end a file name (WHATWG HTML, form encoding)."""


class Uploads:
    """POST /upload"""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def on_post(self, req: Request, resp: Response) -> None:
        """Take one file of a multipart form, in its field `file`."""
        if (req.content_type or "").partition(";")[0].strip().lower() != "multipart/form-data":
            raise UnsupportedMediaType("send the file as multipart/form-data, in a field named file")
        if req.content_length is not None:
            self._files.check_size(max(0, req.content_length - FORM_BYTES))
        async with AsyncExitStack() as owned:
            try:
                received = await self._read(req, owned)
            except falcon.MediaMalformedError as error:
                raise Malformed("the multipart form is not whole: send it again") from error
            if received is None:
                raise Invalid("the form has no file: send it in a field named file, with a file name")
            reply(resp, await self._files.keep(req.context.identity, received), 201)

    async def _read(self, req: Request, owned: AsyncExitStack) -> Received | None:
        received = None
        # Read to the closing boundary: without it a lost connection would look like the end of the file.
        async for part in await req.get_media():
            field, filename = _names(part)
            if field != "file" or filename is None:
                continue
            if received is not None:
                raise Invalid("the form has two files: send one at a time")
            received = await owned.enter_async_context(self._files.receive(filename, aiter(part.stream)))
        return received


def _names(part: BodyPart) -> tuple[str | None, str | None]:
    try:
        field, filename = part.name, part.filename
    except UnicodeDecodeError as error:
        raise Malformed("the multipart form has a part whose headers are not UTF-8") from error
    if filename is not None:
        for escape, character in _ESCAPES:
            filename = filename.replace(escape, character)
    return field, filename


class Downloads:
    """GET /files/{name}"""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def on_get(self, req: Request, resp: Response, name: str) -> None:
        """A file of a task that the caller's node holds; `task_id` tells which, where the node holds several."""
        node_id = req.context.identity.node_id
        query: Download = req.context.query
        await send(req, resp, *await self._files.download(node_id, name, task_id=query.task_id))


async def send(req: Request, resp: Response, file: StoredFile, blob: Sending) -> None:
    """Answer with the bytes of a file, or the part asked for, as nothing that a browser would show or run.

    Raises RangeNotSatisfiable; `blob` is closed then.
    """
    headers: DownloadHeaders = req.context.headers
    etag = f'"{file.checksum}"'
    resp.content_type = "application/octet-stream"
    resp.set_header("X-Checksum-SHA256", file.checksum)
    resp.set_header("X-Content-Type-Options", "nosniff")
    resp.set_header("Accept-Ranges", "bytes")
    resp.set_header("ETag", etag)
    if headers.if_none_match is not None and names(headers.if_none_match, etag):
        await blob.close()
        resp.status = 304
        return
    try:
        span = asked(headers.range, headers.if_range, etag, file.size)
    except RangeNotSatisfiable:
        await blob.close()
        resp.set_header("Content-Range", f"bytes */{file.size}")
        raise
    if span is not None:
        blob.cut(*span)
        resp.status = 206
        resp.set_header("Content-Range", span.content_range(file.size))
    resp.set_stream(blob, file.size if span is None else span.length)
