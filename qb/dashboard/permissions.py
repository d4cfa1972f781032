"""What a viewer may run although SQL is for analysts: the queries of the charts, letter by letter."""

from typing import Any

from datasette_dashboards import replace_opts_in_query

CHARTS = "/-/dashboards"


def is_of_a_chart(datasette: Any, request: Any) -> bool:
    """Whether the request is for a chart's page, or for its data with exactly its query."""
    path = request.path
    if path.startswith(CHARTS):
        return True
    if path != "/qb.json" or "_where" in request.args or len(request.args.getlist("sql")) != 1:
        return False
    asked = request.args["sql"].strip()
    given = {name: request.args[name] for name in request.args}
    return any(asked == query for query in _queries(datasette, given))


def _queries(datasette: Any, given: dict[str, str]) -> list[str]:
    boards = datasette.plugin_config("datasette-dashboards") or {}
    charts = [chart for board in boards.values() for chart in board.get("charts", {}).values()]
    return [replace_opts_in_query(chart["query"], given).strip() for chart in charts if "query" in chart]
