"""Errors become exit codes through one table that leaves nothing out."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from qb.cli.exits import Exit
from qb.cli.reference import _MEANING
from qb.cli.refusals import BY_CODE, BY_KIND, answer_to, as_cli_error
from qb.client import BadAnswer, ClientError, Refused, Unreachable
from qb.contract.errors import ErrorCode


def _tree(kind: type[ClientError]) -> set[type[ClientError]]:
    """The errors that the CLI can meet; those that other programs derive for themselves are theirs."""
    own = [child for child in kind.__subclasses__() if child.__module__.startswith("qb.")]
    return {kind}.union(*map(_tree, own))


def test_every_error_code_has_a_row() -> None:
    assert set(BY_CODE) == set(ErrorCode)


def test_every_error_of_the_client_has_a_row() -> None:
    assert set(BY_KIND) == _tree(ClientError)


def test_every_exit_code_is_documented() -> None:
    assert set(_MEANING) == set(Exit)


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (Refused(401, ErrorCode.UNAUTHENTICATED, "no key"), 4),
        (Refused(403, ErrorCode.FORBIDDEN, "not yours"), 4),
        (Refused(404, ErrorCode.NOT_FOUND, "no task"), 5),
        (Refused(409, ErrorCode.ALREADY_ENDED, "ended"), 6),
        (Refused(422, ErrorCode.INVALID, "priority"), 2),
        (Refused(403, None, "a proxy says no"), 4),
        (Refused(404, None, "a proxy says no"), 5),
        (Refused(502, None, "a proxy says no"), 1),
        (Unreachable("nothing listens"), 1),
        (BadAnswer("html"), 1),
        (ClientError("cannot read"), 1),
    ],
)
def test_an_error_has_the_exit_code_that_scripts_expect(error: ClientError, exit_code: int) -> None:
    assert answer_to(error).exit_code == exit_code


def test_a_message_is_one_line_and_inert() -> None:
    assert as_cli_error(Refused(404, None, "a\nb \x1b[31m")).message == "a b ␛[31m"


@pytest.mark.parametrize("ending", ["\r", "\u00e9"])
def test_a_key_with_a_stray_character_is_told_and_not_shown(
    qb: Any, connected: Any, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setenv("QB_API_KEY", "qba_whole" + ending)
    ran = qb("task", "list")
    assert ran.code == 4
    assert "the key holds characters that no key has: copy it again, without quotes or line breaks" in ran.err
    assert "qba_whole" not in ran.err
    assert connected.seen == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot read the CA file {file}: No such file or directory"),
        ("no CA", "the CA file {file} holds no certificate (PEM)"),
    ],
)
def test_a_ca_file_that_cannot_be_used_is_named(
    qb: Any, connected: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None, said: str
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("QB_CA_FILE", str(file))
    ran = qb("--url", "https://127.0.0.1:1", "task", "list")
    assert ran.code == 1
    assert ran.err.startswith(f"error: {said.format(file=file)}\nhint: ")
    assert "QB_CA_FILE" in ran.err
    connected.answers("GET", "/tasks", [])
    assert qb("task", "list").code == 0, "http needs no CA"


def test_an_answer_of_something_else_is_told_in_one_line(qb: Any, connected: Any) -> None:
    class Page(BaseModel):
        html: str = "hello"

    connected.answers("GET", "/tasks", Page())
    ran = qb("task", "list")
    assert ran.code == 1
    assert ran.err.startswith("error: the answer is not a list of Task")
    assert "Traceback" not in ran.err
