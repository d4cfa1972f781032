"""A runner that is killed at any moment, a hundred times."""

import random
import subprocess
from collections.abc import Callable

import pytest

from tests.crash.conftest import PATIENCE, SLEEPER, Mortal
from tests.e2e.agent import wait_until

pytestmark = [pytest.mark.podman, pytest.mark.crash]
NODES, RUNS = 10, 10
LONGEST_LIFE = 1.2


@pytest.mark.parametrize("seed", range(NODES))
def test_kills_at_random_lose_nothing(mortals: Callable[[], Mortal], seed: int) -> None:
    chance = random.Random(seed)
    mortal = mortals()
    for _ in range(RUNS):
        if mortal.node.process is None:
            mortal.start()
        task = mortal.task()
        process = mortal.node.process
        assert process is not None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0, LONGEST_LIFE))
        mortal.kill()
        mortal.start()
        mortal.whole(task)
    mortal.clean()


def test_a_machine_that_was_rebooted_says_so(mortals: Callable[[], Mortal]) -> None:
    mortal = mortals()
    boot = mortal.node.folder / "boot_id"
    boot.write_text("one\n")
    task = mortal.task(SLEEPER)
    mortal.start(QB_BOOT_ID_FILE=str(boot))
    wait_until(lambda: mortal.started(task), "the start", seconds=PATIENCE)
    mortal.kill()
    boot.write_text("two\n")
    subprocess.run(["podman", "kill", *mortal.containers()], env=mortal.node.env, check=True, capture_output=True)
    mortal.start(QB_BOOT_ID_FILE=str(boot))
    found = mortal.ended(task)
    assert (found.status, found.reason) == ("error", "node_rebooted")
    assert [line.text for line in mortal.client.task_output(task.id)] == ["begun\n"]
    assert mortal.starts() == [task.id]
    mortal.clean()
