"""How the dashboard's process runs beside the control plane."""

import os
from pathlib import Path
from typing import Any


def test_it_takes_only_the_processor_time_that_others_leave(dashboard: Any) -> None:
    assert dashboard.page().status_code == 200
    threads = [int(thread.name) for thread in Path(f"/proc/{dashboard.process}/task").iterdir()]
    assert len(threads) > 1, "one for the pages, some for the queries"
    assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_IDLE}
