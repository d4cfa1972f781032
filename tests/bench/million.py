"""A data directory with a million tasks of every ending on 50 nodes, with output and transcripts: made once, then kept.

    python -m tests.bench.million

makes it ahead of the bench, in TMPDIR, under a name that changes with the schema and with this file.
"""

import hashlib
import shutil
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from sqlite_utils import Database

from qb.domain.placement import Target
from qb.store import hours, placements
from qb.store.database import connect
from qb.store.migrations import schema
from tests.bench.seed import add_nodes, add_tasks
from tests.fixtures_server import new_server

TASKS = 1_000_000
"""That have ended, one a second until now."""
NODES = 50
LIVE = 40
WAITING = 2_000
STALE_SECONDS = 6 * 3600
"""A data directory that is older has no last hour left, and is made anew."""

# A version 4 UUID out of random bytes, as the server makes its ids.
_UUID = """lower(printf('%s-%s-4%s-a%s-%s', hex(randomblob(4)), hex(randomblob(2)), substr(hex(randomblob(2)), 2),
    substr(hex(randomblob(2)), 2), hex(randomblob(6))))"""
_AT = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', printf('-%d seconds', :count - n + {}))"
_TASKS = f"""
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
INSERT INTO tasks (id, title, placement_id, priority, timeout_seconds, status, claimable, reason, attempt, starts,
    max_attempts, deliveries, acknowledged, assigned_node_id, progress, message, agent_status, exit_code, cost, tokens,
    crush_session_id, created_at, assigned_at, started_at, completed_at, created_by)
SELECT {_UUID}, iif(n % 2, 'Sales of day ' || n, NULL), :placement, n % 3, 3600,
    CASE WHEN n % 10 = 3 THEN 'error' WHEN n % 50 = 7 THEN 'cancelled' ELSE 'success' END, 0,
    CASE WHEN n % 10 = 3 THEN json_extract('["exit_nonzero","agent_error","timeout","lease_expired"]', '$[' || (n / 10 % 4) || ']')
        WHEN n % 50 = 7 THEN 'cancelled_by_operator' END,
    1, 1, 1, 1, 1, (SELECT id FROM temp.bench_nodes WHERE rowid = n % :nodes + 1), 100, 'Report written',
    iif(n % 5, 'success', NULL), iif(n % 10 = 3, 1, 0), iif(n % 4, NULL, 0.01 * (n % 30)), iif(n % 4, NULL, n % 9000 + 1),
    iif(n % 4, NULL, 's1'), {_AT.format("abs(random() % 600) + 300")}, {_AT.format("300")}, {_AT.format("abs(random() % 290) + 1")},
    {_AT.format("0")}, json_extract('["acme","globex","initech","umbrella","admin"]', '$[' || (n % 5) || ']')
FROM numbers
"""  # noqa: S608, E501 - the text is ours
_FILLED = (
    "INSERT INTO task_specs (task_id, prompt) SELECT id, 'Summarise the sales figures of day ' || seq FROM tasks",
    """INSERT INTO attempts (task_id, attempt, node_id, node_name, claimed_at, started_at, ended_at, outcome, reason)
    SELECT t.id, 1, n.id, n.name, assigned_at, started_at, completed_at, t.status, reason
    FROM tasks t JOIN nodes n ON n.id = assigned_node_id""",
    """INSERT INTO task_events (task_id, attempt, at, kind, source, status, applied)
    SELECT id, 1, completed_at, 'runner_' || status, 'runner', status, 1 FROM tasks""",
    """INSERT INTO crush_sessions (task_id, id, attempt, title, prompt_tokens, completion_tokens, cost, message_count,
        stale, received_at)
    SELECT id, 's1', 1, 'The job', tokens * 4 / 5, tokens / 5, cost, 2, 0, completed_at FROM tasks WHERE tokens > 0""",
    """INSERT INTO crush_messages (task_id, session_id, position, id, role, content, model)
    SELECT id, 's1', position, 'm' || position, iif(position, 'assistant', 'user'), 'Three regions are weak.',
        iif(position, iif(seq % 3, 'large-4', 'small-4'), NULL)
    FROM tasks, (SELECT 0 AS position UNION ALL SELECT 1) WHERE tokens > 0 ORDER BY id, position""",
    """INSERT INTO output_logs (task_id, attempt, last_seq, size, dropped)
    SELECT id, 1, 2, 40, 0 FROM tasks WHERE tokens > 0""",
    """INSERT INTO output_lines (id, stream, at, text)
    SELECT (id << 28) + n, 'stdout', '2026-01-01T00:00:00.000Z', 'step ' || n || ' of 2: done' || char(10)
    FROM output_logs, (SELECT 1 AS n UNION ALL SELECT 2)""",
    """INSERT INTO audit_log (at, actor, action, object, outcome, address)
    SELECT completed_at, created_by, 'task_cancelled', id, 'done', '192.0.2.7' FROM tasks WHERE status = 'cancelled'""",
)
_LIVE = """
UPDATE tasks SET status = 'running', claimable = 0, assigned_node_id = (SELECT id FROM temp.bench_nodes
        WHERE rowid = seq % :nodes + 1), attempt = 1, starts = 1, assigned_at = created_at, started_at = created_at,
    lease_expires_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+10 days'), progress = 40
WHERE seq IN (SELECT seq FROM tasks WHERE status = 'pending' LIMIT :live)
"""


def million() -> Path:
    """The data directory, made now unless it is there; a minute or two of work."""
    place = Path(tempfile.gettempdir()) / f"qb-bench-million-{_version()}"
    made = place / "made"
    if made.exists() and time.time() - made.stat().st_mtime < STALE_SECONDS:
        return place / "qb"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    data_dir = new_server(place / "qb").data_dir
    with closing(connect(data_dir / "qb.db")) as db:
        for pragma in ("synchronous = OFF", "journal_mode = OFF", "cache_size = -1000000", "foreign_keys = OFF"):
            db.execute(f"PRAGMA {pragma}")
        _fill(db)
        db.execute("PRAGMA journal_mode = WAL")
    made.touch()
    return data_dir


def _version() -> str:
    fresh = Database(memory=True)
    schema.apply(fresh)
    return hashlib.sha256(f"{Path(__file__).read_text()}\n{fresh.schema}".encode()).hexdigest()[:12]


def _fill(db: sqlite3.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    nodes = add_nodes(db, NODES)
    db.execute("CREATE TEMP TABLE bench_nodes (id TEXT)")
    db.executemany("INSERT INTO temp.bench_nodes VALUES (?)", [(node,) for node in nodes])
    placement = placements.ensure(db, Target())
    db.execute(_TASKS, {"count": TASKS, "placement": placement, "nodes": NODES})
    for statement in (*_FILLED, *hours.FILL):
        db.execute(statement)
    add_tasks(db, WAITING + LIVE)
    db.execute(_LIVE, {"nodes": NODES, "live": LIVE})
    db.execute("COMMIT")


if __name__ == "__main__":
    sys.stdout.write(f"{million()}\n")
