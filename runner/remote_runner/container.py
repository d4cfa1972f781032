"""One attempt's container: made once, started at most once, watched to its end."""

import contextlib
import os
import select
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import structlog

from qb.contract.states import Reason
from remote_runner.backoff import Backoff
from remote_runner.engine import ContainerState, Engine, ImageMissing
from remote_runner.podman_api import EngineError, EngineUnavailable
from remote_runner.verdict import Failure

FIRST_TICK, TICK = 0.005, 0.1
"""Seconds between looks at the output: while the container is young, and later."""

YOUNG_TICKS = 400
REMOVALS = 6
INSPECT_TICKS, BLIND_INSPECT_TICKS = 300, 10
"""Ticks between inspections: when conmon's end would wake us, and when it cannot be watched."""

log = structlog.get_logger()
_T = TypeVar("_T")


class Stopped(Exception):
    """The runner is told to end; the attempt is taken up again at its next start."""


class Container:
    """The container called `name`. Waits for podman's service whenever that is away. Raises Stopped."""

    def __init__(self, engine: Engine, name: str, pid_file: Path, stop: threading.Event) -> None:
        self._engine = engine
        self._name = name
        self._pid_file = pid_file
        self._stop = stop

    def state(self) -> ContainerState | None:
        """What podman knows of it; None when there is none."""
        return self.steadily(lambda: self._engine.state(self._name))

    def create(self, spec: dict[str, Any]) -> None:
        """Make it. Raises ImageMissing and Failure."""
        try:
            self.steadily(lambda: self._create(spec))
        except ImageMissing:
            raise
        except EngineError as error:
            raise Failure(Reason.LAUNCH_FAILED, str(error)) from error

    def start(self, prepared: Callable[[int], None]) -> None:
        """Start it; `prepared` gets the process id while its program waits to begin, and may raise Failure.

        After a doubtful answer only a container that never ran is started. Raises Failure.
        """
        backoff = Backoff(5)
        try:
            while True:
                with contextlib.suppress(EngineUnavailable):
                    self._engine.init(self._name)
                    state = self._engine.state(self._name)
                    if state and state.created:
                        prepared(state.pid)
                        self._engine.start(self._name)
                    return
                log.warning("podman's service went away during a start", container=self._name)
                state = self.state()
                if state is None or not state.created:
                    return
                self._stop.wait(backoff.next())
        except EngineError as error:
            raise Failure(Reason.LAUNCH_FAILED, str(error)) from error

    def end(self, grace: int) -> None:
        """TERM, then KILL after `grace` seconds."""
        try:
            self.steadily(lambda: self._engine.stop(self._name, grace))
        except EngineError as error:
            log.warning("podman cannot stop a container; it is removed", container=self._name, error=str(error))
            self.remove()

    def remove(self) -> bool:
        """Remove it, whatever it does; whether podman knows it no more."""
        backoff = Backoff(2)
        for _ in range(REMOVALS):
            try:
                self.steadily(lambda: self._engine.remove(self._name))
                if self.state() is None:
                    return True
            except EngineError as error:
                log.error("podman cannot remove a container", container=self._name, error=str(error))
            self._stop.wait(backoff.next())
        return False

    def follow(self, pump: Callable[[], bool], halt: threading.Event) -> ContainerState | None:
        """Call `pump` until the container has ended or is to be halted; returns its state then."""
        tick = 0
        with _Conmon(self._conmon_pid) as conmon:
            while not halt.is_set():
                if self._stop.is_set():
                    raise Stopped
                more = pump()
                pause = 0.0 if more else FIRST_TICK if tick < YOUNG_TICKS else TICK
                ended = conmon.wait(pause)
                tick += 1
                if ended or tick % (INSPECT_TICKS if conmon.seen else BLIND_INSPECT_TICKS) == 0:
                    state = self.state()
                    if state is None or not state.running:
                        return state
                    if ended:
                        self._stop.wait(TICK)
        return self.state()

    def _create(self, spec: dict[str, Any]) -> None:
        try:
            self._engine.create(spec)
        except ImageMissing:
            raise
        except EngineError:
            # the answer to an earlier try may have been lost, or the runner died after it
            state = self._engine.state(self._name)
            if state is None or not state.created or not spec["labels"].items() <= state.labels.items():
                raise

    def _conmon_pid(self) -> int:
        with contextlib.suppress(OSError, ValueError):
            return int(self._pid_file.read_text())
        state = self.state()
        return state.conmon_pid if state else 0

    def steadily(self, call: Callable[[], _T]) -> _T:
        """Make a call of podman, for as long as its service is away."""
        backoff = Backoff(5)
        while True:
            if self._stop.is_set():
                raise Stopped
            try:
                return call()
            except EngineUnavailable as error:
                log.warning("podman's service does not answer", container=self._name, error=str(error))
            self._stop.wait(backoff.next())


class _Conmon:
    """Tells when a container's conmon has ended: by then the log is whole and the exit code known."""

    def __init__(self, pid: Callable[[], int]) -> None:
        self._pid = pid
        self._poll = select.poll()
        self._fd = -1
        self._gone = False
        self.seen = False

    def __enter__(self) -> "_Conmon":
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; whether conmon has ended."""
        if not self.seen:
            self._look()
        return self._gone or bool(self._poll.poll(seconds * 1000))

    def _look(self) -> None:
        pid = self._pid()
        if not pid:
            return
        try:
            self._fd = os.pidfd_open(pid)
        except ProcessLookupError:
            self._gone = True
        except OSError:
            return
        else:
            self._poll.register(self._fd, select.POLLIN)
        self.seen = True
