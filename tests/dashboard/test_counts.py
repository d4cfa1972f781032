"""What the tiles say is what the tasks say, at any minute of the hour."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

from qb.dashboard.pages.pulse import pulse
from qb.domain.times import iso, utc_now
from qb.store.database import connect
from tests.dashboard.seed_fleet import make

_ENDED = "SELECT count(*) FROM tasks WHERE status = ? AND completed_at >= ? AND completed_at < ?"


async def test_what_ended_in_24_hours_is_counted_to_the_task(tmp_path: Path) -> None:
    make(tmp_path, nodes=10, tasks=1500)
    with closing(connect(tmp_path / "qb.db")) as db:

        async def read(sql: str, **parameters: Any) -> list[dict[str, Any]]:
            return [dict(row) for row in db.execute(sql, parameters)]

        now = utc_now()
        counted = set()
        for minutes in range(0, 130, 13):
            # a later look at what has ended by now: nothing has ended since
            told = await pulse(read, now + timedelta(minutes=minutes))
            since = iso(now + timedelta(minutes=minutes, hours=-24))
            for name, status in (("done", "success"), ("failed", "error"), ("cancelled", "cancelled")):
                assert told[name] == db.execute(_ENDED, (status, since, iso(now))).fetchone()[0], (minutes, name)
            counted.add(told["done"])
        assert len(counted) > 3
        assert (
            told["waiting"]
            == db.execute("SELECT count(*) FROM tasks WHERE status = 'pending' AND schedule_id IS NOT id").fetchone()[0]
        )
