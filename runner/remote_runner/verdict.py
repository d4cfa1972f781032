"""What the runner says of an attempt that ended."""

from qb.contract.states import Reason, ReportStatus
from qb.contract.tasks import Assignment, StatusReport
from remote_runner.engine import ContainerState
from remote_runner.records import Key

PERMIT_SEQ, VERDICT_SEQ = 1, 2
TIMED_OUT_CODE = -1
"""What podman shows for a container that conmon stopped at its time-out."""

START_SLACK = 1.0
KILLED_CODE = 137
SIGNAL_BASE = 128


class Failure(Exception):
    """The attempt ends here with a reason of the runner's."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def permit_request(key: Key) -> StatusReport:
    """The `running` report, whose answer permits the start."""
    return StatusReport(task_id=key.task_id, attempt=key.attempt, seq=PERMIT_SEQ, status=ReportStatus.RUNNING)


def failed(key: Key, reason: Reason, message: str, exit_code: int | None = None) -> StatusReport:
    """A verdict of error."""
    return StatusReport(
        task_id=key.task_id,
        attempt=key.attempt,
        seq=VERDICT_SEQ,
        status=ReportStatus.ERROR,
        reason=reason,
        message=message.replace("\x00", ""),
        exit_code=exit_code,
    )


def of_exit(key: Key, assignment: Assignment, state: ContainerState) -> StatusReport:
    """The verdict on a container that ended by itself."""
    code = state.exit_code
    if code == 0:
        return StatusReport(
            task_id=key.task_id,
            attempt=key.attempt,
            seq=VERDICT_SEQ,
            status=ReportStatus.SUCCESS,
            exit_code=0,
        )
    limit = assignment.timeout_seconds
    if limit and not state.oom_killed and _ran_out(code, state.seconds, limit):
        return failed(key, Reason.TIMEOUT, f"stopped after its {limit} s were over", code)
    memory = assignment.limits.memory_mb if assignment.limits else None
    # some releases of podman lose conmon's note of it: KILL under a memory limit is the kernel's doing
    if state.oom_killed or (code == KILLED_CODE and memory):
        allowed = f"more than its {memory} MB" if memory else "more memory than there was"
        return failed(key, Reason.OUT_OF_MEMORY, f"the container took {allowed}", code)
    return failed(key, Reason.EXIT_NONZERO, _ended(code), code)


def too_much_out(key: Key, limit: int, code: int | None) -> StatusReport:
    """The verdict on a task that left more than it may; none of it is sent."""
    return failed(key, Reason.DISK_LIMIT, f"the task left more than {limit >> 20} MiB in its out folder", code)


def _ran_out(code: int, seconds: float, limit: int) -> bool:
    if code == TIMED_OUT_CODE:
        return True
    # conmon's timer begins before podman notes the start: on a busy machine the noted time falls short
    return seconds >= limit - START_SLACK and code in (KILLED_CODE, 255)


def _ended(code: int) -> str:
    if SIGNAL_BASE < code < SIGNAL_BASE + 65:
        return f"the container was ended by signal {code - SIGNAL_BASE} (exit code {code})"
    return f"the container ended with exit code {code}"
