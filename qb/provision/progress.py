"""What Ansible's events say of each host. Pure: events in, a record out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qb.contract.provisioning import ProvisionedHost

LONGEST = 2000
"""Characters of a host's message: what a person still reads."""


@dataclass(slots=True)
class Progress:
    """A run so far; `task` is the one that hosts are at, `said` what Ansible complained of beside hosts."""

    hosts: dict[str, ProvisionedHost] = field(default_factory=dict)
    at: dict[str, str] = field(default_factory=dict)
    task: str = ""
    said: list[str] = field(default_factory=list)

    def take(self, event: Mapping[str, Any]) -> None:
        """Learn from one event of ansible-runner."""
        data: Mapping[str, Any] = event.get("event_data") or {}
        kind = str(event.get("event"))
        if kind in ("playbook_on_task_start", "playbook_on_handler_task_start"):
            self.task = str(data.get("name") or data.get("task") or "")
        elif kind == "playbook_on_stats":
            self._settle(data)
        elif kind in ("error", "verbose") and "ERROR" in str(event.get("stdout")):
            self.said.append(str(event["stdout"]).strip().removeprefix("[ERROR]:").strip())
        elif kind.startswith("runner_on_") and data.get("host"):
            self._host_event(kind, data)

    def failed(self) -> list[ProvisionedHost]:
        """Hosts on which something went wrong."""
        return [host for host in self.hosts.values() if host.failed or host.unreachable]

    def _host_event(self, kind: str, data: Mapping[str, Any]) -> None:
        host = self.hosts.setdefault(data["host"], ProvisionedHost(host=data["host"]))
        task, result = str(data.get("task") or self.task), data.get("res") or {}
        self.at[host.host] = task
        if kind == "runner_on_ok":
            host.ok += 1
            host.changed += bool(result.get("changed"))
        elif kind == "runner_on_skipped":
            host.skipped += 1
        elif kind == "runner_on_unreachable":
            host.unreachable = True
            host.failed_task, host.message = task, _why(result)
        elif kind == "runner_on_failed" and not data.get("ignore_errors"):
            host.failed = True
            host.failed_task, host.message = task, _why(result)

    def _settle(self, stats: Mapping[str, Any]) -> None:
        """Ansible's own counts: a failure that a play rescued is none."""
        for name in stats.get("processed") or ():
            host = self.hosts.setdefault(name, ProvisionedHost(host=name))
            for ours, theirs in (("ok", "ok"), ("changed", "changed"), ("skipped", "skipped")):
                setattr(host, ours, int((stats.get(theirs) or {}).get(name, 0)))
            host.failed = bool((stats.get("failures") or {}).get(name))
            host.unreachable = bool((stats.get("dark") or {}).get(name))
            if not (host.failed or host.unreachable):
                host.failed_task = host.message = None


def _why(result: Mapping[str, Any]) -> str:
    """The reason, its lines in one: which of them matters differs from module to module."""
    text = str(result.get("msg") or result.get("stderr") or result.get("stdout") or "")
    lines = [line.strip() for line in text.replace("\0", "\ufffd").splitlines()]
    return " · ".join(line for line in lines if line)[:LONGEST] or "no reason was given"
