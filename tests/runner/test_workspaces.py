"""Whose Victoria home a task works in, and when it goes."""

from pathlib import Path

import pytest

from qb.contract.tasks import Assignment
from remote_runner.choices import WorkspaceMode
from remote_runner.config import ConfigError, read
from remote_runner.journal import Journal
from remote_runner.records import Key
from remote_runner.workspaces import Workspaces, sweep

FIRST, SECOND = (Key(f"{number}1111111-1111-4111-8111-111111111111", 1) for number in (1, 2))
DAY = 24 * 3600.0


def workspaces(tmp_path: Path, mode: WorkspaceMode) -> Workspaces:
    return Workspaces(tmp_path / "home", mode, tmp_path / "own", tmp_path / "template", "podman")


@pytest.fixture
def template(tmp_path: Path) -> Path:
    made = tmp_path / "template"
    (made / "tasks" / "old").mkdir(parents=True)
    (made / "notes" / "tasks").mkdir(parents=True)
    (made / "notes" / "a.md").write_text("a")
    (made / "outside").symlink_to("/etc/passwd")
    return made


def test_each_task_has_its_own_copy_of_the_template(tmp_path: Path, template: Path) -> None:
    made = workspaces(tmp_path, WorkspaceMode.TASK)
    homes = [made.prepare(key).home for key in (FIRST, SECOND)]
    (homes[0] / "notes" / "a.md").write_text("changed")
    assert (homes[1] / "notes" / "a.md").read_text() == "a"
    assert (template / "notes" / "a.md").read_text() == "a"
    assert (homes[0] / "outside").is_symlink(), "a link stays one"
    assert (homes[0] / "notes" / "tasks").is_dir()
    assert [each.name for each in (homes[0] / "tasks").iterdir()] == [FIRST.short], "other tasks' folders stay away"


def test_a_copy_that_was_cut_short_is_begun_anew(tmp_path: Path, template: Path) -> None:
    draft = tmp_path / "own" / f".{FIRST.short}-1.new"
    draft.mkdir(parents=True)
    (draft / "half").touch()
    home = workspaces(tmp_path, WorkspaceMode.TASK).prepare(FIRST).home
    assert not draft.exists()
    assert not (home / "half").exists()


def test_a_workspace_that_is_whole_is_kept(tmp_path: Path, template: Path) -> None:
    made = workspaces(tmp_path, WorkspaceMode.TASK)
    (made.prepare(FIRST).home / "kept").touch()
    assert (made.prepare(FIRST).home / "kept").exists()


@pytest.mark.parametrize("mode", list(WorkspaceMode))
def test_old_workspaces_go_and_others_stay(tmp_path: Path, mode: WorkspaceMode) -> None:
    clock = [0.0]
    journal = Journal(tmp_path / "journal.db", now=lambda: clock[0])
    made = workspaces(tmp_path, mode)
    (tmp_path / "home" / "tasks" / "mine").mkdir(parents=True)
    for key in (FIRST, SECOND):
        journal.intend(Assignment(task_id=key.task_id, prompt="p", orchestrator_url="http://x"), "boot")
        made.prepare(key)
    journal.settle(FIRST)
    clock[0] = DAY - 1
    sweep(made, journal, DAY)
    assert (made.of(FIRST).home / "tasks" / FIRST.short).exists(), "too young"
    clock[0] = DAY + 1
    sweep(made, journal, DAY)
    assert not (made.of(FIRST).home / "tasks" / FIRST.short).exists()
    assert (made.of(SECOND).home / "tasks" / SECOND.short).exists(), "not settled yet"
    assert (tmp_path / "home" / "tasks" / "mine").exists(), "not of any task of ours"
    journal.close()


def test_a_new_attempt_of_the_task_keeps_the_shared_folder(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db", now=lambda: 0.0)
    made = workspaces(tmp_path, WorkspaceMode.SHARED)
    for attempt in (1, 2):
        given = Assignment(task_id=FIRST.task_id, prompt="p", orchestrator_url="http://x", attempt=attempt)
        journal.intend(given, "boot")
    made.prepare(FIRST)
    journal.settle(FIRST)
    sweep(made, journal, -1)
    assert (tmp_path / "home" / "tasks" / FIRST.short).exists()
    journal.close()


def test_several_slots_need_workspaces_of_their_own() -> None:
    base = ["pull", "--orchestrator-url", "http://x", "--slots", "2"]
    with pytest.raises(ConfigError, match="--workspace task"):
        read(base, {})
    assert read([*base, "--workspace", "task"], {}).slots == 2
