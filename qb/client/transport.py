"""HTTP under the client: one request per call, bounded answers, errors of one tree."""

import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from typing import Any, TypeVar
from urllib.parse import quote
from urllib.request import getproxies

import httpx2
from pydantic import BaseModel, TypeAdapter, ValidationError

from qb.client.credentials import check
from qb.client.errors import BadAnswer, BadCaFile, ClientError, Refused, Unreachable
from qb.contract.errors import ErrorCode
from qb.contract.routes import BY_NAME

ANSWER_LIMIT = 64 << 20
"""Bytes of a JSON answer that are read at most; a server that sends more is not ours."""

EVENT_LIMIT = 16 << 20
CHUNK = 256 << 10
WORDS = {"X-API-Key": "the key", "X-Registration-Token": "the registration token"}
"""What the headers hold that say who asks."""
_M = TypeVar("_M", bound=BaseModel)


Around = Callable[[str], AbstractContextManager[None]]


def nothing_around(_: str) -> AbstractContextManager[None]:
    """What encloses a request as a rule."""
    return nullcontext()


def _trusted(url: str, ca_file: str | None) -> ssl.SSLContext | bool:
    """Whose certificates count. Raises BadCaFile."""
    if url.startswith("http://") and not getproxies():
        # no certificate will come, and the world's authorities take memory and time to load
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return True if ca_file is None else _authorities(ca_file)


def _authorities(ca_file: str) -> ssl.SSLContext:
    """A context that believes the CAs in this file. Raises BadCaFile, which names it."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise BadCaFile(f"the CA file {ca_file} holds no certificate (PEM)") from error
    except (OSError, ValueError) as error:
        raise BadCaFile(f"cannot read the CA file {ca_file}: {getattr(error, 'strerror', None) or error}") from error


class Transport:
    """Sends requests named by their row in the route table. Raises ClientError and nothing else."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        ca_file: str | None,
        user_agent: str,
        answer_limit: int,
        around: Around,
    ) -> None:
        self.url = url
        self._around = around
        self._limit = answer_limit
        # Compressed, a small answer could become a huge one before it is measured.
        defaults = {"User-Agent": user_agent, "Accept": "application/json", "Accept-Encoding": "identity"}
        try:
            self._http = httpx2.Client(base_url=url, headers=defaults, timeout=timeout, verify=_trusted(url, ca_file))
        except (OSError, httpx2.InvalidURL, UnicodeError, ValueError) as error:
            raise ClientError(f"cannot use {url}: {error}") from error

    def identify(self, header: str, value: str | None) -> None:
        """Send this key or token with every request, or no more. Raises BadCredential for what cannot be one.

        httpx would find that out with the first request, and show the value in its message.
        """
        self._http.headers.pop(header, None)
        if value is not None:
            self._http.headers[header] = check(value, WORDS[header])

    def close(self) -> None:
        """Drop the connections."""
        self._http.close()

    def model(self, model: type[_M], name: str, parts: Mapping[str, str] | None = None, **options: Any) -> _M:
        return parsed(model, self.json(name, parts, **options))

    def tagged(self, model: type[_M], name: str, parts: Mapping[str, str]) -> tuple[_M, str]:
        """A thing and its ETag, `*` where there is none."""
        with self.stream(name, parts) as response:
            return parsed(model, _read_json(response, self._limit)), response.headers.get("ETag", "*")

    def models(self, model: type[_M], name: str, parts: Mapping[str, str] | None = None, **options: Any) -> list[_M]:
        return _parsed_many(model, self.json(name, parts, **options))

    def pages(
        self,
        model: type[_M],
        name: str,
        parts: Mapping[str, str] | None = None,
        *,
        params: Mapping[str, Any] | None = None,
        most: int | None = None,
    ) -> list[_M]:
        """A list that comes in pages, as a whole, or its first `most` entries."""
        found: list[_M] = []
        asked = dict(params or {})
        while True:
            with self.stream(name, parts, params=asked) as response:
                found += _parsed_many(model, _read_json(response, self._limit))
                cursor = response.headers.get("X-Next-Cursor")
            if cursor is None or (most is not None and len(found) >= most):
                return found[:most]
            asked["cursor"] = cursor

    def json(self, name: str, parts: Mapping[str, str] | None = None, **options: Any) -> Any:
        with self.stream(name, parts, **options) as response:
            return _read_json(response, self._limit)

    @contextmanager
    def stream(
        self,
        name: str,
        parts: Mapping[str, str] | None = None,
        *,
        body: BaseModel | None = None,
        **options: Any,
    ) -> Iterator[httpx2.Response]:
        if body is not None:
            options["content"] = body.model_dump_json(exclude_none=True)
            options["headers"] = {**options.get("headers", {}), "Content-Type": "application/json"}
        request = self._request(name, parts or {}, options)
        try:
            with self._around(name), closing(self._http.send(request, stream=True)) as response:
                if response.status_code >= 300:
                    raise _refusal(response, self._limit)
                yield response
        except (httpx2.RequestError, httpx2.StreamError) as error:
            raise Unreachable(f"{self.url} does not answer: {error or type(error).__name__}") from error

    def _request(self, name: str, parts: Mapping[str, str], options: Mapping[str, Any]) -> httpx2.Request:
        route = BY_NAME[name]
        try:
            path = route.path.format(**{key: quote(value, safe="") for key, value in parts.items()})
            return self._http.build_request(route.method, path, **options)
        except httpx2.InvalidURL as error:
            raise ClientError(f"cannot ask {self.url} for that: {error}") from error
        except UnicodeEncodeError as error:
            raise ClientError(f"cannot send {str(error.object)[:100]!r}: {error.reason}") from error

    def follow(self, model: type[_M], name: str, task_id: str, after: int) -> Iterator[_M]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        with self.stream(name, {"task_id": task_id}, headers=headers, timeout=45) as response:
            for event in httpx2.EventSource(response, EVENT_LIMIT):
                if event.event == "end":
                    return
                yield parsed(model, _decoded(event.data))
        raise Unreachable(f"{self.url} closed the stream before the task ended")


