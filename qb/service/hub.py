"""Tells who waits that something new is in the database for a task or a node."""

import asyncio
from collections import defaultdict


class Hub:
    """In-process wake-ups by the id of a task or a node; nothing is lost, since who is woken reads the database."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def publish(self, task_id: str) -> None:
        """Wake every stream of the task, or what a node waits with; call it after the commit, on the event loop."""
        for event in self._waiting.get(task_id, ()):
            event.set()

    def publish_all(self) -> None:
        """Wake everybody: the server stops."""
        for events in self._waiting.values():
            for event in events:
                event.set()

    def subscribe(self, task_id: str, event: asyncio.Event | None = None) -> asyncio.Event:
        """An event that is set at every publish; clear it before reading, then wait for it.

        With `event` that one is set: so one can wait for several tasks.
        """
        event = event or asyncio.Event()
        self._waiting[task_id].add(event)
        return event

    def unsubscribe(self, task_id: str, event: asyncio.Event) -> None:
        """Give the event back."""
        waiting = self._waiting[task_id]
        waiting.discard(event)
        if not waiting:
            del self._waiting[task_id]

    def watched(self, task_id: str) -> bool:
        """Whether a stream of the task is open."""
        return task_id in self._waiting
