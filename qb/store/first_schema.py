"""The tables that the first migration makes. A later migration changes them; this text stays as it was."""

TABLES = """
CREATE TABLE nodes (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, hostname TEXT NOT NULL, os_type TEXT NOT NULL,
    mode TEXT NOT NULL CHECK (mode IN ('push', 'pull')), api_endpoint TEXT,
    status TEXT NOT NULL CHECK (status IN ('idle', 'busy', 'offline', 'error')),
    state TEXT NOT NULL CHECK (state IN ('active', 'draining', 'disabled')),
    capabilities TEXT NOT NULL, tags TEXT NOT NULL,
    wire INTEGER NOT NULL, generation TEXT NOT NULL, runner_version TEXT, arch TEXT,
    slots INTEGER NOT NULL CHECK (slots > 0), limits INTEGER NOT NULL, boot_id TEXT,
    load REAL, disk_free INTEGER, current_task_id TEXT,
    key_version INTEGER NOT NULL, token_id TEXT, poll_interval REAL,
    created_at TEXT NOT NULL, registered_at TEXT, last_seen_at TEXT
) WITHOUT ROWID;

CREATE TABLE placements (id INTEGER PRIMARY KEY, target TEXT NOT NULL UNIQUE);
CREATE TABLE placement_nodes (
    node_id TEXT NOT NULL, placement_id INTEGER NOT NULL REFERENCES placements(id),
    PRIMARY KEY (node_id, placement_id)
) WITHOUT ROWID;
CREATE INDEX placement_nodes_by_placement ON placement_nodes (placement_id);

CREATE TABLE tasks (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, title TEXT,
    placement_id INTEGER NOT NULL REFERENCES placements(id),
    priority INTEGER NOT NULL, timeout_seconds INTEGER,
    status TEXT NOT NULL
        CHECK (status IN ('pending', 'assigned', 'running', 'analyzing', 'success', 'error', 'cancelled')),
    claimable INTEGER NOT NULL CHECK (claimable = 0 OR status = 'pending'),
    reason TEXT, attempt INTEGER NOT NULL, starts INTEGER NOT NULL, max_attempts INTEGER NOT NULL,
    deliveries INTEGER NOT NULL, acknowledged INTEGER NOT NULL,
    assigned_node_id TEXT, lease_expires_at TEXT, deadline_at TEXT,
    progress INTEGER, message TEXT, agent_status TEXT, exit_code INTEGER, result TEXT, error_message TEXT,
    crush_session_id TEXT, cost REAL, tokens INTEGER,
    cancel_requested_at TEXT, available_at TEXT,
    created_at TEXT NOT NULL, assigned_at TEXT, started_at TEXT, completed_at TEXT, created_by TEXT,
    CHECK ((status IN ('assigned', 'running', 'analyzing')) = (lease_expires_at IS NOT NULL)),
    CHECK ((status IN ('success', 'error', 'cancelled')) = (completed_at IS NOT NULL))
);
CREATE INDEX tasks_claimable ON tasks (placement_id, priority DESC, seq) WHERE claimable = 1;
CREATE INDEX tasks_held ON tasks (assigned_node_id) WHERE lease_expires_at IS NOT NULL;
CREATE INDEX tasks_by_lease ON tasks (lease_expires_at) WHERE lease_expires_at IS NOT NULL;
CREATE INDEX tasks_by_deadline ON tasks (deadline_at) WHERE deadline_at IS NOT NULL;
CREATE INDEX tasks_waiting ON tasks (available_at) WHERE available_at IS NOT NULL;
CREATE INDEX tasks_by_status ON tasks (status, seq);
CREATE INDEX tasks_completed ON tasks (completed_at) WHERE completed_at IS NOT NULL;

CREATE TABLE task_specs (
    task_id TEXT PRIMARY KEY REFERENCES tasks(id), prompt TEXT NOT NULL, image TEXT, env TEXT, limits TEXT,
    scheduled_for TEXT, recurrence TEXT, depends_on TEXT
) WITHOUT ROWID;

CREATE TABLE attempts (
    task_id TEXT NOT NULL REFERENCES tasks(id), attempt INTEGER NOT NULL, node_id TEXT NOT NULL,
    node_name TEXT NOT NULL, claimed_at TEXT NOT NULL, started_at TEXT, ended_at TEXT,
    outcome TEXT, reason TEXT, agent_status TEXT, agent_message TEXT, exit_code INTEGER,
    UNIQUE (task_id, attempt)
);

CREATE TABLE task_events (
    id INTEGER PRIMARY KEY, task_id TEXT NOT NULL REFERENCES tasks(id), attempt INTEGER NOT NULL,
    at TEXT NOT NULL, kind TEXT NOT NULL, source TEXT NOT NULL, node_id TEXT, status TEXT, message TEXT,
    progress INTEGER, seq INTEGER, applied INTEGER NOT NULL, detail TEXT
);
CREATE INDEX task_events_by_task ON task_events (task_id, id);
CREATE UNIQUE INDEX task_events_once ON task_events (task_id, attempt, source, seq) WHERE seq IS NOT NULL;

CREATE TABLE task_output (
    id INTEGER PRIMARY KEY, task_id TEXT NOT NULL REFERENCES tasks(id), attempt INTEGER NOT NULL,
    seq INTEGER NOT NULL, stream TEXT NOT NULL, at TEXT NOT NULL, text TEXT NOT NULL
);
CREATE UNIQUE INDEX task_output_once ON task_output (task_id, attempt, seq);

CREATE TABLE uploads (
    filename TEXT PRIMARY KEY, original_name TEXT NOT NULL, checksum TEXT NOT NULL, size INTEGER NOT NULL,
    created_by TEXT, created_at TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE task_files (
    task_id TEXT NOT NULL REFERENCES tasks(id), name TEXT NOT NULL, position INTEGER NOT NULL,
    checksum TEXT NOT NULL, size INTEGER NOT NULL, PRIMARY KEY (task_id, name)
) WITHOUT ROWID;

CREATE TABLE artifacts (
    task_id TEXT NOT NULL REFERENCES tasks(id), name TEXT NOT NULL, attempt INTEGER NOT NULL,
    checksum TEXT NOT NULL, size INTEGER NOT NULL, created_at TEXT NOT NULL, PRIMARY KEY (task_id, name)
) WITHOUT ROWID;

CREATE TABLE crush_sessions (
    task_id TEXT NOT NULL REFERENCES tasks(id), id TEXT NOT NULL, attempt INTEGER NOT NULL, title TEXT,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cost REAL NOT NULL,
    created_at INTEGER, updated_at INTEGER, message_count INTEGER NOT NULL, stale INTEGER NOT NULL,
    received_at TEXT NOT NULL, PRIMARY KEY (task_id, id)
) WITHOUT ROWID;

CREATE TABLE crush_messages (
    task_id TEXT NOT NULL, session_id TEXT NOT NULL, position INTEGER NOT NULL, id TEXT NOT NULL, role TEXT,
    content TEXT, model TEXT, provider TEXT, created_at INTEGER, finished_at INTEGER,
    PRIMARY KEY (task_id, session_id, position)
) WITHOUT ROWID;

CREATE TABLE schedules (
    id INTEGER PRIMARY KEY, task_id TEXT NOT NULL REFERENCES tasks(id), recurrence TEXT NOT NULL,
    next_run_at TEXT, created_at TEXT NOT NULL
);

CREATE TABLE audit_log (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, object TEXT,
    outcome TEXT NOT NULL, address TEXT, detail TEXT
);
"""
