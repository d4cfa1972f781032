"""Makes a data directory with a large fleet to look at: every kind of node, task and ending, over the last week.

    python -m tests.dashboard.seed_fleet DIRECTORY [--nodes 50] [--tasks 5000]

The same numbers give the same fleet, as of now. Text that tries to be markup is part of it.
"""

import argparse
import json
import random
import sqlite3
from pathlib import Path

from qb.contract.acts import Action, Outcome
from qb.contract.states import Reason, TaskStatus
from qb.domain.placement import Target
from qb.store import audit, output, published
from qb.store.database import connect
from qb.store.migrations import migrate
from tests.dashboard.seed import Seeder, seed

WEEK = 7 * 86_400
PLACES = ("berlin", "lyon", "oslo", "porto", "turin", "ghent", "graz", "brno")
CLIENTS = ("acme", "globex", "initech", "umbrella")
MODELS = ("large-4", "small-4", "local-70b")
WORK = (
    "Summarise the inbox of {client} and list what needs an answer", "Read sales.csv of {client} and write report.md",
    "Check every link of the site of {client}", "Translate the handbook of {client} into Norwegian",
    "Compare the two contracts in the attached folder", "Reconcile the invoices of {client} for last month",
    "Find the slowest queries in the attached log", "Draft the release notes from the commits since the last tag",
)  # fmt: skip
ENDINGS: tuple[tuple[TaskStatus, Reason | None, int, str, int | None], ...] = (
    (TaskStatus.SUCCESS, None, 820, "success", 0),
    (TaskStatus.ERROR, Reason.AGENT_ERROR, 40, "error", 0),
    (TaskStatus.ERROR, Reason.EXIT_NONZERO, 45, "", 3),
    (TaskStatus.ERROR, Reason.TIMEOUT, 25, "", None),
    (TaskStatus.ERROR, Reason.OUT_OF_MEMORY, 12, "", 137),
    (TaskStatus.ERROR, Reason.LEASE_EXPIRED, 14, "", None),
    (TaskStatus.ERROR, Reason.NODE_REBOOTED, 6, "", None),
    (TaskStatus.ERROR, Reason.VERDICT_MISSING, 6, "", None),
    (TaskStatus.ERROR, Reason.EXIT_NONZERO, 4, "success", 1),
    (TaskStatus.CANCELLED, Reason.CANCELLED_BY_OPERATOR, 20, "", None),
    (TaskStatus.CANCELLED, Reason.CANCEL_UNCONFIRMED, 3, "", None),
)
"""How tasks end: status, reason, how often, what the agent said, what the runner saw."""


