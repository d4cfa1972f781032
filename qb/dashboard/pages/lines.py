"""A task as one line of a list: the columns that every list of tasks shows."""

TASK_LINE = """
SELECT t.seq, t.id, t.status, coalesce(t.title, substr(s.prompt, 1, 200)) AS what, t.progress, t.message, t.reason,
    t.error_message, t.attempt, t.max_attempts, t.starts, t.priority, t.cancel_requested_at, t.available_at,
    t.waits_for, t.limited_by, t.claimable, t.created_at, t.created_by, t.assigned_at, t.started_at, t.completed_at,
    t.assigned_node_id, n.name AS node, p.target, t.schedule_id IS t.id AS is_schedule,
    (SELECT max(expires_at) FROM task_questions q WHERE q.task_id = t.id AND q.attempt = t.attempt
        AND q.answer IS NULL AND t.completed_at IS NULL) AS waiting_until
FROM tasks t JOIN task_specs s ON s.task_id = t.id JOIN placements p ON p.id = t.placement_id
LEFT JOIN nodes n ON n.id = t.assigned_node_id
"""
# Without the plus SQLite would walk through all tasks in the order of seq, to spare itself the sorting of a few.
LIVE = TASK_LINE + "WHERE t.lease_expires_at IS NOT NULL ORDER BY +t.seq DESC LIMIT :limit"
