"""How the dashboard's process runs beside the control plane."""

import os
from pathlib import Path
from typing import Any


def test_it_takes_only_the_processor_time_that_others_leave(dashboard: Any) -> None:
    assert dashboard.page().status_code == 200
    threads = [int(thread.name) for thread in (Path("/proc") / str(_process(dashboard.data_dir)) / "task").iterdir()]
    assert len(threads) > 1, "one for the pages, some for the queries"
    assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_IDLE}


def _process(data_dir: Path) -> int:
    """The one that serves the database of the directory."""
    database = str(data_dir / "qb.db").encode()
    [found] = [
        path.parent.name
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.exists() and database in path.read_bytes().split(b"\0")
    ]
    return int(found)
