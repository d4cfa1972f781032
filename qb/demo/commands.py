"""What `qb podman`, `qb up` and `qb demo` do."""

import shlex
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import typer
from rich.console import Console
from rich.markdown import Markdown

from qb.cli.data_dir import option
from qb.cli.follow import follow
from qb.client import ClientError, QbClient
from qb.contract.states import Reporter, TaskStatus
from qb.contract.tasks import Task, TaskCreate
from qb.demo import image, podman
from qb.demo.checkout import HERE, root
from qb.demo.errors import DemoError
from qb.demo.fleet import Fleet

DATA = HERE / "data" / "seattle-weather.csv"
PROMPT = "Summarise the attached weather records: yearly means, extremes and rain days. Draw a chart of temperatures."
DEMO_SECONDS = 180
FAILED = 1


class Steps:
    """Prints what is being done, with the seconds since the start."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()

    def __call__(self, text: str) -> None:
        """One line."""
        self._console.print(
            f"[dim]{time.monotonic() - self._began:6.1f} s[/dim]  {text}", highlight=False, soft_wrap=True
        )


@contextmanager
def _clear_errors(console: Console) -> Iterator[None]:
    try:
        yield
    except (DemoError, ClientError, OSError) as error:
        first, _, rest = str(error).partition("\n")
        console.print(f"[bold red]error:[/bold red] {first}", highlight=False, soft_wrap=True)
        if rest:
            console.print(rest, style="dim", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(FAILED) from None


def prepare_podman() -> None:
    """Make podman work on this machine, and say how."""
    console = Console()
    with _clear_errors(console):
        podman.prepare(Steps(console))


def up(state: Path | None) -> None:
    """Start control plane, dashboard and one runner on free ports, with their state in `state`, until Ctrl-C."""
    console = Console()
    with _clear_errors(console):
        steps = Steps(console)
        podman.prepare(steps)
        name = image.build(steps)
        with Fleet(state or root() / ".state" / "up", podman.network(), name, steps) as fleet:
            console.print()
            console.print(f"  API        {fleet.url}", highlight=False)
            console.print(f"  Dashboard  {fleet.sign_in_link()}", highlight=False, soft_wrap=True)
            console.print("             signs you in once, within 15 minutes; for another:", highlight=False)
            console.print(f"             .venv/bin/qb dashboard open {option(fleet.data_dir)}", soft_wrap=True)
            console.print("\nIn another terminal:", highlight=False)
            console.print(f"  export QB_URL={fleet.url} QB_API_KEY={fleet.admin_key}", soft_wrap=True, highlight=False)
            console.print(
                f"  .venv/bin/qb task create 'Summarise it' --file {shlex.quote(str(DATA))} --follow", soft_wrap=True
            )
            console.print("\nCtrl-C stops everything.")
            _until_stopped(fleet)
        steps("stopped")


def _until_stopped(fleet: Fleet) -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(1.0):
        fleet.watch()


def demo() -> None:
    """Run a real task in a container on this machine: from nothing to the report that the agent wrote."""
    console = Console()
    signal.signal(signal.SIGTERM, _interrupted)
    with _clear_errors(console):
        steps = Steps(console)
        podman.prepare(steps)
        name = image.build(steps)
        state = Path(tempfile.mkdtemp(prefix="qb-demo-"))
        try:
            with Fleet(state, podman.network(), name, steps) as fleet, fleet.client() as client:
                steps(f"watch it: {fleet.sign_in_link()}")
                task = _run_task(client, console, steps)
                _show_result(client, task, console, steps)
                _agent_was_heard(client, task, fleet.agent_url)
                console.print("\n`make up` keeps the dashboard, and everything else, running", highlight=False)
        finally:
            shutil.rmtree(state, ignore_errors=True)
        steps("everything is stopped")
    if task.status is not TaskStatus.SUCCESS:
        raise typer.Exit(FAILED)


def _interrupted(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _run_task(client: QbClient, console: Console, steps: Steps) -> Task:
    upload = client.upload(DATA)
    task = client.create_task(TaskCreate(prompt=PROMPT, title="Weather report", files=[upload.filename]))
    steps(f"task {task.id} created, with {DATA.name} ({upload.size:,} bytes) attached")
    return follow(client, task.id, console, deadline=time.monotonic() + DEMO_SECONDS)


def _agent_was_heard(client: QbClient, task: Task, agent_url: str) -> None:
    """A task can succeed by its exit alone; the demo is about what the agent says meanwhile."""
    if task.status is TaskStatus.SUCCESS and not any(
        event.source is Reporter.AGENT for event in client.task_events(task.id)
    ):
        raise DemoError(
            f"the task succeeded, but nothing its agent reported came through: a container must reach {agent_url}; "
            "does a firewall on this machine refuse podman's bridge?"
        )


def _show_result(client: QbClient, task: Task, console: Console, steps: Steps) -> None:
    folder = root() / ".state" / "demo-output"
    folder.mkdir(parents=True, exist_ok=True)
    for artifact in client.artifacts(task.id):
        with client.get_artifact(task.id, artifact.name) as chunks, (folder / artifact.name).open("wb") as target:
            for chunk in chunks:
                target.write(chunk)
    report = folder / "report.md"
    if report.exists():
        console.rule("report.md")
        console.print(Markdown(report.read_text("utf-8")))
    console.rule("timeline")
    for event in client.task_events(task.id):
        progress = "" if event.progress is None else f"{event.progress:3d}% "
        line = f"{event.at[11:23]}  {event.source:<12}  {event.kind:<18}  {progress}{event.message or ''}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    steps(f"{task.status}: artifacts are in {folder.relative_to(root())}/")