def chunks(response: httpx2.Response) -> Iterator[bytes]:
    yield from response.iter_raw(CHUNK)


def _read_json(response: httpx2.Response, limit: int) -> Any:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise BadAnswer(f"{response.url.host} answers compressed, unasked: is it the orchestrator?")
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > limit:
            raise BadAnswer(f"the answer of {response.url.host} is over {limit >> 20} MiB: is it the orchestrator?")
    return _decoded(bytes(body))


def _decoded(body: bytes | str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"the answer is not JSON ({error}): does the address lead to the orchestrator?") from error


def parsed(model: type[_M], answer: Any) -> _M:
    try:
        return model.model_validate(answer)
    except ValidationError as error:
        raise BadAnswer(f"the answer is not a {model.__name__}: {_first(error)}") from error


def _parsed_many(model: type[_M], answer: Any) -> list[_M]:
    try:
        return TypeAdapter(list[model]).validate_python(answer)  # type: ignore[valid-type]
    except ValidationError as error:
        raise BadAnswer(f"the answer is not a list of {model.__name__}: {_first(error)}") from error


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}"


def _refusal(response: httpx2.Response, limit: int) -> ClientError:
    try:
        problem = _read_json(response, limit)
        code = ErrorCode(problem["code"]) if "code" in problem else None
        detail = str(problem["detail"])
    except (BadAnswer, KeyError, TypeError, ValueError):
        code, detail = None, f"{response.url.host} answered {response.status_code} without a reason"
    return Refused(response.status_code, code, detail, _seconds(response.headers.get("Retry-After")))


def _seconds(value: str | None) -> float | None:
    return float(value) if value and value.isdigit() else None
