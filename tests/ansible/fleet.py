"""The provisioned fleet, as tests ask it and set it to work."""

import json
from dataclasses import dataclass

from qb.client import QbClient
from qb.contract.tasks import Task, TaskCreate
from tests.ansible.machines import Machine
from tests.ansible.playbook import Operator, Outcome
from tests.e2e.agent import wait_until

NODES = ("edge", "cloud", "vault")
"""One for each transport: it pulls, it is pushed to over HTTP, it is brought tasks over SSH."""

GATE = "echo on; until [ -e $TASK_OUTPUT_DIR/go ] || [ $((n = n + 1)) -gt 600 ]; do sleep 1; done; echo done"
"""A task that runs until `open_gate`, ten minutes at most."""


@dataclass
class Fleet:
    """Provisioned machines, and what the first runs of site.yml said."""

    operator: Operator
    url: str
    checked: Outcome
    first: Outcome
    second: Outcome

    def machine(self, name: str) -> Machine:
        """A machine by its name."""
        return self.operator.machines[name]

    @property
    def plane(self) -> Machine:
        """The control plane's machine."""
        return self.machine("plane")

    def admin_key(self) -> str:
        """What root finds on the control plane's host."""
        return str(json.loads(self.plane.sh("cat /etc/all-time-quarterback/admin.json"))["admin_key"])

    def client(self) -> QbClient:
        """With the admin key; the caller closes it."""
        return QbClient(self.url, api_key=self.admin_key())

    def create(self, node: str, script: str) -> Task:
        """A task for one node, that runs a script in a container."""
        with self.client() as client:
            return client.create_task(TaskCreate(prompt=script, target_node_name=node))

    def runs(self, node: str, script: str = "true") -> Task:
        """The task's end, which is good."""
        ended = self.becomes(self.create(node, script).id, "success", "error")
        assert ended.status == "success", ended
        return ended

    def begun(self, node: str) -> Task:
        """A task that runs until its gate is opened, and has said so."""
        task = self.create(node, GATE)
        wait_until(lambda: "on" in self.text(task), f"output of task {task.id}", seconds=120)
        return task

    def open_gate(self, node: str) -> None:
        """Let the tasks of `begun` on that node end."""
        self.machine(node).sh("find /var/lib/qb-runner/Victoria -type d -name out -exec touch {}/go \\;")

    def text(self, task: Task) -> str:
        """All its output."""
        with self.client() as client:
            return "".join(line.text for line in client.task_output(task.id))

    def becomes(self, task_id: str, *statuses: str, seconds: float = 120) -> Task:
        """Wait until the task has one of these."""

        def look() -> Task | None:
            with self.client() as client:
                now = client.task(task_id)
                return now if now.status in statuses else None

        found: Task = wait_until(look, f"task {task_id} being {' or '.join(statuses)}", seconds=seconds)
        return found
