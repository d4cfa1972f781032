"""Where a task's output is cut, this is said, and never mixed with what the container printed."""

from collections.abc import Callable

from qb.contract.states import Stream
from qb.contract.tasks import OutputLine, Task
from tests.cli.conftest import FakeApi, Qb

TASK = "3f2a0000-0000-4000-8000-000000000001"


def test_the_marker_goes_to_stderr_and_the_sheet_tells_how_much_is_missing(
    qb: Qb, connected: FakeApi, make_task: Callable[..., Task]
) -> None:
    lines = [
        OutputLine(id=number, attempt=1, seq=number, stream=stream, at="now", text=text)
        for number, stream, text in ((1, Stream.STDOUT, "data\n"), (2, Stream.SYSTEM, "[output is cut here]\n"))
    ]
    connected.answers("GET", f"/tasks/{TASK}", make_task(TASK, output_dropped=3 << 20))
    connected.answers("GET", f"/tasks/{TASK}/output", lines)
    connected.answers("GET", f"/tasks/{TASK}/output", [])
    ran = qb("task", "logs", TASK)
    assert (ran.out, ran.err) == ("data\n", "[output is cut here]\n")
    assert "3.0 MiB past the limit were not kept" in qb("task", "show", TASK).out
