"""`qb webhook` and `qb task cleanup` against a real control plane."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures_server import Server, new_server


@pytest.fixture
def plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A control plane of the test's own, which `qb` speaks to; its webhooks may lead to loopback."""
    own = new_server(tmp_path / "qb", "--webhook-network", "127.0.0.0/8")
    own.start()
    monkeypatch.setenv("QB_URL", own.url)
    monkeypatch.setenv("QB_API_KEY", own.admin_key)
    try:
        yield own
    finally:
        own.stop()


def test_webhooks_are_added_listed_and_removed_and_old_tasks_cleaned_up(qb: Any, plane: Server) -> None:
    made = qb("webhook", "add", "http://127.0.0.1:9/hook", "--event", "task.error", "-o", "json")
    assert made.code == 0, made.err
    hook = json.loads(made.out)
    assert (hook["events"], hook["secret"][:4]) == (["task.error"], "qbw_")
    listed = qb("webhook", "list", "-o", "json")
    assert [each["id"] for each in json.loads(listed.out)] == [hook["id"]]
    assert hook["secret"] not in listed.out
    refused = qb("webhook", "add", "http://10.0.0.1/")
    assert refused.code != 0
    assert "the server connects to public addresses only" in refused.err
    assert qb("webhook", "remove", hook["id"][:8]).code == 0
    assert qb("webhook", "remove", hook["id"]).code == 5
    task = qb("task", "create", "Do it", "-o", "id").out.strip()
    qb("task", "cancel", task)
    qb("task", "create", "Do it later", "--tag", "site=nowhere")
    assert qb("task", "cleanup").out == "0 tasks removed\n"
    # the newest event's task stays, so that no id of an event is given out twice; that is the later one
    assert qb("task", "cleanup", "--days", "0").out == "1 task removed\n"
    assert qb("task", "show", task).code == 5
