"""The fleet: every node, what it does now, and how well it has done lately."""

import json
from collections import Counter, defaultdict
from datetime import datetime
from typing import Any

from qb.contract.states import NodeDispatch, NodeMode, TaskStatus
from qb.contract.text import lowered
from qb.dashboard.pages.lines import TASK_LINE
from qb.dashboard.pages.reading import Arguments, Read, Row, Rows, asked
from qb.domain.leases import offline_seconds
from qb.domain.lifecycle import Event
from qb.domain.times import parse

SHOWN = 200
TASKS_SHOWN = 20
"""Of what a node runs; the rest is counted."""
TAGS_OFFERED = 40
FAILED = (TaskStatus.ERROR, Event.FAILED, Event.LEASE_EXPIRED, Event.RUNNER_RESTARTED)
"""Outcomes of attempts that failed: the last three of one whose task was tried again."""
STATES = ("idle", "busy", "offline", "error", "draining", "disabled")

_NODES = """
SELECT id, name, mode, dispatch, state, status, last_seen_at, slots, wire, generation, runner_version, tags,
    poll_interval, os_type, arch
FROM nodes
WHERE name > :after AND (:name = '' OR instr(lower(name), :lower))
    AND (:state = '' OR status = :state OR state = :state)
    AND (:tag = '' OR EXISTS (SELECT 1 FROM json_each(tags) WHERE key || '=' || value = :tag))
ORDER BY name LIMIT :limit
"""
# How a node's last attempts ended: by the index of a node's attempts, so that a long history costs nothing.
_LATELY = """
SELECT n.value AS node_id,
    (SELECT json_group_array(outcome) FROM (
        SELECT outcome FROM attempts WHERE node_id = n.value ORDER BY rowid DESC LIMIT 40)) AS ended
FROM json_each(:nodes) n
"""
_HELD = f"""
SELECT * FROM (
    SELECT *, count(*) OVER node AS held, row_number() OVER (node ORDER BY seq DESC) AS number FROM (
        {TASK_LINE} WHERE t.seq IN (
            SELECT h.seq FROM json_each(:nodes) n JOIN tasks h INDEXED BY tasks_held ON h.assigned_node_id = n.value
            WHERE h.lease_expires_at IS NOT NULL)
    ) WINDOW node AS (PARTITION BY assigned_node_id)
) WHERE number <= :limit ORDER BY seq DESC
"""  # noqa: S608 - both are constants of ours
_TAGS = """
SELECT key || '=' || value AS tag, count(*) AS nodes FROM nodes, json_each(tags)
GROUP BY tag ORDER BY nodes DESC, tag LIMIT :limit
"""


async def fleet(read: Read, arguments: Arguments, now: datetime) -> dict[str, Any]:
    """Values of the page: nodes by name, with the tasks that they hold."""
    filters = asked(arguments, "name", "state", "tag")
    after = asked(arguments, "after")["after"]
    nodes = await read(_NODES, **filters, lower=lowered(filters["name"]), after=after, limit=SHOWN + 1)
    shown = nodes[:SHOWN]
    ids = [node["id"] for node in shown]
    live = await read(_HELD, nodes=json.dumps(ids), limit=TASKS_SHOWN)
    return {
        "nodes": _with_tasks(shown, live, await success_rates(read, ids), now),
        "next_name": shown[-1]["name"] if len(nodes) > SHOWN else None,
        "filters": filters,
        "filtered": any(filters.values()),
        "states": STATES,
        "tags": await read(_TAGS, limit=TAGS_OFFERED),
    }


async def success_rates(read: Read, node_ids: list[str]) -> dict[str, tuple[int, int]]:
    """For each node: how many of its last attempts succeeded, of how many; cancelled and returned ones don't count."""
    rates = {}
    for row in await read(_LATELY, nodes=json.dumps(node_ids)):
        ended = Counter(json.loads(row["ended"]))
        rates[row["node_id"]] = (ended["success"], ended["success"] + sum(ended[outcome] for outcome in FAILED))
    return rates


def stale(node: Row, now: datetime) -> bool:
    """Whether the node has been silent for longer than its kind may be."""
    pinged = (node["mode"], node["dispatch"]) == (NodeMode.PUSH, NodeDispatch.ANSIBLE)
    patience = offline_seconds(wire=node["wire"], interval=node["poll_interval"], pinged=pinged)
    seen = node["last_seen_at"]
    return node["status"] == "offline" or seen is None or (now - parse(seen)).total_seconds() > patience


def _with_tasks(nodes: Rows, live: Rows, rates: dict[str, tuple[int, int]], now: datetime) -> Rows:
    named: defaultdict[str, Rows] = defaultdict(list)
    for task in live:
        named[task["assigned_node_id"]].append(task)
    return [
        {
            **node,
            "tasks": named[node["id"]],
            "held": named[node["id"]][0]["held"] if named[node["id"]] else 0,
            "stale": stale(node, now),
            "rate": rates.get(node["id"], (0, 0)),
        }
        for node in nodes
    ]
