"""Which tasks a list shows: filters, each through an index, and pages that cost the same however many tasks there are.

One filter alone is answered by its index. Filters that no one index answers (several at once, a part of the text)
look at `SCAN` candidates at most; the page may then be short, and its cursor leads on from there.
"""

import json
import sqlite3
from dataclasses import dataclass, field
from typing import Any

from qb.contract.text import lowered
from qb.domain.times import after, parse

SCAN = 10_000
MOST_LINES = 500
SLACK = 60.0
"""Seconds by which a task's time may differ from its place in the order of creation."""

_KEYS = """
WITH RECURSIVE makers (key) AS (
    SELECT min(created_by_key) FROM tasks
    UNION ALL
    SELECT (SELECT min(created_by_key) FROM tasks WHERE created_by_key > makers.key) FROM makers
    WHERE makers.key IS NOT NULL
)
SELECT key FROM makers WHERE key = :key OR
    (SELECT created_by FROM tasks WHERE created_by_key = makers.key LIMIT 1) = :key
"""
_PLACEMENTS = """
SELECT id FROM placements WHERE NOT EXISTS (
    SELECT 1 FROM json_each(:tags) wanted WHERE NOT EXISTS (
        SELECT 1 FROM json_each(target, '$[2]') has WHERE has.value ->> 0 = wanted.value ->> 0
            AND has.value ->> 1 = wanted.value ->> 1))
"""
_NODE = "SELECT id FROM nodes WHERE id = :node OR name = :node"
_LAST = "SELECT max(seq) FROM tasks"
_NEXT = "SELECT seq, created_at FROM tasks WHERE seq >= ? ORDER BY seq LIMIT 1"
_PREFIXED = """
SELECT t.seq FROM (SELECT seq FROM tasks WHERE id >= :id AND id < :id || 'g' AND seq < :before LIMIT :scan) c
JOIN tasks t ON t.seq = c.seq WHERE {conditions} ORDER BY t.seq DESC LIMIT :limit
"""
# One line for each value of an indexed column: the newest of each, then the newest of all.
_LINES = """
SELECT t.seq FROM json_each(:values) line CROSS JOIN tasks t ON t.seq IN (
    SELECT seq FROM tasks INDEXED BY {index} WHERE {column} = line.value AND seq < :before AND seq >= :floor
    ORDER BY seq DESC LIMIT :limit)
ORDER BY t.seq DESC LIMIT :limit
"""
_FLOOR = "SELECT seq FROM tasks {how} seq < :before AND seq >= :floor ORDER BY seq DESC LIMIT 1 OFFSET :scan"
_MATCHING = """
SELECT t.seq FROM tasks t {how} t.seq < :before AND t.seq >= :floor AND {conditions} ORDER BY t.seq DESC LIMIT :limit
"""
_CONDITIONS = {
    "status": "t.status IN (SELECT value FROM json_each(:status))",
    "assigned_node_id": "t.assigned_node_id IN (SELECT value FROM json_each(:assigned_node_id))",
    "created_by_key": "t.created_by_key IN (SELECT value FROM json_each(:created_by_key))",
    "group_id": "t.group_id IN (SELECT value FROM json_each(:group_id))",
    "placement_id": "t.placement_id IN (SELECT value FROM json_each(:placement_id))",
    "since": "t.created_at >= :since",
    "until": "t.created_at < :until",
    "text": (
        "(instr(lower(coalesce(t.title, '')), :text) OR "
        "instr(lower((SELECT prompt FROM task_specs WHERE task_id = t.id)), :text))"
    ),
}
_INDEXES = {
    "group_id": "tasks_by_group",
    "assigned_node_id": "tasks_by_node",
    "created_by_key": "tasks_by_key",
    "placement_id": "tasks_by_placement",
    "status": "tasks_by_status",
}
"""The columns that an index leads along, the most selective first."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What is asked for; all that is given must match. `owner` is the id of the only key whose tasks may be seen.

    `node` is an id or a name, `key` an id or a name, `since` and `until` are ISO 8601 UTC.
    """

    status: str | None = None
    node: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    key: str | None = None
    group: str | None = None
    owner: str | None = None
    text: str | None = None
    since: str | None = None
    until: str | None = None
    id_prefix: str | None = None


@dataclass(slots=True)
class _Search:
    """Filters as values of columns: `lines` of indexed ones, and what else must hold."""

    before: int
    scan: int
    floor: int = 0
    lines: dict[str, list[Any]] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)


