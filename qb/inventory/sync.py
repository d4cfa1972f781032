"""Carry out a plan, through the API."""

from collections.abc import Iterable
from dataclasses import dataclass

from qb.client import QbClient
from qb.contract.nodes import NodeChange
from qb.contract.states import TaskStatus
from qb.inventory.plan import Act, Step

_HELD = (TaskStatus.ASSIGNED, TaskStatus.RUNNING, TaskStatus.ANALYZING)


@dataclass(frozen=True, slots=True)
class Busy:
    """A node that is to be removed and holds a task."""

    name: str
    task_id: str


def busy(client: QbClient, steps: Iterable[Step]) -> list[Busy]:
    """Which of the nodes to be removed hold tasks now. Raises ClientError."""
    found = []
    for step in steps:
        if step.act is Act.REMOVE and step.node_id is not None:
            for status in _HELD:
                held = client.tasks(status_filter=status, node=step.node_id, limit=1)
                if held:
                    found.append(Busy(step.name, held[0].id))
                    break
    return found


def carry_out(client: QbClient, step: Step, *, force: bool) -> None:
    """Do what one step says; a change is refused when somebody else changed the node since. Raises ClientError."""
    if step.act is Act.CREATE and step.wanted is not None:
        client.create_node(step.wanted.body)  # its key is for clients that cannot register; others get their own
    elif step.act is Act.CHANGE and step.node_id is not None:
        now, etag = client.admin.tagged_node(step.node_id)
        current = now.model_dump(mode="json")
        changed = NodeChange(**{key: after for key, (_, after) in step.changes.items() if current[key] != after})
        client.admin.change_node(step.node_id, changed, if_match=etag)
    elif step.act is Act.REMOVE and step.node_id is not None:
        client.admin.remove_node(step.node_id, force=force)
