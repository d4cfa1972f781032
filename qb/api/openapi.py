"""/openapi.json: the route table and its models as an OpenAPI 3.1 document. Nothing in it is written by hand."""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from qb import __version__
from qb.contract.errors import PROBLEM_TYPE, Problem
from qb.contract.routes import ROUTES, Caller, Media, Route

REF = "#/components/schemas/{model}"
EVENTS = "text/event-stream"
_PARTS = re.compile(r"{(\w+)}")
_KEY = "X-API-Key"
_SCHEMES: dict[Caller, tuple[str, str, str]] = {
    Caller.ADMIN: ("adminKey", _KEY, "An operator's key: it may do everything."),
    Caller.SCOPED: ("scopedKey", _KEY, "An external system's key: it may do what its scopes say, with its own tasks."),
    Caller.NODE: ("nodeKey", _KEY, "The key of a runner's node, from its registration."),
    Caller.AGENT: ("taskToken", _KEY, "What an agent's container holds: it speaks for one attempt of one task."),
    Caller.REGISTRATION: ("registrationToken", "X-Registration-Token", "Lets a machine join, or come back."),
}
_ABOUT = (
    "One control plane for a fleet of machines that run LLM agents in containers. Errors are RFC 9457 problem "
    "documents; old clients read `detail`. Every answer carries `X-Request-ID`, the caller's own where it sent one. "
    "Lists come in pages: send `X-Next-Cursor` of one as `cursor` of the next, until there is none."
)
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_HEADERS = {
    "X-Request-ID": "The id of this request, as the server's log has it.",
    "X-Next-Cursor": "Where the next page begins; absent on the last one.",
    "ETag": "What If-Match and If-None-Match compare.",
    "Retry-After": "Seconds after which to try again.",
}
Schema = dict[str, Any]


def document(about: Mapping[str, str | None]) -> Schema:
    """The OpenAPI document of the routes named in `about`, whose values describe them."""
    routes = [route for route in ROUTES if route.name in about]
    schemas = _Schemas(routes)
    paths: dict[str, Schema] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, about[route.name], schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "All-Time Quarterback", "version": __version__, "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": schemas.public,
            "responses": {f"Problem{status}": _problem(status, schemas) for status in _problems(routes)},
            "headers": {name: {"description": about, "schema": {"type": "string"}} for name, about in _HEADERS.items()},
            "securitySchemes": {
                name: {"type": "apiKey", "in": "header", "name": header, "description": words}
                for name, header, words in _SCHEMES.values()
            },
        },
    }


class _Schemas:
    """The models' JSON schemas: those of bodies for the document, those of queries and headers as parameters."""

    def __init__(self, routes: Iterable[Route]) -> None:
        wanted: list[tuple[type[BaseModel], Any]] = [(Problem, "serialization")]
        inner: list[tuple[type[BaseModel], Any]] = []
        for route in routes:
            wanted += [(model, "validation") for model in (route.request,) if model]
            wanted += [(model, "serialization") for model in (route.reply,) if model]
            inner += [(model, "validation") for model in (route.query, route.headers) if model]
        self._refs, definitions = models_json_schema(wanted + inner, ref_template=REF)
        self.public: dict[str, Schema] = definitions["$defs"]
        self._parameters = {model: self._take(model) for model in {model for model, _ in inner}}

    def _take(self, model: type[BaseModel]) -> Schema:
        return self.public.pop(self._refs[(model, "validation")]["$ref"].rpartition("/")[2])

    def ref(self, model: type[BaseModel], mode: Any) -> Schema:
        return dict(self._refs[(model, mode)])

    def parameters(self, model: type[BaseModel] | None, place: str) -> list[Schema]:
        if model is None:
            return []
        fields = self._parameters[model].get("properties", {})
        return [_parameter(name, place, field) for name, field in fields.items()]


def _parameter(name: str, place: str, field: Schema) -> Schema:
    """A field of a query or header model; where it may be null it may be left out, for nothing there says null."""
    schema = {key: value for key, value in field.items() if key not in ("title", "description")}
    if schema.get("default", ...) is None:
        del schema["default"]
    kinds = [kind for kind in schema.pop("anyOf", []) if kind != {"type": "null"}]
    schema |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {}
    found = {"name": name, "in": place, "required": False, "schema": schema}
    return found | ({"description": field["description"]} if "description" in field else {})


