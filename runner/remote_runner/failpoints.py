"""Places where a test has the runner killed: ``QB_FAILPOINT=NAME[:COUNT]`` is SIGKILL at the COUNT-th visit.

Each step has two, ``STEP.before`` and ``STEP.after``. Without the variable a visit is one look at a constant.
"""

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

ENV = "QB_FAILPOINT"
STEPS = (
    "journal.intend journal.permitted journal.started journal.cancel journal.exited journal.spool journal.finish "
    "journal.settle journal.sent journal.refuse journal.swept journal.forget "
    "podman.info podman.list podman.create podman.init podman.start podman.inspect podman.stop podman.remove "
    "podman.image podman.pull "
    "http.register http.heartbeat http.poll http.report_status http.report_output http.report_session "
    "http.download_file http.put_artifact"
).split()
NAMES = frozenset(f"{step}.{side}" for step in STEPS for side in ("before", "after"))


class Failpoint:
    """Counts visits to one place, and ends the process at the last."""

    def __init__(self, name: str, count: int) -> None:
        self._name = name
        self._left = count
        self._lock = threading.Lock()

    @contextmanager
    def around(self, step: str) -> Iterator[None]:
        """Visit the two places of a step; the second only when the step did not raise."""
        self._visit(f"{step}.before")
        yield
        self._visit(f"{step}.after")

    def _visit(self, name: str) -> None:
        if name != self._name:
            return
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def armed(environ: Mapping[str, str]) -> Failpoint | None:
    """The failpoint that the environment names. Raises SystemExit for one that does not exist."""
    text = environ.get(ENV, "")
    if not text:
        return None
    name, _, count = text.partition(":")
    if name not in NAMES or not (count or "1").isdigit() or count == "0":
        raise SystemExit(f"{ENV}={text}: there is no such failpoint; remote_runner/failpoints.py lists them")
    return Failpoint(name, int(count or "1"))


_ARMED = armed(os.environ)
_NOTHING = nullcontext()


def around(step: str) -> AbstractContextManager[None]:
    """What encloses a step, so that tests can end the runner before and after it."""
    return _NOTHING if _ARMED is None else _ARMED.around(step)


def around_request(route: str) -> AbstractContextManager[None]:
    """The same for a request, named by its row in the route table."""
    return around(f"http.{route}")
