"""Long polls: who waits for a task, and whom to wake when one may be claimed."""

import asyncio

from qb.domain.placement import Target, Traits, matches


class Waiter:
    """One node's waiting poll. `superseded`: the node has polled anew or has another key, or the server stops."""

    __slots__ = ("_event", "ready", "superseded", "traits")

    def __init__(self, traits: Traits) -> None:
        self.traits = traits
        self.superseded = False
        self.ready = True
        self._event = asyncio.Event()

    def wake(self) -> None:
        """Let the poll look again."""
        self.ready = False
        self._event.set()

    def rest(self) -> None:
        """Say that the poll is about to look; what commits from now on wakes it."""
        self.ready = True
        self._event.clear()

    async def wait(self) -> None:
        """Until woken."""
        await self._event.wait()


class Waiters:
    """All waiting polls, one a node, longest waiting first."""

    def __init__(self) -> None:
        self._by_node: dict[str, Waiter] = {}
        self.news = 0
        """Grows whenever a task may have become claimable: who found nothing need not look again until it does."""

    def open(self, traits: Traits) -> Waiter:
        """Begin to wait; an older poll of the same node ends."""
        older = self._by_node.pop(traits.node_id, None)
        if older is not None:
            older.superseded = True
            older.wake()
        waiter = self._by_node[traits.node_id] = Waiter(traits)
        return waiter

    def close(self, waiter: Waiter) -> None:
        """End the wait."""
        if self._by_node.get(waiter.traits.node_id) is waiter:
            del self._by_node[waiter.traits.node_id]

    def wake_one(self, target: Target) -> None:
        """Wake the node that has waited longest and may run a task for `target`."""
        self.news += 1
        if target.node_id is not None:
            self.wake_node(target.node_id)
            return
        for waiter in self._by_node.values():
            if waiter.ready and matches(target, waiter.traits):
                waiter.wake()
                return

    def wake_node(self, node_id: str) -> None:
        """Wake one node's poll, if it waits."""
        self.news += 1
        self.slot_freed(node_id)

    def slot_freed(self, node_id: str) -> None:
        """A node may hold one more: its poll, if it waits, looks again. To all others that is no news."""
        waiter = self._by_node.get(node_id)
        if waiter is not None:
            waiter.wake()

    def changed(self, traits: Traits) -> None:
        """A node has other traits now: its poll, if it waits, looks again with them."""
        self.news += 1
        waiter = self._by_node.get(traits.node_id)
        if waiter is not None:
            waiter.traits = traits
            waiter.wake()

    def end(self, node_id: str) -> None:
        """End a node's poll, if it waits: the node is gone, or its key is another now."""
        waiter = self._by_node.get(node_id)
        if waiter is not None:
            waiter.superseded = True
            waiter.wake()

    def wake_all(self, targets: list[Target]) -> None:
        """Wake every node that may run a task for any of `targets`: one woken before may have gone."""
        if not targets:
            return
        self.news += 1
        for waiter in self._by_node.values():
            if any(matches(target, waiter.traits) for target in targets):
                waiter.wake()

    def end_all(self) -> None:
        """End every poll: the server stops."""
        for waiter in list(self._by_node.values()):
            waiter.superseded = True
            waiter.wake()

    def __len__(self) -> int:
        return len(self._by_node)
