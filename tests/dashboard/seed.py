"""Fills a fresh qb.db with a small fleet: every status, old and new runners, and text that tries to be markup."""

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from qb.contract.states import TaskStatus
from qb.domain.placement import Target
from qb.domain.times import iso
from qb.store import events, nodes, output, tasks

HOSTILE = '<script>document.title="owned"</script><img src=x onerror=alert(1)> \x1b[31mred\x07 \u202etxt.exe'
"""Markup, terminal sequences and a right-to-left override, as a prompt, a message and a node's tag."""


class Seeder:
    """Writes rows as the control plane would; `now` is the moment that all ages count from."""

    def __init__(self, db: sqlite3.Connection, now: datetime | None = None) -> None:
        self.db = db
        self.now = now or datetime.now(UTC)

    def at(self, seconds_ago: float) -> str:
        """The moment that many seconds ago."""
        return iso(self.now - timedelta(seconds=seconds_ago))

    def new_id(self) -> str:
        """An id of version 4."""
        return str(uuid4())

    def node(self, name: str, *, seen: float, **changes: object) -> str:
        """Add a node that spoke `seen` seconds ago; returns its id."""
        node_id = self.new_id()
        node = {
            "id": node_id, "name": name, "hostname": f"{name}.example.net", "os_type": "linux", "mode": "pull",
            "status": "idle", "state": "active", "capabilities": [], "tags": {}, "wire": 2, "generation": "wire2",
            "runner_version": "0.1.0", "arch": "x86_64", "slots": 2, "limits": 1, "key_version": 1,
            "created_at": self.at(90_000), "registered_at": self.at(90_000), "last_seen_at": self.at(seen),
        }  # fmt: skip
        nodes.insert(self.db, {**node, **changes})
        return node_id

    def task(self, prompt: str, *, age: float, target: Target | None = None, **spec: object) -> str:
        """Add a pending task created `age` seconds ago; returns its id."""
        key = (target or Target()).key
        self.db.execute("INSERT OR IGNORE INTO placements (target) VALUES (?)", (key,))
        placement = self.db.execute("SELECT id FROM placements WHERE target = ?", (key,)).fetchone()[0]
        task_id = self.new_id()
        made = {"priority": 0, "timeout_seconds": 3600, "max_attempts": 1, "created_by": "admin", **spec}
        tasks.insert(
            self.db,
            tasks.NewTask(id=task_id, prompt=prompt, placement_id=placement, created_at=self.at(age), **made),  # type: ignore[arg-type]
        )
        self.event(task_id, age, "created", "operator", attempt=0, status="pending")
        return task_id

    def event(self, task_id: str, ago: float, kind: str, source: str, *, attempt: int = 1, **more: object) -> None:
        """Add one line of a task's history."""
        events.add(self.db, task_id=task_id, attempt=attempt, at=self.at(ago), kind=kind, source=source, **more)  # type: ignore[arg-type]

    def start(self, task_id: str, node_id: str, *, ago: float, **changes: object) -> None:
        """The node claimed the task and began it `ago` seconds ago."""
        name = self.db.execute("SELECT name FROM nodes WHERE id = ?", (node_id,)).fetchone()[0]
        row = tasks.get(self.db, task_id)
        assert row is not None
        lease = {"lease_expires_at": self.at(-45), "deadline_at": self.at(-3600), "claimable": 0}
        row = tasks.move(
            self.db, row, TaskStatus.ASSIGNED, now=self.at(ago),
            attempt=1, assigned_node_id=node_id, assigned_at=self.at(ago + 1), **lease,
        )  # fmt: skip
        self.db.execute(
            "INSERT INTO attempts (task_id, attempt, node_id, node_name, claimed_at) VALUES (?, 1, ?, ?, ?)",
            (task_id, node_id, name, self.at(ago + 1)),
        )
        self.event(task_id, ago + 1, "claim", "orchestrator", status="assigned", node_id=node_id)
        more = {"started_at": self.at(ago), "starts": 1, **changes}
        row = tasks.move(self.db, row, TaskStatus.RUNNING, now=self.at(ago), **more)
        tasks.start_attempt(self.db, row, now=self.at(ago))
        self.event(task_id, ago, "runner_running", "runner", status="running", node_id=node_id, seq=1)

    def end(self, task_id: str, to: TaskStatus, *, ago: float, **changes: object) -> None:
        """The task ended `ago` seconds ago; `changes` are columns of the task."""
        row = tasks.get(self.db, task_id)
        assert row is not None
        row = tasks.move(self.db, row, to, now=self.at(ago), **changes)
        tasks.end_attempt(
            self.db, row, now=self.at(ago), outcome=to.value, reason=row["reason"], exit_code=row["exit_code"]
        )
        if row["agent_status"]:
            tasks.agent_said(self.db, row, row["agent_status"], row["message"])
        self.event(task_id, ago, f"runner_{to}", "runner", status=to.value, message=row["error_message"], seq=2)


