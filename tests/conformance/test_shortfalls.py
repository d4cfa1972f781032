"""A task that needs what an older node lacks says so at its creation, or is refused where it is strict."""

from typing import Any

import httpx2
import pytest

from tests.conformance.control_plane import ControlPlane
from tests.conformance.generation_a import PullA
from tests.conformance.generation_b import PullB
from tests.conformance.generation_c import PullC
from tests.conformance.generation_d import PullD
from tests.conformance.generation_ours import PullOurs
from tests.conformance.joining import join, known


def warned(plane: ControlPlane, **body: Any) -> dict[str, str]:
    """What the creation of a task warns of: the text by what it is about."""
    answer = plane.call("POST", "/tasks", {"prompt": "work", **body})
    assert answer.status_code == 201, answer.text
    return dict(line.split(": ", 1) for line in answer.json()["warnings"])


def once(plane: ControlPlane, body: dict[str, Any]) -> httpx2.Response:
    """Create a task, or hear of it again."""
    headers = {"X-API-Key": plane.admin_key, "Idempotency-Key": "once"}
    return httpx2.post(f"{plane.url}/tasks", json=body, headers=headers, timeout=30)


def test_a_task_for_our_own_runners_has_nothing_to_warn_of(plane: ControlPlane) -> None:
    join(plane, PullOurs, "new")
    join(plane, PullC, "old")
    assert warned(plane, target_node_name="new", max_attempts=3, image="busybox") == {}
    assert warned(plane, target_node_name="nobody") == {}


def test_a_cancel_that_cannot_be_proved_is_said(plane: ControlPlane) -> None:
    known(plane, PullD, "old")
    told = warned(plane)
    assert set(told) == {"cancel"}
    assert told["cancel"].startswith("old (of generation D) cannot be told to stop")


@pytest.mark.parametrize(
    ("body", "need"),
    [({"max_attempts": 2}, "max_attempts"), ({"image": "busybox"}, "image")],
)
def test_each_need_that_is_not_met_has_its_line(plane: ControlPlane, body: dict[str, Any], need: str) -> None:
    known(plane, PullD, "old")
    assert set(warned(plane, **body)) == {"cancel", need}


def test_a_time_limit_is_only_the_servers_own_for_a_and_b(plane: ControlPlane) -> None:
    known(plane, PullB, "old")
    assert "timeout_seconds" in warned(plane)
    assert "timeout_seconds" not in warned(plane, timeout_seconds=None)


def test_an_old_push_node_gets_no_files(plane: ControlPlane) -> None:
    plane.add_node("cloud", mode="push", api_endpoint="http://127.0.0.1:9")
    join(plane, PullC, "edge").turn()
    sent = plane.upload("data.bin", b"1")
    assert "files" in warned(plane, target_node_name="cloud", files=[sent])
    assert "files" not in warned(plane, target_node_name="edge", files=[sent])


def test_generation_a_without_keyless_reports_cannot_tell_its_verdict(plane: ControlPlane) -> None:
    join(plane, PullA, "old")
    assert "verdict" in warned(plane)


def test_where_keyless_reports_are_taken_generation_a_can(keyless_plane: ControlPlane) -> None:
    join(keyless_plane, PullA, "old")
    assert "verdict" not in warned(keyless_plane)


def test_limits_pass_old_nodes_over_and_say_so_where_nobody_else_matches(plane: ControlPlane) -> None:
    join(plane, PullC, "old")
    assert set(warned(plane, limits={"memory_mb": 64})) == {"limits"}
    join(plane, PullOurs, "new")
    assert warned(plane, limits={"memory_mb": 64}) == {}


def test_many_nodes_are_counted_and_three_are_named(plane: ControlPlane) -> None:
    for number in range(5):
        join(plane, PullC, f"old-{number}").turn()
    assert warned(plane)["cancel"].startswith("old-0, old-1, old-2 and 2 more (of generation C) ")


def test_a_strict_task_is_refused_with_the_same_words(plane: ControlPlane) -> None:
    join(plane, PullC, "old").turn()
    refused = plane.call("POST", "/tasks", {"prompt": "work", "max_attempts": 2, "strict": True})
    assert refused.status_code == 422
    assert refused.json()["detail"].startswith("strict: max_attempts: old (of generation C) names no attempt")
    assert "cancel: " not in refused.json()["detail"]
    assert plane.call("GET", "/tasks").json() == []
    assert (
        plane.call("POST", "/tasks", {"prompt": "work", "strict": True, "target_node_name": "new"}).status_code == 201
    )


