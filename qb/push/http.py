"""Push over HTTP: POST /run and its kin, to just the address that was checked, following no redirect."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from json import dumps
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from qb.contract.push import SIGNATURE, PushHealth, PushStatus, Started, signature
from qb.domain.destinations import Policy
from qb.domain.errors import QuarterbackError
from qb.push.transport import Begins, Outcome, PushNode, Sent
from qb.service.destinations import pin

CONNECT_SECONDS, SEND_SECONDS, ASK_SECONDS = 5.0, 30.0, 10.0
KEEP_SECONDS = 5.0
"""An idle connection is dropped sooner than a runner drops it: a request must not run into its closing."""

ANSWER_LIMIT = 256 << 10
OLD_FIELDS = ("task_id", "prompt", "orchestrator_url", "timeout_seconds")
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)
_REJECTED = frozenset({400, 413, 422})
_M = TypeVar("_M", bound=BaseModel)


class _NoAnswer(Exception):
    """The node answers more than any runner does, or takes longer over it."""


class HttpTransport:
    """Speaks to push nodes as wire.md says. `policy` decides where it may connect; `ca_file` is for private CAs."""

    def __init__(self, policy: Policy, ca_file: Path | None = None) -> None:
        self._policy = policy
        context = ssl.create_default_context()
        if ca_file is not None:
            context.load_verify_locations(ca_file)
        self._http = httpx2.AsyncClient(
            verify=context,
            follow_redirects=False,
            trust_env=False,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=256, keepalive_expiry=KEEP_SECONDS),
        )

    async def close(self) -> None:
        """Let go of every connection."""
        await self._http.aclose()

    async def send(self, node: PushNode, assignment: Mapping[str, Any], begins: Begins | None = None) -> Sent:
        """POST /run. What an older runner does not know is left out."""
        fields = OLD_FIELDS if node.old else tuple(assignment)
        body = dumps({key: assignment[key] for key in fields if assignment.get(key) is not None}).encode()
        try:
            async with self._call(node, "POST", "/run", body=body, seconds=SEND_SECONDS) as answer:
                return await _sent(node, answer)
        except QuarterbackError as error:
            return Sent(Outcome.REFUSED, str(error))
        except _NOT_SENT as error:
            return Sent(Outcome.REFUSED, f"{node.endpoint} cannot be reached: {error or type(error).__name__}")
        except (httpx2.RequestError, _NoAnswer) as error:
            return Sent(Outcome.UNKNOWN, f"{node.endpoint} gave no answer: {error or type(error).__name__}")

    async def status(self, node: PushNode) -> PushStatus | None:
        """GET /status; an older runner asks for no key, and gets none."""
        return await self._ask(node, "/status", PushStatus, with_key=not node.old)

    async def healthy(self, node: PushNode) -> bool:
        """GET /health."""
        return await self._ask(node, "/health", PushHealth, with_key=False) is not None

    async def cancel(self, node: PushNode, task_id: str, attempt: int) -> bool:
        """POST /cancel."""
        body = dumps({"task_id": task_id, "attempt": attempt}).encode()
        try:
            async with self._call(node, "POST", "/cancel", body=body, seconds=ASK_SECONDS) as answer:
                return answer.status_code == httpx2.codes.ACCEPTED
        except (QuarterbackError, httpx2.RequestError, _NoAnswer):
            return False

    async def _ask(self, node: PushNode, path: str, model: type[_M], *, with_key: bool) -> _M | None:
        try:
            async with self._call(node, "GET", path, with_key=with_key, seconds=ASK_SECONDS) as answer:
                return model.model_validate_json(await _read(answer)) if answer.status_code == 200 else None
        except (QuarterbackError, httpx2.RequestError, ValidationError, _NoAnswer):
            return None

    @asynccontextmanager
    async def _call(
        self, node: PushNode, method: str, path: str, *, body: bytes = b"", with_key: bool = True, seconds: float
    ) -> AsyncIterator[httpx2.Response]:
        """One request, its answer and what is made of it, within `seconds`: httpx has a deadline for each read alone.

        Raises _NoAnswer when the time is up.
        """
        try:
            async with (
                asyncio.timeout(seconds),
                self._request(node, method, path, body=body, with_key=with_key, seconds=seconds) as answer,
            ):
                yield answer
        except TimeoutError as error:
            raise _NoAnswer(f"no whole answer within {seconds:g} s") from error

    @asynccontextmanager
    async def _request(
        self, node: PushNode, method: str, path: str, *, body: bytes, with_key: bool, seconds: float
    ) -> AsyncIterator[httpx2.Response]:
        """One request, at the first of the node's addresses that takes a connection."""
        headers = {"X-API-Key": node.key} if with_key else {}
        if body:
            headers |= {"Content-Type": "application/json", SIGNATURE: signature(node.key, body)}
        addresses = await pin(node.endpoint.rstrip("/") + path, self._policy)
        timeout = httpx2.Timeout(seconds, connect=CONNECT_SECONDS)
        for pinned in addresses:
            request = self._http.build_request(
                method,
                pinned.url,
                content=body or None,
                headers=headers | pinned.headers,
                extensions=pinned.extensions,
                timeout=timeout,
            )
            try:
                response = await self._http.send(request, stream=True)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                if pinned is addresses[-1]:
                    raise
                continue
            try:
                yield response
            finally:
                await response.aclose()
            return


async def _sent(node: PushNode, answer: httpx2.Response) -> Sent:
    status, text = answer.status_code, await _read(answer)
    if status == 200:
        try:
            return Sent(Outcome.STARTED, pid=Started.model_validate_json(text).pid)
        except ValidationError:
            return Sent(Outcome.UNKNOWN, f"{node.endpoint} answers what no runner does: does it lead to the node?")
    why = f"{node.endpoint} answers {status}: {_reason(text)}"
    if status in _REJECTED:
        return Sent(Outcome.REJECTED, why)
    # an older runner's 409 may be about this very task, and nobody knows what came before a 500
    if status >= 500 or status == 408 or (status == 409 and node.old):
        refused = status == 503 and not node.old
        return Sent(Outcome.REFUSED if refused else Outcome.UNKNOWN, why)
    return Sent(Outcome.REFUSED, why)


async def _read(answer: httpx2.Response) -> bytes:
    found = bytearray()
    async for chunk in answer.aiter_raw():
        found += chunk
        if len(found) > ANSWER_LIMIT:
            raise _NoAnswer("its answer has no end")
    return bytes(found)


def _reason(text: bytes) -> str:
    try:
        return str(_Reason.model_validate_json(text).detail)[:500]
    except ValidationError:
        return text[:200].decode("utf-8", "replace")


class _Reason(BaseModel):
    detail: str
