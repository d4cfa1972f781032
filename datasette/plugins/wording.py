"""Jinja filters: text of agents and nodes made inert, and times, sizes and JSON made readable."""

import json
import math
import re
from datetime import datetime
from itertools import islice
from typing import Any

from datasette import hookimpl
from jinja2 import Environment
from markupsafe import Markup

from qb.contract.parts import parts_of

# Terminal colours and titles would only be noise; a lone escape character is shown like the other controls.
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
# Controls, and marks that reorder or hide what follows: a name could read as another name.
_TREACHEROUS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
_MOMENT = re.compile(r"\b(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z")
_UUID = re.compile(r"\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_KILO = 1024
_SIZES = ("KiB", "MiB", "GiB", "TiB")
_PARTS_SHOWN = 50
_PART_CHARS = 4_000
_NAME_CHARS = 80
_SPARE = 4
"""Times what is shown of a text is made plain: terminal sequences go."""
_TASKS = "task task_id depends_on schedule_id retry_of parent_task_id root_task_id current_task_id".split()
_PAGE_OF = {**dict.fromkeys(_TASKS, "task"), "node_id": "node", "assigned_node_id": "node"}
"""Which page a column's values lead to."""


def plain(value: Any) -> str:
    """Text of several lines without terminal sequences; controls and bidi marks show as U+FFFD."""
    if value is None:
        return ""
    text = _ANSI.sub("", str(value).replace("\r\n", "\n"))
    return _TREACHEROUS.sub("\ufffd", text)


def line(value: Any, limit: int = 0) -> str:
    """`plain` on a single line, cut to `limit` characters when that is not 0."""
    text = " ".join(plain(value).split())
    return text[: limit - 1] + "…" if 0 < limit < len(text) else text


def ago(moment: str | None, now: datetime) -> str:
    """How long before `now` an ISO 8601 moment was: ``12 s ago``, ``never`` for None."""
    return "never" if moment is None else f"{_span(_seconds(moment, now))} ago"


def lasted(begin: str | None, end: str | None, now: datetime) -> str:
    """How long something that began went on, until now when it has no end; empty when it never began."""
    if begin is None:
        return ""
    return _span(_seconds(begin, now) - (_seconds(end, now) if end else 0))


def clock(moment: str | None) -> str:
    """An ISO 8601 moment as ``2026-01-31 12:00:00``, UTC."""
    return "" if moment is None else line(moment)[:19].replace("T", " ")


def told(text: str, limit: int = 0) -> str:
    """`line` of a sentence of ours, with moments as ``2026-01-31 12:00:00 UTC`` and ids by their first eight digits."""
    return line(_UUID.sub(r"\1", _MOMENT.sub(r"\1 \2 UTC", text)), limit)


def span(seconds: float) -> str:
    """Seconds as ``45 s``, ``2 min 30 s``, ``1 h``."""
    return _span(seconds)


def size(count: int) -> str:
    """Bytes as ``812 B``, ``3.1 KiB``, ``2.0 MiB`` or ``1.5 GiB``."""
    if count < _KILO:
        return f"{count} B"
    exponent = min(int(math.log(count, _KILO)), len(_SIZES))
    return f"{count / _KILO**exponent:.1f} {_SIZES[exponent - 1]}"


def tally(count: int, most: int | None = None) -> str:
    """A count as ``1,240``; ``100,000+`` where counting ended at `most`."""
    return f"{most:,}+" if most is not None and count >= most else f"{count:,}"


def percent(rate: tuple[int, int]) -> str:
    """(successes, tasks) as ``97%``, empty where there were none."""
    return f"{round(100 * rate[0] / rate[1])}%" if rate[1] else ""


def entries(text: str) -> list[str]:
    """A JSON list as texts."""
    value = _json(text)
    return [str(each) for each in value] if isinstance(value, list) else []


def pairs(tags: str) -> list[str]:
    """The node's tags, JSON in the database, as ``key=value``."""
    value = _json(tags)
    return [f"{key}={value[key]}" for key in sorted(value)] if isinstance(value, dict) else []


def target(text: str) -> str:
    """A placement (JSON list: node id, name glob, tag pairs, capabilities, limits) in words."""
    node_id, name, tags, capabilities, limits, *within = json.loads(text)
    words = [f"node {node_id}"] if node_id else []
    words += [f"name {name}"] if name else []
    words += [f"{key}={value}" for key, value in tags]
    words += [f"needs {capability}" for capability in capabilities]
    words += ["needs limits"] if limits else []
    words += [f"within {' or '.join(within[0])}"] if within else []
    return ", ".join(words) or "any node"


def parts(content: str | None) -> list[tuple[str, str]]:
    """A transcript message as (kind, text) with the kinds of qb.contract.parts, both cut to what a page shows."""
    return [(part.kind, _cut(part.text)) for part in islice(parts_of(content), _PARTS_SHOWN)]


def beginning(text: str, limit: int) -> str:
    """So many characters of a text, plain: of many MiB no more are looked at, as all other pages wait meanwhile."""
    shown = plain(text[: _SPARE * limit])
    # a text that is nothing but a terminal sequence is not to be shown as it is
    return _cut(shown or (text and "\ufffd"), limit, more=len(text) > _SPARE * limit)


def detail(text: str | None) -> list[tuple[str, str]]:
    """JSON of the audit log as (name, value)."""
    value = _json(text or "")
    if not isinstance(value, dict):
        return []
    return [
        (name, each if isinstance(each, str) else json.dumps(each, ensure_ascii=False)) for name, each in value.items()
    ]


@hookimpl
def prepare_jinja2_environment(env: Environment) -> None:
    """Make the filters known to the templates."""
    times, numbers = (ago, lasted, span, clock), (size, percent, tally)
    for each in (plain, line, told, beginning, *times, *numbers, pairs, target, parts, detail, entries):
        env.filters[each.__name__] = each


@hookimpl(tryfirst=True)
def render_cell(value: Any, column: str, table: str | None, datasette: Any) -> str | None:
    """In Datasette's own tables: ids of tasks and nodes lead to their pages, and all other text is text.

    Datasette would make a link of what is an address, whoever wrote it.
    A foreign key's value is {"value": id, "label": title or name}. Datasette would link it by the primary key of the
    other table, and a task's is not its id.
    """
    name = value["label"] if isinstance(value, dict) else None
    key = value["value"] if isinstance(value, dict) else value
    if not isinstance(key, str):
        return None
    page = "task" if column == "id" and table == "tasks" else _PAGE_OF.get(column)
    if page and _ID.fullmatch(key):
        href = datasette.urls.path(f"/{page}/{key}")
        return Markup('<a href="{}">{}</a>').format(href, line(name, _NAME_CHARS) or key)
    return beginning(key, datasette.setting("truncate_cells_html"))


def _seconds(moment: str, now: datetime) -> float:
    return (now - datetime.fromisoformat(moment)).total_seconds()


def _span(seconds: float) -> str:
    whole = max(0, int(seconds))
    for index, (length, unit) in enumerate(_UNITS):
        if whole >= length and index < len(_UNITS) - 1:
            smaller, smaller_unit = _UNITS[index + 1]
            rest = whole % length // smaller
            # under ten of a unit the next one still matters: 1 h 20 min, but 14 h
            exact = rest and whole // length < 10
            return f"{whole // length} {unit} {rest} {smaller_unit}" if exact else f"{whole // length} {unit}"
    return f"{whole} s"


def _cut(text: str, limit: int = _PART_CHARS, *, more: bool = False) -> str:
    """The beginning of a text; `more` of it may have been left out before."""
    return text[:limit] + "…" if more or len(text) > limit else text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
