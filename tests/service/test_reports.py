"""Reports: permits, verdicts, fencing, duplicates, cancelling."""

from typing import Any

import pytest

from qb.contract.nodes import Held
from qb.contract.routes import Caller
from qb.contract.states import Reason, ReportStatus
from qb.contract.tasks import StatusReport
from qb.domain.errors import AlreadyEnded, NotFound, StaleAttempt
from qb.domain.times import iso
from qb.service.credentials import Identity


async def test_both_verdicts_make_success_and_the_end_waits_for_the_exit(plane: Any) -> None:
    node = await plane.node()
    task = (await plane.started(node))["task_id"]
    await plane.agent(task, 1, "running", progress=40, message="halfway", seq=1)
    await plane.agent(task, 1, "success", message="all done", seq=2)
    shown = await plane.show(task)
    assert (shown["status"], shown["agent_status"], shown["progress"]) == ("running", "success", 40)
    await plane.runner(node, task, "success", attempt=1, exit_code=0, seq=2)
    shown = await plane.show(task)
    assert (shown["status"], shown["exit_code"], shown["result"]) == ("success", 0, "all done")
    assert shown["progress"] == 100


@pytest.mark.parametrize(
    ("agent", "runner", "code", "expected"),
    [
        ("error", "success", 0, ("error", "agent_error")),
        ("success", "error", 1, ("error", "exit_nonzero")),
        (None, "success", 0, ("success", None)),
        (None, "error", 3, ("error", "exit_nonzero")),
    ],
)
async def test_the_end_joins_what_the_agent_claims_and_what_the_runner_saw(
    plane: Any, agent: str | None, runner: str, code: int, expected: tuple[str, str | None]
) -> None:
    node = await plane.node()
    task = (await plane.started(node))["task_id"]
    if agent:
        await plane.agent(task, 1, agent)
    shown = await plane.runner(node, task, runner, attempt=1, exit_code=code)
    assert (shown["status"], shown["reason"]) == expected
    assert (shown["agent_status"], shown["exit_code"]) == (agent, code)


async def test_a_repeated_report_changes_nothing(plane: Any) -> None:
    node = await plane.node()
    task = (await plane.started(node))["task_id"]
    await plane.agent(task, 1, "running", progress=10, seq=7)
    before = await plane.kinds(task)
    await plane.agent(task, 1, "running", progress=10, seq=7)
    assert await plane.kinds(task) == before


async def test_the_same_end_told_again_is_a_duplicate(plane: Any) -> None:
    node = await plane.node()
    task = (await plane.started(node))["task_id"]
    await plane.runner(node, task, "success", attempt=1, exit_code=0, seq=9)
    again = await plane.runner(node, task, "success", attempt=1, exit_code=0, seq=9)
    assert again["status"] == "success"


async def test_another_report_after_the_end_is_kept_and_refused(plane: Any) -> None:
    node = await plane.node()
    task = (await plane.started(node))["task_id"]
    await plane.runner(node, task, "success", attempt=1, exit_code=0)
    with pytest.raises(AlreadyEnded):
        await plane.agent(task, 1, "error", message="too late")
    events = await plane.history(task)
    assert (events[-1]["message"], events[-1]["applied"]) == ("too late", False)
    assert (await plane.show(task))["status"] == "success"


async def test_a_report_from_an_older_attempt_is_kept_and_never_applied(plane: Any, clock: Any) -> None:
    first, second = await plane.node("first"), await plane.node("second")
    task = await plane.task()
    await plane.poll(first)
    clock.turn(16)
    await plane.scheduler.tick()
    assert (await plane.poll(second))["attempt"] == 2
    with pytest.raises(StaleAttempt):
        await plane.runner(first, task, "running", attempt=1)
    shown = await plane.show(task)
    assert (shown["status"], shown["assigned_node_name"]) == ("assigned", "second")
    assert (await plane.history(task))[-1]["applied"] is False


async def test_no_permit_for_an_attempt_that_went_back_in_line(plane: Any, clock: Any) -> None:
    node = await plane.node()
    task = await plane.task()
    await plane.poll(node)
    clock.turn(16)
    await plane.scheduler.tick()
    with pytest.raises(StaleAttempt):
        await plane.runner(node, task, "running", attempt=1)


async def test_what_a_node_prepares_is_told_and_starts_no_clock(plane: Any, clock: Any) -> None:
    node = await plane.node()
    task = await plane.task(timeout_seconds=60)
    await plane.poll(node)
    clock.turn(5)
    told = await plane.runner(node, task, "running", attempt=1, message="fetching the image", preparing=True)
    assert (told["status"], told["message"], told["started_at"]) == ("assigned", "fetching the image", None)
    assert told["deadline_at"] is None
    clock.turn(5)
    started = await plane.runner(node, task, "running", attempt=1, seq=1)
    assert (started["status"], started["started_at"]) == ("running", iso(clock()))
    late = await plane.runner(node, task, "running", attempt=1, message="once more", preparing=True)
    assert (late["status"], late["message"]) == ("running", "once more")


