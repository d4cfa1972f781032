"""Every sentence that says why a task waits."""

from typing import Any

import pytest

from qb.contract.scheduling import WhyCode
from qb.contract.states import NodeState, TaskStatus
from qb.domain.placement import Target, Traits
from qb.domain.waiting import Candidate, Facts, causes

PENDING = TaskStatus.PENDING


def node(name: str = "web-1", *, tags: dict[str, str] | None = None, **more: Any) -> Candidate:
    capabilities = frozenset(more.pop("capabilities", ()))
    traits = Traits(f"id-{name}", name, tags or {}, capabilities, more.pop("limits", True))
    return Candidate(traits, **more)


def one(facts: Facts) -> tuple[WhyCode, str]:
    (cause,) = causes(facts)
    return cause


def told(target: Target, *candidates: Candidate, **more: Any) -> tuple[WhyCode, str]:
    return one(Facts(PENDING, target, candidates=candidates, **more))


def test_a_task_that_does_not_wait() -> None:
    assert one(Facts(TaskStatus.RUNNING, node="web-1")) == (WhyCode.NOT_PENDING, "it is running on web-1")
    assert one(Facts(TaskStatus.SUCCESS)) == (WhyCode.NOT_PENDING, "it has ended: success")
    ended = one(Facts(TaskStatus.ERROR, reason="timeout"))
    assert ended == (WhyCode.NOT_PENDING, "it has ended: error, timeout")


def test_a_schedule() -> None:
    facts = Facts(PENDING, is_schedule=True, next_run_at="2026-01-01T13:00:00.000Z")
    text = "this is a schedule: it never runs itself, its next run is at 2026-01-01T13:00:00.000Z"
    assert one(facts) == (WhyCode.SCHEDULE, text)
    assert one(Facts(PENDING, is_schedule=True))[1].endswith("it has no next run")


def test_a_time_to_come() -> None:
    at = "2026-01-01T13:00:00.000Z"
    assert told(Target(), node(), available_at=at) == (WhyCode.SCHEDULED, f"it is scheduled for {at}")
    once = told(Target(), node(), available_at=at, starts=1)
    assert once == (WhyCode.BACKOFF, f"1 start failed: the next one is at {at}")
    assert told(Target(), node(), available_at=at, starts=2)[1] == f"2 starts failed: the next one is at {at}"


def test_a_task_that_nodes_may_hold_since_before_a_restore() -> None:
    at = "2026-01-01T13:00:00.000Z"
    text = f"the control plane was restored from a backup: until {at} a node may say that it holds it"
    assert told(Target(), node(), available_at=at, settles_until=at, starts=1) == (WhyCode.RESTORED, text)
    assert told(Target(), node(), available_at="2027", settles_until=at)[0] is WhyCode.SCHEDULED


def test_other_tasks() -> None:
    cause = told(Target(), node(), waits_for=[("t-1", TaskStatus.RUNNING)])
    assert cause == (WhyCode.DEPENDENCY, "it waits for 1 task: t-1 (running)")
    many = told(Target(), node(), waits_for=[(f"t-{n}", PENDING) for n in range(5)])
    assert many[1] == "it waits for 5 tasks: t-0 (pending), t-1 (pending), t-2 (pending) and 2 more"


def test_the_limit_of_its_key() -> None:
    cause = told(Target(), node(), key="acme", key_limit=(1, ["t-1"]))
    assert cause == (WhyCode.KEY_LIMIT, "the key 'acme' runs at most 1 task at once, and it does: t-1")


def test_no_nodes() -> None:
    assert told(Target()) == (WhyCode.NO_NODES, "no node is registered: start a runner on one")


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (Target(node_name="db-*"), "no node has a name that matches 'db-*' (2 nodes registered)"),
        (Target(node_id="gone"), "no node has the id gone (2 nodes registered)"),
        (Target(tags=(("site", "rome"),)), "no node has the tag site=rome (2 nodes registered)"),
        (
            Target(node_name="web-*", tags=(("gpu", "yes"), ("site", "oslo"))),
            "no node has all the tags gpu=yes, site=oslo among those that match otherwise: web-1, web-2",
        ),
        (Target(capabilities=("browser", "cuda")), "no node is capable of browser, cuda (2 nodes registered)"),
        (
            Target(node_name="web-1", within=("acme-*", "globex-*")),
            "no node has a name that the key may use (acme-*, globex-*) among those that match otherwise: web-1",
        ),
    ],
)
def test_no_node_that_matches(target: Target, text: str) -> None:
    assert told(target, node("web-1"), node("web-2")) == (WhyCode.NO_MATCH, text)


