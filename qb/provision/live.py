"""A run as a table that changes while a person looks."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from qb.contract.provisioning import ProvisionedHost
from qb.provision.progress import Progress

EVERY = 0.1


class Board:
    """Shows `progress`: in a terminal while it runs, else once at the end."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._live: Live | None = None
        self._drawn = 0.0

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draw until the body has ended."""
        console = Console(highlight=False)
        if not console.is_terminal:
            yield
            if self._progress.hosts:
                console.print(self._table())
            return
        with Live(self._table(), console=console, auto_refresh=False) as self._live:
            yield
            self._live.update(self._table(), refresh=True)

    def heard(self) -> None:
        """Something has changed; it is drawn ten times a second at most."""
        if self._live is not None and time.monotonic() - self._drawn >= EVERY:
            self._live.update(self._table(), refresh=True)
            self._drawn = time.monotonic()

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, title=Text(self._progress.task), title_justify="left")
        for title in ("HOST", "STATE", "OK", "CHANGED", "TASK"):
            table.add_column(title, justify="right" if title in ("OK", "CHANGED") else "left", overflow="ellipsis")
        for host in sorted(self._progress.hosts.values(), key=lambda each: each.host):
            task = host.failed_task or self._progress.at.get(host.host, "")
            table.add_row(Text(host.host), _state(host), str(host.ok), str(host.changed), Text(task))
        return table


def _state(host: ProvisionedHost) -> Text:
    if host.unreachable:
        return Text("unreachable", style="red")
    if host.failed:
        return Text("failed", style="red")
    return Text("changed", style="yellow") if host.changed else Text("ok", style="green")
