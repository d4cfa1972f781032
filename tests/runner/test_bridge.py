"""Other containers' interfaces come and go while one container's bridge is looked for."""

import os
import subprocess
import threading
from collections.abc import Iterator

import pytest

from remote_runner.bridge import keep_address

LOOKS = 300


@pytest.fixture
def traffic() -> Iterator[None]:
    """Pairs of interfaces that are made and removed all the time."""
    if os.getuid():
        pytest.skip("only root makes interfaces; an ordinary user's containers have no bridge of this machine")
    over = threading.Event()
    name = f"qbt{os.getpid()}"

    def come_and_go() -> None:
        while not over.is_set():
            subprocess.run(["ip", "link", "add", name, "type", "veth"], check=True)
            subprocess.run(["ip", "link", "delete", name], check=True)

    thread = threading.Thread(target=come_and_go)
    thread.start()
    yield
    over.set()
    thread.join(60)


@pytest.mark.usefixtures("traffic")
def test_an_interface_that_goes_while_it_is_looked_at_is_passed_over() -> None:
    for _ in range(LOOKS):
        keep_address(os.getpid())
