"""Queries and headers, read with the models that the route table names."""

from collections.abc import Callable, Mapping
from typing import Any

from falcon.asgi import Request
from pydantic import BaseModel, ValidationError

from qb.api.media import explain
from qb.contract.routes import Route
from qb.domain.errors import Malformed

Read = Callable[[Request], None]


def reader(route: Route) -> Read | None:
    """What fills `req.context.query` and `req.context.headers` for this route; None when it has neither.

    It raises Malformed for what does not fit. Of a request without any, all share one empty reading.
    """
    query, headers = route.query, route.headers
    if query is None and headers is None:
        return None
    no_query, no_headers = query and query(), headers and headers()
    names = [field.alias or name for name, field in (headers.model_fields.items() if headers else ())]

    def read(req: Request) -> None:
        if query is not None:
            req.context.query = _validated(query, req.params) if req.params else no_query
        if headers is not None:
            sent = {name: value for name in names if (value := req.get_header(name)) is not None}
            req.context.headers = _validated(headers, sent) if sent else no_headers

    return read


def _validated(model: type[BaseModel], given: Mapping[str, Any]) -> BaseModel:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        known = ", ".join(field.alias or name for name, field in model.model_fields.items())
        unknown = any(each["type"] == "extra_forbidden" for each in error.errors(include_url=False))
        raise Malformed(explain(error) + (f" (there are: {known})" if unknown else "")) from error
