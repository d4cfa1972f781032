"""Why a pending task waits, from the database alone: the words are qb.domain.waiting's, as in `qb task why`."""

import json
from collections import defaultdict
from datetime import datetime

from qb.contract.states import NodeState, TaskStatus
from qb.dashboard.pages.fleet import stale
from qb.dashboard.pages.reading import Read, Row, Rows
from qb.domain.epochs import SETTLE
from qb.domain.placement import Target, Traits
from qb.domain.times import after, parse
from qb.domain.waiting import Candidate, Facts, causes

TARGETS = 20
"""A list of tasks is explained for so many different targets; each task has its page."""

_NODES = """
SELECT id, name, mode, dispatch, status, state, wire, slots, capabilities, tags, limits, last_seen_at, created_at,
    poll_interval
FROM nodes ORDER BY name
"""
_HELD = "SELECT assigned_node_id AS node_id, id FROM tasks WHERE lease_expires_at IS NOT NULL ORDER BY +seq"
_WAITS_FOR = """
SELECT d.task_id, o.id, o.status FROM task_dependencies d JOIN tasks o ON o.id = d.depends_on
WHERE d.task_id IN (SELECT value FROM json_each(:tasks)) AND o.completed_at IS NULL ORDER BY o.seq
"""
_KEY_LIMITS = """
SELECT k.key_id, k.max_running, t.id FROM key_limits k
LEFT JOIN tasks t ON t.limited_by = k.key_id AND t.lease_expires_at IS NOT NULL
WHERE k.key_id IN (SELECT value FROM json_each(:keys))
"""

_OPENED = "SELECT opened_at FROM epochs ORDER BY epoch DESC LIMIT 1"


async def explain(read: Read, tasks: Rows, now: datetime) -> dict[str, list[str]]:
    """By task id, why each of these pending tasks waits: sentences, those of its own order and key first."""
    if not tasks:
        return {}
    candidates = await _candidates(read, now)
    awaited = defaultdict(list)
    waiting = [task["id"] for task in tasks if task["waits_for"]]
    for row in await read(_WAITS_FOR, tasks=json.dumps(waiting)) if waiting else []:
        awaited[row["task_id"]].append((row["id"], TaskStatus(row["status"])))
    limits = await _key_limits(read, sorted({task["limited_by"] for task in tasks if task["limited_by"]}))
    opened = [row["opened_at"] for row in await read(_OPENED) if row["opened_at"]]
    settles_until = after(parse(opened[0]), SETTLE) if opened else None
    explained, seen = {}, dict[str, list[str]]()
    for task in tasks:
        own = _facts(task, awaited[task["id"]], limits, candidates, settles_until)
        plain = not (own.waits_for or own.available_at or own.key_limit)
        if plain and task["target"] in seen:
            explained[task["id"]] = seen[task["target"]]
        elif len(seen) < TARGETS:
            explained[task["id"]] = [text for _, text in causes(own)]
            if plain:
                seen[task["target"]] = explained[task["id"]]
    return explained


def _facts(
    task: Row,
    awaited: list[tuple[str, TaskStatus]],
    limits: dict[str, tuple[int, list[str]]],
    candidates: list[Candidate],
    settles_until: str | None,
) -> Facts:
    limit = limits.get(task["limited_by"] or "")
    return Facts(
        TaskStatus.PENDING,
        Target.from_key(task["target"]),
        starts=task["starts"],
        available_at=task["available_at"],
        waits_for=awaited,
        settles_until=settles_until,
        key=task["created_by"],
        key_limit=limit if limit is not None and len(limit[1]) >= limit[0] else None,
        candidates=candidates,
    )


async def _candidates(read: Read, now: datetime) -> list[Candidate]:
    held = defaultdict(list)
    for row in await read(_HELD):
        held[row["node_id"]].append(row["id"])
    return [_candidate(node, held[node["id"]], now) for node in await read(_NODES)]


def _candidate(node: Row, holds: list[str], now: datetime) -> Candidate:
    return Candidate(
        traits=_traits(node),
        wire=node["wire"],
        state=NodeState(node["state"]),
        silent_since=(node["last_seen_at"] or node["created_at"]) if stale(node, now) else None,
        # an older runner runs one container at a time, whatever an admin wrote down for it
        slots=node["slots"] if node["wire"] >= 2 else 1,
        holds=holds,
    )


async def _key_limits(read: Read, keys: list[str]) -> dict[str, tuple[int, list[str]]]:
    limits: dict[str, tuple[int, list[str]]] = {}
    for row in await read(_KEY_LIMITS, keys=json.dumps(keys)) if keys else []:
        _, running = limits.setdefault(row["key_id"], (row["max_running"], []))
        if row["id"]:
            running.append(row["id"])
    return limits


def _traits(node: Row) -> Traits:
    capabilities = frozenset(json.loads(node["capabilities"]))
    return Traits(node["id"], node["name"], json.loads(node["tags"]), capabilities, bool(node["limits"]))