class Fleet:
    """Fills a database by the rules above."""

    def __init__(self, db: sqlite3.Connection, *, nodes: int, tasks: int) -> None:
        self.db = db
        self.s = Seeder(db)
        self.chance = random.Random(7)
        self.nodes = [self._node(number) for number in range(nodes)]
        self.busy = [name for number, name in enumerate(self.nodes) if number % 7 != 3]
        self.tasks = tasks

    def fill(self) -> None:
        """Tasks from the oldest to the newest, so that they lie in the order of their creation."""
        live, waiting = max(self.tasks // 120, 3), max(self.tasks // 80, 6)
        ended = self.tasks - live - waiting
        for number in range(ended):
            # more by day than by night, and more lately
            self._ended(WEEK * (1 - number / ended) ** 1.4 + 240, transcript=number % 4 == 0 or number > ended - 60)
        for number in range(live):
            self._live(number)
        self._waiting(waiting)
        self._schedules()
        self._audit()
        published.put(self.db, published.CRUSH_SERVER_URL, "https://crush.example.net")

    def _node(self, number: int) -> str:
        place, client = PLACES[number % len(PLACES)], CLIENTS[number % len(CLIENTS)]
        kind = number % 10
        seen: float = self.chance.uniform(1, 14)
        changes: dict[str, object] = {
            "tags": {"client": client, "region": "eu" if kind < 8 else "us"}, "slots": 1 + number % 4,
            "load": round(self.chance.uniform(0.1, 3), 2), "disk_free": self.chance.randrange(10**9, 10**12),
        }  # fmt: skip
        name = f"edge-{place}-{number}"
        if kind == 8:
            name, changes["mode"], changes["api_endpoint"] = (
                f"cloud-{number:02}",
                "push",
                f"https://c{number}.example.net",
            )
        if kind == 9:
            changes |= {"wire": 1, "generation": "ABCDE"[number // 10 % 5], "runner_version": None, "slots": 1}
        if number % 7 == 3:
            seen = self.chance.uniform(300, 50_000)
            changes["status"] = "offline"
        elif number % 13 == 5:
            changes["state"] = ("draining", "disabled")[number % 2]
        elif number % 5 == 1:
            changes["runner_version"] = "0.0.9"
        node_id = self.s.node(name, seen=seen, **changes)
        for gap in range(number % 4):
            ago = 9000 + gap * 40_000 + number * 300
            self.db.execute(
                "INSERT INTO node_silences VALUES (?, ?, ?)", (node_id, self.s.at(ago), self.s.at(ago + 2400))
            )
        return node_id

    def _new(self, age: float, **spec: object) -> str:
        client = self.chance.choice(CLIENTS)
        text = self.chance.choice(WORK).format(client=client)
        title = text.split(" and ")[0] if self.chance.random() < 0.5 else None
        spec = {"created_by": self.chance.choice((client, client, "admin")), "title": title, **spec}
        return self.s.task(text, age=age, priority=self.chance.choice((0, 0, 0, 5, 10)), **spec)

    def _ended(self, age: float, *, transcript: bool) -> None:
        status, reason, _, said, code = self.chance.choices(ENDINGS, [ending[2] for ending in ENDINGS])[0]
        waited, ran = self.chance.expovariate(1 / 40), min(self.chance.expovariate(1 / 300) + 5, 3500.0)
        begin = max(age - waited, 60.0)
        end = max(begin - ran, 5.0)
        task = self._new(age)
        self.s.start(task, self.chance.choice(self.busy), ago=begin)
        if said:
            self.s.event(task, end + 1, f"agent_{said}", "agent", status=None, message="Report written", seq=1)
        changes: dict[str, object] = {"agent_status": said or None, "exit_code": code, "reason": reason}
        if status is TaskStatus.SUCCESS:
            changes |= {"progress": 100, "message": "Report written"}
        elif status is TaskStatus.ERROR:
            changes["error_message"] = f"the task ended: {reason}"
        if transcript:
            changes |= self._returned(task, end)
        self.s.end(task, status, ago=end, **changes)

    def _returned(self, task: str, ago: float) -> dict[str, object]:
        tokens, model = self.chance.randrange(2_000, 90_000), self.chance.choice(MODELS)
        cost = round(tokens * (0.000012 if model == "large-4" else 0.000002), 4)
        session = self.s.new_id()
        self.db.execute(
            "INSERT INTO crush_sessions (task_id, id, attempt, title, prompt_tokens, completion_tokens, cost,"
            " created_at, updated_at, message_count, stale, received_at) "
            "VALUES (?, ?, 1, 'The job', ?, ?, ?, 0, 0, 4, 0, ?)",
            (task, session, tokens * 4 // 5, tokens // 5, cost, self.s.at(ago)),
        )
        parts: list[tuple[str, object]] = [
            ("user", "Read sales.csv and write report.md"),
            ("assistant", [
                {"type": "reasoning", "data": {"thinking": "The file is small: read it whole, then group by region."}},
                {"type": "tool_call", "data": {"name": "view", "input": '{"path": "sales.csv"}'}},
            ]),
            ("tool", [{"type": "tool_result", "data": {"content": "region,amount\nnorth,1240\nsouth,310\n" * 12}}]),
            ("assistant", [{"type": "text", "data": {"text": "Three regions are weak: south, east and the islands."}}]),
        ]  # fmt: skip
        for position, (role, content) in enumerate(parts):
            text = content if isinstance(content, str) else json.dumps(content)
            self.db.execute(
                "INSERT INTO crush_messages (task_id, session_id, position, id, role, content, model) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (task, session, position, f"m{position}", role, text, model if role == "assistant" else None),
            )
        lines = [output.Line(n, "stdout", self.s.at(ago + 40 - n), f"step {n} of 24: done\n", 20) for n in range(1, 25)]
        output.add(self.db, output.log(self.db, task, 1), lines, last_seq=len(lines))
        self.db.execute(
            "INSERT INTO artifacts VALUES (?, 'report.md', 1, ?, 2310, ?)", (task, "ab" * 32, self.s.at(ago))
        )
        return {"tokens": tokens, "cost": cost, "crush_session_id": session}

    def _live(self, number: int) -> None:
        age = self.chance.uniform(30, 1500)
        task = self._new(age + 20)
        progress = None if number % 5 == 4 else self.chance.randrange(2, 98)
        self.s.start(task, self._free(), ago=age, progress=progress, message="Reading the second file")
        self.s.event(
            task, age / 2, "agent_running", "agent", status="running", progress=progress, message="Reading", seq=1
        )
        if number % 6 == 0:
            self.db.execute("UPDATE tasks SET status = 'analyzing' WHERE id = ?", (task,))
        if number % 9 == 1:
            self.db.execute("UPDATE tasks SET cancel_requested_at = ? WHERE id = ?", (self.s.at(9), task))

    def _free(self) -> str:
        """A node with room, which is busy from now on."""
        node_id: str = self.db.execute(
            "SELECT id FROM nodes n WHERE status <> 'offline' AND state = 'active' AND slots > "
            "(SELECT count(*) FROM tasks WHERE assigned_node_id = n.id AND lease_expires_at IS NOT NULL) "
            "ORDER BY status = 'busy', name DESC LIMIT 1"
        ).fetchone()[0]
        self.db.execute("UPDATE nodes SET status = 'busy' WHERE id = ?", (node_id,))
        return node_id

    def _waiting(self, count: int) -> None:
        """Tasks that wait for each of the reasons there are."""
        targets = (None, Target.of(node_name="edge-atlantis-*"), Target.of(tags={"client": "acme", "region": "us"}),
                   Target.of(capabilities=["gpu"]), Target.of(node_name="edge-porto-3"))  # fmt: skip
        first = ""
        for number in range(count):
            task = self._new(self.chance.uniform(5, 4000), target=targets[number % len(targets)])
            if number % 8 == 5:
                self.db.execute(
                    "UPDATE tasks SET available_at = ?, claimable = 0 WHERE id = ?", (self.s.at(-5400), task)
                )
            if number % 8 == 6:
                self.db.execute("INSERT INTO task_dependencies VALUES (?, ?)", (first, task))
                self.db.execute("UPDATE tasks SET waits_for = 1, claimable = 0 WHERE id = ?", (task,))
            first = first or task

    def _schedules(self) -> None:
        for recurrence, title in (("0 6 * * 1-5", "Morning digest"), ("0 2 * * *", "Nightly checks")):
            task = self._new(WEEK, title=title)
            self.db.execute("UPDATE tasks SET schedule_id = id, claimable = 0 WHERE id = ?", (task,))
            self.db.execute(
                "INSERT INTO schedules (task_id, recurrence, time_zone, missed_runs, next_run_at, last_run_at,"
                " created_at) VALUES (?, ?, 'Europe/Oslo', 'skip', ?, ?, ?)",
                (task, recurrence, self.s.at(-9000), self.s.at(60_000), self.s.at(WEEK)),
            )

    def _audit(self) -> None:
        for number, action in enumerate(list(Action) * 8):
            refused = action is Action.CREDENTIAL_REFUSED
            audit.add(
                self.db,
                at=self.s.at(40_000 - number * 250),
                actor="" if refused else self.chance.choice(("admin", *CLIENTS)),
                actor_id=None,
                action=action,
                object_id=self.s.new_id(),
                outcome=Outcome.REFUSED if refused else Outcome.DONE,
                address="192.0.2.7",
                count=1 + 40 * refused,
                detail={"name": f"{CLIENTS[number % 4]}-automation"},
            )


def make(directory: Path, *, nodes: int = 50, tasks: int = 5000, unruly: bool = True) -> dict[str, str]:
    """Make qb.db in `directory`; returns the ids of a few tasks by a short name (see tests.dashboard.seed).

    `unruly` False leaves out the text that tries to be markup.
    """
    directory.mkdir(parents=True, exist_ok=True)
    migrate(directory / "qb.db")
    db = connect(directory / "qb.db")
    try:
        db.execute("BEGIN")
        Fleet(db, nodes=nodes, tasks=tasks).fill()
        db.execute("COMMIT")
        return seed(db, unruly=unruly)
    finally:
        db.close()


def main() -> None:
    """What the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--tasks", type=int, default=5000)
    arguments = parser.parse_args()
    if (arguments.directory / "qb.db").exists():
        parser.error(f"{arguments.directory} has a qb.db already: name another directory")
    make(arguments.directory, nodes=arguments.nodes, tasks=arguments.tasks)


if __name__ == "__main__":
    main()
