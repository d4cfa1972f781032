"""Why a task waits, as sentences for people with a code for programs: facts in, causes out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from qb.contract.scheduling import WhyCode
from qb.contract.states import NodeState, TaskStatus
from qb.domain.placement import Target, Traits, matches

SHOWN = 3
"""Names or ids that a sentence lists at most."""

Cause = tuple[WhyCode, str]
_ALL = {WhyCode.DRAINING: "draining", WhyCode.DISABLED: "disabled", WhyCode.OFFLINE: "offline"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node as the queue sees it. `silent_since` is None while it is heard of; `holds` are ids of tasks."""

    traits: Traits
    wire: int = 2
    state: NodeState = NodeState.ACTIVE
    silent_since: str | None = None
    slots: int = 1
    holds: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is to know of a task that waits. Times are ISO 8601 UTC."""

    status: TaskStatus
    target: Target = field(default_factory=Target)
    reason: str | None = None
    node: str | None = None
    is_schedule: bool = False
    next_run_at: str | None = None
    starts: int = 0
    available_at: str | None = None
    waits_for: Sequence[tuple[str, TaskStatus]] = ()
    settles_until: str | None = None
    """After a restore: until when tasks wait for a node to say that it holds them."""

    key: str | None = None
    key_limit: tuple[int, Sequence[str]] | None = None
    key_tags: Sequence[tuple[str, str]] = ()
    """The tags that its creator's key asks of a node, among those of `target`."""

    limits: Target = field(default_factory=Target)
    """What the asker's key allows: no node outside is among `candidates`."""

    candidates: Sequence[Candidate] = ()


def causes(facts: Facts) -> list[Cause]:
    """Everything that keeps the task from running; never empty."""
    if facts.status is not TaskStatus.PENDING:
        return [(WhyCode.NOT_PENDING, _not_pending(facts))]
    if facts.is_schedule:
        when = f"its next run is at {facts.next_run_at}" if facts.next_run_at else "it has no next run"
        return [(WhyCode.SCHEDULE, f"this is a schedule: it never runs itself, {when}")]
    found = [*_itself(facts), *_nodes(facts)]
    held_back = [cause for cause in found if cause[0] is not WhyCode.STARTING]
    return held_back or found


def _not_pending(facts: Facts) -> str:
    if facts.status.terminal:
        return f"it has ended: {facts.status}" + (f", {facts.reason}" if facts.reason else "")
    return f"it is {facts.status} on {facts.node}"


def _itself(facts: Facts) -> Iterator[Cause]:
    """What the task, its order and its key ask."""
    if facts.waits_for:
        told = _some([f"{task_id} ({status})" for task_id, status in facts.waits_for])
        yield WhyCode.DEPENDENCY, f"it waits for {_count(len(facts.waits_for), 'task')}: {told}"
    if facts.available_at is not None and facts.available_at == facts.settles_until:
        text = (
            f"the control plane was restored from a backup: until {facts.available_at} a node may say that it holds it"
        )
        yield WhyCode.RESTORED, text
    elif facts.available_at is not None and facts.starts:
        text = f"{_count(facts.starts, 'start')} failed: the next one is at {facts.available_at}"
        yield WhyCode.BACKOFF, text
    elif facts.available_at is not None:
        yield WhyCode.SCHEDULED, f"it is scheduled for {facts.available_at}"
    if facts.key_limit is not None:
        limit, running = facts.key_limit
        text = f"the key {facts.key!r} runs at most {_count(limit, 'task')} at once, and it does: {_some(running)}"
        yield WhyCode.KEY_LIMIT, text


def _nodes(facts: Facts) -> list[Cause]:
    """What the nodes say."""
    if not facts.candidates:
        return [_nobody_at_all(facts)]
    fit = [each for each in facts.candidates if matches(facts.target, each.traits)]
    if not fit:
        return [_unmatched(facts)]
    states = {each.traits.name: _state(each) for each in fit}
    free = next((name for name, state in states.items() if state is None), None)
    if free is not None:
        return [(WhyCode.STARTING, f"{free} has room for it: it should start in a moment")]
    return list(_busy(fit, [state for state in states.values() if state is not None]))


