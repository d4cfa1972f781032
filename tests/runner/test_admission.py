"""An assignment that cannot be run is found out before anything is done with it."""

import uuid
from typing import Any

import pytest

from qb.contract.tasks import Assignment
from remote_runner.admission import objection

GOOD: dict[str, Any] = {"task_id": str(uuid.UUID(int=7)), "prompt": "work", "orchestrator_url": "https://qb.example"}


def test_an_ordinary_assignment_meets_no_objection() -> None:
    image = "ghcr.io/elcanotek/victoria-terminal:latest@sha256:" + "0" * 64
    assert objection(Assignment(**GOOD, image=image, env={"A_B": "x=y", "lower.case-": ""})) is None


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"task_id": "../../etc/passwd"}, "no UUID"),
        ({"task_id": "7"}, "no UUID"),
        ({"image": "two words"}, "no image reference"),
        ({"image": "--privileged"}, "no image reference"),
        ({"env": {"A=B": "c"}}, "cannot be set"),
        ({"env": {"": "c"}}, "cannot be set"),
        ({"env": {"A": "nul\x00"}}, "cannot be set"),
        ({"prompt": "nul\x00"}, "NUL"),
        ({"prompt": "é" * 65_536}, "131072 bytes"),
    ],
)
def test_what_cannot_be_is_named(more: dict[str, Any], said: str) -> None:
    assert said in (objection(Assignment(**(GOOD | more))) or "")