def seed(db: sqlite3.Connection, now: datetime | None = None, *, unruly: bool = True) -> dict[str, str]:
    """Fill the database; returns the ids of the tasks by a short name. `unruly` False leaves HOSTILE out."""
    s = Seeder(db, now)
    db.execute("BEGIN")
    berlin = s.node("edge-berlin-1", seen=4, status="busy", tags={"client": "acme", "region": "eu"})
    cloud = s.node("cloud-01", seen=11, status="busy", mode="push", slots=4, tags={"region": "us"})
    s.node("edge-lyon-2", seen=7, state="draining", tags={"client": "acme"})
    s.node("edge-oslo-3", seen=5400, status="offline", tags={"region": "eu"})
    s.node("vault-7", seen=95, mode="push", dispatch="ansible", address="198.51.100.7", slots=1)
    s.node("legacy-box", seen=95, wire=1, generation="D", runner_version=None, slots=1)
    if unruly:
        s.node("odd\u202enode", seen=9, tags={"note": HOSTILE})
    named = _finished(s, berlin, cloud)
    named |= _running(s, berlin, cloud, HOSTILE if unruly else "Draft the release notes")
    named |= _waiting(s)
    db.execute("COMMIT")
    return named


def _finished(s: Seeder, berlin: str, cloud: str) -> dict[str, str]:
    done = s.task("Read sales.csv, find the three weakest regions and write report.md", age=7300, title="Weekly sales")
    s.start(done, berlin, ago=7290)
    s.event(done, 7200, "agent_running", "agent", status="running", progress=40, message="1,240 rows read", seq=1)
    s.event(done, 7100, "agent_success", "agent", status="success", progress=100, message="Report written", seq=2)
    verdict = {"progress": 100, "message": "Report written", "agent_status": "success", "exit_code": 0}
    s.end(done, TaskStatus.SUCCESS, ago=7095, **verdict, tokens=18_240, cost=0.0412)
    _returned(s, done)
    failed = s.task("Summarise the support inbox of last week", age=3500, title="Inbox summary")
    s.start(failed, cloud, ago=3490)
    error = {"reason": "exit_nonzero", "exit_code": 3, "error_message": "the container ended with exit code 3"}
    s.end(failed, TaskStatus.ERROR, ago=3300, progress=60, message="Reading mail", **error)
    s.end(s.task("Never mind", age=900), TaskStatus.CANCELLED, ago=880, reason="cancelled_by_operator")
    return {"done": done, "failed": failed}


def _returned(s: Seeder, task_id: str) -> None:
    texts = ("starting\n", "\x1b[32mreading sales.csv\x1b[0m\n", "<b>1,240 rows</b>\n", "done\n")
    lines = [output.Line(seq, "stdout", s.at(7200 - seq), text, len(text)) for seq, text in enumerate(texts, start=1)]
    output.add(s.db, output.log(s.db, task_id, 1), lines, last_seq=len(lines))
    s.db.execute("INSERT INTO task_files VALUES (?, 'sales.csv', 0, ?, 81920)", (task_id, "1f" * 32))
    s.db.execute("INSERT INTO artifacts VALUES (?, 'report.md', 1, ?, 2310, ?)", (task_id, "ab" * 32, s.at(7098)))
    s.db.execute(
        "INSERT INTO crush_sessions (task_id, id, attempt, title, prompt_tokens, completion_tokens, cost, created_at, "
        "updated_at, message_count, stale, received_at) "
        "VALUES (?, 's1', 1, 'Weekly sales', 16000, 2240, 0.0412, 0, 0, 2, 0, ?)",
        (task_id, s.at(7090)),
    )
    said = [{"type": "text", "data": {"text": f"Three regions are weak. {HOSTILE}"}}]
    called = [{"type": "tool_call", "data": {"name": "view", "input": '{"path": "sales.csv"}'}}, *said]
    for position, (role, content) in enumerate((("user", "Read sales.csv"), ("assistant", json.dumps(called)))):
        s.db.execute(
            "INSERT INTO crush_messages (task_id, session_id, position, id, role, content) "
            "VALUES (?, 's1', ?, ?, ?, ?)",
            (task_id, position, f"m{position}", role, content),
        )


def _running(s: Seeder, berlin: str, cloud: str, prompt: str) -> dict[str, str]:
    first = s.task("Compare the two contracts in the attached folder", age=260, title="Contract comparison")
    s.start(first, berlin, ago=250, progress=65, message="Clause 14 of 22: payment terms differ")
    _dialogue(s, first)
    hostile = s.task(prompt, age=130)
    s.start(hostile, cloud, ago=120, progress=10, message=prompt)
    s.event(hostile, 60, "agent_running", "agent", status="running", progress=10, message=prompt, seq=1)
    return {"running": first, "hostile": hostile}


def _dialogue(s: Seeder, task_id: str) -> None:
    """The agent asked twice, was answered once, and logged a figure."""
    asked = "INSERT INTO task_questions VALUES (?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?)"
    texts = ("Clause 9 is missing in one of them: go on?", f"Which of them is the older one? {HOSTILE}")
    answered = ("Go on, and say so in the report", s.at(150), "admin")
    options = json.dumps(["go on", "stop"])
    s.db.execute(asked, (s.new_id(), task_id, "k1", texts[0], options, s.at(200), s.at(-400), *answered))
    s.db.execute(asked, (s.new_id(), task_id, "k2", texts[1], "[]", s.at(30), s.at(-570), None, None, None))
    for seq, value in enumerate((3, 9, 14)):
        s.db.execute(
            "INSERT INTO task_metrics VALUES (?, 'clauses', 1, ?, ?, ?)", (task_id, seq, value, s.at(90 - seq))
        )


def _waiting(s: Seeder) -> dict[str, str]:
    eu = Target.of(node_name="edge-*", tags={"region": "eu"})
    queued = s.task("Translate the handbook into Norwegian", age=45, target=eu, priority=5)
    s.task("Check every link of the public site and list the dead ones", age=20)
    stuck = s.task("Restart the print queue", age=70, target=Target.of(node_name="edge-oslo-3"))
    return {"queued": queued, "stuck": stuck}