def _busy(fit: Sequence[Candidate], states: Sequence[Cause]) -> Iterator[Cause]:
    """None of the nodes that match can take it: say so in one sentence where they agree, else one for each kind."""
    matching = f"{len(fit)} {'node matches' if len(fit) == 1 else 'nodes match'}"
    if len(fit) == 1:
        code, text = states[0]
        yield code, f"1 node matches, and {text}"
        return
    for code in dict.fromkeys(code for code, _ in states):
        texts = [text for own, text in states if own is code]
        if len(texts) == len(fit) and code in _ALL:
            everyone = "both" if len(fit) == 2 else "all"
            yield code, f"{matching}, {everyone} {_ALL[code]}"
        else:
            yield code, f"{matching}: {_some(texts, '; ')}"


def _state(node: Candidate) -> Cause | None:
    """Why this node takes nothing now; None when it could."""
    name = node.traits.name
    if node.state is NodeState.DISABLED:
        return WhyCode.DISABLED, f"{name} is disabled"
    if node.state is NodeState.DRAINING:
        return WhyCode.DRAINING, f"{name} is draining"
    if node.silent_since is not None:
        return WhyCode.OFFLINE, f"{name} is offline since {node.silent_since}"
    if len(node.holds) >= node.slots:
        slots = "its slot is" if node.slots == 1 else f"all {node.slots} slots of it are"
        return WhyCode.SLOTS_TAKEN, f"{name} is busy: {slots} taken by {_some(node.holds)}"
    return None


def _nobody_at_all(facts: Facts) -> Cause:
    allowed = [f"a name like {glob}" for glob in facts.limits.within[:SHOWN]]
    tags = [f"the tag {name}={value}" for name, value in facts.limits.tags]
    if not (allowed or tags):
        return WhyCode.NO_NODES, "no node is registered: start a runner on one"
    needed = " and ".join([*([" or ".join(allowed)] if allowed else []), *tags])
    return WhyCode.NO_NODES, f"no node is registered that the key {facts.key!r} may use: it needs {needed}"


def _unmatched(facts: Facts) -> Cause:
    """Add one condition after the other, and name the one that leaves no node."""
    left: Sequence[Candidate] = list(facts.candidates)
    for number, (condition, asked, text) in enumerate(_conditions(facts)):
        meet = [each for each in left if matches(asked, each.traits)]
        if not meet:
            return _nobody(condition, text, left, first=number == 0)
        left = meet
    return WhyCode.NO_MATCH, "no node matches all that it asks for"


def _nobody(condition: str, text: str, left: Sequence[Candidate], *, first: bool) -> Cause:
    names = _some([each.traits.name for each in left])
    if condition == "needs_limits":
        old = [each for each in left if each.wire < 2]
        if old:
            told = _some([each.traits.name for each in old])
            return WhyCode.TOO_OLD, f"it asks for limits, and the runner is too old for them on {told}"
        return WhyCode.NO_MATCH, f"it asks for limits, which need working cgroups; they are missing on {names}"
    if first:
        return WhyCode.NO_MATCH, f"no node {text} ({_count(len(left), 'node')} registered)"
    return WhyCode.NO_MATCH, f"no node {text} among those that match otherwise: {names}"


def _conditions(facts: Facts) -> Iterator[tuple[str, Target, str]]:
    """The conditions that are given, each alone, in the order in which a person would check them."""
    target, key = facts.target, "the key" if facts.key is None else f"the key {facts.key!r}"
    if target.node_id is not None:
        yield "node_id", Target(node_id=target.node_id), f"has the id {target.node_id}"
    if target.node_name is not None:
        yield "node_name", Target(node_name=target.node_name), f"has a name that matches {target.node_name!r}"
    if target.within:
        globs = ", ".join(target.within)
        yield "within", Target(within=target.within), f"has a name that {key} may use ({globs})"
    bound = tuple(pair for pair in target.tags if pair in facts.key_tags)
    if bound:
        yield "tags", Target(tags=bound), f"has {_tags(bound)}, without which {key} may use none"
    own = tuple(pair for pair in target.tags if pair not in bound)
    if own:
        yield "tags", Target(tags=own), f"has {_tags(own)}"
    if target.capabilities:
        wanted = Target(capabilities=target.capabilities)
        yield "capabilities", wanted, f"is capable of {', '.join(target.capabilities)}"
    if target.needs_limits:
        yield "needs_limits", Target(needs_limits=True), "can enforce limits"


def _tags(pairs: Sequence[tuple[str, str]]) -> str:
    return ("the tag " if len(pairs) == 1 else "all the tags ") + ", ".join(f"{name}={value}" for name, value in pairs)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _some(items: Sequence[str], comma: str = ", ") -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return comma.join(items[:SHOWN]) + more
