"""The record of playbook runs: the machine that ran one tells of it."""

import sqlite3
from typing import Any
from uuid import uuid4

from qb.contract.acts import Action
from qb.contract.provisioning import ProvisionRunCreate
from qb.domain.errors import NotFound
from qb.domain.times import iso
from qb.service import audit
from qb.service.audit import Actor
from qb.service.core import Core
from qb.store import provision_runs


class Provisioning:
    """Use cases about runs of playbooks."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def record(self, actor: Actor, body: ProvisionRunCreate) -> dict[str, Any]:
        """Keep a run that has ended; returns ProvisionRun."""
        now = self._core.clock()
        run = body.model_dump(mode="json") | {
            "id": str(uuid4()),
            "started_at": iso(body.started_at),
            "ended_at": iso(body.ended_at),
            "recorded_at": iso(now),
            "actor": actor.identity.name,
            "actor_id": actor.identity.key_id,
        }
        detail = {"playbook": body.playbook, "outcome": body.outcome, "hosts": len(body.hosts), "check": body.check}

        def work(db: sqlite3.Connection) -> dict[str, Any]:
            audit.note(db, actor, Action.PROVISIONED, run["id"], now=now, detail=detail)
            return provision_runs.add(db, run)

        return await self._core.writer.run(work)

    async def one(self, run_id: str) -> dict[str, Any]:
        """One run. Raises NotFound."""
        found = await self._core.readers.run(lambda db: provision_runs.one(db, run_id))
        if found is None:
            raise NotFound(f"no provision run {run_id}")
        return found

    async def page(self, *, before: int, limit: int) -> tuple[list[dict[str, Any]], int | None]:
        """Runs, newest first; and where the next page begins."""
        return await self._core.readers.run(lambda db: provision_runs.page(db, before=before, limit=limit))
