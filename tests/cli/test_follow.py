"""The line that moves under a followed task: it says what is, and no more what was."""

import io
from typing import Any

import pytest
from rich.console import Console

from qb.cli.feed import Lost
from qb.cli.follow import LiveView
from qb.client import Unreachable
from qb.contract.states import TaskStatus


@pytest.fixture
def view() -> LiveView:
    """On a terminal of 80 columns."""
    return LiveView(Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None))


def bar(view: LiveView) -> str:
    """The line that moves, as it is now."""
    with view._console.capture() as printed:
        view._console.print(view._progress.get_renderable())
    return printed.get()


def test_a_task_that_says_nothing_does_not_wait_for_a_node_when_it_runs(view: LiveView, make_event: Any) -> None:
    assert "pending" in bar(view) and "waiting for a node" in bar(view)
    view.event(make_event(1, kind="created", status=TaskStatus.PENDING))
    assert "waiting for a node" in bar(view)
    view.event(make_event(2, kind="claimed", status=TaskStatus.ASSIGNED))
    view.event(make_event(3))
    assert "running" in bar(view) and "waiting for a node" not in bar(view)


def test_a_task_that_waits_again_says_so(view: LiveView, make_event: Any) -> None:
    view.event(make_event(1, message="reading"))
    view.event(make_event(2, kind="requeued", status=TaskStatus.PENDING))
    assert "pending" in bar(view) and "waiting for a node" in bar(view) and "reading" not in bar(view)


def test_what_the_agent_said_stays_until_it_says_more(view: LiveView, make_event: Any) -> None:
    view.event(make_event(1, message="reading"))
    view.event(make_event(2, progress=40))
    assert "reading" in bar(view) and "40 %" in bar(view)


def test_a_stream_that_is_back_is_no_longer_called_lost(view: LiveView, make_event: Any) -> None:
    view.event(make_event(1, message="reading"))
    view.lost(Lost(Unreachable("no answer")))
    assert "no answer: trying again" in bar(view)
    view.event(make_event(2, progress=40))
    assert "trying again" not in bar(view) and "reading" in bar(view)
    view.lost(Lost(Unreachable("no answer")))
    view.event(make_event(3, message="late", applied=False))
    assert "trying again" not in bar(view) and "reading" in bar(view)
