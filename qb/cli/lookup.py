"""From what a person types to an id: a name, or the first characters of an id."""

import re
from collections.abc import Iterable
from uuid import UUID

from qb.cli.exits import CliError, Exit
from qb.cli.feed import passing
from qb.cli.terminal import one_line
from qb.client import ClientError, QbClient
from qb.contract.keys import Key, Token
from qb.contract.nodes import Node

SHORTEST = 4
_CANDIDATES = 100
_RECENT_GROUPS = 1000
_HEX = re.compile(r"[0-9a-f-]+")


def task_id(client: QbClient, given: str) -> str:
    """The id of the task that `given` begins. Raises CliError when none or several do."""
    if whole(given):
        return given
    _long_enough("task", given)
    prefix = given.lower()
    known = client.tasks(limit=_CANDIDATES, id_prefix=prefix) if _HEX.fullmatch(prefix) else []
    found = [task.id for task in known if task.id.startswith(prefix)]
    return _only("task", given, found, "; `qb task list` shows the newest")


def ending_task_id(client: QbClient, given: str) -> str:
    """As `task_id`, of a task that can be waited for. Raises CliError for a schedule, too, unless it has ended."""
    whole_id = task_id(client, given)
    try:
        found = client.task(whole_id)
    except ClientError as error:
        if not passing(error):
            raise
        # who follows it waits for an orchestrator that is away
        return whole_id
    if found.recurrence and not found.status.terminal:
        raise CliError(
            f"task {found.id} is a schedule, which never ends",
            "wait for one of its runs: `qb task list` shows them",
            Exit.USAGE,
        )
    return whole_id


def group_id(client: QbClient, given: str) -> str:
    """The id of the group that `given` begins. Raises CliError when none or several do."""
    if whole(given):
        return given
    _long_enough("group", given)
    found = [group.id for group in client.groups(limit=_RECENT_GROUPS) if group.id.startswith(given.lower())]
    return _only("group", given, found, f"among the newest {_RECENT_GROUPS}; `qb group list` shows them")


def schedule_id(client: QbClient, given: str) -> str:
    """The id of the schedule that `given` begins. Raises CliError when none or several do."""
    if whole(given):
        return given
    _long_enough("schedule", given)
    found = [schedule.id for schedule in client.schedules() if schedule.id.startswith(given.lower())]
    return _only("schedule", given, found, "; `qb schedule list` shows them")


def node(client: QbClient, given: str) -> Node:
    """The node with this name or id, or whose id `given` begins. Raises CliError when none or several do."""
    if whole(given):
        return client.node(given)
    known = client.nodes()
    for each in known:
        if given in (each.name, each.id):
            return each
    found = _begun([each.id for each in known], given)
    chosen = _only("node", given, found, "; `qb node list` shows their names and ids")
    return next(each for each in known if each.id == chosen)


def key(client: QbClient, given: str) -> Key:
    """The key with this name or id, or whose id `given` begins. Raises CliError when none or several do."""
    listed = client.admin.keys()
    known = {each.id: each for each in listed}
    named = [each.id for each in listed if each.name == given]
    found = named or _begun(known, given)
    return known[_only("key", given, found, "; `qb key list` shows their names and ids")]


def token(client: QbClient, given: str) -> Token:
    """The registration token whose id `given` is or begins. Raises CliError when none or several do."""
    known = {each.id: each for each in client.admin.tokens()}
    return known[_only("token", given, _begun(known, given), "; `qb token list` shows their ids")]


def _begun(ids: Iterable[str], given: str) -> list[str]:
    return [each for each in ids if each.startswith(given.lower())] if len(given) >= SHORTEST else []


def whole(given: str) -> bool:
    """Whether this is all of an id."""
    try:
        return str(UUID(given)) == given
    except ValueError:
        return False


def _long_enough(kind: str, given: str) -> None:
    if len(given) < SHORTEST:
        raise CliError(
            f"{one_line(given)!r} is too short for the id of a {kind}",
            f"give its first {SHORTEST} characters or more",
            Exit.USAGE,
        )


def _only(kind: str, given: str, found: Iterable[str], where: str) -> str:
    ids = sorted(set(found))
    if not ids:
        lead = "" if where.startswith(";") else " "
        message, _, hint = where.partition("; ")
        raise CliError(f"no {kind} {one_line(given)!r}{lead}{message}", hint, Exit.NOT_FOUND)
    if len(ids) > 1:
        some = ", ".join(ids[:3]) + (", …" if len(ids) > 3 else "")
        raise CliError(
            f"{one_line(given)!r} is ambiguous: {len(ids)} {kind}s begin so", f"give more of it: {some}", Exit.USAGE
        )
    return ids[0]
