"""One playbook, through ansible-runner, in a folder that is gone afterwards."""

import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qb.contract.provisioning import ProvisionOutcome, ProvisionRunCreate
from qb.provision.progress import Progress


class NoRunner(Exception):
    """ansible-runner is not installed."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to run. ansible.cfg and roles are taken from the folder above that of the playbook.

    Of several inventories the later one's word counts.
    """

    playbook: Path
    inventories: Sequence[Path]
    limit: str | None = None
    check: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    """Variables of the environment, such as QB_URL and QB_API_KEY: playbooks and dynamic inventories take them."""


def provision(request: Request, progress: Progress, heard: Callable[[], None]) -> ProvisionRunCreate:
    """Run it; `heard` is called after each event that `progress` took. Raises NoRunner.

    What ansible-runner itself fails of is the message of a run that failed.
    """
    try:
        from ansible_runner.exceptions import AnsibleRunnerException
        from ansible_runner.interface import run
    except ImportError as error:
        raise NoRunner("ansible-runner is not installed here") from error
    began = datetime.now(UTC)

    def handle(event: Mapping[str, Any]) -> bool:
        progress.take(event)
        heard()
        return False  # nothing is kept: results may hold what only the record's few fields may not

    try:
        with tempfile.TemporaryDirectory(prefix="qb-provision-") as folder:
            ran: Any = run(  # type: ignore[no-untyped-call]  # it comes without types
                private_data_dir=folder,
                playbook=str(request.playbook.resolve()),
                inventory=[str(each.resolve()) for each in request.inventories],
                limit=request.limit,
                cmdline="--check" if request.check else None,
                envvars=_environment(request.playbook.resolve().parent.parent) | dict(request.settings),
                suppress_env_files=True,  # the environment holds a key
                event_handler=handle,
                quiet=True,
            )
            outcome = _outcome(ran.status)
            message = _message(outcome, progress)
    except BrokenPipeError:
        raise  # nobody reads what `heard` shows
    except (AnsibleRunnerException, OSError) as error:
        outcome, message = ProvisionOutcome.FAILED, f"Ansible cannot be run: {error}"
    return ProvisionRunCreate(
        playbook=request.playbook.name,
        limit=request.limit,
        check=request.check,
        outcome=outcome,
        message=message,
        started_at=began,
        ended_at=datetime.now(UTC),
        hosts=sorted(progress.hosts.values(), key=lambda host: host.host),
    )


def _environment(root: Path) -> dict[str, str]:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    found = {"PATH": path, "ANSIBLE_ROLES_PATH": str(root / "roles"), "ANSIBLE_NOCOLOR": "1"}
    # ansible-playbook runs in another folder than we do
    settings = Path(os.environ.get("ANSIBLE_CONFIG") or root / "ansible.cfg").expanduser()
    if settings.exists():
        found["ANSIBLE_CONFIG"] = str(settings.resolve())
    return found


def _outcome(status: str) -> ProvisionOutcome:
    if status == "successful":
        return ProvisionOutcome.OK
    return ProvisionOutcome.INTERRUPTED if status == "canceled" else ProvisionOutcome.FAILED


def _message(outcome: ProvisionOutcome, progress: Progress) -> str | None:
    """The failed host and task in one line, or what Ansible itself complained of."""
    if outcome is ProvisionOutcome.OK:
        return None
    lines = []
    for host in progress.failed():
        how = "cannot be reached" if host.unreachable else "failed"
        lines.append(f"{host.host} {how} in {host.failed_task!r}: {host.message}")
    return "; ".join(lines) or " ".join(progress.said) or "ansible-playbook ended before it reached a host"
