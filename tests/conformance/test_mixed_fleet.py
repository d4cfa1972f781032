"""All generations at once against one server, and each task ends right."""

from tests.conformance.control_plane import ControlPlane
from tests.conformance.generation_a import PullA
from tests.conformance.generation_b import PullB
from tests.conformance.generation_c import PullC
from tests.conformance.generation_d import PullD
from tests.conformance.generation_e import PullE
from tests.conformance.generation_ours import PullOurs
from tests.conformance.joining import join
from tests.conformance.pull_runner import INTERVAL, PullRunner

KINDS: dict[str, type[PullRunner]] = {
    "a": PullA,
    "b": PullB,
    "c": PullC,
    "d": PullD,
    "e": PullE,
    "ours": PullOurs,
}


def finish(runner: PullRunner, *, well: bool) -> None:
    """The container ends as that generation's does: told by the reporter, the runner, or both."""
    assert runner.container is not None
    if runner.container.agent is not None:
        runner.container.agent.report("success" if well else "error", message=f"from {runner.name}")
    runner.ends(0 if well else 1)


def test_a_mixed_fleet_works_through_one_queue(keyless_plane: ControlPlane) -> None:
    plane = keyless_plane
    fleet = [join(plane, kind, name) for name, kind in KINDS.items()]
    shared = [plane.task(f"shared {number}") for number in range(12)]
    own = {runner.name: plane.task(f"for {runner.name}", target_node_name=runner.name) for runner in fleet}
    for _ in range(4):
        for runner in fleet:
            runner.turn()
        plane.passes(INTERVAL)
        for runner in fleet:
            if runner.busy:
                finish(runner, well=True)
    everything = [*shared, *own.values()]
    assert {plane.state(task) for task in everything} == {("success", None)}
    started = [task for runner in fleet for task in runner.started]
    assert sorted(started) == sorted(everything), "each once, and none twice"
    assert all(own[runner.name] in runner.started for runner in fleet)
    shown = {name: plane.node(name)["generation"] for name in KINDS}
    assert shown == {"a": "A", "b": "B", "c": "C", "d": "D", "e": "E", "ours": "wire2"}


def test_in_a_mixed_fleet_every_failure_stays_with_its_own_task(keyless_plane: ControlPlane) -> None:
    plane = keyless_plane
    fleet = {name: join(plane, kind, name) for name, kind in KINDS.items()}
    tasks = {name: plane.task(name, target_node_name=name) for name in KINDS}
    fleet["a"].turn(reply_lost=True)
    for name in ("b", "c", "d", "e", "ours"):
        fleet[name].turn()
    # b is killed and starts anew, c's container ends without a word, d fails, e succeeds, ours is cancelled
    survivor = fleet["b"].killed()
    fleet["b"].start()
    fleet["c"].ends(0)
    finish(fleet["d"], well=False)
    finish(fleet["e"], well=True)
    plane.call("DELETE", f"/tasks/{tasks['ours']}")
    for _ in range(4):
        plane.passes(25)
        for runner in fleet.values():
            runner.turn()
    for name in ("b", "c"):
        plane.ends(tasks[name])
    assert {name: plane.state(task) for name, task in tasks.items()} == {
        "a": ("error", "undeliverable"),
        "b": ("error", "runner_restarted"),
        "c": ("error", "verdict_missing"),
        "d": ("error", "agent_error"),
        "e": ("success", None),
        "ours": ("cancelled", "cancelled_by_operator"),
    }
    assert survivor.agent.report("success").status_code == 409
    again = [plane.task(f"again {name}", target_node_name=name) for name in KINDS]
    for runner in fleet.values():
        runner.turn()
        finish(runner, well=True)
    assert {plane.state(task) for task in again} == {("success", None)}
