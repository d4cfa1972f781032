"""gunicorn's arbiter, in a process that imports nothing of the application.

So it stays small, and the worker that a reload starts is made of what is installed then. What it serves is in a file
that it inherits (qb.api.server writes it).
"""

import ctypes
import os
import pickle
import signal
import sys
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.workers.base import Worker as GunicornWorker

from qb.api.connections import BACKLOG, KEEP_ALIVE, STOP_SECONDS
from qb.api.logs import configure

PR_SET_PDEATHSIG = 1


class Worker(GunicornWorker):
    """Becomes the real worker once it is a process of its own: only that one imports the application."""

    def init_process(self) -> None:
        """Serve until told to stop."""
        # The arbiter's own handlers are in place until now, and would swallow a SIGTERM while this imports.
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        from qb.api.worker import Worker as Real

        real = Real(self.age, self.ppid, self.sockets, self.app, self.timeout, self.cfg, self.log)
        real.tmp.close()  # type: ignore[no-untyped-call]
        real.tmp = self.tmp  # by which the arbiter sees that it lives
        real.pid = self.pid
        real.init_process()  # type: ignore[no-untyped-call]


class Gunicorn(BaseApplication):
    """gunicorn without its command line. `binds` are its sockets; the settings are in the file `descriptor`."""

    def __init__(self, binds: list[str], descriptor: int) -> None:
        self._binds = binds
        self._descriptor = descriptor
        super().__init__()  # type: ignore[no-untyped-call]

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "bind": self._binds,
            "workers": 1,
            "worker_class": "qb.api.arbiter.Worker",
            "logger_class": "qb.api.logs.GunicornLogger",
            "timeout": 90,
            "graceful_timeout": STOP_SECONDS,
            "keepalive": KEEP_ALIVE,
            "backlog": BACKLOG,
            "proc_name": "qb",
            "control_socket_disable": True,
            "post_fork": _die_with_arbiter,
        }
        for name, value in options.items():
            self.cfg.set(name, value)  # type: ignore[union-attr]

    def load(self) -> Any:
        """The application; called in the worker."""
        from qb.api.server import application

        return application(read(self._descriptor)["settings"])


def read(descriptor: int) -> dict[str, Any]:
    """What qb.api.server has written; its position is shared with other processes, and so left alone."""
    found: dict[str, Any] = pickle.loads(os.pread(descriptor, os.fstat(descriptor).st_size, 0))  # noqa: S301 - our own
    return found


def _die_with_arbiter(arbiter: Any, worker: Any) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != arbiter.pid:
        os._exit(1)


def main(descriptor: int) -> None:
    """Serve what the file says."""
    configure()
    Gunicorn(read(descriptor)["binds"], descriptor).run()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main(int(sys.argv[1]))  # what follows is for who lists processes
