"""Who may do what with what is whose: every route, every kind of caller, as one literal table.

A cell is the status of the answer, or three: about a thing of the caller's own, about somebody else's, about none.
Columns: an admin key; a scoped key with the usual scopes, and one without any; a node's key, one that was replaced;
an agent's token; a registration token.
"""

import pytest

from qb.contract.routes import ROUTES, Caller
from tests.api.conftest import Running
from tests.api.world import ABSENT, FOREIGN, OWN, World, about

ROLES = ("admin", "scoped", "bare", "node", "replaced", "agent", "joining")
NOBODIES = ("none", "wrong", "revoked", "expired")
TABLE = """
                 admin       scoped      bare        node        replaced    agent       joining
register         403         403         403         403         401         403         200
heartbeat        403         403         403         200         401         403         401
poll             403         403         403         200         401         403         401
download_file    403         403         403         200/404/404 401         403         401
report_status    403         403         403         200/404/404 200/404/404 200/404/404 401
report_session   403         403         403         200/404/404 200/404/404 200/404/404 401
report_output    403         403         403         200/404/404 200/404/404 403         401
put_artifact     403         403         403         201/404/404 201/404/404 201/404/404 401
ask_question     403         403         403         201/404/404 401         201/404/404 401
list_questions   200/200/404 200/404/404 403         403         403         403         401
show_question    200/200/404 200/404/404 403         200/404/404 401         200/404/404 401
answer_question  200/200/404 200/404/404 403         403         403         403         401
log_metric       403         403         403         201/404/404 401         201/404/404 401
list_metrics     200/200/404 200/404/404 403         403         403         403         401
create_task      201         201         403         403         403         403         401
list_tasks       200         200         403         403         403         403         401
show_task        200/200/404 200/404/404 403         403         403         200/404/404 401
cancel_task      200/200/404 200/404/404 403         403         403         403         401
task_events      200/200/404 200/404/404 403         403         403         403         401
task_output      200/200/404 200/404/404 403         403         403         403         401
list_artifacts   200/200/404 200/404/404 403         403         403         403         401
get_artifact     200/200/404 200/404/404 403         403         403         403         401
retry_task       201/201/404 201/404/404 403         403         403         403         401
cleanup_tasks    200         403         403         403         403         403         401
why_task         200/200/404 200/404/404 403         403         403         403         401
upload           201         201         403         403         403         403         401
show_logs        200/200/404 200/404/404 403         403         403         403         401
create_group     201         201         403         403         403         403         401
list_groups      200         200         403         403         403         403         401
show_group       200/200/404 200/404/404 403         403         403         403         401
cancel_group     200/200/404 200/404/404 403         403         403         403         401
list_schedules   200         200         403         403         403         403         401
show_schedule    200/200/404 200/404/404 403         403         403         403         401
remove_schedule  200/200/404 200/404/404 403         403         403         403         401
list_nodes       200         403         403         403         403         403         401
create_node      201         403         403         403         403         403         401
show_node        200/200/404 403         403         403         403         403         401
change_node      200/200/404 403         403         403         403         403         401
remove_node      200/200/404 403         403         403         403         403         401
rotate_node_key  200/200/404 403         403         403         403         403         401
drain_node       200/200/404 403         403         403         403         403         401
resume_node      200/200/404 403         403         403         403         403         401
record_provision_run 201     403         403         403         403         403         401
list_provision_runs 200      403         403         403         403         403         401
show_provision_run 200/200/404 403       403         403         403         403         401
create_key       201         403         403         403         403         403         401
list_keys        200         403         403         403         403         403         401
audit_keys       200         403         403         403         403         403         401
show_key         200/200/404 403         403         403         403         403         401
change_key       200/200/404 403         403         403         403         403         401
remove_key       200/200/404 403         403         403         403         403         401
rotate_key       200/200/404 403         403         403         403         403         401
revoke_key       200/200/404 403         403         403         403         403         401
create_token     201         403         403         403         403         403         401
list_tokens      200         403         403         403         403         403         401
remove_token     200/200/404 403         403         403         403         403         401
create_webhook   201         403         403         403         403         403         401
list_webhooks    200         403         403         403         403         403         401
remove_webhook   200/200/404 403         403         403         403         403         401
health           200         200         200         200         200         200         200
healthz          200         200         200         200         200         200         200
readyz           200         200         200         200         200         200         200
version          200         200         200         200         200         200         200
openapi          200         200         200         200         200         200         200
docs             200         200         200         200         200         200         200
metrics          200         200         200         200         200         200         200
dashboard        404         404         404         404         404         404         404
dashboard_stats  200         403         403         403         403         403         401
"""
MATRIX = {line.split()[0]: dict(zip(ROLES, line.split()[1:], strict=True)) for line in TABLE.splitlines()[2:]}


@pytest.fixture
async def world(running: Running) -> World:
    """One application with a caller of each kind."""
    return await World(running).open()


async def cell(world: World, name: str, role: str, *, whole: bool) -> str:
    """What the table says of a route and a role, asked of the application."""
    statuses = [str(await world.call(name, role, whose)) for whose in ((OWN, FOREIGN, ABSENT) if whole else (OWN,))]
    return statuses[0] if len(set(statuses)) == 1 and not statuses[0].startswith("2") else "/".join(statuses)


def test_every_served_route_has_a_row_and_every_row_a_route() -> None:
    assert set(MATRIX) == {route.name for route in ROUTES}


async def test_each_caller_may_do_what_the_table_says_and_nothing_else(world: World) -> None:
    found = {
        route.name: {role: await cell(world, route.name, role, whole=about(route)) for role in ROLES}
        for route in ROUTES
    }
    wrong = {
        (name, role): (status, MATRIX[name][role])
        for name, row in found.items()
        for role, status in row.items()
        if status != MATRIX[name][role]
    }
    assert wrong == {}, "by route and caller: (got, in the table)"


async def test_nobody_gets_past_a_closed_door_whatever_is_behind_it(world: World) -> None:
    for route in ROUTES:
        for role in NOBODIES:
            if Caller.ANYONE in route.callers:
                assert await cell(world, route.name, role, whole=False) == MATRIX[route.name]["admin"], route.name
            else:
                assert await cell(world, route.name, role, whole=about(route)) == "401", (route.name, role)
