"""What a viewer sees, what an analyst may do beyond, and what is nobody's business."""

from typing import Any

import pytest

from qb.dashboard.roles import Role

FOR_ALL = [
    "/",
    "/qb",
    "/qb/queue",
    "/qb/queue.json",
    "/qb/tasks",
    "/qb/nodes.json",
    "/-/actor.json",
    "/qb/attempts.csv",
]
BY_SQL = [
    "/qb?sql=select+1", "/qb.json?sql=select+1", "/qb.csv?sql=select+1", "/qb.json?sql=select+1&_shape=array",
    "/qb/tasks.json?_where=1", "/qb/tasks?_where=1", "/qb/tasks.csv?_where=1",
]  # fmt: skip
BOOKKEEPING = "doubts epochs key_limits output_lines output_logs placement_nodes published_settings uploads".split()
SHUT = "idempotency_keys replaced_keys webhook_cursor webhook_deliveries".split()
READS = [
    "select * from TABLE", "with x as (select * from [TABLE]) select 1 from x", "select (select count(*) from TABLE)",
    "explain select * from TABLE", "select t.* from tasks t, TABLE",
]  # fmt: skip
NOBODYS = ["/-/permissions", "/-/allow-debug", "/-/messages", "/-/patterns", "/-/metadata.json", "/-/threads.json"]
NOBODYS += [
    f"/-/dashboards/trends{part}" for part in ("/cost", "/embed", "/cost/embed", "/%63ost", "/embed/", "~2fcost")
]


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("path", FOR_ALL)
def test_pages_and_canned_queries_are_for_both_roles(dashboard: Any, role: Role, path: str) -> None:
    with dashboard.visitor(role) as http:
        assert http.get(path).status_code == 200


@pytest.mark.parametrize("path", BY_SQL)
def test_sql_in_any_form_is_for_analysts(dashboard: Any, path: str) -> None:
    with dashboard.visitor(Role.ANALYST) as analyst, dashboard.visitor(Role.VIEWER) as viewer:
        assert analyst.get(path).status_code == 200
        assert viewer.get(path).status_code == 403


def test_who_may_not_run_sql_is_told_who_may(dashboard: Any) -> None:
    with dashboard.visitor(Role.VIEWER) as viewer:
        for suffix in ("", ".json"):
            assert "SQL is for analysts" in viewer.get(f"/qb{suffix}?sql=select+1").text


@pytest.mark.parametrize("table", BOOKKEEPING)
def test_bookkeeping_is_not_shown_to_viewers(dashboard: Any, table: str) -> None:
    with dashboard.visitor(Role.ANALYST) as analyst, dashboard.visitor(Role.VIEWER) as viewer:
        for suffix in ("", ".json", ".csv", ".json?_shape=array"):
            assert viewer.get(f"/qb/{table}{suffix}").status_code == 403
            assert analyst.get(f"/qb/{table}{suffix}").status_code == 200
        assert f'href="/qb/{table}"' not in viewer.get("/qb").text


@pytest.mark.parametrize("table", SHUT)
@pytest.mark.parametrize("role", Role)
def test_some_tables_are_shut_for_everybody(dashboard: Any, role: Role, table: str) -> None:
    shut = [f"/qb/{table}", f"/qb/{table}.json", f"/qb/{table}.csv", f"/qb/{table.upper()}.json", f"/qb/{table}/1"]
    shut += ["/qb.json?sql=" + sql.replace("TABLE", table) for sql in READS]
    shut += ["/qb.json?sql=" + sql.replace("TABLE", table.title()) for sql in READS]
    shut.append(f"/qb/tasks.json?_where=exists(select 1 from {table})")  # noqa: S608 - an attack, on purpose
    with dashboard.visitor(role) as http:
        for path in shut:
            assert http.get(path).status_code >= 400, path


@pytest.mark.parametrize("path", NOBODYS)
@pytest.mark.parametrize("role", Role)
def test_datasettes_workshop_is_closed(dashboard: Any, role: Role, path: str) -> None:
    with dashboard.visitor(role) as http:
        assert http.get(path).status_code == 404


def test_every_table_is_for_viewers_or_was_thought_about(dashboard: Any) -> None:
    """A new table must be put into one of these lists, so that none is shown by accident."""
    shown = set(
        "artifacts attempts audit_log crush_messages crush_sessions hourly_durations hourly_endings hourly_queue "
        "hourly_spending node_silences nodes placements provision_runs "
        "schedules task_dependencies task_events task_files task_groups task_metrics task_output "
        "task_questions task_specs tasks".split()
    )
    kept = {*BOOKKEEPING, *SHUT, "retention_marks", "_sqlite_migrations"}
    everything = dashboard.page(
        "/qb.json?sql=select+name+from+sqlite_master+where+type+in+('table','view')&_shape=array"
    )
    assert {row["name"] for row in everything.json()} == shown | kept


def test_what_others_asked_on_the_same_connection_is_nobodys(dashboard: Any) -> None:
    for number in range(9):
        assert dashboard.page(f"/qb.json?sql=select+'something-private'+as+x{number}").status_code == 200
    for _ in range(9):
        answer = dashboard.page("/qb.json?sql=select+sql+as+asked+from+sqlite_stmt")
        assert answer.status_code == 400
        assert "something-private" not in answer.text
