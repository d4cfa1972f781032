"""Errors as pages of ours, or as JSON and text for who asked for those."""

import json
import sys
import traceback
from collections.abc import Awaitable, Callable, Generator
from typing import Any

from datasette import Response, hookimpl
from datasette.utils.asgi import BadRequest

from qb.dashboard import refusals, sessions
from qb.dashboard.policy import STRICT

_HEADERS = {"Content-Security-Policy": STRICT, "Cache-Control": "no-store"}
_FACETS = 12
"""Each may take its 80 ms."""
_THROUGH = {"table": str, "column": str, "value": str | int | float}

Answer = Callable[[], Awaitable[Response]]


@hookimpl(hookwrapper=True)
def handle_exception(datasette: Any, request: Any, exception: Exception) -> Generator[None, Any]:
    """Answer in Datasette's place, which would show what went wrong, statements included, and log it as a fault."""
    outcome = yield
    refusal = refusals.of_error(exception, request.path)
    if refusal is None:
        traceback.print_exception(exception, file=sys.stderr)
        refusal = refusals.of_fault(exception, request.path, request.query_string)
    outcome.force_result([_answer(datasette, request, refusal)])


@hookimpl(tryfirst=True)
def forbidden(datasette: Any, request: Any, message: str) -> Answer:
    """Say whose it is."""
    shut = "table" in message and _is_shut(datasette, request)
    refusal = refusals.forbidden(message, sessions.role(request.actor), shut=shut)
    return _answer(datasette, request, refusal)


@hookimpl(tryfirst=True)
def filters_from_request(request: Any) -> None:
    """Look at facets and `_through` before Datasette does, which takes any number and form. Raises BadRequest."""
    facets = [name for name in request.args if name.startswith("_facet") and name != "_facet_size"]
    if sum(len(request.args.getlist(name)) for name in facets) > _FACETS:
        raise BadRequest(f"a table is counted by {_FACETS} columns at once at most")
    for asked in request.args.getlist("_through"):
        try:
            through = json.loads(asked)
            good = all(isinstance(through[name], kind) for name, kind in _THROUGH.items())
        except (ValueError, TypeError, LookupError, RecursionError):
            good = False
        if not good:
            raise BadRequest("_through must be JSON with the names table, column and value")


def _answer(datasette: Any, request: Any, refusal: refusals.Refusal) -> Answer:
    async def answer() -> Response:
        if request.path.endswith(".json"):
            told = {"ok": False, "error": refusal.why, "status": refusal.status, "title": refusal.title}
            return Response.json(told, status=refusal.status, headers={"Cache-Control": "no-store"})
        if request.path.endswith(".csv"):
            return Response.text(f"{refusal.why}\n", status=refusal.status, headers=_HEADERS)
        sql = request.args.get("sql") if request.path == "/qb" and refusal.status == 400 else None
        context = {"refusal": refusal, "place": refusals.place(request.path), "sql": sql}
        html = await datasette.render_template("error.html", context, request=request)
        return Response.html(html, status=refusal.status, headers=_HEADERS)

    return answer


def _is_shut(datasette: Any, request: Any) -> bool:
    name = (request.url_vars or {}).get("table", "").lower()
    return bool(datasette.metadata("allow", database="qb", table=name, fallback=False) is False)
