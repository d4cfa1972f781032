"""What the pages show, from a database made for the question: histories that are long, broken off or searched."""

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from qb.contract.states import TaskStatus
from qb.dashboard.pages import fleet, node, task, tasks
from qb.domain.epochs import SETTLE
from qb.domain.times import after
from qb.store.database import connect
from qb.store.migrations import migrate
from tests.dashboard.seed import Seeder

METADATA = Path(__file__).parents[2] / "datasette" / "metadata.yml"
NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)


class Fleet(Seeder):
    """A database, and the pages' way to read it."""

    async def read(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a statement."""
        return [dict(row) for row in self.db.execute(sql, parameters)]

    def lost(self, task_id: str, node_id: str, *, ago: float, outcome: str = "lease_expired") -> None:
        """The node had the task, and the attempt ended without an end of the task."""
        self.db.execute(
            "INSERT INTO attempts (task_id, attempt, node_id, node_name, claimed_at, started_at, ended_at, outcome) "
            "SELECT ?, 0, id, name, ?, ?, ?, ? FROM nodes WHERE id = ?",
            (task_id, self.at(ago), self.at(ago), self.at(ago - 60), outcome, node_id),
        )


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Fleet]:
    migrate(tmp_path / "qb.db")
    with closing(connect(tmp_path / "qb.db")) as db:
        yield Fleet(db, NOW)


async def test_a_long_tasks_picture_has_all_of_its_time(made: Fleet) -> None:
    box = made.node("box", seen=1)
    long = made.task("Watch the queue", age=7210)
    made.start(long, box, ago=7200)
    for tick in range(600):
        made.event(long, 7199 - 11 * tick, "agent_running", "agent", status="running", progress=tick // 6)
    shown = await task.task(made.read, long, NOW)
    assert shown
    assert [bar["status"] for bar in shown["bars"]] == ["pending", "assigned", "running"]
    assert shown["bars"][0]["width"] < 1, "it waited ten seconds of two hours"
    assert shown["bars"][2]["width"] > 99
    assert (len(shown["marks"]), shown["event_count"]) == (300, 603)


async def test_a_status_that_was_not_applied_is_no_turn(made: Fleet) -> None:
    box = made.node("box", seen=1)
    one = made.task("Work", age=100)
    made.start(one, box, ago=90)
    made.event(one, 50, "runner_success", "runner", status="success", applied=False)
    shown = await task.task(made.read, one, NOW)
    assert shown
    assert [bar["status"] for bar in shown["bars"]] == ["pending", "assigned", "running"]


async def test_a_node_shows_what_it_lost(made: Fleet) -> None:
    weak, strong = made.node("weak", seen=1), made.node("strong", seen=1)
    moved = made.task("Work", age=1000)
    made.lost(moved, weak, ago=900)
    made.start(moved, strong, ago=500)
    made.end(moved, TaskStatus.SUCCESS, ago=400)
    shown = await node.node(made.read, "weak", {}, NOW)
    assert shown
    assert [(bar["outcome"], bar["kind"]) for lane in shown["lanes"] for bar in lane] == [("lease_expired", "error")]
    assert [(each["id"], each["assigned_node_id"]) for each in shown["tasks"]] == [(moved, strong)]
    assert await fleet.success_rates(made.read, [weak, strong]) == {weak: (0, 1), strong: (1, 1)}


@pytest.mark.parametrize(
    ("outcome", "drawn"), [("cancelled", "cancelled"), ("released", "returned"), ("push_refused", "returned")]
)
async def test_what_a_node_gave_back_says_nothing_of_its_success(made: Fleet, outcome: str, drawn: str) -> None:
    box = made.node("box", seen=1)
    made.lost(made.task("Work", age=1000), box, ago=900, outcome=outcome)
    assert await fleet.success_rates(made.read, [box]) == {box: (0, 0)}
    shown = await node.node(made.read, "box", {}, NOW)
    assert shown
    assert [bar["kind"] for lane in shown["lanes"] for bar in lane] == [drawn]
    assert shown["returned"] is (drawn == "returned")


async def test_a_picture_says_from_when_on_it_is_whole(made: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "DRAWN", 3)
    box = made.node("box", seen=1)
    for ago in (5000, 4000, 3000, 2000):
        made.lost(made.task("Work", age=ago + 9), box, ago=ago)
    shown = await node.node(made.read, "box", {}, NOW)
    assert shown
    assert (shown["drawn"], shown["drawn_from"]) == (3, made.at(4000))
    monkeypatch.setattr(node, "DRAWN", 5)
    whole = await node.node(made.read, "box", {}, NOW)
    assert whole
    assert (whole["drawn"], whole["drawn_from"]) == (4, None)


async def test_what_a_node_holds_is_drawn_however_old_it_is(made: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "DRAWN", 2)
    box = made.node("box", seen=1)
    held = made.task("A long one", age=9000)
    made.start(held, box, ago=8000)
    for ago in (3000, 2000, 1000):
        made.lost(made.task("A short one", age=ago + 9), box, ago=ago)
    shown = await node.node(made.read, "box", {}, NOW)
    assert shown
    assert held in {bar["task_id"] for lane in shown["lanes"] for bar in lane}


async def test_more_at_once_than_there_is_room_for_is_told(made: Fleet) -> None:
    box = made.node("box", seen=1, slots=20)
    for _ in range(20):
        made.lost(made.task("Work", age=600), box, ago=500)
    shown = await node.node(made.read, "box", {}, NOW)
    assert shown
    assert (len(shown["lanes"]), shown["lanes_cut"]) == (16, 4)


async def test_a_schedules_pattern_does_not_wait(made: Fleet) -> None:
    made.node("box", seen=1)
    pattern = made.task("Morning digest", age=60)
    made.db.execute("UPDATE tasks SET schedule_id = id WHERE id = ?", (pattern,))
    waiting = made.task("Evening digest", age=50)
    pending = await tasks.tasks(made.read, {"status": "pending"}, NOW)
    assert [each["id"] for each in pending["found"]] == [waiting]
    named = await tasks.tasks(made.read, {"text": "digest"}, NOW)
    assert [(each["id"], each["is_schedule"]) for each in named["found"]] == [(waiting, 0), (pattern, 1)]
    assert pattern not in named["why"]
    assert waiting in named["why"]


@pytest.mark.parametrize(
    ("typed", "found"), [("_", ["my_node"]), ("y_n", ["my_node"]), ("%", []), ("MY", ["my_node", "myxnode"])]
)
async def test_a_name_is_looked_for_as_it_is_typed(made: Fleet, typed: str, found: list[str]) -> None:
    for name in ("my_node", "myxnode"):
        made.node(name, seen=1)
    shown = await fleet.fleet(made.read, {"name": typed}, NOW)
    assert [each["name"] for each in shown["nodes"]] == found


@pytest.mark.parametrize(("typed", "found"), [("100%", ["Reach 100% today"]), ("a_b", ["a_b"]), ("\\", ["C:\\temp"])])
async def test_a_text_is_looked_for_as_it_is_typed(made: Fleet, typed: str, found: list[str]) -> None:
    for prompt in ("Reach 100% today", "Reach 1000 today", "a_b", "axb", "C:\\temp"):
        made.task(prompt, age=60)
    shown = await tasks.tasks(made.read, {"text": typed}, NOW)
    assert [each["what"] for each in shown["found"]] == found


@pytest.mark.parametrize("words", ["and longer ", "_%\\ ", "\u0434\u0430\u043b\u044c\u0448\u0435 "])
async def test_a_long_text_is_looked_for_by_its_beginning(made: Fleet, words: str) -> None:
    made.db.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 200)  # as the dashboard's connections have it
    prompt = f"Long {words * 60}end"
    long = made.task(prompt, age=60)
    made.task(f"Short {words}", age=60)
    shown = await tasks.tasks(made.read, {"text": prompt}, NOW)
    assert [each["id"] for each in shown["found"]] == [long]


async def test_a_search_that_takes_long_ends_early_and_goes_on_from_there(
    made: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "PORTION", 4)
    wanted = made.task("The needle", age=60)
    for _ in range(9):
        made.task("Hay", age=50)
    slow = itertools.count(step=1).__next__
    begin, steps, found = {"text": "needle"}, 0, []
    while not found:
        shown = await tasks.tasks(made.read, begin, NOW, timer=slow)
        found, steps = shown["found"], steps + 1
        assert steps < 9
        if not found:
            assert shown["next_before"] == shown["looked_through"]
            begin = {"text": "needle", "before": str(shown["next_before"])}
    assert ([each["id"] for each in found], steps) == ([wanted], 3)
    assert shown["next_before"] is None


async def test_a_search_looks_through_so_many_at_once(made: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "PORTION", 2)
    monkeypatch.setattr(tasks, "SEARCHED", 6)
    for _ in range(10):
        made.task("Hay", age=50)
    shown = await tasks.tasks(made.read, {"text": "needle"}, NOW, timer=lambda: 0.0)
    assert (shown["found"], shown["looked_through"], shown["next_before"]) == ([], 5, 5)
    rest = await tasks.tasks(made.read, {"text": "needle", "before": "5"}, NOW, timer=lambda: 0.0)
    assert (rest["looked_through"], rest["next_before"]) == (None, None)


@pytest.mark.parametrize("length", [200, 300])
def test_a_long_text_can_be_looked_for(dashboard: Any, length: int) -> None:
    for path in ("/tasks?text=", "/?name="):
        answer = dashboard.page(path + "%C3%A6" * length)
        assert answer.status_code == 200
        assert "matches" in answer.text


async def test_a_node_is_meant_by_its_name_whatever_that_holds(made: Fleet) -> None:
    box = made.node("edge[1]", seen=1)
    held = made.task("Work", age=60)
    made.start(held, box, ago=50)
    shown = await tasks.tasks(made.read, {"node": "edge[1]"}, NOW)
    assert [each["id"] for each in shown["found"]] == [held]
    canned = yaml.safe_load(METADATA.read_text("utf-8"))["databases"]["qb"]["queries"]["tasks_of_a_node"]["sql"]
    assert [each["task"] for each in await made.read(canned, node="edge[1]")] == [held]


async def test_what_a_node_holds_is_counted_though_it_is_not_all_named(
    made: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "TASKS_SHOWN", 2)
    old, young = made.node("old", seen=1, slots=9), made.node("young", seen=1, slots=9)
    for box, count in ((old, 4), (young, 1)):
        for _ in range(count):
            made.start(made.task("Work", age=60), box, ago=50)
    shown = await fleet.fleet(made.read, {}, NOW)
    assert [(each["held"], len(each["tasks"])) for each in shown["nodes"]] == [(4, 2), (1, 1)]


async def test_there_are_older_ones_where_a_node_had_tasks_twice(made: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "SHOWN", 3)
    box = made.node("box", seen=1)
    twice = made.task("Work", age=900)
    made.lost(made.task("Older", age=1000), box, ago=950)
    made.lost(twice, box, ago=800)
    made.start(twice, box, ago=700)
    assert not (await node.node(made.read, "box", {}, NOW) or {})["older"]
    made.lost(made.task("Newest", age=100), box, ago=90)
    shown = await node.node(made.read, "box", {}, NOW)
    assert shown
    assert (len(shown["tasks"]), shown["older"]) == (2, True)


async def test_schedules_are_counted_though_not_all_are_listed(made: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "SHOWN", 3)
    for _ in range(5):
        pattern = made.task("Now and then", age=60)
        made.db.execute("UPDATE tasks SET schedule_id = id WHERE id = ?", (pattern,))
        made.db.execute(
            "INSERT INTO schedules (task_id, recurrence, next_run_at, created_at) VALUES (?, '0 6 * * *', ?, ?)",
            (pattern, made.at(-60), made.at(60)),
        )
    shown = await tasks.tasks(made.read, {}, NOW)
    assert (len(shown["schedules"]), shown["schedule_count"]) == (3, 5)


async def test_after_a_restore_a_task_waits_for_what_the_command_line_says(made: Fleet) -> None:
    made.node("box", seen=1)
    waiting = made.task("Work", age=900)
    until = after(NOW, SETTLE - 5)
    made.db.execute("INSERT INTO epochs VALUES (1, ?, ?)", (made.at(20), made.at(5)))
    made.db.execute("UPDATE tasks SET available_at = ?, claimable = 0 WHERE id = ?", (until, waiting))
    shown = await tasks.tasks(made.read, {}, NOW)
    assert shown["why"][waiting][0].startswith("the control plane was restored from a backup")