async def test_a_foreign_task_is_not_found(plane: Any) -> None:
    node, stranger = await plane.node("one"), await plane.node("two")
    task = (await plane.started(node))["task_id"]
    with pytest.raises(NotFound):
        await plane.runner(stranger, task, "error")
    with pytest.raises(NotFound):
        await plane.agent("another-task", 1, "running")


async def test_a_failure_before_the_permit_counts_as_a_start(plane: Any) -> None:
    node = await plane.node()
    task = await plane.task(max_attempts=2)
    await plane.poll(node)
    shown = await plane.runner(node, task, "error", attempt=1, reason="checksum_mismatch", message="no")
    assert shown["status"] == "pending"
    await plane.poll(node)
    shown = await plane.runner(node, task, "error", attempt=2, reason="checksum_mismatch", message="no")
    assert (shown["status"], shown["reason"], shown["error_message"]) == ("error", "checksum_mismatch", "no")


async def test_a_pending_task_is_cancelled_at_once(plane: Any) -> None:
    task = await plane.task()
    shown = await plane.tasks.cancel(task)
    assert (shown["status"], shown["reason"]) == ("cancelled", "cancelled_by_operator")
    assert (await plane.tasks.cancel(task))["status"] == "cancelled", "cancelling is idempotent"
    assert await plane.poll(await plane.node()) is None


async def test_a_running_task_is_cancelled_when_its_node_proves_the_container_gone(plane: Any) -> None:
    node = await plane.node()
    task = (await plane.started(node, max_attempts=5))["task_id"]
    shown = await plane.tasks.cancel(task)
    assert (shown["status"], shown["cancel_requested"]) == ("running", True)
    mine = Held(task_id=task, attempt=1)
    assert (await plane.beat(node, mine))["cancel"] == [{"task_id": task, "attempt": 1}]
    assert (await plane.agent(task, 1, "running"))["cancel_requested"] is True
    shown = await plane.runner(node, task, "error", attempt=1, reason="cancelled_by_operator", exit_code=137)
    assert (shown["status"], shown["reason"]) == ("cancelled", "cancelled_by_operator")


async def test_no_permit_for_a_task_that_was_cancelled_while_assigned(plane: Any) -> None:
    node = await plane.node()
    task = await plane.task()
    await plane.poll(node)
    await plane.tasks.cancel(task)
    with pytest.raises(AlreadyEnded):
        await plane.runner(node, task, "running", attempt=1)
    assert (await plane.show(task))["status"] == "cancelled"


async def test_a_cancelled_task_whose_node_falls_silent_ends_unconfirmed(plane: Any, clock: Any) -> None:
    node = await plane.node()
    task = (await plane.started(node))["task_id"]
    await plane.tasks.cancel(task)
    clock.turn(61)
    await plane.scheduler.tick()
    shown = await plane.show(task)
    assert (shown["status"], shown["reason"]) == ("cancelled", "cancel_unconfirmed")


async def test_a_node_is_told_to_end_an_attempt_that_is_not_its_own_any_more(plane: Any, clock: Any) -> None:
    node = await plane.node()
    task = (await plane.started(node))["task_id"]
    clock.turn(61)
    await plane.scheduler.tick()
    mine = Held(task_id=task, attempt=1)
    assert (await plane.beat(node, mine))["cancel"] == [{"task_id": task, "attempt": 1}]


async def test_an_older_client_settles_its_task_by_its_own_report(plane: Any) -> None:
    node = await plane.node(wire=1)
    task = await plane.task()
    await plane.poll(node)
    await plane.beat(node, status="busy")
    assert (await plane.show(task))["status"] == "running"
    shown = await plane.runner(node, task, "error", message="it broke")
    assert (shown["status"], shown["error_message"]) == ("error", "it broke")


async def test_a_keyless_report_speaks_for_the_agent_of_the_current_attempt(plane: Any) -> None:
    node = await plane.node(wire=1)
    task = await plane.task()
    keyless = Identity(Caller.ANYONE)
    report = StatusReport(job_id=task, status=ReportStatus.RUNNING, progress=30)
    with pytest.raises(NotFound):
        await plane.reports.take(keyless, report)
    await plane.poll(node)
    shown = await plane.reports.take(keyless, report)
    assert (shown["status"], shown["progress"]) == ("running", 30)


@pytest.mark.parametrize(("said", "kept"), [(-1, None), (137, 137), (-9, -9)])
async def test_what_podman_shows_for_no_exit_code_is_none(plane: Any, said: int, kept: int | None) -> None:
    """It says -1 of a container that its time limit ended."""
    node = await plane.node()
    given = await plane.started(node)
    more = {"attempt": given["attempt"], "reason": Reason.TIMEOUT, "exit_code": said}
    await plane.runner(node, given["task_id"], "error", **more)
    told = await plane.show(given["task_id"])
    assert (told["reason"], told["exit_code"]) == ("timeout", kept)
