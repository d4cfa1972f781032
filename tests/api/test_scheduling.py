"""Order, groups, schedules, retries and reasons over real HTTP, by the client that the command line uses."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from qb.client import QbClient, Refused
from qb.contract.nodes import Register
from qb.contract.scheduling import WhyCode
from qb.contract.states import Reason, ReportStatus, TaskStatus
from qb.contract.tasks import Assignment, GroupCreate, StatusReport, TaskCreate
from tests.fixtures_server import Server


@pytest.fixture
def client(shared_server: Server) -> Iterator[QbClient]:
    """The operator's client."""
    with shared_server.client() as operator:
        yield operator


@pytest.fixture
def name() -> str:
    """A name for nodes that no other test has."""
    return f"sched-{uuid4().hex[:8]}"


@pytest.fixture
def node(shared_server: Server, name: str) -> Iterator[QbClient]:
    """A node of that name, with its own key."""
    with shared_server.joining() as joining:
        joining.use_key(joining.register(Register(hostname=f"{name}-1", wire=2)).api_key)
        yield joining


def run(node: QbClient, status: ReportStatus, *, wait: float = 10) -> Assignment:
    """The node takes its next task and ends it so."""
    given = node.poll(wait=wait)
    assert given is not None
    for each in (ReportStatus.RUNNING, status):
        node.report_status(StatusReport(task_id=given.task_id, attempt=given.attempt, status=each, exit_code=None))
    return given


def test_a_chain_runs_in_order_and_a_failure_cancels_the_rest(client: QbClient, node: QbClient, name: str) -> None:
    first = client.create_task(TaskCreate(prompt="1", target_node_name=f"{name}-*"))
    second = client.create_task(TaskCreate(prompt="2", depends_on=[first.id], target_node_name=f"{name}-*"))
    third = client.create_task(TaskCreate(prompt="3", depends_on=[second.id], target_node_name=f"{name}-*"))
    (cause,) = client.why(second.id).causes
    assert (cause.code, cause.text) == (WhyCode.DEPENDENCY, f"it waits for 1 task: {first.id} (pending)")
    assert run(node, ReportStatus.SUCCESS).task_id == first.id
    assert run(node, ReportStatus.ERROR).task_id == second.id
    ended = client.task(third.id)
    assert (ended.status, ended.reason, ended.depends_on) == (
        TaskStatus.CANCELLED,
        Reason.DEPENDENCY_FAILED,
        [second.id],
    )


def test_a_failed_task_is_retried_as_a_new_one(client: QbClient, node: QbClient, name: str) -> None:
    task = client.create_task(TaskCreate(prompt="x", target_node_name=f"{name}-*"))
    with pytest.raises(Refused, match="is pending"):
        client.retry_task(task.id)
    run(node, ReportStatus.ERROR)
    again = client.retry_task(task.id)
    assert (again.retry_of, again.status) == (task.id, TaskStatus.PENDING)
    assert run(node, ReportStatus.SUCCESS).task_id == again.id
    assert client.why(again.id).causes[0].text == "it has ended: success"


def test_a_group_has_one_task_for_each_node_and_ends_with_them(client: QbClient, node: QbClient, name: str) -> None:
    group = client.create_group(GroupCreate(prompt="x", each=f"{name}-*"))
    assert (group.total, group.ended) == (1, False)
    run(node, ReportStatus.SUCCESS)
    ended = client.group(group.id)
    assert (ended.counts, ended.ended) == ({TaskStatus.SUCCESS: 1}, True)
    assert [task.status for task in ended.tasks or ()] == [TaskStatus.SUCCESS]
    other = client.create_group(GroupCreate(prompt="x", each=f"{name}-*"))
    assert client.cancel_group(other.id).counts == {TaskStatus.CANCELLED: 1}
    assert {group.id, other.id} <= {each.id for each in client.groups()}
    with pytest.raises(Refused, match="no node matches"):
        client.create_group(GroupCreate(prompt="x", each=f"{name}-2*"))


def test_a_schedule_is_made_by_a_task_shown_and_removed(client: QbClient) -> None:
    body = TaskCreate(prompt="x", recurrence="0 9 * * 1-5", time_zone="Europe/Berlin")
    task = client.create_task(body)
    assert (task.recurrence, task.schedule_id) == ("0 9 * * 1-5", task.id)
    schedule = client.schedule(task.id)
    assert (schedule.time_zone, schedule.missed_runs) == ("Europe/Berlin", "skip")
    assert client.why(task.id).causes[0].code is WhyCode.SCHEDULE
    assert task.id in {each.id for each in client.schedules()}
    client.remove_schedule(task.id)
    assert client.task(task.id).status is TaskStatus.CANCELLED
    with pytest.raises(Refused, match="no schedule"):
        client.schedule(task.id)


def test_a_schedule_survives_a_crash(server: Server) -> None:
    with server.client() as client:
        task = client.create_task(TaskCreate(prompt="x", recurrence="0 9 1 1 *"))
        due = client.schedule(task.id).next_run_at
    server.kill()
    server.start()
    with server.client() as client:
        assert client.schedule(task.id).next_run_at == due


def test_why_names_what_stands_in_the_way(client: QbClient, node: QbClient, name: str) -> None:
    first = client.create_task(TaskCreate(prompt="x", target_node_name=f"{name}-1"))
    given = node.poll(wait=10)
    assert given is not None
    node.report_status(StatusReport(task_id=first.id, attempt=1, status=ReportStatus.RUNNING))
    second = client.create_task(TaskCreate(prompt="x", target_node_name=f"{name}-1"))
    text = f"1 node matches, and {name}-1 is busy: its slot is taken by {first.id}"
    assert [cause.text for cause in client.why(second.id).causes] == [text]
    assert client.why(first.id).causes[0].text == f"it is running on {name}-1"
    client.drain_node(client.task(first.id).assigned_node_id or "")
    assert client.why(second.id).causes[0].text == f"1 node matches, and {name}-1 is draining"
    with pytest.raises(Refused, match="no task"):
        client.why(str(uuid4()))
