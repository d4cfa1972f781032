"""What systemd and journald hear, over a real socket."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from remote_runner import logs
from remote_runner.systemd import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        end.settimeout(5)
        yield end


def test_the_life_of_a_service_is_told_in_datagrams(manager: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "30000000"})
    assert notifier.watchdog_seconds == 10
    notifier.ready()
    notifier.status("0 of 1 slots in use")
    notifier.status("0 of 1 slots in use")
    notifier.alive()
    notifier.reloading()
    notifier.stopping(30)
    heard = [manager.recv(4096).decode().splitlines() for _ in range(5)]
    assert heard[:3] == [["READY=1"], ["STATUS=0 of 1 slots in use"], ["WATCHDOG=1"]]
    assert [lines[0] for lines in heard[3:]] == ["RELOADING=1", "STOPPING=1"]
    assert heard[4][1] == "EXTEND_TIMEOUT_USEC=35000000"


def test_without_systemd_nothing_is_said_and_nothing_fails(tmp_path: Path) -> None:
    assert Notifier({}).watchdog_seconds is None
    Notifier({}).ready()
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()


def test_journald_gets_priorities_and_no_second_time(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        logs.configure({"JOURNAL_STREAM": "8:1"})
        structlog.get_logger().warning("no answer", task="t-1", attempt=2)
    finally:
        structlog.reset_defaults()
    assert capsys.readouterr().err == '<4>level=warning event="no answer" task=t-1 attempt=2\n'
