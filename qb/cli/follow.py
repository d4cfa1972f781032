"""The live view of a task: each event as a line, and below them where the task stands now."""

import time
from collections.abc import Callable
from contextlib import closing

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from qb.cli.durations import span
from qb.cli.exits import TimedOut
from qb.cli.feed import OUTAGE, Feed, Lost
from qb.cli.terminal import cut, one_line
from qb.client import QbClient
from qb.contract.states import TaskStatus
from qb.contract.tasks import Task, TaskEvent

STYLES = {
    TaskStatus.PENDING: "dim",
    TaskStatus.ASSIGNED: "cyan",
    TaskStatus.RUNNING: "blue",
    TaskStatus.ANALYZING: "magenta",
    TaskStatus.SUCCESS: "bold green",
    TaskStatus.ERROR: "bold red",
    TaskStatus.CANCELLED: "yellow",
}
_BAR = 20
_WAITS = "waiting for a node"


def follow(
    client: QbClient,
    task_id: str,
    console: Console,
    *,
    deadline: float | None,
    clock: Callable[[], float] = time.monotonic,
    outage: float = OUTAGE,
) -> Task:
    """Show the task on `console` until it has ended; returns it as it ended.

    `deadline` is an instant of `clock` (seconds), None for no limit. A lost stream is resumed for `outage`
    seconds. On a terminal a bar moves; elsewhere each event is a plain line. Raises TimedOut when the deadline passes,
    ClientError when the orchestrator refuses or stays away.
    """
    view = LiveView(console) if console.is_terminal else LineView(console)
    with view:
        return watch(client, task_id, view, deadline=deadline, clock=clock, outage=outage)


def watch(
    client: QbClient,
    task_id: str,
    view: "LineView | LiveView | None",
    *,
    deadline: float | None,
    clock: Callable[[], float] = time.monotonic,
    outage: float = OUTAGE,
) -> Task:
    """Wait for the task's end, telling `view` of each event. As `follow` otherwise."""
    started = clock()
    feed = Feed(lambda after: client.follow_events(task_id, after=after), outage=outage, clock=clock)
    with closing(feed):
        for entry in feed:
            if view and isinstance(entry, TaskEvent):
                view.event(entry)
            elif view and isinstance(entry, Lost):
                view.lost(entry)
            if deadline is not None and clock() >= deadline:
                waited = span(clock() - started)
                raise TimedOut(
                    f"task {task_id} has not ended after {waited}",
                    f"it goes on: `qb task show {task_id}`, or `qb task cancel {task_id}`",
                )
    return client.task(task_id)


def line(event: TaskEvent) -> Text:
    """One event as a line: when, what became of the task, how far, who says what."""
    # the clock of the reader's own zone would differ from every log: UTC, as the server keeps it
    text = Text()
    text.append(one_line(event.at[11:19]), style="dim")
    text.append(f"  {event.status or '':<9}", style=STYLES.get(event.status, "") if event.status else "")
    text.append(f"  {'' if event.progress is None else f'{event.progress} %':>5}")
    text.append("  " + one_line(event.message or event.kind.replace("_", " ")))
    if not event.applied:
        text.append("  (not applied)", style="dim")
    return text


class LineView:
    """Each event as a plain line, for pipes and logs."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> "LineView":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def event(self, event: TaskEvent) -> None:
        """Print one line, however long."""
        self._console.print(line(event), soft_wrap=True, highlight=False)

    def lost(self, lost: Lost) -> None:
        """Say that the stream broke."""
        self._console.print(Text(f"{one_line(str(lost.error))}: trying again"), soft_wrap=True, highlight=False)


class LiveView:
    """Events as lines, and under them one that moves: status, bar, percentage, message, time."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[state]}", markup=False),
            BarColumn(_BAR),
            TextColumn("{task.fields[percent]:>5}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[message]}", markup=False),
            console=console,
            transient=True,
        )
        self._said = _WAITS
        self._bar = self._progress.add_task("", total=None, state="pending", percent="", message=_WAITS)

    def __enter__(self) -> "LiveView":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def event(self, event: TaskEvent) -> None:
        """Print the event above the bar, and move the bar."""
        self._console.print(line(event), highlight=False, overflow="ellipsis", no_wrap=True)
        if event.applied:
            self._move(event)
        # at once, whatever came: the stream is there again
        self._show(self._said)

    def _move(self, event: TaskEvent) -> None:
        if event.status:
            self._progress.update(self._bar, state=event.status.value)
            if event.status is TaskStatus.PENDING:
                self._said = _WAITS
            elif self._said == _WAITS:
                self._said = ""
        if event.progress is not None:
            self._progress.update(self._bar, total=100, completed=event.progress, percent=f"{event.progress} %")
        if event.message:
            self._said = event.message

    def lost(self, lost: Lost) -> None:
        """Say that the stream broke."""
        self._show(f"{lost.error}: trying again")

    def _show(self, message: str) -> None:
        room = max(self._console.width - _BAR - 32, 8)
        self._progress.update(self._bar, message=cut(one_line(message), room))