def test_what_its_key_asks_of_nodes_is_told_as_such() -> None:
    target = Target(node_name="web-*", tags=(("client", "acme"), ("site", "oslo")), within=("acme-*", "web-*"))
    bound = {"key": "acme", "key_tags": (("client", "acme"),)}
    told_of = told(target, node("web-1", tags={"site": "oslo"}), **bound)
    text = "no node has the tag client=acme, without which the key 'acme' may use none among those that match otherwise"
    assert told_of == (WhyCode.NO_MATCH, f"{text}: web-1")
    own = told(target, node("web-1", tags={"client": "acme"}), **bound)
    assert own == (WhyCode.NO_MATCH, "no node has the tag site=oslo among those that match otherwise: web-1")
    named = told(target, node("web-1"), node("db-1"), key="acme", key_tags=())
    assert named[1].startswith("no node has all the tags client=acme, site=oslo among")
    outside = told(Target(within=("acme-*",)), node("web-1"), key="acme")
    assert outside[1] == "no node has a name that the key 'acme' may use (acme-*) (1 node registered)"


@pytest.mark.parametrize(
    ("limits", "needed"),
    [
        (Target(within=("acme-*",)), "a name like acme-*"),
        (
            Target(within=("a-*", "b-*"), tags=(("client", "acme"),)),
            "a name like a-* or a name like b-* and the tag client=acme",
        ),
        (Target(tags=(("client", "acme"),)), "the tag client=acme"),
    ],
)
def test_no_node_that_the_asking_key_may_use(limits: Target, needed: str) -> None:
    text = f"no node is registered that the key 'acme' may use: it needs {needed}"
    assert told(Target(), key="acme", limits=limits) == (WhyCode.NO_NODES, text)


def test_a_node_that_cannot_do_what_it_needs() -> None:
    needs = Target(needs_limits=True)
    old = told(needs, node("old-1", wire=1, limits=False), node("new-1", limits=False))
    assert old == (WhyCode.TOO_OLD, "it asks for limits, and the runner is too old for them on old-1")
    bare = told(needs, node("new-1", limits=False))
    text = "it asks for limits, which need working cgroups; they are missing on new-1"
    assert bare == (WhyCode.NO_MATCH, text)


def test_nodes_that_take_nothing() -> None:
    draining, disabled = {"state": NodeState.DRAINING}, {"state": NodeState.DISABLED}
    since = {"silent_since": "2026-01-01T11:00:00.000Z"}
    assert told(Target(), node(**draining)) == (WhyCode.DRAINING, "1 node matches, and web-1 is draining")
    both = told(Target(), node("a", **draining), node("b", **draining))
    assert both == (WhyCode.DRAINING, "2 nodes match, both draining")
    three = told(Target(), *(node(name, **disabled) for name in "abc"))
    assert three == (WhyCode.DISABLED, "3 nodes match, all disabled")
    silent = told(Target(), node(**since))
    assert silent == (WhyCode.OFFLINE, "1 node matches, and web-1 is offline since 2026-01-01T11:00:00.000Z")
    assert told(Target(), node("a", **since), node("b", **since))[1] == "2 nodes match, both offline"


def test_nodes_that_are_full_name_what_they_run() -> None:
    full = told(Target(), node(holds=["t-1"]))
    assert full == (WhyCode.SLOTS_TAKEN, "1 node matches, and web-1 is busy: its slot is taken by t-1")
    two = told(Target(), node("a", slots=2, holds=["t-1", "t-2"]), node("b", holds=["t-3"]))
    text = "2 nodes match: a is busy: all 2 slots of it are taken by t-1, t-2; b is busy: its slot is taken by t-3"
    assert two == (WhyCode.SLOTS_TAKEN, text)


def test_nodes_that_cannot_for_different_reasons_are_told_apart() -> None:
    draining, full = node("a", state=NodeState.DRAINING), node("b", holds=["t-1"])
    found = causes(Facts(PENDING, candidates=[draining, full]))
    assert found == [
        (WhyCode.DRAINING, "2 nodes match: a is draining"),
        (WhyCode.SLOTS_TAKEN, "2 nodes match: b is busy: its slot is taken by t-1"),
    ]


def test_nothing_in_its_way() -> None:
    free = told(Target(), node("a", holds=["t-1"]), node("b"))
    assert free == (WhyCode.STARTING, "b has room for it: it should start in a moment")


def test_every_reason_is_told_and_a_free_node_is_none() -> None:
    facts = Facts(PENDING, candidates=[node()], waits_for=[("t-1", PENDING)], available_at="2026", starts=0)
    assert [code for code, _ in causes(facts)] == [WhyCode.DEPENDENCY, WhyCode.SCHEDULED]
    assert {code for code, _ in causes(Facts(PENDING, available_at="2026"))} == {WhyCode.SCHEDULED, WhyCode.NO_NODES}
