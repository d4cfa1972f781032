"""How the players of each generation come to be nodes of a control plane."""

from typing import Any, TypeVar

from tests.conformance import generation_a, generation_b, generation_c, generation_d, generation_ours
from tests.conformance.container import BARE, Image
from tests.conformance.control_plane import ControlPlane
from tests.conformance.generation_a import PullA
from tests.conformance.generation_b import PullB
from tests.conformance.generation_c import PullC
from tests.conformance.generation_d import PullD
from tests.conformance.generation_e import PullE
from tests.conformance.generation_ours import PullOurs
from tests.conformance.pull_runner import PullRunner

R = TypeVar("R", bound=PullRunner)

PULLING: tuple[type[PullRunner], ...] = (PullA, PullB, PullC, PullD, PullE)
REGISTERING: tuple[type[PullRunner], ...] = (PullB, PullC, PullD, PullE)
IMAGES: dict[type[PullRunner], Image] = {
    PullA: generation_a.IMAGE,
    PullB: generation_b.IMAGE,
    PullC: generation_c.IMAGE,
    PullD: generation_d.IMAGE,
    PullE: BARE,
    PullOurs: generation_ours.IMAGE,
}


def join(plane: ControlPlane, kind: type[R], name: str = "old", **more: Any) -> R:
    """A runner of that generation with its own image, as a node: pre-registered (A), or registered (B to E)."""
    more = {"image": IMAGES[kind], "registration_token": plane.registration_token} | more
    if not kind.registers:
        more |= {"api_key": plane.add_node(name)}
    runner = kind(plane.url, name=name, **more)
    runner.start()
    return runner


def known(plane: ControlPlane, kind: type[R], name: str = "old", **more: Any) -> R:
    """As `join`, of a node that has run a task before: the control plane has seen all that it sends."""
    runner = join(plane, kind, name, **more)
    task = plane.task("first", target_node_name=name)
    runner.turn()
    if runner.container is not None and runner.container.agent is not None:
        runner.container.agent.report("success")
    runner.ends(0)
    runner.turn()
    if plane.state(task)[0] != "success":
        # only A without a reporter that may speak ends so
        plane.passes(61)
        plane.ends(task)
    return runner
