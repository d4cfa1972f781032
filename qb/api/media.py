"""JSON in and out: strict about what comes in, quick about both."""

import asyncio
import json
from typing import Any, NoReturn, TypeVar

import orjson
from falcon.asgi import Request, Response
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from qb.contract.mismatches import WORDS
from qb.contract.queries import AgePage, name_cursor
from qb.domain.errors import Invalid, Malformed, TooLarge, UnsupportedMediaType
from qb.domain.etags import names

DEFAULT_LIMIT = 1 << 20
OUTPUT_LIMIT = 8 << 20
LOGS_LIMIT = 32 << 20
THREAD_FROM = 256 << 10
"""Bodies from this size on are parsed in a thread: the event loop serves others meanwhile."""

MAX_DEPTH = 64
_SHOWN_ERRORS = 3
_INT_RANGE = range(-(1 << 63), 1 << 63)
_M = TypeVar("_M", bound=BaseModel)


async def read_model(req: Request, model: type[_M], *, limit: int = DEFAULT_LIMIT) -> _M:
    """The body as `model`. Raises what `read_json` does, and Invalid when it does not fit the model."""
    body = await read_body(req, limit)
    if len(body) >= THREAD_FROM:
        return await asyncio.to_thread(_model, body, model)
    return _model(body, model)


async def read_json(req: Request, limit: int = DEFAULT_LIMIT) -> Any:
    """The body as JSON values.

    Raises Malformed, TooLarge (over `limit` bytes) or UnsupportedMediaType.
    """
    body = await read_body(req, limit)
    if len(body) >= THREAD_FROM:
        return await asyncio.to_thread(parse, body)
    return parse(body)


async def read_body(req: Request, limit: int) -> bytes:
    """The whole body, at most `limit` bytes, of a request that says JSON or nothing about its kind."""
    kind = req.content_type
    if kind is not None and kind != "application/json":
        _check_kind(kind)
    announced = req.content_length
    if announced is None:
        # A chunked body that breaks off looks whole here; but half a JSON object never parses.
        body: bytes = await req.stream.read(limit + 1)
        if len(body) > limit:
            raise _too_large(limit)
        return body
    if announced > limit:
        raise _too_large(limit)
    body = await req.stream.read()
    if len(body) != announced:
        raise Malformed(f"the body broke off after {len(body)} of {announced} bytes: send it again")
    return body


def _check_kind(kind: str) -> None:
    media, _, _ = kind.partition(";")
    if media.strip().lower() != "application/json":
        raise UnsupportedMediaType(f"the body is {media.strip()[:80]!r}: send application/json")


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is over {limit >> 20} MiB, the most that is taken here")


def parse(body: bytes) -> Any:
    """Strict JSON: UTF-8, no duplicate keys, no NaN, finite 64-bit numbers, at most 64 levels."""
    if not body:
        raise Malformed("the body is empty: send JSON")
    try:
        value = _DECODER.decode(body.decode())
    except UnicodeDecodeError as error:
        raise Malformed(f"the body is not UTF-8 (at byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise Malformed(f"the body is not JSON: {error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise _too_deep() from error
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _check_depth(value)
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [each for each in level if isinstance(each, dict | list)]
        if not level:
            return
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    raise _too_deep()


def _too_deep() -> Malformed:
    return Malformed(f"the body is nested over {MAX_DEPTH} levels deep")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Malformed(f"the body has the key {twice[:80]!r} twice")
    return found


def _constant(name: str) -> NoReturn:
    raise Malformed(f"the body holds {name}, which is not JSON")


def _integer(text: str) -> int:
    value = int(text) if len(text) <= 20 else 1 << 64
    if value not in _INT_RANGE:
        raise Malformed("the body holds a whole number of more than 64 bits")
    return value


def _number(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise Malformed("the body holds a number that is too large")
    return value


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_number
)


def _model(body: bytes, model: type[_M]) -> _M:
    try:
        return model.model_validate(parse(body))
    except ValidationError as error:
        raise Invalid(explain(error)) from error


def explain(error: ValidationError) -> str:
    """The first few errors in words that never repeat what was sent."""
    found = error.errors(include_url=False, include_input=False)
    words = [f"{_place(each['loc'])}: {_words(each)}" for each in found[:_SHOWN_ERRORS]]
    if len(found) > _SHOWN_ERRORS:
        words.append(f"and {len(found) - _SHOWN_ERRORS} more")
    return "; ".join(words).encode(errors="replace").decode()


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part)[:80] for part in location if part != "[key]") or "body"


def _words(error: ErrorDetails) -> str:
    kind, message = error["type"], error["msg"]
    if kind == "string_pattern_mismatch":
        return WORDS.get(error["ctx"]["pattern"], message)
    if kind == "string_unicode":
        return "holds a lone surrogate: send whole Unicode characters"
    if kind == "extra_forbidden":
        return "is no parameter of this route"
    return message.removeprefix("Value error, ")


def reply(resp: Response, obj: Any, status: int = 200) -> None:
    """Answer with `obj` as JSON: a pydantic model, or plain values."""
    if status != 200:
        resp.status = status
    resp.data = encode(obj)


def reply_tagged(resp: Response, obj: Any, tag: str, if_none_match: str | None) -> None:
    """Answer with `obj` and its entity tag, or with 304 when the caller has it already."""
    resp.set_header("ETag", tag)
    if if_none_match is not None and names(if_none_match, tag):
        resp.status = 304
        return
    reply(resp, obj)


def reply_page(resp: Response, entries: list[dict[str, Any]], cursor: str | None) -> None:
    """Answer with a page of a list, and where the next one begins, if more may follow."""
    if cursor is not None:
        resp.set_header("X-Next-Cursor", cursor)
    reply(resp, entries)


def reply_named(resp: Response, entries: list[dict[str, Any]], limit: int) -> None:
    """Answer with a page of a list that is read by name."""
    reply_page(resp, entries, name_cursor(entries[-1]["name"]) if len(entries) >= limit else None)


def reply_aged(resp: Response, entries: list[dict[str, Any]], query: AgePage) -> None:
    """Answer with a page of a short list, given as a whole."""
    left = sorted((each for each in entries if AgePage.age(each) > query.cursor), key=AgePage.age)
    page = left[: query.limit]
    reply_page(resp, page, name_cursor(AgePage.age(page[-1])) if len(left) > len(page) else None)


def encode(obj: Any) -> bytes:
    """JSON bytes of a pydantic model, or of plain values that may hold models."""
    if isinstance(obj, BaseModel):
        return obj.__pydantic_serializer__.to_json(obj)
    return orjson.dumps(obj, default=_plain)


def _plain(obj: Any) -> Any:
    if isinstance(obj, BaseModel):
        return obj.model_dump(mode="json")
    raise TypeError(f"{type(obj).__name__} has no JSON form")
