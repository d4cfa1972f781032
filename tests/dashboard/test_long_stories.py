"""The pages about tasks that have much behind them: what was removed, asked, said by several agents, or related to."""

import re
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from qb.contract.acts import Action, Outcome
from qb.contract.states import TaskStatus
from qb.domain.times import iso, utc_now
from qb.store import audit
from qb.store.database import connect
from tests.dashboard.seed import Seeder

DAY = 86_400
ASK = "INSERT INTO task_questions VALUES (?, ?, ?, ?, ?, '[]', ?, ?, NULL, NULL, NULL)"


def _ended(s: Seeder, *, ago: float) -> str:
    """A task that waited a minute, and ran for nine."""
    task_id = s.task("Work", age=ago + 600)
    s.start(task_id, s.node(f"box-{task_id[:8]}", seen=1), ago=ago + 540)
    s.end(task_id, TaskStatus.SUCCESS, ago=ago, exit_code=0)
    return task_id


def _page(dashboard: Any, path: str) -> str:
    answer = dashboard.page(path)
    assert answer.status_code == 200
    text: str = answer.text
    return text


def test_what_retention_has_removed_is_not_said_to_have_never_been(empty_dashboard: Any) -> None:
    with closing(connect(empty_dashboard.data_dir / "qb.db")) as db:
        s = Seeder(db)
        old, young = _ended(s, ago=200 * DAY), _ended(s, ago=DAY)
        db.execute("DELETE FROM task_events WHERE task_id = ?", (old,))
        for kind in ("output", "artifacts", "events", "transcripts"):
            db.execute("INSERT INTO retention_marks VALUES (?, ?)", (kind, s.at(180 * DAY)))
    told = "is kept for a while after the end, and was removed since"
    page = _page(empty_dashboard, f"/task/{old}")
    for what in ("What the container wrote", "What came back", "What happened"):
        assert f"{what} {told}" in page, what
    for never in ("has written nothing", "None came back", "Nothing has happened"):
        assert never not in page, never
    assert "running for 9 min, ended in success" in page, "the picture has what the task itself knows"
    page = _page(empty_dashboard, f"/task/{young}")
    assert told not in page
    assert "The container has written nothing." in page


@pytest.mark.parametrize("over", ["ended", "tried again"])
def test_a_question_that_nobody_can_answer_any_more_does_not_ask_for_it(empty_dashboard: Any, over: str) -> None:
    with closing(connect(empty_dashboard.data_dir / "qb.db")) as db:
        s = Seeder(db)
        task_id = s.task("Ask", age=60)
        s.start(task_id, s.node(f"box-{task_id[:8]}", seen=1), ago=50)
        db.execute(ASK, (s.new_id(), task_id, 1, "k", "Go on?", s.at(40), s.at(-600)))
        for path in ("/", "/tasks", "/tasks?status=running", f"/task/{task_id}"):
            assert '<span class="badge draining">asks</span>' in _page(empty_dashboard, path), path
        assert "waits for an answer" in _page(empty_dashboard, f"/task/{task_id}")
        if over == "ended":
            s.end(task_id, TaskStatus.CANCELLED, ago=1)
        else:
            db.execute("UPDATE tasks SET attempt = 2 WHERE id = ?", (task_id,))
        page = _page(empty_dashboard, f"/task/{task_id}")
        assert "waits for an answer" not in page
        assert "not answered in time" in page
        assert "asks</span>" not in page + _page(empty_dashboard, "/") + _page(empty_dashboard, "/tasks")
        db.execute("UPDATE tasks SET attempt = 1, status = 'cancelled', lease_expires_at = NULL, completed_at = ? "
                   "WHERE id = ?", (s.at(1), task_id))  # fmt: skip


def test_the_newest_of_many_questions_are_shown(empty_dashboard: Any) -> None:
    with closing(connect(empty_dashboard.data_dir / "qb.db")) as db:
        s = Seeder(db)
        task_id = s.task("Ask much", age=600)
        s.start(task_id, s.node(f"box-{task_id[:8]}", seen=1), ago=500)
        for number in range(60):
            asked = (s.new_id(), task_id, 1, f"k{number}", f"Question {number}?", s.at(400 - number), s.at(200))
            db.execute(ASK, asked)
    page = _page(empty_dashboard, f"/task/{task_id}")
    assert 'Questions <span class="count">60</span>' in page
    assert "The newest 50." in page
    assert "Question 59?" in page
    assert "Question 9?" not in page
    assert page.index("Question 10?") < page.index("Question 59?")


def test_figures_are_of_all_attempts_as_the_command_line_has_them(empty_dashboard: Any) -> None:
    with closing(connect(empty_dashboard.data_dir / "qb.db")) as db:
        s = Seeder(db)
        task_id = s.task("Count", age=600)
        db.execute("UPDATE tasks SET attempt = 2 WHERE id = ?", (task_id,))
        for name, attempt, seq, value in (("rows", 1, 1, 9), ("rows", 1, 7, 3), ("rows", 2, 1, 5), ("pages", 1, 2, 4)):
            db.execute(
                "INSERT INTO task_metrics VALUES (?, ?, ?, ?, ?, ?)", (task_id, name, attempt, seq, value, s.at(9))
            )
    page = _page(empty_dashboard, f"/task/{task_id}").partition("Figures")[2].partition("</table>")[0]
    rows = [re.findall(r"<td[^>]*>([^<,]+)", row) for row in page.split("<tr>")[2:]]
    assert rows == [["pages", "4", "4", "4", "once"], ["rows", "5", "3", "9", "3 times"]]


