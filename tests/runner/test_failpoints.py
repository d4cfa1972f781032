"""Failpoints: the list and the code name the same places."""

import re
from pathlib import Path

import pytest

import remote_runner
from qb.contract.routes import BY_NAME
from remote_runner.failpoints import STEPS, armed
from remote_runner.records import Phase

SOURCES = Path(remote_runner.__file__).parent
LEFT_OUT = ("failpoints.py", "doctor.py")
CALL = re.compile(r"\b(?:_?client|joining)\.(\w+)\(")
STEP = re.compile(r'(?:_change|call|json|lines)\(\s*"((?:journal|podman)\.[a-z]+)"')


def sources() -> str:
    return "\n".join(path.read_text() for path in sorted(SOURCES.glob("*.py")) if path.name not in LEFT_OUT)


def test_each_write_and_each_call_of_podman_has_its_failpoints() -> None:
    named = set(STEP.findall(sources())) | {f"journal.{phase}" for phase in (Phase.PERMITTED, Phase.STARTED)}
    assert named == {step for step in STEPS if not step.startswith("http.")}


def test_each_request_of_the_runner_has_its_failpoints() -> None:
    requests = {name for name in CALL.findall(sources()) if name in BY_NAME}
    assert {f"http.{name}" for name in requests} == {s for s in STEPS if s.startswith("http.")}


def test_no_write_of_the_journal_is_without_a_step() -> None:
    journal = (SOURCES / "journal.py").read_text()
    assert journal.count("_change(") - 1 == len(re.findall(r'_change\(f?"journal\.', journal))


def test_nothing_is_armed_without_the_variable() -> None:
    assert armed({}) is None


@pytest.mark.parametrize("text", ["journal.nothing.before", "journal.intend", "journal.intend.before:0"])
def test_a_failpoint_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(SystemExit, match="no such failpoint"):
        armed({"QB_FAILPOINT": text})