def test_a_group_warns_as_a_task_does_of_the_nodes_that_its_glob_names(plane: ControlPlane) -> None:
    known(plane, PullD, "old-1")
    join(plane, PullOurs, "new-1")
    answer = plane.call("POST", "/groups", {"prompt": "work", "each": "old-*"})
    assert (answer.status_code, [line.split(": ")[0] for line in answer.json()["warnings"]]) == (201, ["cancel"])
    assert plane.call("POST", "/groups", {"prompt": "work", "each": "new-*"}).json()["warnings"] == []
    asked = {"prompt": "work", "each": "old-*", "image": "busybox", "strict": True}
    assert plane.call("POST", "/groups", asked).status_code == 422


def test_a_strict_task_that_asks_for_nothing_special_is_taken_and_warned_of(plane: ControlPlane) -> None:
    known(plane, PullD, "old")
    assert set(warned(plane, strict=True, timeout_seconds=60)) == {"cancel"}


def test_a_strict_task_insists_on_the_time_limit_that_it_gives(plane: ControlPlane) -> None:
    known(plane, PullB, "old")
    assert "timeout_seconds" in warned(plane, strict=True)
    refused = plane.call("POST", "/tasks", {"prompt": "work", "strict": True, "timeout_seconds": 60})
    assert (refused.status_code, "timeout_seconds: old" in refused.json()["detail"]) == (422, True)


def test_a_strict_task_insists_on_a_verdict(plane: ControlPlane) -> None:
    join(plane, PullA, "old")
    refused = plane.call("POST", "/tasks", {"prompt": "work", "strict": True})
    assert (refused.status_code, "verdict: old" in refused.json()["detail"]) == (422, True)


@pytest.mark.parametrize(
    ("needs", "status"), [(["cancel"], 422), (["time_limit"], 201), (["cancel", "time_limit"], 422)]
)
def test_a_task_can_insist_on_what_every_node_does_but_older_ones(
    plane: ControlPlane, needs: list[str], status: int
) -> None:
    known(plane, PullD, "old")
    join(plane, PullOurs, "new")
    answer = plane.call("POST", "/tasks", {"prompt": "work", "needs": needs})
    assert answer.status_code == status, answer.text
    if status == 422:
        assert answer.json()["detail"].startswith("needs: cancel: old (of generation D) cannot be told to stop")
    assert (
        plane.call("POST", "/tasks", {"prompt": "work", "needs": needs, "target_node_name": "new"}).status_code == 201
    )


@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        ({"strict": True, "needs": ["cancel"]}, ["needs"]),
        ({"strict": True, "needs": ["cancel"], "image": "busybox"}, ["strict", "needs"]),
        ({"strict": True, "needs": ["time_limit"], "image": "busybox"}, ["strict"]),
    ],
)
def test_a_refusal_names_the_fields_by_which_it_came(
    plane: ControlPlane, asked: dict[str, Any], fields: list[str]
) -> None:
    known(plane, PullD, "old")
    detail = plane.call("POST", "/tasks", {"prompt": "work"} | asked).json()["detail"]
    assert detail.endswith(f"; target other nodes, or leave {' and '.join(fields)} out")
    assert [each for each in ("strict", "needs") if f"{each}: " in detail] == fields
    assert ("needs: cancel: old" in detail, "strict: image: old" in detail) == ("needs" in fields, "strict" in fields)
    left = {name: value for name, value in asked.items() if name not in fields}
    assert plane.call("POST", "/tasks", {"prompt": "work"} | left).status_code == 201


def test_a_strict_task_sent_again_is_the_same_task_though_an_older_node_has_joined(plane: ControlPlane) -> None:
    join(plane, PullOurs, "new")
    again = {"prompt": "work", "image": "busybox", "strict": True, "scheduled_for": "2099-01-01T00:00:00Z"}
    made = once(plane, again)
    known(plane, PullD, "old")
    assert plane.call("POST", "/tasks", {"prompt": "work", "image": "busybox", "strict": True}).status_code == 422
    replayed = once(plane, again)
    assert (made.status_code, replayed.status_code) == (201, 200)
    assert replayed.json()["id"] == made.json()["id"]
