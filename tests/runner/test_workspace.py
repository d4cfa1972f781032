"""The task's folder: nothing that a container puts there leads out of it."""

import os
from pathlib import Path

import pytest

from remote_runner.workspace import Workspace

TASK = "12345678"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "home")
    made.prepare(TASK)
    return made


def out(workspace: Workspace) -> Path:
    return workspace.home / "tasks" / TASK / "out"


def test_links_and_pipes_are_no_artifacts(workspace: Workspace) -> None:
    (out(workspace) / "plain").write_text("x")
    (out(workspace) / "link").symlink_to("/etc/passwd")
    (out(workspace) / "folder").symlink_to("/etc")
    os.mkfifo(out(workspace) / "pipe")
    assert workspace.artifacts(TASK) == [("plain", "plain")]


def test_an_out_folder_that_became_a_link_gives_nothing(workspace: Workspace) -> None:
    out(workspace).rmdir()
    out(workspace).symlink_to("/etc")
    assert workspace.artifacts(TASK) == []
    with pytest.raises(OSError, match="out"), workspace.artifact(TASK, "passwd"):
        pass


def test_a_file_swapped_for_a_link_after_the_listing_is_not_read(workspace: Workspace) -> None:
    (out(workspace) / "a").write_text("x")
    assert workspace.artifacts(TASK) == [("a", "a")]
    (out(workspace) / "a").unlink()
    (out(workspace) / "a").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="a"), workspace.artifact(TASK, "a"):
        pass


def test_names_are_flat_plain_and_unlike(workspace: Workspace) -> None:
    (out(workspace) / "d").mkdir()
    (out(workspace) / "d" / "x.md").write_text("1")
    (out(workspace) / "d__x.md").write_text("2")
    (out(workspace) / "line\nbreak").write_text("3")
    named = dict(workspace.artifacts(TASK))
    assert named == {"d/x.md": "d__x.md", "d__x.md": "d__x-2.md", "line\nbreak": "line_break"}


def test_a_new_attempt_finds_an_empty_folder(workspace: Workspace) -> None:
    (out(workspace) / "old").write_text("x")
    workspace.prepare(TASK)
    assert workspace.artifacts(TASK) == []


def test_a_task_folder_that_is_a_link_is_replaced_and_its_target_left_alone(
    workspace: Workspace, tmp_path: Path
) -> None:
    workspace.remove(TASK)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("x")
    (workspace.home / "tasks" / TASK).symlink_to(elsewhere)
    workspace.prepare(TASK)
    assert (elsewhere / "kept").exists()
    assert not (workspace.home / "tasks" / TASK).is_symlink()


def test_a_new_file_does_not_follow_a_link(workspace: Workspace, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("kept")
    (workspace.home / "tasks" / TASK / "files" / "f").symlink_to(target)
    with workspace.new_file(TASK, "f") as file:
        file.write(b"new")
    assert target.read_text() == "kept"
    assert (workspace.home / "tasks" / TASK / "files" / "f").read_text() == "new"
