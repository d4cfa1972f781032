"""From submitting a task to its container's first output, against `podman run` of the same image and network."""

import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

from qb.client import QbClient
from qb.contract.states import NodeMode
from qb.contract.tasks import TaskCreate
from tests.bench.figures import ROUNDS, Figure, Say
from tests.bench.memory import start_runner
from tests.fixtures_server import new_server

IMAGE = "localhost/qb-bench-clock:latest"
BUSYBOX = Path("/bin/busybox")
# adjtimex prints the kernel's clock to the microsecond: busybox's date knows no fractions
CONTAINERFILE = """\
FROM scratch
COPY busybox /bin/busybox
ENTRYPOINT ["/bin/busybox", "sh", "-c", "exec /bin/busybox adjtimex", "agent"]
"""
ARGUMENTS = ["--accept-license", "--task", "tell the time"]
PAIRS = 20
P50_MS = 15.0
P95_MS = 40.0
END_SECONDS = 60.0
BACK_TO_POLLING = 0.3


class Launch(NamedTuple):
    """Milliseconds from the start to the container's first output, by its own clock, and until it was read."""

    written: float
    read: float


def submit_to_first_output(say: Say) -> list[Figure]:
    """Pairs of one task and one bare container, in turn, so that both see the same machine; for pull and for push."""
    build()
    return [figure for mode in (NodeMode.PULL, NodeMode.PUSH) for figure in _by(mode, say)]


def _by(mode: NodeMode, say: Say) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="qb-bench-") as folder:
        place = Path(folder)
        server = new_server(place / "qb", "--loopback-nodes")
        server.start()
        try:
            with (place / "runner.log").open("wb") as log:
                runner = start_runner(server, place, IMAGE, log.fileno(), mode=mode)
            try:
                with server.client() as client:
                    return _rounds(client, lambda text: say(f"{mode}: {text}"), mode)
            finally:
                runner.terminate()
                runner.wait(30)
        finally:
            server.stop()


def _rounds(client: QbClient, say: Say, mode: NodeMode) -> list[Figure]:
    _task(client), _bare()  # the first of each finds nothing in the caches
    rounds = []
    for _ in range(ROUNDS):
        ours, bare = [], []
        for _ in range(PAIRS):
            ours.append(_task(client))
            bare.append(_bare())
        rounds.append((ours, bare))
        say(f"written {_told(ours, bare, 'written')}, read {_told(ours, bare, 'read')}")
    return [
        _figure(f"{mode}, p50, as the container wrote it", rounds, "written", 50, P50_MS),
        _figure(f"{mode}, p95, as the container wrote it", rounds, "written", 95, P95_MS),
        _figure(f"{mode}, p50, as read from the API's stream", rounds, "read", 50, P50_MS),
        _figure(f"{mode}, p95, as read from the API's stream", rounds, "read", 95, P95_MS),
    ]


def _figure(name: str, rounds: list[tuple[list[Launch], list[Launch]]], which: str, percent: int, bar: float) -> Figure:
    found = [(_percentile(ours, which, percent), _percentile(bare, which, percent)) for ours, bare in rounds]
    value, reference = sorted(found, key=lambda pair: pair[0] - pair[1])[len(found) // 2]
    return Figure(f"submit to first output, {name}", value, "ms", value - reference, bar, " ms more", reference)


def _percentile(launches: list[Launch], which: str, percent: int) -> float:
    values = [getattr(launch, which) for launch in launches]
    return median(values) if percent == 50 else quantiles(values, n=100, method="inclusive")[percent - 1]


def _told(ours: list[Launch], bare: list[Launch], which: str) -> str:
    words = [f"p{p} {_percentile(ours, which, p):.0f} / {_percentile(bare, which, p):.0f} ms" for p in (50, 95)]
    return " ".join(words)


def _task(client: QbClient) -> Launch:
    begun, wall = time.perf_counter(), time.time()
    task = client.create_task(TaskCreate(prompt=ARGUMENTS[-1], timeout_seconds=60))
    text, read = "", 0.0
    for line in client.follow_output(task.id):
        read = read or time.perf_counter() - begun
        text += line.text
    launch = Launch(_clock(text, wall), read * 1000)
    deadline = time.monotonic() + END_SECONDS
    while not client.task(task.id).status.terminal:
        if time.monotonic() > deadline:
            raise RuntimeError(f"task {task.id} does not end")
        time.sleep(0.02)
    time.sleep(BACK_TO_POLLING)
    return launch


def _bare() -> Launch:
    command = ["podman", "run", "--rm", IMAGE, *ARGUMENTS]
    begun, wall = time.perf_counter(), time.time()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        text = run.stdout.read1()
        read = time.perf_counter() - begun
        text += run.stdout.read()
    if run.returncode:
        raise RuntimeError(f"podman run ended with {run.returncode}: `make podman` mends it")
    return Launch(_clock(text.decode(), wall), read * 1000)


def _clock(text: str, wall: float) -> float:
    found = re.search(r"time\.tv_sec:\s*(\d+)\s+time\.tv_usec:\s*(\d+)", text)
    if found is None:
        raise RuntimeError(f"the container did not tell the time: {text[:200]!r}")
    return (int(found[1]) + int(found[2]) / 1e6 - wall) * 1000


def build() -> None:
    """Make the image whose agent tells the time."""
    with tempfile.TemporaryDirectory(prefix="qb-bench-image-") as folder:
        shutil.copy(BUSYBOX, folder)
        (Path(folder) / "Containerfile").write_text(CONTAINERFILE)
        done = subprocess.run(
            ["podman", "build", "-q", "-t", IMAGE, folder], capture_output=True, text=True, timeout=180, check=False
        )
    if done.returncode:
        raise RuntimeError(f"podman cannot build an image (`make podman` mends it): {done.stderr.strip()}")