def test_each_session_has_what_was_said_in_it(empty_dashboard: Any) -> None:
    with closing(connect(empty_dashboard.data_dir / "qb.db")) as db:
        s = Seeder(db)
        task_id = s.task("Work with another", age=600)
        for session, parent, said in (("a-main", None, 30), ("z-other", "a-main", 80)):
            db.execute(
                "INSERT INTO crush_sessions (task_id, id, attempt, title, prompt_tokens, completion_tokens, cost,"
                " created_at, updated_at, message_count, stale, received_at, parent_session_id) "
                "VALUES (?, ?, 1, ?, 1, 1, 0, 0, 0, ?, 0, ?, ?)",
                (task_id, session, f"Session {session}", said, s.at(5), parent),
            )
            db.executemany(
                "INSERT INTO crush_messages (task_id, session_id, position, id, role, content) "
                "VALUES (?, ?, ?, ?, 'assistant', ?)",
                [(task_id, session, at, f"m{at}", f"{session} said {at}.") for at in range(said)],
            )
    page = _page(empty_dashboard, f"/task/{task_id}")
    told = ("Session a-main", "a-main said 0.", "a-main said 29.", "Session z-other", "The newest 30 messages.",
            "z-other said 50.", "z-other said 79.")  # fmt: skip
    places = [page.find(each) for each in told]
    assert places == sorted(places)
    assert -1 not in places
    assert "z-other said 49." not in page


def test_many_relatives_of_one_kind_hide_no_other(empty_dashboard: Any) -> None:
    with closing(connect(empty_dashboard.data_dir / "qb.db")) as db:
        s = Seeder(db)
        first = s.task("First", age=60)
        for number in range(25):
            after = s.task("After it", age=50, title=f"After {number}")
            db.execute("INSERT INTO task_dependencies VALUES (?, ?)", (first, after))
        again = s.task("Again", age=40, title="The second try", retry_of=first)
        pattern = s.task("Now and then", age=60)
        db.execute("UPDATE tasks SET schedule_id = id WHERE id = ?", (pattern,))
        for _ in range(23):
            s.task("Now and then", age=30, schedule_id=pattern)
    page = _page(empty_dashboard, f"/task/{first}")
    assert f'<span class="quiet">was retried as</span> <a href="/task/{again}">The second try</a>' in page
    assert page.count('<span class="quiet">is awaited by</span>') == 20
    assert "is awaited by 5 more" in page
    page = _page(empty_dashboard, f"/task/{pattern}")
    assert page.count('<span class="quiet">ran as</span>') == 20
    assert f'ran as <a href="/qb/tasks?schedule_id={pattern}">3 more</a>' in page


def test_what_ended_before_it_began_waits_for_nothing_more(empty_dashboard: Any) -> None:
    with closing(connect(empty_dashboard.data_dir / "qb.db")) as db:
        s = Seeder(db)
        task_id = s.task("Never mind", age=60)
        s.end(task_id, TaskStatus.CANCELLED, ago=50)
    assert not re.search(r"\byet\b", _page(empty_dashboard, f"/task/{task_id}"))


def test_a_cancelled_task_says_who_asked_for_it(empty_dashboard: Any) -> None:
    now = utc_now()
    with closing(connect(empty_dashboard.data_dir / "qb.db")) as db:
        s = Seeder(db)
        task_id, other = s.task("Stop me", age=60), s.task("Stop me, too", age=60)
        for each, actor, at in ((task_id, "dora<b>", now), (other, "emil", now - timedelta(seconds=9))):
            db.execute("UPDATE tasks SET cancel_requested_at = ? WHERE id = ?", (iso(at), each))
            audit.add(db, at=iso(at), actor=actor, actor_id=None, action=Action.TASK_CANCELLED, object_id=each,
                      outcome=Outcome.DONE, address=None)  # fmt: skip
    page = _page(empty_dashboard, f"/task/{task_id}").partition("Cancel asked by")[2].partition("</div>")[0]
    assert 'href="/audit?action=task_cancelled&actor=dora%3Cb%3E">dora&lt;b&gt;</a>' in page.replace("&amp;", "&")
    assert "emil" not in page


def test_a_task_whose_node_was_removed_says_where_it_ran(empty_dashboard: Any) -> None:
    with closing(connect(empty_dashboard.data_dir / "qb.db")) as db:
        task_id = _ended(Seeder(db), ago=100)
        db.execute("DELETE FROM nodes WHERE name = ?", (f"box-{task_id[:8]}",))
    facts = _page(empty_dashboard, f"/task/{task_id}").partition("<dt>Node</dt>")[2].partition("</div>")[0]
    assert f'box-{task_id[:8]} <span class="quiet">removed since</span>' in facts
    row = _page(empty_dashboard, "/tasks").partition(f'id="task-{task_id}"')[2].partition("</tr>")[0]
    assert '<td data-label="Node"><span class="quiet">a node that was removed</span>' in row
