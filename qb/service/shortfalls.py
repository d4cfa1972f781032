"""Say at a task's creation what the older nodes that may take it cannot do for it."""

from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase

from qb.contract.routes import Caller
from qb.contract.states import Ability, NodeMode
from qb.contract.tasks import GroupCreate, TaskCreate
from qb.domain.errors import Invalid
from qb.domain.placement import matches
from qb.domain.shortfalls import CONSEQUENCES, STANDING, Need, lacks
from qb.service.core import Core
from qb.service.creation import target_of
from qb.service.credentials import Identity
from qb.service.registry import Member, Registry

_ABILITIES = {Ability.CANCEL: Need.CANCEL, Ability.TIME_LIMIT: Need.TIME_LIMIT}
NAMED = 3
"""Nodes that a warning names at most."""


class Shortfalls:
    """Knows the fleet's older nodes."""

    def __init__(self, core: Core, registry: Registry) -> None:
        self._core = core
        self._registry = registry

    def of(self, identity: Identity, body: TaskCreate) -> dict[Need, str]:
        """A line for each need of the task, or of a group's tasks, that an older node among its own does not meet."""
        if not self._registry.old:
            return {}
        lacking = self._lacking(identity, body)
        named = identity.caller is Caller.ADMIN
        return {
            need: f"{need}: {_nodes(lacking[need], named)} {text}"
            for need, text in CONSEQUENCES.items()
            if need in lacking
        }

    def _lacking(self, identity: Identity, body: TaskCreate) -> dict[Need, list[Member]]:
        asked = target_of(identity, body)
        needs, target = _needs(body), replace(asked, needs_limits=False)
        each = body.each if isinstance(body, GroupCreate) else "*"
        if Need.LIMITS in needs:
            # with limits no older node gets the task at all: that is worth a word where nobody else could
            needs = frozenset({Need.LIMITS})
            if any(matches(asked, member.traits) for member in self._registry.members.values()):
                return {}
        found: dict[Need, list[Member]] = {}
        for member in self._registry.older():
            missing = needs & lacks(
                member.generation, _mode(member), keyless_reports=self._core.settings.keyless_reports
            )
            if missing and matches(target, member.traits) and fnmatchcase(member.traits.name, each):
                for need in missing:
                    found.setdefault(need, []).append(member)
        return found


def refusal(body: TaskCreate, warnings: dict[Need, str]) -> Invalid | None:
    """Why a body is refused that insists on what older nodes lack, or None.

    `needs` insists on what it names, `strict` on what the task asks for with its other fields and on a verdict. Not on
    a cancel: no older node can be told to stop, and who only wants the files to arrive would be refused them all.
    """
    refused = {
        "strict": [text for need, text in warnings.items() if body.strict and _asked(body, need)],
        "needs": [text for need, text in warnings.items() if need in {_ABILITIES[each] for each in body.needs or ()}],
    }
    told = {field: "; ".join(texts) for field, texts in refused.items() if texts}
    if not told:
        return None
    words = "; ".join(f"{field}: {text}" for field, text in told.items())
    return Invalid(f"{words}; target other nodes, or leave {' and '.join(told)} out")


def _asked(body: TaskCreate, need: Need) -> bool:
    """Whether the body asks for it, rather than everyone gets it."""
    if need is Need.TIME_LIMIT:
        return bool(body.timeout_seconds != TaskCreate.model_fields["timeout_seconds"].default)
    return need is not Need.CANCEL


def _mode(member: Member) -> NodeMode:
    return NodeMode.PULL if member.endpoint is None else NodeMode.PUSH


def _needs(body: TaskCreate) -> frozenset[Need]:
    asked = {
        Need.TIME_LIMIT: body.timeout_seconds is not None,
        Need.RETRY_FENCING: body.max_attempts > 1,
        Need.FILES: bool(body.files),
        Need.IMAGE: body.image is not None,
        Need.ENV: bool(body.env),
        Need.LIMITS: body.limits is not None,
    }
    return STANDING | {need for need, given in asked.items() if given}


def _nodes(members: list[Member], named: bool) -> str:
    generations = _listed(sorted({str(member.generation) for member in members}))
    kind = "of an older generation" if generations == "old" else f"of generation {generations}"
    if not named:
        return f"a node {kind}"
    names = sorted(member.traits.name for member in members)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more} ({kind})"


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)
