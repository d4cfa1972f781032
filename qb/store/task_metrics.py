"""Figures that agents log about their tasks."""

import sqlite3
from typing import Any

_ADD = """
INSERT INTO task_metrics (task_id, name, attempt, seq, value, at) VALUES (:task_id, :name, :attempt, :seq, :value, :at)
ON CONFLICT DO NOTHING
"""
_COUNTS = """
SELECT count(*) AS points, count(DISTINCT name) AS names, coalesce(max(name = :name), 0) AS known
FROM task_metrics WHERE task_id = :task_id
"""
_SUMMARY = """
SELECT DISTINCT name, last_value(value) OVER whole AS value, count(*) OVER whole AS count,
    min(value) OVER whole AS least, max(value) OVER whole AS most,
    min(at) OVER whole AS first_at, max(at) OVER whole AS last_at
FROM task_metrics WHERE task_id = :task_id AND (:name IS NULL OR name = :name)
WINDOW whole AS (PARTITION BY name ORDER BY attempt, seq ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
ORDER BY name
"""


def add(db: sqlite3.Connection, point: dict[str, Any]) -> None:
    """Keep a point; one that is there already changes nothing."""
    db.execute(_ADD, point)


def counts(db: sqlite3.Connection, task_id: str, name: str) -> tuple[int, int, bool]:
    """How many points and names the task has, and whether `name` is one of them."""
    row = db.execute(_COUNTS, {"task_id": task_id, "name": name}).fetchone()
    return row["points"], row["names"], bool(row["known"])


def summaries(db: sqlite3.Connection, task_id: str, name: str | None = None) -> list[dict[str, Any]]:
    """Each metric by name (or the one called `name`), in the shape of TaskMetric."""
    return [dict(row) for row in db.execute(_SUMMARY, {"task_id": task_id, "name": name})]
