"""Calls about when tasks run: retries, groups, schedules, and why one waits."""

from qb.client.transport import Transport
from qb.contract.scheduling import Group, GroupCreated, Schedule, Why
from qb.contract.tasks import GroupCreate, Task


class SchedulingCalls:
    """A part of QbClient."""

    _wire: Transport

    def retry_task(self, task_id: str) -> Task:
        """Make a task like one that ended without success."""
        return self._wire.model(Task, "retry_task", {"task_id": task_id})

    def why(self, task_id: str) -> Why:
        """Why a task is not running."""
        return self._wire.model(Why, "why_task", {"task_id": task_id})

    def create_group(self, body: GroupCreate) -> GroupCreated:
        """Make one task for each matching node; its `warnings` say what older nodes cannot do for theirs."""
        return self._wire.model(GroupCreated, "create_group", body=body)

    def groups(self, *, limit: int = 200) -> list[Group]:
        """At most `limit` groups, newest first, without their tasks."""
        return self._wire.pages(Group, "list_groups", params={"limit": str(min(limit, 1000))}, most=limit)

    def group(self, group_id: str) -> Group:
        """A group with its tasks."""
        return self._wire.model(Group, "show_group", {"group_id": group_id})

    def cancel_group(self, group_id: str) -> Group:
        """Ask for every task of a group to be cancelled."""
        return self._wire.model(Group, "cancel_group", {"group_id": group_id})

    def schedules(self) -> list[Schedule]:
        """Every schedule, the next to run first, those that do not run again last."""
        every = self._wire.pages(Schedule, "list_schedules")
        return sorted(every, key=lambda each: (each.next_run_at is None, each.next_run_at or ""))

    def schedule(self, schedule_id: str) -> Schedule:
        """One schedule."""
        return self._wire.model(Schedule, "show_schedule", {"task_id": schedule_id})

    def remove_schedule(self, schedule_id: str) -> Schedule:
        """End a schedule; the runs that it made stay."""
        return self._wire.model(Schedule, "remove_schedule", {"task_id": schedule_id})
