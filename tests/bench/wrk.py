"""Load by wrk over loopback, bounded in connections and time."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("load.lua")
CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw. Latencies are in milliseconds."""

    requests: int
    seconds: float
    p50: float
    p99: float
    max: float
    errors: int

    @property
    def per_second(self) -> float:
        """Replies a second."""
        return self.requests / self.seconds


def run(url: str, kind: str, keys: Path, seconds: int) -> Load:
    """Send claims or heartbeats (`kind`) with the keys in the file, one after another.

    Raises RuntimeError when wrk is missing or a reply was no success.
    """
    if shutil.which("wrk") is None:
        raise RuntimeError("wrk is not installed: apt-get install wrk")
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", "-s", str(SCRIPT)]
    done = subprocess.run(
        [*command, url, "--", kind, str(keys)], capture_output=True, text=True, timeout=seconds + 30, check=False
    )
    if done.returncode:
        raise RuntimeError(f"wrk failed: {done.stderr.strip() or done.stdout.strip()}")
    load = Load(**json.loads(done.stdout.splitlines()[-1]))
    if load.errors:
        raise RuntimeError(f"{load.errors} of {load.requests} {kind} were not answered with success")
    return load
