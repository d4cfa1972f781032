"""The dashboard's own pages as routes of Datasette; what they show is made in qb.dashboard.pages."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from datasette import NotFound, Response, hookimpl

from qb.dashboard.pages.audit import audit
from qb.dashboard.pages.fleet import fleet
from qb.dashboard.pages.node import node
from qb.dashboard.pages.pulse import pulse
from qb.dashboard.pages.reading import Read, Rows
from qb.dashboard.pages.task import task
from qb.dashboard.pages.tasks import tasks
from qb.dashboard.pages.trends import span, trends
from qb.dashboard.policy import STRICT

Values = dict[str, Any]
View = Callable[..., Awaitable[Response]]

DATABASE = "qb"
_ID = r"(?P<id>[0-9A-Za-z-]{1,64})"
_LABEL = 200
"""Characters of a client's or a model's name in a chart."""
_NAME = r"(?P<id>[^/]{1,255})"


@hookimpl
def register_routes() -> list[tuple[str, View]]:
    """Put the fleet in the place of Datasette's index, and add the other pages and the charts' data."""
    return [
        (r"^/$", fleet_page),
        (r"^/tasks$", tasks_page),
        (rf"^/task/{_ID}$", task_page),
        (rf"^/node/{_NAME}$", node_page),
        (r"^/audit$", audit_page),
        (r"^/trends/(?P<chart>[a-z_]{1,40})\.json$", chart_rows),
    ]


@hookimpl
def extra_template_vars(template: str, request: Any, datasette: Any) -> Awaitable[Values] | None:
    """What the page of charts, which datasette-dashboards makes, shows beside them."""
    if template != "dashboard_view.html":
        return None
    return trends(_reader(datasette), request.args.get("hours"), datetime.now(UTC))


async def fleet_page(datasette: Any, request: Any) -> Response:
    """Every node and what it does."""
    return await _page(datasette, request, "fleet.html", lambda read, now: fleet(read, _arguments(request), now))


async def tasks_page(datasette: Any, request: Any) -> Response:
    """What runs, what waits and what has ended."""
    return await _page(datasette, request, "tasks.html", lambda read, now: tasks(read, _arguments(request), now))


async def task_page(datasette: Any, request: Any) -> Response:
    """Everything that is known of one task. Raises NotFound for an id that is not there."""
    task_id = request.url_vars["id"]
    missing = f"There is no task {task_id}: it may have been removed by a clean-up"
    return await _page(datasette, request, "task.html", lambda read, now: task(read, task_id, now), missing)


async def node_page(datasette: Any, request: Any) -> Response:
    """Everything that is known of one node. Raises NotFound for an id that is not there."""
    node_id = unquote(request.url_vars["id"])
    missing = f"There is no node {node_id}: it may have been removed"
    return await _page(
        datasette, request, "node.html", lambda read, now: node(read, node_id, _arguments(request), now), missing
    )


async def audit_page(datasette: Any, request: Any) -> Response:
    """Who did what."""
    return await _page(datasette, request, "audit.html", lambda read, _: audit(read, _arguments(request)))


async def chart_rows(datasette: Any, request: Any) -> Response:
    """The rows of one chart of the trends, by its query in metadata.yml. Raises NotFound for another name."""
    await _allow(datasette, request)
    charts = (datasette.plugin_config("datasette-dashboards") or {}).get("trends", {}).get("charts", {})
    chart = charts.get(request.url_vars["chart"])
    if chart is None:
        raise NotFound("There is no such chart")
    rows = await _reader(datasette)(chart["query"], hours=span(request.args.get("hours")))
    line = datasette.jinja_env.filters["line"]

    def plain(value: Any) -> Any:
        return line(value, _LABEL) if isinstance(value, str) else value

    shown = [{name: plain(value) for name, value in row.items()} for row in rows]
    return Response.json(shown, headers={"Cache-Control": "no-store"})


async def _page(
    datasette: Any,
    request: Any,
    template: str,
    values_of: Callable[[Read, datetime], Awaitable[Values | None]],
    missing: str = "",
) -> Response:
    await _allow(datasette, request)
    now = datetime.now(UTC)
    read = _reader(datasette)
    values = await values_of(read, now)
    if values is None:
        raise NotFound(missing)
    context = {**values, "pulse": await pulse(read, now), "now": now}
    html = await datasette.render_template(template, context, request=request)
    headers = {"Content-Security-Policy": STRICT, "Cache-Control": "no-store"}
    return Response.html(html, headers=headers)


async def _allow(datasette: Any, request: Any) -> None:
    """Raise Forbidden for who may not look at the database."""
    await datasette.ensure_permissions(request.actor, [("view-database", DATABASE), "view-instance"])


def _reader(datasette: Any) -> Read:
    database = datasette.get_database(DATABASE)

    async def read(sql: str, **parameters: Any) -> Rows:
        results = await database.execute(sql, parameters)
        return [dict(row) for row in results.rows]

    return read


def _arguments(request: Any) -> dict[str, str]:
    return {name: request.args[name] for name in request.args}
