"""The podman socket: the user's own where one is active, else a private service of the runner's."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

import structlog

from remote_runner.backoff import Backoff

PR_SET_PDEATHSIG = 1
SOCKET_PATH_LIMIT = 100
START_SECONDS = 60.0
END_SECONDS = 5.0
_libc = ctypes.CDLL(None, use_errno=True)
log = structlog.get_logger()


def users_socket(environ: Mapping[str, str] = os.environ) -> str | None:
    """The URL of a podman socket that something listens on, in the places podman itself uses."""
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    usual = "/run/podman/podman.sock" if os.getuid() == 0 else f"{runtime}/podman/podman.sock"
    for path in (environ.get("CONTAINER_HOST", "").removeprefix("unix://"), usual):
        if path.startswith("/") and _answers(Path(path)):
            return f"unix://{path}"
    return None


class PodmanService:
    """A ``podman system service`` that lives as long as this process and is started again when it dies."""

    def __init__(self, command: str, state_dir: Path) -> None:
        self._command = command
        self._cwd = state_dir
        path = state_dir / "podman.sock"
        if len(os.fsencode(path)) > SOCKET_PATH_LIMIT:
            path = Path(tempfile.mkdtemp(prefix="remote-runner-")) / "podman.sock"
        self._path = path
        self.url = f"unix://{path}"
        self._ready = threading.Event()
        self._stop = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        # The kernel's parent-death signal follows the thread that forked, so one thread keeps the child.
        self._keeper = threading.Thread(target=self._keep, name="podman-service", daemon=True)

    def start(self) -> bool:
        """Start it; says whether it answered in time."""
        self._keeper.start()
        return self._ready.wait(START_SECONDS)

    def stop(self) -> None:
        """Stop it. Containers go on: each belongs to its own conmon."""
        self._stop.set()
        if self._child:
            _end(self._child)
        self._keeper.join(3)
        with contextlib.suppress(OSError):
            self._path.unlink()
        if self._path.parent != self._cwd:
            with contextlib.suppress(OSError):
                self._path.parent.rmdir()

    def _keep(self) -> None:
        backoff = Backoff(10)
        while not self._stop.is_set():
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
            try:
                self._child = self._spawn()
            except OSError as error:
                log.error("podman cannot be started", command=self._command, error=str(error))
                self._stop.wait(backoff.next())
                continue
            if self._wait_for_socket(self._child):
                backoff.reset()
                self._ready.set()
                self._child.wait()
            else:
                _end(self._child)
            if not self._stop.is_set():
                log.warning("podman's service ended; starting it again", code=self._child.returncode)
                self._stop.wait(backoff.next())

    def _spawn(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [self._command, "system", "service", "--time=0", self.url],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=self._cwd,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509  one prctl, no lock and no import in the child
        )

    def _wait_for_socket(self, child: subprocess.Popen[bytes]) -> bool:
        waited = 0.0
        while waited < START_SECONDS and child.poll() is None and not self._stop.is_set():
            if _answers(self._path):
                return True
            self._stop.wait(0.02)
            waited += 0.02
        return False


def _end(child: subprocess.Popen[bytes]) -> None:
    """TERM, and KILL for one that does not hear it."""
    child.terminate()
    try:
        child.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(END_SECONDS)


def _die_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
