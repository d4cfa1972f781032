"""`python -m tests.bench`: speed and memory against references measured in the same run.

Databases are made in TMPDIR, which must be on a real disk: on a tmpfs a durable commit costs nothing, and the
references mean nothing. Processor time is shared with whatever else runs: leave the machine alone meanwhile.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from tabulate import tabulate

from tests.bench.backlog import claim_beside_backlog
from tests.bench.dashboard import dashboard
from tests.bench.dashboard_pages import dashboard_pages
from tests.bench.figures import HEADERS, Bench, Figure
from tests.bench.history import history
from tests.bench.idle import idle_nodes
from tests.bench.launch import submit_to_first_output
from tests.bench.longpolls import long_polls
from tests.bench.machines import inventory, provisioning
from tests.bench.memory import idle_runner, server_memory
from tests.bench.output import output
from tests.bench.reporter import first_reply
from tests.bench.slots import slots
from tests.bench.throughput import claim_rate, heartbeat_rate

BENCHES: dict[str, Bench] = {
    "claims": claim_rate,
    "heartbeats": heartbeat_rate,
    "launch": submit_to_first_output,
    "slots": slots,
    "backlog": claim_beside_backlog,
    "output": output,
    "idle-nodes": idle_nodes,
    "long-polls": long_polls,
    "history": history,
    "dashboard": dashboard,
    "dashboard-pages": dashboard_pages,
    "server-memory": server_memory,
    "idle-runner": idle_runner,
    "first-reply": first_reply,
    "inventory": inventory,
    "provision": provisioning,
}


def main() -> int:
    """Run the benches, print the table; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Speed and memory as ratios.")
    parser.add_argument("--only", action="append", choices=BENCHES, metavar="NAME", help=f"of {', '.join(BENCHES)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    args = parser.parse_args()
    try:
        figures = _run(args.only or list(BENCHES))
    except RuntimeError as error:
        _say(f"error: {error}")
        return 2
    return _tell(figures, args.json)


def _run(names: list[str]) -> list[Figure]:
    figures: list[Figure] = []
    for name, bench in BENCHES.items():
        if name not in names:
            continue
        begun = time.monotonic()
        _say(f"{name} ...")
        figures += bench(lambda text, name=name: _say(f"  {name}: {text}"))
        _say(f"{name} took {time.monotonic() - begun:.0f} s")
    return figures


def _tell(figures: list[Figure], file: Path | None) -> int:
    sys.stdout.write(tabulate([figure.row() for figure in figures], HEADERS, disable_numparse=True) + "\n")
    if file:
        file.write_text(json.dumps([figure.plain() for figure in figures], indent=2) + "\n")
    missed = [figure.name for figure in figures if not figure.met]
    if missed:
        _say(f"{len(missed)} of {len(figures)} bars missed: {', '.join(missed)}")
    return 1 if missed else 0


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
