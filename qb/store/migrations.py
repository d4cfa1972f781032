"""The schema of qb.db, as migrations that are applied once, in order, before serving.

Times are ISO 8601 UTC text (qb.domain.times). JSON columns hold canonical JSON. Large text (prompts, output,
transcripts) has tables of its own, so that the hot tables stay small. Tasks lie in the order of their creation: what is
claimed together is mostly stored together, and a group of claims writes half the pages.
"""

from pathlib import Path

from sqlite_utils import Database, Migrations

from qb.store import hours
from qb.store.database import connect
from qb.store.first_schema import TABLES

schema = Migrations("quarterback")


@schema()
def m001_first_schema(db: Database) -> None:
    """Everything that the first release keeps."""
    for statement in TABLES.split(";\n"):
        if statement.strip():
            db.execute(statement)


_WHO_AND_ON_WHOSE_LEAVE = (
    "ALTER TABLE tasks ADD COLUMN created_by_key TEXT",
    "CREATE INDEX tasks_by_key ON tasks (created_by_key, seq)",
    "ALTER TABLE uploads ADD COLUMN created_by_key TEXT",
    "ALTER TABLE nodes ADD COLUMN takeover_allowed INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE nodes ADD COLUMN oldest_key INTEGER NOT NULL DEFAULT 1",
    "UPDATE nodes SET oldest_key = key_version",
    "ALTER TABLE nodes ADD COLUMN old_keys_until TEXT",
    "ALTER TABLE audit_log ADD COLUMN actor_id TEXT",
    "ALTER TABLE audit_log ADD COLUMN count INTEGER NOT NULL DEFAULT 1",
)


@schema()
def m002_keys_and_audit(db: Database) -> None:
    """Whose key made a task or an upload, which keys of a node still count, and who did what how often."""
    for statement in _WHO_AND_ON_WHOSE_LEAVE:
        db.execute(statement)


@schema()
def m003_files_by_checksum(db: Database) -> None:
    """Tell quickly whether anything refers to a blob."""
    for table in ("uploads", "task_files", "artifacts"):
        db.execute(f"CREATE INDEX {table}_by_checksum ON {table} (checksum)")
    db.execute("CREATE INDEX uploads_by_age ON uploads (created_at)")