def find(
    db: sqlite3.Connection, filters: Filters, *, before: int, limit: int, scan: int = SCAN
) -> tuple[list[int], int | None]:
    """Numbers (`seq`) of the tasks that match, those below `before`, newest first, and where the next page begins."""
    search = _search(db, filters, before, scan)
    if filters.id_prefix is not None:
        found = _by_prefix(db, filters.id_prefix, search, limit)
    elif any(not values for values in search.lines.values()):
        return [], None
    elif len(search.lines) == 1 and not search.others and len(next(iter(search.lines.values()))) <= MOST_LINES:
        found = _along_lines(db, search, limit)
    else:
        return _scanned(db, search, limit)
    return found, found[-1] if len(found) == limit else None


def _search(db: sqlite3.Connection, filters: Filters, before: int, scan: int) -> _Search:
    search = _Search(before, scan)
    if filters.status is not None:
        search.lines["status"] = [filters.status]
    if filters.node is not None:
        search.lines["assigned_node_id"] = _column(db, _NODE, node=filters.node) or [filters.node]
    if filters.group is not None:
        search.lines["group_id"] = [filters.group]
    if filters.key is not None:
        search.lines["created_by_key"] = _column(db, _KEYS, key=filters.key)
    if filters.owner is not None:
        asked = search.lines.get("created_by_key", [filters.owner])
        search.lines["created_by_key"] = [key for key in asked if key == filters.owner]
    if filters.tags:
        search.lines["placement_id"] = _column(db, _PLACEMENTS, tags=json.dumps(filters.tags))
    if filters.text is not None:
        search.others["text"] = lowered(filters.text)
    if filters.since is not None:
        search.others["since"] = filters.since
        search.floor = _number_at(db, _shifted(filters.since, -SLACK))
    if filters.until is not None:
        search.others["until"] = filters.until
        search.before = min(before, _number_at(db, _shifted(filters.until, SLACK)))
    return search


def _column(db: sqlite3.Connection, statement: str, **values: Any) -> list[Any]:
    return [row[0] for row in db.execute(statement, values)]


def _shifted(time: str, seconds: float) -> str:
    return after(parse(time), seconds)


def _number_at(db: sqlite3.Connection, time: str) -> int:
    """The number of the first task made at `time` or later: a search by halves, since numbers follow time."""
    low, high = 0, (db.execute(_LAST).fetchone()[0] or 0) + 1
    while low < high:
        middle = (low + high) // 2
        row = db.execute(_NEXT, (middle,)).fetchone()
        if row is None or row["created_at"] >= time:
            high = middle
        else:
            low = row["seq"] + 1
    return low


def _by_prefix(db: sqlite3.Connection, prefix: str, search: _Search, limit: int) -> list[int]:
    """A few tasks at most, so that what else is asked for can be looked at one by one."""
    values = _values(search, limit) | {"id": prefix}
    conditions = " AND ".join(["t.seq >= :floor", *_conditions(search)])
    statement = _PREFIXED.format(conditions=conditions)
    return [row[0] for row in db.execute(statement, values)]


def _along_lines(db: sqlite3.Connection, search: _Search, limit: int) -> list[int]:
    ((column, lines),) = search.lines.items()
    values = _values(search, limit) | {"values": json.dumps(lines)}
    return [row[0] for row in db.execute(_LINES.format(column=column, index=_INDEXES[column]), values)]


def _scanned(db: sqlite3.Connection, search: _Search, limit: int) -> tuple[list[int], int | None]:
    """Matching tasks among the next `SCAN` of the best index, and where to go on."""
    values = _values(search, limit)
    how = "WHERE"
    for column, index in _INDEXES.items():
        if len(search.lines.get(column, ())) == 1:
            how, values["line"] = f"INDEXED BY {index} WHERE {column} = :line AND", search.lines[column][0]
            break
    conditions = _conditions(search)
    if conditions:
        row = db.execute(_FLOOR.format(how=how), values).fetchone()
        floor = row[0] if row is not None else None
        values["floor"] = search.floor if floor is None else floor
    else:
        floor = None
    statement = _MATCHING.format(how=how, conditions=" AND ".join(conditions) or "TRUE")
    found = [row[0] for row in db.execute(statement, values)]
    return found, found[-1] if len(found) == limit else floor


def _conditions(search: _Search) -> list[str]:
    return [_CONDITIONS[name] for name in (*search.lines, *search.others)]


def _values(search: _Search, limit: int) -> dict[str, Any]:
    lines = {column: json.dumps(values) for column, values in search.lines.items()}
    return {
        "before": search.before,
        "floor": search.floor,
        "limit": limit,
        "scan": search.scan,
        **lines,
        **search.others,
    }
