"""Who did what: the audit log, newest first."""

from typing import Any

from qb.contract.acts import Action, Outcome
from qb.dashboard.pages.reading import Arguments, Read, asked, number

SHOWN = 100
NEWEST = 1 << 62

_ENTRIES = """
SELECT id, at, actor, action, object, outcome, address, count, detail FROM audit_log
WHERE id < :before AND (:action = '' OR action = :action) AND (:outcome = '' OR outcome = :outcome)
    AND (:actor = '' OR actor = :actor)
ORDER BY id DESC LIMIT :limit
"""


async def audit(read: Read, arguments: Arguments) -> dict[str, Any]:
    """Values of the page."""
    filters = asked(arguments, "action", "outcome", "actor")
    found = await read(_ENTRIES, **filters, before=number(arguments, "before", NEWEST), limit=SHOWN + 1)
    shown = found[:SHOWN]
    return {
        "entries": shown,
        "next_before": shown[-1]["id"] if len(found) > SHOWN else None,
        "filters": filters,
        "filtered": any(filters.values()),
        "actions": [action.value for action in Action],
        "outcomes": [outcome.value for outcome in Outcome],
    }
