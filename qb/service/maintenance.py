"""What is done to a data directory while no server runs."""

from pathlib import Path

from qb.domain.errors import NotFound
from qb.store import migrations
from qb.store.keys import open_keys
from qb.store.lock import Lock


def migrate(data_dir: Path) -> list[str]:
    """Bring both databases up to date; returns what was applied to qb.db.

    Raises NotFound without a control plane, Conflict when it is being served.
    """
    for part in ("qb.db", "keys.db"):
        if not (data_dir / part).is_file():
            raise NotFound(f"{data_dir} holds no {part}: name the data directory of a control plane")
    with Lock(data_dir).held():
        open_keys(data_dir / "keys.db").close()
        return migrations.migrate(data_dir / "qb.db")
