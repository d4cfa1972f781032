"""Sums by the hour, for the dashboard's trends: a million tasks are looked at in a few thousand rows.

Triggers keep them, so that no path can forget it; nothing that a claim or a heartbeat writes makes one run. The sums
outlive the tasks that retention removes. Times are counted in tenths of a second, from 10 s on rounded to two digits,
so that an hour has some dozens of rows at most and a percentile is right within 5 %.
"""
# ruff: noqa: S608 - every part of these statements is a constant of this file

KEPT = 400
"""Days that an hour stays; the sweep lets go of it (qb.service.retention)."""

_TABLES = (
    """CREATE TABLE hourly_endings (
        hour TEXT NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL, tasks INTEGER NOT NULL,
        PRIMARY KEY (hour, status, reason)) WITHOUT ROWID""",
    """CREATE TABLE hourly_durations (
        hour TEXT NOT NULL, what TEXT NOT NULL CHECK (what IN ('wait', 'run')), tenths INTEGER NOT NULL,
        tasks INTEGER NOT NULL, PRIMARY KEY (hour, what, tenths)) WITHOUT ROWID""",
    # Of tasks that have ended: how many more began to wait in that hour than ceased to.
    "CREATE TABLE hourly_queue (hour TEXT PRIMARY KEY, step INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE hourly_spending (
        hour TEXT NOT NULL, client TEXT NOT NULL, model TEXT NOT NULL, tokens INTEGER NOT NULL, cost REAL NOT NULL,
        PRIMARY KEY (hour, client, model)) WITHOUT ROWID""",
)


def _hour(moment: str) -> str:
    return f"substr({moment}, 1, 13)"


def _rounded(tenths: str) -> str:
    steps = (10, 100, 1_000, 10_000, 100_000)
    cases = " ".join(f"WHEN {tenths} < {100 * step} THEN ({tenths} + {step // 2}) / {step} * {step}" for step in steps)
    return f"CASE WHEN {tenths} < 100 THEN {tenths} {cases} ELSE 10000000 END"


def _endings(tasks: str, of: str) -> str:
    return f"""INSERT INTO hourly_endings (hour, status, reason, tasks)
    SELECT {_hour("t.completed_at")}, t.status, coalesce(t.reason, ''), {tasks} {of}"""


def _durations(what: str, begin: str, end: str, tasks: str, of: str) -> str:
    took = f"max(CAST(round((julianday({end}) - julianday({begin})) * 864000) AS INTEGER), 0)"
    return f"""INSERT INTO hourly_durations (hour, what, tenths, tasks)
    SELECT hour, '{what}', {_rounded("took")}, {tasks} FROM (
        SELECT {_hour(end)} AS hour, {took} AS took {of} AND {begin} IS NOT NULL AND {end} IS NOT NULL) WHERE 1"""


def _queue(step: str, of: str) -> str:
    """Up by one when the task was created, down when it was claimed, or ended unclaimed; a schedule never waits."""
    left = "coalesce(t.assigned_at, t.completed_at)"
    ends = f"(SELECT t.created_at AS at, 1 AS step {of} UNION ALL SELECT {left}, -1 {of})"
    return f"INSERT INTO hourly_queue (hour, step) SELECT {_hour('at')}, {step} FROM {ends} WHERE 1"


def _spending(hour: str, task: str, tokens: str, cost: str) -> str:
    model = f"(SELECT model FROM crush_messages WHERE task_id = {task}.id AND model IS NOT NULL LIMIT 1)"
    return f"""INSERT INTO hourly_spending (hour, client, model, tokens, cost)
    SELECT {_hour(hour)}, coalesce({task}.created_by, ''), coalesce({model}, ''), {tokens}, {cost}"""


_WAIT = ("wait", "t.created_at", "t.assigned_at")
_RUN = ("run", "t.started_at", "t.completed_at")
_EVERY = "FROM tasks t WHERE t.completed_at IS NOT NULL"
_THIS = "FROM tasks t WHERE t.seq = new.seq"
_NO_PATTERN = "AND t.schedule_id IS NOT t.id"
_ONE_MORE = "ON CONFLICT DO UPDATE SET tasks = tasks + 1"
_SPENT = ("coalesce(new.tokens, 0) - coalesce(old.tokens, 0)", "coalesce(new.cost, 0) - coalesce(old.cost, 0)")

FILL = (
    f"{_endings('count(*)', _EVERY)} GROUP BY 1, 2, 3",
    f"{_durations(*_WAIT, 'count(*)', _EVERY)} GROUP BY 1, 3",
    f"{_durations(*_RUN, 'count(*)', _EVERY)} GROUP BY 1, 3",
    f"{_queue('sum(step)', f'{_EVERY} {_NO_PATTERN}')} GROUP BY 1",
    _spending("coalesce(t.completed_at, t.assigned_at, t.created_at)", "t", "sum(coalesce(t.tokens, 0))",
              "sum(coalesce(t.cost, 0))") + " FROM tasks t WHERE t.tokens > 0 OR t.cost > 0 GROUP BY 1, 2, 3",
)  # fmt: skip
"""What has happened so far, into empty tables."""

_TRIGGERS = (
    f"""CREATE TRIGGER task_ended AFTER UPDATE OF completed_at ON tasks
    WHEN old.completed_at IS NULL AND new.completed_at IS NOT NULL BEGIN
        {_endings("1", _THIS)} {_ONE_MORE};
        {_durations(*_WAIT, "1", _THIS)} {_ONE_MORE};
        {_durations(*_RUN, "1", _THIS)} {_ONE_MORE};
        {_queue("step", f"{_THIS} {_NO_PATTERN}")} ON CONFLICT DO UPDATE SET step = step + excluded.step;
    END""",
    f"""CREATE TRIGGER task_spent AFTER UPDATE OF cost, tokens ON tasks
    WHEN new.tokens IS NOT old.tokens OR new.cost IS NOT old.cost BEGIN
        {_spending("coalesce(new.completed_at, strftime('%Y-%m-%dT%H:%M', 'now'))", "new", *_SPENT)} WHERE 1
        ON CONFLICT DO UPDATE SET tokens = tokens + excluded.tokens, cost = cost + excluded.cost;
    END""",
)

STATEMENTS = (*_TABLES, *FILL, *_TRIGGERS)
"""From a schema without these tables to one with them."""
