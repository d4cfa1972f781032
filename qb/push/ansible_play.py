"""One play of dispatch.yml for many nodes, in a folder of its own that is gone before anybody is told of the result."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qb.domain.operations import Operations
from qb.push.transport import PushNode

REACH = "Reach the node"
START = "Start a runner for it"
REFUSED = "Say why it was not started"
STATUS = "Tell what the node holds"
PLAY_SECONDS = 50
"""Less than a lease: who has not answered by then gets no task from this play."""

REGISTERED = frozenset({"ansible_host", "ansible_port", "ansible_connection", "ansible_python_interpreter"})
"""What a play takes from the registry. Users, keys and sudo kept there are the operator's own way in, not ours."""

LAUNCHER = "/usr/local/lib/all-time-quarterback/dispatch"
LAYOUT: Mapping[str, Any] = {"ansible_user": "qb-runner", "ansible_become": False, "qb_launcher": LAUNCHER}
"""Variables of dispatch.yml, as the role `runner` sets nodes up: the service user, and what it may be asked to run."""


@dataclass(frozen=True, slots=True)
class Order:
    """What one node is asked in a play; `handed` is what verb `run` hands over."""

    node: PushNode
    verb: str
    run_id: str = ""
    handed: str = ""


@dataclass(slots=True)
class Heard:
    """What came of it: its runner may have been started (`begun`), or has been (`done`), or why not (`failed`)."""

    reached: bool = False
    begun: bool = False
    done: bool = False
    failed: str | None = None
    said: str = ""


def play(
    folder: Path, playbook: Path, layout: Mapping[str, Any], orders: Sequence[Order], stopped: Callable[[], bool]
) -> list[Heard]:
    """Run the orders, each about another node, and say what came of each. Blocks; nothing is left on disk.

    Raises OSError where a play cannot even be written down.
    """
    from ansible_runner.exceptions import AnsibleRunnerException, ConfigurationError
    from ansible_runner.interface import run

    heard = {f"node{at}": Heard() for at in range(len(orders))}
    own = Path(tempfile.mkdtemp(prefix="play-", dir=folder))
    try:
        inventory = own / "hosts.json"
        inventory.write_text(json.dumps(_inventory(own, layout, orders)))
        try:
            run(  # type: ignore[no-untyped-call]  # it comes without types
                private_data_dir=str(own),
                playbook=str(playbook),
                inventory=str(inventory),
                envvars=_environment(),
                settings={"job_timeout": PLAY_SECONDS},
                event_handler=lambda event: _take(heard, event),
                cancel_callback=stopped,
                quiet=True,
            )
        except (AnsibleRunnerException, OSError) as error:
            _broken(heard.values(), error, begun=not isinstance(error, ConfigurationError))
    finally:
        shutil.rmtree(own, ignore_errors=True)
    return list(heard.values())


def _broken(heard: Iterable[Heard], error: Exception, *, begun: bool) -> None:
    """Ansible itself has failed. Where it had `begun`, nobody knows whether it started what was not heard of."""
    for each in heard:
        if not each.done:
            each.begun |= begun
            each.failed = each.failed or f"Ansible cannot be run: {error}"


def dispatch_playbook() -> Path:
    """dispatch.yml, as it was installed or as it is in the checkout."""
    installed = Path(__file__).with_name("dispatch.yml")
    return installed if installed.exists() else Path(__file__).parents[2] / "playbooks" / "dispatch.yml"


def node_layout(operations: Operations) -> dict[str, Any]:
    """LAYOUT, with what the operator has said otherwise."""
    said = {"ansible_user": operations.dispatch_user, "qb_launcher": operations.dispatch_launcher}
    return dict(LAYOUT) | {name: value for name, value in said.items() if value}


def purge(folder: Path) -> None:
    """Remove what a server that was killed in the middle of a play left: it holds prompts and tokens."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in folder.glob("play-*"):
        shutil.rmtree(left, ignore_errors=True)


def _inventory(own: Path, layout: Mapping[str, Any], orders: Sequence[Order]) -> dict[str, Any]:
    hosts = {}
    for at, order in enumerate(orders):
        handed = own / f"handed-{at}"
        if order.handed:
            with open(os.open(handed, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123  mode first
                file.write(order.handed)
        about = {"qb_verb": order.verb, "qb_run_id": order.run_id, "qb_handed": str(handed)}
        registered: Mapping[str, Any] = order.node.variables or {}
        hosts[f"node{at}"] = {name: registered[name] for name in REGISTERED if name in registered} | about
    return {"all": {"hosts": hosts, "vars": dict(layout)}}


def _take(heard: Mapping[str, Heard], event: Mapping[str, Any]) -> bool:
    """Learn from one event; nothing of it is kept on disk."""
    data: Mapping[str, Any] = event.get("event_data") or {}
    each, kind, task = heard.get(str(data.get("host"))), str(event.get("event")), data.get("task")
    if each is None or not kind.startswith("runner_on_"):
        return False
    result: Mapping[str, Any] = data.get("res") or {}
    each.begun |= task == START and kind in ("runner_on_start", "runner_on_ok", "runner_on_failed")
    each.reached |= kind == "runner_on_ok" and task == REACH
    if kind == "runner_on_skipped" and task == START:
        each.begun = False
    elif kind == "runner_on_ok" and task == START:
        each.done = True
    elif kind == "runner_on_ok" and task == STATUS:
        each.said = str(result.get("stdout", ""))
    elif kind in ("runner_on_failed", "runner_on_unreachable"):
        # the launcher starts all or nothing
        each.begun &= task != REFUSED
        each.done = False
        each.failed = f"{task}: {str(result.get('msg') or result.get('stderr') or 'no reason was given').strip()[:500]}"
    return False


def _environment() -> dict[str, str]:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    quick = {
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_FORKS": "50",
        "ANSIBLE_RETRY_FILES_ENABLED": "0",
        "ANSIBLE_TIMEOUT": "10",
    }
    return {"PATH": path, "ANSIBLE_NOCOLOR": "1", **quick}
