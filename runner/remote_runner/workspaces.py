"""Whose Victoria home a task works in: the node's own, or a folder for each task, seeded from a template."""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from remote_runner.choices import WorkspaceMode
from remote_runner.journal import Journal
from remote_runner.journal_file import NoRoom
from remote_runner.records import Key
from remote_runner.workspace import TASKS, Workspace

SWEEP_SECONDS = 600.0
UNSHARE_SECONDS = 300
log = structlog.get_logger()


class Workspaces:
    """The workspaces of this node's tasks. In mode `task` they lie in `folder`. Raises OSError."""

    def __init__(self, home: Path, mode: WorkspaceMode, folder: Path, template: Path | None, podman: str) -> None:
        self._shared = Workspace(home) if mode is WorkspaceMode.SHARED else None
        self._folder = folder
        self._template = template or home
        self._podman = podman

    def of(self, key: Key) -> Workspace:
        """Where the attempt works."""
        return self._shared or Workspace(self._own(key))

    def prepare(self, key: Key) -> Workspace:
        """Make the attempt's workspace, with an empty `files` and an empty `out`."""
        workspace = self.of(key)
        if self._shared is None and not workspace.home.is_dir():
            self._seed(workspace.home)
        workspace.prepare(key.short)
        return workspace

    def remove(self, key: Key) -> None:
        """Take away what the attempt worked with; in a shared home that is its folder under `tasks`."""
        if self._shared:
            self._surely(lambda: self.of(key).remove(key.short), self._shared.home / TASKS / key.short)
        elif self._own(key).exists():
            own = self._own(key)
            self._surely(lambda: shutil.rmtree(own), own)

    def _own(self, key: Key) -> Path:
        return self._folder / f"{key.short}-{key.attempt}"

    def _seed(self, home: Path) -> None:
        draft = home.with_name(f".{home.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        home.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._template.is_dir():
            shutil.copytree(self._template, draft, symlinks=True, ignore=self._no_tasks)
        else:
            draft.mkdir()
        # whole or not at all: a runner that died in the copy begins it anew
        draft.rename(home)

    def _no_tasks(self, folder: str, names: list[str]) -> set[str]:
        return {TASKS} & set(names) if Path(folder) == self._template else set()

    def _surely(self, take_away: Callable[[], None], path: Path) -> None:
        try:
            take_away()
        except PermissionError:
            if not os.getuid():
                raise
            # a rootless container's other users own files that only podman's user namespace may remove
            command = [self._podman, "unshare", "rm", "-rf", "--", str(path)]
            subprocess.run(command, capture_output=True, timeout=UNSHARE_SECONDS, check=False)
            if path.exists():
                raise


def sweep(workspaces: Workspaces, journal: Journal, keep: float) -> None:
    """Remove the workspaces of attempts that were settled more than `keep` seconds ago."""
    held = {key.short for key in journal.held()}
    for key in journal.unswept(keep):
        if key.short in held:
            continue
        try:
            workspaces.remove(key)
        except OSError as error:
            log.warning("cannot remove an old workspace", task=key.task_id, error=str(error))
        journal.swept(key)
    journal.forget()


def sweep_regularly(workspaces: Workspaces, journal: Journal, keep: float, stop: threading.Event) -> None:
    """Sweep until told to stop."""
    while not stop.is_set():
        try:
            sweep(workspaces, journal, keep)
        except NoRoom as error:
            log.warning("the sweep goes on later", error=str(error))
        stop.wait(SWEEP_SECONDS)
