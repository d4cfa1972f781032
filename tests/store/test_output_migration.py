"""Output that an older release stored is there after the upgrade, line for line."""

from contextlib import closing
from pathlib import Path

from sqlite_utils import Database

from qb.store import output
from qb.store.database import connect
from qb.store.migrations import migrate, schema

TASKS = ("3f2a0000-0000-4000-8000-000000000001", "3f2a0000-0000-4000-8000-000000000002")
LINES = [(task, attempt, seq, f"{task[-1]}.{attempt}.{seq} \u20ac\n") for seq in range(1, 40) for attempt in (1, 2)
         for task in TASKS]  # fmt: skip

_TASK = """
INSERT INTO tasks (id, seq, placement_id, priority, status, claimable, attempt, starts, max_attempts, deliveries,
    acknowledged, created_at) VALUES (?, ?, 1, 0, 'pending', 1, 0, 0, 1, 0, 0, 'now')
"""


def test_output_of_an_older_release_keeps_its_order_its_numbers_and_its_size(tmp_path: Path) -> None:
    path = tmp_path / "qb.db"
    with closing(connect(path)) as db:
        database = Database(db)
        schema.apply(database, stop_before="m006_output_by_log")
        db.execute("INSERT INTO placements (id, target) VALUES (1, '{}')")
        for number, task in enumerate(TASKS):
            db.execute(_TASK, (task, number))
        db.executemany(
            "INSERT INTO task_output (task_id, attempt, seq, stream, at, text) VALUES (?, ?, ?, 'stdout', 'now', ?)",
            sorted(LINES, key=lambda line: (line[1], line[2])),
        )
    migrate(path)
    with closing(connect(path)) as db:
        for task in TASKS:
            mine = sorted(line[1:] for line in LINES if line[0] == task)
            page = output.page(db, task, after=0, limit=1000)
            assert [(line["attempt"], line["seq"], line["text"]) for line in page] == mine
            assert [line["id"] for line in page] == sorted(line["id"] for line in page)
            assert output.size(db, task) == sum(len(text.encode()) for *_, text in mine)
            assert output.log(db, task, 2).last_seq == 39
            shown = db.execute(
                "SELECT attempt, seq, text FROM task_output WHERE task_id = ? ORDER BY id", (task,)
            ).fetchall()
            assert [tuple(row) for row in shown] == mine
