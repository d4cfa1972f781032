"""Runs attempts, a thread each, and takes them up again after a restart. It knows no transport."""

import contextlib
import shutil
import threading
import time
from pathlib import Path

import structlog

from qb.contract.states import Reason
from remote_runner import verdict
from remote_runner.attempt import Attempt, Dropped
from remote_runner.container import Stopped
from remote_runner.launch import LABEL_ATTEMPT, LABEL_RUNNER, LABEL_TASK
from remote_runner.podman_api import EngineError, EngineUnavailable
from remote_runner.records import Entry, Key, Phase
from remote_runner.room import when_there_is_room
from remote_runner.tools import Tools

log = structlog.get_logger()


class Executor:
    """Runs at most `slots` attempts at a time. Thread-safe."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._slots = tools.config.slots
        self._change = threading.Condition()
        self._running: dict[Key, tuple[Attempt, threading.Thread]] = {}

    @property
    def free(self) -> bool:
        """Whether another attempt may begin."""
        with self._change:
            return len(self._running) < self._slots

    def wait_free(self, timeout: float) -> bool:
        """Wait for a free slot."""
        with self._change:
            return self._change.wait_for(lambda: len(self._running) < self._slots, timeout)

    def run(self, entry: Entry) -> None:
        """Begin, or take up, a journalled attempt."""
        attempt = Attempt(entry, self._tools)
        name = entry.key.container
        thread = threading.Thread(target=self._see_through, args=(attempt,), name=name, daemon=True)
        with self._change:
            self._running[entry.key] = (attempt, thread)
        thread.start()

    def cancel(self, key: Key) -> None:
        """Stop an attempt; one that has ended is left as it is."""
        with self._change:
            attempt, _ = self._running.get(key, (None, None))
        if attempt:
            attempt.cancel()

    def recover(self) -> None:
        """Take up what an earlier runner of this state directory left."""
        try:
            self._sweep()
        except (EngineError, EngineUnavailable) as error:
            log.warning("cannot look for containers that were left over", error=str(error))
        self._sweep_logs()
        for entry in self._tools.journal.unsettled():
            if entry.phase is not Phase.EXITED:
                self.run(entry)

    def settled(self, key: Key) -> None:
        """The orchestrator has taken the verdict: remove the container and its log. The workspace stays a while."""
        try:
            self._tools.engine.remove(key.container)
        except (EngineError, EngineUnavailable) as error:
            log.warning("a container stays until the next start", container=key.container, error=str(error))
        for path in (self._tools.log_path(key), self._tools.pid_path(key)):
            _unlink(path)

    def join(self, seconds: float) -> None:
        """After the stop event: give the threads so long to let go. Containers go on."""
        deadline = time.monotonic() + seconds
        with self._change:
            threads = [thread for _, thread in self._running.values()]
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _see_through(self, attempt: Attempt) -> None:
        key = attempt.key
        try:
            self._run(attempt)
        except Stopped:
            log.info("left to run", task=key.task_id, attempt=key.attempt)
        finally:
            with self._change:
                self._running.pop(key, None)
                self._change.notify_all()

    def _run(self, attempt: Attempt) -> None:
        key = attempt.key
        try:
            attempt.run()
        except Stopped:
            raise
        except Dropped as dropped:
            log.warning("dropped: no permit to start", task=key.task_id, attempt=key.attempt, why=str(dropped))
            when_there_is_room(lambda: self._tools.journal.settle(key), self._tools.stop)
            self.settled(key)
        except Exception as error:  # noqa: BLE001  a thread's outermost frame: an attempt must not end without a verdict
            self._broken(key, error)

    def _broken(self, key: Key, error: Exception) -> None:
        if self._tools.stop.is_set():
            return
        log.error("the runner failed", task=key.task_id, attempt=key.attempt, exc_info=error)
        with contextlib.suppress(EngineError, EngineUnavailable):
            self._tools.engine.remove(key.container)
        message = f"the runner failed: {type(error).__name__}: {error}"
        report = verdict.failed(key, Reason.LAUNCH_FAILED, message)
        when_there_is_room(lambda: self._tools.journal.finish(key, report), self._tools.stop)
        self._tools.outbox_filled()

    def _sweep(self) -> None:
        for name, labels in self._tools.engine.labelled(f"{LABEL_RUNNER}={self._tools.runner_id}"):
            key = Key(labels.get(LABEL_TASK, ""), int(labels.get(LABEL_ATTEMPT, "0")))
            if self._tools.journal.phase(key) is Phase.REPORTED:
                log.info("removing a container whose verdict was taken", container=name)
                self._tools.engine.remove(name)

    def _sweep_logs(self) -> None:
        """Remove what a runner that died between a settlement and its cleaning left, or in reading a transcript."""
        wanted = {entry.key.container for entry in self._tools.journal.unsettled()}
        for path in self._tools.logs.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.stem not in wanted:
                _unlink(path)


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