def _operation(route: Route, about: str | None, schemas: _Schemas) -> Schema:
    text = " ".join((about or "").split())
    summary, _, rest = text.partition(". ")
    operation: Schema = {
        "operationId": route.name,
        "summary": (summary or route.name.replace("_", " ").capitalize()).rstrip("."),
        "description": " ".join(filter(None, [rest, _who(route)])),
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
              for name in _PARTS.findall(route.path)),
            *schemas.parameters(route.query, "query"),
            *schemas.parameters(route.headers, "header"),
        ],
        "responses": _replies(route, schemas),
        "security": _security(route),
    }  # fmt: skip
    body = _body(route, schemas)
    return operation | ({"requestBody": {"required": True, "content": body}} if body else {})


def _who(route: Route) -> str:
    if Caller.ANYONE in route.callers:
        return "Anyone may call it."
    names = {Caller.SCOPED: f"scoped key (`{route.scope}`)" if route.scope else "scoped key"}
    callers = [names.get(caller, f"{caller.value} credential") for caller in Caller if caller in route.callers]
    return f"Takes: {', '.join(callers)}."


def _security(route: Route) -> list[Schema]:
    if Caller.ANYONE in route.callers:
        return []
    scopes = {Caller.SCOPED: [str(route.scope)] if route.scope else []}
    return [{_SCHEMES[caller][0]: scopes.get(caller, [])} for caller in Caller if caller in route.callers]


def _body(route: Route, schemas: _Schemas) -> Schema:
    if route.request is not None:
        return {Media.JSON.value: {"schema": schemas.ref(route.request, "validation")}}
    if route.takes is Media.BYTES:
        return {Media.BYTES.value: {"schema": {"type": "string", "format": "binary"}}}
    if route.takes is Media.FORM:
        file = {"type": "string", "format": "binary", "description": "one file, with its name"}
        form = {"type": "object", "required": ["file"], "properties": {"file": file}}
        return {Media.FORM.value: {"schema": form}}
    return {}


def statuses(route: Route) -> set[int]:
    """Every status that the route may answer."""
    found = {route.status, 500, 503, *route.also}
    if Caller.ANYONE not in route.callers:
        found |= {401, 403}
    if Caller.SCOPED in route.callers:
        found.add(429)
    if "{" in route.path:
        found |= {400, 404}
    if route.query or route.headers:
        found.add(400)
    if route.request or route.takes is not Media.JSON:
        found |= {400, 413, 415, 422}
    if route.method in _WRITES:
        found |= {409, 507}
    return found


def _replies(route: Route, schemas: _Schemas) -> Schema:
    return {str(status): _reply(route, status, schemas) for status in sorted(statuses(route))}


def _problems(routes: Iterable[Route]) -> list[int]:
    return sorted({status for route in routes for status in statuses(route) if status >= 400})


def _problem(status: int, schemas: _Schemas) -> Schema:
    content = {PROBLEM_TYPE: {"schema": schemas.ref(Problem, "serialization")}}
    return {"description": HTTPStatus(status).phrase, "headers": _headers(status), "content": content}


def _reply(route: Route, status: int, schemas: _Schemas) -> Schema:
    if status >= 400 and not (route.name == "readyz" and status == 503):
        return {"$ref": f"#/components/responses/Problem{status}"}
    names = ["ETag"] if route.etag and status < 400 else []
    content: Schema = {}
    if status not in (204, 302, 304):
        content = _content(route, schemas)
        names += ["X-Next-Cursor"] if route.query and "cursor" in route.query.model_fields else []
    reply: Schema = {"description": HTTPStatus(status).phrase, "headers": _headers(status, *names)}
    return reply | ({"content": content} if content else {})


def _headers(status: int, *names: str) -> Schema:
    names = ("X-Request-ID", *names, *(["Retry-After"] if status in (429, 503) else []))
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _content(route: Route, schemas: _Schemas) -> Schema:
    if route.gives is not Media.JSON:
        kind = {"type": "string"} | ({"format": "binary"} if route.gives is Media.BYTES else {})
        return {route.gives.value: {"schema": kind}}
    schema: Schema = schemas.ref(route.reply, "serialization") if route.reply else {"type": "object"}
    if route.many:
        schema = {"type": "array", "items": schema}
    if route.nullable:
        schema = {"anyOf": [schema, {"type": "null"}]}
    content = {Media.JSON.value: {"schema": schema}}
    if route.streams:
        words = "Each entry as an event with its `id` and one line of JSON as `data`; `event: end` when the task ended."
        content[EVENTS] = {"schema": {"type": "string", "description": words}}
    return content