_OLD_CLIENTS = (
    """CREATE TABLE doubts (
    task_id TEXT PRIMARY KEY, attempt INTEGER NOT NULL, event TEXT NOT NULL, due_at TEXT NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX doubts_by_time ON doubts (due_at)",
    """CREATE TABLE replaced_keys (
    node_id TEXT NOT NULL, key_version INTEGER NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY (node_id, key_version)) WITHOUT ROWID""",
)


@schema()
def m004_old_clients(db: Database) -> None:
    """What is not known of the attempts that older clients hold, and when a node's key gave way to a newer one."""
    for statement in _OLD_CLIENTS:
        db.execute(statement)


_SCHEDULING = """
ALTER TABLE tasks ADD COLUMN group_id TEXT;
ALTER TABLE tasks ADD COLUMN schedule_id TEXT;
ALTER TABLE tasks ADD COLUMN retry_of TEXT;
ALTER TABLE tasks ADD COLUMN waits_for INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN awaited INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN expires_at TEXT;
ALTER TABLE tasks ADD COLUMN backoff_seconds INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN retry_on TEXT;
ALTER TABLE tasks ADD COLUMN limited_by TEXT;
CREATE INDEX tasks_by_group ON tasks (group_id, seq) WHERE group_id IS NOT NULL;
CREATE INDEX tasks_by_schedule ON tasks (schedule_id, seq) WHERE schedule_id IS NOT NULL;
CREATE INDEX tasks_retried ON tasks (retry_of) WHERE retry_of IS NOT NULL;
CREATE INDEX tasks_expiring ON tasks (expires_at) WHERE expires_at IS NOT NULL AND status = 'pending';
CREATE INDEX tasks_of_a_limit ON tasks (limited_by, placement_id, priority DESC, seq)
    WHERE limited_by IS NOT NULL AND status = 'pending' AND available_at IS NULL AND waits_for = 0;
CREATE INDEX tasks_offered ON tasks (limited_by) WHERE limited_by IS NOT NULL AND claimable = 1;
CREATE INDEX tasks_counted ON tasks (limited_by) WHERE limited_by IS NOT NULL AND lease_expires_at IS NOT NULL;

ALTER TABLE task_specs ADD COLUMN on_failure TEXT;
ALTER TABLE task_specs ADD COLUMN queue_timeout_seconds INTEGER;

CREATE TABLE task_dependencies (
    depends_on TEXT NOT NULL REFERENCES tasks(id) ON DELETE CASCADE,
    task_id TEXT NOT NULL REFERENCES tasks(id) ON DELETE CASCADE,
    PRIMARY KEY (depends_on, task_id)
) WITHOUT ROWID;
CREATE INDEX task_dependencies_by_task ON task_dependencies (task_id);

CREATE TABLE task_groups (
    id TEXT PRIMARY KEY, seq INTEGER NOT NULL UNIQUE, title TEXT, each TEXT NOT NULL,
    created_at TEXT NOT NULL, created_by TEXT, created_by_key TEXT
) WITHOUT ROWID;

CREATE TABLE key_limits (key_id TEXT PRIMARY KEY, max_running INTEGER NOT NULL CHECK (max_running > 0)) WITHOUT ROWID;

ALTER TABLE schedules ADD COLUMN time_zone TEXT NOT NULL DEFAULT 'UTC';
ALTER TABLE schedules ADD COLUMN missed_runs TEXT NOT NULL DEFAULT 'skip';
ALTER TABLE schedules ADD COLUMN last_run_at TEXT;
CREATE UNIQUE INDEX schedules_by_task ON schedules (task_id);
CREATE INDEX schedules_due ON schedules (next_run_at);
"""


@schema()
def m005_scheduling(db: Database) -> None:
    """Order among tasks, retries, groups, schedules, and how many tasks of a key run at once."""
    for statement in _SCHEDULING.split(";\n"):
        if statement.strip():
            db.execute(statement)


_OUTPUT_BY_LOG = (
    """CREATE TABLE output_logs (
        id INTEGER PRIMARY KEY, task_id TEXT NOT NULL REFERENCES tasks(id), attempt INTEGER NOT NULL,
        last_seq INTEGER NOT NULL, size INTEGER NOT NULL, dropped INTEGER NOT NULL, UNIQUE (task_id, attempt)
    )""",
    # The id is that of the log shifted by 28 bits, and the seq: see qb.store.output.
    "CREATE TABLE output_lines (id INTEGER PRIMARY KEY, stream TEXT NOT NULL, at TEXT NOT NULL, text TEXT NOT NULL)",
    """INSERT INTO output_logs (task_id, attempt, last_seq, size, dropped)
        SELECT task_id, attempt, max(seq), sum(length(CAST(text AS BLOB))), 0 FROM task_output
        GROUP BY task_id, attempt ORDER BY min(id)""",
    """INSERT INTO output_lines (id, stream, at, text)
        SELECT (l.id << 28) + o.seq, o.stream, o.at, o.text
        FROM output_logs l JOIN task_output o ON o.task_id = l.task_id AND o.attempt = l.attempt
        ORDER BY l.id, o.seq""",
    "DROP TABLE task_output",
    """CREATE VIEW task_output AS
        SELECT o.id, l.task_id, l.attempt, o.id & ((1 << 28) - 1) AS seq, o.stream, o.at, o.text
        FROM output_logs l JOIN output_lines o ON o.id > l.id << 28 AND o.id < (l.id + 1) << 28""",
)


@schema()
def m006_output_by_log(db: Database) -> None:
    """Lines of output without an index of their own: 50,000 a second are to be durable."""
    for statement in _OUTPUT_BY_LOG:
        db.execute(statement)


@schema()
def m007_task_lists(db: Database) -> None:
    """List the tasks of one node, or of one target, without looking at the others."""
    db.execute("CREATE INDEX tasks_by_node ON tasks (assigned_node_id, seq) WHERE assigned_node_id IS NOT NULL")
    db.execute("CREATE INDEX tasks_by_placement ON tasks (placement_id, seq)")


_OPERATIONS = (
    "CREATE TABLE epochs (epoch INTEGER PRIMARY KEY, restored_at TEXT NOT NULL, opened_at TEXT)",
    "CREATE TABLE retention_marks (kind TEXT PRIMARY KEY, through TEXT NOT NULL) WITHOUT ROWID",
    "CREATE INDEX audit_log_by_time ON audit_log (at)",
    """CREATE TABLE webhook_deliveries (
        id INTEGER PRIMARY KEY, webhook_id TEXT NOT NULL, event_id INTEGER NOT NULL, kind TEXT NOT NULL,
        body TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, due_at TEXT, done_at TEXT, outcome TEXT,
        http_status INTEGER, error TEXT, created_at TEXT NOT NULL, UNIQUE (webhook_id, event_id),
        CHECK ((due_at IS NULL) = (outcome IS NOT NULL)), CHECK ((done_at IS NULL) = (outcome IS NULL))
    )""",
    "CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, due_at) WHERE due_at IS NOT NULL",
    "CREATE INDEX webhook_deliveries_done ON webhook_deliveries (done_at) WHERE done_at IS NOT NULL",
    "CREATE TABLE webhook_cursor (one INTEGER PRIMARY KEY CHECK (one = 1), event_id INTEGER NOT NULL)",
)


@schema()
def m008_epochs_retention_and_webhooks(db: Database) -> None:
    """What restores, retention and webhooks must remember."""
    for statement in _OPERATIONS:
        db.execute(statement)


@schema()
def m009_idempotency(db: Database) -> None:
    """Which task a caller's Idempotency-Key has made."""
    db.execute("""CREATE TABLE idempotency_keys (
        caller TEXT NOT NULL, key TEXT NOT NULL, digest TEXT NOT NULL, task_id TEXT NOT NULL,
        created_at TEXT NOT NULL, PRIMARY KEY (caller, key)
    ) WITHOUT ROWID""")
    db.execute("CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at)")


@schema()
def m010_env_by_reference(db: Database) -> None:
    """Where a task's environment is kept; its names stand in the spec, its values in keys.db."""
    db.execute("ALTER TABLE task_specs ADD COLUMN env_id TEXT")
    db.execute("CREATE INDEX task_specs_by_env ON task_specs (env_id) WHERE env_id IS NOT NULL")


@schema()
def m011_push_deliveries(db: Database) -> None:
    """What is known of an attempt that was sent to an older push node, as JSON."""
    db.execute("ALTER TABLE attempts ADD COLUMN delivery TEXT")


@schema()
def m012_sessions_and_links(db: Database) -> None:
    """Which session a sub-agent's belongs to, and where sessions can be looked at."""
    db.execute("ALTER TABLE crush_sessions ADD COLUMN parent_session_id TEXT")
    db.execute("CREATE TABLE published_settings (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")


@schema()
def m013_delegation(db: Database) -> None:
    """Which task asked for which, and how many stand above it."""
    db.execute("ALTER TABLE tasks ADD COLUMN parent_task_id TEXT")
    db.execute("ALTER TABLE tasks ADD COLUMN root_task_id TEXT")
    db.execute("ALTER TABLE tasks ADD COLUMN depth INTEGER NOT NULL DEFAULT 0")
    db.execute("CREATE INDEX tasks_by_root ON tasks (root_task_id) WHERE root_task_id IS NOT NULL")


@schema()
def m014_questions_and_metrics(db: Database) -> None:
    """What agents ask their operators in the middle of a task, and the figures that they log."""
    db.execute("""CREATE TABLE task_questions (
        id TEXT PRIMARY KEY, task_id TEXT NOT NULL, attempt INTEGER NOT NULL, asker_key TEXT NOT NULL,
        question TEXT NOT NULL, options TEXT NOT NULL, asked_at TEXT NOT NULL, expires_at TEXT NOT NULL,
        answer TEXT, answered_at TEXT, answered_by TEXT, UNIQUE (task_id, attempt, asker_key),
        CHECK ((answer IS NULL) = (answered_at IS NULL))
    ) WITHOUT ROWID""")
    db.execute("CREATE INDEX task_questions_open ON task_questions (task_id, expires_at) WHERE answer IS NULL")
    db.execute("""CREATE TABLE task_metrics (
        task_id TEXT NOT NULL, name TEXT NOT NULL, attempt INTEGER NOT NULL, seq INTEGER NOT NULL,
        value REAL NOT NULL, at TEXT NOT NULL, PRIMARY KEY (task_id, attempt, seq)
    ) WITHOUT ROWID""")


_SILENCES = (
    """CREATE TABLE node_silences (
        node_id TEXT NOT NULL REFERENCES nodes(id) ON DELETE CASCADE, heard_at TEXT NOT NULL, silent_from TEXT,
        PRIMARY KEY (node_id, heard_at)) WITHOUT ROWID""",
    # Written by whatever makes an offline node speak again, so that no path can forget it.
    """CREATE TRIGGER node_heard_again AFTER UPDATE OF status ON nodes
        WHEN old.status = 'offline' AND new.status <> 'offline' BEGIN
            INSERT OR IGNORE INTO node_silences (node_id, heard_at, silent_from)
                VALUES (new.id, coalesce(new.last_seen_at, ''), old.last_seen_at);
            DELETE FROM node_silences WHERE node_id = new.id
                AND heard_at < strftime('%Y-%m-%dT%H:%M:%S', new.last_seen_at, '-30 days');
        END""",
)


@schema()
def m015_node_silences(db: Database) -> None:
    """When nodes were not heard from, for the last 30 days."""
    for statement in _SILENCES:
        db.execute(statement)


@schema()
def m016_nodes_reached_by_ansible(db: Database) -> None:
    """How Ansible reaches a node, and whether it brings the node's tasks."""
    db.execute(
        "ALTER TABLE nodes ADD COLUMN dispatch TEXT NOT NULL DEFAULT 'http' CHECK (dispatch IN ('http', 'ansible'))"
    )
    db.execute("ALTER TABLE nodes ADD COLUMN address TEXT")
    db.execute("ALTER TABLE nodes ADD COLUMN ansible TEXT NOT NULL DEFAULT '{}'")


_PROVISION_RUNS = """CREATE TABLE provision_runs (
    id TEXT PRIMARY KEY, seq INTEGER NOT NULL UNIQUE, playbook TEXT NOT NULL, limited_to TEXT, checked INTEGER NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('ok', 'failed', 'interrupted')), message TEXT,
    started_at TEXT NOT NULL, ended_at TEXT NOT NULL, recorded_at TEXT NOT NULL,
    actor TEXT NOT NULL, actor_id TEXT, hosts TEXT NOT NULL
) WITHOUT ROWID"""


@schema()
def m017_provision_runs(db: Database) -> None:
    """Who ran which playbook on which hosts, and what came of it."""
    db.execute(_PROVISION_RUNS)


@schema()
def m018_sums_by_the_hour(db: Database) -> None:
    """Sums for the trends, and lists of the tasks of one creator or one reason; claims write to none of these."""
    for statement in hours.STATEMENTS:
        db.execute(statement)
    db.execute("CREATE INDEX tasks_by_creator ON tasks (created_by, seq)")
    db.execute("CREATE INDEX tasks_by_reason ON tasks (reason, seq) WHERE reason IS NOT NULL")
    db.execute("CREATE INDEX tasks_failed ON tasks (completed_at, reason, assigned_node_id) WHERE reason IS NOT NULL")


@schema()
def m019_attempts_of_a_node(db: Database) -> None:
    """What a node ran, in the order of its claims, though the task went on elsewhere: for its page."""
    db.execute("CREATE INDEX attempts_by_node ON attempts (node_id)")


@schema()
def m020_idempotency_keys_of_a_task(db: Database) -> None:
    """Removing a task looks for its keys alone."""
    db.execute("CREATE INDEX idempotency_keys_by_task ON idempotency_keys (task_id)")


def migrate(path: Path) -> list[str]:
    """Bring the database at `path` (made when missing) up to date; returns the names of what was applied."""
    connection = connect(path)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        db = Database(connection)
        names = [migration.name for migration in schema.pending(db)]
        schema.apply(db)
    finally:
        connection.close()
    return names
