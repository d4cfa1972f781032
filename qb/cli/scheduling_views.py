"""How groups and schedules look in tables."""

from datetime import datetime

from qb.cli.durations import ago
from qb.cli.output import Column
from qb.contract.scheduling import Group, GroupTask, Schedule
from qb.contract.states import TaskStatus


def counts(group: Group) -> str:
    """``2 success, 1 error``: how many tasks of a group are in each status."""
    return ", ".join(f"{group.counts[status]} {status}" for status in TaskStatus if group.counts.get(status))


GROUPS: tuple[Column[Group], ...] = (
    Column("ID", lambda group, _: group.id, short=True),
    Column("TASKS", lambda group, _: group.total),
    Column("NODES", lambda group, _: group.each, flexible=True),
    Column("CREATED", lambda group, now: ago(group.created_at, now)),
    Column("STATUS", lambda group, _: counts(group), flexible=True),
    Column("TITLE", lambda group, _: group.title, flexible=True),
)

GROUP_TASKS: tuple[Column[GroupTask], ...] = (
    Column("TASK", lambda task, _: task.id, short=True),
    Column("NODE", lambda task, _: task.target_node_name, flexible=True),
    Column("STATUS", lambda task, _: task.status),
    Column("REASON", lambda task, _: task.reason),
    Column("DONE", lambda task, _: "" if task.progress is None else f"{task.progress} %"),
    Column("ERROR", lambda task, _: task.error_message, flexible=True),
)

SCHEDULES: tuple[Column[Schedule], ...] = (
    Column("ID", lambda schedule, _: schedule.id, short=True),
    Column("CRON", lambda schedule, _: schedule.recurrence),
    Column("ZONE", lambda schedule, _: schedule.time_zone, flexible=True),
    Column("NEXT", lambda schedule, now: ago(schedule.next_run_at, now) or "never"),
    Column("LAST", lambda schedule, now: ago(schedule.last_run_at, now) or "never"),
    Column("MISSED", lambda schedule, _: schedule.missed_runs, wide=True),
    Column("TASK", lambda schedule, _: schedule.title or schedule.prompt[:1000], flexible=True),
)


def group_sheet(group: Group, now: datetime) -> dict[str, object]:
    """What `qb group show` says above the tasks; empty entries are left out."""
    return {
        "Group": group.id,
        "Title": group.title,
        "Nodes": group.each,
        "Status": counts(group),
        "Created": f"{group.created_at} ({ago(group.created_at, now)})",
        "By": group.created_by,
    }


def schedule_sheet(schedule: Schedule, now: datetime) -> dict[str, object]:
    """What `qb schedule show` says; empty entries are left out."""
    runs = {"Next run": schedule.next_run_at, "Last run": schedule.last_run_at}
    return {
        "Schedule": schedule.id,
        "Title": schedule.title,
        "Cron": f"{schedule.recurrence} ({schedule.time_zone})",
        **{name: f"{at} ({ago(at, now)})" if at else "never" for name, at in runs.items()},
        "Missed runs": "are made up for once" if schedule.missed_runs == "once" else "are skipped",
        "Created": f"{schedule.created_at} ({ago(schedule.created_at, now)})",
        "By": schedule.created_by,
        "Prompt": schedule.prompt,
    }
