"""Charts draw from SQL in the browser: a viewer may run exactly theirs."""

from pathlib import Path
from typing import Any

import yaml

from qb.dashboard.roles import Role

METADATA = Path(__file__).parents[2] / "datasette" / "metadata.yml"


def test_a_viewer_gets_the_data_of_every_chart_and_of_nothing_near_it(dashboard: Any) -> None:
    boards = yaml.safe_load(METADATA.read_text())["plugins"]["datasette-dashboards"]
    queries = [chart["query"] for board in boards.values() for chart in board["charts"].values() if "query" in chart]
    assert len(queries) > 3
    with dashboard.visitor(Role.VIEWER) as viewer:
        for slug in boards:
            led_on = viewer.get(f"/-/dashboards/{slug}")
            assert "ds_actor" not in led_on.headers.get("set-cookie", ""), "it would be repeated, open to scripts"
            assert viewer.get(f"/-/dashboards/{slug}", follow_redirects=True).status_code == 200
        for query in queries:
            asked = {"sql": query, "_shape": "objects", "hours": "24"}
            assert viewer.get("/qb.json", params=asked).status_code == 200, query
            for near in (f"{query} -- more", f"select * from ({query})", query.replace("tasks", "nodes") + " "):  # noqa: S608 - attacks
                if near.strip() != query.strip():
                    assert viewer.get("/qb.json", params={"sql": near}).status_code == 403
            assert viewer.get("/qb.json", params={**asked, "_where": "1"}).status_code == 403
            assert viewer.get("/qb", params={"sql": query}).status_code == 403
        twice = [("sql", queries[0]), ("sql", "select * from uploads")]
        assert viewer.get("/qb.json", params=twice).status_code == 403
